//! One replica under test: a real endpoint, and a store whose writes become durable when told.
//!
//! What may a crash take? Everything that was asked for and is not durable yet, but only from the
//! end: a store that commits in order keeps a prefix. So writes wait in a queue, [`Host::sync`]
//! moves the first few into the store, and [`Host::crash`] drops the rest with the endpoint. Loads wait
//! too, until [`Host::load`].

use std::collections::VecDeque;
use std::sync::Arc;

use crdt_core::{Delta, Head, ReplicaId, Snapshot};
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
    asked: VecDeque<DocumentId>,
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
    /// A document was asked for; it is the last in [`Host::asked`].
    Asked,
    /// A document has left memory.
    Rested {
        /// Which one.
        document: DocumentId,
        /// Where it stands.
        head: Head,
    },
}

impl Host {
    /// Starts a replica on a store, with every document that the store holds. `who` is its id, and a number that no
    /// other process has.
    ///
    /// # Errors
    /// [`OpenError`] if the store holds what cannot be opened.
    ///
    /// # Panics
    /// If the store is in use, or belongs to another replica.
    pub fn start(now: Now, who: (ReplicaId, u64), config: Config, store: &MemoryStore) -> Result<Self, OpenError> {
        let mut host = Self::idle(who, config, store);
        for name in store.documents() {
            host.endpoint.open(now, &id_of(&name), Some(stored(store, &name)))?;
        }
        Ok(host)
    }

    /// Starts a replica on a store with every document at rest; those whose head is not noted in the store are
    /// opened. `who` is as for [`start`](Self::start).
    ///
    /// # Errors
    /// [`OpenError`] if the store holds what cannot be opened.
    ///
    /// # Panics
    /// If the store is in use, or belongs to another replica.
    pub fn start_at_rest(
        now: Now,
        who: (ReplicaId, u64),
        config: Config,
        store: &MemoryStore,
    ) -> Result<Self, OpenError> {
        let mut host = Self::idle(who, config, store);
        for (name, head) in host.lease.heads().expect("memory can be read") {
            match head {
                Some(head) => host.endpoint.know(now, &id_of(&name), head)?,
                None => host.endpoint.open(now, &id_of(&name), Some(stored(store, &name)))?,
            }
        }
        Ok(host)
    }

    fn idle((replica, incarnation): (ReplicaId, u64), config: Config, store: &MemoryStore) -> Self {
        let lease = store.lease(replica).expect("the store's last user has stopped, and was this replica");
        let endpoint = Endpoint::new(replica, incarnation, config);
        Self { endpoint, lease, unsynced: VecDeque::new(), asked: VecDeque::new() }
    }

    /// Takes the next thing that the endpoint asks for; a write goes into the queue of the store.
    pub fn poll(&mut self) -> Option<Effect> {
        Some(match self.endpoint.poll_output()? {
            Output::Persist { ticket, document, write } => {
                self.unsynced.push_back(Unsynced { ticket, document, write });
                Effect::Requested
            }
            Output::Load { document } => {
                self.asked.push_back(document);
                Effect::Asked
            }
            Output::Rested { document, head } => {
                self.lease.note_head(document.as_str(), &head).expect("memory takes everything");
                Effect::Rested { document, head }
            }
            // Copies know what they are, and have ids of their own; a conflict is reported as an event, and judged by
            // that.
            Output::Renew | Output::Disputed { .. } | Output::Settled { .. } => return self.poll(),
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

    /// Returns the documents that were asked for and are not loaded yet, oldest first.
    #[must_use]
    pub fn asked(&self) -> &VecDeque<DocumentId> {
        &self.asked
    }

    /// Gives the endpoint the document that it has asked for first.
    ///
    /// # Errors
    /// [`OpenError`] if the store does not hold what the endpoint knows of.
    pub fn load(&mut self, now: Now) -> Result<(), OpenError> {
        match self.asked.pop_front() {
            Some(id) if !self.endpoint.is_resident(&id) => self.give(now, &id),
            _ => Ok(()),
        }
    }

    /// Takes a document into memory at once, if there is one of that name.
    ///
    /// # Errors
    /// [`OpenError`] if the store does not hold what the endpoint knows of.
    pub fn bring(&mut self, now: Now, id: &DocumentId) -> Result<(), OpenError> {
        if self.endpoint.wake(now, id) { Ok(()) } else { self.give(now, id) }
    }

    fn give(&mut self, now: Now, id: &DocumentId) -> Result<(), OpenError> {
        let stored = stored(self.lease.store(), id.as_str());
        self.endpoint.loaded(now, id, stored)
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

/// Returns a copy of a store, which belongs to another replica, and folds deltas of so many bytes.
///
/// # Panics
/// Never: memory takes everything.
#[must_use]
pub(super) fn copied(store: &MemoryStore, replica: ReplicaId, delta_bytes_max: usize) -> MemoryStore {
    let copy = MemoryStore::with_delta_bytes_max(delta_bytes_max);
    let mut lease = copy.lease(replica).expect("it is new");
    for name in store.documents() {
        let Stored { snapshot, deltas } = stored(store, &name);
        lease.replace(&name, snapshot).expect("memory takes everything");
        for delta in deltas {
            put(&mut lease, &id_of(&name), Write::Delta(delta));
        }
    }
    drop(lease);
    copy
}

fn id_of(name: &str) -> DocumentId {
    DocumentId::new(name).expect("it was a document's id when it was stored")
}

/// Returns what a store holds of a document.
fn stored(store: &MemoryStore, name: &str) -> Stored {
    let held = store.load(name).expect("a document that is known is in the store");
    Stored { snapshot: held.snapshot, deltas: held.deltas }
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
///
/// # Panics
/// If they do not follow on it.
#[must_use]
pub fn folded(mut snapshot: Snapshot, deltas: &[Arc<Delta>]) -> Snapshot {
    for delta in deltas {
        snapshot.apply(delta).expect("what was stored applies in order");
    }
    snapshot
}
