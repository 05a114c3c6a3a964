//! The conversation over one link, from hello to the end. Its state dies with the link.
//!
//! A session knows its peer, its credit, its timers, and per document how far that peer has got. It
//! never looks through all documents: those with something to send stand in two queues, one for
//! control frames and one for data, each document at most once, served round robin. What a document
//! has to send is made when its turn comes, from the log as it is then, so nothing encoded is ever
//! queued.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{Delta, ReplicaId};

use crate::close::CloseReason;
use crate::config::Config;
use crate::endpoint::{DocumentIndex, OpenDocument, OpenDocuments};
use crate::event::{Event, SessionStatus};
use crate::frame::{self, Frame, Hello, Rejection, ShortDelta};
use crate::input::LinkId;
use crate::output::Output;
use crate::shorthand::{Heard, Spoken};

/// How many other incarnations of one peer are told apart: so many copies of a store can find out at a time.
const RIVALS_MAX: usize = 16;

mod assembly;
mod control;
mod counts;
mod credit;
mod footprint;
mod liveness;
mod loading;
mod progress;
mod stream;

use assembly::{Incoming, Outgoing};
use counts::Counts;
use credit::Credit;
use liveness::Liveness;
use loading::Loading;
pub(crate) use progress::{OfferState, Progress};

/// The time, and where outputs go.
pub(crate) struct Context<'a> {
    pub(crate) now_ms: u64,
    pub(crate) config: &'a Config,
    pub(crate) outputs: &'a mut VecDeque<Output>,
}

impl Context<'_> {
    pub(crate) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    link: LinkId,
    /// The place of this link among all of this endpoint's.
    ordinal: u64,
    peer: Option<Peer>,
    liveness: Liveness,
    /// Other incarnations of the peer that were refused, and when that was first.
    rivals: VecDeque<(u64, u64)>,
    credit: Credit,
    progress: BTreeMap<DocumentIndex, Progress>,
    /// How this end names replicas to the peer, and how the peer does.
    spoken: Spoken,
    heard: Heard,
    /// The peer's handles.
    handles: BTreeMap<u32, DocumentIndex>,
    /// An offer was ignored: documents opened from now on ask for it again.
    ignored_offers: bool,
    control: VecDeque<DocumentIndex>,
    data: VecDeque<DocumentIndex>,
    /// Documents that wait for `outgoing` to be through, to send parts of their own.
    waiting: VecDeque<DocumentIndex>,
    loading: Loading,
    /// Answers to offers of documents that are not open here, by the peer's handles.
    refusals: VecDeque<(u32, Rejection)>,
    outgoing: Option<Outgoing>,
    incoming: Incoming,
    /// The next data frame is this long and has to wait for credit.
    blocked: Option<usize>,
    digests_due: BTreeSet<(u64, DocumentIndex)>,
    counts: Counts,
    /// Stands in the endpoint's queue of sessions with something to send.
    pub(crate) queued: bool,
    /// When the endpoint will next look at the timers.
    pub(crate) armed_ms: Option<u64>,
}

/// Who is at the other end, and what both ends have agreed on.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) replica: ReplicaId,
    pub(crate) incarnation: u64,
    pub(crate) ordinal: u64,
    /// Ids under which it has written before.
    pub(crate) former: Vec<ReplicaId>,
    message_bytes_max: u64,
    frame_bytes_max: usize,
    /// How much of a payload goes into one data frame.
    chunk_bytes_max: usize,
}

impl Peer {
    /// Tells whether it writes under this id, or has.
    pub(crate) fn goes_or_went_by(&self, replica: ReplicaId) -> bool {
        self.replica == replica || self.former.contains(&replica)
    }
}

