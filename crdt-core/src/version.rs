//! Version vectors: which transactions of which replica have been applied.
//!
//! A version holds one number a replica, the highest counter applied, and every lower one with it:
//! there are no gaps and no exceptions to list. Whatever could leave a gap is refused before it
//! gets here (Invariant 2), so comparing two versions is comparing numbers.
//!
//! Source: Parker et al., "Detection of mutual inconsistency in distributed systems" (1983).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{COUNTER_MAX, Dot, ReplicaId};

/// How two versions relate in causal order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// Both cover the same transactions.
    Equal,
    /// The other covers all of this one, and more.
    Before,
    /// This one covers all of the other, and more.
    After,
    /// Each covers something that the other lacks.
    Concurrent,
}

/// Replica → highest counter applied. A replica that is absent counts as zero.
///
/// Ordered inside, so iteration and serialisation are the same on every machine.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ReplicaId, u64>", into = "BTreeMap<ReplicaId, u64>")]
pub struct VersionVector {
    /// Sorted by replica, one each. Never holds a zero: absent and zero are one state, with one representation.
    counters: Vec<(ReplicaId, u64)>,
}

/// Counters that are raised one by one. Each may have to move all that are behind it, so many would be quadratic.
const FEW: usize = 8;

/// A version names a counter that no transaction can have: zero, or above [`COUNTER_MAX`]. Whoever
/// made it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} names no transaction: counters are 1 to {COUNTER_MAX}")]
pub struct BadCounter(pub Dot);

impl VersionVector {
    /// Returns the version that covers nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { counters: Vec::new() }
    }

    /// Returns the highest counter of `replica` that is covered; 0 if none is.
    #[must_use]
    pub fn counter(&self, replica: ReplicaId) -> u64 {
        self.position(replica).map_or(0, |at| self.counters[at].1)
    }

    /// Returns the dot that the next transaction of `replica` spends; above [`COUNTER_MAX`] if it has
    /// spent its last, so check before writing.
    #[must_use]
    pub fn next(&self, replica: ReplicaId) -> Dot {
        Dot::new(replica, self.counter(replica) + 1)
    }

    /// Tells whether `dot` is covered.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        dot.counter <= self.counter(dot.replica)
    }

    /// Tells whether everything that `other` covers is covered here too. O(replicas of `other` × log n).
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        other.iter().all(|(replica, counter)| counter <= self.counter(replica))
    }

    /// Raises the counter of `replica` to `counter`, at most to [`COUNTER_MAX`]; a lower one changes
    /// nothing. O(replicas) if it is new here: [`extend`](Extend::extend) by many.
    pub fn raise(&mut self, replica: ReplicaId, counter: u64) {
        let counter = counter.min(COUNTER_MAX);
        match self.position(replica) {
            Ok(at) => self.counters[at].1 = self.counters[at].1.max(counter),
            Err(at) if counter > 0 => self.counters.insert(at, (replica, counter)),
            Err(_) => {}
        }
    }

    /// Takes in everything that `other` covers: the maximum per replica. O(replicas of both).
    pub fn merge(&mut self, other: &Self) {
        let mut merged = Vec::with_capacity(self.len().max(other.len()));
        let mut ours = self.counters.iter().copied().peekable();
        for (replica, counter) in other.iter() {
            merged.extend(std::iter::from_fn(|| ours.next_if(|(our, _)| *our < replica)));
            let mine = ours.next_if(|(our, _)| *our == replica).map_or(0, |(_, mine)| mine);
            merged.push((replica, counter.max(mine)));
        }
        merged.extend(ours);
        self.counters = merged;
    }

    /// Tells how this version relates to `other` in causal order.
    ///
    /// ```
    /// use crdt_core::{Causality, ReplicaId, VersionVector};
    ///
    /// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
    /// let left = VersionVector::from_iter([(a, 2), (b, 1)]);
    /// let right = VersionVector::from_iter([(a, 1), (b, 3)]);
    /// assert_eq!(left.causality(&right), Causality::Concurrent);
    /// assert_eq!(left.causality(&VersionVector::new()), Causality::After);
    /// ```
    #[must_use]
    pub fn causality(&self, other: &Self) -> Causality {
        match (self.covers_all(other), other.covers_all(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (false, false) => Causality::Concurrent,
        }
    }

    /// Tells whether each of the two covers something that the other lacks.
    #[must_use]
    pub fn is_concurrent(&self, other: &Self) -> bool {
        self.causality(other) == Causality::Concurrent
    }

    /// Yields what is covered here and not by `other`: (replica, after, through), meaning the
    /// counters `after + 1 ..= through`, in replica order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (ReplicaId, u64, u64)> + 'a {
        self.iter()
            .map(|(replica, through)| (replica, other.counter(replica), through))
            .filter(|(_, after, through)| through > after)
    }

    /// Yields (replica, counter) in replica order; counters are at least 1.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ReplicaId, u64)> + '_ {
        self.counters.iter().copied()
    }

    /// Returns how many replicas have written something that is covered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Tells whether nothing is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// Returns the number of transactions covered, over all replicas.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.iter().map(|(_, counter)| u128::from(counter)).sum()
    }

    fn position(&self, replica: ReplicaId) -> Result<usize, usize> {
        self.counters.binary_search_by_key(&replica, |(replica, _)| *replica)
    }
}

