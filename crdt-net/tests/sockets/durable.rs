//! Replicas on real disks: what was acknowledged is there again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crdt_net::{BackupError, DiskOpenError, MemoryStore, OpenError, Options, Renewal, Replica};
use crdt_store::DiskStore;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::{add, converge, listen, open, open_on, sum, until, version, within};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("durable-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the target folder can be written to");
        Self(path)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn open_at(path: &Path) -> Replica {
    within(Replica::open(path)).await.expect("the folder is free")
}

#[tokio::test]
async fn replica_on_disk_is_the_same_when_it_is_opened_again() {
    let folder = Folder::new();
    let path = folder.at("phone.crdt");
    let (server, phone) = (open().await, open_at(&path).await);
    let id = phone.id();
    assert_eq!(phone.identity().map(|identity| (identity.replica, identity.renewed)), Some((id, None)));
    phone.connect(&listen(&server).await).await.unwrap();
    let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
    add(&here, "n", 1).await;
    add(&there, "n", 10).await;
    converge(&[&here, &there]).await;
    within(phone.close()).await;

    // The path may be given in any of these ways.
    let phone = Replica::open(path.to_str().unwrap()).await.unwrap();
    assert_eq!((phone.id(), phone.identity().unwrap().renewed), (id, None));
    assert_eq!(sum(&phone.document("d").await.unwrap(), "n").await, Some(11));
    within(phone.close()).await;
    let phone = Replica::open(Options::at(&path)).await.unwrap();
    let here = phone.document("d").await.unwrap();
    add(&here, "n", 100).await;
    assert_eq!(version(&here).await.counter(id), 2);
}

#[test]
fn write_that_was_answered_survives_a_runtime_that_is_dropped() {
    let folder = Folder::new();
    let path = folder.at("phone.crdt");
    for round in 0..5 {
        let runtime = Runtime::new().unwrap();
        let sum = runtime.block_on(async {
            let replica = within(async {
                loop {
                    // The thread of the round before may still be about to free the store.
                    match Replica::open(path.as_path()).await {
                        Err(OpenError::Disk(DiskOpenError::Held { .. })) => tokio::task::yield_now().await,
                        opened => return opened.unwrap(),
                    }
                }
            })
            .await;
            let document = replica.document("d").await.unwrap();
            let found = sum(&document, "n").await.unwrap_or(0);
            add(&document, "n", 1).await;
            found
        });
        drop(runtime);
        assert_eq!(sum, round);
    }
}

