//! Calls that need the content of a document, which may be at rest: they wait until it was read.
//!
//! A store in memory is read at once, in the middle of a turn, so nobody waits and simulated runs stay one order
//! of events. A disk is read by its thread, behind every write that was asked for before. Calls of one document
//! wait in the order in which they came, and all run as soon as it is there, before it could rest again. Their
//! number counts like that of callers who wait for the disk; what they write may exceed
//! [`Options::waiting_bytes_max`](crate::Options::waiting_bytes_max), since nobody knows its weight before.
//!
//! If a document cannot be read, the replica closes; it is never taken for an empty one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Weak;

use crdt_core::{ReplicaId, Snapshot};
use crdt_store::StoreError;
use crdt_sync::{DocumentId, SetAsideError, Stored};

use super::{Command, Driver, Edit, Edited, Reply};

/// Something that needs the content of a document.
pub(crate) enum Call {
    /// Run a transaction.
    Transact {
        edit: Edit,
        /// Gone with the caller.
        caller: Weak<()>,
    },
    /// Take a snapshot.
    Snapshot { reply: Reply<Snapshot> },
    /// Move everything into another document.
    SetAside {
        aside: DocumentId,
        /// Who was seen to differ before every link ended for another id.
        differing: BTreeSet<ReplicaId>,
        reply: Reply<Result<(), SetAsideError>>,
    },
}

impl Call {
    /// Tells whether nobody waits for the answer any more.
    pub(super) fn is_given_up(&self) -> bool {
        match self {
            Self::Transact { caller, .. } => caller.strong_count() == 0,
            Self::Snapshot { reply } => reply.is_closed(),
            Self::SetAside { reply, .. } => reply.is_closed(),
        }
    }
}

/// Calls that wait for their documents, and commands that wait for calls.
#[derive(Default)]
pub(super) struct Calls {
    waiting: BTreeMap<DocumentId, Vec<(u64, Call)>>,
    /// The numbers of all that wait. They ascend in the order in which the calls came.
    numbers: BTreeSet<u64>,
    last: u64,
    /// Commands that take effect behind every call up to a number.
    behind: VecDeque<(u64, Command)>,
}

impl Calls {
    fn push(&mut self, document: DocumentId, call: Call) {
        self.last += 1;
        self.numbers.insert(self.last);
        self.waiting.entry(document).or_default().push((self.last, call));
    }

    /// Takes the calls that wait for a document, in the order in which they came.
    fn take(&mut self, document: &DocumentId) -> Vec<(u64, Call)> {
        let calls = self.waiting.remove(document).unwrap_or_default();
        for (number, _) in &calls {
            self.numbers.remove(number);
        }
        calls
    }

    /// Lets a command wait for the calls that came before it; returns it if there are none.
    pub(super) fn follow(&mut self, command: Command) -> Option<Command> {
        if self.numbers.is_empty() {
            return Some(command);
        }
        self.behind.push_back((self.last, command));
        None
    }

    /// Takes the next command that waits for no call any more.
    pub(super) fn next_behind(&mut self) -> Option<Command> {
        let (number, _) = self.behind.front()?;
        let is_next = self.numbers.first().is_none_or(|first| first > number);
        if is_next { self.behind.pop_front().map(|(_, command)| command) } else { None }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.behind.len()
    }
}

impl Driver {
    /// Serves a call now, or as soon as its document is in memory.
    pub(super) fn call(&mut self, document: DocumentId, call: Call) -> Result<(), StoreError> {
        let is_awake = self.endpoint.wake(self.clock.now(), &document);
        if !is_awake && self.persist.is_inline() {
            self.load(&document)?;
        } else if !is_awake {
            // The endpoint asks for it, if it has not.
            self.calls.push(document, call);
            return Ok(());
        }
        self.serve(&document, call);
        Ok(())
    }

    /// Reads a document at rest, unless a caller was faster.
    pub(super) fn load(&mut self, document: &DocumentId) -> Result<(), StoreError> {
        if self.endpoint.is_resident(document) {
            return Ok(());
        }
        match self.persist.load(document)? {
            Some(stored) => self.take_loaded(document, stored),
            None => {
                // Whoever needs it does not wait for writes to gather.
                self.is_urgent = true;
                Ok(())
            }
        }
    }

    /// Takes in the content of a document, and serves the calls that have waited for it.
    pub(super) fn take_loaded(&mut self, document: &DocumentId, stored: Stored) -> Result<(), StoreError> {
        let loaded = self.endpoint.loaded(self.clock.now(), document, stored);
        loaded.map_err(|error| StoreError::Damaged(format!("document {document}: {error}")))?;
        self.serve_waiting(document);
        Ok(())
    }

    /// Serves the calls that have waited for a document, if it is in memory, and the commands that have waited for
    /// them.
    pub(super) fn serve_waiting(&mut self, document: &DocumentId) {
        if !self.endpoint.is_resident(document) {
            return;
        }
        for (_, call) in self.calls.take(document) {
            if !call.is_given_up() {
                self.serve(document, call);
            }
        }
        while let Some(command) = self.calls.next_behind() {
            self.take_effect(command);
        }
    }

    /// Notes where the documents in memory stand, so that the next opening need not load them. The endpoint has
    /// nothing to ask for, so every write of them was handed over before.
    pub(super) fn note_heads(&mut self) -> Result<(), StoreError> {
        for (document, open) in self.endpoint.documents() {
            self.persist.note_head(document.clone(), open.head())?;
        }
        Ok(())
    }

    /// Serves a call of a document that is in memory.
    fn serve(&mut self, document: &DocumentId, call: Call) {
        match call {
            Call::Transact { edit, .. } => match edit(&mut self.endpoint, self.clock.now(), document) {
                Edited::Made(answer) => self.answers.push(self.endpoint.requested(), answer),
                Edited::Failed(answer) => answer(),
            },
            Call::Snapshot { reply } => {
                // A document that is not known is an empty one.
                let snapshot = self.endpoint.document(document).map_or_else(Snapshot::empty, |open| open.snapshot());
                let _ = reply.send(snapshot);
            }
            Call::SetAside { aside, differing, reply } => self.set_aside(document, (aside, differing), reply),
        }
    }
}
