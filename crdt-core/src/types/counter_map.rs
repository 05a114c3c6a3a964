//! Counter map: keys with sums that all replicas add to, and that a removal takes back to nothing.
//!
//! One adds 5 under a key while another, who has seen 100 there, removes the key: how do exactly 5 stay? As in a
//! document's counters: a removal does not delete the totals of others, it notes how far they had been seen, and what
//! is counted since lies above.
//!
//! So a key that is removed leaves one small entry for each *other* replica that had counted under it, which readers do
//! not see, until the next write of that replica to the map, under whatever key, takes it out. A replica that never
//! writes again leaves it for good.
//!
//! Source: Baquero, Almeida, Lerche, "The problem with embedded CRDT counters and a solution" (2016); differs in: one
//! entry a replica with a base instead of a fresh entry per exchange, and the owner's clean-up.
//!
//! Deliberately absent: totals beyond `i64`, and floating point.

mod count;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Deserializer, Serialize};
use smallvec::SmallVec;
use thiserror::Error;

use count::Count;

use super::or_map::{Cell, Delta, OrMap};
use super::{DeltaError, WriteError};
use crate::context::{ReplicaIndex, TooManyReplicas};
use crate::id::{Dot, ReplicaId};
use crate::node::{CounterEntry, CounterNode};
use crate::version::VersionVector;

/// A map of counters: concurrent additions add up, a removal takes back what its author has seen. Cloning is O(1).
///
/// Serialises as its version and its keys with their totals, ascending. Up to
/// [`REPLICAS_MAX`](crate::limits::REPLICAS_MAX) replicas may write to it.
///
/// ```
/// use crdt_core::{CounterMap, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut left = CounterMap::new();
/// let mut right = CounterMap::new();
/// right.apply(&left.add(a, "apples", 100)?)?;
/// let removed = right.remove(b, "apples")?.expect("it is there");
/// let more = left.add(a, "apples", 5)?;
/// left.apply(&removed)?;
/// right.apply(&more)?;
/// assert_eq!((left.get("apples"), right.get("apples")), (Some(5), Some(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Serialize)]
#[serde(transparent, bound(serialize = "K: Ord + Serialize"))]
pub struct CounterMap<K> {
    counters: OrMap<K, CounterNode>,
    /// By replica, the keys under which its entry counts nothing and waits for it to take it out. It follows from
    /// `counters`.
    #[serde(skip)]
    resets: OrdMap<ReplicaIndex, OrdSet<K>>,
}

/// What one mutation of a [`CounterMap`] changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "K: Ord + Deserialize<'de>"))]
#[must_use = "other copies learn of the change only by its delta"]
pub struct CounterMapDelta<K>(Delta<K, Count>);

/// Why nothing was added. The map is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CountError {
    /// The replica's own total under the key would leave the range of `i64`. Remove the key, or count under a new id.
    #[error("the replica's own total under the key would leave the range of i64")]
    TotalOverflow,
    /// The replica cannot write.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl<K> CounterMap<K> {
    /// Returns an empty map.
    #[must_use]
    pub fn new() -> Self {
        Self { counters: OrMap::new(), resets: OrdMap::new() }
    }

    /// Returns the number of keys. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Tells whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Yields the keys and their sums, in an order that differs from process to process. O(keys, and those removed that
    /// wait for whoever had counted there).
    pub fn iter(&self) -> impl Iterator<Item = (&K, i128)> {
        self.counters.iter().filter_map(|(key, counter)| Some((key, counter.visible_value()?)))
    }

    /// Returns which transactions have been applied. O(replicas).
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.counters.version()
    }
}

impl<K: Eq + Hash> CounterMap<K> {
    /// Returns the sum under a key, if anything was counted there. O(1).
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<i128>
    where
        K: Borrow<Q>,
    {
        self.counters.get(key)?.1.visible_value()
    }

