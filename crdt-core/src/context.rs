//! The causal context of one value: its replicas by small number, and how far each has been applied.
//!
//! A dot in memory should not cost twenty-four bytes, and a coverage test should not search a
//! tree. So each value numbers the replicas it has met, in the order it met them, and an entry
//! holds a [`LocalDot`]: that number and the counter in one word. The numbers mean nothing outside
//! the value; merging translates them, and bytes always carry the full ids.
//!
//! Shared copy-on-write, so a snapshot of the value costs two pointers.

use std::num::NonZeroU64;
use std::sync::Arc;

use hashbrown::HashMap;
use thiserror::Error;

use crate::frontier::Tip;
use crate::id::{COUNTER_MAX, Dot, ReplicaId};
use crate::limits::REPLICAS_MAX;
use crate::version::VersionVector;

/// One more replica has written than a value keeps apart. Nothing has changed; the data needs
/// fewer writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more than {REPLICAS_MAX} replicas have written to this value")]
pub struct TooManyReplicas;

/// A replica's number within one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaIndex(u16);

impl ReplicaIndex {
    /// Makes the index from a position below [`REPLICAS_MAX`].
    pub(crate) fn new(position: usize) -> Self {
        Self(u16::try_from(position).expect("positions are below REPLICAS_MAX: checked in intern"))
    }

    /// Returns the position in the value's list of replicas.
    pub(crate) const fn position(self) -> usize {
        self.0 as usize
    }
}

/// A dot within one value: the replica's number in the upper 16 bits, the counter in the lower 48.
///
/// Never zero, since counters begin at 1; so whatever holds a dot or else something without content takes eight bytes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LocalDot(NonZeroU64);

impl LocalDot {
    /// Packs a dot. The counter is 1 to [`COUNTER_MAX`]: decoders and writers see to it.
    pub(crate) fn new(replica: ReplicaIndex, counter: u64) -> Self {
        debug_assert!((1..=COUNTER_MAX).contains(&counter), "counters are bounded where they enter");
        let packed = u64::from(replica.0) << 48 | counter;
        Self(NonZeroU64::new(packed).expect("counters begin at 1: checked where they enter"))
    }

    pub(crate) const fn replica(self) -> ReplicaIndex {
        ReplicaIndex((self.0.get() >> 48) as u16)
    }

    pub(crate) const fn counter(self) -> u64 {
        self.0.get() & COUNTER_MAX
    }

    /// Gives the same dot the number that another value has for its replica.
    pub(crate) fn translated(self, numbers: &[ReplicaIndex]) -> Self {
        Self::new(numbers[self.replica().position()], self.counter())
    }
}

/// A version vector with numbered replicas. Cloning is O(1); the first write after it copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    replicas: Arc<Replicas>,
    /// By replica index; as long as `replicas.ids`.
    counters: Arc<Vec<u64>>,
}

#[derive(Clone, Debug, Default)]
struct Replicas {
    ids: Vec<ReplicaId>,
    indices: HashMap<ReplicaId, ReplicaIndex>,
}

impl Context {
    pub(crate) fn index(&self, replica: ReplicaId) -> Option<ReplicaIndex> {
        match &self.replicas.ids[..] {
            // The common small case needs no hashing.
            [only] => (*only == replica).then_some(ReplicaIndex(0)),
            _ => self.replicas.indices.get(&replica).copied(),
        }
    }

    /// As [`index`](Self::index), where the number is likely to be the one that another value has: what was decoded
    /// numbers its replicas alike.
    pub(crate) fn index_like(&self, other: ReplicaIndex, replica: ReplicaId) -> Option<ReplicaIndex> {
        let is_alike = self.replicas.ids.get(other.position()) == Some(&replica);
        if is_alike { Some(other) } else { self.index(replica) }
    }

    /// Returns the replica's number, giving it one if it is new.
    pub(crate) fn intern(&mut self, replica: ReplicaId) -> Result<ReplicaIndex, TooManyReplicas> {
        if let Some(index) = self.index(replica) {
            return Ok(index);
        }
        let position = self.replicas.ids.len();
        if position >= REPLICAS_MAX {
            return Err(TooManyReplicas);
        }
        let index = ReplicaIndex::new(position);
        let replicas = Arc::make_mut(&mut self.replicas);
        replicas.ids.push(replica);
        replicas.indices.insert(replica, index);
        Arc::make_mut(&mut self.counters).push(0);
        Ok(index)
    }

