//! Register: the values that no write has replaced, each with the dot and the stamp of its write.
//!
//! A value on one side only: newer, or replaced on the other? Their version tells, as everywhere. Clocks decide nothing
//! but which of several values readers get.
//!
//! Source: Almeida, Shoker, Baquero, "Delta state replicated data types" (2018), §7.2; differs in: a stamp a value, and
//! the version is the holder's.

use std::cmp::Reverse;

use smallvec::SmallVec;

use crate::clock::Stamp;
use crate::context::{Context, LocalDot};
use crate::elements::Sides;
use crate::planted::{Bug, is_planted};
use crate::value::Value;

/// The values that no write has replaced: one, or several where writes were concurrent.
#[derive(Clone, Debug)]
pub(crate) struct RegisterNode<T = Value> {
    pub(crate) entries: SmallVec<[RegisterEntry<T>; 1]>,
}

/// One value of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegisterEntry<T = Value> {
    pub(crate) dot: LocalDot,
    pub(crate) stamp: Stamp,
    pub(crate) value: T,
}

impl<T> RegisterNode<T> {
    /// Returns the entries, the winner first: the latest stamp, then the greatest replica id.
    pub(crate) fn ranked(&self, context: &Context) -> SmallVec<[&RegisterEntry<T>; 2]> {
        let mut ranked: SmallVec<[&RegisterEntry<T>; 2]> = self.entries.iter().collect();
        ranked.sort_by_key(|entry| Reverse((entry.stamp, context.dot(entry.dot))));
        ranked
    }

    pub(crate) fn winner(&self, context: &Context) -> Option<&RegisterEntry<T>> {
        if is_planted(Bug::TieByArrival) {
            return self.entries.last();
        }
        match &self.entries[..] {
            [only] => Some(only),
            entries => entries.iter().max_by_key(|entry| (entry.stamp, context.dot(entry.dot))),
        }
    }

    /// Takes out the entries that `goes` tells; `lost` sees each.
    pub(crate) fn take_out(&mut self, goes: impl Fn(LocalDot) -> bool, mut lost: impl FnMut(&RegisterEntry<T>)) {
        self.entries.retain(|entry| {
            let goes = goes(entry.dot);
            if goes {
                lost(entry);
            }
            !goes
        });
    }
}

impl<T: Clone> RegisterNode<T> {
    /// Takes in the entries of the other side. `changed` sees each entry that goes or comes, or one that takes the
    /// place of another: before and after. O(n log n).
    pub(crate) fn merge(
        &mut self,
        theirs: &Self,
        sides: &Sides,
        mut changed: impl FnMut(Option<&RegisterEntry<T>>, Option<&RegisterEntry<T>>),
    ) {
        if let ([mine], [theirs]) = (&mut self.entries[..], &theirs.entries[..]) {
            let dot = sides.translated(theirs.dot);
            if dot == mine.dot {
                return;
            }
            if sides.theirs_covers(mine.dot) && !sides.mine_covers(dot) {
                let after = RegisterEntry { dot, ..theirs.clone() };
                changed(Some(mine), Some(&after));
                *mine = after;
                return;
            }
        }
        let translated = theirs.entries.iter().map(|entry| (sides.translated(entry.dot), entry));
        let mut theirs: SmallVec<[(LocalDot, &RegisterEntry<T>); 2]> = translated.collect();
        theirs.sort_unstable_by_key(|(dot, _)| *dot);
        let have = |dot| theirs.binary_search_by_key(&dot, |(theirs, _)| *theirs).is_ok();
        self.take_out(|dot| !have(dot) && sides.theirs_covers(dot), |lost| changed(Some(lost), None));
        for (dot, entry) in theirs.into_iter().filter(|(dot, _)| !sides.mine_covers(*dot)) {
            let entry = RegisterEntry { dot, ..entry.clone() };
            changed(None, Some(&entry));
            self.entries.push(entry);
        }
    }
}

impl<T> Default for RegisterNode<T> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}
