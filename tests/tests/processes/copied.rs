//! Copies: of a closed store, and of a live one restored over and over.

use std::collections::BTreeSet;
use std::path::Path;

use crdt_net::{DiskOptions, Options, Replica, Storage};
use crdt_store::DiskStore;
use crdt_tests::process::{DOCUMENT, ELEMENTS, Process};
use tokio::task::JoinSet;

use crate::support::{Scratch, copy, look, start};

const WRITES: u64 = 10_000;

#[test]
fn three_copies_of_a_store_and_the_store_itself_write_on_and_lose_nothing() {
    let scratch = Scratch::new("copied");
    let folders: Vec<_> = (0..4).map(|number| scratch.join(&number.to_string())).collect();
    let mut first = start(&folders[0], &[]);
    first.line().expect("it opens");
    assert_eq!(first.ask(&format!("write {WRITES} common")), format!("written {WRITES}"));
    first.ask("quit");
    drop(first);
    folders[1..].iter().for_each(|folder| copy(&folders[0], folder));

    let mut replicas: Vec<Process> = folders.iter().map(|folder| start(folder, &[])).collect();
    let opened: Vec<String> = replicas.iter().map(|replica| replica.line().expect("it opens")).collect();
    assert!(opened[0].ends_with(" kept"), "the original stays who it is: {opened:?}");
    assert!(opened[1..].iter().all(|line| line.ends_with(" renewed")), "copies take new ids: {opened:?}");
    let ids: BTreeSet<&str> = opened.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(ids.len(), 4);

    for (number, replica) in replicas.iter_mut().enumerate() {
        replica.tell(&format!("write {WRITES} {number}"));
    }
    for replica in &replicas {
        assert_eq!(replica.line().expect("it writes"), format!("written {WRITES}"));
    }
    let addresses: Vec<String> =
        replicas.iter_mut().map(|replica| replica.ask("listen").replace("listening ", "")).collect();
    for (number, replica) in replicas.iter_mut().enumerate() {
        replica.ask(&format!("connect ws://{}", addresses[(number + 1) % 4]));
    }
    // Each element has a transaction of its own: who holds all holds everything.
    let expected = format!("state {} 4 {} ", 5 * WRITES, 5 * WRITES);
    for replica in &mut replicas {
        assert_eq!(replica.ask(&format!("hold {}", 5 * WRITES)), format!("holds {}", 5 * WRITES));
        assert!(replica.ask("state").starts_with(&expected), "{}", replica.ask("state"));
    }
    for replica in &mut replicas {
        replica.ask("quit");
    }
    drop(replicas);
    let bytes: BTreeSet<Vec<u8>> = folders.iter().map(|folder| look(folder).document.encode()).collect();
    assert_eq!(bytes.len(), 1, "all four stores hold the same bytes");
}

/// How often a backup is taken and restored.
const CYCLES: u64 = 200;

#[test]
fn two_hundred_restored_backups_lose_nothing_that_was_synced() {
    let scratch = Scratch::new("restored");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let server = Replica::open(Options::default()).await.expect("in memory");
        let url = format!("ws://{}", server.listen("127.0.0.1:0").await.expect("a free port"));
        let mut ids = BTreeSet::new();
        for cycle in 0..CYCLES {
            let (folder, next) = (scratch.join(&cycle.to_string()), scratch.join(&(cycle + 1).to_string()));
            let backup = scratch.join(&format!("{cycle}.backup"));
            // Every folder but the first is restored from the backup of the one before.
            let phone = open(&folder).await;
            assert!(ids.insert(phone.id()), "cycle {cycle}: an id is used again");
            if cycle > 0 {
                write(&phone, &format!("{cycle}-restored")).await;
                phone.connect(&url).await.expect("a good address");
                meet(&phone, &server).await;
            }
            phone.backup(&backup).await.expect("there is room");
            // What is written and synced after the backup is what a restored twin would overwrite.
            write(&phone, &format!("{cycle}-after")).await;
            phone.connect(&url).await.expect("a good address");
            meet(&phone, &server).await;
            phone.close().await;
            std::fs::remove_dir_all(&folder).expect("it is ours");
            DiskStore::restore(&backup, &next).expect("the backup is good");
            std::fs::remove_file(&backup).expect("it is ours");
        }
        let document = server.document(DOCUMENT).await.expect("open").snapshot().await.expect("open");
        let written = 50 * (2 * CYCLES - 1);
        assert_eq!(document.root().set(ELEMENTS).map(|set| set.len() as u64), Some(written));
        assert_eq!(document.root().counter("n"), Some(i128::from(written)));
        server.close().await;
    });
}

async fn open(folder: &Path) -> Replica {
    let mut options = Options::at(folder);
    options.storage = Storage::Disk { folder: folder.to_owned(), options: DiskOptions::default() };
    options.redial_min_ms = 5;
    Replica::open(options).await.expect("nothing is wrong")
}

/// Fifty transactions.
async fn write(replica: &Replica, prefix: &str) {
    let document = replica.document(DOCUMENT).await.expect("open");
    let mut writes = JoinSet::new();
    for number in 0..50 {
        let (document, element) = (document.clone(), format!("{prefix}-{number}"));
        writes.spawn(async move {
            let written = document.transact(move |tx| {
                tx.set(ELEMENTS).insert(element)?;
                tx.counter("n").add(1)
            });
            written.await.expect("nothing is wrong");
        });
    }
    writes.join_all().await;
}

/// Waits until both hold the same.
async fn meet(one: &Replica, other: &Replica) {
    let (one, other) = (one.document(DOCUMENT).await.expect("open"), other.document(DOCUMENT).await.expect("open"));
    let version = async |document: &crdt_net::DocumentHandle| document.snapshot().await.expect("open").version();
    one.wait_for(&version(&other).await).await.expect("open");
    other.wait_for(&version(&one).await).await.expect("open");
}
