//! What every store promises, checked on each: in memory, in a folder, and on a disk that is simulated in memory.
//!
//! A [`Bench`] is a place where one store is opened again and again.

use std::sync::Arc;

use crdt_core::{Delta, Document, ReplicaId, Snapshot};
use crdt_store::{Checkpoint, DiskOptions, DiskStore, MemoryStore, Store, StoreError};

use crate::disk::Disk;
use crate::{edit, folded};

const A: ReplicaId = ReplicaId::from_u128(1);
const B: ReplicaId = ReplicaId::from_u128(2);

/// Where a store lives between two openings.
trait Bench {
    fn open(&self) -> Box<dyn Store>;
}

struct InMemory(MemoryStore);

impl Bench for InMemory {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.0.lease(A).expect("closed"))
    }
}

struct InFolder(tempfile::TempDir);

impl Bench for InFolder {
    fn open(&self) -> Box<dyn Store> {
        Box::new(DiskStore::open(self.0.path().join("store"), options()).expect("opens"))
    }
}

impl Bench for Disk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(DiskStore::open_on(self.clone(), options()).expect("opens"))
    }
}

fn options() -> DiskOptions {
    let mut options = DiskOptions::default();
    options.replica = Some(A);
    // Small, so that a few deltas are folded.
    options.tail_bytes_max = 256;
    options
}

fn on_each(law: impl Fn(&dyn Bench)) {
    law(&InMemory(MemoryStore::new()));
    law(&InFolder(tempfile::tempdir().expect("a temporary folder")));
    law(&Disk::default());
}

fn loaded(store: &dyn Store, name: &str) -> Document {
    Document::from_snapshot(B, folded(store.load(name).expect("reads").expect("is there")))
}

#[test]
fn what_is_staged_is_seen_before_it_is_synced() {
    on_each(|bench| {
        let mut store = bench.open();
        let mut document = Document::new(A);
        for value in 0..3 {
            let _ = store.append("d", &edit(&mut document, value)).expect("continues");
        }
        assert_eq!(store.documents().expect("reads"), [Arc::from("d")]);
        assert!(loaded(&*store, "d") == document);
        store.sync().expect("the disk takes it");
        let _ = store.append("d", &edit(&mut document, 9)).expect("continues");
        assert!(loaded(&*store, "d") == document, "durable and staged together");
        assert!(store.load("e").expect("reads").is_none());
    });
}

#[test]
fn deltas_come_back_in_order_after_every_opening() {
    on_each(|bench| {
        let mut document = Document::new(A);
        for round in 0..12 {
            let mut store = bench.open();
            assert_eq!(store.replica(), A);
            for value in 0..round {
                let _ = store.append("d", &edit(&mut document, value)).expect("continues");
                if value % 3 == 0 {
                    store.sync().expect("the disk takes it");
                }
            }
            store.sync().expect("the disk takes it");
            drop(store);
            if round > 0 {
                assert!(loaded(&*bench.open(), "d") == document);
            }
        }
    });
}

#[test]
fn documents_are_listed_by_name_and_kept_apart() {
    on_each(|bench| {
        let mut store = bench.open();
        let mut documents = ["b", "a", "", "ä"].map(|name| (name, Document::new(A)));
        for (value, (name, document)) in documents.iter_mut().enumerate() {
            let _ = store.append(name, &edit(document, value as i64)).expect("continues");
            store.sync().expect("the disk takes it");
        }
        assert_eq!(store.documents().expect("reads"), ["", "a", "b", "ä"].map(Arc::from));
        drop(store);
        let store = bench.open();
        assert_eq!(store.documents().expect("reads"), ["", "a", "b", "ä"].map(Arc::from));
        documents.iter().for_each(|(name, document)| assert!(loaded(&*store, name) == *document));
    });
}

