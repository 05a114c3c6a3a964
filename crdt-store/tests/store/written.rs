//! What a commit writes: as much as was changed, and not what lies beside it.

use std::sync::Arc;

use crdt_core::{Delta, Document};
use crdt_store::{DiskOptions, DiskStore, Store};

use crate::disk::Disk;

fn set(document: &mut Document, key: &str, value: &str) -> Arc<Delta> {
    let mut edit = document.transact(1);
    edit.register(key).set(value).expect("short");
    Arc::new(edit.commit().expect("a change was made").delta)
}

/// Layers stood in one table with the tails, and the tail of a document could share a leaf with a layer of the next:
/// every small write to the one wrote the layer of the other anew.
#[test]
fn a_small_write_does_not_write_a_layer_of_another_document_anew() {
    const LAYER_BYTES: usize = 1_000_000;
    let disk = Disk::default();
    let mut store = DiskStore::open_on(disk.clone(), DiskOptions::default()).expect("opens");
    let names = ["a", "b", "c", "d"];
    let mut documents = names.map(|_| Document::new(store.replica()));
    for round in 0..5 {
        for (name, document) in names.iter().zip(&mut documents) {
            let _ = store.append(name, &set(document, &format!("key {round}"), "value")).expect("continues");
        }
        store.sync().expect("takes it");
    }
    // Longer than a tail may be: these become layers, between the tails of the others.
    for at in [1, 2] {
        let long = set(&mut documents[at], "long", &"x".repeat(LAYER_BYTES));
        let _ = store.append(names[at], &long).expect("continues");
        store.sync().expect("takes it");
    }
    for round in 0..10 {
        for (name, document) in names.iter().zip(&mut documents) {
            let before = disk.written();
            let _ = store.append(name, &set(document, "key", &format!("value {round}"))).expect("continues");
            store.sync().expect("takes it");
            let bytes = disk.written() - before;
            assert!(bytes < LAYER_BYTES as u64 / 4, "{bytes} bytes for a small write to {name}");
        }
    }
}

/// Each of the small deltas took a page of its own: the page before them was filled by the long one, that behind them
/// by the long one of the next document.
#[test]
fn small_writes_behind_a_long_one_share_pages() {
    const DOCUMENTS: usize = 50;
    let disk = Disk::default();
    let mut store = DiskStore::open_on(disk.clone(), DiskOptions::default()).expect("opens");
    let mut documents: Vec<_> = (0..DOCUMENTS).map(|_| Document::new(store.replica())).collect();
    for round in 0..40 {
        for (number, document) in documents.iter_mut().enumerate() {
            let value = "x".repeat(if round == 0 { 10_000 } else { 10 });
            let delta = set(document, &format!("key {round}"), &value);
            let _ = store.append(&number.to_string(), &delta).expect("continues");
        }
        store.sync().expect("takes it");
    }
    while store.compact().expect("nobody reads") {}
    let each = disk.bytes().len() / DOCUMENTS;
    assert!(each < 32 * 1024, "{each} bytes for a document of 16 KiB and 4 KiB");
}
