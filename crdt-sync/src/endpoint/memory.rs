//! Memory beside the content of documents: how much is held, and letting go of it.
//!
//! What may be let go of at any moment? Logs. A log only spares peers the whole state: whoever stands in
//! the part that is cut off gets a snapshot when its turn comes, and that is found out then, so no
//! session has to be told. What is on its way in parts is encoded already; a write under way holds its own
//! delta; so neither cares whether the log still has it, durable or not.

use crdt_core::Delta;
use crdt_core::planted::{Bug, is_planted};

use super::{DocumentIndex, Endpoint, OpenDocument};
use crate::document_id::DocumentId;
use crate::footprint::{DocumentFootprint, Footprint, LinkFootprint};
use crate::input::LinkId;
use crate::session::Session;

impl Endpoint {
    /// Returns how much is held beside the content of documents. O(documents + links × their documents +
    /// entries of deltas that are not durable + frames that wait for a document).
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint {
            documents: self.documents.iter().len(),
            links: self.sessions.len(),
            outputs: self.outputs.len(),
            writes: self.requested.len(),
            write_bytes: self.requested.iter().map(super::Requested::bytes).sum(),
            links_queued: self.ready.len(),
            timers: self.timers.len(),
            loads: self.documents.loads.len(),
            waiting_bytes: self.documents.loads.bytes(),
            all_documents: DocumentFootprint::default(),
            all_links: LinkFootprint::default(),
        };
        self.documents.iter().for_each(|document| footprint.all_documents.add(&document.footprint()));
        self.sessions.values().for_each(|session| footprint.all_links.add(&session.footprint()));
        footprint
    }

    /// Returns how much is held for one document beside its content, if it is open. O(1).
    #[must_use]
    pub fn document_footprint(&self, id: &DocumentId) -> Option<DocumentFootprint> {
        let index = self.documents.index(id)?;
        self.documents.at(index).map(OpenDocument::footprint)
    }

    /// Returns how much is held for one link, if it is up. O(documents of the link).
    #[must_use]
    pub fn link_footprint(&self, link: LinkId) -> Option<LinkFootprint> {
        self.sessions.get(&link).map(Session::footprint)
    }

    /// Cuts the oldest deltas off each document's log until at most `log_bytes_max` bytes of each are
    /// kept: 0 lets go of all. Write by write the logs grow again, up to
    /// [`Config::log_bytes_max`](crate::Config::log_bytes_max).
    ///
    /// For a server under memory pressure, at any moment: with links up, messages on their way, and
    /// writes not durable yet. Nothing is lost. What it costs: a peer that lacks something that was cut off
    /// gets the whole document instead. And a peer that shows the identity of a copied store may be
    /// found out later, because the log can no longer show where the two lives have parted.
    ///
    /// Nothing needs to be carried out after it. O(documents + deltas cut off).
    pub fn truncate_logs(&mut self, log_bytes_max: usize) {
        self.documents.iter_mut().for_each(|document| document.truncate_log(log_bytes_max));
    }

    /// Cuts the log of one document, as [`truncate_logs`](Self::truncate_logs) does all; one that is not
    /// open has none.
    pub fn truncate_log(&mut self, id: &DocumentId, log_bytes_max: usize) {
        let index = self.documents.index(id);
        if let Some(document) = index.and_then(|index| self.documents.at_mut(index)) {
            document.truncate_log(log_bytes_max);
        }
    }

    /// Something of a document has become durable: cuts off its log what every linked peer holds, beyond
    /// [`Config::log_held_bytes_max`](crate::Config::log_held_bytes_max).
    ///
    /// Without a link nobody is known to hold anything, so nothing is cut. O(links) if nothing is to be cut off, and
    /// for each delta that is.
    pub(super) fn truncate_held(&mut self, index: DocumentIndex) {
        let Some(document) = self.documents.at_mut(index) else { return };
        let sessions = &self.sessions;
        if sessions.values().any(|session| session.peer().is_some()) {
            let is_held = |delta: &Delta| sessions.values().all(|session| session.peer_holds(index, delta));
            document.truncate_held_log(self.config.log_held_bytes_max, is_held);
        }
    }

    /// A document has come out of a store, which may hold more deltas than we keep.
    pub(super) fn truncate_opened(&mut self, index: DocumentIndex) {
        if let Some(document) = self.documents.at_mut(index).filter(|_| !is_planted(Bug::LogOpensUncut)) {
            document.truncate_log(self.config.log_bytes_max);
        }
    }
}
