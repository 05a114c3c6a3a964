//! Resettable counter: a running total per replica, and how much of it has been reset.
//!
//! A device counts +5 while another removes the counter after seeing 100: how does exactly 5 stay,
//! in one entry a replica? A reset does not delete the entry of another replica, it notes how far
//! that total had been seen: the *base*. What was counted since lies above the base and stays.
//!
//! So an entry that is reset as a whole remains, invisible, until its owner's next transaction
//! takes it out (every transaction does so for all such entries of its own). It cannot go earlier:
//! the owner may have counted on, and that increment carries the whole running total. After that,
//! a new count starts above the owner's last transaction, so no reset of the old count reaches it.
//!
//! Source: Baquero, Almeida, Lerche, "The problem with embedded CRDT counters and a solution"
//! (2016); differs in: one entry a replica with a base instead of a fresh entry per exchange,
//! and the owner's clean-up.

use std::slice;

use smallvec::SmallVec;

use crate::context::{LocalDot, ReplicaIndex};
use crate::elements::Sides;
use crate::planted::{Bug, is_planted};

/// Entries that are kept beside their sum.
const FEW: usize = 4;

/// The entries of one counter, at most one a replica, sorted by replica index.
///
/// Nearly always one or a few; where a thousand replicas count, what they show together is kept up to
/// date with each entry, so that a delta does not have to sum them all up.
#[derive(Clone, Debug, Default)]
pub(crate) enum CounterNode {
    #[default]
    Vacant,
    One(CounterEntry),
    /// Several, or there were several.
    Many(Box<Summed>),
}

/// Several entries and what they show together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summed {
    /// The first few lie in the same block of memory as the sum.
    entries: SmallVec<[CounterEntry; FEW]>,
    /// How many of them are live.
    live: usize,
    /// The sum of their values.
    sum: i128,
}

/// What one replica has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CounterEntry {
    /// The owner's last transaction on this counter.
    pub(crate) dot: LocalDot,
    /// The sum of the owner's increments.
    pub(crate) total: i64,
    /// Everything the owner counted through this counter of its own is taken out; at most the
    /// dot's counter.
    pub(crate) base: u64,
    /// The owner's total at the base.
    pub(crate) base_total: i64,
}

/// What an owner left of its own entry in a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnWrite {
    /// No entry: the owner knows that all of it was reset.
    Dropped,
    /// An entry with this running total.
    Total {
        total: i64,
        /// Where a new count began: the counter before its first increment. `None` continues the
        /// count that the receiver has.
        since: Option<u64>,
    },
}

impl CounterEntry {
    /// Returns the owner's entry after its write, which has this dot.
    pub(crate) fn written(before: Option<Self>, dot: LocalDot, write: OwnWrite) -> Option<Self> {
        let OwnWrite::Total { total, since } = write else {
            return None;
        };
        let began = Self { dot, total, base: since.unwrap_or(0), base_total: 0 };
        match before {
            None => Some(began),
            Some(mut entry) => {
                let resumed = since.is_none() || is_planted(Bug::ForgetReset);
                // Continuing keeps the base that is known here; beginning anew has a base of its own,
                // above every base of the count before it.
                if resumed {
                    (entry.dot, entry.total) = (dot, total);
                } else {
                    entry.merge(&began);
                }
                Some(entry)
            }
        }
    }

    /// Tells whether something was counted since the last reset.
    pub(crate) const fn is_live(&self) -> bool {
        self.dot.counter() > self.base
    }

    /// Returns what was counted since the last reset.
    pub(crate) fn value(&self) -> i128 {
        if self.is_live() { i128::from(self.total) - i128::from(self.base_total) } else { 0 }
    }

    /// Notes that everything through `base` is taken out; an earlier base changes nothing.
    pub(crate) fn reset(&mut self, base: u64, base_total: i64) {
        if base > self.base && base <= self.dot.counter() {
            (self.base, self.base_total) = (base, base_total);
            if is_planted(Bug::ResetUnseen) {
                (self.base, self.base_total) = (self.dot.counter(), self.total);
            }
        }
    }

    /// Takes in another state of the same owner's entry. At equal bases the later entry knows
    /// better: its count began there.
    pub(crate) fn merge(&mut self, other: &Self) {
        let (mut newer, older) =
            if other.dot.counter() > self.dot.counter() { (*other, *self) } else { (*self, *other) };
        newer.reset(older.base, older.base_total);
        *self = newer;
    }
}

impl CounterNode {
    /// Makes the node of entries that ascend by replica index, one each.
    pub(crate) fn from_sorted(entries: SmallVec<[CounterEntry; 1]>) -> Self {
        match entries[..] {
            [] => Self::Vacant,
            [only] => Self::One(only),
            _ => Self::Many(Box::new(Summed::from(&entries[..]))),
        }
    }

    /// Returns the entries, sorted by replica index.
    pub(crate) fn entries(&self) -> &[CounterEntry] {
        match self {
            Self::Vacant => &[],
            Self::One(only) => slice::from_ref(only),
            Self::Many(many) => &many.entries,
        }
    }

    /// Returns the sum over all replicas. O(1).
    pub(crate) fn value(&self) -> i128 {
        match self {
            Self::Vacant => 0,
            Self::One(only) => only.value(),
            Self::Many(many) => many.sum,
        }
    }

    /// Tells whether something was counted that no reset has taken out. O(1).
    pub(crate) fn is_visible(&self) -> bool {
        match self {
            Self::Vacant => false,
            Self::One(only) => only.is_live(),
            Self::Many(many) => many.live > 0,
        }
    }