    /// Tells whether anything was counted under a key. O(1).
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K: Clone + Ord + Hash> CounterMap<K> {
    /// Adds to the sum under a key as `replica`, or takes away from it. Adding 0 makes the key be there. O(1), and O(keys)
    /// under which the replica had counted and others have removed that since its last write.
    ///
    /// # Errors
    /// [`CountError`]; nothing has changed.
    pub fn add(&mut self, replica: ReplicaId, key: K, by: i64) -> Result<CounterMapDelta<K>, CountError> {
        let Self { counters, resets } = self;
        let (dot, local) = counters.next(replica)?;
        let count = counters.edit(&key, |counter, _| {
            Count::add(counter, local, by, |before, after| note(resets, &key, before, after))
        })?;
        counters.raise(local);
        let mut changes = self.take_out_resets(local.replica());
        changes.push((key, count));
        Ok(CounterMapDelta(Delta::new(dot, changes)))
    }

    /// Adds to the sums under several keys as `replica`, in one transaction; `None` if there are none. What comes twice
    /// under one key is added up. O(keys × log keys), and as [`add`](Self::add).
    ///
    /// # Errors
    /// [`CountError`]; nothing has changed.
    pub fn extend(
        &mut self,
        replica: ReplicaId,
        amounts: impl IntoIterator<Item = (K, i64)>,
    ) -> Result<Option<CounterMapDelta<K>>, CountError> {
        let mut sums: BTreeMap<K, i64> = BTreeMap::new();
        for (key, by) in amounts {
            let sum = sums.entry(key).or_default();
            *sum = sum.checked_add(by).ok_or(CountError::TotalOverflow)?;
        }
        if sums.is_empty() {
            return Ok(None);
        }
        // What is refused must be found before anything changes.
        let mut counted = self.clone();
        let mut changes = SmallVec::new();
        let Self { counters, resets } = &mut counted;
        let (dot, local) = counters.next(replica)?;
        for (key, by) in sums {
            let count = counters.edit(&key, |counter, _| {
                Count::add(counter, local, by, |before, after| note(resets, &key, before, after))
            })?;
            changes.push((key, count));
        }
        counters.raise(local);
        changes.extend(counted.take_out_resets(local.replica()));
        *self = counted;
        Ok(Some(CounterMapDelta(Delta::new(dot, changes))))
    }

    /// Removes a key as `replica`, with everything that was counted under it; `None` if it is not there. O(replicas
    /// that count under it), and as [`add`](Self::add).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn remove<Q>(&mut self, replica: ReplicaId, key: &Q) -> Result<Option<CounterMapDelta<K>>, WriteError>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let visible = self.counters.get(key).filter(|(_, counter)| counter.is_visible());
        let Some(key) = visible.map(|(key, _)| key.clone()) else { return Ok(None) };
        self.take_back(replica, vec![key]).map(Some)
    }

    /// Removes all keys as `replica`, in one transaction; `None` if there are none. O(keys × log keys), and as
    /// [`add`](Self::add).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn clear(&mut self, replica: ReplicaId) -> Result<Option<CounterMapDelta<K>>, WriteError> {
        let keys: Vec<K> = self.iter().map(|(key, _)| key.clone()).collect();
        if keys.is_empty() { Ok(None) } else { self.take_back(replica, keys).map(Some) }
    }

    /// Takes in a delta; tells whether it was new. O(entries of the delta).
    ///
    /// # Errors
    /// [`DeltaError`]: it builds on a delta that is missing, or its writer is one too many; nothing has changed.
    pub fn apply(&mut self, delta: &CounterMapDelta<K>) -> Result<bool, DeltaError> {
        let Self { counters, resets } = self;
        counters.apply(&delta.0, |key, before, after| note(resets, key, before, after))
    }

    /// Takes in another copy. O(keys of both) less what the two share since one was cloned from the other.
    ///
    /// # Errors
    /// [`TooManyReplicas`] if more replicas than the limit have written to the two; no key has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        let Self { counters, resets } = self;
        counters.merge(&other.counters, |key, before, after| note(resets, key, before, after))
    }

    /// Takes back everything that was counted under these keys.
    fn take_back(&mut self, replica: ReplicaId, keys: Vec<K>) -> Result<CounterMapDelta<K>, WriteError> {
        let (dot, local) = self.counters.next(replica)?;
        let mut changes = SmallVec::new();
        let Self { counters, resets } = self;
        for key in keys {
            let count = counters.edit(&key, |counter, context| {
                Count::take_back(counter, context, local, |before, after| note(resets, &key, before, after))
            });
            changes.push((key, count));
        }
        self.counters.raise(local);
        changes.extend(self.take_out_resets(local.replica()));
        Ok(CounterMapDelta(Delta::new(dot, changes)))
    }

    /// Takes out the replica's own entries that were reset as a whole.
    fn take_out_resets(&mut self, owner: ReplicaIndex) -> SmallVec<[(K, Count); 1]> {
        let Some(keys) = self.resets.remove(&owner) else { return SmallVec::new() };
        let take_out = |key: K| {
            self.counters.edit(&key, |counter, _| counter.put(owner, None));
            (key, Count::taken_out())
        };
        keys.into_iter().map(take_out).collect()
    }
}

