//! Writes while links are up: pushed, relayed, acknowledged, and never sent to who has them.

use crate::network::{ACK, CREDIT, DELTA, DIGEST, Network, id};
use crdt_sync::{Event, Source};

fn line(nodes: usize) -> Network {
    let mut network = Network::new(nodes);
    for node in 1..nodes {
        network.connect(node - 1, node);
    }
    network
}

fn ring(nodes: usize) -> Network {
    let mut network = line(nodes);
    network.connect(nodes - 1, 0);
    network
}

fn star(nodes: usize) -> Network {
    let mut network = Network::new(nodes);
    for node in 1..nodes {
        network.connect(node, 0);
    }
    network
}

fn mesh(nodes: usize) -> Network {
    let mut network = Network::new(nodes);
    for node in 0..nodes {
        for other in 0..node {
            network.connect(node, other);
        }
    }
    network
}

fn every_write_reaches_every_node(mut network: Network) {
    network.open(0, "d");
    network.run();
    for round in 0..5 {
        for node in 0..network.nodes.len() {
            network.insert(node, "d", &format!("{node} {round}"));
        }
        network.run();
    }
    network.assert_converged("d");
    assert_eq!(network.elements(0, "d").len(), 5 * network.nodes.len());
    for node in 0..network.nodes.len() {
        assert!(network.status(node).iter().all(|status| status.in_sync == 1 && status.in_flight_bytes == 0));
    }
}

#[test]
fn writes_travel_along_a_line() {
    every_write_reaches_every_node(line(5));
}

#[test]
fn writes_travel_round_a_ring() {
    every_write_reaches_every_node(ring(5));
}

#[test]
fn writes_travel_through_the_hub_of_a_star() {
    every_write_reaches_every_node(star(5));
}

#[test]
fn writes_travel_in_a_mesh() {
    every_write_reaches_every_node(mesh(5));
}

#[test]
fn in_a_tree_nothing_arrives_twice() {
    for network in [line(5), star(5)] {
        let mut network = network;
        network.open(0, "d");
        network.run();
        for node in 0..5 {
            network.insert(node, "d", &node.to_string());
        }
        network.run();
        network.assert_converged("d");
        assert_eq!(network.duplicates(), 0);
        assert_eq!(network.count_since(0, DELTA), 5 * 4);
    }
}

#[test]
fn a_delta_is_never_sent_to_who_is_known_to_have_it() {
    // In a ring a write meets itself half-way; no link carries it twice in one direction.
    let mut network = ring(4);
    network.open(0, "d");
    network.run();
    network.insert(0, "d", "x");
    network.run();
    let mut ways: Vec<(usize, usize)> =
        network.sent.iter().filter(|sent| sent.kind() == DELTA).map(|sent| (sent.from, sent.to)).collect();
    let all = ways.len();
    ways.sort_unstable();
    ways.dedup();
    assert_eq!(ways.len(), all);
    assert!(!ways.contains(&(1, 0)) && !ways.contains(&(3, 0)), "the sender must not get it back");
    network.assert_converged("d");
}

#[test]
fn a_live_write_costs_one_delta_and_one_acknowledgement() {
    let mut network = line(2);
    network.open(0, "d");
    network.run();
    network.insert(0, "d", "first");
    network.pass(5_000);
    let mark = network.sent.len();
    network.insert(0, "d", "second");
    network.run();
    assert_eq!(network.count_since(mark, DELTA), 1);
    assert_eq!(network.count_since(mark, ACK), 1);
    assert_eq!(network.sent.len() - mark, 2);
}

#[test]
fn live_writes_do_not_send_a_digest_each() {
    let mut network = line(2);
    network.open(0, "d");
    network.pass(5_000);
    let mark = network.sent.len();
    for number in 0..100 {
        network.insert(0, "d", &number.to_string());
        network.pass(10);
    }
    assert!(network.count_since(mark, DIGEST) <= 4, "at most one a second and direction");
    network.pass(5_000);
    assert!(network.count_since(mark, DIGEST) >= 2, "but one when they come to rest");
    assert_eq!(network.count_since(mark, CREDIT), 0);
}

#[test]
fn in_sync_is_told_once_each_time_both_ends_get_there() {
    let mut network = line(2);
    network.open(0, "d");
    network.run();
    assert_eq!((network.in_syncs(0), network.in_syncs(1)), (1, 1));
    network.pass(60_000);
    assert_eq!((network.in_syncs(0), network.in_syncs(1)), (1, 1));
    network.insert(0, "d", "x");
    network.run();
    assert_eq!((network.in_syncs(0), network.in_syncs(1)), (2, 2));
}

#[test]
fn changes_name_the_peer_that_sent_them() {
    let mut network = line(3);
    network.open(0, "d");
    network.run();
    network.insert(0, "d", "x");
    network.run();
    let sources: Vec<Source> = network
        .events()
        .filter_map(|event| match event {
            Event::Changed { document, source, changes } => {
                assert_eq!((document, changes.iter().count()), (&id("d"), 1));
                Some(*source)
            }
            _ => None,
        })
        .collect();
    let peer = |node: u128| Source::Peer(crate::network::replica(node));
    assert_eq!(sources, [Source::Local, peer(1), peer(2)]);
}

#[test]
fn many_documents_share_a_link_and_a_write_to_one_moves_no_other() {
    let mut network = line(2);
    for number in 0..500 {
        network.open(0, &format!("d{number:03}"));
    }
    network.run();
    assert_eq!(network.status(0)[0].in_sync, 500);
    network.pass(3_000);
    let mark = network.sent.len();
    network.insert(0, "d250", "x");
    network.run();
    assert_eq!(network.sent.len() - mark, 2);
    assert_eq!(network.elements(1, "d250"), ["x"]);
}
