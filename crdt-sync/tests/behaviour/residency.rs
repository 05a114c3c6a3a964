//! Documents that are known and not in memory: what is said of them without loading, what loads them, and who
//! leaves memory for them.

use crate::network::{ACK, CREDIT, DELTA, DIGEST, Network, SNAPSHOT, id, replica};
use crdt_core::{Dot, Head, Kind, Snapshot};
use crdt_sync::{Config, DocumentId, Endpoint, Event, OpenError, Stored, TransactError};

fn at_most(documents: usize) -> impl Fn() -> Config {
    move || {
        let mut config = Config::default();
        config.resident_documents_max = documents;
        config
    }
}

/// Which of these documents are in a node's memory, one letter each.
fn resident(network: &Network, node: usize, letters: &str) -> String {
    let is_resident = |letter: &char| network.nodes[node].endpoint.is_resident(&id(&letter.to_string()));
    letters.chars().filter(is_resident).collect()
}

fn rested(network: &Network, node: usize) -> Vec<&str> {
    network.nodes[node].rested.iter().map(|(document, _)| document.as_str()).collect()
}

fn use_one(network: &mut Network, node: usize, document: &str) {
    while !network.nodes[node].endpoint.wake(network.now, &id(document)) {
        network.drain(node);
        assert!(network.load_one(node));
    }
    network.insert(node, document, "used");
    while network.persist_one(node) {}
}

/// Starts a node anew, on the heads of what its store holds.
fn restart_at_rest(network: &mut Network, node: usize, config: Config) {
    network.restart(node, Config::default());
    let mut endpoint = network.process(network.nodes[node].endpoint.replica(), config);
    let loaded = &network.nodes[node].endpoint;
    let heads: Vec<(DocumentId, Head)> = loaded.heads().map(|(document, head)| (document.clone(), head)).collect();
    for (document, head) in heads {
        endpoint.know(network.now, &document, head).unwrap();
    }
    network.nodes[node].endpoint = endpoint;
}

/// What a store holds of a document, folded into its snapshot.
fn fold(network: &mut Network, node: usize, document: &str) {
    let stored = network.nodes[node].store.get_mut(&id(document)).unwrap();
    for delta in std::mem::take(&mut stored.deltas) {
        stored.snapshot.apply(&delta).unwrap();
    }
}

#[test]
fn equal_documents_at_rest_meet_again_without_being_loaded() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    for number in 0..300 {
        network.insert(number % 2, &format!("d{number}"), "x");
    }
    network.run();
    network.cut(wire);
    restart_at_rest(&mut network, 0, at_most(1)());
    restart_at_rest(&mut network, 1, at_most(1)());
    let mark = network.sent.len();
    network.connect(0, 1);
    network.pass(5_000);
    for node in [0, 1] {
        assert_eq!(network.nodes[node].asked_for, 0);
        assert_eq!(network.nodes[node].endpoint.documents().count(), 0);
        assert_eq!(network.nodes[node].endpoint.heads().count(), 300);
        let status = &network.status(node)[0];
        assert_eq!((status.documents, status.in_sync), (300, 300));
    }
    assert_eq!(network.count_since(mark, DIGEST), 600, "digests are compared all the same");
    assert!(!network.events().any(|event| matches!(event, Event::Diverged { .. })));
}

#[test]
fn a_difference_of_a_document_at_rest_is_seen_by_its_digest() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.insert(0, "d", "x");
    network.run();
    network.cut(wire);
    let mut head = network.nodes[1].endpoint.head(&id("d")).unwrap();
    head.digest.0 ^= 1;
    network.nodes[1].endpoint = network.process(replica(2), Config::default());
    network.nodes[1].endpoint.know(network.now, &id("d"), head).unwrap();
    network.connect(0, 1);
    network.run();
    assert_eq!(network.events().filter(|event| matches!(event, Event::Diverged { .. })).count(), 2);
}

