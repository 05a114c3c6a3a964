//! Hash table of entries, shared copy-on-write: what a document keeps its data in.
//!
//! How can a snapshot cost nothing and a write still run at the speed of a plain hash table?
//! A persistent tree pays on every access (4–8 times a hash table); one flat table has to be copied
//! whole. So entries are spread by hash over many small sorted arrays, the *shards*, each behind
//! an `Arc`; a clone shares them all, and a write under a live clone copies the one shard it touches.
//! The directory of shards is a persistent vector, so cloning it is O(1) too. Up to
//! [`SINGLE_MAX`] entries are one shard without a directory, and an empty table allocates nothing.
//!
//! Every table of the process spreads by the same hash, so two tables merge shard against shard,
//! in one pass over memory (see [`merge`]), and a shard that both share is skipped unread. The hash is
//! seeded once a process from the system's entropy, against keys chosen to collide. Iteration
//! order depends on it: *whatever reaches bytes or messages must be sorted by the caller*.
//!
//! The number of shards grows and shrinks by one at a time, so no insert divides the whole table.
//!
//! Source: Litwin, "Linear hashing: a new tool for file and table addressing" (1980); differs in:
//! a bucket is sorted by hash, and shared.

mod build;
mod meeting;
mod merge;
mod shard;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem;
use std::sync::{Arc, LazyLock};

use hashbrown::{DefaultHashBuilder, DefaultHasher};
use imbl::Vector;

use shard::Shard;

pub(crate) use build::Builder;
pub(crate) use merge::{Fuse, Outcome};

/// Entries a shard, on average, above which one more shard is split off.
const LOAD: usize = 80;

/// Entries that stay in one shard without a directory.
const SINGLE_MAX: usize = 120;

/// 2⁶⁴ divided by the golden ratio: as a factor it spreads low bits over all higher ones.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hasher of every table of this process, ready to take a key.
static SEEDED: LazyLock<DefaultHasher> = LazyLock::new(|| {
    // By itself it is seeded by addresses only; the system's entropy goes on top.
    let entropy = RandomState::new();
    let mut hasher = DefaultHashBuilder::default().build_hasher();
    hasher.write_u128((u128::from(entropy.hash_one(0)) << 64) | u128::from(entropy.hash_one(1)));
    hasher
});

/// A hash map whose clones share what they have in common. Cloning is O(1).
pub(crate) struct Table<K, V> {
    shards: Shards<K, V>,
}

/// The part of a key's hash that places it: the lowest bits choose the shard, all of them the order within.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spread(u32);

enum Shards<K, V> {
    /// No entries, no memory.
    Empty,
    One(Arc<Shard<K, V>>),
    /// Boxed, because documents hold many tables and nearly all of them are small.
    Many(Box<Directory<K, V>>),
}

struct Directory<K, V> {
    /// The entries in all shards.
    len: usize,
    /// At least two.
    shards: Vector<Arc<Shard<K, V>>>,
}

