//! A sorted map that costs what it holds: one entry in place, a vector while small, a tree when it grows.
//!
//! A delta is a tree of maps of which nearly all have one entry, and a log keeps many deltas: one entry
//! lies in the map itself, so that a small delta is one block of memory. A
//! `BTreeMap` of one entry allocates room for eleven; a vector of any size would make a transaction
//! of many edits quadratic. What is decoded comes in order and rarely changes: a vector of any size
//! until it does.

use std::collections::BTreeMap;
use std::fmt;

use smallvec::SmallVec;

/// Entries up to which the map is a vector.
const FEW_MAX: usize = 16;

/// A map whose entries are iterated in key order. All operations O(log n).
#[derive(Clone)]
pub(crate) struct SortedMap<K, V> {
    entries: Entries<K, V>,
}

#[derive(Clone)]
enum Entries<K, V> {
    /// Sorted by key; at most [`FEW_MAX`], unless they were pushed in order.
    Few(SmallVec<[(K, V); 1]>),
    /// Was larger than [`FEW_MAX`] at some time, and changed.
    Many(BTreeMap<K, V>),
}

impl<K: Ord, V> SortedMap<K, V> {
    pub(crate) fn new() -> Self {
        Self { entries: Entries::Few(SmallVec::new()) }
    }

    /// Returns an empty map with room for `len` entries, to be [pushed](Self::push).
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self { entries: Entries::Few(SmallVec::with_capacity(len)) }
    }

    /// Appends an entry whose key is greater than all others.
    pub(crate) fn push(&mut self, key: K, value: V) {
        debug_assert!(self.last_key().is_none_or(|last| *last < key), "pushed in ascending order");
        match &mut self.entries {
            Entries::Few(entries) => entries.push((key, value)),
            Entries::Many(entries) => drop(entries.insert(key, value)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Few(entries) => entries.len(),
            Entries::Many(entries) => entries.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match &self.entries {
            Entries::Few(entries) => position(entries, key).ok().map(|at| &entries[at].1),
            Entries::Many(entries) => entries.get(key),
        }
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Returns the greatest key.
    pub(crate) fn last_key(&self) -> Option<&K> {
        match &self.entries {
            Entries::Few(entries) => entries.last().map(|(key, _)| key),
            Entries::Many(entries) => entries.last_key_value().map(|(key, _)| key),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.make_room();
        match &mut self.entries {
            Entries::Few(entries) => match position(entries, &key) {
                Ok(at) => Some(std::mem::replace(&mut entries[at].1, value)),
                Err(at) => {
                    entries.insert(at, (key, value));
                    None
                }
            },
            Entries::Many(entries) => entries.insert(key, value),
        }
    }

    /// Returns the value of a key for writing, made if the key is new.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.make_room();
        match &mut self.entries {
            Entries::Few(entries) => {
                let at = position(entries, &key).unwrap_or_else(|at| {
                    entries.insert(at, (key, make()));
                    at
                });
                &mut entries[at].1
            }
            Entries::Many(entries) => entries.entry(key).or_insert_with(make),
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.make_room();
        match &mut self.entries {
            Entries::Few(entries) => position(entries, key).ok().map(|at| entries.remove(at).1),
            Entries::Many(entries) => entries.remove(key),
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        match &mut self.entries {
            Entries::Few(entries) => entries.retain_mut(|(key, value)| keep(key, value)),
            Entries::Many(entries) => entries.retain(keep),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Yields the entries in key order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        let (few, many) = match &self.entries {
            Entries::Few(entries) => (Some(entries), None),
            Entries::Many(entries) => (None, Some(entries)),
        };
        let few = few.into_iter().flatten().map(|(key, value)| (key, value));
        few.chain(many.into_iter().flatten())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Becomes a tree before it would be too large for a vector in which entries come and go.
    fn make_room(&mut self) {
        if let Entries::Few(entries) = &mut self.entries
            && entries.len() >= FEW_MAX
        {
            self.entries = Entries::Many(std::mem::take(entries).into_iter().collect());
        }
    }
}

fn position<K: Ord, V>(entries: &[(K, V)], key: &K) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.cmp(key))
}

impl<K: Ord, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SortedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Ord, V: Eq> Eq for SortedMap<K, V> {}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_tree_on_both_sides_of_the_change() {
        let (mut sorted, mut tree) = (SortedMap::new(), BTreeMap::new());
        let mut key = 1_u32;
        for step in 0..400_u32 {
            key = key * 7 % 101;
            match step % 4 {
                0 => assert_eq!(sorted.remove(&key), tree.remove(&key)),
                1 => *sorted.get_or_insert_with(key, || 0) += step,
                _ => assert_eq!(sorted.insert(key, step), tree.insert(key, step)),
            }
            if step % 4 == 1 {
                *tree.entry(key).or_insert(0) += step;
            }
            assert_eq!(sorted.iter().collect::<Vec<_>>(), tree.iter().collect::<Vec<_>>());
            assert_eq!(sorted.last_key(), tree.keys().next_back());
            assert_eq!((sorted.len(), sorted.get(&key)), (tree.len(), tree.get(&key)));
        }
        assert!(matches!(sorted.entries, Entries::Many(_)));
        sorted.retain(|key, _| key % 50 == 0);
        let mut few = SortedMap::new();
        for (key, value) in sorted.iter() {
            few.insert(*key, *value);
        }
        assert!(matches!(few.entries, Entries::Few(_)));
        assert_eq!(few, sorted, "equal whatever they have been");
    }

    #[test]
    fn what_was_pushed_in_order_is_a_vector_until_it_changes() {
        let mut pushed = SortedMap::with_capacity(100);
        (0..100).for_each(|key| pushed.push(key, key));
        assert!(matches!(&pushed.entries, Entries::Few(entries) if entries.capacity() == 100));
        assert_eq!((pushed.get(&99), pushed.get(&100), pushed.last_key()), (Some(&99), None, Some(&99)));
        let changes: [fn(&mut SortedMap<i32, i32>); 3] = [
            |map| assert_eq!(map.remove(&50), Some(50)),
            |map| assert_eq!(map.insert(-1, 0), None),
            |map| *map.get_or_insert_with(50, || 0) += 1,
        ];
        for change in changes {
            let mut changed = pushed.clone();
            change(&mut changed);
            assert!(matches!(changed.entries, Entries::Many(_)));
            assert!(changed.keys().is_sorted());
            changed.push(100, 100);
            assert_eq!(changed.last_key(), Some(&100));
        }
    }
}