#[test]
fn a_delta_to_a_document_at_rest_loads_it_and_is_durable_before_it_is_acknowledged() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    network.insert(0, "d", "before");
    network.pass(3_000);
    assert!(network.rest(1, "d"));
    (network.nodes[1].loads, network.nodes[1].persists) = (false, false);
    let mark = network.sent.len();
    network.insert(0, "d", "first");
    network.insert(0, "d", "second");
    network.pass(3_000);
    assert_eq!(network.nodes[1].asked, [id("d")], "one answer is asked for, however much waits");
    assert_eq!(network.nodes[1].endpoint.document(&id("d")), None);
    assert_eq!((network.count_since(mark, ACK), network.count_since(mark, CREDIT)), (0, 0));
    let deltas = network.sent[mark..].iter().filter(|sent| sent.kind() == DELTA);
    let waiting: usize = deltas.map(|sent| sent.bytes.len()).sum();
    assert_eq!(network.status(1)[0].waiting_bytes, waiting);
    assert_eq!(network.status(0)[0].in_flight_bytes, waiting);

    assert!(network.load_one(1));
    assert_eq!(network.elements(1, "d"), ["before", "first", "second"]);
    assert_eq!(network.status(1)[0].waiting_bytes, 0);
    network.pass(3_000);
    assert_eq!((network.count_since(mark, ACK), network.count_since(mark, CREDIT)), (0, 0), "not durable yet");
    network.nodes[1].persists = true;
    network.pass(3_000);
    assert_eq!(network.status(0)[0].in_flight_bytes, 0);
    assert_eq!((network.status(0)[0].in_sync, network.duplicates()), (1, 0));
    network.assert_converged("d");
}

#[test]
fn a_peer_that_lags_is_served_one_document_at_a_time_and_each_is_loaded_once() {
    let mut network = Network::with_config(2, at_most(1));
    for document in ["a", "b", "c", "d"] {
        for number in 0..3 {
            use_one(&mut network, 0, document);
            network.insert(0, document, &number.to_string());
            while network.persist_one(0) {}
        }
    }
    let before = network.nodes[0].asked_for;
    network.nodes[0].loads = false;
    network.connect(0, 1);
    for _ in 0..3 {
        network.run();
        assert_eq!(network.nodes[0].asked.len(), 1);
        assert!(network.load_one(0));
    }
    network.run();
    assert_eq!(network.nodes[0].asked_for - before, 3, "the fourth was in memory");
    for document in ["a", "b", "c", "d"] {
        let heads = [0, 1].map(|node| network.nodes[node].endpoint.head(&id(document)).unwrap());
        assert_eq!(heads[0], heads[1]);
        assert!(!heads[0].is_empty());
    }
    assert_eq!(network.nodes[0].endpoint.documents().count(), 1);
    assert_eq!(network.nodes[1].endpoint.documents().count(), 1);
}

#[test]
fn the_limit_holds_and_one_above_it_puts_the_one_to_rest_that_was_not_used_for_the_longest_time() {
    let mut network = Network::with_config(1, at_most(3));
    for document in ["a", "b", "c"] {
        use_one(&mut network, 0, document);
    }
    assert_eq!(resident(&network, 0, "abcd"), "abc", "at the limit");
    use_one(&mut network, 0, "a");
    use_one(&mut network, 0, "d");
    assert_eq!(resident(&network, 0, "abcd"), "acd", "one above");
    use_one(&mut network, 0, "b");
    assert_eq!(resident(&network, 0, "abcd"), "abd");
    assert_eq!(rested(&network, 0), ["b", "c"]);
    let (document, head) = network.nodes[0].rested[1].clone();
    assert_eq!(network.nodes[0].endpoint.head(&document), Some(head));
}

#[test]
fn what_peers_do_with_a_document_is_use_and_what_they_offer_is_not() {
    let mut network = Network::with_config(2, at_most(2));
    let wire = network.connect(0, 1);
    network.insert(0, "a", "x");
    network.insert(0, "b", "x");
    network.run();
    network.cut(wire);
    network.connect(0, 1);
    network.pass(5_000);
    // Offers and digests of both have gone over the new link: the order is still a, b.
    network.insert(0, "c", "x");
    network.run();
    for node in [0, 1] {
        assert_eq!(resident(&network, node, "abc"), "bc");
    }
    network.insert(0, "b", "y");
    network.run();
    network.open(1, "new");
    assert_eq!(resident(&network, 1, "abc"), "b", "what was received last stays");
}

