//! What tests ask of the endpoints.

use crdt_core::Snapshot;
use crdt_sync::{Event, SessionStatus};

use super::{Network, id};

impl Network {
    pub(crate) fn snapshot(&self, node: usize, document: &str) -> Snapshot {
        self.nodes[node].endpoint.document(&id(document)).unwrap().snapshot()
    }

    /// The elements of the set "s".
    pub(crate) fn elements(&self, node: usize, document: &str) -> Vec<String> {
        let document = self.nodes[node].endpoint.document(&id(document)).unwrap();
        let Some(set) = document.root().set("s") else { return Vec::new() };
        set.values().into_iter().map(|value| value.as_text().unwrap().to_owned()).collect()
    }

    /// All nodes hold the same, in content and to the byte.
    pub(crate) fn assert_converged(&self, document: &str) {
        let first = self.snapshot(0, document);
        for node in 1..self.nodes.len() {
            let other = self.snapshot(node, document);
            assert_eq!(first.version(), other.version(), "nodes 0 and {node} have different versions");
            assert_eq!(first.encode(), other.encode(), "nodes 0 and {node} differ");
        }
        assert!(!self.events().any(|event| matches!(event, Event::Diverged { .. })));
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.nodes.iter().flat_map(|node| &node.events)
    }

    pub(crate) fn status(&self, node: usize) -> Vec<SessionStatus> {
        self.nodes[node].endpoint.sessions().collect()
    }

    /// How often nodes got to the same version on a link.
    pub(crate) fn in_syncs(&self, node: usize) -> usize {
        self.nodes[node].events.iter().filter(|event| matches!(event, Event::InSync { .. })).count()
    }

    /// Messages of one kind since a mark (`self.sent.len()` at the time).
    pub(crate) fn count_since(&self, mark: usize, kind: u8) -> usize {
        self.sent[mark..].iter().filter(|sent| sent.kind() == kind).count()
    }

    pub(crate) fn duplicates(&self) -> u64 {
        (0..self.nodes.len()).flat_map(|node| self.status(node)).map(|status| status.deltas_duplicate).sum()
    }

    pub(crate) fn assert_converged_between(&self, document: &str, one: usize, other: usize) {
        assert_eq!(self.snapshot(one, document).encode(), self.snapshot(other, document).encode());
    }
}