#[test]
fn a_delta_that_does_not_continue_is_refused_and_changes_nothing() {
    on_each(|bench| {
        let mut document = Document::new(A);
        let [first, second, third] = [1, 2, 3].map(|value| edit(&mut document, value));
        let mut store = bench.open();
        assert!(matches!(store.append("d", &second), Err(StoreError::Gap { replica: A, have: 0 })));
        assert!(store.load("d").expect("reads").is_none(), "a refused delta creates no document");
        let _ = store.append("d", &first).expect("continues");
        assert!(matches!(store.append("d", &first), Err(StoreError::Gap { replica: A, have: 1 })));
        let _ = store.append("d", &second).expect("continues");
        store.sync().expect("the disk takes it");
        drop(store);
        let mut store = bench.open();
        assert!(matches!(store.append("d", &second), Err(StoreError::Gap { replica: A, have: 2 })));
        let _ = store.append("d", &third).expect("continues, as a version is known without a load");
        assert!(loaded(&*store, "d") == document);
    });
}

#[test]
fn a_snapshot_takes_the_place_of_all_before_it() {
    on_each(|bench| {
        let mut document = Document::new(A);
        let mut store = bench.open();
        for value in 0..40 {
            let _ = store.append("d", &edit(&mut document, value)).expect("continues");
        }
        store.replace("d", document.snapshot()).expect("is staged");
        assert!(store.load("d").expect("reads").expect("is there").deltas.is_empty());
        let _ = store.append("d", &edit(&mut document, 41)).expect("continues the snapshot");
        store.sync().expect("the disk takes it");
        store.replace("d", document.snapshot()).expect("is staged");
        store.sync().expect("the disk takes it");
        let _ = store.append("d", &edit(&mut document, 42)).expect("continues the snapshot");
        store.sync().expect("the disk takes it");
        drop(store);
        let store = bench.open();
        assert_eq!(store.load("d").expect("reads").expect("is there").deltas.len(), 1);
        assert!(loaded(&*store, "d") == document);
    });
}

#[test]
fn a_snapshot_may_begin_a_document() {
    on_each(|bench| {
        let mut document = Document::new(A);
        let _ = edit(&mut document, 1);
        let mut store = bench.open();
        store.replace("d", document.snapshot()).expect("is staged");
        store.replace("empty", Snapshot::empty()).expect("is staged");
        store.sync().expect("the disk takes it");
        drop(store);
        let store = bench.open();
        assert!(loaded(&*store, "d") == document);
        assert!(loaded(&*store, "empty").version().is_empty());
    });
}

#[test]
fn a_checkpoint_is_due_once_the_deltas_are_heavy_and_is_over_once_replaced() {
    on_each(|bench| {
        let mut document = Document::new(A);
        let mut store = bench.open();
        let mut checkpoint = Checkpoint::NotDue;
        let mut writes = 0;
        while checkpoint == Checkpoint::NotDue {
            let mut edit = document.transact(1);
            edit.register(&format!("{writes}")).set("x".repeat(10_000)).expect("short");
            let delta = edit.commit().expect("a change was made").delta;
            checkpoint = store.append("d", &Arc::new(delta)).expect("continues");
            store.sync().expect("the disk takes it");
            writes += 1;
        }
        assert!((100..200).contains(&writes), "{writes}");
        store.replace("d", document.snapshot()).expect("is staged");
        assert_eq!(store.append("d", &edit(&mut document, 1)).expect("continues"), Checkpoint::NotDue);
        assert!(loaded(&*store, "d") == document);
    });
}

#[test]
fn merged_deltas_that_overlap_what_is_held_are_kept() {
    on_each(|bench| {
        let mut document = Document::new(A);
        let mut store = bench.open();
        let first = edit(&mut document, 1);
        let mut merged = Delta::clone(&first);
        for value in 2..9 {
            merged.coalesce(&edit(&mut document, value)).expect("continues");
        }
        let _ = store.append("d", &first).expect("continues");
        let _ = store.append("d", &Arc::new(merged)).expect("begins before, brings something new");
        for value in 10..30 {
            let _ = store.append("d", &edit(&mut document, value)).expect("continues");
            store.sync().expect("the disk takes it");
        }
        drop(store);
        assert!(loaded(&*bench.open(), "d") == document);
    });
}

/// Checks that every head that is noted is that of the document, and returns the names of those documents.
fn noted(store: &dyn Store) -> Vec<String> {
    let heads = store.heads().expect("reads");
    let names: Vec<Arc<str>> = heads.iter().map(|(name, _)| Arc::clone(name)).collect();
    assert_eq!(names, store.documents().expect("reads"));
    let noted = heads.into_iter().filter_map(|(name, head)| {
        assert!(head.as_ref().is_none_or(|head| *head == loaded(store, &name).head()), "{name} has a stale head");
        head.map(|_| name.to_string())
    });
    noted.collect()
}

