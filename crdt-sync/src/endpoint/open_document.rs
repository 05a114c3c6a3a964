//! One document as the endpoint knows it: in memory or at rest in the store, and which of its writes are done.
//!
//! What may a peer be told of a document at rest? Everything that its head tells: it may leave memory
//! only when all of it is durable ([`OpenDocument::rest`]), so whatever the head names would survive a crash
//! (Invariant 4). The tickets stay: an offer that was held until a write is done finds it done.
//!
//! How do places in the log survive it? The log that comes back holds what the store has behind its
//! snapshot, which may be more or less than what was let go. It begins where the old one ended. So a
//! session whose cursor stood before that end stands before the start now and looks anew whether the log serves
//! its peer, as it does behind a cut; one whose cursor stood at the end had nothing left to send, and has not now.

use std::num::NonZeroU64;

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{
    Changes, Delta, Document, Head, HybridClock, MergeError, ReplicaId, Snapshot, Transaction, VersionVector,
};

use super::resident::{Pending, Resident, Taken};
use crate::document_id::DocumentId;
use crate::error::OpenError;
use crate::footprint::DocumentFootprint;
use crate::frame::Authorship;
use crate::input::Ticket;
use crate::output::{Stored, Write};

/// A document's place in the endpoint's list; also the handle under which peers hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DocumentIndex(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct OpenDocument {
    id: DocumentId,
    index: DocumentIndex,
    /// This process has committed something to it.
    has_committed: bool,
    /// The last write that was asked for.
    requested: Ticket,
    /// The last write that is durable.
    persisted: Ticket,
    /// The ids under which we write here, or have: none as long as nothing goes by one.
    written: Box<[Written]>,
    /// How often the floor of the log was raised other than by dropping the oldest deltas.
    rebases: u64,
    content: Content,
}

/// What we know of what was written here under an id of ours.
#[derive(Debug)]
struct Written {
    replica: ReplicaId,
    authorship: Authorship,
}

#[derive(Debug)]
enum Content {
    Resident(Box<Resident>),
    AtRest {
        head: Head,
        /// The position at which the log goes on.
        end: u64,
        /// The clock knows of stamps that are not in the content any more.
        clock: HybridClock,
    },
}

impl OpenDocument {
    /// Makes an empty one, in memory.
    pub(crate) fn new(index: DocumentIndex, id: DocumentId, replica: ReplicaId) -> Self {
        Self::with_content(index, id, replica, Content::Resident(Box::new(Resident::new(replica))))
    }

    /// Takes up what a store held.
    pub(crate) fn restore(
        index: DocumentIndex,
        id: DocumentId,
        replica: ReplicaId,
        stored: Stored,
    ) -> Result<Self, OpenError> {
        let resident = Resident::restore(0, replica, stored)?;
        Ok(Self::with_content(index, id, replica, Content::Resident(Box::new(resident))))
    }

    /// Takes note of one that a store holds.
    pub(crate) fn at_rest(index: DocumentIndex, id: DocumentId, replica: ReplicaId, head: Head) -> Self {
        Self::with_content(index, id, replica, Content::AtRest { head, end: 0, clock: HybridClock::new() })
    }

    fn with_content(index: DocumentIndex, id: DocumentId, replica: ReplicaId, content: Content) -> Self {
        let (requested, persisted, written) = (Ticket(0), Ticket(0), Box::default());
        let mut open = Self { id, index, has_committed: false, requested, persisted, written, rebases: 0, content };
        let opened = open.counter(replica);
        if opened > 0 {
            open.written = Box::new([Written { replica, authorship: Authorship { opened, spread: opened } }]);
        }
        open
    }

    /// Takes note that somebody was sent the transactions of a replica through this counter.
    pub(crate) fn sent(&mut self, replica: ReplicaId, counter: u64) {
        if self.document().is_some_and(|document| document.replica() == replica) {
            self.write_as(replica, 0);
        }
        if let Some(written) = self.written.iter_mut().find(|written| written.replica == replica) {
            written.authorship.spread = written.authorship.spread.max(counter);
        }
    }

    /// Remembers an id of ours from here on; `spread` tells what others may hold already, if that is not known.
    pub(crate) fn write_as(&mut self, replica: ReplicaId, spread: u64) {
        if self.written(replica).is_none() {
            let mut written = std::mem::take(&mut self.written).into_vec();
            written.push(Written { replica, authorship: Authorship { opened: 0, spread } });
            self.written = written.into_boxed_slice();
        }
    }

