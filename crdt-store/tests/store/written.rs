//! What a commit writes: as much as was changed, and not what lies beside it.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crdt_core::{Delta, Document};
use crdt_store::{DiskOptions, DiskStore, Store};
use redb::backends::InMemoryBackend;
use redb::{BackendError, StorageBackend};

/// A disk in memory that counts what is written to it.
#[derive(Clone, Debug, Default)]
struct Disk {
    inner: Arc<InMemoryBackend>,
    written: Arc<AtomicU64>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.inner.write(offset, data)
    }

    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}

fn set(document: &mut Document, key: &str, value: &str) -> Arc<Delta> {
    let mut edit = document.transact(1);
    edit.register(key).set(value).expect("short");
    Arc::new(edit.commit().expect("a change was made").delta)
}

/// Layers stood in one table with the tails, and the tail of a document could share a leaf with a layer of the next: every
/// small write to the one wrote the layer of the other anew.
#[test]
fn a_small_write_does_not_write_a_layer_of_another_document_anew() {
    const LAYER_BYTES: usize = 1_000_000;
    let disk = Disk::default();
    let written = Arc::clone(&disk.written);
    let mut store = DiskStore::open_on(disk, DiskOptions::default()).expect("opens");
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
            let before = written.load(Ordering::SeqCst);
            let _ = store.append(name, &set(document, "key", &format!("value {round}"))).expect("continues");
            store.sync().expect("takes it");
            let bytes = written.load(Ordering::SeqCst) - before;
            assert!(bytes < LAYER_BYTES as u64 / 4, "{bytes} bytes for a small write to {name}");
        }
    }
}

/// Each of the small deltas took a page of its own: the page before them was filled by the long one, that behind them by
/// the long one of the next document.
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
    let each = disk.inner.len().expect("is there") / DOCUMENTS as u64;
    assert!(each < 32 * 1024, "{each} bytes for a document of 16 KiB and 4 KiB");
}