    /// Makes the context in which these replicas, all different, are numbered in this order.
    pub(crate) fn of(tips: &[Tip]) -> Self {
        debug_assert!(tips.len() <= REPLICAS_MAX, "a frontier is bounded where it enters");
        let mut indices = HashMap::with_capacity(tips.len());
        indices.extend(tips.iter().enumerate().map(|(at, tip)| (tip.replica, ReplicaIndex::new(at))));
        let ids = tips.iter().map(|tip| tip.replica).collect();
        let counters = tips.iter().map(|tip| tip.counter).collect();
        Self { replicas: Arc::new(Replicas { ids, indices }), counters: Arc::new(counters) }
    }

    /// Returns the same context with other ids, all different, under the same numbers.
    pub(crate) fn renamed(&self, ids: Vec<ReplicaId>) -> Self {
        debug_assert_eq!(ids.len(), self.len(), "one for each");
        let indices = ids.iter().enumerate().map(|(at, id)| (*id, ReplicaIndex::new(at))).collect();
        Self { replicas: Arc::new(Replicas { ids, indices }), counters: Arc::clone(&self.counters) }
    }

    /// Numbers every replica of `other` here: the table that translates its dots.
    pub(crate) fn intern_all(&mut self, other: &Self) -> Result<Vec<ReplicaIndex>, TooManyReplicas> {
        let known = |(index, id): &(ReplicaIndex, ReplicaId)| self.index_like(*index, *id).is_some();
        let new = other.numbered().filter(|numbered| !known(numbered)).count();
        if self.len() + new > REPLICAS_MAX {
            return Err(TooManyReplicas);
        }
        let number = |(index, id)| self.index_like(index, id).map_or_else(|| self.intern(id), Ok);
        other.numbered().map(number).collect()
    }

    /// Returns how many replicas have a number; some may have a counter of zero.
    pub(crate) fn len(&self) -> usize {
        self.replicas.ids.len()
    }

    /// Returns the ids by number.
    pub(crate) fn ids(&self) -> &[ReplicaId] {
        &self.replicas.ids
    }

    /// Yields the numbers and the ids.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (ReplicaIndex, ReplicaId)> {
        self.ids().iter().enumerate().map(|(position, id)| (ReplicaIndex::new(position), *id))
    }

    pub(crate) fn id(&self, replica: ReplicaIndex) -> ReplicaId {
        self.replicas.ids[replica.position()]
    }

    /// Returns the counters by number.
    pub(crate) fn counters(&self) -> &[u64] {
        &self.counters
    }

    pub(crate) fn counter(&self, replica: ReplicaIndex) -> u64 {
        self.counters[replica.position()]
    }

    pub(crate) fn counter_of(&self, replica: ReplicaId) -> u64 {
        self.index(replica).map_or(0, |index| self.counter(index))
    }

    pub(crate) fn covers(&self, dot: LocalDot) -> bool {
        dot.counter() <= self.counter(dot.replica())
    }

    /// Raises one counter; a lower one changes nothing.
    pub(crate) fn raise(&mut self, replica: ReplicaIndex, counter: u64) {
        if counter > self.counter(replica) {
            Arc::make_mut(&mut self.counters)[replica.position()] = counter;
        }
    }

    /// Numbers the replica of a dot and covers it: what is read of a value comes before its version.
    pub(crate) fn note(&mut self, dot: Dot) -> Result<LocalDot, TooManyReplicas> {
        let index = self.intern(dot.replica)?;
        self.raise(index, dot.counter);
        Ok(LocalDot::new(index, dot.counter))
    }

    /// Covers a whole version, which must cover this one.
    pub(crate) fn rise_to(&mut self, version: &VersionVector) -> Result<(), String> {
        if self.numbered().any(|(index, replica)| self.counter(index) > version.counter(replica)) {
            return Err("a dot is not covered by the version".into());
        }
        for (replica, counter) in version.iter() {
            let index = self.intern(replica).map_err(|error| error.to_string())?;
            self.raise(index, counter);
        }
        Ok(())
    }

    pub(crate) fn dot(&self, dot: LocalDot) -> Dot {
        Dot::new(self.id(dot.replica()), dot.counter())
    }

    /// Returns the local name of a dot whose replica is known here.
    pub(crate) fn local(&self, dot: Dot) -> Option<LocalDot> {
        self.index(dot.replica).map(|index| LocalDot::new(index, dot.counter))
    }

    pub(crate) fn version(&self) -> VersionVector {
        self.replicas.ids.iter().copied().zip(self.counters.iter().copied()).collect()
    }
}
