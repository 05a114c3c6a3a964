//! Random stories of an id that is used twice: several lives that write and meet in any order.

use std::collections::BTreeSet;

use crdt_sync::{Config, Event};

use crate::aside::{held, set_aside};
use crate::dispute::{assert_all_count, assert_all_hold, copy, meet, write};
use crate::network::{Network, id, replica};

/// Splitmix64.
fn draw(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ bits >> 31) % bound as u64) as usize
}

/// A history of two replicas; then one is copied, both lives go on, and they meet the other replica or each other in
/// any order. Until the copy has met somebody, nobody meets both. In every other story all that is written is the same:
/// one more is counted.
#[test]
fn whoever_meets_first_nothing_of_either_life_is_lost() {
    let mut compared = 0;
    for seed in 0..2_000_u64 {
        let mut state = seed;
        let mut network = Network::new(2);
        // Who gives way is drawn as well.
        network.processes = seed << 8;
        let (mut written, mut number) = (BTreeSet::new(), 0);
        let mut add = |network: &mut Network, node: usize| {
            number += 1;
            let element = number.to_string();
            match seed % 2 {
                0 => network.write(node, "d", |tx| tx.counter("n").add(1).unwrap()),
                _ => write(network, node, &element),
            }
            written.insert(element);
        };
        let wire = network.connect(0, 1);
        for _ in 0..draw(&mut state, 6) {
            let node = draw(&mut state, 2);
            add(&mut network, node);
            if draw(&mut state, 2) == 0 {
                network.run();
            }
        }
        network.run();
        network.cut(wire);
        let twin = copy(&mut network, 1);
        for _ in 0..draw(&mut state, 12) {
            let node = draw(&mut state, 3);
            add(&mut network, node);
            network.run();
            if draw(&mut state, 4) == 0 {
                meet(&mut network, 0, 1);
            }
        }
        let orders = [[(twin, 0), (1, 0), (twin, 1)], [(twin, 1), (twin, 0), (1, 0)], [(1, 0), (twin, 0), (twin, 1)]];
        for (one, other) in orders[draw(&mut state, 3)] {
            meet(&mut network, one, other);
            let node = draw(&mut state, 3);
            add(&mut network, node);
            network.run();
            // Who is restarted under the disputed id does not know any more who may hold what it wrote.
            let goes_by_it = network.nodes[node].endpoint.replica() == replica(2);
            if draw(&mut state, 3) == 0 && !goes_by_it {
                network.restart(node, Config::default());
            }
        }
        for _ in 0..4 {
            for (one, other) in [(0, 1), (1, twin), (0, twin)] {
                meet(&mut network, one, other);
            }
        }
        if network.nodes.iter().all(|node| node.store.contains_key(&id("d"))) {
            match seed % 2 {
                0 => assert_all_count(&network, written.len()),
                _ => assert_all_hold(&network, &written),
            }
            compared += 1;
        }
    }
    assert!(compared > 1_900, "nearly every story has something to compare: {compared}");
}

/// Three or four lives of one id and one who knows them, in any order. Where two of the lives have both told others
/// before anybody noticed, it may be that it cannot be settled; then that is said, and what each has written is
/// somewhere. What was common to two of them counts twice where nobody sees any more that it was: a coalesced delta has
/// no marks within.
#[test]
fn however_many_lives_there_are_nothing_is_lost_and_what_does_not_come_together_is_told() {
    let (mut together, mut twice) = (0, 0);
    for seed in 0..1_000_u64 {
        let mut state = seed;
        let mut network = Network::new(2);
        network.processes = (seed + 1) << 8;
        let mut written = BTreeSet::new();
        let mut add = |network: &mut Network, node: usize| {
            let element = written.len().to_string();
            write(network, node, &element);
            network.run();
            written.insert(element);
        };
        add(&mut network, 1);
        for _ in 0..draw(&mut state, 3) {
            meet(&mut network, 0, 1);
            let node = draw(&mut state, 2);
            add(&mut network, node);
        }
        for _ in 0..2 + draw(&mut state, 2) {
            copy(&mut network, 1);
        }
        let nodes = network.nodes.len();
        for _ in 0..4 + draw(&mut state, 16) {
            let (one, other) = (draw(&mut state, nodes), draw(&mut state, nodes));
            if one == other {
                add(&mut network, one);
            } else {
                meet(&mut network, one, other);
            }
        }
        for round in 0..=nodes {
            for (one, other) in (0..nodes).flat_map(|one| (0..one).map(move |other| (one, other))) {
                network.nodes.iter_mut().for_each(|node| node.events.clear());
                meet(&mut network, one, other);
                let is_told = |event: &Event| matches!(event, Event::Irreconcilable { .. } | Event::Diverged { .. });
                let is_apart = network.snapshot(one, "d") != network.snapshot(other, "d");
                assert!(round < nodes || !is_apart || network.events().any(is_told), "seed {seed}: {one} and {other}");
            }
        }
        let somewhere: BTreeSet<String> = (0..nodes).flat_map(|node| held(&network, node, "d")).collect();
        assert_eq!(somewhere, written, "seed {seed}");
        let first = network.snapshot(0, "d");
        if (1..nodes).all(|node| network.snapshot(node, "d") == first) {
            let count = first.root().counter("n").unwrap_or(0);
            assert!(held(&network, 0, "d") == written && count >= written.len() as i128, "seed {seed}");
            twice += usize::from(count > written.len() as i128);
            together += 1;
        }
    }
    println!("of 1,000 stories {together} come together, in {twice} of them something counts twice");
    assert!(together > 500 && twice < 50);
}

