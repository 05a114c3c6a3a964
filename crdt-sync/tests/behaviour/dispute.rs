//! One id, two writers: both lives are kept, whoever meets whom first.

use std::collections::BTreeSet;

use crdt_core::ReplicaId;
use crdt_sync::{CloseReason, Config, Event, Input};

use crate::network::{Network, id, replica};

/// Opens what a node has made durable once more, under the same id, as another node.
pub(crate) fn copy(network: &mut Network, node: usize) -> usize {
    let mut endpoint = network.process(network.nodes[node].endpoint.replica(), Config::default());
    let store = network.nodes[node].store.clone();
    for (id, stored) in &store {
        endpoint.open(network.now, id, Some(stored.clone())).unwrap();
    }
    let copy = network.add(endpoint);
    network.nodes[copy].store = store;
    for node in &mut network.nodes {
        node.settles = true;
    }
    copy
}

/// Writes one element and counts it.
pub(crate) fn write(network: &mut Network, node: usize, element: &str) {
    network.write(node, "d", |tx| {
        tx.set("s").insert(element).unwrap();
        tx.counter("n").add(1).unwrap();
        tx.register("last").set(element).unwrap();
    });
}

/// Links two nodes again and again, as dialling replicas do, until they stay linked and everybody rests.
pub(crate) fn meet(network: &mut Network, one: usize, other: usize) {
    for _ in 0..6 {
        let wire = network.connect(one, other);
        network.pass(2_000);
        if network.wires.contains_key(&wire) {
            network.cut(wire);
            return;
        }
    }
    panic!("{one} and {other} do not stay linked: {:?}", network.nodes[one].closes);
}

pub(crate) fn assert_all_hold(network: &Network, elements: &BTreeSet<String>) {
    for node in 0..network.nodes.len() {
        let held: BTreeSet<String> = network.elements(node, "d").into_iter().collect();
        assert_eq!(held, *elements, "node {node}");
    }
    assert_all_count(network, elements.len());
}

pub(crate) fn assert_all_count(network: &Network, total: usize) {
    for node in 0..network.nodes.len() {
        let count = network.snapshot(node, "d").root().counter("n").unwrap_or(0);
        assert_eq!(count, total as i128, "node {node}");
        network.assert_converged_between("d", 0, node);
    }
    assert!(!network.events().any(|event| matches!(event, Event::Diverged { .. })));
}

pub(crate) fn elements(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_restored_backup_keeps_what_it_writes_under_another_id() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    write(&mut network, 1, "common");
    network.run();
    let restored = copy(&mut network, 1);
    write(&mut network, 1, "first life 1");
    write(&mut network, 1, "first life 2");
    network.run();
    network.cut(wire);
    write(&mut network, restored, "second life");
    meet(&mut network, restored, 0);
    assert_ne!(network.nodes[restored].endpoint.replica(), replica(2));
    assert_eq!(network.nodes[1].endpoint.replica(), replica(2), "the first life stays who it is");
    let reissued = |event: &&Event| matches!(event, Event::Reissued { transactions: 1, .. });
    assert_eq!(network.nodes[restored].events.iter().filter(reissued).count(), 1);
    meet(&mut network, 1, 0);
    assert_all_hold(&network, &elements(&["common", "first life 1", "first life 2", "second life"]));
    // Both wrote the register without having seen the other.
    assert_eq!(network.snapshot(0, "d").root().register("last").unwrap().conflicts().len(), 2);
}

#[test]
fn a_restored_backup_that_has_written_nothing_yet_takes_another_id_before_it_does() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    write(&mut network, 1, "common");
    network.run();
    let restored = copy(&mut network, 1);
    write(&mut network, 1, "first life");
    network.run();
    network.cut(wire);
    meet(&mut network, restored, 0);
    write(&mut network, restored, "second life");
    meet(&mut network, restored, 0);
    meet(&mut network, 1, 0);
    assert_all_hold(&network, &elements(&["common", "first life", "second life"]));
}

