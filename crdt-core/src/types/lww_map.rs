//! Last-writer-wins map: keys with values, and of concurrent writes of one key readers get the later.
//!
//! What if clocks are wrong? A write replaces every value that its author had seen, whatever the stamps say; they decide
//! only between values written concurrently, and the losing ones stay readable until the next write
//! ([`conflicts`](LwwMap::conflicts)).
//!
//! What if one removes a key while another writes it? The removal takes out the values that its author had seen, so the
//! write survives alone.
//!
//! Source: Almeida, Shoker, Baquero, "Delta state replicated data types" (2018), §7.3, over registers as in §7.2;
//! differs in: stamps among the values of a key.
//!
//! Deliberately absent: reading any clock, and maps in maps, which are a [`Document`](crate::Document).

mod write;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use write::{Write, named};

use super::or_map::{Delta, OrMap};
use super::{DeltaError, WriteError};
use crate::clock::Stamp;
use crate::context::{LocalDot, TooManyReplicas};
use crate::id::{Dot, ReplicaId};
use crate::node::{RegisterEntry, RegisterNode};
use crate::read::{Conflict, conflicts};
use crate::version::VersionVector;

/// A map in which the last write of a key wins. Cloning is O(1).
///
/// Serialises as its version and its keys with their values, ascending. Up to
/// [`REPLICAS_MAX`](crate::limits::REPLICAS_MAX) replicas may write to it.
///
/// ```
/// use crdt_core::{HybridClock, LwwMap, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut clock = HybridClock::new();
/// let mut left = LwwMap::new();
/// let mut right = LwwMap::new();
/// right.apply(&left.insert(a, clock.stamp(1), "colour", "red")?)?;
/// let blue = left.insert(a, clock.stamp(2), "colour", "blue")?;
/// let removed = right.remove(b, "colour")?.expect("it is there");
/// left.apply(&removed)?;
/// right.apply(&blue)?;
/// assert_eq!((left.get("colour"), right.get("colour")), (Some(&"blue"), Some(&"blue")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    transparent,
    bound(
        serialize = "K: Ord + Serialize, T: Clone + Serialize",
        deserialize = "K: Clone + Ord + Hash + Deserialize<'de>, T: Clone + Deserialize<'de>"
    )
)]
pub struct LwwMap<K, T> {
    registers: OrMap<K, RegisterNode<T>>,
}

/// What one mutation of an [`LwwMap`] changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "K: Ord + Deserialize<'de>, T: Deserialize<'de>"))]
#[must_use = "other copies learn of the change only by its delta"]
pub struct LwwMapDelta<K, T>(Delta<K, Write<T>>);

impl<K, T> LwwMap<K, T> {
    /// Returns an empty map.
    #[must_use]
    pub fn new() -> Self {
        Self { registers: OrMap::new() }
    }

    /// Returns the number of keys. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.registers.len()
    }

    /// Tells whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Yields the keys and the values that won, in an order that differs from process to process.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.registers.iter().filter_map(|(key, register)| Some((key, &self.winner(register)?.value)))
    }

    /// Returns which transactions have been applied. O(replicas).
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.registers.version()
    }

    fn winner<'a>(&self, register: &'a RegisterNode<T>) -> Option<&'a RegisterEntry<T>> {
        register.winner(self.registers.context())
    }
}

impl<K: Eq + Hash, T> LwwMap<K, T> {
    /// Returns the value of a key: of several, the one that won. O(1).
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        Some(&self.winner(self.registers.get(key)?.1)?.value)
    }

    /// Tells whether the key has a value. O(1).
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.registers.get(key).is_some()
    }

    /// Returns all values of a key that stand side by side, the one that won first. One means no conflict; the next write
    /// of the key replaces them all.
    #[must_use]
    pub fn conflicts<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Vec<Conflict<'_, T>>
    where
        K: Borrow<Q>,
    {
        let register = self.registers.get(key).map(|(_, register)| register);
        register.map(|register| conflicts(register, self.registers.context())).unwrap_or_default()
    }

    /// Tells whether concurrent values of a key stand side by side. O(1).
    #[must_use]
    pub fn is_conflicted<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.registers.get(key).is_some_and(|(_, register)| register.entries.len() > 1)
    }

    /// Returns the stamp and the writer of a key's value, for a clock to [`observe`](crate::HybridClock::observe).
    #[must_use]
    pub fn last_write<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<(Stamp, ReplicaId)>
    where
        K: Borrow<Q>,
    {
        let winner = self.winner(self.registers.get(key)?.1)?;
        Some((winner.stamp, self.registers.context().dot(winner.dot).replica))
    }
}

