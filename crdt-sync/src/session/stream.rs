//! Data frames: offers, then whatever the peer lacks, in log order and within credit.
//!
//! Each turn of a document makes at most one frame. What a frame would change is kept apart from
//! the frame until credit admits it: if it does not, the frame is dropped, the document stays at
//! the head of the queue, and the same turn is taken again when there is credit for a frame of that
//! length. So a peer that lags gets full frames, not one delta for each one that it has taken.

use std::sync::Arc;

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{Delta, VersionVector};

use crate::endpoint::{OpenDocument, OpenDocuments, Resident};
use crate::event::{Event, Refusal};
use crate::frame::{self, Rejection};
use crate::shorthand::News;

use super::progress::Held;
use super::{Context, OfferState, Outgoing, Progress, Session};

/// How many deltas are merged into one frame at most, so that one turn stays short.
const COALESCED_MAX: usize = 16_384;

/// What a document has to send in this turn.
enum Turn {
    /// Nothing, until something wakes it.
    Idle,
    /// Something, in parts, once the link's other message in parts is through.
    Wait,
    /// Something, once the document is in memory.
    Load,
    Frame {
        bytes: Arc<Vec<u8>>,
        then: Box<Then>,
    },
    Deltas {
        encoded: Arc<Vec<u8>>,
        deltas: Sent,
        cursor: u64,
    },
}

/// What is true once a frame is on its way.
enum Then {
    Offered,
    Sent { deltas: Sent, cursor: u64, news: News },
    SentAll { version: VersionVector, end: u64, rebases: u64 },
}

/// What a delta frame holds.
enum Sent {
    One(Arc<Delta>),
    Merged(Box<Delta>),
}

impl Sent {
    fn delta(&self) -> &Delta {
        match self {
            Self::One(delta) => delta,
            Self::Merged(delta) => delta,
        }
    }
}

impl Session {
    /// Makes the next data frame, if there is one that credit admits.
    pub(super) fn poll_data(&mut self, documents: &mut OpenDocuments, context: &mut Context<'_>) -> Option<Vec<u8>> {
        while self.blocked.is_none() {
            if self.outgoing.is_none()
                && let Some(index) = self.waiting.pop_front()
            {
                if let Some(progress) = self.progress.get_mut(&index) {
                    progress.queued_waiting = false;
                }
                self.queue_data(index);
            }
            let index = *self.data.front()?;
            let is_offered = self.progress.get(&index).is_some_and(Progress::is_offered);
            let document = documents.at_mut(index)?;
            let frame = match self.outgoing.as_ref().is_some_and(|outgoing| outgoing.document == index) {
                true => self.next_part(document, context),
                false => self.take_turn(document, context),
            };
            if self.blocked.is_some() {
                return None;
            }
            self.data.pop_front();
            if let Some(progress) = self.progress.get_mut(&index) {
                progress.queued_data = false;
            }
            if frame.is_some() {
                if is_offered {
                    documents.used(index);
                }
                self.queue_data(index);
                return frame;
            }
            self.turn_ended(index, documents, context);
        }
        None
    }

    /// Sends the next part of the message in parts, or blocks.
    fn next_part(&mut self, document: &mut OpenDocument, context: &mut Context<'_>) -> Option<Vec<u8>> {
        let part_bytes_max = self.peer.as_ref()?.chunk_bytes_max;
        let outgoing = self.outgoing.as_mut()?;
        let bytes = outgoing.next_bytes(part_bytes_max);
        if !self.credit.admits(bytes) {
            self.blocked = Some(bytes);
            return None;
        }
        let (message, last) = outgoing.next(part_bytes_max);
        self.credit.sent(message.len(), context.now_ms);
        if last
            && let Some(outgoing) = self.outgoing.take()
            && outgoing.is_offer
        {
            self.commit(document, Then::Offered, context);
        }
        Some(message)
    }

