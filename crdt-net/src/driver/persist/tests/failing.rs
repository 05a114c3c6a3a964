//! A disk that fails while callers wait for it: each learns that the replica is closed, and not before it can say why.

use super::*;
use crate::{BackupError, ListenError};

/// Opens a replica of which one write waits for company.
async fn open_with_a_write() -> Scene {
    let scene = open(Sync::Return, |options| options.durability = HOUR).await;
    let document = scene.document.clone();
    tokio::spawn(async move { add(&document).await });
    until(async || sum(&scene.document).await == 1).await;
    scene
}

/// Their answers died with the group, in the thread, and the driver heard of the failure after the callers.
#[tokio::test]
async fn the_reason_is_there_before_a_backup_or_a_listener_hears_that_the_replica_is_closed() {
    for fault in [Sync::Fail, Sync::Panic] {
        let scene = open_with_a_write().await;
        scene.gate.set(fault);
        let copied = within(scene.replica.backup("never/written")).await;
        let failure = scene.replica.failure();
        assert!(failure.is_some(), "{fault:?}");
        assert!(matches!(copied, Err(BackupError::Closed(_))), "{copied:?}");

        let scene = open_with_a_write().await;
        scene.gate.set(fault);
        let bound = within(scene.replica.listen("127.0.0.1:0")).await;
        let failure = scene.replica.failure();
        assert!(failure.is_some(), "{fault:?}");
        assert!(matches!(bound, Err(ListenError::Closed(_))), "{bound:?}");
    }
}

#[tokio::test]
async fn the_reason_is_there_too_when_a_document_cannot_be_read() {
    let scene = open(Sync::Return, |options| options.sync.resident_documents_max = 1).await;
    let other = scene.replica.document("other").await.unwrap();
    add(&scene.document).await.unwrap();
    add(&other).await.unwrap();
    until(async || scene.replica.status().await.unwrap().resident_documents == 1).await;
    // The thread is held up, so that the load and the listener are one group.
    let syncs = scene.gate.syncs();
    scene.gate.set(Sync::Wait);
    tokio::spawn(async move { add(&other).await });
    until(async || scene.gate.syncs() > syncs).await;
    let document = scene.document.clone();
    let reading = tokio::spawn(async move { document.snapshot().await });
    settle().await;
    let fail_once_both_wait = async {
        until(async || !scene.replica.status().await.unwrap().listening.is_empty()).await;
        scene.gate.set_load(Load::Fail);
        scene.gate.set(Sync::Return);
    };
    let listen = async { (scene.replica.listen("127.0.0.1:0").await, scene.replica.failure()) };
    let ((bound, failure), ()) = within(async { tokio::join!(listen, fail_once_both_wait) }).await;
    assert!(matches!(failure, Some(StoreError::Io(_))), "{failure:?}");
    assert!(matches!(bound, Err(ListenError::Closed(_))), "{bound:?}");
    assert!(within(reading).await.unwrap().is_err());
}