impl<K: Clone + Eq + Hash, T: Clone> LwwMap<K, T> {
    /// Writes the value of a key as `replica`, in place of all values that are here. O(1).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn insert(
        &mut self,
        replica: ReplicaId,
        stamp: Stamp,
        key: K,
        value: T,
    ) -> Result<LwwMapDelta<K, T>, WriteError> {
        let (dot, local) = self.registers.next(replica)?;
        let write = self.put(&key, local, stamp, value);
        self.registers.raise(local);
        Ok(LwwMapDelta(Delta { dot, changes: SmallVec::from_buf([(key, write)]) }))
    }

    /// Removes a key as `replica`, with all its values; `None` if it is not there. O(1).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn remove<Q>(&mut self, replica: ReplicaId, key: &Q) -> Result<Option<LwwMapDelta<K, T>>, WriteError>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(key) = self.registers.get(key).map(|(key, _)| key.clone()) else { return Ok(None) };
        let (dot, local) = self.registers.next(replica)?;
        let write = self.take_out(&key);
        self.registers.raise(local);
        Ok(Some(LwwMapDelta(Delta { dot, changes: SmallVec::from_buf([(key, write)]) })))
    }

    /// Takes in a delta; tells whether it was new. O(entries of the delta).
    ///
    /// # Errors
    /// [`DeltaError`]: it builds on a delta that is missing, or its writer is one too many; nothing has changed.
    pub fn apply(&mut self, delta: &LwwMapDelta<K, T>) -> Result<bool, DeltaError> {
        self.registers.apply(&delta.0, |_, _, _| {})
    }

    /// Takes in another copy. O(keys of both) less what the two share since one was cloned from the other.
    ///
    /// # Errors
    /// [`TooManyReplicas`] if more replicas than the limit have written to the two; no key has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        self.registers.merge(&other.registers, |_, _, _| {})
    }

    /// Puts one value in the place of all, and tells what that changed.
    fn put(&mut self, key: &K, dot: LocalDot, stamp: Stamp, value: T) -> Write<T> {
        let written = Some((stamp, value.clone()));
        let superseded = self.registers.edit(key, |register, context| {
            let superseded = named(register, context);
            register.entries = SmallVec::from_buf([RegisterEntry { dot, stamp, value }]);
            superseded
        });
        Write { written, superseded }
    }

    /// Takes out all values of a key, and tells what that changed.
    fn take_out(&mut self, key: &K) -> Write<T> {
        let superseded = self.registers.edit(key, |register, context| {
            let superseded = named(register, context);
            register.entries.clear();
            superseded
        });
        Write { written: None, superseded }
    }
}

impl<K: Clone + Ord + Hash, T: Clone> LwwMap<K, T> {
    /// Writes the values of several keys as `replica`, in one transaction; of a key that comes twice, the last. `None`
    /// if there are none. O(keys × log keys).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn extend(
        &mut self,
        replica: ReplicaId,
        stamp: Stamp,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<Option<LwwMapDelta<K, T>>, WriteError> {
        let entries: BTreeMap<K, T> = entries.into_iter().collect();
        if entries.is_empty() {
            return Ok(None);
        }
        let (dot, local) = self.registers.next(replica)?;
        let put = |(key, value)| {
            let write = self.put(&key, local, stamp, value);
            (key, write)
        };
        let changes = entries.into_iter().map(put).collect();
        self.registers.raise(local);
        Ok(Some(LwwMapDelta(Delta { dot, changes })))
    }