/// Keeps in mind an entry that waits for its owner to take it out, as long as it does.
fn note<K: Clone + Ord>(
    resets: &mut OrdMap<ReplicaIndex, OrdSet<K>>,
    key: &K,
    before: Option<&CounterEntry>,
    after: Option<&CounterEntry>,
) {
    let waits = |entry: &&CounterEntry| !entry.is_live();
    match (before.filter(waits), after.filter(waits)) {
        (None, Some(entry)) => {
            resets.entry(entry.dot.replica()).or_default().insert(key.clone());
        }
        (Some(entry), None) => {
            let owner = entry.dot.replica();
            let Some(keys) = resets.get_mut(&owner) else { return };
            keys.remove(key);
            if keys.is_empty() {
                resets.remove(&owner);
            }
        }
        _ => {}
    }
}

impl<K> CounterMapDelta<K> {
    /// Returns the name of the transaction.
    #[must_use]
    pub fn dot(&self) -> Dot {
        self.0.dot
    }
}

impl<'de, K: Clone + Ord + Hash + Deserialize<'de>> Deserialize<'de> for CounterMap<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counters = OrMap::<K, CounterNode>::deserialize(deserializer)?;
        let mut resets = OrdMap::new();
        for (key, counter) in counters.iter() {
            counter.entries().iter().for_each(|entry| note(&mut resets, key, None, Some(entry)));
        }
        Ok(Self { counters, resets })
    }
}

impl<K> Default for CounterMap<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Same version, same keys, same totals and dots; how replicas are numbered inside does not matter.
impl<K: Eq + Hash> PartialEq for CounterMap<K> {
    fn eq(&self, other: &Self) -> bool {
        self.counters
            .is_same(&other.counters, |(mine, context), (theirs, other)| mine.named(context) == theirs.named(other))
    }
}

impl<K: Eq + Hash> Eq for CounterMap<K> {}

