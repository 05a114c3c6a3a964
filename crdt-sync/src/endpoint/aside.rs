//! The way out of a conflict that nobody can settle: what is here moves to a document of its own, and the one of its
//! name begins anew with what the other side holds.
//!
//! When is it needed? Two writers have used one id, and both histories have reached others before anybody noticed, or
//! the logs were cut above where they parted (see [`dispute`](super::dispute)). Then some replicas hold the one history
//! and some the other. What others wrote since supersedes dots of either, so neither branch can be given another name
//! everywhere. Within each side all goes on; between the two it does not.
//!
//! What becomes of it? Nothing is lost: the new document has all that was in it, conflicts and all, and syncs like any
//! other. Nobody who wrote to the one has written to the other ([`Snapshot::detached`]), or those who go by a disputed
//! id would find their dots there as well. What of it is to be written to the document that goes on is for people to
//! say, or for an application that knows its data.
//!
//! Whose history takes its place? An empty document conflicts with nobody: the next best neighbour of the same side
//! would bring the old one back. So until something has come it is exchanged only with those who were seen to differ.
//! Other offers of it are ignored, and asked for again afterwards; and what is written here meanwhile goes nowhere
//! else. Those who never come are not waited for longer than [`Config::awaited_ms`](crate::Config::awaited_ms), nor
//! past the end of the process.
//!
//! Deliberately absent: doing so unasked. Which of two histories goes on is not in the bytes.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::{Changes, Document, ReplicaId, Snapshot};
use thiserror::Error;

use super::open_documents::Known;
use super::{DocumentIndex, Endpoint};
use crate::close::CloseReason;
use crate::document_id::DocumentId;
use crate::error::OpenError;
use crate::event::{Event, Source};
use crate::frame::Offer;
use crate::input::{LinkId, Now};
use crate::session::{Peer, Session};

/// Who is waited for to fill a document that was set aside.
#[derive(Debug)]
pub(super) struct Awaited {
    others: BTreeSet<ReplicaId>,
    until_ms: u64,
}

impl Awaited {
    /// Tells whether a peer is one of them.
    fn includes(&self, peer: &Peer) -> bool {
        self.others.iter().any(|other| peer.goes_or_went_by(*other))
    }
}

/// Why a document could not be set aside. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetAsideError {
    /// The caller's: nobody has written anything to the document.
    #[error("there is nothing in the document")]
    Empty,
    /// The document is at rest: [wake](Endpoint::wake) it, and try again when it is loaded.
    #[error("the document is not in memory")]
    AtRest,
    /// The caller's: there is something in the document of that name already. Choose another.
    #[error("there is a document of that name already")]
    Taken,
    /// A limit of this endpoint.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is here was written under our own id, whose next dots would clash with it where peers have it: go by
    /// another one first ([`Endpoint::renew`]), and call again.
    #[error("the document was written under the present id {replica}: go by another one first")]
    NotRenewed {
        /// The id.
        replica: ReplicaId,
        /// Who was seen to differ until now. Every link ends with the id: hand them to the next call.
        differing: BTreeSet<ReplicaId>,
    },
}

