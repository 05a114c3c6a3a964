//! Every limit of a document: at it all is well, one above is refused with the right error and
//! nothing has changed.

use crdt_core::limits::{KEY_BYTES_MAX, NESTING_MAX, REPLICAS_MAX, VALUE_BYTES_MAX};
use crdt_core::{
    ApplyError, COUNTER_MAX, DecodeError, Delta, Document, EditError, MapMut, MergeError, ReplicaId, Snapshot, Value,
};
use crdt_tests::scene::{commit, observer};
use crdt_tests::{WALL_MS, assert_same, assert_unchanged, forge, replica, through_bytes};

/// Runs one edit in a transaction; commits it if it is accepted.
fn edit(
    document: &mut Document,
    act: impl FnOnce(&mut MapMut<'_>) -> Result<(), EditError>,
) -> Result<Option<Delta>, EditError> {
    let mut transaction = document.transact(WALL_MS);
    act(&mut transaction.root())?;
    Ok(transaction.commit().map(|committed| committed.delta))
}

/// Asserts that what was accepted can travel, as a delta and as a state.
fn assert_travels(document: &Document, delta: Option<Delta>) {
    let delta = Delta::decode(&delta.expect("something was written").to_bytes()).expect("our own bytes");
    let mut other = observer(&Snapshot::empty());
    let _ = other.apply(&delta).expect("the first delta");
    assert_same(&other, document);
    let _ = through_bytes(&document.snapshot());
}

fn at_depth(
    map: &mut MapMut<'_>,
    keys: usize,
    act: impl FnOnce(&mut MapMut<'_>) -> Result<(), EditError>,
) -> Result<(), EditError> {
    if keys == 0 { act(map) } else { at_depth(&mut map.map("m"), keys - 1, act) }
}

#[test]
fn an_entry_lies_at_most_64_keys_deep() {
    for write in [
        (|map: &mut MapMut<'_>| map.register("leaf").set(1)) as fn(&mut MapMut<'_>) -> Result<(), EditError>,
        |map| map.counter("leaf").add(1),
        |map| map.set("leaf").insert(1),
        |map| map.set("leaf").create(),
        |map| map.map("leaf").create(),
    ] {
        let mut document = Document::new(replica(1));
        let before = document.snapshot();
        let too_deep = edit(&mut document, |root| at_depth(root, NESTING_MAX, write));
        assert_eq!(too_deep, Err(EditError::TooDeep));
        assert_unchanged(&document, &before);
        let delta = edit(&mut document, |root| at_depth(root, NESTING_MAX - 1, write)).expect("at the limit");
        assert_travels(&document, delta);
    }
}

#[test]
fn a_key_has_at_most_1024_bytes() {
    let mut document = Document::new(replica(1));
    let long = "é".repeat(KEY_BYTES_MAX / 2);
    let longer = format!("{long}x");
    let refused = edit(&mut document, |root| root.register(&longer).set(1));
    assert_eq!(refused, Err(EditError::KeyTooLong { bytes: KEY_BYTES_MAX + 1 }));
    let refused = edit(&mut document, |root| root.map(&longer).counter("c").add(1));
    assert_eq!(refused, Err(EditError::KeyTooLong { bytes: KEY_BYTES_MAX + 1 }));
    assert_unchanged(&document, &Snapshot::empty());
    let delta = edit(&mut document, |root| root.map(&long).register(&long).set(1)).expect("at the limit");
    assert_travels(&document, delta);
}

#[test]
fn a_value_has_at_most_one_mebibyte() {
    let values = |bytes: usize| [Value::from("x".repeat(bytes)), Value::from(vec![0_u8; bytes])];
    for value in values(VALUE_BYTES_MAX + 1) {
        let mut document = Document::new(replica(1));
        let error = Err(EditError::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1 });
        assert_eq!(edit(&mut document, |root| root.register("r").set(value.clone())), error);
        assert_eq!(edit(&mut document, |root| root.set("s").insert(value)), error);
        assert_unchanged(&document, &Snapshot::empty());
    }
    for value in values(VALUE_BYTES_MAX) {
        let mut document = Document::new(replica(1));
        let delta = edit(&mut document, |root| {
            root.register("r").set(value.clone())?;
            root.set("s").insert(value)
        });
        assert_travels(&document, delta.expect("at the limit"));
    }
}

/// The state of a document without content in which `count` replicas from 1,000 on have written once.
fn crowd(count: usize) -> Result<Snapshot, DecodeError> {
    Snapshot::decode(&forge::claim((1_000..).take(count).map(|id| (replica(id), 1))))
}

#[test]
fn at_most_16384_replicas_write_to_a_document() {
    let full = crowd(REPLICAS_MAX).expect("at the limit");
    assert!(crowd(REPLICAS_MAX + 1).is_err());
    let mut stranger = Document::new(replica(1));
    let delta = commit(&mut stranger, WALL_MS, |t| t.register("r").set(1));
    let mut document = observer(&full);
    assert!(matches!(document.apply(&delta), Err(ApplyError::TooManyReplicas(_))));
    assert!(matches!(document.merge(&stranger.snapshot()), Err(MergeError::TooManyReplicas(_))));
    assert_unchanged(&document, &full);
    let before = stranger.snapshot();
    assert!(matches!(stranger.merge(&full), Err(MergeError::TooManyReplicas(_))));
    assert_unchanged(&stranger, &before);
    let mut last = observer(&crowd(REPLICAS_MAX - 1).expect("below the limit"));
    let _ = last.apply(&delta).expect("at the limit");
    assert_eq!(last.version().len(), REPLICAS_MAX);
}

#[test]
fn a_newcomer_to_a_full_document_is_refused_its_first_edit() {
    let full = crowd(REPLICAS_MAX).expect("at the limit");
    let mut newcomer = observer(&full);
    assert!(edit(&mut newcomer, |root| root.register("r").set(1)).is_err());
    assert_unchanged(&newcomer, &full);
    let mut member = Document::from_snapshot(replica(1_000), full);
    assert!(edit(&mut member, |root| root.register("r").set(1)).is_ok());
}

#[test]
fn a_replica_makes_at_most_2_to_the_48_less_one_transactions() {
    let id: ReplicaId = replica(1);
    let state = Snapshot::decode(&forge::claim([(id, COUNTER_MAX - 1)])).expect("below the limit");
    let mut document = Document::from_snapshot(id, state.clone());
    let delta = edit(&mut document, |root| root.counter("c").add(1)).expect("at the limit");
    let mut other = observer(&state);
    let bytes = delta.expect("something was written").to_bytes();
    let _ = other.apply(&Delta::decode(&bytes).expect("our own bytes")).expect("the next delta");
    assert_same(&other, &document);
    let before = through_bytes(&document.snapshot());
    assert_eq!(edit(&mut document, |root| root.counter("c").add(1)), Err(EditError::Exhausted));
    assert_unchanged(&document, &before);
    assert!(Snapshot::decode(&forge::claim([(id, COUNTER_MAX + 1)])).is_err());
}
