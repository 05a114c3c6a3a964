//! One turn of the driver: what arrived goes into the endpoint, what it asks for is carried out.

use crdt_core::VersionVector;
use crdt_store::{Checkpoint, StoreError};
use crdt_sync::{CloseReason, DocumentId, Event, Input, LinkId, Output, SessionStatus, Write};
use rand::RngExt;
use tracing::{debug, info, warn};

use crate::dial::Target;
use crate::link::Arrival;

use super::Driver;

/// Normal closure (RFC 6455, section 7.4.1): the link has served its purpose.
const CODE_NORMAL: u16 = 1000;

/// Try again later (registered with IANA): this peer takes less than it is sent.
const CODE_TRY_LATER: u16 = 1013;

impl Driver {
    /// Hands what a socket task says to the endpoint.
    pub(super) fn take_in(&mut self, arrival: Arrival) {
        let now = self.clock.now();
        match arrival {
            Arrival::Accepted { connection, address, slot } => self.connections.serve(connection, address, slot),
            Arrival::Up { link, origin, address, handle } => {
                if self.connections.admit(link, origin, address, handle) {
                    self.endpoint.handle(now, Input::LinkUp { link, nonce: self.random.random() });
                }
            }
            Arrival::Received { link, bytes } => {
                // What arrives behind our own goodbye is not wanted any more.
                if self.connections.is_live(link) {
                    self.endpoint.handle(now, Input::Received { link, bytes: &bytes });
                }
            }
            Arrival::Down { link } => {
                if self.connections.forget(link) {
                    self.end_session(link);
                }
            }
        }
    }

    /// Carries out everything that the endpoint asks for, then answers those who waited for it.
    pub(super) fn carry_out_all(&mut self) -> Result<(), StoreError> {
        while self.carry_out()? {}
        for answer in self.answers.drain(..) {
            answer();
        }
        for reply in std::mem::take(&mut self.asked) {
            let _ = reply.send(self.status());
        }
        for document in std::mem::take(&mut self.touched) {
            let version = || self.endpoint.head(&document).map_or_else(VersionVector::new, |head| head.version());
            self.waiters.resolve(&document, version);
        }
        Ok(())
    }

    /// Carries out what there is to do; true if there may be more because something became durable.
    fn carry_out(&mut self) -> Result<bool, StoreError> {
        let mut durable = None;
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Persist { ticket, document, write } => {
                    self.persist(&document, write)?;
                    self.touched.insert(document);
                    durable = Some(ticket);
                }
                Output::Load { document } => self.load(&document)?,
                Output::Rested { document, head } => self.store.note_head(document.as_str(), &head)?,
                Output::Transmit { link, bytes } => self.transmit(link, bytes),
                Output::Close { link, reason, status } => self.close_link(link, reason, &status),
                Output::Event(event) => self.tell(event),
            }
        }
        // One answer for all writes of the turn: a store on disk commits them together.
        if let Some(ticket) = durable {
            self.store.sync()?;
            self.endpoint.handle(self.clock.now(), Input::Persisted { ticket });
            self.checkpoint()?;
        }
        Ok(durable.is_some())
    }

    fn persist(&mut self, document: &DocumentId, write: Write) -> Result<(), StoreError> {
        match write {
            Write::Delta(delta) => {
                if self.store.append(document.as_str(), &delta)? == Checkpoint::Due {
                    self.checkpoints.insert(document.clone());
                }
            }
            Write::Snapshot(snapshot) => self.store.replace(document.as_str(), snapshot)?,
        }
        Ok(())
    }

    fn transmit(&mut self, link: LinkId, bytes: Vec<u8>) {
        if !self.connections.transmit(link, bytes) {
            warn!(link = link.0, "the peer takes too little: closing the link");
            self.connections.close(link, CODE_TRY_LATER, "more is queued than is taken");
            self.end_session(link);
        }
    }

    /// Closes a link that the endpoint has given up, and has forgotten.
    fn close_link(&mut self, link: LinkId, reason: CloseReason, status: &SessionStatus) {
        debug!(link = link.0, %reason, "closing the link");
        self.totals.add(status);
        self.connections.close(link, reason.code(), &reason.to_string());
    }

    pub(super) fn disconnect(&mut self, target: &Target) {
        if let Some(link) = self.connections.hang_up(target) {
            self.connections.close(link, CODE_NORMAL, "disconnected");
            self.end_session(link);
        }
    }

    pub(super) fn go_offline(&mut self) {
        for session in self.endpoint.sessions() {
            self.totals.add(&session);
        }
        for link in self.connections.go_offline() {
            self.endpoint.handle(self.clock.now(), Input::LinkDown { link });
        }
    }

    /// Tells the endpoint that a link has ended, and keeps its figures.
    fn end_session(&mut self, link: LinkId) {
        if let Some(session) = self.endpoint.session(link) {
            self.totals.add(&session);
        }
        self.endpoint.handle(self.clock.now(), Input::LinkDown { link });
    }

    /// Passes news on to those who watch; the rest is for the log, which gets no values.
    fn tell(&mut self, event: Event) {
        match event {
            Event::Changed { document, source, changes } => self.watchers.publish(&document, source, changes),
            Event::PeerUp { link, replica } => {
                self.totals.links_up += 1;
                info!(link = link.0, %replica, "peer up");
            }
            Event::PeerDown { link, replica } => info!(link = link.0, %replica, "peer down"),
            Event::DuplicateIdentity { link, replica } => {
                warn!(link = link.0, %replica, "two processes use one replica id");
            }
            Event::IdentityConflict { link, document, dot } => {
                warn!(link = link.0, %document, %dot, "two writers have used one replica id");
            }
            Event::Diverged { link, document, ours, theirs } => {
                warn!(link = link.0, %document, %ours, %theirs, "equal versions with different content");
            }
            Event::Refused { link, document, reason } => {
                warn!(link = link.0, %document, ?reason, "the document does not sync");
            }
            Event::InSync { link, document } => debug!(link = link.0, %document, "in sync"),
            Event::Opened { document } => debug!(%document, "opened for a peer"),
            // What is new in the protocol shows in the log once somebody has looked at it for values.
            _ => {}
        }
    }
}
