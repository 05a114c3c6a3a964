//! The elements of an add-wins set, with the dots that added them.
//!
//! An element here but not there: new, or removed there? If the other context covers its dot,
//! they had it and removed it; otherwise they have not seen it yet. So a removal leaves nothing
//! behind, and a set costs memory only for what is in it.
//!
//! The version belongs to whoever holds the elements: a plain set has its own, a document has one
//! for all its sets.
//!
//! Source: Bieniusa et al., "An optimized conflict-free replicated set" (2012), §4; differs in: the
//! version is the holder's, entries are shared copy-on-write and merge table by table.

use std::borrow::Borrow;
use std::hash::Hash;

use crate::context::{Context, LocalDot, ReplicaIndex, TooManyReplicas};
use crate::dots::Dots;
use crate::planted::{Bug, is_planted};
use crate::table::{Builder, Fuse, Outcome, Table};

/// Elements and the dots that added them. Cloning is O(1).
///
/// Dots are in the replica numbers of the holder's context. Numbers are only ever added to a context,
/// so what two clones still share means the same on both sides, and a merge may skip it unread.
#[derive(Clone, Debug)]
pub(crate) struct Elements<E> {
    /// No element is without a dot.
    dots: Table<E, Dots>,
}

/// What two values that merge have seen, all in the replica numbers of the one that takes in.
#[derive(Debug)]
pub(crate) struct Sides {
    /// Counters applied on my side, by my numbers.
    mine: Vec<u64>,
    /// Counters applied on the other side, by my numbers.
    theirs: Vec<u64>,
    /// My number of each replica, by theirs.
    numbers: Vec<ReplicaIndex>,
}

impl Sides {
    /// Compares two contexts before a merge, and numbers the replicas of `theirs` in `mine`. The
    /// counters of `mine` stay: raise them after the merge.
    pub(crate) fn new(mine: &mut Context, theirs: &Context) -> Result<Self, TooManyReplicas> {
        let numbers = mine.intern_all(theirs)?;
        let mut counters = vec![0; mine.len()];
        for (number, counter) in numbers.iter().zip(theirs.counters()) {
            counters[number.position()] = *counter;
        }
        Ok(Self { mine: mine.counters().to_vec(), theirs: counters, numbers })
    }

    /// Returns my number of each replica, by theirs.
    pub(crate) fn numbers(&self) -> &[ReplicaIndex] {
        &self.numbers
    }

    /// Gives a dot of theirs my number for its replica.
    pub(crate) fn translated(&self, theirs: LocalDot) -> LocalDot {
        theirs.translated(&self.numbers)
    }

    /// Tells whether my side has seen this dot, given in my numbers.
    pub(crate) fn mine_covers(&self, dot: LocalDot) -> bool {
        dot.counter() <= self.mine[dot.replica().position()]
    }

    /// Tells whether the other side has seen this dot, given in my numbers.
    pub(crate) fn theirs_covers(&self, dot: LocalDot) -> bool {
        dot.counter() <= self.theirs[dot.replica().position()]
    }

    /// Merges the dots of one entry: what both have stays, and so does what one side has and the
    /// other has not seen. Returns `None` if that is what I have already.
    pub(crate) fn merged(&self, mine: &Dots, theirs: &Dots) -> Option<Dots> {
        if let (Dots::One(mine), Dots::One(theirs)) = (mine, theirs)
            && *mine == self.translated(*theirs)
        {
            return None;
        }
        let theirs: Dots = theirs.iter().map(|dot| self.translated(dot)).collect();
        let kept = mine.iter().filter(|dot| theirs.contains(*dot) || !self.theirs_covers(*dot));
        let new = theirs.iter().filter(|dot| !self.mine_covers(*dot));
        let merged: Dots = kept.chain(new).collect();
        (merged != *mine).then_some(merged)
    }

    /// Raises my context to cover what the other side has seen: the end of a merge.
    pub(crate) fn adopt(&self, mine: &mut Context) {
        for (position, counter) in self.theirs.iter().enumerate() {
            mine.raise(ReplicaIndex::new(position), *counter);
        }
    }
}

impl<E> Elements<E> {
    pub(crate) const fn new() -> Self {
        Self { dots: Table::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.dots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dots.is_empty()
    }

    /// Yields elements and their dots, in no order that may be relied on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&E, &Dots)> {
        self.dots.iter()
    }
}