impl Session {
    /// `own` is who this end says that it is.
    pub(crate) fn new(link: LinkId, ordinal: u64, own: ReplicaId, now_ms: u64) -> Self {
        Self {
            link,
            ordinal,
            peer: None,
            liveness: Liveness::new(now_ms),
            rivals: VecDeque::new(),
            credit: Credit::new(0),
            progress: BTreeMap::new(),
            spoken: Spoken::new(own),
            heard: Heard::default(),
            handles: BTreeMap::new(),
            ignored_offers: false,
            control: VecDeque::new(),
            data: VecDeque::new(),
            waiting: VecDeque::new(),
            loading: Loading::default(),
            refusals: VecDeque::new(),
            outgoing: None,
            incoming: Incoming::default(),
            blocked: None,
            digests_due: BTreeSet::new(),
            counts: Counts::default(),
            queued: false,
            armed_ms: None,
        }
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Puts a message on the link.
    pub(crate) fn transmit(&mut self, bytes: Vec<u8>, context: &mut Context<'_>) {
        self.counts.sent_message(bytes.len());
        context.outputs.push_back(Output::Transmit { link: self.link, bytes });
    }

    /// Takes note of a message, whatever is in it.
    pub(crate) fn heard(&mut self, bytes: usize, context: &Context<'_>) -> Result<(), CloseReason> {
        self.liveness.heard(context.now_ms);
        self.counts.received_message(bytes);
        let bytes_max = self.peer.as_ref().map_or(frame::HELLO_BYTES_MAX, |peer| peer.frame_bytes_max);
        if bytes > bytes_max { Err(CloseReason::TooLarge { bytes: bytes as u64 }) } else { Ok(()) }
    }

    /// The peer has said hello, and it is one to talk to.
    pub(crate) fn establish(&mut self, hello: &Hello, config: &Config) {
        let frame_bytes_max = at_most(config.frame_bytes_limit(), hello.frame_bytes_max);
        let window = at_most(config.in_flight_bytes_max, hello.in_flight_bytes_max);
        self.credit = Credit::new(window as u64);
        self.peer = Some(Peer {
            replica: hello.replica,
            incarnation: hello.incarnation,
            ordinal: hello.ordinal,
            former: hello.former.clone(),
            message_bytes_max: hello.message_bytes_max,
            frame_bytes_max,
            chunk_bytes_max: config.chunk_bytes_max.max(1_024).min(frame_bytes_max - frame::OVERHEAD_BYTES_MAX),
        });
        self.heard.greeted(hello.replica);
        self.liveness.established();
    }

    /// Returns what the peer is known to have.
    #[cfg(planted_bugs)]
    pub(crate) fn known(&self) -> Vec<(DocumentIndex, crdt_core::VersionVector)> {
        self.progress.iter().map(|(index, progress)| (*index, progress.known.clone())).collect()
    }

    /// Takes it for granted that the peer has this.
    #[cfg(planted_bugs)]
    pub(crate) fn believe(&mut self, known: &[(DocumentIndex, crdt_core::VersionVector)]) {
        for (index, known) in known {
            if let Some(progress) = self.progress.get_mut(index) {
                progress.known.merge(known);
            }
        }
    }

    /// The link may be dead without our knowing: another to the same replica has turned up.
    pub(crate) fn doubt(&mut self, context: &Context<'_>) {
        self.liveness.doubt(context.now_ms, context.config.hello_timeout_ms);
    }

    /// Another incarnation of the peer has turned up, and is refused: tells whether this one has shown life long after
    /// that happened first.
    pub(crate) fn outlives(&mut self, incarnation: u64, now_ms: u64, dead_after_ms: u64) -> bool {
        let known = self.rivals.iter().find(|(rival, _)| *rival == incarnation);
        let since_ms = known.map_or(now_ms, |(_, since_ms)| *since_ms);
        if known.is_none() {
            if self.rivals.len() == RIVALS_MAX {
                self.rivals.pop_front();
            }
            self.rivals.push_back((incarnation, now_ms));
        }
        self.liveness.heard_ms() >= since_ms.saturating_add(dead_after_ms)
    }

    /// Takes a document up into the conversation: it is offered when its turn comes.
    pub(crate) fn open(&mut self, index: DocumentIndex) {
        if self.peer.is_some() && !self.progress.contains_key(&index) {
            self.progress.insert(index, Progress::new(self.ignored_offers));
            self.queue_data(index);
        }
    }

    /// Tells whether the peer holds a delta durably, or will never ask for it: on this link the document has ended.
    pub(crate) fn peer_holds(&self, index: DocumentIndex, delta: &Delta) -> bool {
        let progress = self.progress.get(&index);
        progress.is_some_and(|progress| progress.halted || delta.is_covered_by(&progress.acked))
    }

    pub(crate) fn progress(&mut self, index: DocumentIndex) -> Option<&mut Progress> {
        self.progress.get_mut(&index)
    }

    /// Returns the document that the peer means by its handle.
    pub(crate) fn document_of(&self, handle: u32) -> Result<DocumentIndex, CloseReason> {
        self.handles.get(&handle).copied().ok_or(CloseReason::ProtocolViolation("a handle that was never offered"))
    }

    /// Learns the peer's handle of a document; true if it was not known before.
    pub(crate) fn learn_handle(&mut self, handle: u32, index: DocumentIndex) -> Result<bool, CloseReason> {
        let known = *self.handles.entry(handle).or_insert(index);
        let Some(progress) = self.progress.get_mut(&index) else {
            return Err(CloseReason::ProtocolViolation("a document before the hello"));
        };
        let news = progress.theirs.is_none();
        if known != index || *progress.theirs.get_or_insert(handle) != handle {
            return Err(CloseReason::ProtocolViolation("one document under two handles, or two under one"));
        }
        if progress.rejection.is_some() || progress.trail.is_some() {
            self.queue_control(index);
        }
        Ok(news)
    }

    pub(crate) fn ignore_offer(&mut self) {
        self.ignored_offers = true;
    }

    /// Declines a document that is not open here.
    pub(crate) fn decline(&mut self, handle: u32, rejection: Rejection) {
        self.refusals.push_back((handle, rejection));
    }

    /// The document has changed here, or is durable further than before.
    pub(crate) fn touch(&mut self, document: &OpenDocument, context: &mut Context<'_>) {
        let index = document.index();
        let Some(progress) = self.progress.get_mut(&index) else { return };
        let acks = !progress.owed.is_empty() && progress.owed.is_ready(|replica| document.durable_counter(replica));
        self.queue_data(index);
        if acks {
            self.queue_control(index);
        }
        self.compare(document, context);
    }

    /// Looks whether both ends hold the same now; says so once each time they get there.
    pub(crate) fn compare(&mut self, document: &OpenDocument, context: &mut Context<'_>) {
        let index = document.index();
        let Some(progress) = self.progress.get_mut(&index) else { return };
        let equal = progress.is_equal(document);
        if std::mem::replace(&mut progress.in_sync, equal) || !equal {
            return;
        }
        context.emit(Event::InSync { link: self.link, document: document.id().clone() });
        let digest = &mut progress.digest;
        if !std::mem::replace(&mut digest.first_done, true) {
            digest.ready = true;
            self.queue_control(index);
        } else if digest.due_ms.is_none() {
            let due_ms = context.now_ms.saturating_add(context.config.digest_delay_ms);
            digest.due_ms = Some(due_ms);
            self.digests_due.insert((due_ms, index));
        }
    }

    /// Ends one document on this link and tells the peer. False if it had ended before.
    pub(crate) fn reject(&mut self, index: DocumentIndex, rejection: Rejection) -> bool {
        let Some(progress) = self.progress.get_mut(&index) else { return false };
        let news = progress.halt();
        if news {
            progress.rejection = Some(rejection);
            self.queue_control(index);
        }
        news
    }

    pub(crate) fn queue_data(&mut self, index: DocumentIndex) {
        if let Some(progress) = self.progress.get_mut(&index)
            && (!std::mem::replace(&mut progress.queued_data, true) || is_planted(Bug::QueuedTwice))
        {
            self.data.push_back(index);
        }
    }

    pub(crate) fn queue_control(&mut self, index: DocumentIndex) {
        if let Some(progress) = self.progress.get_mut(&index)
            && !std::mem::replace(&mut progress.queued_control, true)
        {
            self.control.push_back(index);
        }
    }

    /// Sets a document aside until the message in parts is through. Every change of the document
    /// brings it here again meanwhile.
    fn queue_waiting(&mut self, index: DocumentIndex) {
        if let Some(progress) = self.progress.get_mut(&index)
            && !std::mem::replace(&mut progress.queued_waiting, true)
        {
            self.waiting.push_back(index);
        }
    }

    pub(crate) fn has_work(&self, now_ms: u64) -> bool {
        self.peer.is_some() && (self.has_control_work(now_ms) || (self.blocked.is_none() && !self.data.is_empty()))
    }

    /// Makes the next frame, if there is one to send now.
    pub(crate) fn poll_transmit(&mut self, documents: &mut OpenDocuments, context: &mut Context<'_>) -> bool {
        if self.peer.is_none() {
            return false;
        }
        let frame = self.poll_control(documents, context).or_else(|| self.poll_data(documents, context));
        let Some(frame) = frame else { return false };
        self.transmit(frame, context);
        true
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn deadline_ms(&self, config: &Config) -> u64 {
        let stalled = self.credit.waiting_since_ms().map(|since| since.saturating_add(config.stalled_after_ms));
        let digest = self.digests_due.first().map(|(due_ms, _)| *due_ms);
        let others = [stalled, digest, self.credit.due_ms()].into_iter().flatten();
        others.fold(self.liveness.deadline_ms(config), u64::min)
    }

    pub(crate) fn handle_timeout(&mut self, context: &Context<'_>) -> Result<(), CloseReason> {
        let (now_ms, config) = (context.now_ms, context.config);
        self.liveness.handle_timeout(now_ms, config)?;
        if let Some(since) = self.credit.waiting_since_ms()
            && now_ms >= since.saturating_add(config.stalled_after_ms)
        {
            return Err(CloseReason::Stalled);
        }
        while let Some(&(due_ms, index)) = self.digests_due.first().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.digests_due.remove(&(due_ms, index));
            if let Some(progress) = self.progress.get_mut(&index) {
                progress.digest.due_ms = None;
                progress.digest.ready = progress.in_sync;
                self.queue_control(index);
            }
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> SessionStatus {
        let shared = || self.progress.values().filter(|progress| progress.theirs.is_some() && !progress.halted);
        SessionStatus {
            link: self.link,
            peer: self.peer.as_ref().map(|peer| peer.replica),
            bytes_sent: self.counts.bytes_sent,
            bytes_received: self.counts.bytes_received,
            deltas_sent: self.counts.deltas_sent,
            deltas_received: self.counts.deltas_received,
            deltas_duplicate: self.counts.deltas_duplicate,
            in_flight_bytes: usize::try_from(self.credit.in_flight()).unwrap_or(usize::MAX),
            waiting_bytes: self.loading.waiting_bytes(),
            snapshots_sent: self.counts.snapshots_sent,
            documents: shared().count(),
            in_sync: shared().filter(|progress| progress.in_sync).count(),
            differing: self.progress.values().filter(|progress| progress.differs).count(),
        }
    }
}

/// Data on its way in.
impl Session {
    /// Takes note of a data frame that arrived, whatever is in it.
    pub(crate) fn received_data(&mut self, bytes: usize) -> Result<(), CloseReason> {
        self.credit.received(bytes)
    }

    /// A data frame is done with.
    pub(crate) fn release(&mut self, bytes: usize, now_ms: u64) {
        self.credit.owe(bytes, now_ms);
    }

    /// The peer returns credit.
    pub(crate) fn credited(&mut self, bytes: u64, now_ms: u64) -> Result<(), CloseReason> {
        self.credit.returned(bytes, now_ms)?;
        self.blocked = self.blocked.filter(|bytes| !self.credit.admits(*bytes));
        Ok(())
    }

    /// Learns the numbers that the peer gives in the frame of a delta.
    pub(crate) fn hear_names(&mut self, delta: &ShortDelta<'_>) -> Result<(), CloseReason> {
        self.heard.names(delta)
    }

    /// Makes the delta that a frame of the peer stands for. Comes for each of a document, in order.
    pub(crate) fn hear_delta(&mut self, handle: u32, delta: &ShortDelta<'_>) -> Result<Delta, CloseReason> {
        self.heard.delta(handle, delta)
    }

    pub(crate) fn count_delta(&mut self, transactions: u64, duplicate: u64) {
        self.counts.received_delta(transactions, duplicate);
    }

    pub(crate) fn pinged(&mut self) {
        self.liveness.pinged();
    }

    /// Takes in the start of a frame in parts.
    pub(crate) fn begin(&mut self, length: u64, hash: u64, config: &Config) -> Result<(), CloseReason> {
        self.incoming.begin(length, hash, config.message_bytes_max)
    }

    /// Takes in a part; returns the whole frame if it was the last.
    pub(crate) fn push_part(&mut self, part: &[u8]) -> Result<Option<Vec<u8>>, CloseReason> {
        self.incoming.push(part)
    }
}

/// Tells whether a frame counts against credit.
pub(crate) fn is_data(frame: &Frame<'_>) -> bool {
    matches!(
        frame,
        Frame::Offer(_) | Frame::Delta { .. } | Frame::Snapshot { .. } | Frame::Begin { .. } | Frame::Part { .. }
    )
}

fn at_most(ours: usize, theirs: u64) -> usize {
    usize::try_from(theirs).map_or(ours, |theirs| ours.min(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_waits_for_its_parts_once_however_often_it_changes() {
        let mut session = Session::new(LinkId(1), 1, ReplicaId::from_u128(1), 0);
        session.progress.insert(DocumentIndex(0), Progress::new(false));
        session.progress.insert(DocumentIndex(1), Progress::new(false));
        for index in [1, 0, 1, 1, 0] {
            session.queue_waiting(DocumentIndex(index));
        }
        assert_eq!(session.waiting, [DocumentIndex(1), DocumentIndex(0)]);
    }
}
