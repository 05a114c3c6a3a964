//! More documents than are kept in memory, on real disks.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crdt_core::Document;
use crdt_net::{
    Closed, DiskOptions, DocumentHandle, Options, Replica, Storage, StorageStatus, StoreError, TransactError,
    WatchEvent,
};
use crdt_store::{DiskStore, Store};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::durable::Folder;
use crate::support::{add, converge, listen, open_with, sum, until, version, within};

const RESIDENTS: usize = 4;
const DOCUMENTS: usize = 40;

async fn open_at(path: &Path) -> Replica {
    let options = |options: &mut Options| {
        options.storage = Options::at(path).storage;
        options.sync.resident_documents_max = RESIDENTS;
    };
    within(open_with(options)).await
}

fn name(number: usize) -> String {
    format!("document/{number:05}")
}

async fn documents(replica: &Replica) -> Vec<DocumentHandle> {
    let mut documents = Vec::new();
    for number in 0..DOCUMENTS {
        documents.push(replica.document(&name(number)).await.expect("open"));
    }
    documents
}

/// Returns how many documents are in memory, and the figures of the store.
async fn figures(replica: &Replica) -> (usize, StorageStatus) {
    let status = replica.status().await.expect("open");
    assert_eq!(status.documents, DOCUMENTS);
    (status.resident_documents, status.storage)
}

/// Writes to every document at once; returns when all of it is durable.
async fn write_all(documents: &[DocumentHandle]) {
    let mut writers = JoinSet::new();
    for document in documents {
        let document = document.clone();
        writers.spawn(async move { add(&document, "n", 1).await });
    }
    within(writers.join_all()).await;
}

async fn all_in_sync(replica: &Replica) {
    until(replica, |status| status.links.iter().any(|link| (link.documents, link.in_sync) == (DOCUMENTS, DOCUMENTS)))
        .await;
}

#[tokio::test]
async fn more_documents_than_fit_are_written_read_and_synced_both_ways() {
    let folder = Folder::new();
    let (one, other) = (open_at(&folder.at("one")).await, open_at(&folder.at("other")).await);
    let here = documents(&one).await;
    write_all(&here).await;
    write_all(&here).await;
    for document in &here {
        assert_eq!(sum(document, "n").await, Some(2));
    }
    until(&one, |status| status.resident_documents <= RESIDENTS).await;
    assert!(figures(&one).await.1.loads >= (DOCUMENTS - RESIDENTS) as u64);

    other.connect(&listen(&one).await).await.unwrap();
    all_in_sync(&other).await;
    let there = documents(&other).await;
    write_all(&there).await;
    write_all(&here).await;
    for (here, there) in here.iter().zip(&there) {
        converge(&[here, there]).await;
        assert_eq!(sum(here, "n").await, Some(4));
    }
    for replica in [&one, &other] {
        all_in_sync(replica).await;
        until(replica, |status| status.resident_documents <= RESIDENTS).await;
    }
}

#[tokio::test]
async fn nothing_is_loaded_after_a_close_until_it_is_used() {
    let folder = Folder::new();
    let (path, peer) = (folder.at("one"), open_at(&folder.at("peer")).await);
    let replica = open_at(&path).await;
    write_all(&documents(&replica).await).await;
    peer.connect(&listen(&replica).await).await.unwrap();
    all_in_sync(&peer).await;
    let versions = replica.versions().await.unwrap();
    within(replica.close()).await;

    let replica = open_at(&path).await;
    let here = documents(&replica).await;
    assert_eq!(replica.documents().await.unwrap().len(), DOCUMENTS);
    assert_eq!(replica.versions().await.unwrap(), versions);
    within(here[7].wait_for(&versions[here[7].id()])).await.unwrap();
    let mut watch = here[7].watch().await.unwrap();
    peer.connect(&listen(&replica).await).await.unwrap();
    all_in_sync(&replica).await;
    let (residents, storage) = figures(&replica).await;
    assert_eq!((residents, storage.loads), (0, 0), "known, synced and watched by their heads alone");

    assert_eq!(sum(&here[3], "n").await, Some(1));
    let (residents, storage) = figures(&replica).await;
    assert_eq!((residents, storage.loads), (1, 1));
    add(&peer.document(&name(7)).await.unwrap(), "n", 10).await;
    assert!(matches!(within(watch.next()).await, Some(WatchEvent::Changed { .. })));
    assert_eq!(sum(&here[7], "n").await, Some(11));
    assert_eq!(figures(&replica).await.1.loads, 2);
}

