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
//!
//! And if the document has left memory by then? It cannot have. A checkpoint becomes due with a write, and the driver
//! takes the snapshot before it tells the endpoint that this write is durable, until when the document stays. Waking it
//! later was rejected, since it would come at the moment when memory is short; waiting for the next write too, since a
//! document that always leaves at once would never get one.
//!
//! Loads, and notes of where documents stand, go through the same queue. So a load sees every write before it, and a
//! note is of what the store holds when it comes to it. And so does another id: what was written before it comes before
//! it.

mod opening;
mod queue;
mod thread;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;

use crdt_core::{Head, ReplicaId, Snapshot};
use crdt_store::{Backup, Checkpoint, DiskStore, Identity, Store, StoreError};
use crdt_sync::{DocumentId, Stored, Ticket, Write};

use crate::replica::BackupError;
use crate::status::StorageStatus;

use super::Reply;
use thread::StorageThread;

pub(crate) use opening::{Opened, open};

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

/// How many heads are noted before they are made durable even if nothing else is.
const NOTES_MAX: usize = 1024;

/// What the store has done.
pub(super) enum Done {
    /// A write is durable, and every one before it.
    Durable(Ticket),
    /// These documents were asked for.
    Loaded(Vec<(DocumentId, Stored)>),
    /// What is held of the document whose history was asked for.
    Recalled(Stored),
    /// The store goes by this id, durably.
    Renewed(ReplicaId),
    /// Everything: nothing more will be done, and the store is free.
    All,
}

/// The driver's side of the store.
pub(crate) struct Persist {
    way: Way,
    /// How many documents were loaded to open the replica.
    first_loads: u64,
    /// Nothing more will be written.
    is_finished: bool,
}

enum Way {
    Inline(Inline),
    Thread(StorageThread),
}

impl Persist {
    fn new(way: Way, first_loads: u64) -> Self {
        Self { way, first_loads, is_finished: false }
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

    /// Reads what is held of a document at rest, after every write that was taken before. `None` if it comes as
    /// [`Done::Loaded`], for which it is to be [committed](Self::commit), and [hurried](Self::hurry).
    pub(super) fn load(&mut self, document: &DocumentId) -> Result<Option<Stored>, StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.load(document).map(Some),
            Way::Thread(thread) if !self.is_finished => {
                thread.load(document.clone());
                Ok(None)
            }
            // Whoever waits for it learns that the replica is closed.
            Way::Thread(_) => Ok(None),
        }
    }

    /// Reads what is held of a document, in memory or at rest, after every write that was taken before. `None` if it
    /// comes as [`Done::Recalled`], for which it is to be [committed](Self::commit), and [hurried](Self::hurry). One at
    /// a time.
    pub(super) fn recall(&mut self, document: &DocumentId) -> Result<Option<Stored>, StoreError> {
        match &mut self.way {
            Way::Inline(inline) => read(&*inline.store, document).map(Some),
            Way::Thread(thread) => {
                thread.recall(document.clone());
                Ok(None)
            }
        }
    }

    /// Lets the store go by another id. True if it does so durably; else [`Done::Renewed`] says when, for which it is
    /// to be [committed](Self::commit), and [hurried](Self::hurry).
    pub(super) fn renew(&mut self, replica: ReplicaId) -> Result<bool, StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.store.renew(replica).map(|()| true),
            Way::Thread(thread) => {
                thread.renew(replica);
                Ok(false)
            }
        }
    }

    /// Tells whether nothing more will be written.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Tells whether what is loaded is there at once.
    pub(super) fn is_inline(&self) -> bool {
        matches!(self.way, Way::Inline(_))
    }

    /// Notes where a document stands, so that the next opening need not load it. Every write in it was taken before.
    pub(super) fn note_head(&mut self, document: DocumentId, head: Head) -> Result<(), StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.store.note_head(document.as_str(), &head),
            Way::Thread(thread) => {
                if !self.is_finished {
                    thread.note_head(document, head);
                }
                Ok(())
            }
        }
    }

    /// Notes that it is settled in a document whose dots are whose under a former id that others have used.
    pub(super) fn note_settled(&mut self, document: DocumentId, replica: ReplicaId) -> Result<(), StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.store.note_settled(document.as_str(), replica),
            Way::Thread(thread) => {
                if !self.is_finished {
                    thread.note_settled(document, replica);
                }
                Ok(())
            }
        }
    }

    /// Has everything taken so far made durable. Returns the last ticket of it if that is so already,
    /// else [`done`](Self::done) will.
    pub(super) fn commit(&mut self) -> Result<Option<Ticket>, StoreError> {
        match &mut self.way {
            Way::Inline(inline) => inline.commit(),
            Way::Thread(thread) => {
                thread.commit();
                Ok(None)
            }
        }
    }

    /// Waits until more is done. Rests for ever while everything is done at once. Cancel safe.
    pub(super) async fn done(&mut self) -> Result<Done, StoreError> {
        match &mut self.way {
            Way::Inline(_) if self.is_finished => Ok(Done::All),
            Way::Inline(_) => std::future::pending().await,
            Way::Thread(thread) => thread.done().await,
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

    /// Says that nothing more will be written: [`done`](Self::done) comes to an end.
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
        StorageStatus { waiting_bytes, loads: self.first_loads + status.loads, ..status }
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

    fn load(&mut self, document: &DocumentId) -> Result<Stored, StoreError> {
        self.status.loads += 1;
        read(&*self.store, document)
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

/// Reads a document that must be there: one that cannot be read is never taken for an empty one.
fn read(store: &(impl Store + ?Sized), document: &DocumentId) -> Result<Stored, StoreError> {
    let stored = store.load(document.as_str())?;
    let stored = stored.ok_or_else(|| StoreError::Damaged(format!("document {document} is not there any more")))?;
    Ok(Stored { snapshot: stored.snapshot, deltas: stored.deltas })
}