#[test]
fn documents_that_may_not_rest_stay_beyond_the_limit_until_they_may() {
    let mut network = Network::with_config(1, at_most(1));
    network.nodes[0].persists = false;
    for document in ["a", "b", "c"] {
        network.insert(0, document, "x");
        assert!(!network.rest(0, document), "it is not durable");
    }
    assert_eq!(resident(&network, 0, "abc"), "abc");
    network.persist_one(0);
    assert_eq!(resident(&network, 0, "abc"), "bc");
    network.persist_one(0);
    assert_eq!(resident(&network, 0, "abc"), "c");
    network.persist_one(0);
    assert_eq!(resident(&network, 0, "abc"), "c", "the limit is not below one");
    assert!(network.rest(0, "c"));
    assert_eq!(resident(&network, 0, "abc"), "");
}

#[test]
fn a_snapshot_that_waits_to_be_sent_keeps_its_document() {
    let mut network = Network::with_config(2, || {
        let mut config = at_most(1)();
        config.log_bytes_max = 0;
        config.in_flight_bytes_max = 1;
        config
    });
    network.insert(0, "a", "x");
    network.open(1, "a");
    while network.persist_one(0) {}
    let wire = network.connect(0, 1);
    for end in [0, 1, 0] {
        assert!(network.deliver(wire, end));
    }
    // The peer has said where it stands; our offer has taken all its credit.
    assert!(!network.rest(0, "a"));
    use_one(&mut network, 0, "b");
    assert_eq!(resident(&network, 0, "ab"), "ab");
    network.pass(3_000);
    network.assert_converged_between("b", 0, 1);
    assert_eq!((network.count_since(0, SNAPSHOT), resident(&network, 0, "ab")), (2, "b".to_owned()));
    assert_eq!(network.nodes[0].endpoint.head(&id("a")), network.nodes[1].endpoint.head(&id("a")));
}

#[test]
fn transactions_wait_until_their_document_is_loaded() {
    let mut network = Network::new(1);
    network.insert(0, "d", "x");
    network.persist_one(0);
    assert!(network.rest(0, "d"));
    let now = network.now;
    let endpoint = &mut network.nodes[0].endpoint;
    let refused = endpoint.transact(now, &id("d"), |tx| tx.set("s").insert("y"));
    assert_eq!(refused, Err(TransactError::AtRest));
    assert!(!endpoint.wake(now, &id("d")));
    assert!(!endpoint.wake(now, &id("d")));
    network.drain(0);
    assert_eq!(network.nodes[0].asked, [id("d")]);
    assert!(network.load_one(0));
    assert!(network.nodes[0].endpoint.wake(now, &id("d")));
    network.insert(0, "d", "y");
    assert_eq!(network.elements(0, "d"), ["x", "y"]);
}

#[test]
fn a_document_in_which_nobody_has_written_comes_back_without_its_store() {
    let mut network = Network::new(2);
    network.open(0, "d");
    network.connect(0, 1);
    network.run();
    assert!(network.rest(0, "d") && network.rest(1, "d"));
    network.insert(0, "d", "x");
    network.run();
    network.assert_converged("d");
    assert_eq!((network.nodes[0].asked_for, network.nodes[1].asked_for), (0, 0));
}

#[test]
fn a_store_that_holds_something_else_than_was_put_to_rest_is_an_error_and_no_document() {
    let mut network = Network::new(1);
    network.insert(0, "d", "x");
    network.insert(0, "d", "y");
    while network.persist_one(0) {}
    let known = network.nodes[0].endpoint.head(&id("d")).unwrap();
    assert!(network.rest(0, "d"));
    let mut stored = network.nodes[0].store[&id("d")].clone();
    let nothing = Stored { snapshot: Snapshot::empty(), deltas: Vec::new() };
    let now = network.now;
    let endpoint = &mut network.nodes[0].endpoint;
    let error = endpoint.loaded(now, &id("d"), nothing).unwrap_err();
    assert_eq!(error, OpenError::OtherContent { known: Box::new(known.clone()), found: Box::default() });
    stored.deltas.pop();
    assert!(matches!(endpoint.loaded(now, &id("d"), stored), Err(OpenError::OtherContent { .. })));
    assert_eq!((endpoint.document(&id("d")), endpoint.head(&id("d"))), (None, Some(known)));
}

