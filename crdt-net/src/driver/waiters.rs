//! Callers who wait: until what they wrote is durable, or until a document durably covers a version.

use std::collections::{BTreeMap, VecDeque};

use crdt_core::VersionVector;
use crdt_sync::{DocumentId, Ticket};

use super::{Answer, Reply};

/// Answers that wait for a write to become durable, in the order of the tickets.
#[derive(Default)]
pub(super) struct Answers {
    waiting: VecDeque<(Ticket, Answer)>,
    /// The last write that is durable.
    durable: Ticket,
}

impl Answers {
    /// Takes an answer that waits for `ticket`, which is no less than that of the one before.
    pub(super) fn push(&mut self, ticket: Ticket, answer: Answer) {
        self.waiting.push_back((ticket, answer));
    }

    /// Takes note that the write of `ticket` is durable.
    pub(super) fn settle(&mut self, ticket: Ticket) {
        self.durable = ticket;
    }

    /// Answers those whose write is durable.
    pub(super) fn answer(&mut self) {
        while self.waiting.front().is_some_and(|(ticket, _)| *ticket <= self.durable) {
            if let Some((_, answer)) = self.waiting.pop_front() {
                answer();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Who waits for what. Callers that have given up are forgotten when others come or the document
/// changes, so their number is bounded by that of live callers.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    documents: BTreeMap<DocumentId, Vec<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    version: VersionVector,
    reply: Reply<()>,
}

impl Waiters {
    pub(super) fn add(&mut self, document: DocumentId, version: VersionVector, reply: Reply<()>) {
        let waiting = self.documents.entry(document).or_default();
        waiting.retain(|waiter| !waiter.reply.is_closed());
        waiting.push(Waiter { version, reply });
    }

    /// Answers those whose version is covered; `version` is asked for only if somebody waits.
    pub(super) fn resolve(&mut self, document: &DocumentId, version: impl FnOnce() -> VersionVector) {
        let Some(waiting) = self.documents.get_mut(document) else {
            return;
        };
        let version = version();
        let covered = waiting.extract_if(.., |waiter| version.covers_all(&waiter.version) || waiter.reply.is_closed());
        for waiter in covered {
            // Fails only if the caller has given up.
            let _ = waiter.reply.send(());
        }
        if waiting.is_empty() {
            self.documents.remove(document);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_core::ReplicaId;
    use tokio::sync::oneshot;

    const A: ReplicaId = ReplicaId::from_u128(1);

    fn version(counter: u64) -> VersionVector {
        VersionVector::from_iter([(A, counter)])
    }

    #[test]
    fn only_those_whose_version_is_covered_are_answered() {
        let document = DocumentId::new("d").expect("valid name");
        let mut waiters = Waiters::default();
        let (early, mut early_answer) = oneshot::channel();
        let (late, mut late_answer) = oneshot::channel();
        waiters.add(document.clone(), version(1), early);
        waiters.add(document.clone(), version(3), late);
        waiters.resolve(&document, || version(2));
        assert!(early_answer.try_recv().is_ok());
        assert!(late_answer.try_recv().is_err());
        waiters.resolve(&document, || version(3));
        assert!(late_answer.try_recv().is_ok());
        assert!(waiters.documents.is_empty());
    }

    #[test]
    fn callers_that_gave_up_are_forgotten() {
        let document = DocumentId::new("d").expect("valid name");
        let mut waiters = Waiters::default();
        let (reply, answer) = oneshot::channel();
        waiters.add(document.clone(), version(1), reply);
        drop(answer);
        waiters.resolve(&document, || version(0));
        assert!(waiters.documents.is_empty());
    }
}
