//! One id, two writers, and not settled yet: another id is there, and whose transactions are whose is still to be found
//! out.

use std::collections::BTreeSet;

use crdt_sync::{CloseReason, Config, Event};

use crate::dispute::{assert_all_hold, copy, elements, meet, write};
use crate::network::{DELTA, Network, id, replica};

/// Takes another id, as after having met the other process, which has gone before anything is settled.
fn renew(network: &mut Network, node: usize, id: u128) {
    let now = network.now;
    let former = network.nodes[node].endpoint.replica();
    network.nodes[node].endpoint.renew(now, replica(id));
    network.nodes[node].disputed.push(former);
    network.drain(node);
}

#[test]
fn what_is_not_settled_when_a_process_ends_is_settled_by_the_next() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    write(&mut network, 1, "common");
    network.run();
    network.cut(wire);
    let twin = copy(&mut network, 1);
    write(&mut network, 1, "one");
    write(&mut network, twin, "other");
    network.run();
    meet(&mut network, 1, 0);
    // It takes another id, for it has met the first; and ends before it has met anybody who holds what that wrote.
    renew(&mut network, twin, 77);
    network.restart(twin, Config::default());
    meet(&mut network, twin, 0);
    assert_eq!(network.nodes[twin].settled, [(id("d"), replica(2))]);
    meet(&mut network, 1, 0);
    assert_all_hold(&network, &elements(&["common", "one", "other"]));
    // What is settled stays so: what the first goes on to write is its own, and nothing to be disputed.
    write(&mut network, 1, "one more");
    network.restart(twin, Config::default());
    meet(&mut network, 1, 0);
    let reissued = |network: &Network| network.events().filter(|event| matches!(event, Event::Reissued { .. })).count();
    let before = (reissued(&network), network.nodes[twin].closes.len());
    let wire = network.connect(twin, 0);
    network.run();
    assert_eq!((reissued(&network), network.nodes[twin].closes.len()), before);
    assert!(network.wires.contains_key(&wire));
    assert_all_hold(&network, &elements(&["common", "one", "other", "one more"]));
}

/// Found by reading: who goes by another id already forgot that others were sent what goes by the one before, be it
/// before it was started again or after.
#[test]
fn what_others_were_sent_before_it_was_settled_keeps_its_name() {
    for restarts in [false, true] {
        // 0 is the first life, 1 the second, 2 a third replica that has neither.
        let mut network = Network::new(1);
        write(&mut network, 0, "common");
        network.run();
        let twin = copy(&mut network, 0);
        let third = network.start(50, Config::default());
        let wire = network.connect(0, third);
        network.run();
        network.cut(wire);
        write(&mut network, 0, "one");
        for number in 0..3 {
            write(&mut network, twin, &format!("other {number}"));
        }
        network.run();
        renew(&mut network, twin, 77);
        meet(&mut network, twin, third);
        assert_eq!(network.elements(third, "d").len(), 4, "the third has them under the old name");
        if restarts {
            network.restart(twin, Config::default());
        }
        for (one, other) in [(twin, 0), (twin, 0), (0, third), (twin, third), (0, twin)] {
            meet(&mut network, one, other);
        }
        assert_all_hold(&network, &elements(&["common", "one", "other 0", "other 1", "other 2"]));
    }
}

/// Found by reading: offers were looked at for transactions under an id that we had left, and what came after them was
/// not.
#[test]
fn what_comes_under_an_unsettled_id_is_not_taken_in_over_our_own() {
    let mut network = Network::new(1);
    write(&mut network, 0, "common");
    network.run();
    let twin = copy(&mut network, 0);
    let third = network.start(50, Config::default());
    let wire = network.connect(0, third);
    network.run();
    network.cut(wire);
    write(&mut network, twin, "other");
    network.run();
    renew(&mut network, twin, 77);
    for number in 0..3 {
        write(&mut network, 0, &format!("one {number}"));
    }
    network.run();
    // Their hellos and offers show nothing. Before the third gets what the second life has written, it gets more
    // under that id from the first, in one delta that covers it.
    let late = network.connect(twin, third);
    for end in [0, 1, 0, 1] {
        assert!(network.deliver(late, end));
    }
    network.pause(late, 1);
    let mark = network.sent.len();
    meet(&mut network, 0, third);
    assert!(network.count_since(mark, DELTA) > 0);
    network.resume(late, 1);
    network.run();
    assert!(network.elements(twin, "d").contains(&"other".to_owned()));
    network.cut(late);
    for (one, other) in [(twin, third), (twin, third), (0, third), (twin, 0)] {
        meet(&mut network, one, other);
    }
    assert_all_hold(&network, &elements(&["common", "one 0", "one 1", "one 2", "other"]));
}

/// Found by reading: only the last one that was refused was remembered, and two that took turns were never told.
#[test]
fn many_lives_that_one_server_refuses_are_all_told() {
    let mut network = Network::new(2);
    network.connect(0, 1);
    write(&mut network, 1, "common");
    network.run();
    let twins = [(); 3].map(|()| copy(&mut network, 1));
    write(&mut network, 1, "one");
    for twin in twins {
        write(&mut network, twin, &format!("other {twin}"));
    }
    for _ in 0..6 {
        for twin in twins {
            network.connect(twin, 0);
            network.pass(4_000);
        }
    }
    for twin in twins {
        meet(&mut network, twin, 0);
    }
    let ids: BTreeSet<_> = network.nodes.iter().map(|node| node.endpoint.replica()).collect();
    assert_eq!(ids.len(), 5);
    for twin in twins {
        meet(&mut network, twin, 0);
    }
    let others = twins.map(|twin| format!("other {twin}"));
    let all = ["common", "one"].into_iter().chain(others.iter().map(String::as_str));
    assert_all_hold(&network, &elements(&all.collect::<Vec<_>>()));
}

/// Found by reading: what a second peer knew was dropped while the first was being heard, and not asked for again if
/// that one had not helped.
#[test]
fn who_was_not_heard_is_heard_if_the_first_does_not_remember() {
    let mut network = Network::new(1);
    write(&mut network, 0, "common");
    network.run();
    let twin = copy(&mut network, 0);
    let peers = [(); 2].map(|()| 0);
    let peers: Vec<usize> = peers.iter().zip(50..).map(|(_, id)| network.start(id, Config::default())).collect();
    write(&mut network, 0, "one 0");
    write(&mut network, 0, "one 1");
    network.run();
    for peer in &peers {
        meet(&mut network, 0, *peer);
    }
    write(&mut network, twin, "other");
    network.run();
    network.nodes[peers[0]].endpoint.truncate_logs(0);
    network.nodes[twin].settles = false;
    for peer in &peers {
        network.connect(twin, *peer);
        network.run();
    }
    network.nodes[twin].settles = true;
    network.run();
    network.pass(1_000);
    let closed = |(_, reason): &&_| *reason == CloseReason::Renewed;
    assert!(network.nodes[twin].closes.iter().any(|close| closed(&close)));
    for peer in peers.iter().rev() {
        meet(&mut network, twin, *peer);
    }
    meet(&mut network, twin, 0);
    meet(&mut network, 0, peers[0]);
    meet(&mut network, 0, peers[1]);
    assert_all_hold(&network, &elements(&["common", "one 0", "one 1", "other"]));
}
