//! What one transaction does to one key of a map of registers, and the register as a cell of the map.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::Stamp;
use crate::context::{Context, LocalDot};
use crate::elements::Sides;
use crate::id::Dot;
use crate::node::{RegisterEntry, RegisterNode};
use crate::types::or_map::{Cell, Change};
use crate::types::{are_superseded, few};

/// What one transaction did to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::types) struct Write<T> {
    /// `None` takes out only.
    pub(super) written: Option<(Stamp, T)>,
    /// Ascending; nearly always one at most.
    #[serde(deserialize_with = "few::few")]
    pub(super) superseded: SmallVec<[Dot; 1]>,
}

/// One value of a key, as it is serialised.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::types) struct Written<T> {
    dot: Dot,
    stamp: Stamp,
    value: T,
}

/// Returns the full names of a register's dots, ascending.
pub(super) fn named<T>(register: &RegisterNode<T>, context: &Context) -> SmallVec<[Dot; 1]> {
    let mut named: SmallVec<[Dot; 1]> = register.entries.iter().map(|entry| context.dot(entry.dot)).collect();
    named.sort_unstable();
    named
}

impl<T: Clone> Cell for RegisterNode<T> {
    type Entry = RegisterEntry<T>;
    type Change = Write<T>;
    type Named = Written<T>;

    fn stays(&self, theirs: Option<&Self>, sides: &Sides) -> bool {
        match (&self.entries[..], theirs.map(|theirs| &theirs.entries[..])) {
            (mine, None) => mine.iter().all(|entry| !sides.theirs_covers(entry.dot)),
            ([mine], Some([theirs])) => mine.dot == sides.translated(theirs.dot),
            _ => false,
        }
    }

    fn is_vacant(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_visible(&self) -> bool {
        !self.is_vacant()
    }

    fn apply(
        &mut self,
        change: &Write<T>,
        dot: LocalDot,
        context: &Context,
        mut changed: impl FnMut(Option<&RegisterEntry<T>>, Option<&RegisterEntry<T>>),
    ) {
        // Its author's last value here is gone, even if it was another that removed it, in a delta still to come.
        let is_own = |entry: LocalDot| entry.replica() == dot.replica();
        // By their full names: those of the change need no numbers then.
        let goes = |entry| is_own(entry) || change.superseded.binary_search(&context.dot(entry)).is_ok();
        self.take_out(goes, |lost| changed(Some(lost), None));
        if let Some((stamp, value)) = &change.written {
            let entry = RegisterEntry { dot, stamp: *stamp, value: value.clone() };
            changed(None, Some(&entry));
            self.entries.push(entry);
        }
    }

    fn merge(
        &mut self,
        theirs: &Self,
        sides: &Sides,
        changed: impl FnMut(Option<&RegisterEntry<T>>, Option<&RegisterEntry<T>>),
    ) {
        RegisterNode::merge(self, theirs, sides, changed);
    }

    fn named(&self, context: &Context) -> SmallVec<[Written<T>; 1]> {
        let entries = self.entries.iter();
        let mut named: SmallVec<[Written<T>; 1]> = entries
            .map(|entry| Written { dot: context.dot(entry.dot), stamp: entry.stamp, value: entry.value.clone() })
            .collect();
        named.sort_unstable_by_key(|written| written.dot);
        named
    }

    fn dot(entry: &Written<T>) -> Dot {
        entry.dot
    }

    fn read(entries: impl ExactSizeIterator<Item = (LocalDot, Written<T>)>) -> Option<Self> {
        let entry = |(dot, Written { stamp, value, .. })| RegisterEntry { dot, stamp, value };
        let entries: SmallVec<[RegisterEntry<T>; 1]> = entries.map(entry).collect();
        entries.is_sorted_by(|a, b| a.dot.replica() != b.dot.replica()).then_some(Self { entries })
    }
}

impl<T> Change for Write<T> {
    fn superseded(&self) -> impl Iterator<Item = Dot> {
        self.superseded.iter().copied()
    }

    fn is_valid(&self, dot: Dot) -> bool {
        are_superseded(&self.superseded, dot)
    }
}
