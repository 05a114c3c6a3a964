//! Which documents are in memory, and what becomes of what needs one that is not.
//!
//! An endpoint knows every document of its store, and holds the content of few. What can be said
//! about one *at rest* is said from its head: offers, acknowledgements, digests, and that a peer lacks nothing.
//! So two replicas that meet again with ten thousand equal documents load none. What needs the
//! content asks for it with [`Output::Load`](crate::Output::Load): a delta or snapshot that arrives waits meanwhile, and its credit
//! with it; a peer that lags is served when it is there, one document at a time on each link.
//!
//! When may a document leave memory? When all of it is durable, no link keeps it, and it is not the one
//! used last. If more than [`Config::resident_documents_max`] cannot leave, they stay until they can.
//!
//! Which history does a peer have, if our log is not here to compare? A peer that lags in a replica may have
//! another history of it than we, and only the log tells. Its frontier is kept, and compared when the document is
//! loaded, before it is served or anything of it is applied. A peer that lags in none needs no log: what
//! the log names lies at or below our head, so it meets such a peer's counter only at the head itself, where
//! the two frontiers are compared at once.
//!
//! [`Config::resident_documents_max`]: crate::Config::resident_documents_max

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{Document, Head};

use super::durable::Received;
use super::loads::Waiting;
use super::open_documents::Known;
use super::{DocumentIndex, Endpoint};
use crate::close::CloseReason;
use crate::document_id::DocumentId;
use crate::error::OpenError;
use crate::frame::{Frame, Offer, Rejection};
use crate::input::Now;
use crate::output::Stored;

/// What is in memory.
impl Endpoint {
    /// Introduces a document that the store holds, without its content, and offers it to every peer.
    ///
    /// `head` must be what the store holds, durably. If the document is known already, nothing happens.
    ///
    /// # Errors
    /// [`OpenError::TooManyDocuments`]; nothing has changed.
    pub fn know(&mut self, now: Now, id: &DocumentId, head: Head) -> Result<(), OpenError> {
        self.advance(now);
        if self.documents.index(id).is_none() {
            self.add(id, Known::AtRest(head))?;
        }
        Ok(())
    }

    /// Tells whether a document is in memory. One that is not known is not.
    #[must_use]
    pub fn is_resident(&self, id: &DocumentId) -> bool {
        self.documents.index(id).is_some_and(|index| self.documents.is_resident(index))
    }

    /// Asks for the content of a document; true if there is nothing to wait for, so that
    /// [`transact`](Self::transact) runs and [`document`](Self::document) shows all that is held.
    ///
    /// If false, an [`Output::Load`](crate::Output::Load) asks for it, unless one is unanswered already.
    pub fn wake(&mut self, now: Now, id: &DocumentId) -> bool {
        self.advance(now);
        self.documents.index(id).is_none_or(|index| self.wake_index(index))
    }

    /// Takes in what the store holds of a document at rest: the answer to an [`Output::Load`](crate::Output::Load), or
    /// without one. What has waited for it goes on.
    ///
    /// If the document is not at rest, or not known, nothing happens. If the store fails, or holds nothing of that
    /// name, say nothing and stop the endpoint, as for [`Output::Persist`](crate::Output::Persist).
    ///
    /// # Errors
    /// [`OpenError::Stored`] and [`OpenError::OtherContent`]; the document is still at rest, and the store
    /// can no longer be trusted: stop the endpoint.
    pub fn loaded(&mut self, now: Now, id: &DocumentId, stored: Stored) -> Result<(), OpenError> {
        self.advance(now);
        if let Some(index) = self.documents.index(id).filter(|index| !self.documents.is_resident(*index)) {
            self.documents.wake(index, self.replica, stored)?;
            self.arrived(index);
            self.rest_surplus();
        }
        Ok(())
    }

    /// Lets go of a document's content now, whatever the limit; true if it is at rest.
    ///
    /// It stays in memory while a write of it is not durable, or a link keeps it.
    pub fn rest(&mut self, now: Now, id: &DocumentId) -> bool {
        self.advance(now);
        let Some(index) = self.documents.index(id) else { return false };
        !self.documents.is_resident(index) || self.rest_index(index)
    }

    /// Returns where a document stands, in memory or at rest. O(replicas).
    #[must_use]
    pub fn head(&self, id: &DocumentId) -> Option<Head> {
        Some(self.documents.at(self.documents.index(id)?)?.head())
    }

    /// Yields where every document stands, in memory or at rest, by name. O(replicas) each.
    pub fn heads(&self) -> impl Iterator<Item = (&DocumentId, Head)> {
        self.documents.by_name().map(|open| (open.id(), open.head()))
    }