impl<E: Clone + Eq + Hash> Elements<E> {
    /// Returns `len` elements to be: what is pushed, none of it twice or without a dot.
    pub(crate) fn builder(len: usize) -> Builder<E, Dots> {
        Builder::with_capacity(len)
    }

    /// Returns the elements that were pushed.
    pub(crate) fn built(builder: Builder<E, Dots>) -> Self {
        Self { dots: builder.finish() }
    }

    /// Returns the dots of an element that is there.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, element: &Q) -> Option<&Dots>
    where
        E: Borrow<Q>,
    {
        self.dots.get(element)
    }

    /// Puts an element with these dots, none of them lacking; returns those it had. A local add
    /// puts its one fresh dot and supersedes the rest.
    pub(crate) fn insert(&mut self, element: E, dots: Dots) -> Option<Dots> {
        debug_assert!(!dots.is_empty(), "an element without dots is not there");
        self.dots.insert(element, dots)
    }

    /// Removes an element and returns it with the dots it had.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, element: &Q) -> Option<(E, Dots)>
    where
        E: Borrow<Q>,
    {
        self.dots.remove_entry(element)
    }

    /// Changes the dots of one element: it appears with its first dot and goes with its last.
    /// `changed` sees them before and after, if they differ; otherwise nothing is copied.
    pub(crate) fn update(&mut self, element: &E, change: impl FnOnce(&mut Dots), changed: impl FnOnce(&Dots, &Dots)) {
        let none = Dots::new();
        self.dots.alter(element, |dots| {
            let before = dots.unwrap_or(&none);
            let mut after = before.clone();
            change(&mut after);
            if after == *before {
                return Outcome::Keep;
            }
            changed(before, &after);
            if after.is_empty() { Outcome::Drop } else { Outcome::Put(after) }
        });
    }

    /// Takes in the elements of the other side. `changed` sees every element whose dots change,
    /// before and after; empty before means that it appears, empty after that it goes.
    /// O(elements of both) less what the two share since one was cloned from the other.
    pub(crate) fn merge(&mut self, other: &Self, sides: &Sides, changed: impl FnMut(&E, &Dots, &Dots)) {
        self.dots.merge(&other.dots, &mut AddWins { sides, changed, none: Dots::new() });
    }
}

impl<E> Default for Elements<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// The merge rule, entry by entry.
struct AddWins<'a, F> {
    sides: &'a Sides,
    changed: F,
    none: Dots,
}

impl<F> AddWins<'_, F> {
    /// Decides about an element that the other side lacks.
    fn lacked<E>(&mut self, element: &E, mine: &Dots) -> Outcome<Dots>
    where
        F: FnMut(&E, &Dots, &Dots),
    {
        let is_news = |dot: &LocalDot| !self.sides.theirs_covers(*dot) && !is_planted(Bug::MergeDropsNews);
        if mine.iter().all(|dot| is_news(&dot)) {
            return Outcome::Keep;
        }
        let kept: Dots = mine.iter().filter(is_news).collect();
        (self.changed)(element, mine, &kept);
        if kept.is_empty() { Outcome::Drop } else { Outcome::Put(kept) }
    }
}

impl<E, F: FnMut(&E, &Dots, &Dots)> Fuse<E, Dots> for AddWins<'_, F> {
    fn mine(&mut self, element: &E, mine: &Dots, theirs: Option<&Dots>) -> Outcome<Dots> {
        let Some(theirs) = theirs else { return self.lacked(element, mine) };
        let Some(merged) = self.sides.merged(mine, theirs) else { return Outcome::Keep };
        (self.changed)(element, mine, &merged);
        if merged.is_empty() { Outcome::Drop } else { Outcome::Put(merged) }
    }

    fn theirs(&mut self, element: &E, theirs: &Dots) -> Option<Dots> {
        let is_new = |dot: &LocalDot| !self.sides.mine_covers(*dot) || is_planted(Bug::MergeResurrects);
        let new: Dots = theirs.iter().map(|dot| self.sides.translated(dot)).filter(is_new).collect();
        if new.is_empty() {
            return None;
        }
        (self.changed)(element, &self.none, &new);
        Some(new)
    }
}