#[tokio::test]
async fn second_replica_in_a_folder_is_told_who_has_it_and_where() {
    let folder = Folder::new();
    let path = folder.at("phone.crdt");
    let first = open_at(&path).await;
    let url = listen(&first).await;
    let Err(OpenError::Disk(DiskOpenError::Held { holder })) = Replica::open(path.as_path()).await else {
        panic!("two writers on one store");
    };
    assert_eq!(holder.note, Some(url));
    assert!(holder.pid.is_none_or(|pid| pid == std::process::id()));
    within(first.close()).await;
    within(open_at(&path).await.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_share_the_syncs_of_a_disk() {
    let folder = Folder::new();
    let replica = open_at(&folder.at("server.crdt")).await;
    let document = replica.document("d").await.unwrap();
    let started = Instant::now();
    for _ in 0..64 {
        add(&document, "n", 1).await;
    }
    let alone = started.elapsed() / 64;
    let before = replica.status().await.unwrap().storage;
    let mut writers = JoinSet::new();
    let started = Instant::now();
    for _ in 0..64 {
        let document = document.clone();
        writers.spawn(async move {
            for _ in 0..20 {
                add(&document, "n", 1).await;
            }
        });
    }
    within(writers.join_all()).await;
    let together = started.elapsed() / (64 * 20);
    let storage = replica.status().await.unwrap().storage;
    let (writes, syncs) = (storage.writes - before.writes, storage.syncs - before.syncs);
    println!("one writer: {alone:?} a write; 64 writers: {together:?} a write, {syncs} syncs for {writes} writes");
    assert_eq!((writes, storage.waiting_bytes), (64 * 20, 0));
    assert!(syncs * 8 <= writes, "{syncs} syncs for {writes} writes");
    assert_eq!(sum(&document, "n").await, Some(64 * 21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_a_live_replica_is_restored_under_a_new_id_and_syncs() {
    let folder = Folder::new();
    let phone = open_at(&folder.at("phone.crdt")).await;
    let here = phone.document("d").await.unwrap();
    add(&here, "n", 1).await;
    let writing = {
        let here = here.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                add(&here, "n", 1).await;
            }
        })
    };
    let backup = folder.at("phone.backup");
    let bytes = within(phone.backup(&backup)).await.unwrap();
    assert_eq!(bytes, fs::metadata(&backup).unwrap().len());
    assert!(matches!(within(phone.backup(&backup)).await, Err(BackupError::Write(crdt_store::BackupError::Exists))));
    within(writing).await.unwrap();

    DiskStore::restore(&backup, folder.at("restored.crdt")).unwrap();
    let restored = open_at(&folder.at("restored.crdt")).await;
    let identity = restored.identity().unwrap();
    assert_ne!(restored.id(), phone.id());
    assert_eq!((&*identity.former, identity.renewed), (&[phone.id()][..], Some(Renewal::Restored)));
    let there = restored.document("d").await.unwrap();
    let kept = sum(&there, "n").await.unwrap();
    assert!((1..=51).contains(&kept), "{kept}");
    add(&there, "n", 1_000).await;
    phone.connect(&listen(&restored).await).await.unwrap();
    converge(&[&here, &there]).await;
    assert_eq!(sum(&here, "n").await, Some(1_051));
}

#[tokio::test]
async fn replica_in_memory_has_no_identity_on_disk_and_no_backup() {
    let folder = Folder::new();
    let replica = open_on(&MemoryStore::new()).await;
    assert!(replica.identity().is_none());
    assert!(matches!(replica.backup(folder.at("backup")).await, Err(BackupError::InMemory)));
    replica.flush().await.unwrap();
}

#[tokio::test]
async fn a_thousand_documents_are_opened_again() {
    let folder = Folder::new();
    let path = folder.at("server.crdt");
    let server = open_at(&path).await;
    let mut writers = JoinSet::new();
    for number in 0..1_000 {
        let document = server.document(&format!("document/{number}")).await.unwrap();
        writers.spawn(async move { add(&document, "n", number).await });
    }
    within(writers.join_all()).await;
    within(server.close()).await;

    let started = Instant::now();
    let server = open_at(&path).await;
    println!("opened 1,000 documents in {:?}", started.elapsed());
    assert_eq!(server.documents().await.unwrap().len(), 1_000);
    for number in [1, 500, 999] {
        let document = server.document(&format!("document/{number}")).await.unwrap();
        assert_eq!(sum(&document, "n").await, Some(i128::from(number)));
    }
}

#[tokio::test]
async fn replicas_on_two_disks_sync_and_both_keep_it() {
    let folder = Folder::new();
    let (one, other) = (folder.at("one.crdt"), folder.at("other.crdt"));
    let (first, second) = (open_at(&one).await, open_at(&other).await);
    second.connect(&listen(&first).await).await.unwrap();
    let (here, there) = (first.document("d").await.unwrap(), second.document("d").await.unwrap());
    for _ in 0..20 {
        add(&here, "n", 1).await;
        add(&there, "n", 1).await;
    }
    converge(&[&here, &there]).await;
    until(&first, |status| status.links.iter().any(|link| link.in_sync == 1)).await;
    within(first.close()).await;
    within(second.close()).await;
    for path in [one, other] {
        let replica = open_at(&path).await;
        assert_eq!(sum(&replica.document("d").await.unwrap(), "n").await, Some(40));
    }
}
