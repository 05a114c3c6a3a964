//! Setting a document aside on such a disk: another id first, then both documents, durably or not at all.

use crdt_store::Store;

use super::*;

type Setting = tokio::task::JoinHandle<Result<DocumentHandle, crate::SetAsideError>>;

/// Reads both documents out of what is durable.
fn durable(scene: &Scene) -> (usize, usize) {
    let entries = |name: &str| {
        let lease = scene.store.lease(ReplicaId::from_u128(1)).expect("free");
        let stored = lease.load(name).expect("reads");
        stored.map_or(0, |stored| usize::try_from(stored.version.total()).expect("few"))
    };
    (entries("d"), entries("aside"))
}

/// Begins to set the document of a scene aside.
fn begin(scene: &Scene) -> Setting {
    let document = scene.document.clone();
    tokio::spawn(async move { document.set_aside("aside").await })
}

/// Opens a replica that has written to its document, and begins to set that aside; the store waits at the next id.
async fn begin_and_hold() -> (Scene, ReplicaId, Setting) {
    let scene = open(Sync::Return, |_| {}).await;
    let before = scene.replica.id();
    add(&scene.document).await.unwrap();
    scene.gate.set(Sync::Wait);
    let syncs = scene.gate.syncs();
    let setting = begin(&scene);
    until(async || scene.gate.syncs() > syncs).await;
    (scene, before, setting)
}

#[tokio::test]
async fn it_is_answered_when_the_next_id_and_both_documents_are_durable() {
    let (scene, before, setting) = begin_and_hold().await;
    settle().await;
    assert!(!setting.is_finished());
    assert_eq!((scene.replica.id(), sum(&scene.document).await), (before, 1), "nothing has happened yet");
    // What is asked for meanwhile does not wait for it, but for the disk.
    let flushing = scene.replica.clone();
    let flushing = tokio::spawn(async move { flushing.flush().await });
    scene.gate.set(Sync::Return);
    within(flushing).await.unwrap().unwrap();
    let aside = within(setting).await.unwrap().unwrap();
    assert_ne!(scene.replica.id(), before);
    assert_eq!((sum(&scene.document).await, sum(&aside).await), (0, 1));
    within(scene.replica.clone().close()).await;
    assert_eq!(durable(&scene), (0, 1));
}

#[tokio::test]
async fn it_moves_a_document_that_was_at_rest() {
    let scene = open(Sync::Return, |options| options.sync.resident_documents_max = 1).await;
    add(&scene.document).await.unwrap();
    add(&scene.replica.document("other").await.unwrap()).await.unwrap();
    until(async || scene.replica.status().await.unwrap().resident_documents == 1).await;
    scene.gate.set_load(Load::Wait);
    let setting = begin(&scene);
    until(async || scene.gate.loads() > 0).await;
    settle().await;
    assert!(!setting.is_finished());
    scene.gate.set_load(Load::Return);
    let aside = within(setting).await.unwrap().unwrap();
    assert_eq!((sum(&scene.document).await, sum(&aside).await), (0, 1));
}

#[tokio::test]
async fn of_two_at_a_time_one_does_it_and_the_other_finds_nothing() {
    let scene = open(Sync::Return, |_| {}).await;
    add(&scene.document).await.unwrap();
    let (one, other) = within(async { tokio::join!(begin(&scene), begin(&scene)) }).await;
    let outcomes = [one.unwrap(), other.unwrap()];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(crate::SetAsideError::Empty))), "{outcomes:?}");
}

#[tokio::test]
async fn whoever_gives_up_before_the_next_id_is_there_leaves_the_document_as_it_is() {
    let (scene, before, setting) = begin_and_hold().await;
    setting.abort();
    assert!(within(setting).await.unwrap_err().is_cancelled());
    scene.gate.set(Sync::Return);
    until(async || scene.replica.id() != before).await;
    add(&scene.document).await.unwrap();
    assert_eq!(sum(&scene.document).await, 2);
    within(scene.replica.clone().close()).await;
    assert_eq!(durable(&scene), (2, 0));
}

#[tokio::test]
async fn a_disk_that_fails_at_the_next_id_leaves_the_document_as_it_is() {
    for failing in [Sync::Fail, Sync::Panic] {
        let scene = open(Sync::Return, |_| {}).await;
        add(&scene.document).await.unwrap();
        scene.gate.set(failing);
        let outcome = within(begin(&scene)).await.unwrap();
        assert!(matches!(outcome, Err(crate::SetAsideError::Closed(_))), "{outcome:?}");
        within(scene.replica.closed()).await;
        assert_eq!(durable(&scene), (1, 0), "{failing:?}");
    }
}

#[tokio::test]
async fn it_is_not_answered_by_a_disk_that_fails_at_the_documents() {
    for failing in [Sync::Fail, Sync::Panic] {
        let scene = open(Sync::Return, |_| {}).await;
        add(&scene.document).await.unwrap();
        let aside = within(begin(&scene)).await.unwrap().unwrap();
        // Nobody has written to this one under the present id: it needs no other.
        scene.gate.set(failing);
        let outcome = within(aside.set_aside("once more")).await;
        assert!(matches!(outcome, Err(crate::SetAsideError::Closed(_))), "{outcome:?}");
        assert!(scene.replica.failure().is_some());
    }
}