#[test]
fn a_noted_head_stands_until_the_next_write() {
    on_each(|bench| {
        let mut store = bench.open();
        let mut document = Document::new(A);
        let _ = store.append("d", &edit(&mut document, 1)).expect("continues");
        assert!(noted(&*store).is_empty());
        store.note_head("d", &document.head()).expect("is staged");
        assert_eq!(noted(&*store), ["d"], "seen before it is synced");
        store.sync().expect("the disk takes it");
        drop(store);
        let mut store = bench.open();
        assert_eq!(noted(&*store), ["d"]);
        store.note_head("d", &document.head()).expect("says nothing new");

        let _ = store.append("d", &edit(&mut document, 2)).expect("continues");
        assert!(noted(&*store).is_empty(), "gone before the write is synced");
        store.sync().expect("the disk takes it");
        drop(store);
        let mut store = bench.open();
        assert!(noted(&*store).is_empty());

        store.note_head("d", &document.head()).expect("is staged");
        let _ = store.append("d", &edit(&mut document, 3)).expect("continues");
        store.sync().expect("the disk takes it");
        assert!(noted(&*store).is_empty(), "the write came after the note in one sync");
        let _ = store.append("d", &edit(&mut document, 4)).expect("continues");
        store.note_head("d", &document.head()).expect("is staged");
        store.sync().expect("the disk takes it");
        drop(store);
        assert_eq!(noted(&*bench.open()), ["d"], "the note came after the write in one sync");
    });
}

#[test]
fn a_snapshot_brings_its_head_along() {
    on_each(|bench| {
        let mut store = bench.open();
        let mut document = Document::new(A);
        let _ = store.append("d", &edit(&mut document, 1)).expect("continues");
        store.replace("d", document.snapshot()).expect("is staged");
        store.replace("empty", Snapshot::empty()).expect("is staged");
        assert_eq!(noted(&*store), ["d", "empty"]);
        store.sync().expect("the disk takes it");
        drop(store);
        let mut store = bench.open();
        assert_eq!(noted(&*store), ["d", "empty"]);
        let _ = store.append("d", &edit(&mut document, 2)).expect("continues");
        store.sync().expect("the disk takes it");
        drop(store);
        assert_eq!(noted(&*bench.open()), ["empty"]);
    });
}

#[test]
fn a_note_about_a_document_that_is_not_held_makes_none() {
    on_each(|bench| {
        let mut document = Document::new(A);
        let _ = edit(&mut document, 1);
        let mut store = bench.open();
        store.note_head("d", &document.head()).expect("is forgotten");
        store.sync().expect("the disk takes it");
        assert!(store.heads().expect("reads").is_empty());
    });
}

#[test]
fn notes_of_many_replicas_and_documents_are_kept_apart() {
    on_each(|bench| {
        let mut store = bench.open();
        let mut names = Vec::new();
        for number in 0..40 {
            let mut document = Document::new(ReplicaId::from_u128(1));
            for replica in 1..=number % 7 {
                let mut other = Document::from_snapshot(ReplicaId::from_u128(replica + 1), document.snapshot());
                let _ = edit(&mut other, i64::from(number as u8));
                document = other;
            }
            let name = format!("{number:02}");
            store.replace(&name, document.snapshot()).expect("is staged");
            let mut document = Document::from_snapshot(A, document.snapshot());
            let _ = store.append(&name, &edit(&mut document, 1)).expect("continues");
            if number % 2 == 0 {
                store.note_head(&name, &document.head()).expect("is staged");
                names.push(name);
            }
        }
        store.sync().expect("the disk takes it");
        assert_eq!(noted(&*store), names);
        drop(store);
        assert_eq!(noted(&*bench.open()), names);
    });
}

