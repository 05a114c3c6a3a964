//! The laws of the plain types, on replicas that have really diverged.
//!
//! A script of random writes, deliveries and merges drives three replicas apart; then each law is
//! checked on what they have become. The naive model knows nothing of dots or totals: it keeps every
//! event with what its author had seen, and derives the value from those alone.
//!
//! `CRDT_LAW_CASES` sets the number of scripts for each law of each type.

mod maps;
mod subjects;
mod world;

use crdt_core::{CounterMap, GCounter, LwwMap, LwwRegister, MvRegister, OrSet, PnCounter};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::Serialize;

use subjects::Large;
use world::{Replica, Subject, World};

const CASES: u32 = 20_000;

fn merged<S: Subject>(mine: &S, theirs: &S) -> S {
    let mut merged = mine.clone();
    merged.merge(theirs);
    merged
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("values serialise")
}

/// Checks a law on the worlds of many random scripts.
fn check<S: Subject>(law: impl Fn(&World<S>)) {
    let cases = std::env::var("CRDT_LAW_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    check_scripts(cases, 1..18, law);
}

fn check_scripts<S: Subject>(cases: u32, lengths: std::ops::Range<usize>, law: impl Fn(&World<S>)) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let scripts = prop::collection::vec(any::<u32>(), lengths);
    let result = TestRunner::new(config).run(&scripts, |script| {
        law(&World::run(&script));
        Ok(())
    });
    // The error holds the smallest script that breaks the law.
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn merge_is_commutative<S: Subject>(world: &World<S>) {
    let [a, b, c] = &world.values();
    assert_eq!(merged(a, b), merged(b, a));
    assert_eq!(merged(b, c), merged(c, b));
}

fn merge_is_associative<S: Subject>(world: &World<S>) {
    let [a, b, c] = &world.values();
    assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
}

fn merge_is_idempotent<S: Subject>(world: &World<S>) {
    let [a, b, _] = &world.values();
    let both = merged(a, b);
    assert_eq!(merged(a, a), *a);
    assert_eq!(merged(&both, b), both);
    assert_eq!(merged(a, &both), both);
}

fn deltas_in_causal_order_equal_the_merge<S: Subject>(world: &World<S>) {
    for (to, from) in [(0, 1), (1, 2), (2, 0)] {
        let (mut mine, theirs) = (world.replicas[to].value.clone(), &world.replicas[from].value);
        let by_merge = merged(&mine, theirs);
        for index in world.unseen(from, to) {
            assert!(mine.apply(&world.events[index].delta).is_ok());
        }
        assert_eq!(mine, by_merge);
        // Repeated ones change nothing.
        for index in &world.replicas[from].log {
            assert_eq!(mine.apply(&world.events[*index].delta), Ok(false));
        }
        assert_eq!(mine, by_merge);
    }
}

/// Applies all deltas backwards, again and again: one that has to wait changes nothing.
fn deltas_in_any_order_converge_once_gaps_are_filled<S: Subject>(world: &World<S>) {
    let mut value = S::default();
    for _ in 0..=world.events.len() {
        for event in world.events.iter().rev() {
            let before = value.clone();
            if value.apply(&event.delta) != Ok(true) {
                assert_eq!(value, before);
            }
            // Looks at what readers get meanwhile.
            let _ = value.view();
        }
    }
    let [a, b, c] = &world.values();
    assert_eq!(value, merged(&merged(a, b), c));
}

fn the_naive_model_agrees<S: Subject>(world: &World<S>) {
    let [a, b, c] = &world.replicas;
    let all = Replica { value: merged(&merged(&a.value, &b.value), &c.value), log: Vec::new(), seen: u64::MAX };
    for replica in [a, b, c, &all] {
        let seen: Vec<_> = world.events.iter().filter(|event| replica.seen & (1 << event.index) != 0).collect();
        assert_eq!(replica.value.view(), S::model(&seen));
    }
}

fn serialised_values_and_deltas_come_back<S: Subject>(world: &World<S>) {
    for value in world.values() {
        let back: S = serde_json::from_str(&json(&value)).expect("a value comes back");
        assert_eq!(back, value);
        assert_eq!(json(&back), json(&value));
    }
    for event in &world.events {
        let back: S::Delta = serde_json::from_str(&json(&event.delta)).expect("a delta comes back");
        assert_eq!(back, event.delta);
    }
}

fn equal_values_have_equal_bytes<S: Subject>(world: &World<S>) {
    let [a, b, c] = &world.values();
    let mut by_deltas = S::default();
    for event in &world.events {
        assert!(by_deltas.apply(&event.delta).is_ok());
    }
    let forward = merged(&merged(a, b), c);
    for other in [merged(&merged(c, b), a), merged(&merged(b, c), a), by_deltas] {
        assert_eq!(other, forward);
        assert_eq!(json(&other), json(&forward));
    }
    if a != b {
        assert_ne!(json(a), json(b));
    }
}

macro_rules! laws_of {
    ($module:ident, $subject:ty, [$($law:ident),* $(,)?]) => {
        mod $module {
            use super::*;
            $(#[test]
            fn $law() {
                check::<$subject>(super::$law);
            })*
        }
    };
    ($module:ident, $subject:ty) => {
        laws_of!($module, $subject, [
            merge_is_commutative,
            merge_is_associative,
            merge_is_idempotent,
            deltas_in_causal_order_equal_the_merge,
            deltas_in_any_order_converge_once_gaps_are_filled,
            the_naive_model_agrees,
            serialised_values_and_deltas_come_back,
            equal_values_have_equal_bytes,
        ]);
    };
}

laws_of!(g_counter, GCounter);
laws_of!(pn_counter, PnCounter);
laws_of!(lww_register, LwwRegister<u8>);
laws_of!(mv_register, MvRegister<u8>);
laws_of!(or_set, OrSet<u16>);
laws_of!(lww_map, LwwMap<u8, u8>);
laws_of!(counter_map, CounterMap<u8>);

/// Sets of hundreds of elements have a directory of shards, which splits and unites.
#[test]
fn large_or_sets_obey_the_same_laws() {
    check_scripts::<Large>(300, 1..18, |world| {
        merge_is_commutative(world);
        merge_is_associative(world);
        merge_is_idempotent(world);
        deltas_in_causal_order_equal_the_merge(world);
        the_naive_model_agrees(world);
        equal_values_have_equal_bytes(world);
    });
}

/// So have maps of as many keys.
#[test]
fn large_maps_obey_the_same_laws() {
    fn obeys<S: Subject>(world: &World<S>) {
        merge_is_commutative(world);
        merge_is_associative(world);
        merge_is_idempotent(world);
        deltas_in_causal_order_equal_the_merge(world);
        the_naive_model_agrees(world);
        serialised_values_and_deltas_come_back(world);
        equal_values_have_equal_bytes(world);
    }
    check_scripts::<LwwMap<u16, u8>>(100, 1..18, obeys);
    check_scripts::<CounterMap<u16>>(100, 1..18, obeys);
}
