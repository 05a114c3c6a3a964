//! The elements of an add-wins set, with the dots that added them.
//!
//! An element here but not there: new, or removed there? If the other context covers its dot,
//! they had it and removed it; otherwise they have not seen it yet. So a removal leaves nothing
//! behind, and a set costs memory only for what is in it.
//!
//! And what do concurrent inserts cost, after which an element has several dots? Nothing where there are none: an
//! entry has room for one dot, in eight bytes, and the few elements with more have theirs in a second table beside it.
//!
//! The version belongs to whoever holds the elements: a plain set has its own, a document has one
//! for all its sets.
//!
//! Source: Bieniusa et al., "An optimized conflict-free replicated set" (2012), §4; differs in: the
//! version is the holder's, entries are shared copy-on-write and merge table by table.

mod merge;

use std::borrow::Borrow;
use std::hash::Hash;
use std::slice;

use crate::context::LocalDot;
use crate::dots::Dots;
use crate::table::{self, Outcome, Table};

pub(crate) use merge::Sides;

/// Elements and the dots that added them. Cloning is O(1).
///
/// Dots are in the replica numbers of the holder's context. Numbers are only ever added to a context,
/// so what two clones still share means the same on both sides, and a merge may skip it unread.
#[derive(Clone, Debug)]
pub(crate) struct Elements<E> {
    /// All elements.
    entries: Table<E, Held>,
    /// Whenever it changes for an element, the element's entry is written too. So where two clones still
    /// share an entry, its element has the same dots on both sides, however many.
    several: Several<E>,
}

/// What the entry of an element holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The only dot.
    Dot(LocalDot),
    /// A note that the element has several, which are beside.
    Several,
}

/// The dots of the elements that have more than one, and of no others.
#[derive(Clone, Debug)]
struct Several<E>(Table<E, Box<[LocalDot]>>);

/// Elements to be: what is pushed, none of it twice or without a dot.
pub(crate) struct Builder<E> {
    entries: table::Builder<E, Held>,
    several: table::Builder<E, Box<[LocalDot]>>,
}

/// Why the dots that an entry notes are there.
const NOTED: &str = "several dots are noted in an entry once they are here";

impl<E> Elements<E> {
    pub(crate) const fn new() -> Self {
        Self { entries: Table::new(), several: Several(Table::new()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Yields the elements, in no order that may be relied on.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &E> {
        self.entries.iter().map(|(element, _)| element)
    }
}

impl<E: Eq + Hash> Elements<E> {
    /// Yields elements and their dots, ascending, in no order that may be relied on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&E, &[LocalDot])> {
        self.held().map(|(element, held)| (element, self.dots(element, held)))
    }

    /// Yields elements and what is [held](Self::dots) of their dots in a word, for those who keep many.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&E, &Held)> {
        self.entries.iter()
    }

    /// Returns the dots of an element that is there, ascending.
    pub(crate) fn dots<'a>(&'a self, element: &E, held: &'a Held) -> &'a [LocalDot] {
        self.several.dots(element, held)
    }

    /// Returns the dots of an element that is there, ascending.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, element: &Q) -> Option<&[LocalDot]>
    where
        E: Borrow<Q>,
    {
        self.entries.get(element).map(|held| self.several.dots(element, held))
    }
}

impl<E: Clone + Eq + Hash> Elements<E> {
    /// Begins elements of which there will be about `len`.
    pub(crate) fn builder(len: usize) -> Builder<E> {
        Builder { entries: table::Builder::with_capacity(len), several: table::Builder::with_capacity(0) }
    }

    /// Returns the elements that were pushed.
    pub(crate) fn built(builder: Builder<E>) -> Self {
        Self { entries: builder.entries.finish(), several: Several(builder.several.finish()) }
    }

    /// Puts an element with its one fresh dot, which supersedes the rest; returns those it had.
    pub(crate) fn insert(&mut self, element: E, dot: LocalDot) -> Option<Dots> {
        let several = self.several.0.remove(&element).map(Dots::Many);
        match self.entries.insert(element, Held::Dot(dot)) {
            Some(Held::Dot(before)) => Some(before.into()),
            Some(Held::Several) | None => several,
        }
    }

    /// Removes an element and returns it with the dots it had.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, element: &Q) -> Option<(E, Dots)>
    where
        E: Borrow<Q>,
    {
        let (stored, held) = self.entries.remove_entry(element)?;
        let dots = match held {
            Held::Dot(dot) => dot.into(),
            Held::Several => Dots::Many(self.several.0.remove(element).expect(NOTED)),
        };
        Some((stored, dots))
    }

    /// Changes the dots of one element to those that `change` returns: it appears with its first dot and goes
    /// with its last. `changed` sees them before and after, if they differ; otherwise nothing is copied.
    pub(crate) fn update(
        &mut self,
        element: &E,
        change: impl FnOnce(&[LocalDot]) -> Dots,
        changed: impl FnOnce(&[LocalDot], &[LocalDot]),
    ) {
        let Self { entries, several } = self;
        entries.alter(element, |held| {
            let before = held.map_or(&[][..], |held| several.dots(element, held));
            let after = change(before);
            if *after == *before {
                return Outcome::Keep;
            }
            changed(before, &after);
            several.settle(element, held, after)
        });
    }
}

impl<E: Eq + Hash> Several<E> {
    /// Returns the dots of an element whose entry holds this.
    fn dots<'a, Q: Eq + Hash + ?Sized>(&'a self, element: &Q, held: &'a Held) -> &'a [LocalDot]
    where
        E: Borrow<Q>,
    {
        match held {
            Held::Dot(dot) => slice::from_ref(dot),
            Held::Several => self.0.get(element).expect(NOTED),
        }
    }
}

impl<E: Clone + Eq + Hash> Several<E> {
    /// Keeps the new dots of an element here if they are several, and nothing if not. Returns what becomes of its
    /// entry, which has `held` something else if anything.
    fn settle(&mut self, element: &E, held: Option<&Held>, dots: Dots) -> Outcome<Held> {
        if held == Some(&Held::Several) && dots.len() < 2 {
            self.0.remove(element);
        }
        match dots {
            Dots::One(dot) => Outcome::Put(Held::Dot(dot)),
            Dots::Many(dots) if dots.is_empty() => Outcome::Drop,
            Dots::Many(dots) => {
                self.0.insert(element.clone(), dots);
                Outcome::Put(Held::Several)
            }
        }
    }
}

impl<E: Clone + Eq + Hash> Builder<E> {
    /// Adds an element. O(1).
    pub(crate) fn push(&mut self, element: E, dots: Dots) {
        debug_assert!(!dots.is_empty(), "an element without dots is not there");
        let held = match dots {
            Dots::One(dot) => Held::Dot(dot),
            Dots::Many(dots) => {
                self.several.push(element.clone(), dots);
                Held::Several
            }
        };
        self.entries.push(element, held);
    }

    /// Returns the element that was added last.
    pub(crate) fn last(&self) -> Option<&E> {
        self.entries.last()
    }
}

impl<E> Default for Elements<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
