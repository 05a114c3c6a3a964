//! Another id, and the history of a document, on such a disk: what waits for it, and what goes on.

use super::*;
use crate::options::Storage;

const ONE_ID: ReplicaId = ReplicaId::from_u128(1);

/// Opens a replica on such a disk and one in memory, which go by one id and have written once each.
async fn twins(seeds: (u64, u64)) -> (Scene, DocumentHandle) {
    let scene = open(Sync::Return, |options| options.seed = Some(seeds.0)).await;
    let mut options = Options { replica: Some(ONE_ID), seed: Some(seeds.1), ..Options::default() };
    (options.redial_min_ms, options.redial_max_ms) = (1, 5);
    let twin = Replica::open(options).await.expect("the store is new");
    let there = twin.document("d").await.expect("open");
    add(&scene.document).await.expect("open");
    // The same, to the byte: only their salts tell them apart.
    add(&there).await.expect("open");
    assert_eq!((scene.replica.id(), twin.id()), (ONE_ID, ONE_ID));
    (scene, there)
}

async fn connect(scene: &Scene, twin: &DocumentHandle) {
    let address = scene.replica.listen("127.0.0.1:0").await.expect("a port is free");
    twin.replica().connect(&format!("ws://{address}")).await.expect("a valid URL");
}

async fn both_hold(scene: &Scene, twin: &DocumentHandle, total: i128) {
    until(async || (sum(&scene.document).await, sum(twin).await) == (total, total)).await;
}

#[tokio::test]
async fn the_id_before_is_in_use_until_the_store_has_the_next_one_durably() {
    let mut waited = 0;
    // Who gives way is drawn: with the seeds swapped it is the other one.
    for seeds in [(1, 2), (2, 1)] {
        let (scene, there) = twins(seeds).await;
        let syncs = scene.gate.syncs();
        // Listening is announced by the thread, which must not be busy.
        let address = scene.replica.listen("127.0.0.1:0").await.unwrap();
        scene.gate.set(Sync::Wait);
        there.replica().connect(&format!("ws://{address}")).await.unwrap();
        until(async || scene.gate.syncs() > syncs || there.replica().id() != ONE_ID).await;
        if scene.gate.syncs() > syncs && there.replica().id() == ONE_ID {
            waited += 1;
            settle().await;
            assert_eq!(scene.replica.id(), ONE_ID);
            assert_eq!(scene.replica.status().await.unwrap().replica, ONE_ID);
        }
        scene.gate.set(Sync::Return);
        both_hold(&scene, &there, 2).await;
        assert_ne!(scene.replica.id(), there.replica().id());
        let id = scene.replica.id();
        within(scene.replica.close()).await;
        assert_eq!(scene.store.replica(), Some(id), "the store knows");
    }
    assert_eq!(waited, 1);
}

#[tokio::test]
async fn what_is_written_while_a_history_is_read_is_kept() {
    let mut waited = 0;
    for seeds in [(1, 2), (2, 1)] {
        let (scene, there) = twins(seeds).await;
        scene.gate.set_load(Load::Wait);
        connect(&scene, &there).await;
        until(async || scene.gate.loads() == 1 || there.replica().status().await.unwrap().reissued == 1).await;
        let mut writers = JoinSet::new();
        for _ in 0..10 {
            let document = scene.document.clone();
            writers.spawn(async move { add(&document).await.unwrap() });
        }
        until(async || sum(&scene.document).await >= 11).await;
        if scene.gate.loads() == 1 {
            settle().await;
            waited += usize::from(scene.replica.status().await.unwrap().reissued == 0);
        }
        scene.gate.set_load(Load::Return);
        within(writers.join_all()).await;
        both_hold(&scene, &there, 12).await;
        let here = scene.document.snapshot().await.unwrap();
        assert_eq!(here.encode(), there.snapshot().await.unwrap().encode());
        // What came later was written under the next id anyway.
        let reissued =
            scene.replica.status().await.unwrap().reissued + there.replica().status().await.unwrap().reissued;
        assert_eq!(reissued, 1);
    }
    assert!(waited > 0);
}

#[tokio::test]
async fn history_that_cannot_be_read_closes_the_replica_with_the_reason() {
    let mut closed = 0;
    for seeds in [(1, 2), (2, 1)] {
        let (scene, there) = twins(seeds).await;
        scene.gate.set_load(Load::Fail);
        connect(&scene, &there).await;
        let other = scene.replica.clone();
        until(async || other.failure().is_some() || there.replica().status().await.unwrap().reissued == 1).await;
        if let Some(failure) = other.failure() {
            closed += 1;
            assert!(matches!(failure, StoreError::Io(_)), "{failure}");
            assert!(within(scene.replica.closed()).await.is_some());
            assert_eq!(sum(&there).await, 1, "nothing of it was guessed");
            // What was not settled is, by the next to open the store.
            let mut options = Options { storage: Storage::Memory(scene.store), seed: Some(3), ..Options::default() };
            (options.redial_min_ms, options.redial_max_ms) = (1, 5);
            let again = Replica::open(options).await.expect("the store is free");
            let document = again.document("d").await.expect("open");
            let address = again.listen("127.0.0.1:0").await.expect("a port is free");
            there.replica().connect(&format!("ws://{address}")).await.expect("a valid URL");
            until(async || (sum(&document).await, sum(&there).await) == (2, 2)).await;
            assert_ne!(again.id(), there.replica().id());
        }
    }
    assert!(closed > 0);
}
