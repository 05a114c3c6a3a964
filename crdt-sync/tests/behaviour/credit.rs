//! A slow peer costs a bound of memory and nobody else's progress.

use crate::network::{ACK, DELTA, Network};
use crdt_sync::{CloseReason, Config};

const WINDOW: usize = 64 << 10;

fn narrow() -> Config {
    let mut config = Config::default();
    config.in_flight_bytes_max = WINDOW;
    config.chunk_bytes_max = 4 << 10;
    config.log_bytes_max = 64 << 20;
    config
}

#[test]
fn a_paused_reader_has_at_most_the_window_on_its_way() {
    let mut network = Network::with_config(2, narrow);
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.pause(wire, 1);
    for number in 0..2_000 {
        network.insert(0, "d", &format!("{number:01000}"));
        network.run();
        assert!(network.queued_data_bytes(wire, 1) <= WINDOW);
        assert!(network.status(0)[0].in_flight_bytes <= WINDOW);
    }
    assert!(network.queued_data_bytes(wire, 1) > WINDOW / 2, "the window is used");
    network.resume(wire, 1);
    network.run();
    network.assert_converged("d");
    network.pass(2_000);
    assert_eq!(network.status(0)[0].in_flight_bytes, 0);
}

#[test]
fn the_window_holds_at_every_moment_of_a_long_catch_up() {
    let mut network = Network::with_config(2, narrow);
    for number in 0..300 {
        network.insert(0, "d", &format!("{number:01000}"));
        network.insert(1, "d", &format!("x{number:01000}"));
    }
    network.write(0, "d", |tx| tx.register("r").set("x".repeat(200_000)).unwrap());
    let wire = network.connect(0, 1);
    let mut random = crate::hostile::Random::new(7);
    for _ in 0..20_000 {
        network.deliver(wire, random.below(2));
        network.persist_one(random.below(2));
        for end in 0..2 {
            assert!(network.queued_data_bytes(wire, end) <= WINDOW);
        }
    }
    network.pass(5_000);
    network.assert_converged("d");
}

#[test]
fn a_window_smaller_than_a_frame_lets_one_frame_through_at_a_time() {
    let mut config = narrow();
    config.in_flight_bytes_max = 1;
    let mut network = Network::with_config(2, || config.clone());
    for number in 0..50 {
        network.insert(0, "d", &format!("{number:01000}"));
    }
    let wire = network.connect(0, 1);
    for _ in 0..1_000 {
        network.deliver(wire, 0);
        network.deliver(wire, 1);
        network.persist_one(1);
        network.persist_one(0);
        assert!(network.queued_data_bytes(wire, 1) <= 5 << 10);
    }
    network.pass(1_000);
    network.assert_converged("d");
}

#[test]
fn a_slow_store_at_the_receiver_slows_the_sender_down() {
    let mut network = Network::with_config(2, narrow);
    network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.nodes[1].persists = false;
    let mark = network.sent.len();
    for number in 0..500 {
        network.insert(0, "d", &format!("{number:01000}"));
        network.run();
    }
    let sent: usize = network.sent[mark..].iter().filter(|sent| sent.is_data()).map(|sent| sent.bytes.len()).sum();
    assert!(sent <= WINDOW, "{sent} bytes were sent that are not durable there");
    network.nodes[1].persists = true;
    network.run();
    network.assert_converged("d");
}

#[test]
fn acknowledgements_pass_a_link_that_is_full_of_data() {
    let mut network = Network::with_config(2, narrow);
    network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.nodes[1].persists = false;
    for number in 0..500 {
        network.insert(0, "d", &format!("{number:01000}"));
    }
    network.run();
    network.nodes[1].persists = true;
    // Only node 1's own write is made durable there, so node 0 stays without credit.
    let mark = network.sent.len();
    network.insert(1, "e", "from 1");
    network.run();
    assert!(network.sent[mark..].iter().any(|sent| sent.from == 0 && sent.kind() == ACK));
}

#[test]
fn a_peer_that_takes_nothing_for_thirty_seconds_is_closed_as_stalled() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.pass(5_000);
    let link = network.link(wire, 0);
    network.pause(wire, 1);
    network.insert(0, "d", "x");
    network.pass(29_999);
    assert_eq!(network.nodes[0].closes, []);
    network.pass(1);
    assert_eq!(network.nodes[0].closes, [(link, CloseReason::Stalled)]);
    assert_eq!(CloseReason::Stalled.code(), 1013);
}

#[test]
fn a_slow_peer_that_makes_progress_is_not_stalled() {
    let mut network = Network::with_config(2, narrow);
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.pass(5_000);
    for number in 0..200 {
        network.insert(0, "d", &format!("{number:01000}"));
    }
    network.pause(wire, 1);
    for _ in 0..50 {
        network.pass(20_000);
        network.resume(wire, 1);
        network.deliver(wire, 1);
        network.pause(wire, 1);
    }
    assert_eq!(network.nodes[0].closes, []);
    network.resume(wire, 1);
    network.pass(1_000);
    network.assert_converged("d");
}

#[test]
fn a_paused_peer_does_not_hold_up_the_others() {
    let mut network = Network::with_config(3, narrow);
    let paused = network.connect(0, 1);
    network.connect(0, 2);
    network.open(0, "d");
    network.run();
    network.pause(paused, 1);
    for number in 0..500 {
        network.insert(0, "d", &format!("{number:01000}"));
        network.run();
    }
    network.assert_converged_between("d", 0, 2);
    let mark = network.sent.len();
    network.resume(paused, 1);
    network.run();
    network.assert_converged("d");
    let frames = network.sent[mark..].iter().filter(|sent| sent.kind() == DELTA && sent.to == 1).count();
    assert!(frames < 250, "{frames} frames: a lagging peer gets its deltas merged");
}