    /// It is settled under an id whose transactions are whose.
    pub(crate) fn forget_written(&mut self, replica: ReplicaId) {
        let written = std::mem::take(&mut self.written).into_vec();
        self.written = written.into_iter().filter(|written| written.replica != replica).collect();
    }

    /// Returns what we know of what was written here under an id; `None` if it is not ours, or if it is settled what of
    /// it is.
    pub(crate) fn authorship(&self, replica: ReplicaId) -> Option<Authorship> {
        let is_present = || self.document().is_some_and(|document| document.replica() == replica);
        let written = self.written(replica).map(|written| written.authorship);
        written.or_else(|| is_present().then(Authorship::default))
    }

    fn written(&self, replica: ReplicaId) -> Option<&Written> {
        self.written.iter().find(|written| written.replica == replica)
    }

    pub(crate) fn id(&self) -> &DocumentId {
        &self.id
    }

    pub(crate) fn index(&self) -> DocumentIndex {
        self.index
    }

    pub(crate) fn resident(&self) -> Option<&Resident> {
        match &self.content {
            Content::Resident(resident) => Some(resident),
            Content::AtRest { .. } => None,
        }
    }

    pub(crate) fn resident_mut(&mut self) -> Option<&mut Resident> {
        match &mut self.content {
            Content::Resident(resident) => Some(resident),
            Content::AtRest { .. } => None,
        }
    }

    pub(crate) fn document(&self) -> Option<&Document> {
        self.resident().map(Resident::document)
    }

    /// Returns where the document stands. O(replicas).
    pub(crate) fn head(&self) -> Head {
        match &self.content {
            Content::Resident(resident) => resident.document().head(),
            Content::AtRest { head, .. } => head.clone(),
        }
    }

    /// Returns where it stands, if it is at rest.
    pub(super) fn head_at_rest(&self) -> Option<&Head> {
        match &self.content {
            Content::Resident(_) => None,
            Content::AtRest { head, .. } => Some(head),
        }
    }

    /// Returns how many transactions of a replica are in.
    pub(crate) fn counter(&self, replica: ReplicaId) -> u64 {
        match &self.content {
            Content::Resident(resident) => resident.version().counter(replica),
            Content::AtRest { head, .. } => head.frontier.counter(replica),
        }
    }

    /// Returns how many of them are durable.
    pub(crate) fn durable_counter(&self, replica: ReplicaId) -> u64 {
        match &self.content {
            Content::Resident(resident) => resident.durable().counter(replica),
            Content::AtRest { head, .. } => head.frontier.counter(replica),
        }
    }

    /// Returns the version that is durable. O(replicas).
    pub(crate) fn durable(&self) -> VersionVector {
        match &self.content {
            Content::Resident(resident) => resident.durable().clone(),
            Content::AtRest { head, .. } => head.version(),
        }
    }

    /// Tells whether the document stands at exactly this version.
    pub(crate) fn stands_at(&self, version: &VersionVector) -> bool {
        match &self.content {
            Content::Resident(resident) => resident.version() == version,
            Content::AtRest { head, .. } => counters(head).eq(version.iter()),
        }
    }

    /// Tells whether `version` covers everything in the document.
    pub(crate) fn is_covered_by(&self, version: &VersionVector) -> bool {
        match &self.content {
            Content::Resident(resident) => version.covers_all(resident.version()),
            Content::AtRest { head, .. } => {
                counters(head).all(|(replica, counter)| counter <= version.counter(replica))
            }
        }
    }

    pub(crate) fn rebases(&self) -> u64 {
        self.rebases
    }

    /// The write that must be durable before the document as it stands may be shown to a peer.
    pub(crate) fn requested(&self) -> Ticket {
        self.requested
    }

    pub(crate) fn is_persisted(&self, ticket: Ticket) -> bool {
        self.persisted >= ticket
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.persisted >= self.requested
    }

