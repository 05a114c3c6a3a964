//! One identity used twice, and states that differ at equal versions: noticed, reported, contained.

use std::sync::Arc;

use crate::network::{Network, id, replica};
use crdt_core::{Delta, Dot, Snapshot};
use crdt_sync::{Config, Event, Stored};

fn conflicts(network: &Network, node: usize) -> Vec<Dot> {
    let events = network.nodes[node].events.iter();
    let dots = events.filter_map(|event| match event {
        Event::IdentityConflict { document, dot, .. } => {
            assert_eq!(document, &id("d"));
            Some(*dot)
        }
        _ => None,
    });
    dots.collect()
}

/// Node 1 is put back to an old backup under its old identity, and writes `writes` times.
fn restored_backup(writes: usize) -> Network {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.insert(1, "d", "before the backup");
    network.run();
    let backup: Vec<_> = network.nodes[1].store.iter().map(|(id, stored)| (id.clone(), stored.clone())).collect();
    network.insert(1, "d", "after the backup 1");
    network.insert(1, "d", "after the backup 2");
    network.run();
    network.cut(wire);
    let mut restored = network.process(replica(2), Config::default());
    for (id, stored) in backup {
        restored.open(network.now, &id, Some(stored)).unwrap();
    }
    network.nodes[1].endpoint = restored;
    network.nodes[1].events.clear();
    for number in 0..writes {
        network.insert(1, "d", &format!("second life {number}"));
    }
    network
}

#[test]
fn a_restored_backup_is_noticed_by_both_ends_and_other_documents_go_on() {
    for writes in [0, 1, 2, 3] {
        let mut network = restored_backup(writes);
        network.insert(1, "other", "x");
        network.connect(0, 1);
        network.insert(0, "other", "y");
        network.insert(0, "d", "not for the other life");
        network.pass(5_000);
        assert_eq!(conflicts(&network, 0).len(), 1, "{writes} writes");
        assert_eq!(conflicts(&network, 1).len(), 1, "{writes} writes");
        assert!(network.nodes.iter().all(|node| node.closes.is_empty()));
        assert_eq!(network.elements(0, "other"), ["x", "y"]);
        assert_eq!(network.elements(1, "other"), ["x", "y"]);
        assert_eq!(network.elements(0, "d").len(), 4, "nothing of the first life is lost");
        assert!(network.elements(1, "d").len() > writes, "nor of the second");
    }
}

#[test]
fn equal_versions_with_different_content_are_reported_by_both_ends() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.insert(0, "d", "heads");
    network.insert(0, "d", "or");
    network.run();
    network.cut(wire);
    // One transaction is hashed when it is read; several that were coalesced carry their hash.
    let deltas = &network.nodes[0].store[&id("d")].deltas;
    let mut both = (*deltas[0]).clone();
    both.coalesce(&deltas[1]).unwrap();
    let mut bytes = both.to_bytes();
    let at = bytes.windows(5).position(|window| window == b"heads").unwrap();
    bytes[at..at + 5].copy_from_slice(b"hands");
    let stored = Stored { snapshot: Snapshot::empty(), deltas: vec![Arc::new(Delta::decode(&bytes).unwrap())] };
    let mut damaged = network.process(replica(2), Config::default());
    damaged.open(network.now, &id("d"), Some(stored)).unwrap();
    assert_eq!(damaged.document(&id("d")).unwrap().frontier(), network.snapshot(0, "d").frontier());
    network.nodes[1].endpoint = damaged;
    network.connect(0, 1);
    network.run();
    for (node, peer) in [(0, 1), (1, 0)] {
        let digest = |node| network.snapshot(node, "d").digest();
        let diverged = network.nodes[node].events.iter().filter_map(|event| match event {
            Event::Diverged { ours, theirs, .. } => Some((*ours, *theirs)),
            _ => None,
        });
        assert_eq!(diverged.collect::<Vec<_>>(), [(digest(node), digest(peer))]);
    }
}

#[test]
fn a_store_with_a_gap_is_an_error_and_no_document() {
    let mut network = Network::new(1);
    for number in 0..3 {
        network.insert(0, "d", &number.to_string());
    }
    network.run();
    let mut stored = network.nodes[0].store[&id("d")].clone();
    stored.deltas.remove(1);
    let mut endpoint = network.process(replica(1), Config::default());
    let error = endpoint.open(network.now, &id("d"), Some(stored)).unwrap_err();
    assert!(matches!(error, crdt_sync::OpenError::Stored { index: 1, .. }));
    assert!(endpoint.document(&id("d")).is_none());
}

#[test]
fn deltas_that_a_store_holds_twice_are_taken_once() {
    let mut network = Network::new(1);
    network.insert(0, "d", "x");
    network.insert(0, "d", "y");
    network.run();
    let mut stored = network.nodes[0].store[&id("d")].clone();
    stored.deltas.insert(1, Arc::clone(&stored.deltas[0]));
    let mut endpoint = network.process(replica(1), Config::default());
    endpoint.open(network.now, &id("d"), Some(stored)).unwrap();
    assert_eq!(endpoint.document(&id("d")).unwrap().snapshot().encode(), network.snapshot(0, "d").encode());
}
