//! Durable before visible to others.

use crate::network::{ACK, DELTA, Network, OFFER, SNAPSHOT, id};
use crdt_sync::{Config, Ticket};

#[test]
fn a_local_write_is_sent_only_once_it_is_durable() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.nodes[0].persists = false;
    network.insert(0, "d", "x");
    network.insert(0, "d", "y");
    network.pass(1_000);
    assert_eq!(network.count_since(0, DELTA), 0);
    network.persist_one(0);
    network.run();
    assert_eq!(network.elements(1, "d"), ["x"]);
    network.persist_one(0);
    network.run();
    assert_eq!(network.elements(1, "d"), ["x", "y"]);
}

#[test]
fn a_received_delta_is_relayed_and_acknowledged_only_once_it_is_durable() {
    let mut network = Network::new(3);
    network.connect(0, 1);
    network.connect(1, 2);
    network.open(0, "d");
    network.run();
    network.nodes[1].persists = false;
    let mark = network.sent.len();
    network.insert(0, "d", "x");
    network.run();
    assert_eq!(network.elements(1, "d"), ["x"], "visible to the application at once");
    assert!(network.sent[mark..].iter().all(|sent| sent.from != 1), "to nobody else");
    assert_eq!(network.status(0)[0].in_sync, 0);
    network.persist_one(1);
    network.run();
    assert_eq!(network.count_since(mark, ACK), 2);
    network.assert_converged("d");
    assert!((0..3).all(|node| network.status(node).iter().all(|status| status.in_sync == 1)));
}

#[test]
fn an_offer_and_a_snapshot_wait_for_what_they_contain() {
    let mut config = Config::default();
    config.log_bytes_max = 0;
    let mut network = Network::with_config(2, || config.clone());
    network.nodes[0].persists = false;
    network.insert(0, "d", "x");
    network.connect(0, 1);
    network.run();
    assert_eq!(network.count_since(0, OFFER), 0);
    // A write after the offer was taken does not hold it up.
    network.insert(0, "d", "y");
    network.persist_one(0);
    network.run();
    assert!(network.count_since(0, OFFER) > 0);
    assert_eq!(network.count_since(0, SNAPSHOT), 0);
    network.insert(0, "d", "z");
    network.persist_one(0);
    network.run();
    assert_eq!(network.elements(1, "d"), ["x", "y"]);
    network.nodes[0].persists = true;
    network.run();
    network.assert_converged("d");
}

#[test]
fn acknowledgements_do_not_wait_for_a_stream_to_pause() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.nodes[1].persists = false;
    network.insert(0, "d", "0");
    network.run();
    let mark = network.sent.len();
    for number in 1..20 {
        // The store is always one write behind.
        network.insert(0, "d", &number.to_string());
        network.run();
        network.persist_one(1);
        network.run();
    }
    assert_eq!(network.count_since(mark, ACK), 19);
}

#[test]
fn a_replica_that_restarts_goes_on_from_its_store() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    for number in 0..10 {
        network.insert(number % 2, "d", &number.to_string());
        network.run();
    }
    for node in 0..2 {
        network.restart(node, Config::default());
        network.insert(node, "d", &format!("restarted {node}"));
        network.connect(0, 1);
        network.run();
        network.assert_converged("d");
        assert_eq!(network.status(0)[0].deltas_duplicate, 0);
    }
    assert_eq!(network.elements(0, "d").len(), 12);
    assert!(!network.events().any(|event| matches!(event, crdt_sync::Event::IdentityConflict { .. })));
}

#[test]
fn what_was_not_durable_is_gone_after_a_crash_and_no_dot_is_spent_twice() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.insert(0, "d", "durable");
    network.run();
    network.nodes[0].persists = false;
    network.insert(0, "d", "lost");
    network.run();
    network.nodes[0].persists = true;
    network.restart(0, Config::default());
    network.insert(0, "d", "after");
    network.connect(0, 1);
    network.run();
    network.assert_converged("d");
    assert_eq!(network.elements(1, "d"), ["after", "durable"]);
}

#[test]
fn what_waits_for_the_store_is_counted_until_it_is_durable() {
    let mut network = Network::new(1);
    network.nodes[0].persists = false;
    network.open(0, "d");
    let endpoint = |network: &Network| {
        let endpoint = &network.nodes[0].endpoint;
        (endpoint.requested(), endpoint.requested_bytes(), endpoint.durable(&id("d")).unwrap().total())
    };
    assert_eq!(endpoint(&network), (Ticket(0), 0, 0));
    network.insert(0, "d", "x");
    let (ticket, bytes, durable) = endpoint(&network);
    assert_eq!((ticket, durable), (Ticket(1), 0));
    assert!(bytes > 0);
    network.write(0, "d", |_| {});
    assert_eq!(endpoint(&network), (ticket, bytes, 0), "nothing was changed");
    network.insert(0, "d", "y");
    assert!(network.persist_one(0));
    // Only the first has a salt.
    assert_eq!(endpoint(&network), (Ticket(2), bytes - 8, 1));
    assert!(network.persist_one(0));
    assert_eq!(endpoint(&network), (Ticket(2), 0, 2));
}

/// Found in a review: of a snapshot in parts only the last one counted.
#[test]
fn a_snapshot_that_came_in_parts_counts_as_waiting_with_all_of_them() {
    let config = || {
        let mut config = Config::default();
        (config.chunk_bytes_max, config.log_bytes_max) = (1_000, 0);
        config
    };
    let mut network = Network::with_config(2, config);
    network.write(0, "d", |tx| tx.register("long").set("x".repeat(50_000)).unwrap());
    network.run();
    network.nodes[1].persists = false;
    network.connect(0, 1);
    network.pass(2_000);
    assert!(network.nodes[1].endpoint.requested_bytes() > 50_000);
    while network.persist_one(1) {}
    assert_eq!(network.nodes[1].endpoint.requested_bytes(), 0);
}
