//! One replica under test: a real endpoint, and a store whose writes become durable when told.
//!
//! What may a crash take? Everything that was asked for and is not durable yet, but only from the
//! end: a store that commits in order keeps a prefix. So writes wait in a queue, [`Host::sync`]
//! moves the first few into the store, and [`Host::crash`] drops the rest with the endpoint.

use std::collections::VecDeque;
use std::sync::Arc;

use crdt_core::{Delta, ReplicaId, Snapshot};
use crdt_store::{Checkpoint, Lease, MemoryStore, Store};
use crdt_sync::{
    CloseReason, Config, DocumentId, Endpoint, Event, Input, LinkId, Now, OpenError, Output, Stored, Ticket, Write,
};

/// A replica, from its start to its end. The store outlives it.
#[derive(Debug)]
pub struct Host {
    /// The machine under test.
    pub endpoint: Endpoint,
    lease: Lease,
    unsynced: VecDeque<Unsynced>,
}

/// A write that a crash would take.
#[derive(Debug)]
pub struct Unsynced {
    /// The endpoint's name for it.
    pub ticket: Ticket,
    /// The document it belongs to.
    pub document: DocumentId,
    /// What to write.
    pub write: Write,
}

/// What an endpoint asks for, apart from writes.
#[derive(Debug)]
pub enum Effect {
    /// Put a message on a link.
    Transmit {
        /// Which link.
        link: LinkId,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Close a link behind what was put on it.
    Close {
        /// Which link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// News for the application.
    Event(Event),
    /// A write was asked for; it is the last in [`Host::unsynced`].
    Requested,
}

impl Host {
    /// Starts a replica on a store, with every document that the store holds.
    ///
    /// # Errors
    /// [`OpenError`] if the store holds what cannot be opened.
    ///
    /// # Panics
    /// If the store is in use, or belongs to another replica.
    pub fn start(now: Now, replica: ReplicaId, config: Config, store: &MemoryStore) -> Result<Self, OpenError> {
        let lease = store.lease(replica).expect("the store's last user has stopped, and was this replica");
        let mut endpoint = Endpoint::new(replica, config);
        for name in store.documents() {
            let id = DocumentId::new(&*name).expect("it was a document's id when it was stored");
            let held = store.load(&name).expect("the store lists what it holds");
            endpoint.open(now, &id, Some(Stored { snapshot: held.snapshot, deltas: held.deltas }))?;
        }
        Ok(Self { endpoint, lease, unsynced: VecDeque::new() })
    }

    /// Takes the next thing that the endpoint asks for; a write goes into the queue of the store.
    pub fn poll(&mut self) -> Option<Effect> {
        Some(match self.endpoint.poll_output()? {
            Output::Persist { ticket, document, write } => {
                self.unsynced.push_back(Unsynced { ticket, document, write });
                Effect::Requested
            }
            Output::Transmit { link, bytes } => Effect::Transmit { link, bytes },
            Output::Close { link, reason, .. } => Effect::Close { link, reason },
            Output::Event(event) => Effect::Event(event),
        })
    }

    /// Returns the writes that are not durable yet, oldest first.
    #[must_use]
    pub fn unsynced(&self) -> &VecDeque<Unsynced> {
        &self.unsynced
    }

    /// Returns the store as it is now: what would be left after a crash.
    #[must_use]
    pub fn store(&self) -> &MemoryStore {
        self.lease.store()
    }

    /// Makes the oldest `count` writes durable, and tells the endpoint.
    pub fn sync(&mut self, now: Now, count: usize) {
        if let Some(ticket) = self.write(count) {
            self.endpoint.handle(now, Input::Persisted { ticket });
        }
    }

    /// Ends the replica, after the oldest `kept` of its writes have still reached the store.
    pub fn crash(mut self, kept: usize) {
        self.write(kept);
    }

    /// Puts writes into the store; returns the last ticket.
    fn write(&mut self, count: usize) -> Option<Ticket> {
        let mut last = None;
        for Unsynced { ticket, document, write } in self.unsynced.drain(..count.min(self.unsynced.len())) {
            put(&mut self.lease, &document, write);
            last = Some(ticket);
        }
        last
    }
}

/// Puts one write into the store, which folds its deltas together when they have become heavy.
fn put(lease: &mut Lease, document: &DocumentId, write: Write) {
    let delta = match write {
        Write::Snapshot(snapshot) => {
            return lease.replace(document.as_str(), snapshot).expect("memory takes everything");
        }
        Write::Delta(delta) => delta,
    };
    let due = lease.append(document.as_str(), &delta).expect("writes come in the order of the log");
    if due == Checkpoint::Due {
        let stored = lease.store().load(document.as_str()).expect("it was just written");
        lease.replace(document.as_str(), folded(stored.snapshot, &stored.deltas)).expect("memory takes everything");
    }
}

/// Returns a snapshot with the deltas after it.
pub(crate) fn folded(mut snapshot: Snapshot, deltas: &[Arc<Delta>]) -> Snapshot {
    for delta in deltas {
        snapshot.apply(delta).expect("what was stored applies in order");
    }
    snapshot
}
