//! The laws of replication, each on generated histories of diverged replicas.
//!
//! States: merging is commutative, associative and idempotent. Deltas: in any causal order, merged
//! beforehand or not, they give what merging states gives, and what the naive model says. Bytes:
//! one content has one encoding and one digest, whichever way it came about. Errors: a refused
//! delta changes nothing.
//!
//! `CRDT_LAW_CASES` and `CRDT_LAW_SEED` are described in `crdt_tests::law`.

use crdt_core::{ApplyError, Delta, Document, Snapshot};
use crdt_tests::scene::{apply, observer};
use crdt_tests::{
    Choices, EventSet, Network, Script, View, assert_same, assert_unchanged, coalesce_all, law, script, through_bytes,
};
use proptest::prelude::{Strategy, any};

const STEPS_MAX: usize = 25;

fn choices() -> impl Strategy<Value = Choices> {
    any::<u64>().prop_map(Choices::new)
}

/// Merges states in the given order into an empty document.
fn merged<'a>(states: impl IntoIterator<Item = &'a Snapshot>) -> Document {
    let mut document = observer(&Snapshot::empty());
    for state in states {
        document.merge(state).expect("honest states merge");
    }
    document
}

fn played(script: &Script) -> (Network, Vec<Snapshot>) {
    let network = Network::play(script);
    let states = (0..network.peers.len()).map(|peer| network.snapshot(peer)).collect();
    (network, states)
}

#[test]
fn documents_agree_with_the_naive_model_after_every_step() {
    law::holds(&script(STEPS_MAX), |script| {
        let mut network = Network::new(script.replicas);
        for step in &script.steps {
            let touched = network.step(step);
            network.check(touched);
        }
        network.settle();
        network.check(0);
    });
}

#[test]
fn merging_states_is_commutative() {
    law::holds(&script(STEPS_MAX), |script| {
        let (_, states) = played(&script);
        for (left, right) in [(0, 1), (1, 2), (2, 0)] {
            assert_same(&merged([&states[left], &states[right]]), &merged([&states[right], &states[left]]));
        }
    });
}

#[test]
fn merging_states_is_associative() {
    law::holds(&script(STEPS_MAX), |script| {
        let (_, states) = played(&script);
        let mut left = merged([&states[0], &states[1]]);
        left.merge(&states[2]).expect("honest states merge");
        let rest = merged([&states[1], &states[2]]).snapshot();
        let mut right = observer(&states[0]);
        right.merge(&rest).expect("honest states merge");
        assert_same(&left, &right);
    });
}

#[test]
fn merging_a_state_again_or_an_older_one_changes_nothing() {
    law::holds(&script(STEPS_MAX), |script| {
        let mut network = Network::new(script.replicas);
        let mut older = Vec::new();
        for step in &script.steps {
            let touched = network.step(step);
            older.push((touched, network.peers[touched].document.snapshot()));
        }
        let other = network.snapshot(1);
        for (at, state) in older {
            let document = &mut network.peers[at].document;
            let before = document.snapshot();
            assert!(document.merge(&state).expect("its own past merges").is_empty());
            assert_unchanged(document, &before);
        }
        let document = &mut network.peers[0].document;
        let _ = document.merge(&other).expect("honest states merge");
        let before = document.snapshot();
        assert!(document.merge(&other).expect("honest states merge").is_empty());
        assert!(document.merge(&before).expect("its own state merges").is_empty());
        assert_unchanged(document, &before);
    });
}

#[test]
fn deltas_in_any_causal_order_give_the_merged_states_and_the_model() {
    law::holds(&(script(STEPS_MAX), choices()), |(script, mut choices)| {
        let (network, states) = played(&script);
        let mut by_deltas = observer(&Snapshot::empty());
        for event in network.causal_order(&mut choices) {
            apply(&mut by_deltas, &network.deltas[event]);
        }
        assert_same(&by_deltas, &merged(&states));
        assert_eq!(View::of(by_deltas.root()), network.model.view(network.model.all()));
    });
}

#[test]
fn deltas_in_any_order_are_applied_or_refused_without_a_trace() {
    law::holds(&(script(STEPS_MAX), choices()), |(script, mut choices)| {
        let (network, states) = played(&script);
        let mut document = observer(&Snapshot::empty());
        let mut waiting: Vec<&Delta> = network.deltas.iter().map(AsRef::as_ref).collect();
        let mut refused_in_a_row = 0;
        while !waiting.is_empty() {
            let at = if refused_in_a_row > waiting.len() { 0 } else { choices.below(waiting.len()) };
            let before = document.snapshot();
            match document.apply(waiting[at]) {
                Ok(_) => {
                    waiting.remove(at);
                    refused_in_a_row = 0;
                }
                Err(ApplyError::Gap { .. } | ApplyError::Uncovered { .. }) => {
                    assert_unchanged(&document, &before);
                    // Deltas are listed in causal order, so the first is always applicable.
                    assert!(at > 0);
                    refused_in_a_row += 1;
                }
                Err(other) => panic!("refused for a reason that does not exist: {other}"),
            }
        }
        assert_same(&document, &merged(&states));
    });
}