/// Rests and comes back on a link that has been served from the log before: whatever the store has folded in the
/// meantime, nothing is sent twice and nothing is left out.
#[test]
fn a_log_that_was_loaded_again_goes_on_where_it_was() {
    for folds in [false, true] {
        let mut network = Network::new(2);
        network.connect(0, 1);
        for round in 0..4 {
            let mark = network.sent.len();
            network.insert(0, "d", &format!("{round} one"));
            network.insert(0, "d", &format!("{round} two"));
            network.run();
            assert_eq!((network.count_since(mark, SNAPSHOT), network.duplicates()), (0, 0));
            network.assert_converged("d");
            if folds {
                fold(&mut network, 0, "d");
            }
            assert!(network.rest(0, "d"));
            assert!(!network.nodes[0].endpoint.wake(network.now, &id("d")));
            network.drain(0);
            assert!(network.load_one(0));
        }
    }
}

#[test]
fn a_peer_that_was_half_way_through_a_log_that_is_gone_gets_a_snapshot() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.insert(0, "d", "x");
    network.run();
    network.pause(wire, 1);
    network.cut(wire);
    for number in 0..3 {
        network.insert(0, "d", &number.to_string());
    }
    while network.persist_one(0) {}
    fold(&mut network, 0, "d");
    assert!(network.rest(0, "d"));
    let mark = network.sent.len();
    network.connect(0, 1);
    network.run();
    assert_eq!((network.nodes[0].asked_for, network.count_since(mark, SNAPSHOT)), (1, 1));
    network.assert_converged("d");
}

#[test]
fn nothing_is_lost_when_a_replica_ends_with_documents_at_rest_and_frames_that_wait() {
    let mut network = Network::with_config(2, at_most(1));
    network.connect(0, 1);
    for document in ["a", "b", "c"] {
        network.insert(0, document, "x");
        network.run();
    }
    network.nodes[1].loads = false;
    use_one(&mut network, 0, "a");
    network.insert(0, "a", "y");
    network.run();
    assert!(network.status(1)[0].waiting_bytes > 0);
    restart_at_rest(&mut network, 1, at_most(1)());
    network.nodes[1].loads = true;
    network.connect(0, 1);
    network.pass(3_000);
    for document in ["a", "b", "c"] {
        let heads = [0, 1].map(|node| network.nodes[node].endpoint.head(&id(document)).unwrap());
        assert_eq!(heads[0], heads[1]);
    }
    network.nodes[1].endpoint.wake(network.now, &id("a"));
    network.drain(1);
    network.run();
    assert_eq!(network.elements(1, "a"), ["used", "x", "y"]);
}

#[test]
fn what_waited_is_forgotten_with_its_link() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.insert(0, "d", "x");
    network.run();
    assert!(network.rest(1, "d"));
    network.nodes[1].loads = false;
    network.insert(0, "d", "y");
    network.run();
    network.cut(wire);
    assert!(network.load_one(1));
    assert_eq!(network.elements(1, "d"), ["x"]);
    network.connect(0, 1);
    network.run();
    network.assert_converged("d");
}