    /// Finds out what a document has to send, and sends it or its first part, or blocks.
    fn take_turn(&mut self, document: &mut OpenDocument, context: &mut Context<'_>) -> Option<Vec<u8>> {
        let peer = self.peer.as_ref()?;
        let (chunk_bytes_max, message_bytes_max) = (peer.chunk_bytes_max, peer.message_bytes_max);
        let progress = self.progress.get_mut(&document.index())?;
        let turn = turn(progress, document, Room { parts_free: self.outgoing.is_none(), chunk_bytes_max });
        let (bytes, then) = match turn {
            Turn::Idle => return None,
            Turn::Wait => {
                self.queue_waiting(document.index());
                return None;
            }
            Turn::Load => {
                self.queue_load(document.index());
                return None;
            }
            Turn::Frame { bytes, then } => (bytes, then),
            Turn::Deltas { encoded, deltas, cursor } => {
                let handle = document.index().0;
                let (frame, news) = self.spoken.delta(handle, deltas.delta(), &encoded, chunk_bytes_max);
                (Arc::new(frame), Box::new(Then::Sent { deltas, cursor, news }))
            }
        };
        if bytes.len() as u64 > message_bytes_max {
            self.refuse_too_large(document, context);
            return None;
        }
        if bytes.len() > chunk_bytes_max {
            if self.outgoing.is_some() {
                self.queue_waiting(document.index());
                return None;
            }
            // Control frames overtake parts, so an offer counts once all of it is out.
            let is_offer = matches!(*then, Then::Offered);
            self.outgoing = Some(Outgoing::new(document.index(), bytes, is_offer));
            if !is_offer {
                self.commit(document, *then, context);
            }
            return self.next_part(document, context);
        }
        if !self.credit.admits(bytes.len()) {
            self.blocked = Some(bytes.len());
            return None;
        }
        self.credit.sent(bytes.len(), context.now_ms);
        self.commit(document, *then, context);
        Some(Arc::unwrap_or_clone(bytes))
    }

    fn commit(&mut self, document: &mut OpenDocument, then: Then, context: &mut Context<'_>) {
        let Some(progress) = self.progress.get_mut(&document.index()) else { return };
        match then {
            Then::Offered => {
                progress.offer = OfferState::Sent;
                if progress.trail.is_some() {
                    self.queue_control(document.index());
                }
                self.compare(document, context);
            }
            Then::Sent { deltas, cursor, news } => {
                self.spoken.said(document.index().0, news);
                deltas.delta().advance(&mut progress.known);
                if is_planted(Bug::SentMeansAcked) {
                    deltas.delta().advance(&mut progress.acked);
                }
                progress.cursor = cursor;
                deltas.delta().ranges().for_each(|range| document.sent(range.replica, range.through));
                self.counts.sent_delta(deltas.delta().len());
            }
            Then::SentAll { version, end, rebases } => {
                progress.known.merge(&version);
                progress.cursor = progress.cursor.max(end);
                progress.served_at = Some(rebases);
                progress.held = None;
                version.iter().for_each(|(replica, counter)| document.sent(replica, counter));
                self.counts.sent_snapshot();
            }
        }
    }

    fn refuse_too_large(&mut self, document: &OpenDocument, context: &mut Context<'_>) {
        let reason = Refusal::TooLarge;
        if self.reject(document.index(), Rejection::Refused(reason)) {
            context.emit(Event::Refused { link: self.link, document: document.id().clone(), reason });
        }
    }
}

/// What a turn may use.
#[derive(Clone, Copy)]
struct Room {
    /// No message in parts is under way.
    parts_free: bool,
    /// How long a frame should get; a longer one goes in parts.
    chunk_bytes_max: usize,
}

fn turn(progress: &mut Progress, document: &mut OpenDocument, room: Room) -> Turn {
    if progress.halted {
        return if progress.owes_handle() { offer(progress, document) } else { Turn::Idle };
    }
    if !progress.is_offered() {
        return offer(progress, document);
    }
    if progress.theirs.is_none() {
        return Turn::Idle;
    }
    let rebases = document.rebases();
    let Some(resident) = document.resident_mut() else {
        return if document.is_covered_by(&progress.known) { Turn::Idle } else { Turn::Load };
    };
    if !progress.needs_snapshot(resident, rebases) {
        return deltas(progress, resident, room);
    }
    if room.parts_free { snapshot(progress, document) } else { Turn::Wait }
}

fn offer(progress: &mut Progress, document: &OpenDocument) -> Turn {
    if let OfferState::Due { again } = progress.offer {
        let (frontier, ticket) = (document.head().frontier, document.requested());
        progress.offer = OfferState::Held { again, frontier, ticket };
    }
    match &progress.offer {
        OfferState::Held { again, frontier, ticket }
            if document.is_persisted(*ticket) || is_planted(Bug::OfferBeforeDurable) =>
        {
            let bytes = frame::offer(document.index().0, *again, document.id(), frontier);
            Turn::Frame { bytes: Arc::new(bytes), then: Box::new(Then::Offered) }
        }
        _ => Turn::Idle,
    }
}

