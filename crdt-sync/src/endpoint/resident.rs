//! The content of one document in memory, with what replication needs beside it: its log, and how much of it
//! is durable.
//!
//! What may a peer be told? Only what would survive a crash (Invariant 4), so beside the log's
//! version stands the durable one, and beside the log's end the position up to which everything is
//! durable. What cannot be cut at a position (a frontier, a snapshot) is taken as it is and held
//! until the last write it contains is durable: see [`OpenDocument::requested`].
//!
//! [`OpenDocument::requested`]: super::OpenDocument::requested

use std::num::NonZeroU64;
use std::sync::{Arc, Weak};

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{
    ApplyError, Changes, Delta, DeltaLog, Document, HybridClock, MergeError, ReplicaId, Snapshot, Transaction,
    VersionVector,
};

use super::open_document::DocumentIndex;
use crate::error::OpenError;
use crate::footprint::DocumentFootprint;
use crate::frame;
use crate::input::Ticket;
use crate::output::{Stored, Write};

/// The longest frame that is kept for the next link; longer ones are rare and worth making again.
const ENCODED_KEPT_BYTES_MAX: usize = 4 << 10;

#[derive(Debug)]
pub(crate) struct Resident {
    document: Document,
    log: DeltaLog,
    /// What the log's version was when everything in it was durable.
    durable: VersionVector,
    /// Every delta before this position of the log is durable.
    durable_end: u64,
    /// Writes up to this one say nothing of what is durable: they name dots as they were before they were renamed.
    renamed: Ticket,
    /// The last delta that was made a frame as it is, by position: all links send the same bytes.
    encoded: Option<(u64, Arc<Vec<u8>>)>,
    /// The last snapshot that was made a frame, by version, for as long as some link still sends it.
    snapshot_frame: Option<(VersionVector, Weak<Vec<u8>>)>,
}

/// A change that was taken in and is to be made durable.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) write: Write,
    pub(crate) changes: Changes,
    /// What waits for the store until then, about: the bytes of the delta or snapshot that brought it.
    pub(crate) bytes: usize,
}

/// A write that was asked for, and what is durable with it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) ticket: Ticket,
    pub(crate) document: DocumentIndex,
    /// The end of the log right behind the write.
    end: u64,
    covers: Covers,
}

#[derive(Debug)]
enum Covers {
    Delta(Arc<Delta>),
    Version(VersionVector),
}

impl Pending {
    pub(crate) fn new(ticket: Ticket, document: DocumentIndex, end: u64, write: &Write) -> Self {
        let covers = match write {
            Write::Delta(delta) => Covers::Delta(Arc::clone(delta)),
            Write::Snapshot(snapshot) => Covers::Version(snapshot.version()),
        };
        Self { ticket, document, end, covers }
    }

    /// Returns roughly how many bytes are held until the write is durable.
    pub(crate) fn bytes(&self) -> usize {
        match &self.covers {
            Covers::Delta(delta) => delta.size_hint(),
            Covers::Version(_) => 0,
        }
    }
}

impl Resident {
    /// Makes an empty document.
    pub(crate) fn new(replica: ReplicaId) -> Self {
        Self {
            document: Document::new(replica),
            log: DeltaLog::new(VersionVector::new()),
            durable: VersionVector::new(),
            durable_end: 0,
            renamed: Ticket(0),
            encoded: None,
            snapshot_frame: None,
        }
    }

