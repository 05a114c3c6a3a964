//! The way out of a conflict that nobody can settle: what is here moves to a document of its own, and the one of its
//! name begins anew from what peers hold.
//!
//! When is it needed? Two writers have used one id, and both histories have reached others before anybody noticed,
//! or the logs were cut above where they parted (see [`dispute`](super::dispute)). Then some replicas hold the one history and some the
//! other, dots that have other names there depend on them, and a document that has both cannot be put together. Within each
//! side it goes on; between the two it does not.
//!
//! What becomes of it? Nothing is lost: the copy has all that was in it, conflicts and all, and syncs like any other document.
//! Nobody who wrote to the one has written to the other ([`Snapshot::detached`]), or those who go by a disputed id would find their
//! dots in the copy as well. What belongs into the document that goes on is for people to say, or for an application
//! that knows its data.
//!
//! Deliberately absent: doing so unasked. Which of two histories goes on, and what of the other is written again, is no
//! matter of bytes.

use crdt_core::{Changes, Document, ReplicaId, Snapshot};
use thiserror::Error;

use super::open_documents::Known;
use super::{DocumentIndex, Endpoint};
use crate::document_id::DocumentId;
use crate::error::OpenError;
use crate::event::{Event, Source};
use crate::input::Now;
use crate::output::Output;

/// Why a document could not be set aside. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetAsideError {
    /// The caller's: no such document is known.
    #[error("the document is not known")]
    Unknown,
    /// The document is at rest: [wake](Endpoint::wake) it, and try again when it is loaded.
    #[error("the document is not in memory")]
    AtRest,
    /// What is here was written under our own id, whose next dots would clash with it where peers have it: go by another one first
    /// ([`Endpoint::renew`]), and call again.
    #[error("the document was written under the present id {replica}: it takes another one first")]
    NotRenewed {
        /// The id.
        replica: ReplicaId,
    },
    /// The caller's: there is something in the document of that name already.
    #[error("there is a document of that name already")]
    Taken,
    /// A limit of this endpoint.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Endpoint {
    /// Moves all that is in a document into the one named `aside`, which has nothing in it, and empties it, so that
    /// it takes over what peers hold as if it had never been here.
    ///
    /// For a document with an [`Event::IdentityConflict`] that stays. Both are written in this order, so a crash leaves it in
    /// one of them, or in both. Every link ends, to be dialled anew. O(document).
    ///
    /// # Errors
    /// [`SetAsideError`].
    pub fn set_aside(&mut self, now: Now, id: &DocumentId, aside: &DocumentId) -> Result<(), SetAsideError> {
        self.advance(now);
        let index = self.documents.index(id).ok_or(SetAsideError::Unknown)?;
        self.wake_empty(index);
        let here = self.documents.at(index).and_then(|open| Some(open.document()?.snapshot()));
        let here = here.ok_or(SetAsideError::AtRest)?;
        let replica = self.replica;
        let copy = self.documents.index(aside);
        if copy.and_then(|copy| self.documents.at(copy)).is_some_and(|copy| !copy.head().is_empty()) || aside == id {
            return Err(SetAsideError::Taken);
        }
        if here.version().counter(replica) > 0 {
            return Err(SetAsideError::NotRenewed { replica });
        }
        let copy = match copy {
            Some(copy) => copy,
            None => self.add(aside, Known::Empty)?,
        };
        self.wake_empty(copy);
        let version = here.version();
        let detached = here.detached();
        let changes = filled(replica, &detached);
        self.put(copy, detached, changes);
        self.put(index, Snapshot::empty(), emptied(here));
        for former in self.disputed_ids.clone() {
            if version.counter(former) > 0 {
                self.take_as_is(index, former);
            }
        }
        self.emit(Event::SetAside { document: id.clone(), aside: aside.clone() });
        self.restart_links();
        Ok(())
    }

    /// Puts a state in place of what a document holds.
    fn put(&mut self, index: DocumentIndex, state: Snapshot, changes: Changes) {
        let replica = self.replica;
        if let Some(mut taken) = self.documents.at_mut(index).and_then(|open| open.replace(replica, state)) {
            taken.changes = changes;
            self.persist(index, taken, Source::Local, None);
        }
    }

    /// Takes what is in a document under an id that others have used as well for what it is.
    fn take_as_is(&mut self, index: DocumentIndex, replica: ReplicaId) {
        let Some(open) = self.documents.at_mut(index) else { return };
        open.forget_written(replica);
        let document = open.id().clone();
        self.unsettled.remove(&(index, replica));
        self.outputs.push_back(Output::Settled { document, replica });
    }
}

/// What a reader of an empty document sees when it takes on a state, in which `replica` has no part.
fn filled(replica: ReplicaId, state: &Snapshot) -> Changes {
    // Nothing stands against anything in an empty document.
    Document::new(replica).merge(state).unwrap_or_default()
}

/// What a reader of a document sees when all of it goes.
fn emptied(state: Snapshot) -> Changes {
    // One writer more may be one too many.
    let Some((writer, _)) = state.version().iter().next() else { return Changes::default() };
    let mut document = Document::from_snapshot(writer, state);
    let mut edit = document.transact(0);
    let cleared = edit.root().clear();
    cleared.ok().and_then(|()| edit.commit()).map(|committed| committed.changes).unwrap_or_default()
}