#[test]
fn another_id_is_kept_and_former_ones_are_listed_in_order() {
    on_each(|bench| {
        let former = |store: &dyn Store| (store.replica(), store.former());
        let ids: Vec<ReplicaId> = (2..5).map(ReplicaId::from_u128).collect();
        assert_eq!(former(&*bench.open()), (A, vec![]));
        for (index, id) in ids.iter().enumerate() {
            let mut before = vec![A];
            before.extend(&ids[..index]);
            let mut store = bench.open();
            store.renew(*id).expect("is written");
            assert_eq!(former(&*store), (*id, before.clone()));
            store.renew(*id).expect("is known");
            drop(store);
            assert_eq!(former(&*bench.open()), (*id, before), "whoever still names the first id writes as the last");
        }
    });
}

#[test]
fn ids_that_were_left_are_disputed_and_what_is_settled_of_them_is_kept() {
    let (b, c) = (ReplicaId::from_u128(2), ReplicaId::from_u128(3));
    on_each(|bench| {
        let mut store = bench.open();
        assert_eq!((store.disputed(), store.settled().expect("is read")), (vec![], vec![]));
        let (mut one, mut other) = (Document::new(A), Document::new(A));
        let _ = store.append("one", &edit(&mut one, 1)).expect("continues");
        let _ = store.append("other", &edit(&mut other, 1)).expect("continues");
        store.sync().expect("is written");
        store.renew(b).expect("is written");
        store.renew(c).expect("is written");
        store.note_settled("none", A).expect("forgotten: there is no such document");
        store.note_settled("one", A).expect("is staged");
        store.note_settled("one", A).expect("is staged");
        // A note outlives what is written behind it, also another content.
        store.replace("one", one.snapshot()).expect("is staged");
        let _ = store.append("one", &edit(&mut one, 2)).expect("continues");
        let settled = |store: &dyn Store| -> Vec<(String, ReplicaId)> {
            let settled = store.settled().expect("is read").into_iter();
            settled.map(|(document, replica)| (document.to_string(), replica)).collect()
        };
        let expected = vec![("one".to_owned(), A)];
        assert_eq!((store.disputed(), settled(&*store)), (vec![A, b], expected.clone()));
        store.sync().expect("is written");
        drop(store);
        let store = bench.open();
        assert_eq!((store.disputed(), settled(&*store)), (vec![A, b], expected));
        assert!(loaded(&*store, "one") == one && loaded(&*store, "other") == other);
    });
}

#[test]
fn what_is_staged_outlives_another_id() {
    // Another one than `loaded` replays under.
    let renewed = ReplicaId::from_u128(3);
    on_each(|bench| {
        let mut store = bench.open();
        let (mut document, mut other) = (Document::new(A), Document::new(A));
        let _ = store.append("d", &edit(&mut document, 1)).expect("continues");
        edit(&mut other, 1);
        store.replace("other", other.snapshot()).expect("is staged");
        store.renew(renewed).expect("is written");
        assert!(loaded(&*store, "d") == document && loaded(&*store, "other") == other);
        // Dots of the id before may still come, and those of the new one.
        let _ = store.append("d", &edit(&mut document, 2)).expect("continues");
        let mut document = Document::from_snapshot(renewed, document.snapshot());
        let _ = store.append("d", &edit(&mut document, 3)).expect("continues");
        store.sync().expect("is written");
        drop(store);
        let store = bench.open();
        assert!(loaded(&*store, "d") == document && loaded(&*store, "other") == other);
        assert_eq!((store.replica(), store.former()), (renewed, vec![A]));
    });
}

/// Where two histories of a copied store part is where the copy was opened.
#[test]
fn the_state_at_an_opening_can_be_put_together_again() {
    on_each(|bench| {
        let mut document = Document::new(A);
        for _ in 0..3 {
            let mut store = bench.open();
            let opened = document.version();
            for value in 0..50 {
                let _ = store.append("d", &edit(&mut document, value)).expect("continues");
                store.sync().expect("is written");
            }
            let stored = store.load("d").expect("reads").expect("is there");
            let mut state = Document::from_snapshot(B, stored.snapshot);
            let mut versions = vec![state.version()];
            for delta in &stored.deltas {
                state.apply(delta).expect("in order");
                versions.push(state.version());
            }
            assert!(versions.contains(&opened), "{opened:?} is none of {versions:?}");
            assert!(state == document);
        }
    });
}