    /// Runs a local transaction, the first that commits with a salt. `None` if the document is at rest.
    pub(crate) fn transact<T, E>(
        &mut self,
        wall_ms: u64,
        salt: NonZeroU64,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Option<Result<(T, Option<Taken>), E>> {
        let salt = (!self.has_committed).then_some(salt);
        let transacted = self.resident_mut()?.transact(wall_ms, salt, edit);
        self.has_committed |= matches!(transacted, Ok((_, Some(_))));
        Some(transacted)
    }

    /// Merges the whole state of a peer, which came in so many bytes. `Ok(None)` if all of it was here already, or
    /// nothing is here.
    pub(crate) fn merge(&mut self, snapshot: &Snapshot, bytes: usize) -> Result<Option<Taken>, MergeError> {
        let Some(resident) = self.resident_mut() else { return Ok(None) };
        let taken = resident.merge(snapshot, bytes)?;
        if taken.is_some() {
            self.rebases += 1;
        }
        Ok(taken)
    }

    /// Takes another state in place of the one in memory.
    pub(crate) fn replace(&mut self, replica: ReplicaId, snapshot: Snapshot) -> Option<Taken> {
        let requested = self.requested;
        let resident = self.resident_mut()?;
        resident.replace(replica, snapshot.clone(), requested);
        self.rebases += 1;
        // This is rare, and takes the time of the whole document anyway.
        let bytes = snapshot.encode().len();
        Some(Taken { write: Write::Snapshot(snapshot), changes: Changes::default(), bytes })
    }

    /// Takes note that `write` was asked for under `ticket`.
    pub(crate) fn request(&mut self, ticket: Ticket, write: &Write) -> Pending {
        self.requested = ticket;
        let end = self.resident().map_or(0, |resident| resident.log().end());
        Pending::new(ticket, self.index, end, write)
    }

    /// Takes note that a write is durable. Comes in the order of the tickets.
    pub(crate) fn persisted(&mut self, pending: &Pending) {
        self.persisted = pending.ticket;
        if let Some(resident) = self.resident_mut() {
            resident.persisted(pending);
        }
    }

    /// Drops the oldest deltas of the log beyond `log_bytes_max`; peers that still lack them get a snapshot.
    pub(crate) fn truncate_log(&mut self, log_bytes_max: usize) {
        if let Some(resident) = self.resident_mut() {
            resident.truncate_log(log_bytes_max);
        }
    }

    /// Drops the oldest deltas of the log beyond `bytes_max`, as far as they are held by all who may ask for them.
    pub(crate) fn truncate_held_log(&mut self, bytes_max: usize, is_held: impl Fn(&Delta) -> bool) {
        if let Some(resident) = self.resident_mut() {
            resident.truncate_held_log(bytes_max, is_held);
        }
    }

    pub(crate) fn footprint(&self) -> DocumentFootprint {
        self.resident().map_or_else(DocumentFootprint::default, Resident::footprint)
    }

    /// Lets go of the content, if the store holds all of it.
    pub(crate) fn rest(&mut self) -> Option<Head> {
        if !self.is_durable() && !is_planted(Bug::RestBeforeDurable) {
            return None;
        }
        let resident = self.resident()?;
        let (head, end) = (resident.document().head(), resident.log().end());
        let clock = resident.document().clock().clone();
        self.content = Content::AtRest { head: head.clone(), end, clock };
        Some(head)
    }

    /// Takes the content back. Nothing changes if it is not what was let go.
    pub(crate) fn wake(&mut self, replica: ReplicaId, stored: Stored) -> Result<(), OpenError> {
        let Content::AtRest { head, end, clock } = &self.content else { return Ok(()) };
        let start = if is_planted(Bug::LogStartsAnew) { 0 } else { *end };
        let mut resident = Resident::restore(start, replica, stored)?;
        let found = resident.document().head();
        if found != *head && !is_planted(Bug::EmptyInsteadOfLoaded) {
            return Err(OpenError::OtherContent { known: Box::new(head.clone()), found: Box::new(found) });
        }
        if !is_planted(Bug::ForgetClock) {
            resident.resume_clock(clock);
        }
        self.content = Content::Resident(Box::new(resident));
        Ok(())
    }
}

fn counters(head: &Head) -> impl Iterator<Item = (ReplicaId, u64)> + '_ {
    head.frontier.iter().map(|(replica, counter, _)| (replica, counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside this, one at rest takes 32 bytes for each replica and as many if we have written to it, and its name.
    #[test]
    fn a_document_at_rest_takes_little_memory() {
        assert!(size_of::<OpenDocument>() <= 144, "{}", size_of::<OpenDocument>());
    }
}
