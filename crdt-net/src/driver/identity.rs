//! One id, two writers: what becomes of a replica that finds out.
//!
//! The endpoint finds out, by what peers show, and says what is to be done ([`crdt_sync::Output::Renew`],
//! [`crdt_sync::Output::Disputed`]). Here the two things come that it cannot do itself: another id is drawn, and is
//! durable in the store before the first write under it; and what the store holds of a disputed document is read,
//! because memory may not reach back to where the two histories have parted.
//!
//! What was read must be the document as the endpoint has it. But writes do not stop meanwhile, and to read it again
//! until none has come between might take for ever. So what is written to the document after it was asked for is kept
//! here, and put behind what comes: both go through one queue, in order.
//!
//! One dispute at a time: each may need another id first, which settles that for all. A document is disputed once until
//! that is answered, so no more wait than there are documents. What cannot be settled is for the log and for those who
//! watch the document; it then goes on as it is, and not with that peer, until somebody sets it aside. That may need
//! another id first as well.

use std::collections::{BTreeSet, VecDeque};

use crdt_core::{ReplicaId, Snapshot};
use crdt_store::StoreError;
use crdt_sync::{DisputeError, DocumentId, SetAsideError, Stored, Write};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{Call, Driver, Reply};

/// How many ids a replica takes before it stays with the last one until it is opened again: each is kept for good, and
/// peers that lie can ask for any number.
const RENEWALS_MAX: usize = 64;

/// A document in which two writers have used one id.
pub(super) struct Dispute {
    pub(super) document: DocumentId,
    pub(super) replica: ReplicaId,
    /// What the peer knows of its history.
    pub(super) trail: Vec<(u64, u64)>,
}

/// Another id, if one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    NotNeeded,
    Needed,
    /// The store is making it durable.
    UnderWay,
}

/// What is to be settled.
pub(super) struct Disputes {
    /// Tells handles under which id the replica writes.
    replica: watch::Sender<ReplicaId>,
    renewal: Renewal,
    /// How many ids were taken since the replica was opened.
    renewals: usize,
    waiting: VecDeque<Dispute>,
    /// What was written to the first of these since the store was asked for it; `None` if it was not.
    since: Option<Vec<Write>>,
    /// Callers whose documents can be set aside under another id.
    asides: Vec<(DocumentId, Call)>,
    /// How many transactions go by another id since the replica was opened.
    pub(super) reissued: u64,
}

impl Disputes {
    pub(super) fn new(replica: ReplicaId) -> Self {
        Self {
            replica: watch::Sender::new(replica),
            renewal: Renewal::NotNeeded,
            renewals: 0,
            waiting: VecDeque::new(),
            since: None,
            asides: Vec::new(),
            reissued: 0,
        }
    }

    /// Lets a handle know under which id the replica writes.
    pub(super) fn subscribe(&self) -> watch::Receiver<ReplicaId> {
        self.replica.subscribe()
    }

    /// Takes note that the replica cannot stay with its id; false if it has to.
    pub(super) fn need_renewal(&mut self) -> bool {
        if self.renewals >= RENEWALS_MAX {
            error!("this id is used by others, as were many before: it is kept until the replica is opened again");
        } else if self.renewal == Renewal::NotNeeded {
            self.renewal = Renewal::Needed;
        }
        self.renewal != Renewal::NotNeeded
    }

    /// Returns how many callers wait for another id.
    pub(super) fn callers(&self) -> usize {
        self.asides.len()
    }

    pub(super) fn push(&mut self, dispute: Dispute) {
        self.waiting.push_back(dispute);
    }

    /// Takes note that a document is written to.
    pub(super) fn written(&mut self, document: &DocumentId, write: &Write) {
        if let (Some(since), Some(first)) = (&mut self.since, self.waiting.front())
            && first.document == *document
        {
            since.push(write.clone());
        }
    }
}

impl Driver {
    /// Does the next thing that there is to settle; true if the endpoint may ask for more now. It has asked for
    /// nothing that is not handed over.
    pub(super) fn settle(&mut self) -> Result<bool, StoreError> {
        if self.persist.is_finished() {
            return Ok(false);
        }
        match self.disputes.renewal {
            Renewal::Needed => self.start_renewal(),
            // Most disputes wait for it.
            Renewal::UnderWay => Ok(false),
            Renewal::NotNeeded if self.disputes.since.is_some() => Ok(false),
            Renewal::NotNeeded => self.start_dispute(),
        }
    }

    fn start_renewal(&mut self) -> Result<bool, StoreError> {
        let replica = fresh_id();
        self.disputes.renewal = Renewal::UnderWay;
        let is_durable = self.persist.renew(replica)?;
        if is_durable {
            self.take_renewed(replica)?;
        } else {
            self.is_urgent = true;
        }
        Ok(is_durable)
    }

