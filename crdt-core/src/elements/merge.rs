//! Merging two add-wins sets, element by element.

use std::hash::Hash;

use super::{Elements, Held, Several};
use crate::context::{Context, LocalDot, ReplicaIndex, TooManyReplicas};
use crate::dots::Dots;
use crate::planted::{Bug, is_planted};
use crate::table::{Fuse, Outcome};

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

    /// Merges the dots of one entry, none if a side lacks it: what both have stays, and so does what one side has
    /// and the other has not seen. Returns `None` if that is what I have already.
    pub(crate) fn merged(&self, mine: &[LocalDot], theirs: &[LocalDot]) -> Option<Dots> {
        let theirs: Dots = theirs.iter().map(|dot| self.translated(*dot)).collect();
        let kept = mine.iter().copied().filter(|dot| theirs.contains(*dot) || self.is_news(*dot));
        let new = theirs.iter().copied().filter(|dot| self.is_new(*dot));
        let merged: Dots = kept.chain(new).collect();
        (*merged != *mine).then_some(merged)
    }

    /// Tells whether a dot of mine, which the other side lacks, is one that it has not seen.
    fn is_news(&self, mine: LocalDot) -> bool {
        !self.theirs_covers(mine) && !is_planted(Bug::MergeDropsNews)
    }

    /// Tells whether a dot of theirs, given in my numbers, is one that I have not seen.
    fn is_new(&self, theirs: LocalDot) -> bool {
        !self.mine_covers(theirs) || is_planted(Bug::MergeResurrects)
    }

    /// Raises my context to cover what the other side has seen: the end of a merge.
    pub(crate) fn adopt(&self, mine: &mut Context) {
        for (position, counter) in self.theirs.iter().enumerate() {
            mine.raise(ReplicaIndex::new(position), *counter);
        }
    }
}

impl<E: Clone + Eq + Hash> Elements<E> {
    /// Takes in the elements of the other side. `changed` sees every element whose dots change,
    /// before and after; none before means that it appears, none after that it goes.
    /// O(elements of both) less what the two share since one was cloned from the other.
    pub(crate) fn merge(&mut self, other: &Self, sides: &Sides, changed: impl FnMut(&E, &[LocalDot], &[LocalDot])) {
        let Self { entries, several } = self;
        entries.merge(&other.entries, &mut AddWins { sides, mine: several, theirs: &other.several, changed });
    }
}

/// The merge rule, entry by entry.
struct AddWins<'a, E, F> {
    sides: &'a Sides,
    mine: &'a mut Several<E>,
    theirs: &'a Several<E>,
    changed: F,
}

impl<E, F> Fuse<E, Held> for AddWins<'_, E, F>
where
    E: Clone + Eq + Hash,
    F: FnMut(&E, &[LocalDot], &[LocalDot]),
{
    fn mine(&mut self, element: &E, mine: &Held, theirs: Option<&Held>) -> Outcome<Held> {
        // Nearly always there is one dot on either side, and it stays.
        match (mine, theirs) {
            (Held::Dot(mine), Some(Held::Dot(theirs))) if *mine == self.sides.translated(*theirs) => {
                return Outcome::Keep;
            }
            (Held::Dot(mine), None) if self.sides.is_news(*mine) => return Outcome::Keep,
            _ => {}
        }
        let before = self.mine.dots(element, mine);
        let theirs = theirs.map_or(&[][..], |theirs| self.theirs.dots(element, theirs));
        let Some(after) = self.sides.merged(before, theirs) else { return Outcome::Keep };
        (self.changed)(element, before, &after);
        self.mine.settle(element, Some(mine), after)
    }

    fn theirs(&mut self, element: &E, theirs: &Held) -> Option<Held> {
        if let Held::Dot(theirs) = theirs {
            let dot = Some(self.sides.translated(*theirs)).filter(|dot| self.sides.is_new(*dot))?;
            (self.changed)(element, &[], &[dot]);
            return Some(Held::Dot(dot));
        }
        let new = self.sides.merged(&[], self.theirs.dots(element, theirs))?;
        (self.changed)(element, &[], &new);
        match self.mine.settle(element, None, new) {
            Outcome::Put(held) => Some(held),
            Outcome::Keep | Outcome::Drop => None,
        }
    }
}