/// All pairs of the four.
const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];

/// A random story of four: two lives of one replica, 1 and 3, and those who know one of them each, 0 and 2.
struct Story {
    network: Network,
    state: u64,
    written: usize,
}

impl Story {
    /// Leads to where nobody has met both lives yet.
    fn begin(seed: u64) -> Self {
        let mut network = Network::new(3);
        network.processes = seed << 8;
        let mut story = Self { network, state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d), written: 0 };
        story.write(1);
        for _ in 0..story.draw(3) {
            meet(&mut story.network, 0, 1);
            let node = story.draw(2);
            story.write(node);
        }
        let twin = copy(&mut story.network, 1);
        for _ in 0..story.draw(12) {
            match story.draw(4) {
                0 => meet(&mut story.network, 0, 1),
                1 => meet(&mut story.network, 2, twin),
                _ => story.write_somewhere(),
            }
        }
        story
    }

    fn draw(&mut self, bound: usize) -> usize {
        draw(&mut self.state, bound)
    }

    fn write(&mut self, node: usize) {
        self.written += 1;
        write(&mut self.network, node, &self.written.to_string());
        self.network.run();
    }

    fn write_somewhere(&mut self) {
        let node = self.draw(4);
        self.write(node);
    }

    /// All meet, in some order at first; whoever holds something else than the last nevertheless sets that aside.
    fn go_on(&mut self, round: usize) -> bool {
        for _ in 0..4 {
            let (one, other) = (self.draw(4), self.draw(4));
            if one != other {
                meet(&mut self.network, one, other);
            }
        }
        self.write_somewhere();
        self.all_meet(2);
        let differs = |node: &usize| held(&self.network, *node, "d") != held(&self.network, 3, "d");
        let gives_way = (0..3).find(differs);
        if let Some(node) = gives_way {
            set_aside(&mut self.network, node, "d", &format!("aside {round}"));
        }
        if self.draw(3) == 0 {
            let third = [0, 2][self.draw(2)];
            self.network.restart(third, Config::default());
        }
        gives_way.is_some()
    }

    fn all_meet(&mut self, times: usize) {
        for (one, other) in PAIRS {
            (0..times).for_each(|_| meet(&mut self.network, one, other));
        }
    }
}

/// They cannot sync, or their logs were too short to show that they must not. In the end all hold the same, and every
/// write is in one of the documents.
#[test]
fn whatever_has_spread_where_all_go_on_and_every_write_is_somewhere() {
    let mut set = 0;
    for seed in 0..500 {
        let mut story = Story::begin(seed);
        set += (0..8).filter(|round| story.go_on(*round)).count();
        (0..3).for_each(|_| story.all_meet(1));
        let Story { network, written, .. } = story;
        let names: BTreeSet<_> = network.nodes.iter().flat_map(|node| node.store.keys().cloned()).collect();
        let somewhere: BTreeSet<String> = names.iter().flat_map(|name| held(&network, 0, name.as_str())).collect();
        assert_eq!(somewhere.len(), written, "seed {seed}");
        for node in 0..4 {
            for name in &names {
                network.assert_converged_between(name.as_str(), 0, node);
            }
        }
    }
    assert!(set > 50, "many stories have something to set aside: {set}");
}