    /// Takes in that the store goes by another id, durably.
    pub(super) fn take_renewed(&mut self, replica: ReplicaId) -> Result<(), StoreError> {
        let former = self.replica();
        self.disputes.renewal = Renewal::NotNeeded;
        self.disputes.renewals += 1;
        self.endpoint.renew(self.clock.now(), replica);
        self.disputes.replica.send_replace(replica);
        warn!(%former, %replica, "this replica goes by another id, for others use the one before, or may");
        for (document, call) in std::mem::take(&mut self.disputes.asides) {
            if !call.is_given_up() {
                self.call(document, call)?;
            }
        }
        Ok(())
    }

    /// Sets a document aside that is in memory, under another id if need be.
    pub(super) fn set_aside(
        &mut self,
        document: &DocumentId,
        (aside, differing): (DocumentId, BTreeSet<ReplicaId>),
        reply: Reply<Result<(), SetAsideError>>,
    ) {
        match self.endpoint.set_aside(self.clock.now(), document, &aside, differing) {
            Ok(()) => {
                self.watchers.stir();
                let answer = Box::new(move || {
                    let _ = reply.send(Ok(()));
                });
                self.answers.push(self.endpoint.requested(), answer);
            }
            Err(SetAsideError::NotRenewed { differing, .. }) if self.disputes.need_renewal() => {
                self.disputes.asides.push((document.clone(), Call::SetAside { aside, differing, reply }));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    fn start_dispute(&mut self) -> Result<bool, StoreError> {
        let Some(dispute) = self.disputes.waiting.front() else { return Ok(false) };
        let is_empty = self.endpoint.head(&dispute.document).is_none_or(|head| head.is_empty());
        let stored = match is_empty {
            // The store need not know it.
            true => Some(Stored { snapshot: Snapshot::empty(), deltas: Vec::new() }),
            false => self.persist.recall(&dispute.document)?,
        };
        let is_here = stored.is_some();
        match stored {
            Some(stored) => self.reissue(stored),
            None => {
                self.disputes.since = Some(Vec::new());
                self.is_urgent = true;
            }
        }
        Ok(is_here)
    }

    /// Takes in what the store holds of the first disputed document, and settles whose transactions are whose in it.
    pub(super) fn reissue(&mut self, mut stored: Stored) {
        let Some(dispute) = self.disputes.waiting.pop_front() else { return };
        for write in self.disputes.since.take().unwrap_or_default() {
            match write {
                Write::Delta(delta) => stored.deltas.push(delta),
                Write::Snapshot(snapshot) => stored = Stored { snapshot, deltas: Vec::new() },
            }
        }
        let Dispute { document, replica, trail } = &dispute;
        match self.endpoint.reissue(self.clock.now(), document, (*replica, trail), stored, fresh_id()) {
            // What has come of it comes as an event.
            Ok(()) => {}
            Err(DisputeError::NotRenewed { .. }) => {
                if self.disputes.need_renewal() {
                    self.disputes.waiting.push_front(dispute);
                    return;
                }
                self.endpoint.leave_disputed(self.clock.now(), document);
            }
            Err(DisputeError::TheirsToSettle) => info!(%document, %replica, "the other writer gives way"),
            // What has come of it comes as an event, too.
            Err(error) => warn!(%document, %replica, %error, "a disputed document is left as it is"),
        }
        // It may have come into memory by this.
        self.serve_waiting(&dispute.document);
    }
}

/// Draws an id that nobody has used: never from a seed, which the other writer may have as well.
fn fresh_id() -> ReplicaId {
    ReplicaId::from_random_bytes(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_ids_are_taken_and_no_more() {
        let mut disputes = Disputes::new(ReplicaId::from_u128(1));
        disputes.renewals = RENEWALS_MAX - 1;
        assert!(disputes.need_renewal(), "the last");
        (disputes.renewal, disputes.renewals) = (Renewal::NotNeeded, RENEWALS_MAX);
        assert!(!disputes.need_renewal());
    }

    #[test]
    fn only_what_is_written_to_a_document_that_is_being_read_is_kept() {
        let document = |name| DocumentId::new(name).expect("a valid name");
        let write = Write::Snapshot(Snapshot::empty());
        let mut disputes = Disputes::new(ReplicaId::from_u128(1));
        disputes.written(&document("d"), &write);
        for name in ["d", "e"] {
            disputes.push(Dispute { document: document(name), replica: ReplicaId::from_u128(1), trail: Vec::new() });
        }
        disputes.written(&document("d"), &write);
        assert!(disputes.since.is_none(), "what is written before it is asked for is in the store's answer");
        disputes.since = Some(Vec::new());
        disputes.written(&document("e"), &write);
        disputes.written(&document("d"), &write);
        assert_eq!(disputes.since.map(|since| since.len()), Some(1));
    }
}