/// Replica 3 has had two lives, and the peer has only the first write of one of them: only the log can tell that this
/// is not our first. Once the peer has taken the second, nobody can.
#[test]
fn histories_are_compared_with_the_log_before_a_peer_is_served_from_it() {
    let mut network = Network::new(2);
    let lives = [0, 1].map(|_| network.start(3, Config::default()));
    for (node, life, writes) in [(0, lives[0], 2), (1, lives[1], 1)] {
        let wire = network.connect(node, life);
        for number in 0..writes {
            network.insert(life, "d", &format!("{number} of life {node}"));
            network.run();
        }
        network.cut(wire);
    }
    assert!(network.rest(0, "d"));
    network.nodes[0].loads = false;
    network.connect(0, 1);
    network.run();
    let conflict =
        |event: &&Event| matches!(event, Event::IdentityConflict { dot, .. } if *dot == Dot::new(replica(3), 1));
    assert_eq!(network.events().filter(conflict).count(), 0);
    let mark = network.sent.len();
    assert!(network.load_one(0));
    network.run();
    assert_eq!((network.events().filter(conflict).count(), network.count_since(mark, DELTA)), (2, 0));
}

/// A message in parts takes no credit while it is put together; one after the other would fill the memory of
/// an endpoint that waits for its store.
#[test]
fn parts_keep_their_credit_while_more_waits_than_the_window() {
    let window = 8 << 10;
    let mut network = Network::with_config(2, || {
        let mut config = Config::default();
        config.in_flight_bytes_max = window;
        config.chunk_bytes_max = 1 << 10;
        config
    });
    network.connect(0, 1);
    network.insert(0, "d", "x");
    network.run();
    assert!(network.rest(1, "d"));
    network.nodes[1].loads = false;
    for _ in 0..10 {
        network.write(0, "d", |tx| tx.register("r").set("x".repeat(2 * window)).unwrap());
        network.pass(1_500);
    }
    let waiting = network.status(1)[0].waiting_bytes;
    assert!((2 * window..5 * window).contains(&waiting), "{waiting}");
    let held = network.nodes[1].endpoint.footprint();
    assert_eq!((held.loads, held.waiting_bytes, held.all_links.waiting_bytes), (1, waiting, waiting));
    assert!((1..=window).contains(&held.all_links.withheld_bytes), "{held:?}");
    network.nodes[1].loads = true;
    network.pass(5_000);
    network.assert_converged("d");
    let held = network.nodes[1].endpoint.footprint();
    assert_eq!((held.loads, held.waiting_bytes), (0, 0));
    assert_eq!((held.all_links.waiting_bytes, held.all_links.withheld_bytes), (0, 0));
    assert_eq!(network.status(0)[0].in_flight_bytes, 0);
}

#[test]
fn ten_thousand_documents_at_rest_are_offered_and_the_limit_of_documents_counts_them() {
    let mut config = at_most(100)();
    config.documents_max = 10_000;
    let mut endpoint = Endpoint::new(replica(1), 1, config.clone());
    let mut written = Endpoint::new(replica(2), 2, config);
    let now = Network::new(0).now;
    written.transact(now, &id("d"), |tx| tx.set("s").insert("x")).unwrap();
    let head = written.head(&id("d")).unwrap();
    for number in 0..10_000 {
        endpoint.know(now, &id(&number.to_string()), head.clone()).unwrap();
    }
    let full = endpoint.know(now, &id("one more"), head);
    assert_eq!(full, Err(OpenError::TooManyDocuments { max: 10_000 }));
    assert_eq!((endpoint.documents().count(), endpoint.heads().count()), (0, 10_000));
}

/// Found by the simulator (seed 15): a document that was loaded again took its clock from its content, and gave a stamp
/// below one that it had given for a value that is gone.
#[test]
fn a_clock_goes_on_when_its_document_comes_back() {
    let mut network = Network::new(1);
    let stamp = |network: &Network| {
        let document = network.nodes[0].endpoint.document(&id("d")).unwrap();
        document.clock().clone().stamp(0)
    };
    network.write(0, "d", |tx| tx.register("r").set("x").unwrap());
    network.write(0, "d", |tx| assert!(tx.root().remove(Kind::Register, "r").unwrap()));
    while network.persist_one(0) {}
    let before = stamp(&network);
    assert!(network.rest(0, "d"));
    network.now.wall_ms = 0;
    network.nodes[0].endpoint.wake(network.now, &id("d"));
    network.drain(0);
    assert!(network.load_one(0));
    assert_eq!(stamp(&network), before);
}