impl<K, V> Table<K, V> {
    /// Returns an empty table. Allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { shards: Shards::Empty }
    }

    /// Returns the number of entries. O(1).
    pub(crate) fn len(&self) -> usize {
        match &self.shards {
            Shards::Empty => 0,
            Shards::One(shard) => shard.len(),
            Shards::Many(directory) => directory.len,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Yields all entries, in an order that differs from process to process.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (one, many) = match &self.shards {
            Shards::Empty => (None, None),
            Shards::One(shard) => (Some(shard), None),
            Shards::Many(directory) => (None, Some(directory.shards.iter())),
        };
        let shards = one.into_iter().chain(many.into_iter().flatten());
        shards.flat_map(|shard| shard.entries()).map(|(key, value)| (key, value))
    }

    /// Returns how many shards there are; an empty table counts as one empty shard.
    fn shard_count(&self) -> usize {
        match &self.shards {
            Shards::Empty | Shards::One(_) => 1,
            Shards::Many(directory) => directory.shards.len(),
        }
    }

    fn find<Q>(&self, spread: Spread, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let shard = match &self.shards {
            Shards::Empty => return None,
            Shards::One(shard) => shard,
            Shards::Many(directory) => &directory.shards[spread.shard(directory.shards.len())],
        };
        let position = shard.position(spread, key).ok()?;
        Some(&shard.entries()[position])
    }

    /// Returns the shard for `spread`, to be written, and where entries in a directory are counted.
    fn shard_mut(&mut self, spread: Spread) -> (&mut Arc<Shard<K, V>>, Option<&mut usize>) {
        if let Shards::Empty = self.shards {
            self.shards = Shards::One(Arc::new(Shard::new()));
        }
        match &mut self.shards {
            Shards::Empty => unreachable!("just filled"),
            Shards::One(shard) => (shard, None),
            Shards::Many(directory) => {
                let index = spread.shard(directory.shards.len());
                (&mut directory.shards[index], Some(&mut directory.len))
            }
        }
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// Returns the value of `key`. O(1).
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// Returns the key as it is stored, and its value. O(1).
    pub(crate) fn get_key_value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        if self.is_empty() {
            return None;
        }
        self.find(Spread::of(key), key).map(|(key, value)| (key, value))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    /// Returns the value of `key` for writing, made if the key is new. O(1); may copy or split a
    /// shard.
    pub(crate) fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let spread = Spread::of(key);
        self.make_room();
        let (shard, len) = self.shard_mut(spread);
        let shard = Arc::make_mut(shard);
        let position = shard.position(spread, key).unwrap_or_else(|position| {
            shard.insert(position, spread, key.clone(), make());
            if let Some(len) = len {
                *len += 1;
            }
            position
        });
        shard.entry_mut(position).1
    }

    /// Sets the value of `key` and returns the one before. O(1); may copy or split a shard.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.insert_hashed(Spread::of(&key), key, value)
    }

    /// Removes `key` and returns its value. O(1); may copy a shard or unite two.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Removes `key` and returns the key as it was stored, and its value. O(1); may copy a shard
    /// or unite two.
    pub(crate) fn remove_entry<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        if self.is_empty() {
            return None;
        }
        let spread = Spread::of(key);
        let (shard, len) = self.shard_mut(spread);
        let position = shard.position(spread, key).ok()?;
        let removed = Arc::make_mut(shard).remove(position);
        if let Some(len) = len {
            *len -= 1;
        }
        self.give_back();
        Some(removed)
    }

    /// Decides about one entry having seen its value; copies no shard on [`Outcome::Keep`]. O(1),
    /// with one hash and one search.
    pub(crate) fn alter(&mut self, key: &K, decide: impl FnOnce(Option<&V>) -> Outcome<V>) {
        let spread = Spread::of(key);
        let (shard, len) = self.shard_mut(spread);
        let position = shard.position(spread, key);
        let before = position.ok().map(|position| &shard.entries()[position].1);
        match (decide(before), position) {
            (Outcome::Keep, _) | (Outcome::Drop, Err(_)) => {}
            (Outcome::Put(value), Ok(position)) => *Arc::make_mut(shard).entry_mut(position).1 = value,
            (Outcome::Put(value), Err(position)) => {
                Arc::make_mut(shard).insert(position, spread, key.clone(), value);
                if let Some(len) = len {
                    *len += 1;
                }
                return self.make_room();
            }
            (Outcome::Drop, Ok(position)) => {
                Arc::make_mut(shard).remove(position);
                if let Some(len) = len {
                    *len -= 1;
                }
            }
        }
        self.give_back();
    }

    fn insert_hashed(&mut self, spread: Spread, key: K, value: V) -> Option<V> {
        self.make_room();
        let (shard, len) = self.shard_mut(spread);
        let shard = Arc::make_mut(shard);
        match shard.position(spread, &key) {
            Ok(position) => Some(mem::replace(shard.entry_mut(position).1, value)),
            Err(position) => {
                shard.insert(position, spread, key, value);
                if let Some(len) = len {
                    *len += 1;
                }
                None
            }
        }
    }

    /// Splits a shard if one more entry would be too many for the shards there are; two, as a merge may have left
    /// half as many shards as there should be.
    fn make_room(&mut self) {
        for _ in 0..2 {
            if self.is_crowded(self.len() + 1) {
                self.split();
            }
        }
    }

    /// Tells whether `len` entries are too many for the shards there are.
    fn is_crowded(&self, len: usize) -> bool {
        match &self.shards {
            Shards::Empty => false,
            Shards::One(_) => len > SINGLE_MAX,
            Shards::Many(directory) => len > directory.shards.len() * LOAD,
        }
    }

    /// Makes one more shard out of the one whose turn it is.
    fn split(&mut self) {
        if let Shards::Many(directory) = &mut self.shards {
            return directory.split();
        }
        let only = match mem::replace(&mut self.shards, Shards::Empty) {
            Shards::One(only) => only,
            _ => Arc::new(Shard::new()),
        };
        let mut directory = Directory { len: only.len(), shards: Vector::unit(only) };
        directory.split();
        self.shards = Shards::Many(Box::new(directory));
    }

    /// Gives memory back after removals: unites shards while they are half empty.
    fn give_back(&mut self) {
        while let Shards::Many(directory) = &mut self.shards
            && directory.len <= directory.shards.len() * LOAD / 2
        {
            directory.unite();
            if directory.shards.len() == 1
                && let Some(only) = directory.shards.pop_back()
            {
                self.shards = Shards::One(only);
            }
        }
        if self.is_empty() {
            self.shards = Shards::Empty;
        }
    }
}

