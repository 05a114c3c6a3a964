//! What frames do to documents. Nothing that a peer sends can make this fail; at worst its link is
//! closed, or one document ends on it.

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{ApplyError, Digest, Dot, DotRange, MergeError, ReplicaId, Snapshot};

use super::durable::Received;
use super::open_documents::Known;
use super::resident::Taken;
use super::{DocumentIndex, Endpoint, OpenDocument};
use crate::close::CloseReason;
use crate::config::Accept;
use crate::event::{Event, Refusal, Source};
use crate::frame::{Frame, Offer, Rejection, ShortDelta};
use crate::input::LinkId;
use crate::session::{Context, OfferState, Session, is_data};

/// What becomes of a document that a peer has sent something for.
enum Fault {
    /// It ends on this link.
    Document(Rejection),
    /// The link ends.
    Link(CloseReason),
}

impl Endpoint {
    pub(super) fn handle_received(&mut self, link: LinkId, bytes: &[u8]) {
        if self.sessions.contains_key(&link) {
            if let Err(reason) = self.receive(link, bytes) {
                self.close(link, reason);
            }
            self.settle(link);
        }
    }

    fn receive(&mut self, link: LinkId, bytes: &[u8]) -> Result<(), CloseReason> {
        let (session, context) = self.live(link)?;
        session.heard(bytes.len(), &context)?;
        let has_peer = session.peer().is_some();
        let frame = Frame::decode(bytes).map_err(CloseReason::Malformed)?;
        match frame {
            Frame::Hello(_) if has_peer => Err(CloseReason::ProtocolViolation("a second hello")),
            Frame::Hello(hello) => self.handle_hello(link, &hello),
            Frame::Foreign { min, max } => Err(CloseReason::UnsupportedVersion { min, max }),
            _ if !has_peer => Err(CloseReason::ProtocolViolation("no hello first")),
            frame if is_data(&frame) => {
                session.received_data(bytes.len())?;
                self.receive_data(Received { link, bytes: bytes.len() }, frame, bytes)
            }
            frame => self.receive_control(link, frame),
        }
    }

    /// Takes in a data frame; `whole` are its bytes, put together if it came in parts.
    pub(super) fn receive_data(
        &mut self,
        received: Received,
        frame: Frame<'_>,
        whole: &[u8],
    ) -> Result<(), CloseReason> {
        let link = received.link;
        match frame {
            Frame::Begin { length, hash, bytes } => {
                let (session, context) = self.live(link)?;
                session.begin(length, hash, context.config)?;
                self.receive_part(received, bytes)
            }
            Frame::Part { bytes } => self.receive_part(received, bytes),
            Frame::Offer(offer) => self.receive_offer(received, offer),
            Frame::Delta { handle, delta } => {
                let (session, _) = self.live(link)?;
                let index = session.document_of(handle)?;
                // Other documents may use these numbers before this one is in memory.
                session.hear_names(&delta)?;
                self.receive_delta(received, index, (handle, &delta), whole)
            }
            Frame::Snapshot { handle, snapshot } => {
                let index = self.live(link)?.0.document_of(handle)?;
                self.receive_snapshot(received, index, &snapshot, whole)
            }
            _ => Err(CloseReason::ProtocolViolation("not a data frame")),
        }
    }

    fn receive_part(&mut self, received: Received, part: &[u8]) -> Result<(), CloseReason> {
        let now_ms = self.now.monotonic_ms;
        let (session, _) = self.live(received.link)?;
        let Some(whole) = session.push_part(part)? else {
            session.release_part(received.bytes, now_ms);
            return Ok(());
        };
        let frame = Frame::decode(&whole).map_err(CloseReason::Malformed)?;
        if !frame.may_be_in_parts() {
            return Err(CloseReason::ProtocolViolation("a kind that does not travel in parts"));
        }
        self.receive_data(received, frame, &whole)
    }

