//! The tree of a document: maps of registers, counters, sets and maps, down to dotted entries.
//!
//! One closed enum, no generics: a key's kind says which variant stands behind it. A node without
//! any entry does not exist; whoever takes out the last entry takes out the node.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use crate::dots::Dots;
use crate::elements::Elements;
use crate::path::{Key, Kind};
use crate::table::Table;
use crate::value::Value;

mod counter;
mod register;

pub(crate) use counter::{CounterEntry, CounterNode, OwnWrite};
pub(crate) use register::{RegisterEntry, RegisterNode};

/// What a map key leads to.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Register(RegisterNode),
    Counter(CounterNode),
    Set(SetNode),
    Map(MapNode),
}

/// Keys that lead on.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapNode {
    /// The transactions that created it explicitly.
    pub(crate) presence: Dots,
    pub(crate) children: Table<Key, Node>,
}

/// Distinct values; add wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetNode {
    /// The transactions that created it explicitly.
    pub(crate) presence: Dots,
    pub(crate) elements: Elements<Value>,
}

impl Node {
    /// Returns a node of this kind without entries.
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Register => Self::Register(RegisterNode::default()),
            Kind::Counter => Self::Counter(CounterNode::default()),
            Kind::Set => Self::Set(SetNode::default()),
            Kind::Map => Self::Map(MapNode::default()),
        }
    }

    /// Tells whether there is no entry left, not even one that only its owner can take out.
    pub(crate) fn is_vacant(&self) -> bool {
        match self {
            Self::Register(register) => register.entries.is_empty(),
            Self::Counter(counter) => counter.entries().is_empty(),
            Self::Set(set) => set.presence.is_empty() && set.elements.is_empty(),
            Self::Map(map) => map.presence.is_empty() && map.children.is_empty(),
        }
    }

    /// Tells whether readers see it. O(1), except for maps that hold nothing but counters whose
    /// reset their owners have not noticed yet.
    pub(crate) fn is_visible(&self) -> bool {
        match self {
            Self::Register(_) | Self::Set(_) => !self.is_vacant(),
            Self::Counter(counter) => counter.is_visible(),
            Self::Map(map) => map.is_visible(),
        }
    }
}

impl MapNode {
    pub(crate) fn is_visible(&self) -> bool {
        !self.presence.is_empty() || self.children.iter().any(|(_, child)| child.is_visible())
    }

    /// Looks a child up without making an owned key of the name.
    pub(crate) fn child(&self, kind: Kind, name: &str) -> Option<&Node> {
        self.children.get(&(kind, name) as &dyn Named)
    }
}

/// What a key and a borrowed (kind, name) pair have in common, so that the table finds the one by
/// the other: both hash and compare as the name, then the kind, as [`Key`] derives it.
trait Named {
    fn named(&self) -> (&str, Kind);
}

impl Named for Key {
    fn named(&self) -> (&str, Kind) {
        (&self.name, self.kind)
    }
}

impl Named for (Kind, &str) {
    fn named(&self) -> (&str, Kind) {
        (self.1, self.0)
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.named() == other.named()
    }
}

impl Eq for dyn Named + '_ {}

impl Hash for dyn Named + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.named().hash(state);
    }
}

impl<'a> Borrow<dyn Named + 'a> for Key {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}
