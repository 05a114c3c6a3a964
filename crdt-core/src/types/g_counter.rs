//! Grow-only counter: a sum of increments that no concurrent increment is lost from.
//!
//! Two replicas add 1 to the same 5; is the result 6 or 7? Each replica keeps a total of its own
//! and raises only that, so the totals add up to 7, and of two totals of one replica the greater is
//! the newer. Deltas carry the new total, not the increment: repeated or reordered, they count once.
//!
//! Source: Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study of convergent and
//! commutative replicated data types" (2011), §3.1.1; deltas as in Almeida, Shoker, Baquero,
//! "Delta state replicated data types" (2018).
//!
//! Deliberately absent: resetting. A counter within a document can be reset exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::totals::{CounterOverflow, Totals};
use crate::id::ReplicaId;

/// A counter that only grows.
///
/// Serialises as a map from replica to total, in replica order. The number of replicas is not
/// limited; each costs 24 bytes.
///
/// ```
/// use crdt_core::{GCounter, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut left = GCounter::new();
/// let mut right = left.clone();
/// let delta = left.increment(a, 2)?;
/// let _ = right.increment(b, 3)?;
/// right.apply(&delta);
/// right.apply(&delta);
/// assert_eq!(right.value(), 5);
/// # Ok::<(), crdt_core::CounterOverflow>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<ReplicaId, u64>", into = "BTreeMap<ReplicaId, u64>")]
pub struct GCounter {
    totals: Totals<1>,
}

/// What one [`GCounter::increment`] changed: the replica's new total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "other copies learn of the change only by its delta"]
pub struct GCounterDelta {
    replica: ReplicaId,
    total: u64,
}

impl GCounter {
    /// Returns a counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { totals: Totals::new() }
    }

    /// Adds to the counter as `replica`. O(log replicas).
    ///
    /// # Errors
    /// [`CounterOverflow`] if the replica's total would pass 2⁶⁴ − 1; nothing has changed.
    pub fn increment(&mut self, replica: ReplicaId, by: u64) -> Result<GCounterDelta, CounterOverflow> {
        let [total] = self.totals.of(replica);
        let total = total.checked_add(by).ok_or(CounterOverflow)?;
        self.totals.raise(replica, [total]);
        Ok(GCounterDelta { replica, total })
    }

    /// Returns the sum of all replicas' totals. O(replicas).
    #[must_use]
    pub fn value(&self) -> u128 {
        self.totals.iter().map(|(_, [total])| u128::from(total)).sum()
    }

    /// Takes in a delta; tells whether it brought anything. Order and repetition do not matter.
    /// O(log replicas), O(replicas) for a new one.
    pub fn apply(&mut self, delta: &GCounterDelta) -> bool {
        self.totals.raise(delta.replica, [delta.total])
    }

    /// Takes in another copy. O(replicas of both).
    pub fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
    }
}

impl Default for GCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl From<BTreeMap<ReplicaId, u64>> for GCounter {
    fn from(totals: BTreeMap<ReplicaId, u64>) -> Self {
        Self { totals: totals.into_iter().map(|(replica, total)| (replica, [total])).collect() }
    }
}

impl From<GCounter> for BTreeMap<ReplicaId, u64> {
    fn from(counter: GCounter) -> Self {
        counter.totals.iter().map(|(replica, [total])| (replica, total)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    #[test]
    fn concurrent_increments_add_up() {
        let (mut left, mut right) = (GCounter::new(), GCounter::new());
        let _ = left.increment(A, 1);
        let _ = right.increment(B, 1);
        left.merge(&right);
        left.merge(&right);
        assert_eq!(left.value(), 2);
    }

    #[test]
    fn deltas_count_once_in_any_order() {
        let mut author = GCounter::new();
        let first = author.increment(A, 5).unwrap();
        let second = author.increment(A, 2).unwrap();
        let mut other = GCounter::new();
        assert!(other.apply(&second));
        assert!(!other.apply(&first));
        assert_eq!(other, author);
    }

    #[test]
    fn an_increment_beyond_the_limit_is_refused_and_the_limit_itself_is_not() {
        let mut counter = GCounter::new();
        let _ = counter.increment(A, u64::MAX).unwrap();
        assert_eq!(counter.increment(A, 1), Err(CounterOverflow));
        let _ = counter.increment(B, u64::MAX).unwrap();
        assert_eq!(counter.value(), 2 * u128::from(u64::MAX));
    }

    #[test]
    fn serialises_as_a_sorted_map_and_zero_totals_vanish() {
        let mut counter = GCounter::new();
        let _ = counter.increment(B, 2);
        let _ = counter.increment(A, 0);
        let json = r#"{"00000000-0000-0000-0000-000000000002":2}"#;
        assert_eq!(serde_json::to_string(&counter).unwrap(), json);
        let zeros = r#"{"00000000-0000-0000-0000-000000000001":0}"#;
        assert_eq!(serde_json::from_str::<GCounter>(zeros).unwrap(), GCounter::new());
    }
}
