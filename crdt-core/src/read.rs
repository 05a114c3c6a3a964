//! Reading a document or a snapshot: borrowed views that copy nothing.
//!
//! What is not there reads as `None`; what was reset or removed is not there. Lists are sorted,
//! so equal documents read equally.

use serde::de::DeserializeOwned;

use crate::clock::Stamp;
use crate::context::Context;
use crate::id::Dot;
use crate::json;
use crate::node::{MapNode, Node, RegisterEntry, RegisterNode, SetNode};
use crate::path::{Key, Kind};
use crate::state::State;
use crate::text::Text;
use crate::value::Value;

/// A map, or the root of a document.
#[derive(Clone, Copy, Debug)]
pub struct MapRef<'a> {
    context: &'a Context,
    map: &'a MapNode,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum EntryRef<'a> {
    /// A map.
    Map(MapRef<'a>),
    /// A set.
    Set(SetRef<'a>),
    /// A register.
    Register(RegisterRef<'a>),
    /// A counter's sum.
    Counter(i128),
}

impl<'a> MapRef<'a> {
    pub(crate) fn root(state: &'a State) -> Self {
        Self { context: &state.context, map: &state.root }
    }

    /// Looks up a map. O(1).
    #[must_use]
    pub fn map(&self, name: &str) -> Option<MapRef<'a>> {
        match self.entry(Kind::Map, name)? {
            EntryRef::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Looks up a set. O(1).
    #[must_use]
    pub fn set(&self, name: &str) -> Option<SetRef<'a>> {
        match self.entry(Kind::Set, name)? {
            EntryRef::Set(set) => Some(set),
            _ => None,
        }
    }

    /// Looks up a register. O(1).
    #[must_use]
    pub fn register(&self, name: &str) -> Option<RegisterRef<'a>> {
        match self.entry(Kind::Register, name)? {
            EntryRef::Register(register) => Some(register),
            _ => None,
        }
    }

    /// Looks up a counter's sum. O(replicas that counted).
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<i128> {
        match self.entry(Kind::Counter, name)? {
            EntryRef::Counter(sum) => Some(sum),
            _ => None,
        }
    }

    /// Looks up what a name of one kind leads to. O(1).
    #[must_use]
    pub fn entry(&self, kind: Kind, name: &str) -> Option<EntryRef<'a>> {
        self.view(self.map.child(kind, name)?)
    }

    /// Returns all entries, sorted by name, then kind. O(n log n).
    #[must_use]
    pub fn entries(&self) -> Vec<(&'a Key, EntryRef<'a>)> {
        let visible = self.map.children.iter().filter_map(|(key, node)| Some((key, self.view(node)?)));
        let mut entries: Vec<_> = visible.collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    /// Returns all keys, sorted by name, then kind. O(n log n).
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.entries().into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// Returns the counters among the entries, sorted by name. O(n log n).
    #[must_use]
    pub fn counters(&self) -> Vec<(Text, i128)> {
        let entries = self.entries().into_iter();
        let sums = entries.filter_map(|(key, entry)| match entry {
            EntryRef::Counter(sum) => Some((key.name.clone(), sum)),
            _ => None,
        });
        sums.collect()
    }

    /// Returns how many entries there are. O(n).
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.children.iter().filter(|(_, node)| node.is_visible()).count()
    }

    /// Tells whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.map.children.iter().any(|(_, node)| node.is_visible())
    }

    /// Returns the content as JSON for people and exports: maps as objects, sets as sorted arrays,
    /// registers as their winner, counters as numbers. See [`json`](crate::json) for what has no
    /// JSON form of its own.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json::from_map(*self)
    }

    /// Reads the content into a type of the application's own, as from its JSON form.
    ///
    /// ```
    /// # use crdt_core::{Document, ReplicaId};
    /// #[derive(serde::Deserialize)]
    /// struct Cart {
    ///     owner: String,
    ///     items: std::collections::BTreeMap<String, i64>,
    /// }
    ///
    /// let mut document = Document::new(ReplicaId::from_u128(1));
    /// let mut tx = document.transact(0);
    /// tx.register("owner").set("Alice")?;
    /// tx.map("items").counter("apple").add(3)?;
    /// let _ = tx.commit();
    ///
    /// let cart: Cart = document.root().read()?;
    /// assert_eq!((cart.owner.as_str(), cart.items["apple"]), ("Alice", 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of serde, where the content does not have the shape of `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.to_json())
    }

    fn view(&self, node: &'a Node) -> Option<EntryRef<'a>> {
        let context = self.context;
        match node {
            Node::Map(map) => map.is_visible().then_some(EntryRef::Map(MapRef { context, map })),
            Node::Set(set) => Some(EntryRef::Set(SetRef { set })),
            Node::Register(register) => Some(EntryRef::Register(RegisterRef { context, register })),
            Node::Counter(counter) => counter.visible_value().map(EntryRef::Counter),
        }
    }
}

/// A register that holds a value, or several that no write has seen together.
#[derive(Clone, Copy, Debug)]
pub struct RegisterRef<'a> {
    context: &'a Context,
    register: &'a RegisterNode,
}

/// One of the values that stand side by side in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict<'a, T = Value> {
    /// What was written.
    pub value: &'a T,
    /// The writer's timestamp.
    pub stamp: Stamp,
    /// The transaction that wrote it.
    pub dot: Dot,
}

impl<'a> RegisterRef<'a> {
    /// Returns the winner: the latest by timestamp, then by replica id.
    #[must_use]
    pub fn get(&self) -> &'a Value {
        let winner: Option<&'a RegisterEntry> = self.register.winner(self.context);
        &winner.expect("a register without a value does not exist").value
    }

    /// Returns all values that stand side by side, the winner first. One means no conflict; the
    /// next write replaces them all.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict<'a>> {
        conflicts(self.register, self.context)
    }

    /// Tells whether concurrent writes stand side by side.
    #[must_use]
    pub fn is_conflicted(&self) -> bool {
        self.register.entries.len() > 1
    }
}

/// Returns all values of a register, the winner first.
pub(crate) fn conflicts<'a, T>(register: &'a RegisterNode<T>, context: &Context) -> Vec<Conflict<'a, T>> {
    let conflict =
        |entry: &'a RegisterEntry<T>| Conflict { value: &entry.value, stamp: entry.stamp, dot: context.dot(entry.dot) };
    register.ranked(context).into_iter().map(conflict).collect()
}

/// A set of values.
#[derive(Clone, Copy, Debug)]
pub struct SetRef<'a> {
    set: &'a SetNode,
}

impl<'a> SetRef<'a> {
    /// Tells whether a value is in the set. O(1).
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        self.set.elements.get(value).is_some()
    }

    /// Returns how many values are in the set. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.elements.len()
    }

    /// Tells whether the set is empty: it exists because it was created explicitly.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.elements.is_empty()
    }

    /// Yields the values in no order that may be relied on, without sorting or copying.
    pub fn iter(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.set.elements.keys()
    }

    /// Returns the values, sorted. O(n log n).
    #[must_use]
    pub fn values(&self) -> Vec<&'a Value> {
        let mut values: Vec<&'a Value> = self.iter().collect();
        values.sort_unstable();
        values
    }
}
