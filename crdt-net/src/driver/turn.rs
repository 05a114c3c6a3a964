//! One turn of the driver: what arrived goes into the endpoint, what it asks for is carried out.

use std::sync::Arc;

use crdt_store::StoreError;
use crdt_sync::{CloseReason, Event, Input, LinkId, Output, SessionStatus, Ticket};
use rand::RngExt;
use tracing::{debug, info, warn};

use crate::dial::Target;
use crate::link::Arrival;
use crate::watch::WatchEvent;

use super::identity::Dispute;
use super::{Driver, HEAVY_BYTES};

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

    /// Takes in that a write is durable, and every one before it.
    pub(super) fn take_durable(&mut self, ticket: Ticket) -> Result<(), StoreError> {
        for document in self.persist.take_due() {
            // The endpoint has nothing to ask for, so every write in the snapshot was handed over before it. And it has
            // not heard yet that the write which made it due is durable, so the document is in memory.
            if let Some(open) = self.endpoint.document(&document) {
                self.persist.checkpoint(document, open.snapshot())?;
            }
        }
        self.endpoint.handle(self.clock.now(), Input::Persisted { ticket });
        self.answers.settle(ticket);
        self.settled.extend(self.touched.keys().cloned());
        self.touched.retain(|_, last| *last > ticket);
        Ok(())
    }

    /// Carries out everything that the endpoint asks for, then answers those whose wait is over.
    pub(super) fn carry_out_all(&mut self) -> Result<(), StoreError> {
        while let Some(ticket) = self.carry_out()? {
            self.take_durable(ticket)?;
        }
        self.answers.answer();
        for reply in std::mem::take(&mut self.asked) {
            let _ = reply.send(self.status());
        }
        for document in std::mem::take(&mut self.settled) {
            let version = || self.endpoint.durable(&document).unwrap_or_default();
            self.waiters.resolve(&document, version);
        }
        for reply in self.backups.drain(..) {
            self.persist.back_up(reply);
        }
        if std::mem::take(&mut self.is_urgent) || self.endpoint.requested_bytes() >= HEAVY_BYTES || !self.has_room() {
            self.persist.hurry();
        }
        Ok(())
    }

    /// Carries out what there is to do; returns the last write that became durable, which may give more to do.
    fn carry_out(&mut self) -> Result<Option<Ticket>, StoreError> {
        loop {
            while let Some(output) = self.endpoint.poll_output() {
                self.do_one(output)?;
            }
            if !self.settle()? {
                break;
            }
        }
        // Once for all writes of the turn: a store on disk commits them together.
        self.persist.commit()
    }

    fn do_one(&mut self, output: Output) -> Result<(), StoreError> {
        match output {
            Output::Persist { ticket, document, write } => {
                self.touched.insert(document.clone(), ticket);
                self.disputes.written(&document, &write);
                self.persist.write(ticket, document, write)?;
            }
            Output::Load { document } => self.load(&document)?,
            Output::Rested { document, head } => self.persist.note_head(document, head)?,
            Output::Renew => {
                self.disputes.need_renewal();
            }
            Output::Disputed { document, replica, trail } => self.disputes.push(Dispute { document, replica, trail }),
            Output::Settled { document, replica } => self.persist.note_settled(document, replica)?,
            Output::Transmit { link, bytes } => self.transmit(link, bytes),
            Output::Close { link, reason, status } => self.close_link(link, reason, &status),
            Output::Event(event) => self.tell(event),
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
            Event::Changed { document, source, changes } => {
                self.watchers.publish(&document, &WatchEvent::Changed { source, changes: Arc::new(changes) });
            }
            Event::PeerUp { link, replica } => {
                self.totals.links_up += 1;
                self.watchers.stir();
                info!(link = link.0, %replica, "peer up");
            }
            Event::PeerDown { link, replica } => {
                self.watchers.stir();
                info!(link = link.0, %replica, "peer down");
            }
            Event::DuplicateIdentity { link, replica } => {
                warn!(link = link.0, %replica, "two processes use one replica id");
            }
            Event::IdentityConflict { link, document, dot } => {
                warn!(link = link.0, %document, %dot, "two writers have used one replica id");
            }
            Event::Reissued { document, replica, heir, transactions } => {
                warn!(%document, %replica, %heir, transactions, "what was written here goes by another id");
                self.disputes.reissued = self.disputes.reissued.saturating_add(transactions);
                self.watchers.publish(&document, &WatchEvent::Reissued { replica, heir, transactions });
            }
            Event::Diverged { link, document, ours, theirs } => {
                warn!(link = link.0, %document, %ours, %theirs, "equal versions with different content");
                self.watchers.publish(&document, &WatchEvent::Diverged { ours, theirs });
            }
            Event::Irreconcilable { document, replica } => {
                warn!(%document, %replica, "two histories under one id cannot be told apart");
                self.watchers.publish(&document, &WatchEvent::Irreconcilable { replica });
            }
            Event::SetAside { document, aside } => {
                warn!(%document, %aside, "set aside, to take over what peers hold");
                self.watchers.publish(&document, &WatchEvent::SetAside { aside });
            }
            Event::Refused { link, document, reason } => {
                warn!(link = link.0, %document, ?reason, "the document does not sync");
            }
            Event::InSync { link, document } => debug!(link = link.0, %document, "in sync"),
            Event::Opened { document } => {
                self.watchers.stir();
                debug!(%document, "opened for a peer");
            }
            // What is new in the protocol shows in the log once somebody has looked at it for values.
            _ => {}
        }
    }
}
