//! Counter that goes up and down: increments and decrements are totalled apart.
//!
//! Why not one signed total a replica? Of two totals of one replica the newer must be recognised
//! without a clock. Two totals that only grow tell: the greater is the newer.
//!
//! Source: Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study of convergent and
//! commutative replicated data types" (2011), §3.1.3; deltas as in Almeida, Shoker, Baquero,
//! "Delta state replicated data types" (2018).
//!
//! Deliberately absent: resetting (a counter within a document can be reset exactly), and a lower
//! bound: keeping a counter above zero takes coordination.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::totals::{CounterOverflow, Totals};
use crate::id::ReplicaId;

/// A counter that goes up and down.
///
/// Serialises as a map from replica to (incremented, decremented), in replica order. The number of
/// replicas is not limited; each costs 32 bytes.
///
/// ```
/// use crdt_core::{PnCounter, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut left = PnCounter::new();
/// let mut right = left.clone();
/// let _ = left.increment(a, 2)?;
/// let delta = right.decrement(b, 3)?;
/// left.apply(&delta);
/// assert_eq!(left.value(), -1);
/// # Ok::<(), crdt_core::CounterOverflow>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<ReplicaId, (u64, u64)>", into = "BTreeMap<ReplicaId, (u64, u64)>")]
pub struct PnCounter {
    /// Incremented, decremented.
    totals: Totals<2>,
}

/// What one mutation of a [`PnCounter`] changed: the replica's new totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "other copies learn of the change only by its delta"]
pub struct PnCounterDelta {
    replica: ReplicaId,
    incremented: u64,
    decremented: u64,
}

impl PnCounter {
    /// Returns a counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { totals: Totals::new() }
    }

    /// Adds to the counter as `replica`. O(log replicas).
    ///
    /// # Errors
    /// [`CounterOverflow`] if all increments of the replica would pass 2⁶⁴ − 1; nothing has changed.
    pub fn increment(&mut self, replica: ReplicaId, by: u64) -> Result<PnCounterDelta, CounterOverflow> {
        self.advance(replica, [by, 0])
    }

    /// Takes from the counter as `replica`. O(log replicas).
    ///
    /// # Errors
    /// [`CounterOverflow`] if all decrements of the replica would pass 2⁶⁴ − 1; nothing has changed.
    pub fn decrement(&mut self, replica: ReplicaId, by: u64) -> Result<PnCounterDelta, CounterOverflow> {
        self.advance(replica, [0, by])
    }

    /// Returns increments less decrements. O(replicas).
    #[must_use]
    pub fn value(&self) -> i128 {
        self.totals.iter().map(|(_, [up, down])| i128::from(up) - i128::from(down)).sum()
    }

    /// Takes in a delta; tells whether it brought anything. Order and repetition do not matter.
    /// O(log replicas), O(replicas) for a new one.
    pub fn apply(&mut self, delta: &PnCounterDelta) -> bool {
        self.totals.raise(delta.replica, [delta.incremented, delta.decremented])
    }

    /// Takes in another copy. O(replicas of both).
    pub fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
    }

    fn advance(&mut self, replica: ReplicaId, by: [u64; 2]) -> Result<PnCounterDelta, CounterOverflow> {
        let [up, down] = self.totals.of(replica);
        let incremented = up.checked_add(by[0]).ok_or(CounterOverflow)?;
        let decremented = down.checked_add(by[1]).ok_or(CounterOverflow)?;
        self.totals.raise(replica, [incremented, decremented]);
        Ok(PnCounterDelta { replica, incremented, decremented })
    }
}

impl Default for PnCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl From<BTreeMap<ReplicaId, (u64, u64)>> for PnCounter {
    fn from(totals: BTreeMap<ReplicaId, (u64, u64)>) -> Self {
        Self { totals: totals.into_iter().map(|(replica, (up, down))| (replica, [up, down])).collect() }
    }
}

impl From<PnCounter> for BTreeMap<ReplicaId, (u64, u64)> {
    fn from(counter: PnCounter) -> Self {
        counter.totals.iter().map(|(replica, [up, down])| (replica, (up, down))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    #[test]
    fn concurrent_increments_and_decrements_add_up() {
        let (mut left, mut right) = (PnCounter::new(), PnCounter::new());
        let _ = left.increment(A, 10);
        let _ = right.decrement(B, 4);
        right.merge(&left);
        let _ = left.decrement(A, 1);
        left.merge(&right);
        assert_eq!(left.value(), 5);
    }

    #[test]
    fn totals_never_wrap_and_the_sum_of_extremes_is_exact() {
        let mut counter = PnCounter::new();
        let _ = counter.decrement(A, u64::MAX).unwrap();
        assert_eq!(counter.decrement(A, 1), Err(CounterOverflow));
        let _ = counter.increment(A, 1).unwrap();
        let _ = counter.decrement(B, u64::MAX).unwrap();
        assert_eq!(counter.value(), 1 - 2 * i128::from(u64::MAX));
    }

    #[test]
    fn serialisation_comes_back() {
        let mut counter = PnCounter::new();
        let _ = counter.decrement(B, 2);
        let json = serde_json::to_string(&counter).unwrap();
        assert_eq!(json, r#"{"00000000-0000-0000-0000-000000000002":[0,2]}"#);
        assert_eq!(serde_json::from_str::<PnCounter>(&json).unwrap(), counter);
    }
}
