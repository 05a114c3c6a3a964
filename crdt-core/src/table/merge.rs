//! Merging two tables, shard against shard.
//!
//! What if their shard counts differ? Growing only ever divides a shard, so each shard of the
//! longer table lies within one shard of the shorter. Mine is made the longer one; but dividing
//! shards copies those that are shared, so that waits until something is known to change.
//!
//! Each shard is compared first and written after, and only if something changes in it: a merge
//! that brings nothing copies nothing.

use std::hash::Hash;
use std::sync::Arc;

use super::{Entry, Shard, Shards, Table, is_shared, rehash, shard_within, trim};

/// What becomes of an entry in a merge.
#[derive(Debug)]
pub(crate) enum Outcome<V> {
    /// It stays as it is.
    Keep,
    /// It goes, if it is there.
    Drop,
    /// It takes this value.
    Put(V),
}

/// How two tables merge, entry by entry.
///
/// Law: an entry that both tables have with one value stays. Shards that the two share are not
/// asked about.
pub(crate) trait Fuse<K, V> {
    /// The other table lacks this entry of mine.
    fn mine(&mut self, key: &K, mine: &V) -> Outcome<V>;
    /// My table lacks this entry of the other; returns what to add.
    fn theirs(&mut self, key: &K, theirs: &V) -> Option<V>;
    /// Both tables have the key.
    fn both(&mut self, key: &K, mine: &V, theirs: &V) -> Outcome<V>;
}

/// What a merge changes in one shard. Kept from shard to shard for its memory.
struct Changes<K, V> {
    /// By position in the shard.
    puts: Vec<(usize, V)>,
    /// By position in the shard.
    drops: Vec<usize>,
    adds: Vec<Entry<K, V>>,
    /// The positions in the other's shard whose keys mine has too, a bit each.
    met: Vec<u64>,
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    /// Takes in another table as `fuse` decides. O(entries of both) less the shards they share;
    /// a shared shard in which nothing changes is not copied.
    pub(crate) fn merge(&mut self, other: &Self, fuse: &mut impl Fuse<K, V>) {
        if self.shares_all(other) {
            return;
        }
        let mut changes = Changes { puts: Vec::new(), drops: Vec::new(), adds: Vec::new(), met: Vec::new() };
        let before = self.shard_count();
        let mut done = 0;
        if before < other.shard_count() {
            while done < before && !self.is_empty() && changes.is_empty() {
                self.compare_coarse(done, other, fuse, &mut changes);
                done += 1;
            }
            let adds = std::mem::take(&mut changes.adds);
            self.carry_out(done.saturating_sub(1), &mut changes);
            if done < before || !adds.is_empty() {
                while self.shard_count() < other.shard_count() {
                    self.split();
                }
            }
            for Entry { spread, key, value } in adds {
                self.insert_hashed(spread, key, value);
            }
        }
        for index in 0..self.shard_count() {
            if shard_within(index, before) >= done {
                self.compare(index, other, fuse, &mut changes);
                self.carry_out(index, &mut changes);
            }
        }
        self.give_back();
        while self.is_crowded(self.len()) {
            self.split();
        }
    }

    /// Compares one shard of mine with the one of theirs in which it lies.
    fn compare(&self, index: usize, other: &Self, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>) {
        let none = Shard::new();
        let count = self.shard_count();
        let (mine, theirs) = (self.shard(index), other.shard(shard_within(index, other.shard_count())));
        if let (Some(mine), Some(theirs)) = (mine, theirs)
            && Arc::ptr_eq(mine, theirs)
        {
            return;
        }
        let mine = mine.map_or(&none, |shard| &**shard);
        let theirs = theirs.map_or(&none, |shard| &**shard);
        if changes.compare_mine(mine, theirs, fuse) < theirs.len() {
            changes.add_unmet(theirs, fuse, |entry| entry.spread.shard(count) == index);
        }
    }

    /// Compares one shard of mine with the several of theirs that lie in it.
    fn compare_coarse(&self, index: usize, other: &Self, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>) {
        let Some(mine) = self.shard(index) else { return };
        let count = self.shard_count();
        let step = (count.next_power_of_two() / 2).max(1);
        let parts = || (index..other.shard_count()).step_by(step).filter(|part| shard_within(*part, count) == index);
        if parts().count() == 1 && other.shard(index).is_some_and(|theirs| Arc::ptr_eq(mine, theirs)) {
            return;
        }
        for position in mine.iter_buckets() {
            let Some(entry) = mine.get_bucket(position) else { continue };
            changes.ask(position, entry, other.find(entry.spread, &entry.key), fuse);
        }
        for theirs in parts().filter_map(|part| other.shard(part)) {
            for entry in theirs.iter().filter(|entry| position_of(mine, entry).is_none()) {
                changes.add(entry, fuse);
            }
        }
    }

