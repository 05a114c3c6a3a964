//! What is removed leaves nothing behind: no tombstones, no growth by overwriting.
//!
//! One exception, and its end: a counter that was reset by others stays as a residue until its
//! owner's next transaction, because the owner may have counted on.

use crdt_core::{Document, Kind, Snapshot};
use crdt_tests::scene::{Act, apply, commit};
use crdt_tests::{View, WALL_MS, replica, through_bytes};

fn size(document: &Document) -> usize {
    document.snapshot().encode().len()
}

/// Tells whether the bytes of the state still have the name in them.
fn mentions(document: &Document, name: &str) -> bool {
    document.snapshot().encode().windows(name.len()).any(|window| window == name.as_bytes())
}

#[test]
fn writing_over_and_over_does_not_grow_a_document() {
    let acts: [Act; 5] = [
        |t| t.register("r").set(1),
        |t| t.counter("c").add(1),
        |t| t.set("s").insert("x"),
        |t| t.set("s").create(),
        |t| t.map("m").create(),
    ];
    let mut document = Document::new(replica(1));
    let mut other = Document::new(replica(2));
    let round = |document: &mut Document, other: &mut Document| {
        for act in acts {
            apply(other, &commit(document, WALL_MS, act));
            apply(document, &commit(other, WALL_MS, act));
        }
    };
    round(&mut document, &mut other);
    let once = size(&document);
    for _ in 0..1_000 {
        round(&mut document, &mut other);
    }
    // Varints of counters have grown by a byte or two each.
    assert!(size(&document) < once + 64, "{once} bytes have become {}", size(&document));
}

#[test]
fn a_document_from_which_all_was_removed_is_as_small_as_an_empty_one() {
    let mut document = Document::new(replica(1));
    for _ in 0..100 {
        let _ = commit(&mut document, WALL_MS, |t| {
            for number in 0..20 {
                let name = format!("name{number}");
                t.register(&name).set(number)?;
                t.counter(&name).add(number)?;
                t.set(&name).insert(number)?;
                t.map(&name).map(&name).create()?;
            }
            Ok(())
        });
        let _ = commit(&mut document, WALL_MS, |t| t.root().clear());
    }
    assert_eq!(View::of(document.root()), View::default());
    // Format, one replica, no content, digest.
    assert!(size(&document) <= Snapshot::empty().encode().len() + 26);
    assert_eq!(document.digest(), Snapshot::empty().digest());
}

/// Replica 1 has counted, replica 2 has removed it, replica 1 knows.
fn removed_by_another() -> Document {
    let mut owner = Document::new(replica(1));
    let add = commit(&mut owner, WALL_MS, |t| t.map("outer").counter("inner").add(100));
    let mut other = Document::new(replica(2));
    apply(&mut other, &add);
    let removal = commit(&mut other, WALL_MS, |t| t.root().remove(Kind::Map, "outer").map(drop));
    apply(&mut owner, &removal);
    owner
}

#[test]
fn a_counter_that_others_removed_is_gone_with_its_owners_next_transaction() {
    let mut owner = removed_by_another();
    assert_eq!(View::of(owner.root()), View::default());
    let _ = commit(&mut owner, WALL_MS, |t| t.register("unrelated").set(1));
    assert!(!mentions(&owner, "inner") && !mentions(&owner, "outer"));
}

#[test]
fn a_counter_that_others_removed_is_gone_after_a_restart_too() {
    let saved = through_bytes(&removed_by_another().snapshot());
    let mut owner = Document::from_snapshot(replica(1), saved);
    let _ = commit(&mut owner, WALL_MS, |t| t.register("unrelated").set(1));
    assert!(!mentions(&owner, "inner") && !mentions(&owner, "outer"));
}

#[test]
fn a_counter_that_others_removed_is_gone_after_a_merged_state_too() {
    let mut owner = Document::new(replica(1));
    let _ = commit(&mut owner, WALL_MS, |t| t.map("outer").counter("inner").add(100));
    let mut other = Document::from_snapshot(replica(2), owner.snapshot());
    let _ = commit(&mut other, WALL_MS, |t| t.root().remove(Kind::Map, "outer").map(drop));
    let _ = owner.merge(&other.snapshot()).expect("honest states merge");
    let cleanup = commit(&mut owner, WALL_MS, |t| t.register("unrelated").set(1));
    apply(&mut other, &cleanup);
    assert!(!mentions(&owner, "inner") && !mentions(&other, "inner"));
}
