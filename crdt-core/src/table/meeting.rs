//! Which entries of two shards have a key in common.
//!
//! Hashes tell nothing of what comes next, so a processor that guesses at each step of a merge whose turn it is guesses
//! wrong every other time, and a wrong guess costs more than the step. Here nothing depends on a guess: each step
//! writes where both stand into three lists and counts on in the one that it belongs to.
//!
//! Two keys may have one spread. Then entries meet that have nothing to do with each other; it is rare enough to look
//! every key of such a shard up.

use super::shard::Shard;

/// The positions in two shards, sorted by what they have in common. Each list ascends. Kept from shard to shard for its
/// memory.
#[derive(Default)]
pub(super) struct Meeting {
    pairs: List<(u32, u32)>,
    mine_alone: List<u32>,
    theirs_alone: List<u32>,
}

/// As many items as have been taken of a longer vector.
#[derive(Default)]
struct List<T> {
    items: Vec<T>,
    len: usize,
}

impl Meeting {
    /// Lets two shards meet. O(entries of both).
    pub(super) fn hold<K: Eq, V>(&mut self, mine: &Shard<K, V>, theirs: &Shard<K, V>) {
        self.by_spread(mine, theirs);
        let is_same = |(my, their): (usize, usize)| mine.entries()[my].0 == theirs.entries()[their].0;
        if !self.pairs().all(is_same) {
            self.by_key(mine, theirs);
        }
    }

    /// Yields the positions of entries with one key.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.pairs.iter().map(|(mine, theirs)| (mine as usize, theirs as usize))
    }

    /// Yields the positions of my entries whose keys the other shard lacks.
    pub(super) fn mine_alone(&self) -> impl Iterator<Item = usize> {
        self.mine_alone.iter().map(|position| position as usize)
    }

    /// Yields the positions of their entries whose keys my shard lacks.
    pub(super) fn theirs_alone(&self) -> impl Iterator<Item = usize> {
        self.theirs_alone.iter().map(|position| position as usize)
    }

    /// Takes entries of one spread for entries of one key, in their order.
    fn by_spread<K, V>(&mut self, mine: &Shard<K, V>, theirs: &Shard<K, V>) {
        let (my_spreads, their_spreads) = (mine.spreads(), theirs.spreads());
        self.pairs.clear(my_spreads.len());
        self.mine_alone.clear(my_spreads.len());
        self.theirs_alone.clear(their_spreads.len());
        let (mut my_next, mut their_next) = (0, 0);
        while let (Some(my), Some(their)) = (my_spreads.get(my_next), their_spreads.get(their_next)) {
            self.pairs.put((my_next as u32, their_next as u32), my == their);
            self.mine_alone.put(my_next as u32, my < their);
            self.theirs_alone.put(their_next as u32, their < my);
            my_next += usize::from(my <= their);
            their_next += usize::from(their <= my);
        }
        (my_next..my_spreads.len()).for_each(|position| self.mine_alone.put(position as u32, true));
        (their_next..their_spreads.len()).for_each(|position| self.theirs_alone.put(position as u32, true));
    }

    /// Looks every key up.
    fn by_key<K: Eq, V>(&mut self, mine: &Shard<K, V>, theirs: &Shard<K, V>) {
        self.pairs.clear(mine.len());
        self.mine_alone.clear(mine.len());
        self.theirs_alone.clear(theirs.len());
        for (my, (key, _)) in mine.entries().iter().enumerate() {
            let their = theirs.position(mine.spreads()[my], key);
            self.pairs.put((my as u32, their.unwrap_or(0) as u32), their.is_ok());
            self.mine_alone.put(my as u32, their.is_err());
        }
        for (their, (key, _)) in theirs.entries().iter().enumerate() {
            let is_alone = mine.position(theirs.spreads()[their], key).is_err();
            self.theirs_alone.put(their as u32, is_alone);
        }
    }
}

impl<T: Copy + Default> List<T> {
    /// Makes room for `len` items, and one more to be written and not taken.
    fn clear(&mut self, len: usize) {
        self.len = 0;
        if self.items.len() <= len {
            self.items.resize(len + 1, T::default());
        }
    }

    /// Appends an item if it `belongs` here. There is no branch in it.
    fn put(&mut self, item: T, belongs: bool) {
        self.items[self.len] = item;
        self.len += usize::from(belongs);
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        self.items[..self.len].iter().copied()
    }
}