    /// Makes the changes in one shard, and leaves `changes` empty.
    fn carry_out(&mut self, index: usize, changes: &mut Changes<K, V>) {
        if changes.is_empty() {
            return;
        }
        if let Shards::Empty = self.shards {
            self.shards = Shards::One(Arc::new(Shard::new()));
        }
        let arc = match &mut self.shards {
            Shards::Empty => return,
            Shards::One(shard) => shard,
            Shards::Many(directory) => {
                directory.len = directory.len + changes.adds.len() - changes.drops.len();
                &mut directory.shards[index]
            }
        };
        if is_shared(arc) {
            let copy = Shard::clone(arc);
            changes.reposition(arc, &copy);
            *arc = Arc::new(copy);
        }
        changes.make(Arc::make_mut(arc));
    }
}

impl<K, V> Table<K, V> {
    /// Tells whether the two are clones of one another that have not changed since; may miss it.
    fn shares_all(&self, other: &Self) -> bool {
        match (&self.shards, &other.shards) {
            (Shards::Empty, Shards::Empty) => true,
            (Shards::One(mine), Shards::One(theirs)) => Arc::ptr_eq(mine, theirs),
            (Shards::Many(mine), Shards::Many(theirs)) => mine.shards.ptr_eq(&theirs.shards),
            _ => false,
        }
    }

    fn shard(&self, index: usize) -> Option<&Arc<Shard<K, V>>> {
        match &self.shards {
            Shards::Empty => None,
            Shards::One(shard) => Some(shard),
            Shards::Many(directory) => directory.shards.get(index),
        }
    }
}

impl<K: Clone + Eq + Hash, V> Changes<K, V> {
    fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.drops.is_empty() && self.adds.is_empty()
    }

    /// Asks about every entry of mine; returns how many of them the other has too.
    fn compare_mine(&mut self, mine: &Shard<K, V>, theirs: &Shard<K, V>, fuse: &mut impl Fuse<K, V>) -> usize {
        self.met.clear();
        self.met.resize(theirs.num_buckets().div_ceil(64), 0);
        let mut met = 0;
        for position in mine.iter_buckets() {
            let Some(entry) = mine.get_bucket(position) else { continue };
            let theirs = position_of(theirs, entry).and_then(|position| {
                self.met[position / 64] |= 1 << (position % 64);
                met += 1;
                theirs.get_bucket(position)
            });
            self.ask(position, entry, theirs.map(|theirs| &theirs.value), fuse);
        }
        met
    }

    /// Asks about the entries of theirs that mine has not met, where they concern this shard.
    fn add_unmet(&mut self, theirs: &Shard<K, V>, fuse: &mut impl Fuse<K, V>, concerns: impl Fn(&Entry<K, V>) -> bool) {
        for position in theirs.iter_buckets() {
            if self.met[position / 64] & (1 << (position % 64)) == 0
                && let Some(entry) = theirs.get_bucket(position)
                && concerns(entry)
            {
                self.add(entry, fuse);
            }
        }
    }

    /// Asks about an entry of mine.
    fn ask(&mut self, position: usize, mine: &Entry<K, V>, theirs: Option<&V>, fuse: &mut impl Fuse<K, V>) {
        let outcome = match theirs {
            Some(theirs) => fuse.both(&mine.key, &mine.value, theirs),
            None => fuse.mine(&mine.key, &mine.value),
        };
        match outcome {
            Outcome::Keep => {}
            Outcome::Drop => self.drops.push(position),
            Outcome::Put(value) => self.puts.push((position, value)),
        }
    }

    /// Asks about an entry of theirs that mine lacks.
    fn add(&mut self, theirs: &Entry<K, V>, fuse: &mut impl Fuse<K, V>) {
        if let Some(value) = fuse.theirs(&theirs.key, &theirs.value) {
            self.adds.push(Entry { spread: theirs.spread, key: theirs.key.clone(), value });
        }
    }

    /// Finds the positions again in a copy: a copy need not keep them.
    fn reposition(&mut self, original: &Shard<K, V>, copy: &Shard<K, V>) {
        let positions = self.puts.iter_mut().map(|(position, _)| position).chain(&mut self.drops);
        for position in positions {
            let entry = original.get_bucket(*position).expect("positions come from this shard: compare");
            *position = position_of(copy, entry).expect("a copy has every key");
        }
    }

    fn make(&mut self, shard: &mut Shard<K, V>) {
        for (position, value) in self.puts.drain(..) {
            shard.get_bucket_mut(position).expect("positions come from this shard: compare").value = value;
        }
        for position in self.drops.drain(..) {
            if let Ok(entry) = shard.get_bucket_entry(position) {
                entry.remove();
            }
        }
        trim(shard);
        shard.reserve(self.adds.len(), rehash);
        for entry in self.adds.drain(..) {
            shard.insert_unique(rehash(&entry), entry, rehash);
        }
    }
}

/// Finds the entry with the same key in another shard.
fn position_of<K: Eq, V>(shard: &Shard<K, V>, entry: &Entry<K, V>) -> Option<usize> {
    shard.find_bucket_index(rehash(entry), |other| other.spread == entry.spread && other.key == entry.key)
}
