//! `cart demo`: the promised cart on every replica, in every topology.

use serde_json::{Value, json};

use crate::run::cart;

/// Runs the demo and checks everything that does not depend on the topology.
fn told(arguments: &str, peers: usize) -> Value {
    let report = cart(&format!("demo --json {arguments}"), &[]).ended(0).json();
    let merged = json!({"apple": 1, "banana": 1, "bread": 1, "milk": 4});
    assert_eq!(report["cart"], json!({"name": "Alice", "conflicts": [], "items": merged}));
    assert_eq!(report["converged"], true);
    assert_eq!(report["problems"], json!([]));
    let replicas = report["replicas"].as_array().expect("a list of replicas");
    assert_eq!(replicas.len(), peers);
    for replica in replicas {
        assert_eq!(replica["merged"]["items"], merged);
        assert_eq!(replica["merged"]["name"], report["conflict"]["winner"]);
        assert_eq!(replica["after"], report["cart"]);
        assert_eq!(replica["digest"], replicas[0]["digest"]);
        assert_eq!(replica["version"], json!({"A": 7, "B": 4}));
    }
    report
}

#[test]
fn every_topology_ends_with_the_promised_cart() {
    for topology in ["mesh", "star", "ring", "line"] {
        assert_eq!(told(&format!("--topology {topology}"), 3)["topology"], topology);
    }
}

#[test]
fn relays_carry_the_story_and_two_replicas_are_enough() {
    told("--topology line --peers 6", 6);
    told("--topology ring --peers 5", 5);
    told("--peers 2", 2);
}

#[test]
fn while_apart_each_replica_shows_only_what_it_knows() {
    let report = told("", 3);
    let before: Vec<&Value> = report["replicas"].as_array().expect("a list").iter().map(|r| &r["before"]).collect();
    assert_eq!(before[0], &json!({"name": "Alice", "conflicts": [], "items": {"apple": 1, "milk": 5}}));
    assert_eq!(before[1], &json!({"name": "Bob", "conflicts": [], "items": {"banana": 1, "bread": 3, "milk": 2}}));
    assert_eq!(before[2], &json!({"name": null, "conflicts": [], "items": {"bread": 2, "milk": 3}}));
}

#[test]
fn both_names_stay_readable_until_a_settles_the_conflict() {
    let conflict = &told("", 3)["conflict"];
    let mut values: Vec<&str> =
        conflict["values"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(conflict["winner"], values[0]);
    values.sort_unstable();
    assert_eq!(values, ["Alice", "Bob"]);
    assert_eq!(conflict["resolved"], "Alice");
}

#[test]
fn without_a_command_the_story_is_told_in_words_and_without_colours() {
    let run = cart("", &[]).ended(0);
    for told in [
        "1. Everybody starts from one cart",
        "A  removes the bread",
        "B  puts 1 bread in",
        "3. The links are back",
        "conflict: Alice",
        "all 3 replicas hold the same cart",
    ] {
        assert!(run.stdout.contains(told), "{told:?} is missing in\n{}", run.stdout);
    }
    assert!(!run.stdout.contains('\x1b'), "no colours in a pipe");
    assert_eq!(run.stderr, "");
}
