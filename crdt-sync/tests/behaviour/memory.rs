//! What an endpoint holds beside the content of documents, and logs that are cut at any moment.

use crate::network::{BEGIN, DELTA, Network, SNAPSHOT, id};
use crdt_sync::{Config, DocumentFootprint, Footprint, LinkFootprint};

fn with_log(log_bytes_max: usize) -> Config {
    let mut config = Config::default();
    config.log_bytes_max = log_bytes_max;
    config
}

/// Writes five deltas of one size; returns how many bytes of log they are.
fn write_five(network: &mut Network) -> usize {
    for number in 0..5 {
        network.insert(0, "d", &number.to_string());
    }
    network.run();
    footprint(network, 0).all_documents.log_bytes
}

fn footprint(network: &Network, node: usize) -> Footprint {
    network.nodes[node].endpoint.footprint()
}

fn log_deltas(network: &Network, document: &str) -> usize {
    network.nodes[0].endpoint.document_footprint(&id(document)).unwrap().log_deltas
}

#[test]
fn a_log_is_kept_up_to_its_limit_and_not_a_byte_beyond() {
    let bytes = write_five(&mut Network::new(1));
    for (limit, kept) in [(bytes, 5), (bytes - 1, 4), (0, 0)] {
        let mut written = Network::with_config(1, || with_log(limit));
        write_five(&mut written);
        assert_eq!(log_deltas(&written, "d"), kept);

        let mut cut = Network::new(1);
        write_five(&mut cut);
        cut.nodes[0].endpoint.truncate_logs(limit);
        assert_eq!(log_deltas(&cut, "d"), kept);
        assert_eq!(footprint(&cut, 0), footprint(&written, 0));
    }
}

/// Found by the simulator's bounds: what a store held was kept whole until the next write.
#[test]
fn a_log_that_is_longer_in_the_store_is_cut_when_it_is_opened() {
    let mut network = Network::new(1);
    let bytes = write_five(&mut network);
    for (limit, kept) in [(bytes, 5), (bytes - 1, 4), (0, 0)] {
        network.restart(0, with_log(limit));
        assert_eq!(log_deltas(&network, "d"), kept);
        assert_eq!(network.elements(0, "d").len(), 5);
    }
}

#[test]
fn a_log_is_cut_to_its_lower_limit_once_every_linked_peer_holds_it_and_nobody_pays_for_that() {
    let bytes = write_five(&mut Network::new(1));
    let config = || {
        let mut config = Config::default();
        config.log_held_bytes_max = bytes / 5;
        config
    };
    let mut network = Network::with_config(4, config);
    write_five(&mut network);
    assert_eq!(log_deltas(&network, "d"), 5, "nobody is linked, so nobody is known to hold anything");

    // One peer does not read, so it lacks what is written from here on.
    let wires = [1, 2].map(|peer| network.connect(0, peer));
    network.run();
    network.pause(wires[1], 1);
    write_five(&mut network);
    assert_eq!(log_deltas(&network, "d"), 5, "what all hold is cut off, what one lacks is not");
    let mark = network.sent.len();
    network.resume(wires[1], 1);
    network.run();
    assert_eq!((network.count_since(mark, SNAPSHOT), network.count_since(mark, BEGIN)), (0, 0));
    network.insert(0, "d", "one more");
    network.run();
    network.insert(0, "d", "two more");
    network.run();
    assert_eq!(log_deltas(&network, "d"), 1, "the last, which was not acknowledged when it became durable");
    network.assert_converged_between("d", 0, 1);
    network.assert_converged_between("d", 0, 2);
    // Who was not linked pays with a snapshot.
    let mark = network.sent.len();
    network.connect(0, 3);
    network.run();
    assert_eq!(network.count_since(mark, SNAPSHOT), 1);
    network.assert_converged_between("d", 0, 3);
}

#[test]
fn one_log_is_cut_without_the_others() {
    let mut network = Network::new(1);
    write_five(&mut network);
    network.insert(0, "other", "x");
    network.nodes[0].endpoint.truncate_log(&id("d"), 0);
    network.nodes[0].endpoint.truncate_log(&id("nowhere"), 0);
    assert_eq!((log_deltas(&network, "d"), log_deltas(&network, "other")), (0, 1));
    assert_eq!(network.nodes[0].endpoint.document_footprint(&id("nowhere")), None);
}

#[test]
fn a_peer_pays_for_a_log_that_was_cut_with_one_snapshot_if_it_lacks_something() {
    for lacks in [false, true] {
        let mut network = Network::new(2);
        let wire = network.connect(0, 1);
        write_five(&mut network);
        network.cut(wire);
        if lacks {
            network.insert(0, "d", "missed");
        }
        network.nodes[0].endpoint.truncate_logs(0);
        let mark = network.sent.len();
        network.connect(0, 1);
        network.run();
        network.insert(0, "d", "later");
        network.run();
        network.assert_converged("d");
        assert_eq!(network.count_since(mark, SNAPSHOT), usize::from(lacks));
        assert_eq!(network.count_since(mark, DELTA), 1, "the log goes on behind the cut");
    }
}

