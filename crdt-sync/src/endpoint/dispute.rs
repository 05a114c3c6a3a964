//! One id, two writers: how a replica finds out that another has used its id, and gives what it has written
//! another one, so that nothing of either is lost.
//!
//! Who takes another id? Of two processes that show each other one id, the one with the greater incarnation: both know
//! both numbers. The later one of two that dial the same third, which is refused, and told once the first is known to
//! live. And whoever is shown, by whomever, another history of its own id than it has written, or dots of its own that
//! it has not made.
//!
//! What if both begin with the same, counting one in one counter? The first transaction that a process commits to a
//! document is salted with its incarnation ([`Transaction::salted`](crdt_core::Transaction::salted)). Of two histories
//! of one id at least one goes on behind the fork with the first transaction of its process, for a copy is opened where
//! it was made; so their chain hashes differ from there on, whatever is written. Once is enough: under the next id of a
//! process, and for a document that comes back into memory, the same holds.
//!
//! Whose transactions get another name? Those that nobody else holds under the old one, or what third parties hold
//! would come back under both names. Whoever shows a writer another history has it from the other writer, so the first
//! yields; two writers who meet tell each other how far theirs have spread.
//!
//! Where have the two histories parted? Both ends tell each other what their logs know of the id (*trails*), and the
//! store, which keeps more than memory does, is looked through for the last state at which both still agree.
//! Between two marks the histories have parted where a process opened the document, if that is between them: a copy is
//! opened where it was made. If not, they may have agreed for longer than can be seen; what was common then counts
//! twice rather than not at all.
//!
//! A document in which nobody remembers that is left as it is, under the old id, and every peer that shows more of it
//! is refused, as if the id were still our own: taken in, theirs would cover ours. It can be [set
//! aside](Endpoint::set_aside).
//!
//! What is not settled when a process ends must be settled by the next: the store keeps which ids were left because
//! others used them, and in which documents that is settled ([`Output::Settled`]).
//!
//! What was written since goes by another id ([`Snapshot::reissued`]), and every link ends: whatever peers were known
//! to have, they were known to have by other names.
//!
//! Deliberately absent:
//!
//! - Taking back what third parties have got of the branch under the old name before anybody noticed. They go on reporting
//!   the conflict for that document until it is [set aside](Endpoint::set_aside). The same may come of it when both branches have
//!   spread, and when a process was started again, which has to suppose that all it had written before has.
//! - A process that is copied as it runs, with its memory: both copies have one incarnation, and take each other for
//!   themselves.

use std::collections::btree_map::Entry;

use crdt_core::{Dot, ReissueError, ReplicaId, Snapshot};
use thiserror::Error;

use super::{DocumentIndex, Endpoint};
use crate::close::CloseReason;
use crate::document_id::DocumentId;
use crate::event::{Event, Source};
use crate::frame::{Authorship, Hello, Rejection};
use crate::input::{LinkId, Now};
use crate::output::{Output, Stored};

/// Why a document could not be settled. Nothing has changed: it does not sync with whoever holds the other history.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DisputeError {
    /// The caller's: no such document is known, or what is given is not what its store holds.
    #[error("the document is not known, or not as the store holds it")]
    Unknown,
    /// It can be settled once our own id is [renewed](Endpoint::renew): do that, and call again.
    #[error("{replica} is still our own id: renew it, and call again")]
    NotRenewed {
        /// The id.
        replica: ReplicaId,
    },
    /// Neither the store nor the peer remembers a moment at which both histories were one: the logs were cut
    /// above it. [Set the document aside](Endpoint::set_aside) here or there.
    #[error("nobody remembers where the two histories have parted")]
    NoCommonPast,
    /// The other writer gives its transactions another name, and we keep ours.
    #[error("the other writer settles it")]
    TheirsToSettle,
    /// There is nothing to be renamed.
    #[error(transparent)]
    Reissue(#[from] ReissueError),
}

/// A document that is to be settled.
#[derive(Debug)]
pub(super) struct Dispute {
    rival: Option<Rival>,
    /// Links on which more was said of it meanwhile: if it cannot be settled by what was said first, they get to say
    /// it again.
    others: Vec<LinkId>,
}

/// The other writer under an id of ours, if it is the peer who told us of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    authorship: Authorship,
    /// It still goes by that id.
    is_current: bool,
}

impl Rival {
    /// Tells whether it is we who give our transactions another name.
    fn is_ours_to_settle(self, fork: u64, spread: u64, is_current: bool) -> bool {
        match (spread > fork, self.authorship.spread > fork) {
            (false, true) => true,
            (true, false) => false,
            // Equal in that: whoever goes by another id anyway.
            _ => !is_current || self.is_current,
        }
    }
}