    /// Returns the value, or `None` if nothing is visible. O(1).
    pub(crate) fn visible_value(&self) -> Option<i128> {
        self.is_visible().then(|| self.value())
    }

    pub(crate) fn entry(&self, owner: ReplicaIndex) -> Option<&CounterEntry> {
        let entries = self.entries();
        position(entries, owner).ok().map(|at| &entries[at])
    }

    /// Takes in the entries of the other side. `changed` sees each entry that changes, before and after: none before
    /// means that it comes, none after that it goes. O(n log n).
    pub(crate) fn merge(
        &mut self,
        theirs: &Self,
        sides: &Sides,
        mut changed: impl FnMut(Option<&CounterEntry>, Option<&CounterEntry>),
    ) {
        let translated =
            theirs.entries().iter().map(|entry| CounterEntry { dot: sides.translated(entry.dot), ..*entry });
        let mut theirs: SmallVec<[CounterEntry; FEW]> = translated.collect();
        theirs.sort_unstable_by_key(|entry| entry.dot);
        let have = |owner| position(&theirs, owner).is_ok();
        // Taken out by its owner: only the owner does, so whoever covers the entry and lacks it knows.
        let is_gone = |entry: &&CounterEntry| !have(entry.dot.replica()) && sides.theirs_covers(entry.dot);
        let gone: SmallVec<[CounterEntry; FEW]> = self.entries().iter().filter(is_gone).copied().collect();
        for before in gone {
            changed(Some(&before), None);
            self.put(before.dot.replica(), None);
        }
        for entry in theirs {
            let before = self.entry(entry.dot.replica()).copied();
            let after = match before {
                None if sides.mine_covers(entry.dot) => continue,
                None => entry,
                Some(mut mine) => {
                    mine.merge(&entry);
                    mine
                }
            };
            if before != Some(after) {
                changed(before.as_ref(), Some(&after));
                self.put(entry.dot.replica(), Some(after));
            }
        }
    }

    /// Sets the owner's entry, or takes it out. O(log n), and O(n) where an entry comes or goes.
    pub(crate) fn put(&mut self, owner: ReplicaIndex, entry: Option<CounterEntry>) {
        let is_owner = |only: &CounterEntry| only.dot.replica() == owner;
        match (&mut *self, entry) {
            (Self::Vacant, None) => {}
            (Self::Vacant, Some(entry)) => *self = Self::One(entry),
            (Self::One(only), entry) if is_owner(only) => *self = entry.map_or(Self::Vacant, Self::One),
            (Self::One(_), None) => {}
            (Self::One(only), Some(entry)) => {
                let mut many = Summed::from(slice::from_ref(only));
                many.put(owner, Some(entry));
                *self = Self::Many(Box::new(many));
            }
            (Self::Many(many), entry) => {
                many.put(owner, entry);
                if many.entries.is_empty() {
                    *self = Self::Vacant;
                }
            }
        }
    }
}

impl Summed {
    fn put(&mut self, owner: ReplicaIndex, entry: Option<CounterEntry>) {
        let position = position(&self.entries, owner);
        if let Ok(at) = position {
            self.sum -= self.entries[at].value();
            self.live -= usize::from(self.entries[at].is_live());
        }
        if let Some(entry) = entry {
            self.sum += entry.value();
            self.live += usize::from(entry.is_live());
        }
        match (position, entry) {
            (Ok(at), Some(entry)) => self.entries[at] = entry,
            (Ok(at), None) => drop(self.entries.remove(at)),
            (Err(at), Some(entry)) => self.entries.insert(at, entry),
            (Err(_), None) => {}
        }
    }
}

impl From<&[CounterEntry]> for Summed {
    fn from(entries: &[CounterEntry]) -> Self {
        let live = entries.iter().filter(|entry| entry.is_live()).count();
        let sum = entries.iter().map(CounterEntry::value).sum();
        Self { entries: entries.into(), live, sum }
    }
}

fn position(entries: &[CounterEntry], owner: ReplicaIndex) -> Result<usize, usize> {
    entries.binary_search_by_key(&owner, |entry| entry.dot.replica())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(position: usize) -> ReplicaIndex {
        ReplicaIndex::new(position)
    }

    fn entry(position: usize, total: i64, base: u64) -> CounterEntry {
        CounterEntry { dot: LocalDot::new(owner(position), 3), total, base, base_total: 0 }
    }

    #[test]
    fn what_is_kept_of_the_sum_is_the_sum_whatever_comes_and_goes() {
        let mut counter = CounterNode::default();
        let steps = [
            (2, Some(entry(2, 5, 0))),
            (1, None),
            (0, Some(entry(0, 7, 3))),
            (1, Some(entry(1, i64::MAX, 1))),
            (2, Some(entry(2, 6, 0))),
            (1, None),
            (2, Some(entry(2, 6, 3))),
            (2, None),
            (0, None),
        ];
        for (position, entry) in steps {
            counter.put(owner(position), entry);
            assert_eq!(counter.entry(owner(position)).copied(), entry);
            let entries = counter.entries();
            assert!(entries.is_sorted_by_key(|entry| entry.dot));
            assert_eq!(counter.value(), entries.iter().map(CounterEntry::value).sum());
            assert_eq!(counter.is_visible(), entries.iter().any(CounterEntry::is_live));
            let read = CounterNode::from_sorted(entries.into());
            assert_eq!((read.visible_value(), read.entries()), (counter.visible_value(), entries));
        }
        assert!(matches!(counter, CounterNode::Vacant));
    }
}
