//! How far one document has got on one link.
//!
//! Three facts about the peer decide everything. *acked*: what it has said it holds durably, by
//! its offer, by sending it, or by acknowledging it. *known*: that, and what was sent to it on
//! this link, which it will hold before it sees anything sent later. *cursor*: the place in our log
//! before which it lacks nothing. A delta at the cursor that is known is passed over, any other is
//! sent; so the queue of a slow peer is one number, and nothing is sent twice on a link.
//!
//! What must be acknowledged? Exactly what was received on this link. Of everything else that both
//! ends hold, the peer knows from our offer or from having been sent it by us: if it does not, it
//! will send it, and then it has been received.

use std::collections::BTreeMap;

use crdt_core::limits::REPLICAS_MAX;
use crdt_core::planted::{Bug, is_planted};
use crdt_core::{Dot, DotRange, Frontier, ReplicaId, Snapshot, VersionVector};

use crate::endpoint::{OpenDocument, Resident};
use crate::frame::Rejection;
use crate::input::Ticket;

#[derive(Debug)]
pub(crate) struct Progress {
    /// The peer's handle, once it has offered the document.
    pub(crate) theirs: Option<u32>,
    pub(crate) offer: OfferState,
    pub(crate) known: VersionVector,
    pub(crate) acked: VersionVector,
    pub(crate) cursor: u64,
    /// The count of rebases at which the log was last found to serve the peer.
    pub(crate) served_at: Option<u64>,
    /// A snapshot that waits until all of it is durable.
    pub(crate) held: Option<Box<Held>>,
    /// What the peer has offered of a document at rest in which it lags: to be compared with the log
    /// before the peer is served.
    pub(crate) unchecked: Option<Box<Frontier>>,
    pub(crate) owed: OwedAcks,
    pub(crate) digest: DigestState,
    pub(crate) in_sync: bool,
    /// Syncs no more on this link.
    pub(crate) halted: bool,
    /// The peer holds another history, or something else at the same version.
    pub(crate) differs: bool,
    /// Why, if the peer is still to be told.
    pub(crate) rejection: Option<Rejection>,
    /// Whose history the peer is still to be told, because two writers have used the id.
    pub(crate) trail: Option<ReplicaId>,
    /// Whose history the peer is still to tell.
    pub(crate) awaits_trail: Option<ReplicaId>,
    pub(crate) queued_data: bool,
    pub(crate) queued_control: bool,
    pub(crate) queued_waiting: bool,
    /// Stands in line to be loaded.
    pub(crate) queued_load: bool,
}

/// Where our own offer stands.
#[derive(Debug)]
pub(crate) enum OfferState {
    Due {
        again: bool,
    },
    /// Taken, and waiting until all of it is durable.
    Held {
        again: bool,
        frontier: Frontier,
        ticket: Ticket,
    },
    Sent,
}

/// A snapshot on its way to a peer, and where the log goes on behind it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) snapshot: Snapshot,
    pub(crate) version: VersionVector,
    pub(crate) end: u64,
    pub(crate) rebases: u64,
    pub(crate) ticket: Ticket,
}

/// When the digest goes out.
#[derive(Debug, Default)]
pub(crate) struct DigestState {
    /// Was one sent or queued on this link before?
    pub(crate) first_done: bool,
    pub(crate) due_ms: Option<u64>,
    pub(crate) ready: bool,
}

impl Progress {
    pub(crate) fn new(again: bool) -> Self {
        Self {
            theirs: None,
            offer: OfferState::Due { again },
            known: VersionVector::new(),
            acked: VersionVector::new(),
            cursor: 0,
            served_at: None,
            held: None,
            unchecked: None,
            owed: OwedAcks::default(),
            digest: DigestState::default(),
            in_sync: false,
            halted: false,
            differs: false,
            rejection: None,
            trail: None,
            awaits_trail: None,
            queued_data: false,
            queued_control: false,
            queued_waiting: false,
            queued_load: false,
        }
    }

    pub(crate) fn is_offered(&self) -> bool {
        matches!(self.offer, OfferState::Sent)
    }

    /// Tells whether the document has ended before it was offered, and the peer still needs to be told under which
    /// handle it can say what it knows.
    pub(crate) fn owes_handle(&self) -> bool {
        let is_unknown = matches!(self.offer, OfferState::Due { again: false } | OfferState::Held { again: false, .. });
        self.halted && self.trail.is_some() && is_unknown
    }

    /// The peer holds all of `version`.
    pub(crate) fn peer_holds(&mut self, version: &VersionVector) {
        if self.halted {
            return;
        }
        self.known.merge(version);
        self.acked.merge(version);
    }

    /// The peer has sent a delta of these ranges, so it holds them.
    pub(crate) fn peer_sent(&mut self, ranges: &[DotRange]) {
        let through = || ranges.iter().map(|range| (range.replica, range.through));
        if !is_planted(Bug::EchoToSender) {
            self.known.extend(through());
        }
        self.acked.extend(through());
        ranges.iter().for_each(|range| self.owed.received(*range));
    }