/// What applications call.
impl Endpoint {
    /// Goes on under another id, which the store must know durably by now: the answer to [`Output::Renew`]. Every
    /// link ends, to be dialled anew. O(documents in memory × their map keys).
    pub fn renew(&mut self, now: Now, replica: ReplicaId) {
        self.advance(now);
        self.is_renewing = false;
        if replica == self.replica {
            return;
        }
        let former = std::mem::replace(&mut self.replica, replica);
        self.former.push(former);
        self.disputed_ids.push(former);
        for index in self.documents.indices() {
            self.dispute_under(index, former, 0);
        }
        self.documents.renew(replica);
        self.restart_links();
    }

    /// Gives what was written here under `replica` since the fork another id: the answer to [`Output::Disputed`].
    ///
    /// [`DisputeError::NotRenewed`] asks for another id first, and the dispute stays open until the call that
    /// follows. `trail` is that of the output, `stored` what the store holds of the document, with every write that was
    /// asked for, durable or not; `fresh` a random id that nobody has used. What was written goes by our own id,
    /// if that has not written to the document yet, else by `fresh`.
    /// Every link ends, to be dialled anew. O(document).
    ///
    /// # Errors
    /// [`DisputeError`]; nothing has changed.
    pub fn reissue(
        &mut self,
        now: Now,
        id: &DocumentId,
        (replica, trail): (ReplicaId, &[(u64, u64)]),
        stored: Stored,
        fresh: ReplicaId,
    ) -> Result<(), DisputeError> {
        self.advance(now);
        let index = self.documents.index(id).ok_or(DisputeError::Unknown)?;
        if !self.own_ids(index).any(|own| own == replica) {
            // It was settled meanwhile: what is there under that id is the other's.
            self.give_up(index);
            return Ok(());
        }
        let rival = self.disputed.get(&index).and_then(|dispute| dispute.rival);
        let settled = match self.loaded(now, id, stored.clone()) {
            Ok(()) => self.reissue_against(rival, index, (replica, trail), &stored, fresh),
            Err(_) => Err(DisputeError::Unknown),
        };
        // Who is asked for another id first calls again, and must find the rival that told us.
        if !matches!(settled, Err(DisputeError::NotRenewed { .. })) {
            self.give_up(index);
        }
        if matches!(settled, Err(DisputeError::NoCommonPast | DisputeError::Reissue(_))) {
            self.emit(Event::Irreconcilable { document: id.clone(), replica });
        }
        settled
    }

    fn reissue_against(
        &mut self,
        rival: Option<Rival>,
        index: DocumentIndex,
        (replica, trail): (ReplicaId, &[(u64, u64)]),
        stored: &Stored,
        fresh: ReplicaId,
    ) -> Result<(), DisputeError> {
        let open = self.documents.at_mut(index).ok_or(DisputeError::Unknown)?;
        let Authorship { opened, spread } = open.authorship(replica).unwrap_or_default();
        let here = open.document().ok_or(DisputeError::Unknown)?.snapshot();
        let openings: Vec<u64> = std::iter::once(opened).chain(rival.map(|rival| rival.authorship.opened)).collect();
        let at_fork = match here.version().counter(replica) {
            0 => here.clone(),
            _ => at_fork(stored, replica, trail, &openings).ok_or(DisputeError::NoCommonPast)?,
        };
        let fork = at_fork.version().counter(replica);
        if rival.is_some_and(|rival| !rival.is_ours_to_settle(fork, spread, replica == self.replica)) {
            return Err(DisputeError::TheirsToSettle);
        }
        if replica == self.replica {
            return Err(DisputeError::NotRenewed { replica });
        }
        if here.version().counter(replica) > fork {
            let heir = if here.version().counter(self.replica) == 0 { self.replica } else { fresh };
            let reissued = here.reissued(replica, &at_fork, heir)?;
            let transactions = reissued.version().counter(heir);
            if let Some(taken) = open.replace(self.replica, reissued) {
                self.persist(index, taken, Source::Local, None);
            }
            self.tell_reissued(index, replica, (heir, transactions));
        }
        self.settle_as_is(index, replica);
        self.restart_links();
        Ok(())
    }

    fn tell_reissued(&mut self, index: DocumentIndex, replica: ReplicaId, (heir, transactions): (ReplicaId, u64)) {
        if let Some(document) = self.documents.at(index).map(|open| open.id().clone()) {
            self.emit(Event::Reissued { document, replica, heir, transactions });
        }
    }

