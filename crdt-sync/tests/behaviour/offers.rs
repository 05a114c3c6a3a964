//! Which documents are taken from peers.

use crate::network::{Network, OFFER, REJECT, id};
use crdt_sync::{Accept, Config, Event, OpenError, Refusal};

fn opened_only() -> Config {
    let mut config = Config::default();
    config.accept = Accept::Opened;
    config
}

#[test]
fn documents_opened_while_a_link_is_up_are_offered_at_once() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.run();
    network.insert(0, "late", "x");
    network.run();
    assert_eq!(network.elements(1, "late"), ["x"]);
}

#[test]
fn an_endpoint_that_takes_only_opened_documents_ignores_offers_until_then() {
    let mut network = Network::with_config(2, opened_only);
    network.insert(0, "d", "x");
    network.insert(0, "never opened there", "x");
    network.connect(0, 1);
    network.run();
    assert_eq!(network.nodes[1].endpoint.documents().count(), 0);
    network.open(1, "d");
    network.run();
    assert_eq!(network.elements(1, "d"), ["x"]);
    assert_eq!(network.nodes[1].endpoint.documents().count(), 1);
    network.insert(1, "d", "y");
    network.insert(0, "d", "z");
    network.run();
    network.assert_converged("d");
    assert_eq!(network.status(0)[0].documents, 1);
}

#[test]
fn a_document_opened_at_both_ends_at_once_syncs() {
    let mut network = Network::with_config(2, opened_only);
    network.connect(0, 1);
    network.run();
    network.insert(0, "ignored", "x");
    network.run();
    network.insert(0, "d", "x");
    network.insert(1, "d", "y");
    network.pass(3_000);
    network.assert_converged("d");
    assert_eq!(network.status(1)[0].in_sync, 1);
    assert!(network.count_since(0, OFFER) <= 5, "nobody repeats an offer without end");
}

#[test]
fn one_document_above_the_limit_is_refused_and_the_rest_sync() {
    let mut network = Network::with_config(2, || {
        let mut config = Config::default();
        config.documents_max = 3;
        config
    });
    network.open(1, "own");
    for name in ["a", "b", "c"] {
        network.insert(0, name, "x");
    }
    network.connect(0, 1);
    network.run();
    assert_eq!(network.nodes[1].endpoint.documents().count(), 3);
    assert_eq!(network.elements(1, "b"), ["x"]);
    assert_eq!(network.count_since(0, REJECT), 2, "c there, own here");
    for node in 0..2 {
        let refused = network.nodes[node]
            .events
            .iter()
            .filter(|event| matches!(event, Event::Refused { reason: Refusal::TooManyDocuments, .. }));
        assert_eq!(refused.count(), 2);
    }
    let error = network.nodes[0].endpoint.open(network.now, &id("e"), None).unwrap_err();
    assert_eq!(error, OpenError::TooManyDocuments { max: 3 });
}

/// The peer takes no message as long as our offer, so the document ends before the peer has named
/// its handle. The rejection was dropped then, and the peer waited for ever.
#[test]
fn a_rejection_waits_until_the_peer_has_offered_the_document() {
    let mut network = Network::new(1);
    let mut config = Config::default();
    config.message_bytes_max = 100;
    network.start(2, config);
    let name = "d".repeat(500);
    network.open(0, &name);
    network.connect(0, 1);
    network.run();
    assert_eq!(network.count_since(0, REJECT), 0, "there is no handle to name");
    network.open(1, &name);
    network.run();
    assert_eq!(network.count_since(0, REJECT), 1);
    for node in &network.nodes {
        assert!(matches!(node.events[..], [_, Event::Refused { reason: Refusal::TooLarge, .. }]), "{:?}", node.events);
    }
}

#[test]
fn empty_documents_are_shared_too() {
    let mut network = Network::new(3);
    network.connect(0, 1);
    network.connect(1, 2);
    network.open(2, "empty");
    network.run();
    assert!(network.nodes[0].endpoint.document(&id("empty")).is_some());
    assert_eq!(network.status(0)[0].in_sync, 1);
}