#[test]
fn a_write_that_is_cut_off_the_log_before_it_is_durable_still_gets_there() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.nodes[0].persists = false;
    network.insert(0, "d", "x");
    network.insert(0, "d", "y");
    let bytes = footprint(&network, 0).all_documents.log_bytes;
    network.nodes[0].endpoint.truncate_logs(0);
    let held = footprint(&network, 0);
    assert_eq!((held.writes, held.write_bytes), (2, bytes));
    assert_eq!(held.all_documents, DocumentFootprint::default());

    // A snapshot would hold both, so it waits for both.
    network.persist_one(0);
    network.run();
    assert!(network.elements(1, "d").is_empty());
    assert_eq!(footprint(&network, 0).all_links.held_snapshots, 1);
    network.persist_one(0);
    network.run();
    network.assert_converged("d");
    let held = footprint(&network, 0);
    assert_eq!((held.writes, held.write_bytes, held.all_links.held_snapshots), (0, 0, 0));
}

#[test]
fn a_message_in_parts_goes_on_when_its_delta_is_cut_off() {
    const LENGTH: usize = 900_000;
    let mut config = Config::default();
    config.in_flight_bytes_max = 256 << 10;
    let mut network = Network::with_config(2, || config.clone());
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.run();
    network.write(0, "d", |tx| tx.register("r").set("x".repeat(LENGTH)).unwrap());
    network.persist_one(0);
    network.deliver(wire, 1);
    network.deliver(wire, 1);
    let (sender, receiver) = (footprint(&network, 0).all_links, footprint(&network, 1).all_links);
    assert!((LENGTH..LENGTH + 100).contains(&sender.outgoing_bytes), "{sender:?}");
    assert!((100_000..200_000).contains(&receiver.incoming_bytes), "two parts of 64 KiB: {receiver:?}");

    network.nodes[0].endpoint.truncate_logs(0);
    network.nodes[1].endpoint.truncate_logs(0);
    network.run();
    network.assert_converged("d");
    assert_eq!((network.count_since(0, BEGIN), network.count_since(0, SNAPSHOT)), (1, 0));
    for node in 0..2 {
        let held = footprint(&network, node).all_links;
        assert_eq!((held.incoming_bytes, held.outgoing_bytes), (0, 0));
    }
}

/// Logs of both ends are cut after each number of steps of one conversation with parts, little credit, a
/// slow store and writes on both sides.
#[test]
fn logs_may_be_cut_at_any_moment() {
    let mut config = Config::default();
    config.chunk_bytes_max = 1_024;
    config.in_flight_bytes_max = 2_048;
    for moment in 0..60 {
        let mut network = Network::with_config(2, || config.clone());
        for number in 0..3 {
            network.insert(0, "d", &format!("left {number:0700}"));
            network.insert(1, "d", &format!("right {number:0700}"));
        }
        network.write(1, "d", |tx| tx.register("r").set("x".repeat(3_000)).unwrap());
        let wire = network.connect(0, 1);
        for step in 0..moment {
            network.deliver(wire, step % 2);
            if step % 3 == 0 {
                network.persist_one(step / 3 % 2);
            }
            if step % 8 == 0 {
                network.insert(step / 8 % 2, "d", &step.to_string());
            }
        }
        network.nodes[0].endpoint.truncate_logs(moment % 3 * 500);
        network.nodes[1].endpoint.truncate_logs(0);
        network.pass(5_000);
        network.assert_converged("d");
        for node in &network.nodes {
            assert_eq!(node.closes, [], "moment {moment}");
        }
        assert!((0..2).all(|node| network.status(node)[0].in_sync == 1), "moment {moment}");
    }
}

#[test]
fn figures_add_up_and_a_link_that_has_ended_leaves_nothing_behind() {
    let mut network = Network::new(3);
    let wires = [network.connect(0, 1), network.connect(0, 2)];
    write_five(&mut network);
    network.pause(wires[1], 1);
    network.insert(0, "other", "x");
    network.pass(3_000);
    let held = footprint(&network, 0);
    let endpoint = &network.nodes[0].endpoint;
    let logs = ["d", "other"].map(|document| endpoint.document_footprint(&id(document)).unwrap().log_bytes);
    assert_eq!(held.all_documents.log_bytes, logs.iter().sum::<usize>());
    let links = wires.map(|wire| endpoint.link_footprint(network.link(wire, 0)).unwrap());
    assert_eq!(held.all_links.version_entries, links.iter().map(|link| link.version_entries).sum::<usize>());
    assert_eq!((held.documents, held.links, held.timers), (2, 2, 2));
    assert_eq!((links[0].documents, links[0].handles), (2, 2));
    assert_eq!((links[1].documents, links[1].handles), (2, 1), "that end has not heard of the other document");
    assert_eq!((held.outputs, held.links_queued, held.all_links.control_queued), (0, 0, 0));

    let ended = network.link(wires[0], 0);
    for wire in wires {
        network.cut(wire);
    }
    let held = footprint(&network, 0);
    assert_eq!((held.links, held.timers, held.all_links), (0, 0, LinkFootprint::default()));
    assert_eq!(network.nodes[0].endpoint.link_footprint(ended), None);
}
