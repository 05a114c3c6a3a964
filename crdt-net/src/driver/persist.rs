//! Who carries out what the endpoint wants made durable.
//!
//! Memory is written *inline*, at the end of each turn: nothing blocks, and a simulated run needs no
//! thread, so that a seed stays one run. A disk belongs to a *storage thread* (see `thread`), because a sync
//! takes 0.2 to 10 ms in which messages, timers and other writes must go on. tokio's blocking pool was
//! rejected for it: writes have an order, and a thread that owns the store keeps it without a lock.
//!
//! When may a checkpoint replace the deltas of a document, although the store may be far behind the
//! live document? Writes and checkpoints go through one queue in one order. The driver takes the snapshot when
//! the endpoint has nothing more to ask for, so every write that is in the snapshot was queued before it,
//! and every write queued after it is not in the snapshot. When the store comes to the checkpoint, it therefore
//! holds exactly the version of the snapshot, and what follows continues it. One checkpoint of a document is
//! under way at a time, and the driver never waits for it: a snapshot is O(1).

mod queue;
mod thread;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crdt_core::{ReplicaId, Snapshot};

use crdt_store::{Backup, Checkpoint, DiskStore, Identity, Store, StoreError};
use crdt_sync::{Config, DocumentId, Endpoint, Now, Stored, Ticket, Write};

use crate::options::{Options, Storage};
use crate::replica::{BackupError, OpenError};
use crate::status::StorageStatus;

use super::Reply;
use thread::StorageThread;

/// Where a copy of the store is asked for.
pub(crate) type BackupReply = Reply<Result<Backup, BackupError>>;

/// A store whose calls block, with what only such a store has.
pub(crate) trait Disk: Store {
    /// Returns whose dots are spent, and whether that is new, if the store knows.
    fn identity(&self) -> Option<Identity>;

    /// Lets other processes that find the store taken know how to reach this one.
    fn announce(&self, text: &str) -> io::Result<()>;

    /// Takes hold of everything that is durable, to be copied while writes go on.
    fn start_backup(&self) -> Result<Backup, StoreError>;
}

impl Disk for DiskStore {
    fn identity(&self) -> Option<Identity> {
        Some(Self::identity(self).clone())
    }

    fn announce(&self, text: &str) -> io::Result<()> {
        Self::announce(self, text)
    }

    fn start_backup(&self) -> Result<Backup, StoreError> {
        Self::start_backup(self)
    }
}

/// An open store, and the endpoint of everything in it.
pub(crate) struct Opened {
    pub(crate) endpoint: Endpoint,
    /// None in memory.
    pub(crate) identity: Option<Identity>,
    pub(crate) persist: Persist,
}

/// Opens the store that the options name, and every document in it.
pub(crate) async fn open(options: &Options, now: Now) -> Result<Opened, OpenError> {
    match &options.storage {
        Storage::Memory(store) => {
            let replica = options.replica.or_else(|| store.replica());
            let replica = replica.unwrap_or_else(|| ReplicaId::from_random_bytes(rand::random()));
            let store = store.lease(replica)?;
            let endpoint = open_documents(&store, options.sync.clone(), now)?;
            let persist = Persist::new(Way::Inline(Inline::new(Box::new(store))));
            Ok(Opened { endpoint, identity: None, persist })
        }
        Storage::Disk { folder, options: disk } => {
            let (folder, mut disk) = (folder.clone(), disk.clone());
            disk.replica = options.replica.or(disk.replica);
            let open = move || Ok(Box::new(DiskStore::open(&folder, disk)?) as Box<dyn Disk>);
            open_blocking(options, now, open).await
        }
    }
}

/// Opens a store that blocks, in the thread that keeps it.
pub(crate) async fn open_blocking(
    options: &Options,
    now: Now,
    open: impl FnOnce() -> Result<Box<dyn Disk>, OpenError> + Send + 'static,
) -> Result<Opened, OpenError> {
    let config = options.sync.clone();
    let open = move || {
        let store = open()?;
        let endpoint = open_documents(&*store, config, now)?;
        Ok((store, endpoint))
    };
    let (thread, endpoint, identity) = StorageThread::open(options.durability, open).await?;
    Ok(Opened { endpoint, identity, persist: Persist::new(Way::Thread(thread)) })
}

/// Makes an endpoint with everything that the store holds.
fn open_documents(store: &dyn Store, config: Config, now: Now) -> Result<Endpoint, OpenError> {
    let mut endpoint = Endpoint::new(store.replica(), config);
    for name in store.documents()? {
        let document = DocumentId::new(Arc::clone(&name))?;
        let stored = store.load(&name)?.map(|stored| Stored { snapshot: stored.snapshot, deltas: stored.deltas });
        endpoint
            .open(now, &document, stored)
            .map_err(|error| OpenError::Document { document: document.clone(), error })?;
    }
    Ok(endpoint)
}

/// The driver's side of the store.
pub(crate) struct Persist {
    way: Way,
    /// Nothing more will be written.
    is_finished: bool,
}

enum Way {
    Inline(Inline),
    Thread(StorageThread),
}

