//! What transactions changed: the only thing that travels live.
//!
//! A delta straight from a commit covers one dot: the entries it adds carry that dot, and every
//! entry it takes out is named (Invariant 1). Consecutive deltas [`coalesce`](Delta::coalesce)
//! into one that covers a range of dots per replica.
//!
//! How does a coalesced delta stay correct for a receiver that already has part of its range by
//! another path? At every leaf it touches, a dot inside the range that is not listed as added is
//! superseded, and a listed one that the receiver's version covers is not added again. So a leaf
//! that was written and cleared within the range stays in the delta, touched and empty: a receiver
//! that had got the write alone must lose it.
//!
//! Source: delta mutators and delta groups as in Almeida, Shoker, Baquero, "Delta state replicated
//! data types" (2018), §4 and §6; differs in: no causal context per delta but ranges of dots.

use std::num::NonZeroU64;

use smallvec::SmallVec;
use thiserror::Error;

use crate::clock::Stamp;
use crate::id::{Dot, ReplicaId};
use crate::node::OwnWrite;
use crate::path::{Key, Kind};
use crate::sorted::SortedMap;
use crate::value::Value;
use crate::version::VersionVector;

mod coalesce;
mod decode;
mod encode;
mod lead;

pub use lead::DeltaLead;

/// The counters `after + 1 ..= through` of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotRange {
    /// Whose transactions.
    pub replica: ReplicaId,
    /// The highest counter that is *not* in the range.
    pub after: u64,
    /// The highest counter in the range; above `after`.
    pub through: u64,
}

/// What one transaction changed, or several consecutive ones coalesced.
///
/// Immutable to its users and cheap to share behind an `Arc`. Its size follows what changed, never
/// the size of the document.
#[must_use = "a delta that is dropped never reaches another replica"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Sorted by replica, one each.
    pub(crate) ranges: SmallVec<[ChainedRange; 1]>,
    /// What tells a transaction apart from one that does the same after the same history: part of what its
    /// chain hash covers. None in a coalesced delta, which has the hashes themselves.
    pub(crate) salt: Option<NonZeroU64>,
    /// What the receiver must cover beforehand, besides the start of each range: the highest dot
    /// superseded per replica, where the ranges do not imply it. Sorted by replica.
    pub(crate) needs: SmallVec<[Dot; 1]>,
    /// What changed, as a tree under the root.
    pub(crate) body: MapDelta,
}

impl DotRange {
    fn contains(&self, counter: u64) -> bool {
        self.after < counter && counter <= self.through
    }
}

/// Finds the range of a replica. O(log n).
fn range_of(ranges: &[ChainedRange], replica: ReplicaId) -> Option<DotRange> {
    let at = ranges.binary_search_by_key(&replica, |chained| chained.range.replica).ok()?;
    Some(ranges[at].range)
}

/// Tells whether whoever has these ranges, or may apply them, covers `dot` by them alone.
fn implies(ranges: &[ChainedRange], dot: Dot) -> bool {
    range_of(ranges, dot.replica).is_some_and(|range| dot.counter <= range.through)
}

/// A range and the chain hashes at both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainedRange {
    pub(crate) range: DotRange,
    /// The replica's chain hash at `after`; 0 where `after` is 0.
    pub(crate) chain_after: u64,
    /// The replica's chain hash at `through`.
    pub(crate) chain_through: u64,
}

/// Changes beneath one map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MapDelta {
    /// The mark that the map exists even while empty.
    pub(crate) presence: Option<Box<LeafDelta<()>>>,
    pub(crate) children: SortedMap<Key, NodeDelta>,
}

/// Changes beneath one map key; its kind is the key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeDelta {
    Register(LeafDelta<(Stamp, Value)>),
    Counter(CounterDelta),
    Set(SetDelta),
    Map(Box<MapDelta>),
}

/// Changes within one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetDelta {
    pub(crate) presence: Option<Box<LeafDelta<()>>>,
    pub(crate) elements: SortedMap<Value, LeafDelta<()>>,
}

/// What became of the entries at one place. Touched and empty on both sides is meaningful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeafDelta<P> {
    /// Live at the end of the range, with dots inside the range; sorted by dot.
    pub(crate) added: SmallVec<[(Dot, P); 1]>,
    /// Taken out, with dots outside the range; sorted.
    pub(crate) superseded: SmallVec<[Dot; 1]>,
}

impl<P> Default for LeafDelta<P> {
    fn default() -> Self {
        Self { added: SmallVec::new(), superseded: SmallVec::new() }
    }
}

/// Changes of one counter: what owners did to their own entries, and what was reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CounterDelta {
    /// By owner: the counter of the owner's last transaction here, and what it left.
    pub(crate) writes: SortedMap<ReplicaId, (u64, OwnWrite)>,
    /// By owner: everything through this counter is taken out; the owner's total stood at this.
    pub(crate) resets: SortedMap<ReplicaId, (u64, i64)>,
}

/// The second delta does not continue the first: a range starts elsewhere than the other ends.
/// Nothing has changed; coalesce in log order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the deltas are not consecutive: {replica} continues after {found}, not after {expected}")]
pub struct CoalesceError {
    /// Whose ranges do not meet.
    pub replica: ReplicaId,
    /// Where the first delta ends.
    pub expected: u64,
    /// Where the second starts.
    pub found: u64,
}

