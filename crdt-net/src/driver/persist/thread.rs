//! The storage thread: owns a store that blocks, and commits in groups.
//!
//! How do many writers share a sync? The thread takes everything that is queued, stages it in order, and syncs
//! once; whatever comes meanwhile is the next group. So a busy disk has large groups, and an idle one
//! commits at once.
//!
//! The thread opens the store and drops it too: no call of a store ever blocks a task. It ends when the driver
//! says so or is gone, after everything queued is durable, or at the first error of the store, after which
//! nothing more is written.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crdt_core::{Head, ReplicaId, Snapshot};
use crdt_store::{Checkpoint, Identity, StoreError};
use crdt_sync::{DocumentId, Ticket, Write};
use tokio::sync::oneshot;
use tracing::warn;

use crate::driver::Reply;
use crate::options::Durability;
use crate::replica::{BackupError, OpenError};
use crate::status::StorageStatus;

use super::queue::{Job, Queue, Request};
use super::{BackupReply, Disk, Done, NOTES_MAX, read, stage};

/// What the thread is called in debuggers and lists of threads; Linux shows 15 bytes.
const THREAD_NAME: &str = "crdt-storage";

/// How many documents are loaded at a time: so much content may wait for the driver to take it.
const LOADS_MAX: usize = 64;

/// The driver's end of a storage thread. Dropping it lets the thread finish what is queued, and end.
pub(super) struct StorageThread {
    queue: Arc<Queue>,
    /// The jobs of this turn.
    gathered: Vec<Job>,
    /// How many loads are under way.
    loads: usize,
    /// Documents that are loaded after those.
    later: VecDeque<DocumentId>,
    /// The last write that is durable, to be told next.
    durable_next: Option<Ticket>,
    thread: Option<JoinHandle<()>>,
}

impl StorageThread {
    /// Starts a thread, which opens a store and keeps it. What else it has opened is handed on.
    pub(super) async fn open<T: Send + 'static>(
        durability: Durability,
        open: impl FnOnce() -> Result<(Box<dyn Disk>, T), OpenError> + Send + 'static,
    ) -> Result<(Self, T, Option<Identity>), OpenError> {
        let queue = Arc::new(Queue::default());
        let (reply, opened) = oneshot::channel();
        let ended = Ended(Arc::clone(&queue));
        let run = move || {
            // Dropped after the store, in whatever way this ends.
            let ended = ended;
            match open() {
                Ok((store, opened)) => {
                    let identity = store.identity();
                    if reply.send(Ok((opened, identity))).is_ok() {
                        Keeper { store, checkpointing: BTreeSet::new(), notes: 0 }.run(&ended.0, durability);
                    }
                }
                // Fails only if nobody waits any more.
                Err(error) => drop(reply.send(Err(error))),
            }
        };
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(run).map_err(OpenError::Thread)?;
        let mut this = Self {
            queue,
            gathered: Vec::new(),
            loads: 0,
            later: VecDeque::new(),
            durable_next: None,
            thread: Some(thread),
        };
        match opened.await {
            Ok(Ok((opened, identity))) => Ok((this, opened, identity)),
            Ok(Err(error)) => {
                this.join().await;
                Err(error)
            }
            // It has panicked.
            Err(_) => Err(OpenError::Store(StoreError::Poisoned)),
        }
    }

    pub(super) fn write(&mut self, ticket: Ticket, document: DocumentId, write: Write) {
        self.gathered.push(Job::Write { ticket, document, write });
    }

    pub(super) fn commit(&mut self) {
        self.queue.push(&mut self.gathered);
    }

    pub(super) fn load(&mut self, document: DocumentId) {
        if self.loads < LOADS_MAX {
            self.loads += 1;
            self.gathered.push(Job::Load { document });
        } else {
            self.later.push_back(document);
        }
    }

    pub(super) fn recall(&mut self, document: DocumentId) {
        self.gathered.push(Job::Recall { document });
    }

    pub(super) fn renew(&mut self, replica: ReplicaId) {
        self.gathered.push(Job::Renew { replica });
    }

    pub(super) fn note_head(&mut self, document: DocumentId, head: Head) {
        self.gathered.push(Job::NoteHead { document, head });
    }

    pub(super) fn note_settled(&mut self, document: DocumentId, replica: ReplicaId) {
        self.gathered.push(Job::NoteSettled { document, replica });
    }

    pub(super) async fn done(&mut self) -> Result<Done, StoreError> {
        if let Some(ticket) = self.durable_next.take() {
            return Ok(Done::Durable(ticket));
        }
        let durable_next = &mut self.durable_next;
        let news = self.queue.news(|news| {
            // What was loaded comes before what has become durable since: its document may have come into memory by
            // another way meanwhile, and must not leave it, all durable, before this is heard. What is durable comes
            // next, however much is loaded.
            if !news.loaded.is_empty() {
                *durable_next = news.durable.take();
                Some(Ok(Done::Loaded(std::mem::take(&mut news.loaded))))
            } else if let Some(ticket) = news.durable.take() {
                // What became durable before a failure still counts.
                Some(Ok(Done::Durable(ticket)))
            } else if let Some(error) = &news.failure {
                Some(Err(error.clone()))
            } else if let Some(replica) = news.renewed.take() {
                Some(Ok(Done::Renewed(replica)))
            } else if let Some(stored) = news.recalled.take() {
                Some(Ok(Done::Recalled(stored)))
            } else {
                news.has_ended.then_some(Ok(Done::All))
            }
        });
        let done = news.await?;
        if let Done::Loaded(loaded) = &done {
            self.loads -= loaded.len();
            while self.loads < LOADS_MAX
                && let Some(document) = self.later.pop_front()
            {
                self.load(document);
            }
            self.commit();
            self.hurry();
        }
        Ok(done)
    }

    pub(super) fn take_due(&mut self) -> BTreeSet<DocumentId> {
        self.queue.look(|news| std::mem::take(&mut news.due))
    }

    pub(super) fn checkpoint(&mut self, document: DocumentId, snapshot: Snapshot) {
        self.gathered.push(Job::Checkpoint { document, snapshot });
        self.commit();
    }

    pub(super) fn announce(&mut self, text: String, reply: Reply<()>) {
        self.ask(Request::Announce { text, reply });
    }

    pub(super) fn back_up(&mut self, reply: BackupReply) {
        self.ask(Request::BackUp { reply });
    }

    fn ask(&mut self, request: Request) {
        self.commit();
        self.queue.ask(request);
        self.hurry();
    }

    pub(super) fn hurry(&mut self) {
        self.queue.hurry();
    }

    pub(super) fn finish(&mut self) {
        // Whoever waits for them learns that the replica is closed.
        self.later.clear();
        self.commit();
        self.queue.close();
    }

    pub(super) async fn shut_down(mut self) {
        self.queue.close();
        self.join().await;
    }

    pub(super) fn status(&self) -> StorageStatus {
        self.queue.look(|news| news.status)
    }

    /// Waits until the thread has ended.
    async fn join(&mut self) {
        self.queue.news(|news| news.has_ended.then_some(())).await;
        // It has nothing left to do but to return.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the storage thread panicked");
        }
    }
}

