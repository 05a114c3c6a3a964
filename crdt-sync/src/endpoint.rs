//! One replica's end of every link: its documents, its sessions, and the order of what they ask for.
//!
//! The endpoint itself only routes. What is said on one link is the business of
//! `session`; what a document is beside its content, of `open_document`. Here they meet: in
//! `links` (who may be linked), in `incoming` (what frames do to documents), in `durable` (what
//! becomes visible once it is on disk), in `memory` (what is held beside documents, and letting go of it), in
//! `residency` (which documents are in memory) and in `dispute` (whose id was used twice).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{ReplicaId, Transaction, VersionVector};

use crate::close::CloseReason;
use crate::config::Config;
use crate::document_id::DocumentId;
use crate::error::{OpenError, TransactError};
use crate::event::{Event, SessionStatus, Source};
use crate::input::{Input, LinkId, Now, Ticket};
use crate::output::{Output, Stored};
use crate::session::{Context, Session};

mod aside;
mod dispute;
mod durable;
mod incoming;
mod links;
mod loads;
mod memory;
mod open_document;
mod open_documents;
mod recency;
mod residency;
mod resident;

pub use aside::SetAsideError;
use aside::{Awaited, is_awaited};
use dispute::Dispute;
pub use dispute::DisputeError;
use durable::Requested;
pub(crate) use open_document::{DocumentIndex, OpenDocument};
use open_documents::Known;
pub(crate) use open_documents::OpenDocuments;
pub(crate) use resident::Resident;

/// One replica's end of every link, as a pure machine.
///
/// - *Ask*: [`document`](Self::document), [`documents`](Self::documents), [`head`](Self::head),
///   [`heads`](Self::heads), [`session`](Self::session), [`sessions`](Self::sessions),
///   [`footprint`](Self::footprint); of what is durable, [`durable`](Self::durable),
///   [`requested`](Self::requested), [`requested_bytes`](Self::requested_bytes).
/// - *Change*: [`open`](Self::open), [`transact`](Self::transact), [`truncate_logs`](Self::truncate_logs).
/// - *Memory*: [`know`](Self::know) what the store holds, [`wake`](Self::wake) a document, [`loaded`](Self::loaded)
///   it is, let it [`rest`](Self::rest).
/// - *Identity*: [`renew`](Self::renew) it, [`reissue`](Self::reissue) what was written under one that was used twice, or
///   [set it aside](Self::set_aside).
/// - *Tell*: [`handle`](Self::handle) takes in whatever happened outside.
/// - *Carry out*: call [`poll_output`](Self::poll_output) until `None` after each of the above, and do
///   what it says in that order; call [`handle`](Self::handle) with [`Input::Timeout`] when the
///   moment of [`poll_timeout`](Self::poll_timeout) has come.
///
/// It never waits, never fails on what a peer sends, and given the same calls does the same.
#[derive(Debug)]
pub struct Endpoint {
    replica: ReplicaId,
    /// Under which ids this store was written before, in order.
    former: Vec<ReplicaId>,
    /// Those of them that others use as well, or may.
    disputed_ids: Vec<ReplicaId>,
    /// Documents in which it is not settled whose dots are whose under an id that was ours until somebody else turned
    /// out to use it.
    unsettled: BTreeSet<(DocumentIndex, ReplicaId)>,
    /// Documents in which it is, by what the store was told.
    settled: BTreeSet<(DocumentIndex, ReplicaId)>,
    /// Another id was asked for and is not here yet.
    is_renewing: bool,
    /// Documents of which the store's content was asked for, to settle whose dots are whose.
    disputed: BTreeMap<DocumentIndex, Dispute>,
    /// Documents that were set aside, with those who hold what takes their place.
    awaited: BTreeMap<DocumentIndex, Awaited>,
    config: Config,
    now: Now,
    documents: OpenDocuments,
    sessions: BTreeMap<LinkId, Session>,
    /// The one link of each live peer.
    peers: BTreeMap<ReplicaId, LinkId>,
    /// Tells this process apart from any other with the same identity.
    incarnation: u64,
    links_opened: u64,
    last_ticket: Ticket,
    /// Writes asked for and not durable yet, by ascending ticket.
    requested: VecDeque<Requested>,
    /// The sum over `requested`.
    requested_bytes: usize,
    outputs: VecDeque<Output>,
    /// Sessions with something to send, served round robin.
    ready: VecDeque<LinkId>,
    timers: BTreeSet<(u64, LinkId)>,
    /// What each peer was known to have when its last link ended.
    #[cfg(planted_bugs)]
    remembered: BTreeMap<ReplicaId, Vec<(DocumentIndex, VersionVector)>>,
}

