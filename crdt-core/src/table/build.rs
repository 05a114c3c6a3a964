//! Making a table of entries that are all there, as where a state is read.
//!
//! How many there are is known, so nothing is ever divided, and each shard is sorted once instead of being
//! kept sorted.

use std::hash::Hash;
use std::sync::Arc;

use super::shard::Shard;
use super::{Directory, LOAD, SINGLE_MAX, Shards, Spread, Table};

/// Entries for which a shard has room above its share: as many as chance gives one of seven shards, and room for the first
/// inserts after.
const SLACK: usize = 7;

/// A table to be. As many shards as there are made for the entries that were announced: no more and no fewer should come.
pub(crate) struct Builder<K, V> {
    len: usize,
    /// Not sorted yet.
    shards: Vec<Shard<K, V>>,
}

impl<K: Eq + Hash, V> Builder<K, V> {
    /// Begins a table of `len` entries.
    pub(crate) fn with_capacity(len: usize) -> Self {
        let (count, slack) = if len <= SINGLE_MAX { (1, 0) } else { (len.div_ceil(LOAD), SLACK) };
        let shards = (0..count).map(|index| Shard::with_capacity(share(len, index, count) + slack)).collect();
        Self { len: 0, shards }
    }

    /// Adds an entry, whose key must be none of those that are there. O(1).
    pub(crate) fn push(&mut self, key: K, value: V) {
        let spread = Spread::of(&key);
        let index = spread.shard(self.shards.len());
        self.shards[index].push(spread, (key, value));
        self.len += 1;
    }

    /// Returns the table. O(n).
    pub(crate) fn finish(mut self) -> Table<K, V> {
        debug_assert!(self.len <= self.shards.len() * SINGLE_MAX, "more came than was announced");
        let mut order = Vec::new();
        self.shards.iter_mut().for_each(|shard| shard.sort(&mut order));
        let shards = if self.len == 0 {
            Shards::Empty
        } else if self.shards.len() == 1 {
            Shards::One(Arc::new(self.shards.swap_remove(0)))
        } else {
            let shards = self.shards.into_iter().map(Arc::new).collect();
            Shards::Many(Box::new(Directory { len: self.len, shards }))
        };
        Table { shards }
    }
}

/// Returns how many of `len` entries one of `shards` shards holds on average: those that are still
/// to be split in this round hold twice as many as the others.
fn share(len: usize, index: usize, shards: usize) -> usize {
    let split = shards.next_power_of_two();
    let unsplit = index < split / 2 && index + split / 2 >= shards;
    if unsplit { len * 2 / split } else { len / split }
}