impl Persist {
    fn new(way: Way) -> Self {
        Self { way, is_finished: false }
    }

    /// Takes a write. It counts from the next [`commit`](Self::commit).
    pub(super) fn write(&mut self, ticket: Ticket, document: DocumentId, write: Write) -> Result<(), StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.write(ticket, document, write),
            Way::Thread(thread) => {
                thread.write(ticket, document, write);
                Ok(())
            }
        }
    }

    /// Has everything taken so far made durable. Returns the last ticket of it if that is so already,
    /// else [`durable`](Self::durable) will.
    pub(super) fn commit(&mut self) -> Result<Option<Ticket>, StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.commit(),
            Way::Thread(thread) => {
                thread.commit();
                Ok(None)
            }
        }
    }

    /// Waits until more is durable and returns the last ticket of it; `None` if nothing more will be:
    /// everything is, and the store is free. Rests for ever while everything is durable at once. Cancel safe.
    pub(super) async fn durable(&mut self) -> Result<Option<Ticket>, StoreError> {
        match &mut self.way {
            Way::Inline(_) if self.is_finished => Ok(None),
            Way::Inline(_) => std::future::pending().await,
            Way::Thread(thread) => thread.durable().await,
        }
    }

    /// Takes the documents of which a checkpoint is due: each is named once until it was made.
    pub(super) fn take_due(&mut self) -> BTreeSet<DocumentId> {
        match &mut self.way {
            Way::Inline(inline) => std::mem::take(&mut inline.due),
            Way::Thread(thread) if !self.is_finished => thread.take_due(),
            // The next to open the store will be told again.
            Way::Thread(_) => BTreeSet::new(),
        }
    }

    /// Lets a snapshot take the place of a document's deltas. Every write in it was taken before.
    pub(super) fn checkpoint(&mut self, document: DocumentId, snapshot: Snapshot) -> Result<(), StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.checkpoint(&document, snapshot),
            Way::Thread(thread) => {
                thread.checkpoint(document, snapshot);
                Ok(())
            }
        }
    }

    /// Lets nothing that was committed wait for company any more.
    pub(super) fn hurry(&mut self) {
        if let Way::Thread(thread) = &mut self.way {
            thread.hurry();
        }
    }

    /// Lets other processes that find the store taken know how to reach this one; answers when they can.
    pub(super) fn announce(&mut self, text: String, reply: Reply<()>) {
        match &mut self.way {
            Way::Inline(_) => {
                // Nobody else can see a store in memory.
                let _ = reply.send(());
            }
            Way::Thread(thread) => thread.announce(text, reply),
        }
    }

    /// Starts a copy of everything that was committed.
    pub(super) fn back_up(&mut self, reply: BackupReply) {
        match &mut self.way {
            Way::Inline(_) => {
                let _ = reply.send(Err(BackupError::InMemory));
            }
            Way::Thread(thread) => thread.back_up(reply),
        }
    }

    /// Says that nothing more will be written: [`durable`](Self::durable) comes to an end.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
        if let Way::Thread(thread) = &mut self.way {
            thread.finish();
        }
    }

    /// Frees the store, when everything committed is durable or the store has failed.
    pub(super) async fn shut_down(mut self) {
        self.finish();
        match self.way {
            Way::Inline(inline) => drop(inline),
            Way::Thread(thread) => thread.shut_down().await,
        }
    }

    pub(super) fn status(&self, waiting_bytes: usize) -> StorageStatus {
        let status = match &self.way {
            Way::Inline(inline) => inline.status,
            Way::Thread(thread) => thread.status(),
        };
        StorageStatus { waiting_bytes, ..status }
    }
}

/// A store that is written where it is asked for.
struct Inline {
    store: Box<dyn Store>,
    /// The last write that is staged and not synced.
    staged: Option<Ticket>,
    due: BTreeSet<DocumentId>,
    status: StorageStatus,
}

impl Inline {
    fn new(store: Box<dyn Store>) -> Self {
        Self { store, staged: None, due: BTreeSet::new(), status: StorageStatus::default() }
    }

    fn write(&mut self, ticket: Ticket, document: DocumentId, write: Write) -> Result<(), StoreError> {
        if stage(&mut *self.store, &document, write)? == Checkpoint::Due {
            self.due.insert(document);
        }
        self.staged = Some(ticket);
        self.status.writes += 1;
        Ok(())
    }

    fn commit(&mut self) -> Result<Option<Ticket>, StoreError> {
        if self.staged.is_some() {
            self.store.sync()?;
            self.status.syncs += 1;
        }
        Ok(self.staged.take())
    }

    fn checkpoint(&mut self, document: &DocumentId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.status.checkpoints += 1;
        self.store.replace(document.as_str(), snapshot)
    }
}

/// Stages one write.
fn stage(store: &mut (impl Store + ?Sized), document: &DocumentId, write: Write) -> Result<Checkpoint, StoreError> {
    match write {
        Write::Delta(delta) => store.append(document.as_str(), &delta),
        Write::Snapshot(snapshot) => store.replace(document.as_str(), snapshot).map(|()| Checkpoint::NotDue),
    }
}
