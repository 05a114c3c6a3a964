//! Making a table of entries that are all there, as where a state is read.
//!
//! How many there are is known, so nothing is ever divided, and each shard is sorted once instead of being
//! kept sorted.

use std::hash::Hash;
use std::sync::Arc;

use super::shard::Shard;
use super::{Directory, LOAD, SINGLE_MAX, Shards, Spread, Table, share};

/// A table to be.
pub(crate) struct Builder<K, V> {
    len: usize,
    /// Not sorted yet.
    shards: Vec<Shard<K, V>>,
}

impl<K: Eq + Hash, V> Builder<K, V> {
    /// Makes room for `len` entries.
    pub(crate) fn with_capacity(len: usize) -> Self {
        let count = if len <= SINGLE_MAX { 1 } else { len.div_ceil(LOAD) };
        let shards = (0..count).map(|index| Shard::with_capacity(share(len, index, count))).collect();
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
        self.shards.iter_mut().for_each(Shard::sort);
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