    fn receive_offer(&mut self, received: Received, offer: Offer) -> Result<(), CloseReason> {
        self.release(received);
        let link = received.link;
        let index = match (self.documents.index(&offer.name), self.config.accept) {
            (Some(index), _) if !self.awaits(link, index, &offer) => {
                self.live(link)?.0.ignore_offer();
                return Ok(());
            }
            (Some(index), _) => index,
            (None, Accept::Opened) => {
                self.live(link)?.0.ignore_offer();
                return Ok(());
            }
            (None, Accept::All) => match self.add(&offer.name, Known::Empty) {
                Ok(index) => {
                    self.documents.residents.unused(index);
                    self.emit(Event::Opened { document: offer.name.clone() });
                    index
                }
                Err(_) => {
                    let reason = Refusal::TooManyDocuments;
                    self.live(link)?.0.decline(offer.handle, Rejection::Refused(reason));
                    self.emit(Event::Refused { link, document: offer.name, reason });
                    return Ok(());
                }
            },
        };
        let first = self.live(link)?.0.learn_handle(offer.handle, index)?;
        #[cfg(planted_bugs)]
        if is_planted(Bug::TrustClaimedVersion)
            && let Some(document) = self.documents.at_mut(index).and_then(OpenDocument::resident_mut)
        {
            document.trust(&offer.frontier.version());
        }
        // Looking through the log is dear, and whoever offers again has been looked at.
        let conflict = self.conflict(index, &offer);
        let in_log = || if first { self.log_conflict(received, index, &offer) } else { None };
        if let Some(dot) = conflict.or_else(in_log) {
            self.end_document(link, index, Rejection::IdentityConflict(dot));
            return Ok(());
        }
        self.with_document(link, index, |session, document, context| {
            let Some(progress) = session.progress(index) else { return };
            progress.peer_holds(&offer.frontier.version());
            if offer.again && progress.is_offered() {
                progress.offer = OfferState::Due { again: false };
            }
            session.queue_data(index);
            session.compare(document, context);
        })?;
        self.limit_replicas(link, index)
    }

    /// Ends a document whose peer claims more replicas than there can be, so that claims without
    /// data, which are all that an offer or an acknowledgement holds, take no more memory.
    fn limit_replicas(&mut self, link: LinkId, index: DocumentIndex) -> Result<(), CloseReason> {
        if self.live(link)?.0.progress(index).is_some_and(|progress| progress.has_too_many_replicas()) {
            self.end_document(link, index, Rejection::Refused(Refusal::TooManyReplicas));
        }
        Ok(())
    }

    /// Finds an identity that was used twice, as far as two frontiers can show it.
    fn conflict(&self, index: DocumentIndex, offer: &Offer) -> Option<Dot> {
        let document = self.documents.at(index)?;
        let own = self.own_ids(index).map(|own| (own, offer.frontier.counter(own)));
        let mut never_made = own.filter(|(own, theirs)| *theirs > document.counter(*own));
        let never_made = never_made.next().map(|(own, theirs)| Dot::new(own, theirs));
        never_made.or_else(|| document.head().frontier.conflict_with(&offer.frontier))
    }