#[test]
fn only_what_was_in_memory_is_loaded_after_a_crash() {
    let folder = Folder::new();
    let path = folder.at("one");
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let replica = open_at(&path).await;
        let documents = documents(&replica).await;
        write_all(&documents).await;
        until(&replica, |status| status.resident_documents <= RESIDENTS).await;
        // Brings the notes of those that rest to the disk.
        add(&documents[0], "n", 1).await;
        // Neither closed nor dropped in order.
        std::mem::forget((replica, documents));
    });
    drop(runtime);

    Runtime::new().unwrap().block_on(async {
        let replica = within(async {
            loop {
                let mut options = Options::at(&path);
                options.sync.resident_documents_max = RESIDENTS;
                // The thread of the one before may still be about to free the store.
                if let Ok(replica) = Replica::open(options).await {
                    return replica;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (residents, storage) = figures(&replica).await;
        println!("loaded {} of {DOCUMENTS} documents", storage.loads);
        assert!((1..=2 * RESIDENTS as u64).contains(&storage.loads), "{storage:?}");
        assert!(residents <= RESIDENTS);
        for (number, document) in documents(&replica).await.iter().enumerate() {
            assert_eq!(sum(document, "n").await, Some(if number == 0 { 2 } else { 1 }));
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_the_same_time_share_one_load() {
    let folder = Folder::new();
    let path = folder.at("one");
    let replica = open_at(&path).await;
    write_all(&documents(&replica).await).await;
    within(replica.close()).await;
    let replica = open_at(&path).await;
    let document = replica.document(&name(0)).await.unwrap();
    let mut callers = JoinSet::new();
    for number in 0..64 {
        let document = document.clone();
        callers.spawn(async move {
            if number % 2 == 0 {
                add(&document, "n", 1).await;
            } else {
                assert!(sum(&document, "n").await.is_some_and(|sum| (1..=33).contains(&sum)));
            }
        });
    }
    within(callers.join_all()).await;
    assert_eq!(sum(&document, "n").await, Some(33));
    assert_eq!(version(&document).await.total(), 33);
    assert_eq!(figures(&replica).await.1.loads, 1);
}

#[tokio::test]
async fn damaged_document_at_rest_closes_the_replica_and_is_never_an_empty_one() {
    let folder = Folder::new();
    let path = folder.at("one");
    let replica = open_at(&path).await;
    let document = replica.document("d").await.unwrap();
    let text = "these very bytes";
    let write = document.transact(move |edit| edit.register("r").set(text));
    within(write).await.map_err(|error: TransactError<crdt_core::EditError>| error).unwrap();
    within(replica.close()).await;

    let file = path.join("store.redb");
    let mut bytes = fs::read(&file).unwrap();
    let places: Vec<_> = bytes.windows(text.len()).enumerate().filter(|(_, found)| *found == text.as_bytes()).collect();
    let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| bytes[place] ^= 1);
    fs::write(&file, bytes).unwrap();

    let mut disk = DiskOptions::default();
    disk.check_bytes_max = 0;
    let mut options = Options::at(&path);
    if let Storage::Disk { options, .. } = &mut options.storage {
        *options = disk;
    }
    let replica = within(Replica::open(options)).await.expect("the head is whole");
    let document = replica.document("d").await.unwrap();
    assert_eq!(replica.versions().await.unwrap()[document.id()].total(), 1);
    assert_eq!(within(document.snapshot()).await, Err(Closed));
    let reason = within(replica.closed()).await;
    assert!(matches!(reason, Some(StoreError::Damaged(_))), "{reason:?}");
}

#[tokio::test]
async fn ten_thousand_documents_are_known_at_once_and_one_is_loaded() {
    let folder = Folder::new();
    let path = folder.at("server");
    let mut store = DiskStore::open(&path, DiskOptions::default()).unwrap();
    for number in 0..10_000 {
        let mut document = Document::new(store.replica());
        let mut edit = document.transact(0);
        edit.register("text").set("x".repeat(1_000)).unwrap();
        edit.counter("n").add(number as i64).unwrap();
        let delta = edit.commit().unwrap().delta;
        let _ = store.append(&name(number), &delta.into()).unwrap();
        store.note_head(&name(number), &document.head()).unwrap();
    }
    store.sync().unwrap();
    drop(store);

    let started = Instant::now();
    let replica = within(Replica::open(path.as_path())).await.unwrap();
    let opened = started.elapsed();
    let status = replica.status().await.unwrap();
    assert_eq!((status.documents, status.resident_documents, status.storage.loads), (10_000, 0, 0));
    let document = replica.document(&name(7_777)).await.unwrap();
    let started = Instant::now();
    assert_eq!(sum(&document, "n").await, Some(7_777));
    println!("opened 10,000 documents in {opened:?}, loaded one in {:?}", started.elapsed());
    let status = replica.status().await.unwrap();
    assert_eq!((status.resident_documents, status.storage.loads), (1, 1));
}