#[test]
fn of_two_live_processes_with_one_id_one_yields_and_both_keep_what_they_wrote() {
    let mut network = Network::new(1);
    write(&mut network, 0, "common");
    network.run();
    let twin = copy(&mut network, 0);
    write(&mut network, 0, "one");
    write(&mut network, twin, "other");
    network.run();
    meet(&mut network, 0, twin);
    let ids: BTreeSet<_> = network.nodes.iter().map(|node| node.endpoint.replica()).collect();
    assert!(ids.len() == 2 && ids.contains(&replica(1)), "exactly one has taken another id: {ids:?}");
    assert_all_hold(&network, &elements(&["common", "one", "other"]));
    let is_renewed = |(_, reason): &&_| *reason == CloseReason::Renewed;
    assert!(network.nodes.iter().any(|node| node.closes.iter().filter(is_renewed).count() > 0));
}

/// Found in a review: who had settled the id, and had gone by it, was taken for a writer who is still to give way. So
/// the document did not sync with a third life.
#[test]
fn three_lives_that_meet_in_turn_keep_what_each_has_written() {
    for (first, then) in [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)] {
        for spreads in 0..8 {
            let mut network = Network::new(1);
            write(&mut network, 0, "common");
            network.run();
            let lives = [0, copy(&mut network, 0), copy(&mut network, 0)];
            for (life, element) in lives.into_iter().zip(["one", "two", "three"]) {
                write(&mut network, life, element);
                network.run();
                if spreads >> life & 1 == 1 {
                    let third = network.start(77 + life as u128, Config::default());
                    meet(&mut network, life, third);
                }
            }
            let last = lives[3 - first - then];
            meet(&mut network, lives[first], lives[then]);
            for met in [then, first, then] {
                meet(&mut network, lives[met], last);
            }
            for life in lives {
                let held: BTreeSet<String> = network.elements(life, "d").into_iter().collect();
                let all = elements(&["common", "one", "two", "three"]);
                assert_eq!(held, all, "{first}, then {then}, {spreads:03b}");
                network.assert_converged_between("d", 0, life);
            }
        }
    }
}

/// Two copies that only ever dial the same server do not see each other.
#[test]
fn a_second_life_that_is_refused_by_a_server_is_told_of_the_first_and_both_keep_what_they_wrote() {
    let mut network = Network::new(2);
    let in_place = network.connect(0, 1);
    write(&mut network, 1, "common");
    network.run();
    let twin = copy(&mut network, 1);
    write(&mut network, 1, "one");
    write(&mut network, twin, "other");
    for _ in 0..3 {
        assert_eq!(network.nodes[twin].endpoint.replica(), replica(2), "not before it is certain");
        network.connect(twin, 0);
        network.pass(30_000);
    }
    network.connect(twin, 0);
    network.pass(1_000);
    assert_ne!(network.nodes[twin].endpoint.replica(), replica(2));
    assert_eq!(network.nodes[1].endpoint.replica(), replica(2), "the first life stays who it is");
    assert!(network.wires.contains_key(&in_place), "and linked");
    meet(&mut network, twin, 0);
    meet(&mut network, twin, 0);
    network.run();
    assert_all_hold(&network, &elements(&["common", "one", "other"]));
}

/// Found by thinking: what both lives did first was the same to the byte, so it had one chain hash, and was taken for
/// one transaction.
#[test]
fn two_lives_that_begin_with_the_same_are_both_counted() {
    let add = |network: &mut Network, node: usize| network.write(node, "d", |tx| tx.counter("n").add(1).unwrap());
    // The lives meet each other first, or one after the other a third.
    for meetings in [[(1, 2), (1, 0)], [(1, 0), (2, 0)], [(2, 0), (1, 0)]] {
        for (common, each) in [(0, 1), (0, 3), (1, 1), (3, 1), (3, 3)] {
            let mut network = Network::new(2);
            let wire = network.connect(0, 1);
            for _ in 0..common {
                add(&mut network, 1);
                network.run();
            }
            network.cut(wire);
            let twin = copy(&mut network, 1);
            for node in [1, twin] {
                (0..each).for_each(|_| add(&mut network, node));
            }
            network.run();
            for (one, other) in meetings.into_iter().chain([(1, twin), (0, twin), (1, 0), (1, twin)]) {
                meet(&mut network, one, other);
            }
            assert_all_count(&network, common + 2 * each);
        }
    }
}