    fn receive_delta(
        &mut self,
        received: Received,
        index: DocumentIndex,
        (handle, delta): (u32, &ShortDelta<'_>),
        whole: &[u8],
    ) -> Result<(), CloseReason> {
        let link = received.link;
        let Some(source) = self.sender(link, index)? else {
            self.release(received);
            return Ok(());
        };
        if !self.takes(received, index, whole) {
            return Ok(());
        }
        let delta = self.live(link)?.0.hear_delta(handle, delta)?;
        let transactions = delta.len();
        let claim = self.unsettled_claim(index, delta.ranges().map(|range| (range.replica, range.through)));
        let Some(document) = self.documents.at_mut(index).and_then(OpenDocument::resident_mut) else { return Ok(()) };
        let ranges: Vec<DotRange> = delta.ranges().collect();
        let taken = match claim {
            Some(dot) => Err(Fault::Document(Rejection::IdentityConflict(dot))),
            None => document.apply(delta).map_err(apply_fault),
        };
        let duplicate = if matches!(taken, Ok(None)) { transactions } else { 0 };
        if taken.is_ok() {
            let (session, _) = self.live(link)?;
            session.count_delta(transactions, duplicate);
            if let Some(progress) = session.progress(index) {
                progress.peer_sent(&ranges);
            }
        }
        self.take(received, index, taken, source)
    }

    fn receive_snapshot(
        &mut self,
        received: Received,
        index: DocumentIndex,
        snapshot: &Snapshot,
        whole: &[u8],
    ) -> Result<(), CloseReason> {
        let link = received.link;
        let Some(source) = self.sender(link, index)? else {
            self.release(received);
            return Ok(());
        };
        if !self.takes(received, index, whole) {
            return Ok(());
        }
        let claim = self.unsettled_claim(index, snapshot.version().iter());
        let Some(document) = self.documents.at_mut(index) else { return Ok(()) };
        let taken = match claim {
            Some(dot) => Err(Fault::Document(Rejection::IdentityConflict(dot))),
            None => document.merge(snapshot, whole.len()).map_err(merge_fault),
        };
        if taken.is_ok()
            && let Some(progress) = self.live(link)?.0.progress(index)
        {
            progress.peer_sent_all(&snapshot.version());
        }
        self.take(received, index, taken, source)
    }

    /// Follows up on what a peer has sent for a document.
    fn take(
        &mut self,
        received: Received,
        index: DocumentIndex,
        taken: Result<Option<Taken>, Fault>,
        source: Source,
    ) -> Result<(), CloseReason> {
        self.documents.used(index);
        match taken {
            Ok(Some(taken)) => {
                self.persist(index, taken, source, Some(received));
                self.settle_received(index);
                self.stop_awaiting(index);
            }
            Ok(None) => {
                if !is_planted(Bug::LeakCredit) {
                    self.release(received);
                }
                return self.with_document(received.link, index, |session, document, context| {
                    session.touch(document, context);
                });
            }
            Err(Fault::Document(rejection)) => {
                self.release(received);
                self.end_document(received.link, index, rejection);
            }
            Err(Fault::Link(reason)) => return Err(reason),
        }
        Ok(())
    }

    fn receive_control(&mut self, link: LinkId, frame: Frame<'_>) -> Result<(), CloseReason> {
        let now_ms = self.now.monotonic_ms;
        let (session, _) = self.live(link)?;
        match frame {
            Frame::Ping => session.pinged(),
            Frame::Credit { bytes } => session.credited(bytes, now_ms)?,
            Frame::Ack { handle, credit, counters } => {
                session.credited(credit, now_ms)?;
                let index = session.document_of(handle)?;
                return self.receive_ack(link, index, &counters);
            }
            Frame::Digest { handle, frontier, digest } => {
                let index = session.document_of(handle)?;
                self.receive_digest(link, index, frontier, digest);
            }
            Frame::Reject { handle, rejection } => self.receive_reject(link, DocumentIndex(handle), rejection)?,
            Frame::Trail { handle, replica, authorship, marks } => {
                self.receive_trail(link, DocumentIndex(handle), (replica, authorship), marks)?;
            }
            Frame::Twin { replica, incarnation } => self.receive_twin(link, replica, incarnation),
            // A pong is a sign of life like any other frame; the rest has been dealt with.
            _ => {}
        }
        Ok(())
    }

    fn receive_ack(
        &mut self,
        link: LinkId,
        index: DocumentIndex,
        counters: &[(ReplicaId, u64)],
    ) -> Result<(), CloseReason> {
        let Some(document) = self.documents.at(index) else { return Ok(()) };
        let is_own = |replica: ReplicaId| self.own_ids(index).any(|own| own == replica);
        let more = |(replica, counter): &&(ReplicaId, u64)| *counter > document.counter(*replica) && is_own(*replica);
        if let Some((replica, counter)) = counters.iter().find(more) {
            self.end_document(link, index, Rejection::IdentityConflict(Dot::new(*replica, *counter)));
            return Ok(());
        }
        self.with_document(link, index, |session, document, context| {
            if let Some(progress) = session.progress(index) {
                progress.peer_acked(counters);
            }
            session.compare(document, context);
        })?;
        self.limit_replicas(link, index)
    }

    /// Compares digests, if both stand at the same frontier; otherwise there will be another one.
    fn receive_digest(&mut self, link: LinkId, index: DocumentIndex, frontier: u64, theirs: Digest) {
        let Some(open) = self.documents.at(index) else { return };
        let (document, head) = (open.id().clone(), open.head());
        let ours = head.digest;
        let is_level = head.frontier.hash() == frontier || is_planted(Bug::CompareAnyDigest);
        if let Some(progress) = self.sessions.get_mut(&link).and_then(|session| session.progress(index))
            && is_level
            && !progress.halted
        {
            progress.differs = ours != theirs;
        }
        if ours != theirs && is_level {
            self.emit(Event::Diverged { link, document, ours, theirs });
        }
    }

    /// The peer ends a document; `index` is what it was offered under.
    fn receive_reject(&mut self, link: LinkId, index: DocumentIndex, rejection: Rejection) -> Result<(), CloseReason> {
        let (session, _) = self.live(link)?;
        let Some(progress) = session.progress(index) else {
            return Err(CloseReason::ProtocolViolation("a rejection of what was never offered"));
        };
        if progress.halt() {
            self.tell(link, index, rejection);
            self.owe_trail(link, index, rejection);
        }
        Ok(())
    }

    /// Ends a document on a link, and tells the peer and the application.
    pub(super) fn end_document(&mut self, link: LinkId, index: DocumentIndex, rejection: Rejection) {
        if let Some(session) = self.sessions.get_mut(&link)
            && session.reject(index, rejection)
        {
            self.tell(link, index, rejection);
            self.owe_trail(link, index, rejection);
        }
    }

    fn tell(&mut self, link: LinkId, index: DocumentIndex, rejection: Rejection) {
        let Some(document) = self.documents.at(index).map(|document| document.id().clone()) else { return };
        match rejection {
            Rejection::IdentityConflict(dot) => {
                self.emit(Event::IdentityConflict { link, document: document.clone(), dot });
                let replica = dot.replica;
                if !self.has_writer(link, index, replica) {
                    self.emit(Event::Irreconcilable { document, replica });
                }
            }
            Rejection::Refused(reason) => {
                self.emit(Event::Refused { link, document, reason });
                self.no_longer_awaits(link, index);
            }
        }
    }

    /// Tells whether one of the two ends of a link may be a writer of an id, who can give way. Of the peer its Trail
    /// says it.
    fn has_writer(&self, link: LinkId, index: DocumentIndex, replica: ReplicaId) -> bool {
        let peer = self.sessions.get(&link).and_then(Session::peer);
        self.own_ids(index).any(|own| own == replica) || peer.is_some_and(|peer| peer.goes_or_went_by(replica))
    }

    /// Returns who sends on a link; `None` if the document has ended on it.
    fn sender(&mut self, link: LinkId, index: DocumentIndex) -> Result<Option<Source>, CloseReason> {
        let (session, _) = self.live(link)?;
        let Some(replica) = session.peer().map(|peer| peer.replica) else { return Ok(None) };
        let live = session.progress(index).is_some_and(|progress| !progress.halted);
        Ok(live.then_some(Source::Peer(replica)))
    }

    /// A data frame is done with: its credit goes back.
    pub(super) fn release(&mut self, received: Received) {
        let now_ms = self.now.monotonic_ms;
        if let Some(session) = self.sessions.get_mut(&received.link) {
            session.release(received.bytes, now_ms);
        }
    }

    fn live(&mut self, link: LinkId) -> Result<(&mut Session, Context<'_>), CloseReason> {
        let context = Context { now_ms: self.now.monotonic_ms, config: &self.config, outputs: &mut self.outputs };
        let session = self.sessions.get_mut(&link).ok_or(CloseReason::Dead)?;
        Ok((session, context))
    }

    fn with_document(
        &mut self,
        link: LinkId,
        index: DocumentIndex,
        act: impl FnOnce(&mut Session, &OpenDocument, &mut Context<'_>),
    ) -> Result<(), CloseReason> {
        let mut context = Context { now_ms: self.now.monotonic_ms, config: &self.config, outputs: &mut self.outputs };
        if let (Some(session), Some(document)) = (self.sessions.get_mut(&link), self.documents.at(index)) {
            act(session, document, &mut context);
        }
        Ok(())
    }
}

/// Who is to blame for a delta that does not apply.
fn apply_fault(error: ApplyError) -> Fault {
    match error {
        ApplyError::IdentityConflict { dot } | ApplyError::OwnDot { dot } => {
            Fault::Document(Rejection::IdentityConflict(dot))
        }
        ApplyError::Gap { .. } | ApplyError::Uncovered { .. } => Fault::Link(CloseReason::Gap),
        _ => Fault::Document(Rejection::Refused(Refusal::TooManyReplicas)),
    }
}

/// Who is to blame for a snapshot that does not merge.
fn merge_fault(error: MergeError) -> Fault {
    match error {
        MergeError::IdentityConflict { dot } | MergeError::OwnDot { dot } => {
            Fault::Document(Rejection::IdentityConflict(dot))
        }
        _ => Fault::Document(Rejection::Refused(Refusal::TooManyReplicas)),
    }
}