impl Endpoint {
    /// Moves all that is in a document into the one named `aside`, which has nothing in it, and empties it, so that it
    /// takes over what those hold who were seen to differ, or anybody if nobody was. `differing` are those whom an
    /// attempt before has seen to ([`SetAsideError::NotRenewed`]).
    ///
    /// For a document that is [irreconcilable](Event::Irreconcilable), or has [diverged](Event::Diverged). Whoever else
    /// holds the same history is not changed by it: each does so for itself, under a name of its own. Both documents
    /// are written, the new one first, so a crash leaves all of it in one of them, or in both. Every link ends, to be
    /// dialled anew. If none of those who differ has come within [`Config::awaited_ms`](crate::Config::awaited_ms),
    /// anybody's will do. O(document).
    ///
    /// # Errors
    /// [`SetAsideError`].
    pub fn set_aside(
        &mut self,
        now: Now,
        id: &DocumentId,
        aside: &DocumentId,
        differing: impl IntoIterator<Item = ReplicaId>,
    ) -> Result<(), SetAsideError> {
        self.advance(now);
        let index = self.documents.index(id).ok_or(SetAsideError::Empty)?;
        self.wake_empty(index);
        let here = self.documents.at(index).and_then(|open| Some(open.document()?.snapshot()));
        let here = here.ok_or(SetAsideError::AtRest)?;
        let replica = self.replica;
        if here.version().is_empty() {
            return Err(SetAsideError::Empty);
        }
        let target = self.documents.index(aside);
        if target.and_then(|target| self.documents.at(target)).is_some_and(|open| !open.head().is_empty()) {
            return Err(SetAsideError::Taken);
        }
        if target.is_none() && self.known_documents() >= self.config.documents_max {
            return Err(OpenError::TooManyDocuments { max: self.config.documents_max }.into());
        }
        let differing = self.differing(index, differing.into_iter().collect());
        if here.version().counter(replica) > 0 {
            return Err(SetAsideError::NotRenewed { replica, differing });
        }
        let target = match target {
            Some(target) => target,
            None => self.add(aside, Known::Empty)?,
        };
        self.wake_empty(target);
        if !differing.is_empty() {
            let until_ms = self.now.monotonic_ms.saturating_add(self.config.awaited_ms);
            self.awaited.insert(index, Awaited { others: differing, until_ms });
        }
        let detached = here.detached();
        let changes = filled(replica, &detached);
        self.put(target, detached, changes);
        let version = here.version();
        self.put(index, Snapshot::empty(), emptied(here));
        for former in self.disputed_ids.clone() {
            if version.counter(former) > 0 {
                self.settle_as_is(index, former);
            }
        }
        self.give_up(index);
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

    /// Returns who holds another history of a document, as far as was seen, or was before.
    fn differing(&mut self, index: DocumentIndex, before: BTreeSet<ReplicaId>) -> BTreeSet<ReplicaId> {
        let mut differing = before;
        for session in self.sessions.values_mut() {
            let Some(differs) = session.progress(index).map(|progress| progress.differs) else { continue };
            let Some(peer) = session.peer() else { continue };
            match differs {
                true => _ = differing.insert(peer.replica),
                // It has come over since.
                false => differing.retain(|other| !peer.goes_or_went_by(*other)),
            }
        }
        differing
    }

    /// Tells whether an offer of a document is of interest. One that brings nothing is not waited for any more.
    pub(super) fn awaits(&mut self, link: LinkId, index: DocumentIndex, offer: &Offer) -> bool {
        let Some(peer) = self.sessions.get(&link).and_then(Session::peer) else { return true };
        if !is_awaited(&self.awaited, index, peer) {
            return false;
        }
        let Some(open) = self.documents.at(index) else { return true };
        if offer.frontier.iter().all(|(replica, counter, _)| counter <= open.counter(replica)) {
            self.no_longer_awaits(link, index);
        }
        self.sessions.contains_key(&link)
    }

    /// Waits no more for what a peer has of a document: nothing, or nothing that can be taken. If there are others to
    /// wait for, its link ends, to come back without the document; else the document is exchanged with everybody.
    pub(super) fn no_longer_awaits(&mut self, link: LinkId, index: DocumentIndex) {
        let Some(peer) = self.sessions.get(&link).and_then(Session::peer) else { return };
        let Some(awaited) = self.awaited.get_mut(&index) else { return };
        awaited.others.retain(|other| !peer.goes_or_went_by(*other));
        if awaited.others.is_empty() {
            self.stop_awaiting(index);
        } else {
            self.close(link, CloseReason::Renewed);
        }
    }

    /// Returns when somebody has been waited for long enough.
    pub(super) fn awaited_until_ms(&self) -> Option<u64> {
        self.awaited.values().map(|awaited| awaited.until_ms).min()
    }

    /// Waits no more for those who have not come in time.
    pub(super) fn expire_awaited(&mut self) {
        let is_late = |awaited: &Awaited| awaited.until_ms <= self.now.monotonic_ms;
        let late = self.awaited.iter().filter(|(_, awaited)| is_late(awaited)).map(|(index, _)| *index);
        for index in late.collect::<Vec<_>>() {
            self.stop_awaiting(index);
        }
    }

    /// Exchanges a document with everybody again.
    pub(super) fn stop_awaiting(&mut self, index: DocumentIndex) {
        if self.awaited.remove(&index).is_some() {
            for link in self.links() {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.open(index);
                }
                self.settle(link);
            }
        }
    }
}

/// Tells whether a document is exchanged with a peer.
pub(super) fn is_awaited(awaited: &BTreeMap<DocumentIndex, Awaited>, index: DocumentIndex, peer: &Peer) -> bool {
    awaited.get(&index).is_none_or(|awaited| awaited.includes(peer))
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