impl<K: Clone, V: Clone> Directory<K, V> {
    /// Adds a shard and moves to it the entries of its parent that belong there now.
    fn split(&mut self) {
        let index = self.shards.len();
        let parent = &mut self.shards[parent_of(index)];
        let new = if parent.is_empty() {
            Shard::new()
        } else {
            Arc::make_mut(parent).split_off(|spread| spread.shard(index + 1) == index)
        };
        self.shards.push_back(Arc::new(new));
    }

    /// Takes the last shard away and moves its entries to its parent.
    fn unite(&mut self) {
        let Some(last) = self.shards.pop_back() else { return };
        let parent = parent_of(self.shards.len());
        let parent = &mut self.shards[parent];
        if parent.is_empty() {
            *parent = last;
        } else if !last.is_empty() {
            Arc::make_mut(parent).unite(Arc::unwrap_or_clone(last));
        }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        let shards = match &self.shards {
            Shards::Empty => Shards::Empty,
            Shards::One(shard) => Shards::One(Arc::clone(shard)),
            Shards::Many(directory) => {
                Shards::Many(Box::new(Directory { len: directory.len, shards: directory.shards.clone() }))
            }
        };
        Self { shards }
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Spread {
    fn of<Q: Hash + ?Sized>(key: &Q) -> Self {
        let mut hasher = SEEDED.clone();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        // Some numbers in arithmetic progression leave this hasher unevenly spread; 50,000 of them
        // put 278 entries in one shard. A last multiplication spreads them like random ones.
        Self(((hash ^ (hash >> 32)).wrapping_mul(MIX) >> 32) as u32)
    }

    /// Returns which of `shards` shards the key belongs to.
    fn shard(self, shards: usize) -> usize {
        shard_within(self.0 as usize, shards)
    }
}

/// Returns which of `shards` shards holds what a larger table has in shard `bits`.
fn shard_within(bits: usize, shards: usize) -> usize {
    let mask = shards.next_power_of_two() - 1;
    let index = bits & mask;
    if index < shards { index } else { bits & (mask >> 1) }
}

/// Returns the shard that `index` was split from.
fn parent_of(index: usize) -> usize {
    index ^ (1 << index.ilog2())
}

#[cfg(test)]
mod tests;
