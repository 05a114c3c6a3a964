//! The handle to one document of a replica: read, write, watch, wait.
//!
//! A transaction runs inside the driver task, between two messages, so no other write can come
//! between what it reads and what it writes. Its answer waits for the store, the driver does not.

use std::any::Any;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crdt_core::{Snapshot, Transaction, VersionVector};
use crdt_sync::{DocumentId, DocumentIdError};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::driver::{Call, Command, Edit, Edited};
use crate::replica::{Closed, Replica};
use crate::watch::Watch;

/// One document of a [`Replica`](crate::Replica). Cheap to clone; keeps the replica open.
#[derive(Clone, Debug)]
pub struct DocumentHandle {
    id: DocumentId,
    replica: Replica,
}

impl DocumentHandle {
    pub(crate) fn new(id: DocumentId, replica: Replica) -> Self {
        Self { id, replica }
    }

    /// Returns the document's name.
    #[must_use]
    pub fn id(&self) -> &DocumentId {
        &self.id
    }

    /// Returns the replica that the document belongs to.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Returns the whole document as it is now. O(1) if it is in memory, else it is read first; it can be kept
    /// without holding up writers.
    ///
    /// It may hold changes that are not durable yet: [`wait_for`](Self::wait_for) its version if that matters.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn snapshot(&self) -> Result<Snapshot, Closed> {
        let document = self.id.clone();
        self.replica.ask(|reply| Command::Call { document, call: Call::Snapshot { reply } }).await
    }

    /// Runs a transaction and returns once it is durable in the store. It reaches peers later.
    ///
    /// Writers at the same time share the syncs of the store. If the document is not in memory it is read first.
    /// A transaction that changes nothing
    /// returns once what it may have read is durable; one that fails returns at once.
    ///
    /// `edit` runs in the task that serves the whole replica: keep it short, and do not block. If
    /// it panics, the transaction is rolled back and the panic goes on in the caller. If the
    /// returned future is dropped, the transaction may still happen.
    ///
    /// # Errors
    /// [`TransactError::Edit`] with the error of `edit`; nothing has changed. After
    /// [`TransactError::Closed`] the write may or may not have been made.
    pub async fn transact<T, E, F>(&self, edit: F) -> Result<T, TransactError<E>>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        // Held for as long as somebody waits.
        let caller = Arc::new(());
        let call = Call::Transact { edit: run_and_answer(edit, reply), caller: Arc::downgrade(&caller) };
        self.replica.send(Command::Call { document: self.id.clone(), call }).await?;
        match answer.await.map_err(|_| Closed)? {
            Ok(outcome) => outcome.map_err(TransactError::from),
            Err(panic) => panic::resume_unwind(panic),
        }
    }

    /// Watches the document: every change from now on, local or from a peer.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn watch(&self) -> Result<Watch, Closed> {
        let document = self.id.clone();
        self.replica.ask(|reply| Command::Watch { document, reply }).await
    }

    /// Moves everything in the document into a new one called `name`, durably, and lets this one begin anew with what
    /// peers hold. Returns the new one. O(document).
    ///
    /// The way out when the document does not sync with some peers and never will
    /// ([`WatchEvent::Irreconcilable`](crate::WatchEvent::Irreconcilable), [`WatchEvent::Diverged`](crate::WatchEvent::Diverged)):
    /// this replica gives way, and nothing is lost. This document takes over what those peers hold. Until then it is exchanged
    /// with nobody else, for an hour at most ([`Config::awaited_ms`](crate::Config::awaited_ms)) and until the replica is opened
    /// again. After that, or if there are no such peers, whoever comes first fills it. The new document has the same values,
    /// counters and conflicts, under ids of its own, and syncs like any other. What of it is to be written here again is for
    /// the application to say, or its users.
    ///
    /// Other replicas with the history that was here are not changed: each does the same, under a name that no other
    /// takes. Two new documents of one name merge, and counters add.
    ///
    /// The replica takes another [id](Replica::id) if it has written to the document, and dials its links anew. If the
    /// returned future is dropped, it may still happen.
    ///
    /// # Errors
    /// [`SetAsideError`]; nothing has changed but perhaps the id.
    pub async fn set_aside(&self, name: &str) -> Result<Self, SetAsideError> {
        let aside = DocumentId::new(name).map_err(SetAsideError::Name)?;
        let (document, id) = (self.id.clone(), aside.clone());
        let set = self
            .replica
            .ask(|reply| Command::Call { document, call: Call::SetAside { aside, differing: BTreeSet::new(), reply } })
            .await?;
        set?;
        Ok(Self { id, replica: self.replica.clone() })
    }

    /// Waits until the document here covers `version`, durably.
    ///
    /// After a [`WatchEvent::Reissued`](crate::WatchEvent::Reissued) or [`SetAside`](crate::WatchEvent::SetAside) a
    /// version from before may never be covered: take a new one.
    ///
    /// # Errors
    /// [`Closed`] if the replica is, or is closed meanwhile.
    pub async fn wait_for(&self, version: &VersionVector) -> Result<(), Closed> {
        let (document, version) = (self.id.clone(), version.clone());
        self.replica.ask(|reply| Command::WaitFor { document, version, reply }).await
    }
}