impl FromIterator<(ReplicaId, u64)> for VersionVector {
    /// Takes the highest counter of each replica. O(n log n).
    fn from_iter<I: IntoIterator<Item = (ReplicaId, u64)>>(counters: I) -> Self {
        let counters = counters.into_iter().map(|(replica, counter)| (replica, counter.min(COUNTER_MAX)));
        let mut counters: Vec<_> = counters.filter(|(_, counter)| *counter > 0).collect();
        counters.sort_unstable_by_key(|(replica, counter)| (*replica, Reverse(*counter)));
        counters.dedup_by_key(|(replica, _)| *replica);
        Self { counters }
    }
}

impl Extend<(ReplicaId, u64)> for VersionVector {
    /// Raises each counter: a few one by one, many at once. O(replicas + n log n).
    fn extend<I: IntoIterator<Item = (ReplicaId, u64)>>(&mut self, counters: I) {
        let counters = counters.into_iter();
        match counters.size_hint() {
            (_, Some(..=FEW)) => counters.for_each(|(replica, counter)| self.raise(replica, counter)),
            _ => self.merge(&counters.collect()),
        }
    }
}

impl TryFrom<BTreeMap<ReplicaId, u64>> for VersionVector {
    type Error = BadCounter;

    fn try_from(counters: BTreeMap<ReplicaId, u64>) -> Result<Self, BadCounter> {
        let bad = counters.iter().find(|(_, counter)| !(1..=COUNTER_MAX).contains(*counter));
        match bad {
            Some((replica, counter)) => Err(BadCounter(Dot::new(*replica, *counter))),
            None => Ok(Self { counters: counters.into_iter().collect() }),
        }
    }
}

impl From<VersionVector> for BTreeMap<ReplicaId, u64> {
    fn from(version: VersionVector) -> Self {
        version.counters.into_iter().collect()
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    #[test]
    fn zero_and_absent_are_one_state() {
        assert_eq!(VersionVector::from_iter([(A, 0)]), VersionVector::new());
    }

    #[test]
    fn however_it_came_about_the_same_version_is_equal() {
        let both = VersionVector::from_iter([(B, 2), (A, 1), (B, 3), (A, COUNTER_MAX + 1)]);
        assert_eq!(both.iter().collect::<Vec<_>>(), [(A, COUNTER_MAX), (B, 3)]);
        let mut raised = VersionVector::new();
        [(B, 3), (A, 0), (A, u64::MAX), (B, 2)]
            .into_iter()
            .for_each(|(replica, counter)| raised.raise(replica, counter));
        assert_eq!(raised, both);
        for n in [1, FEW as u64, FEW as u64 + 1, 100] {
            let every = |step: u64| (0..n).map(move |id| (ReplicaId::from_u128(u128::from(id * step)), id % 7));
            let (mut extended, mut raised) = (VersionVector::from_iter(every(3)), VersionVector::from_iter(every(3)));
            extended.extend(every(2));
            every(2).for_each(|(replica, counter)| raised.raise(replica, counter));
            assert_eq!(extended, raised);
        }
        let (a, b) = (VersionVector::from_iter([(A, 2)]), VersionVector::from_iter([(A, 1), (B, 3)]));
        let merged = |mut left: VersionVector, right| {
            left.merge(right);
            left.iter().collect::<Vec<_>>()
        };
        assert_eq!(merged(a.clone(), &b), [(A, 2), (B, 3)]);
        assert_eq!(merged(b.clone(), &a), [(A, 2), (B, 3)]);
    }

    #[test]
    fn causality_distinguishes_all_four_cases() {
        let none = VersionVector::new();
        let a = VersionVector::from_iter([(A, 1)]);
        let b = VersionVector::from_iter([(B, 1)]);
        assert_eq!(a.causality(&a), Causality::Equal);
        assert_eq!(none.causality(&a), Causality::Before);
        assert_eq!(a.causality(&none), Causality::After);
        assert!(a.is_concurrent(&b));
    }

    #[test]
    fn a_counter_that_names_nothing_is_refused_where_it_is_read() {
        let json = |counter: u64| format!("{{\"{A}\":{counter}}}");
        let read = |counter| serde_json::from_str::<VersionVector>(&json(counter));
        assert_eq!(read(COUNTER_MAX).unwrap().counter(A), COUNTER_MAX);
        assert!(read(COUNTER_MAX + 1).is_err());
        assert!(read(0).is_err());
    }

    #[test]
    fn difference_lists_the_ranges_that_the_other_lacks() {
        let newer = VersionVector::from_iter([(A, 5), (B, 2)]);
        let older = VersionVector::from_iter([(A, 3), (B, 2)]);
        assert_eq!(newer.difference(&older).collect::<Vec<_>>(), [(A, 3, 5)]);
    }
}