    /// The peer has sent a snapshot at this version.
    pub(crate) fn peer_sent_all(&mut self, version: &VersionVector) {
        for (replica, through) in version.iter() {
            self.owed.received(DotRange { replica, after: 0, through });
        }
        self.peer_holds(version);
    }

    pub(crate) fn peer_acked(&mut self, counters: &[(ReplicaId, u64)]) {
        if self.halted {
            return;
        }
        self.known.extend(counters.iter().copied());
        self.acked.extend(counters.iter().copied());
    }

    /// Tells whether the peer claims more replicas than a document keeps apart.
    pub(crate) fn has_too_many_replicas(&self) -> bool {
        self.known.len() > REPLICAS_MAX
    }

    /// Returns how many replicas the versions kept of the peer name.
    pub(crate) fn version_entries(&self) -> usize {
        self.known.len() + self.acked.len() + self.owed.counters.len()
    }

    /// Both ends hold the same, durably, as far as this end knows.
    pub(crate) fn is_equal(&self, document: &OpenDocument) -> bool {
        !self.halted
            && self.theirs.is_some()
            && self.is_offered()
            && document.is_durable()
            && document.stands_at(&self.acked)
    }

    /// Tells whether the peer has to get the whole state, because the log starts too late for it.
    pub(crate) fn needs_snapshot(&mut self, resident: &Resident, rebases: u64) -> bool {
        let log = resident.log();
        let is_in_log = self.cursor >= log.start() || is_planted(Bug::CutUnnoticed);
        if self.served_at == Some(rebases) && is_in_log {
            return false;
        }
        if !log.serves(&self.known) && !is_planted(Bug::PartOfLog) {
            return true;
        }
        self.cursor = self.cursor.max(log.first_lacking(&self.known));
        self.served_at = Some(rebases);
        self.held = None;
        false
    }

    /// Ends the document on this link; false if it had ended before.
    pub(crate) fn halt(&mut self) -> bool {
        self.held = None;
        self.unchecked = None;
        self.known = VersionVector::new();
        self.acked = VersionVector::new();
        self.owed = OwedAcks::default();
        self.in_sync = false;
        !std::mem::replace(&mut self.halted, true)
    }
}

/// What was received on this link and not acknowledged yet, by replica.
#[derive(Debug, Default)]
pub(crate) struct OwedAcks {
    counters: BTreeMap<ReplicaId, Owed>,
}

#[derive(Debug)]
struct Owed {
    /// The peer has been told, or need not be, up to here.
    told: u64,
    through: u64,
}

impl OwedAcks {
    pub(crate) fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    fn received(&mut self, range: DotRange) {
        let owed = self.counters.entry(range.replica).or_insert(Owed { told: range.after, through: range.through });
        owed.told = owed.told.min(range.after);
        owed.through = owed.through.max(range.through);
    }

    /// Takes at most `count_max` of those that are durable; `durable` tells how far.
    pub(crate) fn take(&mut self, durable: impl Fn(ReplicaId) -> u64, count_max: usize) -> Vec<(ReplicaId, u64)> {
        let mut taken = Vec::new();
        let mut done: Vec<Dot> = Vec::new();
        for (replica, owed) in &mut self.counters {
            let counter = durable(*replica);
            if counter <= owed.told {
                continue;
            }
            if taken.len() == count_max {
                break;
            }
            owed.told = counter;
            taken.push((*replica, counter));
            if counter >= owed.through {
                done.push(Dot::new(*replica, counter));
            }
        }
        for dot in done {
            self.counters.remove(&dot.replica);
        }
        taken
    }

    /// Tells whether [`take`](Self::take) would yield something.
    pub(crate) fn is_ready(&self, durable: impl Fn(ReplicaId) -> u64) -> bool {
        self.counters.iter().any(|(replica, owed)| durable(*replica) > owed.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);

    fn range(after: u64, through: u64) -> DotRange {
        DotRange { replica: A, after, through }
    }

    fn durable(counter: u64) -> impl Fn(ReplicaId) -> u64 {
        move |_| counter
    }

    #[test]
    fn a_stream_is_acknowledged_as_far_as_it_is_durable_and_no_step_twice() {
        let mut owed = OwedAcks::default();
        owed.received(range(0, 1));
        owed.received(range(1, 2));
        assert_eq!(owed.take(durable(0), 9), []);
        assert_eq!(owed.take(durable(1), 9), [(A, 1)]);
        assert_eq!(owed.take(durable(1), 9), []);
        owed.received(range(2, 3));
        assert_eq!(owed.take(durable(3), 9), [(A, 3)]);
        assert!(owed.is_empty());
    }

    #[test]
    fn a_duplicate_is_acknowledged_again() {
        let mut owed = OwedAcks::default();
        owed.received(range(0, 1));
        assert!(owed.is_ready(durable(5)));
        assert_eq!(owed.take(durable(5), 9), [(A, 5)]);
        assert!(owed.is_empty());
    }
}