    /// Takes what is in a document under an id that others have used for theirs, from here on.
    pub(super) fn settle_as_is(&mut self, index: DocumentIndex, replica: ReplicaId) {
        let Some(open) = self.documents.at_mut(index) else { return };
        open.forget_written(replica);
        let document = open.id().clone();
        self.unsettled.remove(&(index, replica));
        if self.disputed_ids.contains(&replica) && self.settled.insert((index, replica)) {
            self.outputs.push_back(Output::Settled { document, replica });
        }
    }

    /// A peer has sent something. What it brings under a disputed id under which nothing was written here is the
    /// other's, and the store must know that when the document is opened again.
    pub(super) fn settle_received(&mut self, index: DocumentIndex) {
        for disputed in self.disputed_ids.clone() {
            let is_here = self.documents.at(index).is_some_and(|open| open.counter(disputed) > 0);
            if is_here && !self.unsettled.contains(&(index, disputed)) {
                self.settle_as_is(index, disputed);
            }
        }
    }

    /// Takes in that it was settled, in an earlier life, whose dots are whose in a document under a
    /// [disputed](Self::with_disputed) id: what the store has kept of an [`Output::Settled`].
    pub fn settled(&mut self, id: &DocumentId, replica: ReplicaId) {
        if let Some(index) = self.documents.index(id)
            && let Some(open) = self.documents.at_mut(index)
        {
            open.forget_written(replica);
            self.unsettled.remove(&(index, replica));
            self.settled.insert((index, replica));
        }
    }

    /// Leaves a document as it is that an [`Output::Disputed`] has named, if the answer was [`DisputeError::NotRenewed`] and
    /// no other id is to be had. It is named again when a peer tells of it again.
    pub fn leave_disputed(&mut self, now: Now, id: &DocumentId) {
        self.advance(now);
        if let Some(index) = self.documents.index(id) {
            self.give_up(index);
        }
    }

    /// Forgets that a document is to be settled. Those who were not heard are asked to dial again.
    pub(super) fn give_up(&mut self, index: DocumentIndex) {
        for link in self.disputed.remove(&index).into_iter().flat_map(|dispute| dispute.others) {
            self.close(link, CloseReason::Renewed);
        }
    }

    /// A document has come out of a store that has gone by ids that others have used as well. Who was sent what in an
    /// earlier life is not known: anybody may have all of it.
    pub(super) fn dispute_opened(&mut self, index: DocumentIndex) {
        for disputed in self.disputed_ids.clone() {
            let counter = self.documents.at(index).map_or(0, |open| open.counter(disputed));
            self.dispute_under(index, disputed, counter);
        }
    }

    fn dispute_under(&mut self, index: DocumentIndex, replica: ReplicaId, spread: u64) {
        // Where we have written nothing, all that anybody shows is the other's.
        if let Some(open) = self.documents.at_mut(index).filter(|open| open.counter(replica) > 0) {
            open.write_as(replica, spread);
            self.unsettled.insert((index, replica));
        }
    }
}

/// What peers say.
impl Endpoint {
    /// Yields the ids of which nobody can have more in a document than is here: our own, and those that were ours
    /// until somebody else turned out to use them, as long as it is not settled there whose dots are whose.
    pub(super) fn own_ids(&self, index: DocumentIndex) -> impl Iterator<Item = ReplicaId> {
        let unsettled =
            self.unsettled.range((index, ReplicaId::from_u128(0))..=(index, ReplicaId::from_u128(u128::MAX)));
        std::iter::once(self.replica).chain(unsettled.map(|(_, former)| *former))
    }

    /// Finds a claim of transactions that we have never made, under an id of ours that we have left and which is not
    /// settled yet. Those under our present id are refused by the document itself.
    pub(super) fn unsettled_claim(
        &self,
        index: DocumentIndex,
        claims: impl IntoIterator<Item = (ReplicaId, u64)>,
    ) -> Option<Dot> {
        let document = self.documents.at(index)?;
        let is_ours = |replica| self.unsettled.contains(&(index, replica));
        let mut never_made =
            claims.into_iter().filter(|(of, counter)| is_ours(*of) && *counter > document.counter(*of));
        never_made.next().map(|(replica, counter)| Dot::new(replica, counter))
    }

    /// Another process shows our id: one of the two takes another.
    pub(super) fn yield_identity(&mut self, hello: &Hello) {
        if self.incarnation > hello.incarnation {
            self.ask_to_renew();
        }
    }

