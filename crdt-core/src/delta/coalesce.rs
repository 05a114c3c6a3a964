//! Consecutive deltas into one: what a lagging peer gets instead of every step.

use super::{
    ChainedRange, CoalesceError, CounterDelta, Delta, LeafDelta, MapDelta, NodeDelta, SetDelta, implies, range_of,
};
use crate::id::Dot;
use crate::node::OwnWrite;
use crate::planted::{Bug, is_planted};

impl Delta {
    /// Takes in the delta that comes right after this one, in any log that holds both.
    ///
    /// The result has the effect of both on every receiver that could take in both in turn, also
    /// on one that already has part of the range. Ten thousand overwrites of one register cost
    /// one value; what was added and removed within the range costs its key.
    /// Cost: O(entries of `next` × log n), and the replicas that either supersedes.
    ///
    /// # Errors
    /// [`CoalesceError`] if `next` starts elsewhere than this delta ends for some replica, or before
    /// something that this delta supersedes; nothing has changed.
    pub fn coalesce(&mut self, next: &Self) -> Result<(), CoalesceError> {
        self.check_continued_by(next)?;
        self.body.coalesce(&next.body, &self.ranges);
        for theirs in &next.ranges {
            match self.ranges.binary_search_by_key(&theirs.range.replica, |ours| ours.range.replica) {
                Ok(at) => {
                    self.ranges[at].range.through = theirs.range.through;
                    self.ranges[at].chain_through = theirs.chain_through;
                }
                Err(at) => self.ranges.insert(at, *theirs),
            }
        }
        self.salt = None;
        self.add_needs(next);
        Ok(())
    }

    fn check_continued_by(&self, next: &Self) -> Result<(), CoalesceError> {
        for theirs in next.ranges() {
            let (replica, found) = (theirs.replica, theirs.after);
            // A log may hold a coalesced delta that begins before what the log had already. What
            // this delta takes out must not be added again by such a latecomer.
            let need = self.needs.binary_search_by_key(&replica, |need| need.replica).ok();
            let expected = match (range_of(&self.ranges, replica), need.map(|at| self.needs[at].counter)) {
                (Some(ours), _) if ours.through != found => ours.through,
                (_, Some(need)) if need > found => need,
                _ => continue,
            };
            return Err(CoalesceError { replica, expected, found });
        }
        Ok(())
    }

    /// Raises `needs` by those of `next`, except what the ranges now imply.
    fn add_needs(&mut self, next: &Self) {
        for need in &next.needs {
            match self.needs.binary_search_by_key(&need.replica, |ours| ours.replica) {
                Ok(at) => self.needs[at].counter = self.needs[at].counter.max(need.counter),
                Err(at) => self.needs.insert(at, *need),
            }
        }
        self.needs.retain(|need| !implies(&self.ranges, *need));
    }
}

/// Tells whether a dot lies in the earlier delta's ranges.
fn spans(earlier: &[ChainedRange], dot: Dot) -> bool {
    range_of(earlier, dot.replica).is_some_and(|range| range.contains(dot.counter))
}

impl MapDelta {
    fn coalesce(&mut self, next: &Self, earlier: &[ChainedRange]) {
        coalesce_presence(&mut self.presence, next.presence.as_deref(), earlier);
        for (key, theirs) in next.children.iter() {
            let ours = self.children.get_or_insert_with(key.clone(), || NodeDelta::new(key.kind));
            match (ours, theirs) {
                (NodeDelta::Register(ours), NodeDelta::Register(theirs)) => ours.coalesce(theirs, earlier),
                (NodeDelta::Counter(ours), NodeDelta::Counter(theirs)) => ours.coalesce(theirs),
                (NodeDelta::Set(ours), NodeDelta::Set(theirs)) => ours.coalesce(theirs, earlier),
                (NodeDelta::Map(ours), NodeDelta::Map(theirs)) => ours.coalesce(theirs, earlier),
                _ => unreachable!("a key's kind is its node's kind: decoding and transactions build both from one"),
            }
        }
    }
}

impl SetDelta {
    fn coalesce(&mut self, next: &Self, earlier: &[ChainedRange]) {
        coalesce_presence(&mut self.presence, next.presence.as_deref(), earlier);
        for (element, theirs) in next.elements.iter() {
            self.elements.get_or_insert_with(element.clone(), LeafDelta::default).coalesce(theirs, earlier);
        }
        if is_planted(Bug::ForgetTouched) {
            self.elements.retain(|_, leaf| !leaf.added.is_empty() || !leaf.superseded.is_empty());
        }
    }
}

fn coalesce_presence(ours: &mut Option<Box<LeafDelta<()>>>, theirs: Option<&LeafDelta<()>>, earlier: &[ChainedRange]) {
    if let Some(theirs) = theirs {
        ours.get_or_insert_default().coalesce(theirs, earlier);
    }
}

impl<P: Clone> LeafDelta<P> {
    fn coalesce(&mut self, next: &Self, earlier: &[ChainedRange]) {
        let rewritten = |dot: Dot| next.added.binary_search_by_key(&dot.replica, |(added, _)| added.replica).is_ok();
        self.added.retain(|(dot, _)| next.superseded.binary_search(dot).is_err() && !rewritten(*dot));
        self.added.extend(next.added.iter().cloned());
        self.added.sort_unstable_by_key(|(dot, _)| *dot);
        // A dot inside the earlier range need not be named: touched and not listed says it.
        self.superseded.extend(next.superseded.iter().copied().filter(|dot| !spans(earlier, *dot)));
        self.superseded.sort_unstable();
        self.superseded.dedup();
    }
}

impl CounterDelta {
    fn coalesce(&mut self, next: &Self) {
        for (owner, (counter, write)) in next.writes.iter() {
            let write = self.writes.get(owner).map_or(*write, |(_, earlier)| write.after(*earlier));
            self.writes.insert(*owner, (*counter, write));
        }
        for (owner, reset) in next.resets.iter() {
            let ours = self.resets.get_or_insert_with(*owner, || *reset);
            if reset.0 > ours.0 {
                *ours = *reset;
            }
        }
    }
}

impl OwnWrite {
    /// Returns the effect of this write right after `earlier`.
    fn after(self, earlier: Self) -> Self {
        match (self, earlier) {
            (Self::Total { total, since: None }, Self::Total { since, .. }) => Self::Total { total, since },
            _ => self,
        }
    }
}