/// The first byte of a delta of one transaction that has a salt.
const SALTED: u8 = 4;

/// Once is enough: not again when a document comes back into memory, and not under another id.
#[test]
fn only_what_a_process_commits_first_to_a_document_takes_more_bytes() {
    let mut network = Network::new(1);
    let mut told = Vec::new();
    for life in 0..2 {
        for document in ["d", "e"] {
            let rolled_back = network.nodes[0].endpoint.transact(network.now, &id(document), |_| Err::<(), ()>(()));
            assert!(rolled_back.is_err());
            for number in 0..3 {
                network.insert(0, document, &format!("{number} of {life}"));
                network.run();
                assert!(network.rest(0, document));
                let now = network.now;
                assert!(!network.nodes[0].endpoint.wake(now, &id(document)));
                network.drain(0);
                network.run();
            }
            network.nodes[0].endpoint.renew(network.now, replica(70 + life));
            network.insert(0, document, "under another id");
            network.run();
            let deltas = &network.nodes[0].store[&id(document)].deltas;
            told.push(deltas.iter().map(|delta| delta.to_bytes()[0] == SALTED).collect::<Vec<_>>());
        }
        network.restart(0, Config::default());
    }
    let once = [true, false, false, false];
    let twice = [once, once].concat();
    assert_eq!(told, [&once[..], &once, &twice, &twice]);
    let stored = &network.nodes[0].store[&id("d")].deltas;
    let bytes: Vec<usize> = stored.iter().map(|delta| delta.to_bytes().len()).collect();
    assert_eq!(bytes[0], bytes[1] + 8, "{bytes:?}");
}

/// What comes late from a former life is no life beside the new one.
#[test]
fn a_restarted_replica_is_not_taken_for_a_second_life() {
    let mut network = Network::new(2);
    write(&mut network, 1, "common");
    let former = network.connect(0, 1);
    network.run();
    // The server does not hear that the link has ended, and what is on its way arrives in its own time.
    network.pause(former, 0);
    let link = network.link(former, 1);
    write(&mut network, 1, "late");
    network.nodes[1].endpoint.handle(network.now, Input::LinkDown { link });
    let store = network.nodes[1].store.clone();
    let mut restarted = network.process(replica(2), Config::default());
    for (id, stored) in &store {
        restarted.open(network.now, id, Some(stored.clone())).unwrap();
    }
    network.nodes[1].endpoint = restarted;
    network.nodes[1].settles = true;
    for attempt in 0..4 {
        network.connect(1, 0);
        if attempt == 0 {
            network.pass(4_000);
            network.resume(former, 0);
            network.run();
            network.pause(former, 0);
        }
        network.pass(15_000);
    }
    assert_eq!(network.nodes[1].endpoint.replica(), replica(2));
    assert!(network.nodes[0].endpoint.sessions().next().is_some(), "it got in: {:?}", network.nodes[0].closes);
    network.assert_converged_between("d", 0, 1);
}

/// Found between processes: a trail of the latest marks alone did not reach back to where the histories part.
#[test]
fn twins_that_have_written_more_than_a_trail_can_tell_keep_it_all_and_count_it_once() {
    let mut network = Network::new(1);
    let mut written = BTreeSet::new();
    let mut add = |network: &mut Network, node: usize, prefix: &str| {
        for number in 0..600 {
            let element = format!("{prefix}{number}");
            write(network, node, &element);
            written.insert(element);
        }
        network.run();
    };
    add(&mut network, 0, "common");
    let twin = copy(&mut network, 0);
    add(&mut network, 0, "one");
    add(&mut network, twin, "other");
    meet(&mut network, 0, twin);
    assert_all_hold(&network, &written);
}

