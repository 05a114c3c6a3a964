//! A store of an earlier build of the same format: this one opens it under its id, reads the same, and writes on.
//!
//! What if the bytes of something change and nobody raises the format? A reader that no longer understands them fails
//! here; so does one that does, since what this build writes is compared with what the earlier one wrote.

mod fixture;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crdt_core::{Document, ReplicaId, Snapshot};
use crdt_store::{DiskOptions, DiskStore, Renewal, Store};
use serde_json::Value as Json;

use self::fixture::{Rows, describe, fixture, open_vouched};
use self::story::{CART, FIRST, THIRD};
use crate::{edit, folded};

const ADVICE: &str = "the bytes of a store have changed: see \"Changing the format\" in docs/storage.md";

fn open(folder: &Path) -> DiskStore {
    DiskStore::open(folder, DiskOptions::default()).expect("opens")
}

fn read(store: &DiskStore, name: &str) -> Snapshot {
    folded(store.load(name).expect("reads").expect("is there"))
}

/// Compares piece by piece, so that a difference can be read.
fn assert_as_expected(found: &Json, expected: &Json) {
    let names = |json: &Json| -> BTreeSet<String> {
        json["documents"].as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(names(found), names(expected));
    for name in names(found) {
        let (found, expected) = (&found["documents"][&name], &expected["documents"][&name]);
        for (part, expected) in expected.as_object().expect("an object") {
            assert_eq!(&found[part], expected, "{part} of {name:?}: {ADVICE}");
        }
    }
    assert_eq!(found, expected, "{ADVICE}");
}

#[test]
fn a_store_of_an_earlier_build_is_opened_under_its_id_with_its_documents() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let folder = room.path().join("a");
    fixture().written_in(&folder);
    let found = DiskStore::verify(&folder).expect("is whole");
    assert_eq!(found.documents, 6);
    let store = open(&folder);
    let identity = store.identity();
    assert_eq!((identity.replica, identity.renewed, identity.vouched), (THIRD, None, None), "kept by proof");
    assert_eq!(identity.former.first(), Some(&FIRST));
    drop(store);
    assert_as_expected(&describe(&folder), &fixture().expected);
}

#[test]
fn a_store_of_an_earlier_build_is_written_on_and_read_again() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let folder = room.path().join("a");
    fixture().written_in(&folder);
    let mut store = story::open(&folder);
    let mut documents: BTreeMap<Arc<str>, Document> = BTreeMap::new();
    for name in store.documents().expect("reads") {
        let document = Document::from_snapshot(store.replica(), read(&store, &name));
        documents.insert(name, document);
    }
    documents.insert("new".into(), Document::new(store.replica()));
    for round in 0..40 {
        for (name, document) in &mut documents {
            let _ = store.append(name, &edit(document, round)).expect("continues");
        }
        store.sync().expect("the disk takes it");
    }
    store.replace(CART, documents[CART].snapshot()).expect("is staged");
    store.sync().expect("the disk takes it");
    drop(store);

    DiskStore::verify(&folder).expect("is whole");
    let store = open(&folder);
    assert_eq!((store.replica(), store.identity().renewed), (THIRD, None));
    for (name, document) in &documents {
        assert!(read(&store, name) == document.snapshot(), "{name}");
    }
}

/// The witness of the earlier build is read: what it says of the place is a doubt, and all that speaks against the id.
#[test]
fn a_store_of_an_earlier_build_that_was_carried_elsewhere_keeps_its_id_if_vouched_for() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let is_elsewhere = |doubt| matches!(doubt, Some(Renewal::OtherFile | Renewal::OtherMachine));
    fixture().carried_to(&room.path().join("vouched"));
    let store = open_vouched(&room.path().join("vouched"));
    assert_eq!(store.replica(), THIRD);
    assert!(is_elsewhere(store.identity().vouched), "{:?}", store.identity());

    fixture().carried_to(&room.path().join("proven"));
    let store = open(&room.path().join("proven"));
    assert_eq!(store.identity().former.last(), Some(&THIRD));
    assert!(is_elsewhere(store.identity().renewed), "{:?}", store.identity());
}

/// The row of the identity without what is drawn: the seal, the id that the copy took, and the checksum over both.
fn without_draws(mut rows: Rows) -> Rows {
    let row = rows.get_mut(&("meta", b"identity".to_vec())).expect("is there");
    // Checksum, id, seal, a byte, a count, the first former id; then the one that was drawn, here and among the
    // disputed.
    let (seal, drawn): (_, [u8; 16]) = (24..40, row[58..74].try_into().expect("sixteen bytes"));
    row[..8].fill(0);
    row[seal].fill(0);
    while let Some(at) = row.windows(16).position(|bytes| *bytes == drawn) {
        row[at..at + 16].fill(0);
    }
    rows
}

#[test]
fn this_build_writes_the_bytes_that_the_earlier_one_wrote() {
    let (ours, theirs) = (without_draws(fixture().rows_of_this_build.clone()), without_draws(fixture().rows()));
    let keys = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours), keys(&theirs), "{ADVICE}");
    for (place, row) in &theirs {
        assert_eq!(&ours[place], row, "{place:?}: {ADVICE}");
    }
}

/// What the fixture must have, or the tests above say less than they seem to.
#[test]
fn the_fixture_has_a_row_of_every_kind() {
    let expected = &fixture().expected;
    for (table, least) in [("meta", 3), ("documents", 6), ("versions", 3), ("chunks", 3), ("deltas", 8), ("layers", 4)]
    {
        assert!(expected["rows"][table].as_u64() >= Some(least), "{table}: {}", expected["rows"]);
    }
    let ids: Vec<ReplicaId> = serde_json::from_value(expected["former"].clone()).expect("ids");
    let disputed: Vec<ReplicaId> = serde_json::from_value(expected["disputed"].clone()).expect("ids");
    assert_eq!((ids.len(), &disputed[..]), (3, &ids[1..]));
    assert_eq!(expected["settled"].as_array().map(Vec::len), Some(1));
    let cart = &expected["documents"][CART];
    assert!(cart["head_is_noted"] == true && !cart["conflicts"].as_object().expect("an object").is_empty(), "{cart}");
    let noted = |json: &Json| json["head_is_noted"] == true;
    assert!(!expected["documents"].as_object().expect("an object").values().all(noted), "not every head is noted");
}