/// What became of an edit: its outcome, or the panic that ended it.
type Outcome<T, E> = Result<Result<T, crdt_sync::TransactError<E>>, Box<dyn Any + Send>>;

/// Makes an edit of any type into one that the driver can run, and answer once it is durable.
fn run_and_answer<T, E, F>(edit: F, reply: oneshot::Sender<Outcome<T, E>>) -> Edit
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    Box::new(move |endpoint, now, document| {
        // Unwind safe: a transaction that unwinds is dropped, which rolls it back.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| endpoint.transact(now, document, edit)));
        let is_made = matches!(outcome, Ok(Ok(_)));
        let answer = Box::new(move || {
            // Fails only if the caller no longer waits.
            let _ = reply.send(outcome);
        });
        if is_made { Edited::Made(answer) } else { Edited::Failed(answer) }
    })
}

/// Why a document could not be opened. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The caller's: no document can have this name.
    #[error(transparent)]
    Name(DocumentIdError),
    /// A limit of this replica: see the error.
    #[error(transparent)]
    Open(crdt_sync::OpenError),
    /// The replica is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why a document could not be set aside. All documents are as they were.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetAsideError {
    /// The caller's: no document can have this name.
    #[error(transparent)]
    Name(DocumentIdError),
    /// The caller's: nobody has written anything to the document.
    #[error("there is nothing in the document")]
    Empty,
    /// The caller's: there is something in the document of that name already. Choose another.
    #[error("there is a document of that name already")]
    Taken,
    /// A limit of this replica: the new document could not be opened.
    #[error(transparent)]
    Open(crdt_sync::OpenError),
    /// A limit of this replica: it has taken so many ids that it stays with this one until it is opened again.
    #[error("this replica has taken many ids, and no more until it is opened again")]
    TooManyIds,
    /// The replica is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl From<crdt_sync::SetAsideError> for SetAsideError {
    fn from(error: crdt_sync::SetAsideError) -> Self {
        match error {
            crdt_sync::SetAsideError::Empty => Self::Empty,
            crdt_sync::SetAsideError::Taken => Self::Taken,
            crdt_sync::SetAsideError::Open(error) => Self::Open(error),
            crdt_sync::SetAsideError::NotRenewed { .. } => Self::TooManyIds,
            // The enum may grow; documents are loaded before they are set aside.
            _ => Self::Closed(Closed),
        }
    }
}

/// Why a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransactError<E = Infallible> {
    /// The caller's: the edit returned this error. Nothing has changed.
    #[error("the edit failed: {0}")]
    Edit(E),
    /// A limit of this replica: the document could not be opened. Nothing has changed.
    #[error(transparent)]
    Open(crdt_sync::OpenError),
    /// The replica is closed; the write may or may not have been made.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl<E> From<crdt_sync::TransactError<E>> for TransactError<E> {
    fn from(error: crdt_sync::TransactError<E>) -> Self {
        match error {
            crdt_sync::TransactError::Edit(error) => Self::Edit(error),
            crdt_sync::TransactError::Open(error) => Self::Open(error),
            // The enum may grow; whatever it grows by comes from opening or from the edit.
            _ => Self::Closed(Closed),
        }
    }
}