fn snapshot(progress: &mut Progress, document: &mut OpenDocument) -> Turn {
    let (handle, rebases, ticket) = (document.index().0, document.rebases(), document.requested());
    let Some(resident) = document.resident() else { return Turn::Load };
    let held = progress.held.get_or_insert_with(|| {
        let (snapshot, version) = (resident.document().snapshot(), resident.version().clone());
        Box::new(Held { snapshot, version, end: resident.log().end(), rebases, ticket })
    });
    if !document.is_persisted(held.ticket) && !is_planted(Bug::SnapshotBeforeDurable) {
        return Turn::Idle;
    }
    let then = Box::new(Then::SentAll { version: held.version.clone(), end: held.end, rebases: held.rebases });
    let Some(resident) = document.resident_mut() else { return Turn::Load };
    Turn::Frame { bytes: resident.snapshot_frame(handle, &held.snapshot, &held.version), then }
}

/// Takes the next deltas that the peer lacks, merged into one if there are several.
fn deltas(progress: &mut Progress, document: &mut Resident, room: Room) -> Turn {
    let end = document.durable_end();
    let Some((first, position)) = next_unknown(progress, document, progress.cursor) else {
        progress.cursor = progress.cursor.max(end);
        return Turn::Idle;
    };
    progress.cursor = position;
    let mut cursor = position + 1;
    let mut merged: Option<Delta> = None;
    let mut measure = Measure::new(first.size_hint(), room.chunk_bytes_max);
    let coalesced_max = if overlaps(&first, &progress.known) { 1 } else { COALESCED_MAX };
    for _ in 1..coalesced_max {
        let Some((next, position)) = next_unknown(progress, document, cursor) else {
            cursor = cursor.max(end);
            break;
        };
        let fits = measure.admits(next.size_hint(), || merged.as_ref().map_or(usize::MAX, Delta::size_hint));
        if !fits || overlaps(&next, &progress.known) {
            break;
        }
        let merged = merged.get_or_insert_with(|| (*first).clone());
        if merged.coalesce(&next).is_err() {
            break;
        }
        cursor = position + 1;
    }
    if let Some(merged) = merged {
        let encoded = Arc::new(merged.to_bytes());
        return Turn::Deltas { encoded, deltas: Sent::Merged(Box::new(merged)), cursor };
    }
    if first.size_hint() > room.chunk_bytes_max && !room.parts_free {
        return Turn::Wait;
    }
    match document.encoded_delta(position) {
        Some(encoded) => Turn::Deltas { encoded, deltas: Sent::One(first), cursor },
        None => Turn::Idle,
    }
}

/// How long a merged delta is at most. To measure it costs its entries, so that is done only when
/// the sum of what went into it is too much: what supersedes an entry takes its place.
struct Measure {
    bound: usize,
    bytes_max: usize,
}

impl Measure {
    fn new(bytes: usize, bytes_max: usize) -> Self {
        Self { bound: bytes, bytes_max }
    }

    /// Adds one more, of `bytes`, if it fits.
    fn admits(&mut self, bytes: usize, exact: impl FnOnce() -> usize) -> bool {
        if self.bound.saturating_add(bytes) > self.bytes_max {
            self.bound = exact();
            // More than half full, it goes as it is. So each measurement is paid for by as many
            // bytes of deltas as it looks at, and the bound is not passed again by the next one.
            if self.bound.saturating_add(bytes) > self.bytes_max / 2 {
                return false;
            }
        }
        self.bound += bytes;
        true
    }
}

/// Tells whether a peer has a part of a delta already. Such a delta travels alone: others in the log
/// may stand on that part or have superseded it, so it has no one place among them.
fn overlaps(delta: &Delta, known: &VersionVector) -> bool {
    delta.ranges().any(|range| range.after < known.counter(range.replica))
}

/// Finds the next durable delta at or behind `from` that the peer is not known to have.
fn next_unknown(progress: &Progress, document: &Resident, from: u64) -> Option<(Arc<Delta>, u64)> {
    (from.max(document.log().start())..document.durable_end()).find_map(|position| {
        let delta = document.log().at(position)?;
        let own = document.document().replica();
        if is_planted(Bug::DropRelayed) && delta.ranges().all(|range| range.replica != own) {
            return None;
        }
        (!delta.is_covered_by(&progress.known)).then(|| (Arc::clone(delta), position))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_delta_is_measured_once_for_each_half_chunk_that_went_into_it() {
        let mut measured = 0;
        let mut measure = Measure::new(10, 1_000);
        // Each supersedes the one before.
        for _ in 0..10_000 {
            assert!(measure.admits(10, || {
                measured += 1;
                10
            }));
        }
        assert!((100..=200).contains(&measured), "{measured}");
    }

    #[test]
    fn a_merged_delta_is_full_at_the_limit() {
        let mut measure = Measure::new(400, 1_000);
        assert!(measure.admits(600, || panic!("the sum fits")));
        assert!(!measure.admits(1, || 1_000));
        assert!(measure.admits(1, || 499));
    }
}
