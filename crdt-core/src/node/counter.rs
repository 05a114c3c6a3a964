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

use smallvec::SmallVec;

use crate::context::{LocalDot, ReplicaIndex};
use crate::planted::{Bug, is_planted};

/// The entries of one counter, at most one a replica, sorted by replica index.
#[derive(Clone, Debug, Default)]
pub(crate) struct CounterNode {
    pub(crate) entries: SmallVec<[CounterEntry; 1]>,
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

impl CounterEntry {
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
    /// Returns the sum over all replicas.
    pub(crate) fn value(&self) -> i128 {
        self.entries.iter().map(CounterEntry::value).sum()
    }

    /// Tells whether something was counted that no reset has taken out.
    pub(crate) fn is_visible(&self) -> bool {
        self.entries.iter().any(CounterEntry::is_live)
    }

    /// Returns the value, or `None` if nothing is visible.
    pub(crate) fn visible_value(&self) -> Option<i128> {
        self.is_visible().then(|| self.value())
    }

    pub(crate) fn entry(&self, owner: ReplicaIndex) -> Option<&CounterEntry> {
        self.position(owner).ok().map(|at| &self.entries[at])
    }

    /// Sets the owner's entry, or takes it out.
    pub(crate) fn put(&mut self, owner: ReplicaIndex, entry: Option<CounterEntry>) {
        match (self.position(owner), entry) {
            (Ok(at), Some(entry)) => self.entries[at] = entry,
            (Ok(at), None) => {
                self.entries.remove(at);
            }
            (Err(at), Some(entry)) => self.entries.insert(at, entry),
            (Err(_), None) => {}
        }
    }

    fn position(&self, owner: ReplicaIndex) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&owner, |entry| entry.dot.replica())
    }
}