    /// Removes all keys that are here, as `replica`, in one transaction; `None` if there are none.
    /// O(keys × log keys).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn clear(&mut self, replica: ReplicaId) -> Result<Option<LwwMapDelta<K, T>>, WriteError> {
        let mut keys: Vec<K> = self.registers.iter().map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        keys.sort_unstable();
        let (dot, local) = self.registers.next(replica)?;
        let take_out = |key| {
            let write = self.take_out(&key);
            (key, write)
        };
        let changes = keys.into_iter().map(take_out).collect();
        self.registers.raise(local);
        Ok(Some(LwwMapDelta(Delta { dot, changes })))
    }
}

impl<K, T> LwwMapDelta<K, T> {
    /// Returns the name of the transaction.
    #[must_use]
    pub fn dot(&self) -> Dot {
        self.0.dot
    }

    /// Returns the stamp of what was written, for a clock to [`observe`](crate::HybridClock::observe); `None` if the
    /// transaction only removed.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.0.changes.iter().filter_map(|(_, write)| write.written.as_ref()).map(|(stamp, _)| *stamp).max()
    }
}

impl<K, T> Default for LwwMap<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Same version, same keys, same values and dots; how replicas are numbered inside does not matter.
impl<K: Eq + Hash, T: PartialEq> PartialEq for LwwMap<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.registers.is_same(&other.registers, |(mine, context), (theirs, other)| {
            let (mine, theirs) = (mine.ranked(context), theirs.ranked(other));
            let is_same = |(mine, theirs): (&&RegisterEntry<T>, &&RegisterEntry<T>)| {
                (mine.stamp, context.dot(mine.dot)) == (theirs.stamp, other.dot(theirs.dot))
                    && mine.value == theirs.value
            };
            mine.len() == theirs.len() && mine.iter().zip(&theirs).all(is_same)
        })
    }
}

impl<K: Eq + Hash, T: Eq> Eq for LwwMap<K, T> {}

