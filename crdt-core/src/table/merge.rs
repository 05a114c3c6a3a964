//! Merging two tables, shard against shard.
//!
//! What if their shard counts differ? Growing only ever divides a shard, so of two shards that have anything to do
//! with each other one lies within the other, whichever table it is of. But what is added to a table of few shards
//! would make them long, so mine is then divided as far as the other is; and since dividing copies the shards that
//! are shared, that waits until something is known to change.
//!
//! Each shard is compared first and written after, and only if something changes in it: a merge that brings nothing
//! copies no shard.

use std::hash::Hash;
use std::mem;
use std::sync::Arc;

use super::shard::{Changes, Shard};
use super::{Shards, Spread, Table, shard_within};

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
/// Law: an entry stays that both tables have in a shard which they share, for shared shards are not asked about. So
/// what is decided may depend on something beside the table only if a change of that writes the entry too.
pub(crate) trait Fuse<K, V> {
    /// My table has this entry; the other has the key too, or lacks it.
    fn mine(&mut self, key: &K, mine: &V, theirs: Option<&V>) -> Outcome<V>;
    /// My table lacks this entry of the other; returns what to add.
    fn theirs(&mut self, key: &K, theirs: &V) -> Option<V>;
    /// As [`mine`](Self::mine), where nobody shares the entry: a value that is costly to copy changes in place.
    /// Tells whether the entry stays.
    fn mine_in_place(&mut self, key: &K, mine: &mut V, theirs: Option<&V>) -> bool {
        match self.mine(key, mine, theirs) {
            Outcome::Keep => true,
            Outcome::Drop => false,
            Outcome::Put(value) => {
                *mine = value;
                true
            }
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    /// Takes in another table as `fuse` decides. O(entries of both) less the shards they share;
    /// a shared shard in which nothing changes is not copied.
    pub(crate) fn merge(&mut self, other: &Self, fuse: &mut impl Fuse<K, V>) {
        if self.shares_all(other) {
            return;
        }
        let mut changes = Changes::default();
        let before = self.shard_count();
        let mut done = 0;
        if before < other.shard_count() {
            while done < before && !self.is_empty() && changes.is_empty() {
                self.compare_coarse(done, other, fuse, &mut changes);
                done += 1;
            }
            let adds = mem::take(&mut changes.adds);
            self.carry_out(done.saturating_sub(1), &mut changes);
            if done < before || !adds.is_empty() {
                while self.shard_count() < other.shard_count() {
                    self.split();
                }
            }
            for (spread, (key, value)) in adds {
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
        // Dividing what has just been written would read it all again. Inserts catch up, a little each.
        if self.is_crowded(self.len().div_ceil(2)) {
            while self.is_crowded(self.len()) {
                self.split();
            }
        }
    }

    /// Compares one shard of mine with the one of theirs in which it lies.
    fn compare(&mut self, index: usize, other: &Self, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>) {
        let none = Shard::new();
        let (count, other_count) = (self.shard_count(), other.shard_count());
        let theirs = other.shard(shard_within(index, other_count));
        if let (Some(mine), Some(theirs)) = (self.shard(index), theirs)
            && Arc::ptr_eq(mine, theirs)
        {
            return;
        }
        let theirs = theirs.map_or(&none, |shard| &**shard);
        let concerns = |spread: Spread| count == other_count || spread.shard(count) == index;
        self.compare_with(index, theirs, concerns, fuse, changes);
    }

    /// Compares one shard of mine with the several of theirs that lie in it.
    fn compare_coarse(&mut self, index: usize, other: &Self, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>) {
        let (count, other_count) = (self.shard_count(), other.shard_count());
        let step = (count.next_power_of_two() / 2).max(1);
        for part in (index..other_count).step_by(step).filter(|part| shard_within(*part, count) == index) {
            let Some(theirs) = other.shard(part) else { continue };
            if !self.shard(index).is_some_and(|mine| Arc::ptr_eq(mine, theirs)) {
                self.compare_with(index, theirs, |spread| spread.shard(other_count) == part, fuse, changes);
            }
        }
    }

    /// Compares what `concerns` both in one shard of mine and one of theirs.
    fn compare_with(
        &mut self,
        index: usize,
        theirs: &Shard<K, V>,
        concerns: impl Fn(Spread) -> bool,
        fuse: &mut impl Fuse<K, V>,
        changes: &mut Changes<K, V>,
    ) {
        let mine = match &mut self.shards {
            Shards::Empty => return walk(&Shard::new(), theirs, concerns, fuse, changes),
            Shards::One(shard) => shard,
            Shards::Many(directory) => &mut directory.shards[index],
        };
        match Arc::get_mut(mine) {
            Some(mine) => walk(mine, theirs, concerns, fuse, changes),
            None => walk(&**mine, theirs, concerns, fuse, changes),
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
        // Pairs come first, and each shard of theirs in turn.
        changes.drops.sort_unstable();
        Arc::make_mut(arc).change(changes);
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

/// My side of a comparison: a shard that may change at once, or one that others share.
trait Mine<K, V> {
    fn shard(&self) -> &Shard<K, V>;
    /// Asks about the entry at a position, which becomes what is answered, now or by `changes`.
    fn ask(&mut self, position: usize, theirs: Option<&V>, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>);
}

impl<K, V> Mine<K, V> for &mut Shard<K, V> {
    fn shard(&self) -> &Shard<K, V> {
        self
    }

    fn ask(&mut self, position: usize, theirs: Option<&V>, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>) {
        let (key, mine) = self.entry_mut(position);
        if !fuse.mine_in_place(key, mine, theirs) {
            changes.drops.push(position);
        }
    }
}

impl<K, V> Mine<K, V> for &Shard<K, V> {
    fn shard(&self) -> &Shard<K, V> {
        self
    }

    fn ask(&mut self, position: usize, theirs: Option<&V>, fuse: &mut impl Fuse<K, V>, changes: &mut Changes<K, V>) {
        let (key, mine) = &self.entries()[position];
        match fuse.mine(key, mine, theirs) {
            Outcome::Keep => {}
            Outcome::Drop => changes.drops.push(position),
            Outcome::Put(value) => changes.puts.push((position, value)),
        }
    }
}

/// Asks about every entry of two shards whose spread `concerns` both.
fn walk<K: Clone + Eq, V>(
    mut mine: impl Mine<K, V>,
    theirs: &Shard<K, V>,
    concerns: impl Fn(Spread) -> bool,
    fuse: &mut impl Fuse<K, V>,
    changes: &mut Changes<K, V>,
) {
    let mut meeting = mem::take(&mut changes.meeting);
    meeting.hold(mine.shard(), theirs);
    // What is in both has one spread, and that concerns both.
    for (my_position, their_position) in meeting.pairs() {
        mine.ask(my_position, Some(&theirs.entries()[their_position].1), fuse, changes);
    }
    for position in meeting.mine_alone() {
        if concerns(mine.shard().spreads()[position]) {
            mine.ask(position, None, fuse, changes);
        }
    }
    for position in meeting.theirs_alone() {
        let (spread, (key, value)) = (theirs.spreads()[position], &theirs.entries()[position]);
        if concerns(spread)
            && let Some(value) = fuse.theirs(key, value)
        {
            changes.adds.push((spread, (key.clone(), value)));
        }
    }
    changes.meeting = meeting;
}