impl<K: fmt::Debug> fmt::Debug for CounterMap<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counters.fmt_as("CounterMap", f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICAS: [ReplicaId; 3] = [ReplicaId::from_u128(1), ReplicaId::from_u128(2), ReplicaId::from_u128(3)];
    const A: ReplicaId = REPLICAS[0];
    const B: ReplicaId = REPLICAS[1];

    type Map = CounterMap<u8>;

    #[test]
    fn what_is_counted_while_another_removes_the_key_stays_exactly() {
        let mut left = Map::new();
        let _ = left.add(A, 7, 100).unwrap();
        let mut right = left.clone();
        let _ = right.remove(B, &7).unwrap().unwrap();
        let _ = left.add(A, 7, 5).unwrap();
        let before = left.clone();
        left.merge(&right).unwrap();
        right.merge(&before).unwrap();
        assert_eq!((left.get(&7), right.get(&7)), (Some(5), Some(5)));
        assert_eq!(left, right);
    }

    #[test]
    fn a_removed_key_leaves_nothing_once_those_who_counted_have_written_again() {
        let mut left = Map::new();
        let mut right = Map::new();
        assert_eq!(right.apply(&left.add(A, 7, 1).unwrap()), Ok(true));
        let removal = right.remove(B, &7).unwrap().unwrap();
        assert!(right.is_empty() && right.get(&7).is_none());
        assert_eq!(right.counters.iter().count(), 1, "until A knows");
        assert_eq!(left.apply(&removal), Ok(true));
        let elsewhere = left.add(A, 8, 1).unwrap();
        assert_eq!(right.apply(&elsewhere), Ok(true));
        assert_eq!(right.remove(B, &8).map(|removed| removed.is_some()), Ok(true));
        assert_eq!(left.counters.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [8]);
        assert!(left.resets.is_empty());
    }

    #[test]
    fn a_new_count_is_out_of_reach_of_a_removal_of_the_old_one() {
        let mut left = Map::new();
        let first = left.add(A, 7, 100).unwrap();
        let mut right = Map::new();
        assert_eq!(right.apply(&first), Ok(true));
        let late = right.remove(B, &7).unwrap().unwrap();
        let own = left.remove(A, &7).unwrap().unwrap();
        let anew = left.add(A, 7, 3).unwrap();
        assert_eq!(left.apply(&late), Ok(true));
        assert_eq!((right.apply(&own), right.apply(&anew)), (Ok(true), Ok(true)));
        assert_eq!((left.get(&7), right.get(&7)), (Some(3), Some(3)));
    }

    #[test]
    fn a_total_out_of_range_is_refused_and_changes_nothing() {
        let mut map = Map::new();
        let _ = map.add(A, 7, i64::MAX).unwrap();
        let before = map.clone();
        assert_eq!(map.add(A, 7, 1), Err(CountError::TotalOverflow));
        assert_eq!(map, before);
        let _ = map.add(B, 7, i64::MAX).unwrap();
        assert_eq!(map.get(&7), Some(2 * i128::from(i64::MAX)));
        let _ = map.add(A, 8, 0).unwrap();
        assert_eq!((map.get(&8), map.len()), (Some(0), 2), "counting nothing makes the key be there");
    }

    #[test]
    fn several_keys_are_counted_in_one_transaction_or_none() {
        let mut map = Map::new();
        let many = map.extend(A, [(2, 5), (1, 1), (2, -2)]).unwrap().unwrap();
        assert_eq!((map.get(&1), map.get(&2), many.dot()), (Some(1), Some(3), Dot::new(A, 1)));
        let before = map.clone();
        for amounts in [[(1, 1), (2, i64::MAX)], [(3, i64::MAX), (3, 1)]] {
            assert_eq!(map.extend(A, amounts), Err(CountError::TotalOverflow));
        }
        assert_eq!((map.extend(A, []), &map, map.version()), (Ok(None), &before, before.version()));
        let mut other = Map::new();
        assert_eq!((other.apply(&many), other == map), (Ok(true), true));
    }

    /// What waits for its owner is kept beside the counters: it must follow from them at any time.
    #[test]
    fn what_waits_for_its_owner_is_known_whatever_happens() {
        let mut random = 1_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let mut waiting = 0;
        for _ in 0..300 {
            let mut maps: [Map; 3] = Default::default();
            let mut log: Vec<CounterMapDelta<u8>> = Vec::new();
            for _ in 0..40 {
                let (at, from, key) = (below(3) as usize, below(3) as usize, below(5) as u8);
                let own = match below(8) {
                    0..=2 => Some(maps[at].add(REPLICAS[at], key, 1).unwrap()),
                    3 | 4 => maps[at].remove(REPLICAS[at], &key).unwrap(),
                    5 => maps[at].clear(REPLICAS[at]).unwrap(),
                    6 => {
                        // One that has to wait changes nothing.
                        let _ = log.iter().filter(|delta| maps[at].apply(delta) == Ok(true)).count();
                        None
                    }
                    _ => {
                        let theirs = maps[from].clone();
                        maps[at].merge(&theirs).unwrap();
                        None
                    }
                };
                let json = serde_json::to_string(&maps[at]).unwrap();
                let read: Map = serde_json::from_str(&json).unwrap();
                let named = |map: &Map| {
                    let keys = map.resets.iter().map(|(owner, keys)| (map.counters.context().id(*owner), keys.clone()));
                    keys.collect::<OrdMap<ReplicaId, OrdSet<u8>>>()
                };
                assert_eq!(named(&read), named(&maps[at]));
                assert!(own.is_none() || !named(&read).contains_key(&REPLICAS[at]), "a writer takes out its own");
                log.extend(own);
                waiting += named(&read).len();
            }
        }
        assert!(waiting > 1_000, "{waiting} times something waited");
    }
}