/// A receiver that has `deltas` and, beyond them, whatever was chosen of the rest.
fn receiver(network: &Network, first: &[usize], states: &[Snapshot], choices: &mut Choices) -> Snapshot {
    let mut document = observer(&Snapshot::empty());
    let mut seen = EventSet::default();
    for event in first {
        apply(&mut document, &network.deltas[*event]);
        seen = seen.with(*event);
    }
    for event in network.causal_order(choices) {
        let ready = seen.includes(network.model.events[event].past);
        if ready && !seen.contains(event) && choices.coin() {
            apply(&mut document, &network.deltas[event]);
            seen = seen.with(event);
        }
    }
    if choices.below(4) == 0 {
        let _ = document.merge(&states[choices.below(states.len())]).expect("honest states merge");
    }
    document.snapshot()
}

#[test]
fn coalesced_deltas_do_what_the_single_ones_do_for_any_receiver() {
    law::holds(&(script(STEPS_MAX), choices()), |(script, mut choices)| {
        let (network, states) = played(&script);
        let log = network.causal_order(&mut choices);
        let start = choices.below(log.len());
        let end = start + choices.below(log.len() - start + 1);
        let middle = start + choices.below(end - start + 1);
        let state = receiver(&network, &log[..start], &states, &mut choices);
        let mut one_by_one = observer(&state);
        for event in &log[start..end] {
            apply(&mut one_by_one, &network.deltas[*event]);
        }
        let coalesced = |part: &[usize]| coalesce_all(part.iter().map(|event| &network.deltas[*event]));
        let whole = coalesced(&log[start..end]);
        assert!(whole.len() <= 1, "consecutive deltas coalesce");
        let mut at_once = observer(&state);
        whole.iter().for_each(|delta| apply(&mut at_once, delta));
        assert_same(&at_once, &one_by_one);
        let mut overlapping = observer(&state);
        coalesced(&log[start..middle]).iter().chain(&whole).for_each(|delta| apply(&mut overlapping, delta));
        assert_same(&overlapping, &one_by_one);
    });
}

#[test]
fn coalescing_is_associative_to_the_byte() {
    law::holds(&(script(STEPS_MAX), choices()), |(script, mut choices)| {
        let network = Network::play(&script);
        let log = network.causal_order(&mut choices);
        let middle = choices.below(log.len() + 1);
        let coalesced = |part: &[usize]| coalesce_all(part.iter().map(|event| &network.deltas[*event])).pop();
        let whole = coalesced(&log);
        let parts = match (coalesced(&log[..middle]), coalesced(&log[middle..])) {
            (Some(mut left), Some(right)) => {
                left.coalesce(&right).expect("the parts are consecutive");
                Some(left)
            }
            (left, right) => left.or(right),
        };
        assert_eq!(parts, whole);
        assert_eq!(parts.map(|delta| delta.to_bytes()), whole.map(|delta| delta.to_bytes()));
    });
}

#[test]
fn deltas_and_snapshots_come_back_from_bytes_as_they_were() {
    law::holds(&(script(STEPS_MAX), choices()), |(script, mut choices)| {
        let (network, states) = played(&script);
        let log = network.causal_order(&mut choices);
        let part = &log[choices.below(log.len())..];
        let coalesced = coalesce_all(part.iter().map(|event| &network.deltas[*event]));
        for delta in network.deltas.iter().map(AsRef::as_ref).chain(&coalesced) {
            let bytes = delta.to_bytes();
            let decoded = Delta::decode(&bytes).expect("an encoded delta can be decoded");
            assert_eq!(decoded, *delta);
            assert_eq!(decoded.to_bytes(), bytes);
            assert!(delta.size_hint() <= 2 * bytes.len() && bytes.len() <= 2 * delta.size_hint());
        }
        for state in &states {
            assert_same(&observer(&through_bytes(state)), &observer(state));
        }
    });
}

#[test]
fn all_ways_to_one_version_lead_to_one_state() {
    law::holds(&(script(STEPS_MAX), choices()), |(script, mut choices)| {
        let (mut network, states) = played(&script);
        let mut shuffled = states.clone();
        let mut by_states = observer(&Snapshot::empty());
        while !shuffled.is_empty() {
            let state = shuffled.swap_remove(choices.below(shuffled.len()));
            let _ = by_states.merge(&state).expect("honest states merge");
        }
        network.settle();
        assert_same(&by_states, &network.peers[0].document);
        assert_eq!(by_states.root().to_json(), network.peers[0].document.snapshot().root().to_json());
    });
}