/// Found on real sockets: of two ends, the one that had not offered yet could not be told, and the other one took it
/// for the one to settle.
#[test]
fn who_ends_a_document_before_it_was_offered_is_told_all_the_same() {
    for slow in 0..2 {
        let mut network = Network::new(1);
        write(&mut network, 0, "common");
        network.run();
        let twin = copy(&mut network, 0);
        write(&mut network, 0, "one");
        write(&mut network, twin, "other");
        network.run();
        // What is not durable cannot be offered.
        network.nodes[slow].persists = false;
        write(&mut network, slow, "late");
        for _ in 0..3 {
            network.connect(0, twin);
            network.run();
        }
        network.nodes[slow].persists = true;
        network.run();
        meet(&mut network, 0, twin);
        assert_all_hold(&network, &elements(&["common", "one", "other", "late"]));
    }
}

/// Two lives whose logs do not reach back to where they part; the second has met a replica (0) that knows the first
/// (1).
pub(crate) fn nobody_remembers() -> (Network, usize) {
    let mut network = Network::with_config(2, || {
        let mut config = Config::default();
        config.log_bytes_max = 0;
        config
    });
    let wire = network.connect(0, 1);
    write(&mut network, 1, "common");
    network.run();
    let restored = copy(&mut network, 1);
    for number in 0..2 {
        write(&mut network, 1, &format!("first life {number}"));
        network.run();
    }
    network.cut(wire);
    write(&mut network, restored, "second life");
    network.run();
    let before = (network.elements(0, "d"), network.elements(restored, "d"));
    meet(&mut network, restored, 0);
    assert_eq!((network.elements(0, "d"), network.elements(restored, "d")), before);
    (network, restored)
}

#[test]
fn a_conflict_that_nobody_remembers_the_cause_of_stays_reported_and_harms_nothing() {
    let (network, restored) = nobody_remembers();
    let is_conflict =
        |event: &&Event| matches!(event, Event::IdentityConflict { document, .. } if *document == id("d"));
    assert!(network.nodes[restored].events.iter().filter(is_conflict).count() > 0);
}

/// Found in a review: a peer could have it told as often as it liked, and of documents that had ended for something
/// else.
#[test]
fn that_nobody_is_a_writer_is_told_once_and_of_the_conflict_alone() {
    let mut network = Network::new(2);
    for renewed in 0..2 {
        network.renew(1);
        write(&mut network, 1, &renewed.to_string());
    }
    network.insert(1, "e", "x");
    let wire = network.connect(0, 1);
    network.pass(2_000);
    let [conflict, other] = [replica(2), network.nodes[1].endpoint.replica()];
    network.nodes[0].events.clear();
    let handle_of = |network: &Network, name: &str| {
        let documents = network.nodes[0].endpoint.heads();
        documents.map(|(id, _)| id.clone()).position(|known| known == id(name)).unwrap() as u8
    };
    let reject = |handle: u8, reason: &[u8]| [&[0x0a, handle][..], reason].concat();
    let trail = |handle: u8, of: ReplicaId| [&[0x0d, handle][..], &of.to_bytes(), &[0, 0]].concat();
    let (d, e) = (handle_of(&network, "d"), handle_of(&network, "e"));
    network.inject(wire, 0, &reject(d, &[&[1][..], &conflict.to_bytes(), &[1]].concat()));
    network.inject(wire, 0, &reject(e, &[3]));
    for _ in 0..3 {
        for (handle, of) in [(d, other), (d, conflict), (e, conflict)] {
            network.inject(wire, 0, &trail(handle, of));
        }
    }
    let told: Vec<&Event> =
        network.nodes[0].events.iter().filter(|event| matches!(event, Event::Irreconcilable { .. })).collect();
    assert_eq!(told, [&Event::Irreconcilable { document: id("d"), replica: conflict }]);
}
