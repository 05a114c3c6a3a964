//! Deadlines, pings, and giving up.

use crate::network::{Network, PING};
use crdt_sync::CloseReason;

#[test]
fn a_peer_that_says_no_hello_within_five_seconds_is_closed() {
    let mut network = Network::new(2);
    let wire = network.lay(0, 1);
    network.up(wire, 0);
    network.pass(4_999);
    assert_eq!(network.nodes[0].closes, []);
    network.pass(1);
    assert_eq!(network.nodes[0].closes.len(), 1);
    assert_eq!(network.nodes[0].closes[0].1, CloseReason::HelloTimeout);
}

#[test]
fn an_idle_link_is_pinged_every_fifteen_seconds_and_stays() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.open(0, "d");
    network.pass(600_000);
    assert!(network.nodes.iter().all(|node| node.closes.is_empty()));
    let pings = network.count_since(0, PING);
    assert!((39..=80).contains(&pings), "{pings} pings");
}

#[test]
fn a_silent_link_is_pinged_and_given_up_after_forty_five_seconds() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.pass(5_000);
    network.nodes[1].persists = false;
    network.insert(1, "d", "a last sign of life");
    network.persist_one(1);
    network.deliver(wire, 0);
    network.pause(wire, 0);
    network.pass(44_999);
    assert_eq!(network.nodes[0].closes, []);
    assert!(network.sent.iter().filter(|sent| sent.kind() == PING && sent.from == 0).count() >= 2);
    network.pass(1);
    assert_eq!(network.nodes[0].closes[0].1, CloseReason::Dead);
}

#[test]
fn any_bytes_count_as_life() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.pass(5_000);
    let mark = network.sent.len();
    for number in 0..20 {
        network.insert(1, "d", &number.to_string());
        network.pass(10_000);
    }
    assert_eq!(network.count_since(mark, PING), 0);
    assert!(network.wires.contains_key(&wire));
}

#[test]
fn an_endpoint_without_links_has_no_timer() {
    let mut network = Network::new(2);
    network.insert(0, "d", "x");
    assert_eq!(network.nodes[0].endpoint.poll_timeout(), None);
    let wire = network.connect(0, 1);
    network.run();
    assert!(network.nodes[0].endpoint.poll_timeout().is_some());
    network.cut(wire);
    assert_eq!(network.nodes[0].endpoint.poll_timeout(), None);
}
