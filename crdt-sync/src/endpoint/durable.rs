//! Durable before visible to others (Invariant 4).
//!
//! Every change asks the store for a write under a ticket. When the ticket comes back, the change
//! is shown: sent to peers that lack it, acknowledged to the one that sent it, whose credit is
//! returned with it.

use std::collections::BTreeSet;

use crdt_core::planted::{Bug, is_planted};

use super::resident::{Pending, Taken};
use super::{DocumentIndex, Endpoint, OpenDocument};
use crate::event::{Event, Source};
use crate::input::{LinkId, Ticket};
use crate::output::Output;
use crate::session::{Context, Session};

/// A write that the store was asked for.
#[derive(Debug)]
pub(super) struct Requested {
    pending: Pending,
    /// The data frame that it came in: whose credit waits for the write.
    frame: Option<Received>,
    /// What it weighs.
    bytes: usize,
}

impl Requested {
    pub(super) fn bytes(&self) -> usize {
        self.pending.bytes()
    }
}

/// A data frame that was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) link: LinkId,
    pub(super) bytes: usize,
}

impl Endpoint {
    /// Asks for a change to be made durable, and tells the application of it.
    pub(super) fn persist(&mut self, index: DocumentIndex, taken: Taken, source: Source, frame: Option<Received>) {
        let Some(document) = self.documents.at_mut(index) else { return };
        let ticket = Ticket(self.last_ticket.0 + 1);
        self.last_ticket = ticket;
        let Taken { write, changes, bytes } = taken;
        self.requested.push_back(Requested { pending: document.request(ticket, &write), frame, bytes });
        self.requested_bytes += bytes;
        document.truncate_log(self.config.log_bytes_max);
        let id = document.id().clone();
        self.outputs.push_back(Output::Persist { ticket, document: id.clone(), write });
        if !changes.is_empty() {
            self.emit(Event::Changed { document: id, source, changes });
        }
        self.for_each_session(index, |session, document, context| session.compare(document, context));
    }

    pub(super) fn handle_persisted(&mut self, ticket: Ticket) {
        let ticket = if is_planted(Bug::PersistedMeansAll) { self.last_ticket } else { ticket };
        let mut documents = BTreeSet::new();
        while self.requested.front().is_some_and(|requested| requested.pending.ticket <= ticket) {
            let Some(requested) = self.requested.pop_front() else { break };
            self.requested_bytes -= requested.bytes;
            let index = requested.pending.document;
            if let Some(document) = self.documents.at_mut(index) {
                document.persisted(&requested.pending);
                documents.insert(index);
            }
            if let Some(received) = requested.frame {
                self.release(received);
            }
        }
        if is_planted(Bug::LostWakeup) && documents.len() > 1 {
            documents.pop_last();
        }
        for index in documents {
            self.for_each_session(index, |session, document, context| session.touch(document, context));
            self.truncate_held(index);
        }
    }

    /// Tells every session about one document. O(links).
    fn for_each_session(
        &mut self,
        index: DocumentIndex,
        mut tell: impl FnMut(&mut Session, &OpenDocument, &mut Context<'_>),
    ) {
        for link in self.links() {
            if let (Some(session), Some(document)) = (self.sessions.get_mut(&link), self.documents.at(index)) {
                let mut context =
                    Context { now_ms: self.now.monotonic_ms, config: &self.config, outputs: &mut self.outputs };
                tell(session, document, &mut context);
            }
            self.settle(link);
        }
    }
}