    /// Somebody refuses us, because another process lives under our id.
    pub(super) fn receive_twin(&mut self, link: LinkId, replica: ReplicaId, incarnation: u64) {
        // It may speak of an id that we have left meanwhile, or of ourselves.
        if replica == self.replica && self.incarnation != incarnation {
            self.emit(Event::DuplicateIdentity { link, replica });
            self.ask_to_renew();
        }
    }

    fn ask_to_renew(&mut self) {
        if !std::mem::replace(&mut self.is_renewing, true) {
            self.outputs.push_back(Output::Renew);
        }
    }

    /// After a conflict each end tells the other what it knows of the id.
    pub(super) fn owe_trail(&mut self, link: LinkId, index: DocumentIndex, rejection: Rejection) {
        let Rejection::IdentityConflict(dot) = rejection else { return };
        let Some(session) = self.sessions.get_mut(&link) else { return };
        if let Some(progress) = session.progress(index) {
            progress.differs = true;
            (progress.trail, progress.awaits_trail) = (Some(dot.replica), Some(dot.replica));
            if progress.owes_handle() {
                session.queue_data(index);
            }
            session.queue_control(index);
        }
        self.wake_index(index);
    }

    /// The peer has told what it knows. If the id is ours, it is we who settle it.
    pub(super) fn receive_trail(
        &mut self,
        link: LinkId,
        index: DocumentIndex,
        (replica, authorship): (ReplicaId, Option<Authorship>),
        trail: Vec<(u64, u64)>,
    ) -> Result<(), CloseReason> {
        let peer = self.sessions.get(&link).and_then(|session| session.peer());
        let holder = peer.filter(|peer| peer.goes_or_went_by(replica));
        // Who has settled it holds the other's history as any third party does.
        let rival =
            holder.zip(authorship).map(|(peer, authorship)| Rival { authorship, is_current: peer.replica == replica });
        let is_settled_there = holder.is_some() && rival.is_none();
        // What is settled is ours no more: what is here under the old name is the other's.
        let is_ours = self.own_ids(index).any(|own| own == replica);
        let Some(progress) = self.sessions.get_mut(&link).and_then(|session| session.progress(index)) else {
            return Err(CloseReason::ProtocolViolation("a trail of what was never offered"));
        };
        let is_awaited = progress.awaits_trail.take_if(|awaited| *awaited == replica).is_some();
        let Some(document) = self.documents.at(index).map(|open| open.id().clone()) else { return Ok(()) };
        if !progress.halted || !is_ours {
            if is_awaited && is_settled_there {
                self.emit(Event::Irreconcilable { document, replica });
            }
            return Ok(());
        }
        // One at a time. What another peer knows comes again: when this is settled every link ends, and if it cannot
        // be, those that were not heard.
        match self.disputed.entry(index) {
            Entry::Vacant(vacant) => {
                vacant.insert(Dispute { rival, others: Vec::new() });
                self.outputs.push_back(Output::Disputed { document, replica, trail });
            }
            Entry::Occupied(mut occupied) => {
                if !occupied.get().others.contains(&link) {
                    occupied.get_mut().others.push(link);
                }
            }
        }
        Ok(())
    }
}

/// Returns the last state of a document at which both histories of `replica` were one; `openings` tell how many
/// of its transactions were in when a process opened the document.
fn at_fork(stored: &Stored, replica: ReplicaId, trail: &[(u64, u64)], openings: &[u64]) -> Option<Snapshot> {
    let tip = |state: &Snapshot| {
        let tip = state.frontier().iter().find(|(id, ..)| *id == replica);
        tip.map_or((0, 0), |(_, counter, chain)| (counter, chain))
    };
    let (agreed, _) = states(stored).map(|state| tip(&state)).filter(|mark| trail.contains(mark)).max()?;
    let differs = trail.iter().map(|(counter, _)| *counter).find(|counter| *counter > agreed);
    // What opens a copy opens it where it was made: between two marks, the histories have parted there.
    let is_between = |opened: &&u64| **opened > agreed && differs.is_some_and(|differs| **opened < differs);
    let fork = openings.iter().filter(is_between).max().copied().unwrap_or(agreed);
    states(stored).filter(|state| tip(state).0 == fork).last()
}

/// Yields the states of a document in turn, as far back as the store remembers.
fn states(stored: &Stored) -> impl Iterator<Item = Snapshot> {
    let mut deltas = stored.deltas.iter();
    std::iter::successors(Some(stored.snapshot.clone()), move |state| {
        let mut next = state.clone();
        next.apply(deltas.next()?).ok()?;
        Some(next)
    })
}
