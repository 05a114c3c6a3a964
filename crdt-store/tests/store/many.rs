//! A store that is written in more documents than it remembers between two commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt_core::{Document, ReplicaId};
use crdt_store::{DiskOptions, DiskStore, Store};

use crate::disk::Disk;
use crate::{edit, folded};

const A: ReplicaId = ReplicaId::from_u128(1);
const B: ReplicaId = ReplicaId::from_u128(2);

/// More than are remembered, which are 4,096.
const DOCUMENTS: usize = 4_100;

fn open(disk: &Disk) -> DiskStore {
    let mut options = DiskOptions::default();
    options.replica = Some(A);
    // Small, so that a few deltas are folded.
    options.tail_bytes_max = 256;
    DiskStore::open_on(disk.clone(), options).expect("opens")
}

fn write(store: &mut DiskStore, name: &str, document: &mut Document, value: i64) {
    let _ = store.append(name, &edit(document, value)).expect("continues");
}

/// Writes to so many other documents at once that every one is let go.
fn write_many(store: &mut DiskStore) -> BTreeMap<Arc<str>, Document> {
    let names = (0..DOCUMENTS).map(|number| Arc::from(format!("other {number:04}")));
    let mut documents: BTreeMap<Arc<str>, Document> = names.map(|name| (name, Document::new(A))).collect();
    for (name, document) in &mut documents {
        write(store, name, document, 0);
    }
    store.sync().expect("the disk takes it");
    documents
}

/// The documents were let go together with where the opening was: what was written before it was coalesced with what
/// was written after it and before the next touch.
#[test]
fn the_state_at_an_opening_outlives_that_its_document_is_let_go() {
    let disk = Disk::default();
    let mut document = Document::new(A);
    let mut store = open(&disk);
    for value in 0..3 {
        write(&mut store, "d", &mut document, value);
    }
    store.sync().expect("the disk takes it");
    drop(store);
    let mut store = open(&disk);
    let opened = document.version();
    write(&mut store, "d", &mut document, 0);
    write_many(&mut store);
    for value in 0..50 {
        write(&mut store, "d", &mut document, value);
        store.sync().expect("the disk takes it");
    }
    let stored = store.load("d").expect("reads").expect("is there");
    assert!(stored.deltas.len() < 20, "some were coalesced");
    let mut state = Document::from_snapshot(B, stored.snapshot);
    let mut found = vec![state.version()];
    for delta in &stored.deltas {
        state.apply(delta).expect("in order");
        found.push(state.version());
    }
    assert!(found.contains(&opened), "{opened:?} is none of {found:?}");
    assert!(state == document);
}

#[test]
fn documents_that_are_let_go_keep_their_content_and_heads_and_are_written_on() {
    let disk = Disk::default();
    let mut store = open(&disk);
    let mut documents = write_many(&mut store);
    for (number, (name, document)) in documents.iter_mut().enumerate() {
        match number % 4 {
            0 => store.note_head(name, &document.head()).expect("is staged"),
            1 => write(&mut store, name, document, 1),
            2 => store.replace(name, document.snapshot()).expect("is staged"),
            _ => {}
        }
    }
    store.sync().expect("the disk takes it");
    let check = |store: &DiskStore| {
        assert_eq!(store.documents().expect("reads").len(), DOCUMENTS);
        for (number, (name, head)) in store.heads().expect("reads").into_iter().enumerate() {
            let document = &documents[&name];
            assert_eq!(head, (number % 2 == 0).then(|| document.head()), "{name}");
            assert!(folded(store.load(&name).expect("reads").expect("is there")) == document.snapshot(), "{name}");
        }
    };
    check(&store);
    drop(store);
    let mut store = open(&disk);
    check(&store);
    assert_eq!(store.check().expect("is whole").documents, DOCUMENTS as u64);
}