impl Endpoint {
    /// Makes an endpoint with no documents and no links.
    ///
    /// `incarnation` is a random number, drawn anew for each endpoint. It is all that tells two processes apart
    /// that have come by one id (a copied store): on links, and by what each writes first in a document.
    #[must_use]
    pub fn new(replica: ReplicaId, incarnation: u64, config: Config) -> Self {
        Self {
            replica,
            former: Vec::new(),
            disputed_ids: Vec::new(),
            unsettled: BTreeSet::new(),
            settled: BTreeSet::new(),
            is_renewing: false,
            disputed: BTreeMap::new(),
            awaited: BTreeMap::new(),
            config,
            now: Now::default(),
            documents: OpenDocuments::default(),
            sessions: BTreeMap::new(),
            peers: BTreeMap::new(),
            incarnation,
            links_opened: 0,
            last_ticket: Ticket(0),
            requested: VecDeque::new(),
            requested_bytes: 0,
            outputs: VecDeque::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            #[cfg(planted_bugs)]
            remembered: BTreeMap::new(),
        }
    }

    /// Says under which ids the store was written before, so that peers can be told.
    #[must_use]
    pub fn with_former(mut self, former: impl IntoIterator<Item = ReplicaId>) -> Self {
        self.former.extend(former);
        self
    }

    /// Says which of the former ids others use as well, or may. In every document that is opened from here on and has
    /// transactions under one of them it is not settled whose they are, until [`settled`](Self::settled) says so.
    #[must_use]
    pub fn with_disputed(mut self, disputed: impl IntoIterator<Item = ReplicaId>) -> Self {
        self.disputed_ids.extend(disputed);
        self
    }

    /// Returns the identity under which transactions are made here.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Opens a document, empty or with what the store held, and offers it to every peer.
    ///
    /// If it is known already, in memory or at rest, nothing happens, whatever `stored` is.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed.
    pub fn open(&mut self, now: Now, id: &DocumentId, stored: Option<Stored>) -> Result<(), OpenError> {
        self.advance(now);
        if self.documents.index(id).is_none() {
            self.add(id, stored.map_or(Known::Empty, Known::Stored))?;
            self.rest_surplus();
        }
        Ok(())
    }

    /// Returns the version of a document that is durable here: what peers may be told of it. O(replicas).
    #[must_use]
    pub fn durable(&self, id: &DocumentId) -> Option<VersionVector> {
        let index = self.documents.index(id)?;
        self.documents.at(index).map(OpenDocument::durable)
    }

    /// Returns the ticket of the last write asked for; [`Ticket`] 0 before the first.
    ///
    /// Right after a [`transact`](Self::transact) it is the one to wait for: everything that the
    /// transaction has written, and everything that it may have read, is durable with it.
    #[must_use]
    pub fn requested(&self) -> Ticket {
        self.last_ticket
    }

    /// Returns about how many bytes of writes were asked for and are not durable yet. Whoever feeds
    /// this endpoint should pause while it is large: nothing in here stops it from growing.
    #[must_use]
    pub fn requested_bytes(&self) -> usize {
        self.requested_bytes
    }

    /// Runs a transaction on a document, which is opened if it is not.
    ///
    /// What `edit` did is visible here at once, and to peers once its [`Output::Persist`] is done.
    ///
    /// # Errors
    /// [`TransactError`]; the document is unchanged. A document at rest is to be [woken](Self::wake) first.
    pub fn transact<T, E>(
        &mut self,
        now: Now,
        id: &DocumentId,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, TransactError<E>> {
        self.advance(now);
        let index = match self.documents.index(id) {
            Some(index) => index,
            None => self.add(id, Known::Empty)?,
        };
        self.wake_empty(index);
        let salt = NonZeroU64::new(self.incarnation).unwrap_or(NonZeroU64::MIN);
        let transacted = self.documents.at_mut(index).and_then(|open| open.transact(now.wall_ms, salt, edit));
        let (value, taken) = transacted.ok_or(TransactError::AtRest)?.map_err(TransactError::Edit)?;
        self.documents.used(index);
        if let Some(taken) = taken {
            self.persist(index, taken, Source::Local, None);
        }
        Ok(value)
    }

    /// Takes in something that happened.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        self.advance(now);
        match input {
            Input::LinkUp { link, nonce } => self.handle_link_up(link, nonce),
            Input::LinkDown { link } => self.handle_link_down(link),
            Input::Received { link, bytes } => self.handle_received(link, bytes),
            Input::Persisted { ticket } => self.handle_persisted(ticket),
            Input::Timeout => self.handle_timeout(),
        }
    }