impl Drop for StorageThread {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Tells the driver that the thread has ended, and why if nobody else did.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.tell(|news| {
            if thread::panicking() {
                news.failure.get_or_insert(StoreError::Poisoned);
            }
            news.has_ended = true;
        });
    }
}

/// The thread's own: the store, and the checkpoints that it has asked for.
struct Keeper {
    store: Box<dyn Disk>,
    /// Documents of which a checkpoint is due and has not come yet.
    checkpointing: BTreeSet<DocumentId>,
    /// How many heads were noted since the last sync.
    notes: usize,
}

impl Keeper {
    fn run(mut self, queue: &Queue, durability: Durability) {
        let mut outcome = Ok(());
        while outcome.is_ok()
            && let Some(group) = queue.next_group(durability)
        {
            outcome = self.carry_out(group, queue);
        }
        if outcome.is_ok() && self.notes > 0 {
            outcome = self.store.sync();
        }
        if let Err(error) = outcome {
            queue.tell(|news| news.failure = Some(error));
        }
    }

    /// Stages the jobs in order, syncs once, and only then says so.
    ///
    /// What was loaded is told at once: nobody writes to a document at rest, so all that is read of it was durable
    /// before. Notes of heads need no sync of their own: one that is lost costs a load. What is recalled may not be
    /// durable yet; what is made of it is a write behind all that is in it.
    fn carry_out(&mut self, group: Vec<Job>, queue: &Queue) -> Result<(), StoreError> {
        let mut done = StorageStatus::default();
        let (mut durable, mut due) = (None, BTreeSet::new());
        for job in group {
            match job {
                Job::Write { ticket, document, write } => {
                    let checkpoint = stage(&mut *self.store, &document, write)?;
                    if checkpoint == Checkpoint::Due && self.checkpointing.insert(document.clone()) {
                        due.insert(document);
                    }
                    durable = Some(ticket);
                    done.writes += 1;
                }
                Job::Checkpoint { document, snapshot } => {
                    self.store.replace(document.as_str(), snapshot)?;
                    self.checkpointing.remove(&document);
                    done.checkpoints += 1;
                }
                Job::Load { document } => {
                    let stored = read(&*self.store, &document)?;
                    queue.tell(|news| {
                        news.loaded.push((document, stored));
                        news.status.loads += 1;
                    });
                }
                Job::Recall { document } => {
                    let stored = read(&*self.store, &document)?;
                    queue.tell(|news| news.recalled = Some(stored));
                }
                Job::Renew { replica } => {
                    self.store.renew(replica)?;
                    queue.tell(|news| news.renewed = Some(replica));
                }
                Job::NoteHead { document, head } => {
                    self.store.note_head(document.as_str(), &head)?;
                    self.notes += 1;
                }
                Job::NoteSettled { document, replica } => {
                    self.store.note_settled(document.as_str(), replica)?;
                    self.notes += 1;
                }
            }
        }
        if done.writes + done.checkpoints > 0 || self.notes >= NOTES_MAX {
            self.store.sync()?;
            self.notes = 0;
            done.syncs += 1;
        }
        queue.tell(|news| {
            news.durable = durable.or(news.durable);
            news.due.append(&mut due);
            news.status.add(&done);
        });
        while let Some(request) = queue.next_request() {
            self.serve(request);
        }
        Ok(())
    }

    /// Does what needs everything before it to be durable. Callers that have gone are not missed.
    fn serve(&self, request: Request) {
        match request {
            Request::Announce { text, reply } => {
                if let Err(error) = self.store.announce(&text) {
                    warn!(%error, "others cannot be told where this replica listens");
                }
                let _ = reply.send(());
            }
            Request::BackUp { reply } => {
                let _ = reply.send(self.store.start_backup().map_err(BackupError::Store));
            }
        }
    }
}
