//! What the driver and the storage thread hand each other: jobs one way, in order, and news the other.
//!
//! One lock guards both, held for a few moves and never across a call of the store, so that the
//! driver may take it. The queue has no limit of its own: the driver stops taking in work while much
//! waits (`Options::waiting_bytes_max`), because only there can somebody be told to wait. News cannot pile up:
//! a later ticket stands for all before it, a document is named once, only so many are loaded at a time, and what an
//! identity conflict needs is asked for one by one.
//!
//! Who hears first that the store has failed? The driver, which says why, and only then the callers. So requests stay
//! in here until they are served: the thread, as it fails or panics, drops none, and the driver drops the queue last.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crdt_core::{Head, ReplicaId, Snapshot};
use crdt_store::StoreError;
use crdt_sync::{DocumentId, Stored, Ticket, Write};
use tokio::sync::Notify;

use crate::driver::Reply;
use crate::options::Durability;
use crate::status::StorageStatus;

use super::BackupReply;

/// What the storage thread is asked to do.
pub(super) enum Job {
    Write { ticket: Ticket, document: DocumentId, write: Write },
    Checkpoint { document: DocumentId, snapshot: Snapshot },
    Load { document: DocumentId },
    Recall { document: DocumentId },
    Renew { replica: ReplicaId },
    NoteHead { document: DocumentId, head: Head },
    NoteSettled { document: DocumentId, replica: ReplicaId },
}

/// What a caller waits for, and what needs every job before it to be durable.
pub(super) enum Request {
    Announce { text: String, reply: Reply<()> },
    BackUp { reply: BackupReply },
}

/// What the driver is told.
#[derive(Default)]
pub(super) struct News {
    /// The last write that is durable, if that is news.
    pub(super) durable: Option<Ticket>,
    /// Documents that were asked for, with what the store holds of them.
    pub(super) loaded: Vec<(DocumentId, Stored)>,
    /// What the store holds of the document whose history was asked for.
    pub(super) recalled: Option<Stored>,
    /// The id that the store goes by durably, if that is news.
    pub(super) renewed: Option<ReplicaId>,
    /// Documents of which a checkpoint is due.
    pub(super) due: BTreeSet<DocumentId>,
    /// Why the thread has given up.
    pub(super) failure: Option<StoreError>,
    /// The thread has ended, and with it the store is closed.
    pub(super) has_ended: bool,
    pub(super) status: StorageStatus,
}

/// The two directions, shared by both sides.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    news: Notify,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    /// Requests behind those jobs.
    requests: Vec<Request>,
    /// Requests behind the group that was taken last.
    ready: VecDeque<Request>,
    /// When the first of the jobs or requests came.
    since: Option<Instant>,
    /// They must not wait for others.
    is_urgent: bool,
    /// No more jobs will come.
    is_closing: bool,
    news: News,
}

impl Queue {
    /// Queues jobs behind those that wait. The driver's.
    pub(super) fn push(&self, jobs: &mut Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.since.get_or_insert_with(Instant::now);
        state.jobs.append(jobs);
        drop(state);
        self.work.notify_one();
    }

    /// Queues a request behind the jobs that wait. The driver's.
    pub(super) fn ask(&self, request: Request) {
        let mut state = self.lock();
        state.since.get_or_insert_with(Instant::now);
        state.requests.push(request);
        drop(state);
        self.work.notify_one();
    }

    /// Has what waits done at once. The driver's.
    pub(super) fn hurry(&self) {
        let mut state = self.lock();
        if state.since.is_some() && !state.is_urgent {
            state.is_urgent = true;
            self.work.notify_one();
        }
    }

    /// Says that no more jobs will come. The driver's.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.work.notify_one();
    }

    /// Waits until `take` finds something in the news. The driver's; cancel safe.
    pub(super) async fn news<T>(&self, mut take: impl FnMut(&mut News) -> Option<T>) -> T {
        loop {
            let found = take(&mut self.lock().news);
            if let Some(found) = found {
                return found;
            }
            // A notification between the look and the wait is kept for us.
            self.news.notified().await;
        }
    }

    /// Reads or takes news without waiting. The driver's.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut News) -> T) -> T {
        look(&mut self.lock().news)
    }

    /// Waits for jobs, and for others to join them as long as they may; all that wait then are one
    /// group. `None` if no more will come. The thread's.
    pub(super) fn next_group(&self, durability: Durability) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            let Some(since) = state.since else {
                if state.is_closing {
                    return None;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = match durability {
                Durability::Within { ms } if !state.is_urgent && !state.is_closing => {
                    Duration::from_millis(ms).saturating_sub(since.elapsed())
                }
                _ => Duration::ZERO,
            };
            if left.is_zero() {
                (state.since, state.is_urgent) = (None, false);
                let requests = std::mem::take(&mut state.requests);
                state.ready.extend(requests);
                return Some(std::mem::take(&mut state.jobs));
            }
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the next request that came before the end of the last group, all of which must be durable. The thread's.
    pub(super) fn next_request(&self) -> Option<Request> {
        self.lock().ready.pop_front()
    }

    /// Tells the driver. The thread's.
    pub(super) fn tell(&self, tell: impl FnOnce(&mut News)) {
        tell(&mut self.lock().news);
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
