//! One link per replica, the same at both ends; everybody else is told why not.

use crate::hostile::Random;
use crate::network::{Network, replica};
use crdt_sync::{CloseReason, Config, Event, Input};

fn peers_up(network: &Network, node: usize) -> usize {
    network.status(node).iter().filter(|status| status.peer.is_some()).count()
}

#[test]
fn a_link_to_ourselves_is_closed_at_both_ends() {
    let mut network = Network::new(1);
    network.connect(0, 0);
    network.run();
    assert!(network.nodes[0].closes.iter().all(|(_, reason)| *reason == CloseReason::SelfLink));
    assert!(!network.nodes[0].closes.is_empty());
    assert!(network.wires.is_empty());
    assert_eq!(network.nodes[0].events, []);
}

#[test]
fn two_replicas_that_dial_each_other_at_once_keep_exactly_one_link() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut network = Network::new(2);
        network.insert(0, "d", "left");
        network.insert(1, "d", "right");
        let wires = [network.lay(0, 1), network.lay(1, 0)];
        let mut to_come_up = vec![(wires[0], 0), (wires[0], 1), (wires[1], 0), (wires[1], 1)];
        while !to_come_up.is_empty() {
            let (wire, end) = to_come_up.remove(random.below(to_come_up.len()));
            if network.wires.contains_key(&wire) {
                network.up(wire, end);
            }
            for _ in 0..random.below(4) {
                let (wire, end) = (wires[random.below(2)], random.below(2));
                if to_come_up.iter().all(|waiting| *waiting != (wire, end)) {
                    network.deliver(wire, end);
                }
            }
        }
        network.run();
        assert_eq!(network.wires.len(), 1, "seed {seed}");
        assert_eq!((peers_up(&network, 0), peers_up(&network, 1)), (1, 1), "seed {seed}");
        network.assert_converged("d");
        assert!(network.events().all(|event| !matches!(event, Event::DuplicateIdentity { .. })), "seed {seed}");
    }
}

#[test]
fn a_link_in_place_never_gives_way_to_one_dialled_later() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut network = Network::new(2);
        let kept = network.connect(from, to);
        network.open(0, "d");
        network.run();
        for _ in 0..20 {
            network.connect(to, from);
            network.pass(1_000);
            assert_eq!(network.wires.keys().copied().collect::<Vec<_>>(), [kept]);
        }
        for node in &network.nodes {
            assert!(node.closes.iter().all(|(_, reason)| *reason == CloseReason::DuplicateLink));
        }
        assert_eq!(network.status(0)[0].in_sync, 1);
    }
}

#[test]
fn a_second_process_with_one_identity_is_refused_and_the_first_stays() {
    let mut network = Network::new(2);
    let copy = network.start(2, Config::default());
    let kept = network.connect(1, 0);
    network.open(0, "d");
    network.run();
    for _ in 0..20 {
        network.connect(copy, 0);
        network.pass(1_000);
        assert_eq!(network.wires.keys().copied().collect::<Vec<_>>(), [kept]);
    }
    let refusals = network.nodes[0].closes.iter().filter(|(_, reason)| *reason == CloseReason::DuplicateIdentity);
    assert_eq!(refusals.count(), 20);
    let events = network.nodes[0].events.iter().filter(|event| matches!(event, Event::DuplicateIdentity { .. }));
    assert_eq!(events.count(), 20);
    network.insert(1, "d", "still here");
    network.run();
    assert_eq!(network.elements(0, "d"), ["still here"]);
}

#[test]
fn another_process_with_our_own_identity_is_refused() {
    let mut network = Network::new(1);
    let copy = network.start(1, Config::default());
    network.connect(copy, 0);
    network.run();
    assert_eq!(network.nodes[0].closes[0].1, CloseReason::DuplicateIdentity);
    assert!(matches!(network.nodes[0].events[..], [Event::DuplicateIdentity { .. }]));
}

#[test]
fn a_peer_whose_old_link_is_dead_gets_in_within_seconds() {
    for restarted in [false, true] {
        let mut network = Network::new(2);
        let old = network.connect(1, 0);
        network.open(0, "d");
        network.pass(2_000);
        // The network swallows everything; node 1 knows, node 0 does not yet.
        network.pause(old, 0);
        network.pause(old, 1);
        let link = network.link(old, 0);
        let now = network.now;
        network.nodes[1].endpoint.handle(now, Input::LinkDown { link });
        network.drain(1);
        if restarted {
            network.nodes[1].endpoint = network.process(replica(2), Config::default());
        }
        network.connect(1, 0);
        network.pass(1_000);
        assert_eq!(peers_up(&network, 1), 0, "refused while the old link may be alive");
        network.pass(4_500);
        assert!(network.nodes[0].closes.iter().any(|(_, reason)| *reason == CloseReason::Dead));
        network.connect(1, 0);
        network.run();
        assert_eq!(peers_up(&network, 1), 1);
    }
}

#[test]
fn a_peer_of_another_protocol_version_is_told_so() {
    let mut network = Network::new(2);
    let wire = network.lay(0, 1);
    network.up(wire, 0);
    let mut hello = network.sent[0].bytes.clone();
    (hello[5], hello[6]) = (2, 9);
    // What follows the versions may be laid out differently there.
    hello.truncate(12);
    network.inject(wire, 0, &hello);
    assert_eq!(network.nodes[0].closes[0].1, CloseReason::UnsupportedVersion { min: 2, max: 9 });
}

#[test]
fn a_first_message_above_four_kibibytes_is_refused_and_one_of_four_passes() {
    for (bytes, passes) in [(4 << 10, true), ((4 << 10) + 1, false)] {
        let mut network = Network::new(2);
        let wire = network.lay(0, 1);
        network.up(wire, 0);
        network.up(wire, 1);
        let mut hello = network.sent[1].bytes.clone();
        // One field with an unknown tag: tag 99, then a length in two bytes.
        let rest = bytes - hello.len() - 3;
        hello.extend([99, (rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8]);
        hello.resize(bytes, 0);
        network.inject(wire, 0, &hello);
        assert_eq!(network.nodes[0].closes.is_empty(), passes, "{:?}", network.nodes[0].closes);
        assert_eq!(peers_up(&network, 0), usize::from(passes));
    }
}

#[test]
fn peers_come_up_and_go_down_once_each() {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.run();
    let link = network.link(wire, 0);
    network.cut(wire);
    assert_eq!(
        network.nodes[0].events,
        [Event::PeerUp { link, replica: replica(2) }, Event::PeerDown { link, replica: replica(2) }]
    );
}