    /// Returns a document that is in memory.
    #[must_use]
    pub fn document(&self, id: &DocumentId) -> Option<&Document> {
        self.documents.at(self.documents.index(id)?)?.document()
    }

    /// Returns how many documents are known, in memory or at rest. O(1).
    #[must_use]
    pub fn known_documents(&self) -> usize {
        self.documents.iter().len()
    }

    /// Returns how many documents are in memory. O(1).
    #[must_use]
    pub fn resident_documents(&self) -> usize {
        self.documents.residents.len()
    }

    /// Yields the documents that are in memory, by name.
    pub fn documents(&self) -> impl Iterator<Item = (&DocumentId, &Document)> {
        self.documents.in_memory()
    }
}

/// Into memory.
impl Endpoint {
    /// Tells whether a document is in memory; asks for it if not.
    pub(super) fn wake_index(&mut self, index: DocumentIndex) -> bool {
        if self.documents.is_resident(index) || self.wake_empty(index) {
            return true;
        }
        self.outputs.extend(self.documents.load(index));
        false
    }

    /// Takes a document into memory for which no store need be asked, because nobody has written to it.
    pub(super) fn wake_empty(&mut self, index: DocumentIndex) -> bool {
        let is_woken = self.documents.wake_empty(index, self.replica);
        if is_woken {
            self.arrived(index);
        }
        is_woken
    }

    /// Tells whether a document can take a frame; if not, the frame waits for it.
    pub(super) fn takes(&mut self, received: Received, index: DocumentIndex, bytes: &[u8]) -> bool {
        if self.wake_index(index) {
            return true;
        }
        let mut received = received;
        if is_planted(Bug::DropWaiting) {
            self.release(received);
            return false;
        }
        if is_planted(Bug::CreditBeforeLoad) {
            self.release(received);
            received.bytes = 0;
        }
        if let Some(session) = self.sessions.get_mut(&received.link) {
            session.waits(bytes.len());
            self.documents.loads.wait(index, Waiting { received, bytes: bytes.to_vec() });
        }
        false
    }

    /// A document has come into memory: first histories are compared, then peers are served, then what
    /// has waited is taken in.
    fn arrived(&mut self, index: DocumentIndex) {
        for link in self.links() {
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            let offered = session.take_unchecked(index);
            session.loaded(index);
            let log = self.documents.at(index).and_then(|open| Some(open.resident()?.log()));
            if let Some(dot) = offered.and_then(|offered| log?.conflict_with(&offered)) {
                self.end_document(link, index, Rejection::IdentityConflict(dot));
            }
            self.settle(link);
        }
        self.truncate_opened(index);
        for waiting in self.documents.loads.answered(index) {
            self.go_on(waiting);
        }
    }

    /// Takes in a frame that has waited.
    fn go_on(&mut self, Waiting { received, bytes }: Waiting) {
        let now_ms = self.now.monotonic_ms;
        let Some(session) = self.sessions.get_mut(&received.link) else { return };
        session.waited(bytes.len(), now_ms);
        let frame = Frame::decode(&bytes).map_err(CloseReason::Malformed);
        if let Err(reason) = frame.and_then(|frame| self.receive_data(received, frame, &bytes)) {
            self.close(received.link, reason);
        }
        self.settle(received.link);
    }

    /// Finds an identity that was used twice as far as our log can show it, now or when it is loaded. O(deltas
    /// kept).
    pub(super) fn log_conflict(
        &mut self,
        received: Received,
        index: DocumentIndex,
        offer: &Offer,
    ) -> Option<crdt_core::Dot> {
        let open = self.documents.at(index)?;
        if let Some(resident) = open.resident() {
            return resident.log().conflict_with(&offer.frontier);
        }
        if !open.is_covered_by(&offer.frontier.version()) {
            let progress = self.sessions.get_mut(&received.link)?.progress(index)?;
            progress.unchecked = Some(Box::new(offer.frontier.clone()));
        }
        None
    }
}

/// Out of memory.
impl Endpoint {
    /// Lets documents rest that were not used for the longest time, until no more than the limit are in
    /// memory, or none more may leave. O(documents that may not).
    pub(super) fn rest_surplus(&mut self) {
        let max = self.config.resident_documents_max.max(1);
        let mut next = self.documents.residents.oldest();
        while self.documents.residents.len() > max
            && let Some(index) = next
        {
            next = self.documents.residents.newer(index);
            // The one used last stays: whoever asked for it has not had it yet.
            if next.is_some() {
                self.rest_index(index);
            }
        }
    }

    fn rest_index(&mut self, index: DocumentIndex) -> bool {
        if self.sessions.values().any(|session| session.keeps(index)) {
            return false;
        }
        let rested = self.documents.rest(index);
        let is_at_rest = rested.is_some();
        self.outputs.extend(rested);
        is_at_rest
    }
}
