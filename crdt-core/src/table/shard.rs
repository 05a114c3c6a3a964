//! One small part of a table: entries in the order of the hashes that spread them.
//!
//! Why sorted, and not a hash table in small? Two shards then merge in one pass over both, reading memory in order;
//! hardly anything is kept free between entries; and among a few dozen hashes, four bytes each, a binary search costs
//! what a probe does. The price is that an insert moves the entries behind it: a kilobyte or so.

use std::borrow::Borrow;
use std::mem;

use super::Spread;
use super::meeting::Meeting;

/// Entries sorted by spread. As large as the table lets it become, which is some dozens.
#[derive(Clone)]
pub(super) struct Shard<K, V> {
    /// Ascending; different keys may have the same. Apart from the entries, so that a search reads little.
    spreads: Vec<Spread>,
    /// In the order of their spreads.
    entries: Vec<(K, V)>,
}

/// What is to change in a shard. Kept from shard to shard for its memory.
pub(super) struct Changes<K, V> {
    /// By position.
    pub(super) puts: Vec<(usize, V)>,
    /// By position, ascending.
    pub(super) drops: Vec<usize>,
    /// By spread, ascending.
    pub(super) adds: Vec<(Spread, (K, V))>,
    /// What the two shards have in common that are compared.
    pub(super) meeting: Meeting,
}

impl<K, V> Shard<K, V> {
    pub(super) const fn new() -> Self {
        Self { spreads: Vec::new(), entries: Vec::new() }
    }

    pub(super) fn with_capacity(len: usize) -> Self {
        Self { spreads: Vec::with_capacity(len), entries: Vec::with_capacity(len) }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how many entries there is room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Returns the spreads of all entries, ascending.
    pub(super) fn spreads(&self) -> &[Spread] {
        &self.spreads
    }

    /// Returns all entries, in the order of their spreads.
    pub(super) fn entries(&self) -> &[(K, V)] {
        &self.entries
    }

    /// Returns where a key is, or else where it belongs. O(log n).
    pub(super) fn position<Q>(&self, spread: Spread, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut at = self.spreads.partition_point(|other| *other < spread);
        while self.spreads.get(at) == Some(&spread) {
            if self.entries[at].0.borrow() == key {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    /// Returns the key and, for writing, the value at a position of this shard.
    pub(super) fn entry_mut(&mut self, position: usize) -> (&K, &mut V) {
        let (key, value) = &mut self.entries[position];
        (key, value)
    }

    /// Inserts an entry where its spread [belongs](Self::position). O(n).
    pub(super) fn insert(&mut self, position: usize, spread: Spread, key: K, value: V) {
        self.make_room();
        self.spreads.insert(position, spread);
        self.entries.insert(position, (key, value));
    }

    /// Appends an entry that belongs behind all others.
    pub(super) fn push(&mut self, spread: Spread, entry: (K, V)) {
        self.make_room();
        self.spreads.push(spread);
        self.entries.push(entry);
    }

    /// Removes the entry at a position. O(n).
    pub(super) fn remove(&mut self, position: usize) -> (K, V) {
        self.spreads.remove(position);
        let removed = self.entries.remove(position);
        self.give_back();
        removed
    }

    /// Takes out the entries whose spread `moves` tells. O(n).
    pub(super) fn split_off(&mut self, mut moves: impl FnMut(Spread) -> bool) -> Self {
        let count = self.spreads.iter().filter(|spread| moves(**spread)).count();
        let (mut kept, mut moved) = (Self::with_capacity(self.len() - count), Self::with_capacity(count));
        for (spread, entry) in mem::take(&mut self.spreads).into_iter().zip(mem::take(&mut self.entries)) {
            let part = if moves(spread) { &mut moved } else { &mut kept };
            part.push(spread, entry);
        }
        *self = kept;
        moved
    }

    /// Takes in the entries of another shard, whose keys are all different. O(entries of both).
    pub(super) fn unite(&mut self, other: Self) {
        self.add(other.len(), other.spreads.into_iter().zip(other.entries));
    }

    /// Makes the changes, and leaves them empty. O(n + changes).
    pub(super) fn change(&mut self, changes: &mut Changes<K, V>) {
        for (position, value) in changes.puts.drain(..) {
            self.entries[position].1 = value;
        }
        if !changes.drops.is_empty() {
            self.retain_except(&changes.drops);
            changes.drops.clear();
            self.give_back();
        }
        if !changes.adds.is_empty() {
            self.add(changes.adds.len(), changes.adds.drain(..));
        }
    }

    /// Makes room for one more. Not for twice as many, as a vector does by itself: shards stay small.
    fn make_room(&mut self) {
        if self.len() == self.entries.capacity() {
            let more = (self.len() / 2).clamp(1, 8);
            self.spreads.reserve_exact(more);
            self.entries.reserve_exact(more);
        }
    }

    /// Gives memory back once most entries have gone.
    fn give_back(&mut self) {
        if self.len() < self.entries.capacity() / 4 {
            self.spreads.shrink_to(self.len() * 2);
            self.entries.shrink_to(self.len() * 2);
        }
    }

    /// Removes the entries at these positions, which ascend.
    fn retain_except(&mut self, positions: &[usize]) {
        let kept = || {
            let (mut position, mut drops) = (0, positions.iter().peekable());
            move || {
                let is_dropped = drops.next_if(|drop| **drop == position).is_some();
                position += 1;
                !is_dropped
            }
        };
        let (mut keeps_spread, mut keeps_entry) = (kept(), kept());
        self.spreads.retain(|_| keeps_spread());
        self.entries.retain(|_| keeps_entry());
    }

    /// Adds `count` entries, whose spreads ascend and whose keys are new.
    fn add(&mut self, count: usize, adds: impl Iterator<Item = (Spread, (K, V))>) {
        let len = self.len() + count;
        let old_spreads = mem::replace(&mut self.spreads, Vec::with_capacity(len));
        let mut old_entries = mem::replace(&mut self.entries, Vec::with_capacity(len)).into_iter();
        let mut taken = 0;
        for (spread, entry) in adds {
            let smaller = old_spreads[taken..].iter().take_while(|other| **other < spread).count();
            self.spreads.extend_from_slice(&old_spreads[taken..taken + smaller]);
            self.entries.extend(old_entries.by_ref().take(smaller));
            taken += smaller;
            self.spreads.push(spread);
            self.entries.push(entry);
        }
        self.spreads.extend_from_slice(&old_spreads[taken..]);
        self.entries.extend(old_entries);
    }
}

impl<K, V> Changes<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.drops.is_empty() && self.adds.is_empty()
    }
}

impl<K, V> Default for Changes<K, V> {
    fn default() -> Self {
        Self { puts: Vec::new(), drops: Vec::new(), adds: Vec::new(), meeting: Meeting::default() }
    }
}
