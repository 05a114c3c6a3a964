//! Bugs that the laws have found, each as a named test with its story.

use std::sync::Arc;

use crdt_core::{ApplyError, Delta, DeltaLog, Document, Dot, EditError, ImportError, Snapshot};
use crdt_tests::scene::{apply, commit, observer};
use crdt_tests::{WALL_MS, assert_same, coalesce_all, replica};

/// A log may hold a coalesced delta that begins before what the log had already. Coalescing it with
/// a delta between the two added an element again that this delta had removed, and its bytes could
/// not be decoded.
#[test]
fn a_latecomer_is_not_coalesced_with_the_removal_of_what_it_adds() {
    let mut two = Document::new(replica(2));
    let add = commit(&mut two, WALL_MS, |t| t.set("s").insert("x"));
    let mut one = Document::new(replica(1));
    apply(&mut one, &add);
    let remove = commit(&mut one, WALL_MS, |t| t.set("s").remove("x").map(drop));
    let mut latecomer = add.clone();
    latecomer.coalesce(&commit(&mut two, WALL_MS, |t| t.set("s").insert("y"))).expect("consecutive");

    let mut log = DeltaLog::default();
    let mut holder = observer(&Snapshot::empty());
    for delta in [&add, &remove, &latecomer] {
        apply(&mut holder, delta);
        log.push(Arc::new(delta.clone())).expect("just applied");
    }
    let mut reader = observer(&Snapshot::empty());
    apply(&mut reader, &add);
    let version = reader.version();
    let lacking: Vec<&Arc<Delta>> = log.since(&version).expect("complete").map(|(_, delta)| delta).collect();
    for delta in coalesce_all(lacking.into_iter()) {
        apply(&mut reader, &Delta::decode(&delta.to_bytes()).expect("our own bytes"));
    }
    assert_same(&reader, &holder);
}

/// A coalesced delta may take out a dot that lies beyond its own range of that replica: who made its
/// later part had got more by another path. The decoder took that for a forgery.
#[test]
fn a_coalesced_delta_may_supersede_what_lies_beyond_its_range() {
    let mut one = Document::new(replica(1));
    let first = commit(&mut one, WALL_MS, |t| t.register("r").set(1));
    let second = commit(&mut one, WALL_MS, |t| t.set("s").insert("x"));
    let mut two = Document::new(replica(2));
    apply(&mut two, &first);
    let unrelated = commit(&mut two, WALL_MS, |t| t.register("q").set(1));

    let mut three = Document::new(replica(3));
    for delta in [&first, &second] {
        apply(&mut three, delta);
    }
    let mut relayed = first.clone();
    relayed.coalesce(&unrelated).expect("consecutive");
    apply(&mut three, &relayed);
    relayed.coalesce(&commit(&mut three, WALL_MS, |t| t.set("s").remove("x").map(drop))).expect("consecutive");

    let relayed = Delta::decode(&relayed.to_bytes()).expect("our own bytes");
    let mut reader = observer(&Snapshot::empty());
    assert_eq!(reader.apply(&relayed), Err(ApplyError::Uncovered { dot: Dot::new(replica(1), 2) }));
    apply(&mut reader, &first);
    apply(&mut reader, &second);
    apply(&mut reader, &relayed);
    assert_same(&reader, &three);
}

/// As above, with a latecomer that continues the very range beyond which something is taken out:
/// its element came back.
#[test]
fn a_latecomer_that_continues_a_range_is_not_coalesced_with_what_lies_beyond_it() {
    let mut one = Document::new(replica(1));
    let first = commit(&mut one, WALL_MS, |t| t.register("r").set(1));
    let second = commit(&mut one, WALL_MS, |t| t.set("s").insert("x"));
    let mut latecomer = second.clone();
    latecomer.coalesce(&commit(&mut one, WALL_MS, |t| t.register("r").set(2))).expect("consecutive");
    let mut two = Document::new(replica(2));
    apply(&mut two, &first);
    let mut relayed = first.clone();
    relayed.coalesce(&commit(&mut two, WALL_MS, |t| t.register("q").set(1))).expect("consecutive");
    let mut three = Document::new(replica(3));
    for delta in [&first, &second, &relayed] {
        apply(&mut three, delta);
    }
    relayed.coalesce(&commit(&mut three, WALL_MS, |t| t.set("s").remove("x").map(drop))).expect("consecutive");
    apply(&mut three, &latecomer);

    let mut reader = observer(&Snapshot::empty());
    apply(&mut reader, &first);
    apply(&mut reader, &second);
    let log = [relayed.into(), latecomer.into()];
    coalesce_all(log.iter()).iter().for_each(|delta| apply(&mut reader, delta));
    assert_same(&reader, &three);
    let merged = coalesce_all(log.iter());
    let mut fresh = observer(&Snapshot::empty());
    let _ = merged.iter().filter(|delta| fresh.apply(delta).is_ok()).count();
    assert!(fresh.root().set("s").is_none(), "whoever lacks the removed element must not get it");
}

/// JSON was descended to its last level before the limit was looked at, so a value some thousand
/// levels deep took the stack with it. (No text is that deep: readers of JSON refuse it first.)
#[test]
fn json_far_too_deep_is_refused_before_it_takes_the_stack() {
    let mut json = serde_json::Value::Null;
    for _ in 0..20_000 {
        json = serde_json::Value::from_iter([("a", json)]);
    }
    let mut document = Document::new(replica(1));
    let refused = document.transact(WALL_MS).root().put_json(&json);
    assert_eq!(refused, Err(ImportError::Edit(EditError::TooDeep)));
    // Nor may dropping the value.
    while let Some(inner) = json.get_mut("a") {
        json = inner.take();
    }
}