impl<K: fmt::Debug, T: Clone + fmt::Debug> fmt::Debug for LwwMap<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registers.fmt_as("LwwMap", f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);
    const C: ReplicaId = ReplicaId::from_u128(3);

    type Map = LwwMap<u8, char>;

    fn stamp(number: u64) -> Stamp {
        Stamp::from_u64(number)
    }

    fn values(map: &Map, key: u8) -> Vec<char> {
        let values: Vec<char> = map.conflicts(&key).iter().map(|conflict| *conflict.value).collect();
        assert_eq!(map.is_conflicted(&key), values.len() > 1);
        values
    }

    #[test]
    fn the_losing_value_stays_readable_until_a_write_that_saw_both() {
        let (mut left, mut right) = (Map::new(), Map::new());
        let early = left.insert(A, stamp(1), 7, 'e').unwrap();
        let late = right.insert(B, stamp(2), 7, 'l').unwrap();
        assert_eq!((left.apply(&late), right.apply(&early)), (Ok(true), Ok(true)));
        assert_eq!((values(&left, 7), values(&right, 7)), (vec!['l', 'e'], vec!['l', 'e']));
        assert_eq!((left.len(), left.last_write(&7)), (1, Some((stamp(2), B))));
        let both = left.insert(A, stamp(0), 7, 'b').unwrap();
        assert_eq!(right.apply(&both), Ok(true));
        assert_eq!((values(&left, 7), values(&right, 7)), (vec!['b'], vec!['b']));
        assert_eq!(left, right);
    }

    #[test]
    fn equal_stamps_have_the_same_winner_everywhere() {
        let (mut left, mut right) = (Map::new(), Map::new());
        let _ = left.insert(A, stamp(5), 7, 'a').unwrap();
        let _ = right.insert(B, stamp(5), 7, 'b').unwrap();
        let before = left.clone();
        left.merge(&right).unwrap();
        right.merge(&before).unwrap();
        assert_eq!((left.get(&7), right.get(&7)), (Some(&'b'), Some(&'b')));
    }

    #[test]
    fn a_removal_takes_out_the_values_it_saw_and_no_other() {
        let mut maps = [Map::new(), Map::new(), Map::new()];
        let first = maps[0].insert(A, stamp(1), 7, 'a').unwrap();
        let second = maps[1].insert(B, stamp(2), 7, 'b').unwrap();
        assert_eq!(maps[2].apply(&first), Ok(true));
        let removal = maps[2].remove(C, &7).unwrap().unwrap();
        assert_eq!((removal.dot(), removal.stamp()), (Dot::new(C, 1), None));
        // The winner goes where only it was seen, and the other value is what readers get.
        assert_eq!(maps[0].apply(&second), Ok(true));
        assert_eq!(maps[0].apply(&removal), Ok(true));
        assert_eq!(values(&maps[0], 7), ['b']);
        assert_eq!(maps[1].apply(&removal), Err(DeltaError::Gap { missing: Dot::new(A, 1) }));
        assert_eq!(maps[1].apply(&first), Ok(true));
        assert_eq!(maps[1].apply(&removal), Ok(true));
        assert_eq!(maps[1], maps[0]);
        assert_eq!(maps[2].remove(C, &7), Ok(None));
    }

    #[test]
    fn several_keys_are_written_and_removed_in_one_transaction() {
        let mut map = Map::new();
        let written = map.extend(A, stamp(1), [(2, 'x'), (1, 'y'), (2, 'z')]).unwrap().unwrap();
        assert_eq!((map.get(&1), map.get(&2), map.len()), (Some(&'y'), Some(&'z'), 2));
        assert_eq!((written.dot(), written.stamp()), (Dot::new(A, 1), Some(stamp(1))));
        let snapshot = map.clone();
        let cleared = map.clear(A).unwrap().unwrap();
        assert!(map.is_empty() && !map.contains_key(&1));
        assert_eq!((map.clear(A), map.extend(A, stamp(2), [])), (Ok(None), Ok(None)));
        let mut other = Map::new();
        assert_eq!((other.apply(&written), other == snapshot), (Ok(true), true));
        assert_eq!((other.apply(&cleared), other == map), (Ok(true), true));
        assert_eq!(snapshot.iter().count(), 2, "a clone does not see what comes later");
    }
    /// Found by a review: deltas are checked for what they name, and the second write names nothing of the first.
    #[test]
    fn a_write_replaces_its_authors_last_one_even_where_the_removal_between_them_is_missing() {
        let (mut author, mut remover, mut reader) = (Map::new(), Map::new(), Map::new());
        let first = author.insert(A, stamp(9), 7, 'x').unwrap();
        assert_eq!(remover.apply(&first), Ok(true));
        let removal = remover.remove(B, &7).unwrap().unwrap();
        assert_eq!(author.apply(&removal), Ok(true));
        let second = author.insert(A, stamp(5), 7, 'y').unwrap();
        assert_eq!((reader.apply(&first), reader.apply(&second)), (Ok(true), Ok(true)));
        assert_eq!(values(&reader, 7), ['y']);
        assert_eq!((reader.apply(&removal), reader == author), (Ok(true), true));
    }

    #[test]
    fn a_refused_delta_of_several_keys_changes_none() {
        let mut author = Map::new();
        let first = author.insert(A, stamp(1), 8, 'x').unwrap();
        let mut other = Map::new();
        let _ = other.insert(B, stamp(1), 7, 'b').unwrap();
        assert_eq!(
            author.apply(&other.insert(B, stamp(2), 9, 'b').unwrap()),
            Err(DeltaError::Gap { missing: Dot::new(B, 1) })
        );
        let both = author.extend(A, stamp(2), [(7, 'y'), (8, 'z')]).unwrap().unwrap();
        let before = other.clone();
        assert_eq!(other.apply(&both), Err(DeltaError::Gap { missing: Dot::new(A, 1) }));
        assert_eq!((&other, other.version()), (&before, before.version()));
        assert_eq!((other.apply(&first), other.apply(&both)), (Ok(true), Ok(true)));
        assert_eq!(values(&other, 7), ['y', 'b']);
    }
}