impl Delta {
    /// Yields the ranges of dots that are covered, in replica order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = DotRange> + '_ {
        self.ranges.iter().map(|chained| chained.range)
    }

    /// Returns how many transactions are in it: 1 for a delta straight from a commit.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a delta holds at least one transaction")]
    pub fn len(&self) -> u64 {
        self.ranges().map(|range| range.through - range.after).sum()
    }

    /// Tells whether `version` covers all of it.
    #[must_use]
    pub fn is_covered_by(&self, version: &VersionVector) -> bool {
        self.ranges().all(|range| range.through <= version.counter(range.replica))
    }

    /// Raises `version` to cover it.
    pub fn advance(&self, version: &mut VersionVector) {
        version.extend(self.ranges().map(|range| (range.replica, range.through)));
    }

    /// Returns the last transaction in it and the chain hash of its replica there, if all of it is of one replica.
    #[must_use]
    pub fn end(&self) -> Option<(Dot, u64)> {
        match &self.ranges[..] {
            [only] => Some((Dot::new(only.range.replica, only.range.through), only.chain_through)),
            _ => None,
        }
    }

    /// Estimates the encoded length without encoding. O(1) for a small delta, else O(entries).
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let salt = self.salt.map_or(0, |_| 8);
        26 + salt + 34 * (self.ranges.len() - 1) + 16 * self.needs.len() + self.body.size_hint()
    }

    /// Returns the encoded bytes of this delta alone.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        self.encode(&mut bytes);
        bytes
    }

    /// Tells whether `dot` is one of the transactions in the delta.
    pub(crate) fn spans(&self, dot: Dot) -> bool {
        range_of(&self.ranges, dot.replica).is_some_and(|range| range.contains(dot.counter))
    }

    /// Collects `needs` from the body; called once a body is complete.
    pub(crate) fn collect_needs(&mut self) {
        let mut needs: SortedMap<ReplicaId, u64> = SortedMap::new();
        self.body.visit_superseded(&mut |dot| {
            let highest = needs.get_or_insert_with(dot.replica, || 0);
            *highest = (*highest).max(dot.counter);
        });
        self.needs = needs_of(&self.ranges, needs.iter().map(|(replica, counter)| Dot::new(*replica, *counter)));
    }
}

/// Returns the `needs` of a delta, given the highest dot superseded of each replica, in replica order.
fn needs_of(ranges: &[ChainedRange], superseded: impl Iterator<Item = Dot> + Clone) -> SmallVec<[Dot; 1]> {
    let needed = superseded.filter(|dot| !implies(ranges, *dot));
    let mut needs = SmallVec::with_capacity(needed.clone().count());
    needs.extend(needed);
    needs
}

impl MapDelta {
    pub(crate) fn is_empty(&self) -> bool {
        self.presence.is_none() && self.children.is_empty()
    }

    /// Takes out branches that touch nothing, left behind by looking without writing.
    pub(crate) fn prune(&mut self) {
        self.children.retain(|_, child| {
            if let NodeDelta::Map(map) = child {
                map.prune();
            }
            !child.is_empty()
        });
    }

    fn size_hint(&self) -> usize {
        let children = self.children.iter().map(|(key, child)| 2 + key.name.len() + child.size_hint());
        2 + children.sum::<usize>()
    }

    /// Calls `visit` with every dot that is superseded or reset.
    pub(crate) fn visit_superseded(&self, visit: &mut impl FnMut(Dot)) {
        self.presence.iter().flat_map(|leaf| &leaf.superseded).for_each(|dot| visit(*dot));
        for child in self.children.values() {
            match child {
                NodeDelta::Register(leaf) => leaf.superseded.iter().for_each(|dot| visit(*dot)),
                NodeDelta::Counter(counter) => {
                    counter.resets.iter().for_each(|(owner, (through, _))| visit(Dot::new(*owner, *through)));
                }
                NodeDelta::Set(set) => {
                    let leaves = set.presence.as_deref().into_iter().chain(set.elements.values());
                    leaves.flat_map(|leaf| &leaf.superseded).for_each(|dot| visit(*dot));
                }
                NodeDelta::Map(map) => map.visit_superseded(visit),
            }
        }
    }
}

impl NodeDelta {
    /// Returns the delta of a node of this kind that touches nothing.
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Register => Self::Register(LeafDelta::default()),
            Kind::Counter => Self::Counter(CounterDelta::default()),
            Kind::Set => Self::Set(SetDelta::default()),
            Kind::Map => Self::Map(Box::default()),
        }
    }

    fn size_hint(&self) -> usize {
        match self {
            Self::Register(leaf) => {
                let values = leaf.added.iter().map(|(_, (_, value))| 12 + value.payload_len());
                values.sum::<usize>() + leaf.size_hint()
            }
            Self::Counter(counter) => 2 + 8 * counter.writes.len() + 8 * counter.resets.len(),
            Self::Set(set) => {
                let elements = set.elements.iter();
                2 + elements.map(|(element, leaf)| 2 + element.payload_len() + leaf.size_hint()).sum::<usize>()
            }
            Self::Map(map) => map.size_hint(),
        }
    }

    /// Tells whether nothing is touched. A register's delta exists only once it is touched.
    fn is_empty(&self) -> bool {
        match self {
            Self::Register(_) => false,
            Self::Counter(counter) => counter.is_empty(),
            Self::Set(set) => set.presence.is_none() && set.elements.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }
}

impl<P> LeafDelta<P> {
    fn size_hint(&self) -> usize {
        1 + 2 * self.added.len() + 3 * self.superseded.len()
    }
}

impl CounterDelta {
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.resets.is_empty()
    }
}