    /// Takes up what a store held; the log begins at the position `start`.
    pub(crate) fn restore(start: u64, replica: ReplicaId, mut stored: Stored) -> Result<Self, OpenError> {
        if is_planted(Bug::RespendAfterRestart) {
            stored.deltas.pop();
        }
        let mut log = DeltaLog::starting_at(start, stored.snapshot.version());
        let mut snapshot = stored.snapshot;
        for (position, delta) in stored.deltas.into_iter().enumerate() {
            snapshot.apply(&delta).map_err(|error| OpenError::Stored { index: position, error })?;
            if !delta.is_covered_by(log.version()) {
                log.push(delta).expect("the document has applied it, so it continues the version");
            }
        }
        let mut resident = Self::new(replica);
        resident.document = Document::from_snapshot(replica, snapshot);
        resident.durable = log.version().clone();
        resident.durable_end = log.end();
        resident.log = log;
        Ok(resident)
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    /// Returns what is known of the history of a replica: what the log tells, and where it stands.
    /// `opened` is how many of its transactions were in when the document was opened: copies part there.
    pub(crate) fn trail(&self, replica: ReplicaId, opened: u64, marks_max: usize) -> Vec<(u64, u64)> {
        let mut marks = self.log.trail(replica, opened, marks_max.saturating_sub(1));
        let tip =
            self.document.frontier().iter().find(|(id, ..)| *id == replica).map(|(_, counter, chain)| (counter, chain));
        if let Some(tip) = tip.filter(|tip| marks.last() != Some(tip)) {
            marks.push(tip);
        }
        marks
    }

    /// Goes on under another id.
    pub(crate) fn renew(&mut self, replica: ReplicaId) {
        self.restart(replica, self.document.snapshot());
    }

    /// Takes another state in place of this one, in which dots have other names: nothing of it is durable, and
    /// no log leads to it. `requested` is the last write that was asked for before.
    pub(crate) fn replace(&mut self, replica: ReplicaId, snapshot: Snapshot, requested: Ticket) {
        self.log = DeltaLog::starting_at(self.log.end(), snapshot.version());
        self.durable = VersionVector::new();
        self.durable_end = self.log.end();
        self.renamed = requested;
        self.encoded = None;
        self.snapshot_frame = None;
        self.restart(replica, snapshot);
    }

    fn restart(&mut self, replica: ReplicaId, snapshot: Snapshot) {
        let clock = self.document.clock().clone();
        self.document = Document::from_snapshot(replica, snapshot);
        self.document.resume_clock(&clock);
    }

    pub(crate) fn resume_clock(&mut self, earlier: &HybridClock) {
        self.document.resume_clock(earlier);
    }

    pub(crate) fn log(&self) -> &DeltaLog {
        &self.log
    }

    pub(crate) fn version(&self) -> &VersionVector {
        self.log.version()
    }

    pub(crate) fn durable(&self) -> &VersionVector {
        if is_planted(Bug::AckBeforeDurable) { self.log.version() } else { &self.durable }
    }

    pub(crate) fn durable_end(&self) -> u64 {
        if is_planted(Bug::SendBeforeDurable) { self.log.end() } else { self.durable_end }
    }

    /// Runs a local transaction. `Ok((value, None))` if it changed nothing.
    pub(crate) fn transact<T, E>(
        &mut self,
        wall_ms: u64,
        salt: Option<NonZeroU64>,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<(T, Option<Taken>), E> {
        let mut transaction = self.document.transact(wall_ms);
        if let Some(salt) = salt {
            transaction = transaction.salted(salt);
        }
        let value = edit(&mut transaction)?;
        let committed = transaction.commit();
        Ok((value, committed.map(|committed| self.append(committed.delta, committed.changes))))
    }

    /// Applies a delta of a peer. `Ok(None)` if all of it was here already.
    pub(crate) fn apply(&mut self, delta: Delta) -> Result<Option<Taken>, ApplyError> {
        let covered = delta.is_covered_by(self.version());
        let changes = self.document.apply(&delta)?;
        let covered = covered || (is_planted(Bug::ApplyWithoutWrite) && delta.len() == 1);
        Ok((!covered).then(|| self.append(delta, changes)))
    }

    /// Merges the whole state of a peer, which came in so many bytes. `Ok(None)` if all of it was here already.
    pub(crate) fn merge(&mut self, snapshot: &Snapshot, bytes: usize) -> Result<Option<Taken>, MergeError> {
        let version = snapshot.version();
        if self.version().covers_all(&version) {
            // Nothing new can be in it. Merged nevertheless, the state of a liar would change ours
            // with nothing to make durable: memory and store would differ.
            let conflict = self.document.frontier().conflict_with(&snapshot.frontier());
            return conflict.map_or(Ok(None), |dot| Err(MergeError::IdentityConflict { dot }));
        }
        let changes = self.document.merge(snapshot)?;
        self.log.rebase(&version);
        // Rebasing may have moved another delta to the position.
        self.encoded = None;
        let write = Write::Snapshot(self.document.snapshot());
        Ok(Some(Taken { write, changes, bytes }))
    }

    fn append(&mut self, delta: Delta, changes: Changes) -> Taken {
        let (bytes, delta) = (delta.size_hint(), Arc::new(delta));
        self.log.push(Arc::clone(&delta)).expect("the document has taken it, so it continues the version");
        Taken { write: Write::Delta(delta), changes, bytes }
    }

    /// Takes note that a write is durable. Comes in the order of the tickets.
    pub(crate) fn persisted(&mut self, pending: &Pending) {
        if pending.ticket <= self.renamed {
            return;
        }
        self.durable_end = pending.end;
        match &pending.covers {
            Covers::Delta(delta) => delta.advance(&mut self.durable),
            Covers::Version(version) => self.durable.merge(version),
        }
    }

    /// Believes that all of a version is here.
    #[cfg(planted_bugs)]
    pub(crate) fn trust(&mut self, version: &VersionVector) {
        self.log.rebase(version);
    }

    /// Drops the oldest deltas beyond `log_bytes_max`; peers that still lack them get a snapshot. They
    /// need not be durable: the write under way holds its delta itself.
    pub(crate) fn truncate_log(&mut self, log_bytes_max: usize) {
        if self.log.bytes() > log_bytes_max && !is_planted(Bug::LogNeverCut) {
            self.log.truncate_to_bytes(log_bytes_max);
            self.forget_encoded();
        }
    }

    /// Drops the oldest deltas beyond `bytes_max`, as far as they are held by all who may ask for them.
    pub(crate) fn truncate_held_log(&mut self, bytes_max: usize, is_held: impl Fn(&Delta) -> bool) {
        self.log.truncate_held(bytes_max, is_held);
        self.forget_encoded();
    }

    /// No position that was cut off is ever asked for again.
    fn forget_encoded(&mut self) {
        self.encoded.take_if(|(position, _)| *position < self.log.start());
    }

    pub(crate) fn footprint(&self) -> DocumentFootprint {
        DocumentFootprint {
            log_deltas: self.log.len(),
            log_bytes: self.log.bytes(),
            frame_bytes: self.encoded.as_ref().map_or(0, |(_, encoded)| encoded.len()),
        }
    }

    /// Returns one delta of the log as it is, encoded.
    pub(crate) fn encoded_delta(&mut self, position: u64) -> Option<Arc<Vec<u8>>> {
        if let Some((cached, encoded)) = &self.encoded
            && *cached == position
        {
            return Some(Arc::clone(encoded));
        }
        let encoded = Arc::new(self.log.at(position)?.to_bytes());
        if encoded.len() <= ENCODED_KEPT_BYTES_MAX {
            self.encoded = Some((position, Arc::clone(&encoded)));
        }
        Some(encoded)
    }

    /// Returns the frame of a snapshot of this document, which was taken at `version`. Links that
    /// send it at the same time share the bytes: there may be many slow ones.
    pub(crate) fn snapshot_frame(&mut self, handle: u32, snapshot: &Snapshot, version: &VersionVector) -> Arc<Vec<u8>> {
        if let Some((cached, frame)) = &self.snapshot_frame
            && cached == version
            && let Some(frame) = frame.upgrade()
        {
            return frame;
        }
        let frame = Arc::new(frame::snapshot(handle, snapshot));
        self.snapshot_frame = Some((version.clone(), Arc::downgrade(&frame)));
        frame
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::codec::Encode;

    use super::*;

    fn write(document: &mut Resident) {
        let edit = document.transact(0, None, |tx| tx.counter("n").add(1));
        assert!(edit.unwrap().1.is_some());
    }

    #[test]
    fn links_share_the_frame_of_a_snapshot_until_none_sends_it_or_the_document_changes() {
        let mut document = Resident::new(ReplicaId::from_u128(1));
        write(&mut document);
        let (snapshot, version) = (document.document().snapshot(), document.version().clone());
        let first = document.snapshot_frame(0, &snapshot, &version);
        assert!(Arc::ptr_eq(&first, &document.snapshot_frame(0, &snapshot, &version)));

        write(&mut document);
        let (later, later_version) = (document.document().snapshot(), document.version().clone());
        let second = document.snapshot_frame(0, &later, &later_version);
        assert_ne!(first, second);
        assert_eq!(*second, frame::snapshot(0, &later));

        let kept = Arc::downgrade(&second);
        drop(second);
        assert!(kept.upgrade().is_none(), "nothing is kept for nobody");
        assert_eq!(*document.snapshot_frame(0, &snapshot, &version), *first);
    }

    /// Found by reading: a peer would have been told that the other writer's dots of that name are here.
    #[test]
    fn what_becomes_durable_after_its_dots_were_renamed_counts_under_no_name_before() {
        let (former, heir) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
        let mut document = Resident::new(former);
        let empty = document.document().snapshot();
        let (_, taken) = document.transact(0, None, |tx| tx.counter("n").add(1)).unwrap();
        let before = Pending::new(Ticket(1), DocumentIndex(0), document.log().end(), &taken.unwrap().write);
        let renamed = document.document().snapshot().reissued(former, &empty, heir).unwrap();
        document.replace(heir, renamed.clone(), Ticket(1));
        document.persisted(&before);
        assert!(document.durable().is_empty());
        let after = Pending::new(Ticket(2), DocumentIndex(0), document.log().end(), &Write::Snapshot(renamed));
        document.persisted(&after);
        assert_eq!(document.durable(), document.version());
    }

    /// Found by the fuzz target `frame`: such a snapshot took out all entries in memory, and nothing
    /// was made durable, because the version stayed the same.
    #[test]
    fn a_snapshot_at_our_own_version_changes_nothing_whatever_it_holds() {
        let mut document = Resident::new(ReplicaId::from_u128(1));
        write(&mut document);
        let before = document.document().snapshot();
        let mut bytes = vec![3];
        before.frontier().encode(&mut bytes);
        bytes.put_bytes(&[0; 2 + 16]);
        let nothing = Snapshot::decode(&bytes).unwrap();
        assert_eq!((nothing.version(), nothing.root().len()), (before.version(), 0));

        assert!(matches!(document.merge(&nothing, 0), Ok(None)));
        assert_eq!(document.document().snapshot(), before);
    }

    #[test]
    fn a_snapshot_that_is_covered_still_shows_an_identity_that_was_used_twice() {
        let mut document = Resident::new(ReplicaId::from_u128(1));
        write(&mut document);
        let mut other = Document::new(ReplicaId::from_u128(1));
        let mut transaction = other.transact(0);
        transaction.register("r").set("another life").unwrap();
        assert!(transaction.commit().is_some());

        let conflict = document.merge(&other.snapshot(), 0).unwrap_err();
        assert!(matches!(conflict, MergeError::IdentityConflict { .. }));
    }
}
