//! What is true of one document, whatever its replicas say: the model, and who has spent which dot.
//!
//! How does a version become a set of events? Dots of one replica have no gaps, so a version covers
//! a prefix of each replica's events. A crash takes the end of a prefix away: what was not durable
//! has never happened, and its dots may be spent again for something else.

use std::collections::BTreeMap;

use crdt_core::{Digest, Dot, ReplicaId, Stamp, VersionVector};

use crate::model::{Event, EventSet, Model};
use crate::view::View;

/// The history of one document.
#[derive(Debug, Default)]
pub struct Truth {
    /// All events, those that were lost included.
    pub model: Model,
    /// By replica: what it has spent its dots on, in order.
    spent: BTreeMap<ReplicaId, Vec<Spent>>,
    /// What the content hashes to, by what is in it.
    digests: BTreeMap<EventSet, Digest>,
}

/// One dot that was spent.
#[derive(Clone, Copy, Debug)]
struct Spent {
    event: usize,
    /// It and all before it of the same replica.
    through: EventSet,
    /// The hash of the delta's bytes.
    content: u64,
    /// The greatest stamp that its replica has given in this life, up to it.
    stamp: Stamp,
}

impl Truth {
    /// Returns the events that a version covers; `Err` with a dot that nobody has spent.
    ///
    /// # Errors
    /// The first dot that was never spent, or spent and lost.
    pub fn events(&self, version: &VersionVector) -> Result<EventSet, Dot> {
        let mut events = EventSet::default();
        for (replica, counter) in version.iter() {
            let spent = self.spent.get(&replica).and_then(|spent| spent.get(counter as usize - 1));
            events = events.union(spent.ok_or(Dot::new(replica, counter))?.through);
        }
        Ok(events)
    }

    /// Tells whether a dot has been spent on something that still counts.
    #[must_use]
    pub fn is_spent(&self, dot: Dot) -> bool {
        self.content(dot).is_some()
    }

    /// Returns the hash of the delta on which a dot was spent.
    #[must_use]
    pub fn content(&self, dot: Dot) -> Option<u64> {
        let spent = self.spent.get(&dot.replica)?.get(dot.counter as usize - 1)?;
        Some(spent.content)
    }

    /// The event begun last was committed; `after` is the document behind it. False if its stamp does
    /// not lie above all earlier ones of its replica.
    #[must_use]
    pub fn commit(&mut self, event: usize, content: u64, after: &View) -> bool {
        self.model.read_stamps(event, after);
        let Event { dot, stamps, .. } = &self.model.events[event];
        let spent = self.spent.entry(dot.replica).or_default();
        let (before, last) = spent.last().map_or_else(Default::default, |last| (last.through, last.stamp));
        let latest = stamps.iter().flatten().copied().max();
        spent.push(Spent { event, through: before.with(event), content, stamp: latest.unwrap_or(last) });
        latest.is_none_or(|latest| latest > last)
    }

    /// A crash has taken everything of a replica above this counter; returns how much that was.
    pub fn lose(&mut self, replica: ReplicaId, above: u64) -> u64 {
        let Some(spent) = self.spent.get_mut(&replica) else { return 0 };
        let lost = spent.split_off((above as usize).min(spent.len()));
        lost.iter().for_each(|lost| self.model.lose(lost.event));
        lost.len() as u64
    }

    /// A replica starts again: its clock knows of earlier stamps only what is still in the document.
    pub fn restart(&mut self, replica: ReplicaId) {
        if let Some(last) = self.spent.get_mut(&replica).and_then(|spent| spent.last_mut()) {
            last.stamp = Stamp::default();
        }
    }

    /// Returns the version that covers everything that still counts.
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.spent.iter().map(|(replica, spent)| (*replica, spent.len() as u64)).collect()
    }

    /// Notes what a state hashes to; returns another hash that the same state has had elsewhere.
    pub fn digest(&mut self, events: EventSet, digest: Digest) -> Option<Digest> {
        let known = *self.digests.entry(events).or_insert(digest);
        (known != digest).then_some(known)
    }
}