    /// Returns the next thing to do; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let Some(link) = self.ready.pop_front() else {
                self.rest_surplus();
                return self.outputs.pop_front();
            };
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            let mut context =
                Context { now_ms: self.now.monotonic_ms, config: &self.config, outputs: &mut self.outputs };
            session.queued = session.poll_transmit(&mut self.documents, &mut context);
            if session.queued {
                self.ready.push_back(link);
            }
            self.settle(link);
        }
    }

    /// Returns when to say [`Input::Timeout`] at the latest, in monotonic milliseconds.
    ///
    /// Ask again after every call of [`poll_output`](Self::poll_output) that returned `None`. Saying it
    /// early or more than once does no harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let link = self.timers.first().map(|(deadline_ms, _)| *deadline_ms);
        link.into_iter().chain(self.awaited_until_ms()).min()
    }

    /// Returns the figures of one link, if it is up. O(documents of the link).
    #[must_use]
    pub fn session(&self, link: LinkId) -> Option<SessionStatus> {
        self.sessions.get(&link).map(Session::status)
    }

    /// Yields the figures of every link, by number. O(documents of the link) each.
    pub fn sessions(&self) -> impl Iterator<Item = SessionStatus> {
        self.sessions.values().map(Session::status)
    }

    /// Time goes on, never back.
    fn advance(&mut self, now: Now) {
        self.now.monotonic_ms = self.now.monotonic_ms.max(now.monotonic_ms);
        self.now.wall_ms = now.wall_ms;
    }

    /// Adds a document that is not known yet, and offers it to every peer.
    fn add(&mut self, id: &DocumentId, known: Known) -> Result<DocumentIndex, OpenError> {
        let index = self.documents.add(id, self.replica, known, self.config.documents_max)?;
        self.truncate_opened(index);
        self.dispute_opened(index);
        for link in self.links() {
            if let Some(session) = self.sessions.get_mut(&link).filter(|_| !is_planted(Bug::LateDocument)) {
                session.open(index);
            }
            self.settle(link);
        }
        Ok(index)
    }

    fn handle_timeout(&mut self) {
        self.expire_awaited();
        let now_ms = self.now.monotonic_ms;
        let later = self.timers.split_off(&(now_ms.saturating_add(1), LinkId(0)));
        for (_, link) in std::mem::replace(&mut self.timers, later) {
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            session.armed_ms = None;
            let context = Context { now_ms, config: &self.config, outputs: &mut self.outputs };
            if let Err(reason) = session.handle_timeout(&context) {
                self.close(link, reason);
            }
            self.settle(link);
        }
    }

    /// Looks after a session that was just dealt with: its turn to send, and its timer.
    ///
    /// A timer is only moved forward when it must fire earlier; a late one finds nothing to do and
    /// is set anew. So a message costs no timer.
    fn settle(&mut self, link: LinkId) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        if !session.queued && session.has_work(self.now.monotonic_ms) {
            session.queued = true;
            self.ready.push_back(link);
        }
        let deadline_ms = session.deadline_ms(&self.config);
        let is_past = |armed_ms| armed_ms <= self.now.monotonic_ms;
        if session.armed_ms.is_none_or(|armed_ms| deadline_ms < armed_ms || is_past(armed_ms)) {
            if let Some(armed_ms) = session.armed_ms.replace(deadline_ms) {
                self.timers.remove(&(armed_ms, link));
            }
            self.timers.insert((deadline_ms, link));
        }
    }

    /// Tells a peer to go, and forgets it.
    fn close(&mut self, link: LinkId, reason: CloseReason) {
        if let Some(status) = self.session(link).map(Box::new) {
            self.outputs.push_back(Output::Close { link, reason, status });
            self.handle_link_down(link);
        }
    }

    /// Tells every peer to dial anew: what they are known to have may not be what it was.
    fn restart_links(&mut self) {
        for link in self.links() {
            self.close(link, CloseReason::Renewed);
        }
    }

    fn links(&self) -> Vec<LinkId> {
        self.sessions.keys().copied().collect()
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
