//! Replicas on a disk that does what the test says: waits, counts, fails.

mod aside;
mod at_rest;
mod failing;
mod gate;
mod identity;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crdt_core::{EditError, ReplicaId};
use crdt_store::{MemoryStore, StoreError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use gate::{Gate, Gated, Load, Sync};

use super::opening::open_blocking;
use super::{Disk, Opened};
use crate::clock::Clock;
use crate::driver::ANSWERS_MAX;
use crate::{Closed, DocumentHandle, Durability, Options, Replica, TransactError, WatchEvent};

/// An hour: what waits for that long does not come by itself.
const HOUR: Durability = Durability::Within { ms: 60 * 60 * 1000 };

/// A replica on a store that the test holds the other end of.
struct Scene {
    replica: Replica,
    document: DocumentHandle,
    store: MemoryStore,
    gate: Arc<Gate>,
}

async fn open(sync: Sync, set: impl FnOnce(&mut Options)) -> Scene {
    open_on(&MemoryStore::new(), sync, set).await
}

async fn open_on(store: &MemoryStore, sync: Sync, set: impl FnOnce(&mut Options)) -> Scene {
    let mut options = Options::default();
    set(&mut options);
    let gate = Gate::new(sync);
    let clock = Clock::start(options.wall_clock.clone());
    let opened = open_gated(store, &gate, &options, &clock).await;
    let replica = Replica::start(&options, clock, opened);
    let document = replica.document("d").await.expect("open");
    Scene { replica, document, store: store.clone(), gate }
}

async fn open_gated(store: &MemoryStore, gate: &Arc<Gate>, options: &Options, clock: &Clock) -> Opened {
    let lease = store.lease(store.replica().unwrap_or(ReplicaId::from_u128(1))).expect("free");
    let gated = Gated::new(lease, gate);
    open_blocking(options, clock.now(), move || Ok(Box::new(gated) as Box<dyn Disk>)).await.expect("opens")
}

async fn open_in_memory() -> Replica {
    Replica::open(Options::default()).await.expect("opens")
}

/// Links a replica with the scene's, and brings one write over.
async fn link(scene: &Scene, phone: &Replica) -> DocumentHandle {
    let address = scene.replica.listen("127.0.0.1:0").await.expect("a port is free");
    phone.connect(&format!("ws://{address}")).await.expect("a valid URL");
    let there = phone.document("d").await.expect("open");
    add(&scene.document).await.expect("open");
    until(async || phone.status().await.expect("open").links.iter().any(|link| link.in_sync == 1)).await;
    until(async || sum(&there).await == 1).await;
    there
}

/// Waits for something that must happen.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("did not happen in time")
}

async fn until(mut happened: impl AsyncFnMut() -> bool) {
    within(async {
        while !happened().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn add(document: &DocumentHandle) -> Result<(), TransactError<EditError>> {
    within(document.transact(|edit| edit.counter("n").add(1))).await
}

async fn sum(document: &DocumentHandle) -> i128 {
    document.snapshot().await.expect("open").root().counter("n").unwrap_or(0)
}

/// Lets all tasks do what they can.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_is_answered_or_reaches_a_peer_before_the_sync_has_returned() {
    let server = open(Sync::Return, |_| {}).await;
    let phone = open_in_memory().await;
    let there = link(&server, &phone).await;
    let sent = server.replica.status().await.unwrap().totals.deltas_sent;
    let syncs = server.gate.syncs();
    server.gate.set(Sync::Wait);
    let document = server.document.clone();
    let write = tokio::spawn(async move { add(&document).await });
    until(async || server.gate.syncs() > syncs).await;

    // The driver goes on meanwhile: it takes in what the peer writes, and shows it here.
    add(&there).await.unwrap();
    until(async || sum(&server.document).await == 3).await;
    settle().await;
    assert!(!write.is_finished());
    assert_eq!(sum(&there).await, 2);
    let status = server.replica.status().await.unwrap();
    assert_eq!((status.totals.deltas_sent, status.links[0].in_sync), (sent, 0));
    assert_eq!(phone.status().await.unwrap().links[0].in_sync, 0, "acknowledged before it was durable");
    assert!(status.storage.waiting_bytes > 0);

    server.gate.set(Sync::Return);
    within(write).await.unwrap().unwrap();
    until(async || sum(&there).await == 3).await;
    until(async || phone.status().await.unwrap().links[0].in_sync == 1).await;
}

#[tokio::test]
async fn store_that_fails_closes_the_replica_with_its_error_and_no_peer_sees_the_write() {
    let server = open(Sync::Return, |_| {}).await;
    let phone = open_in_memory().await;
    let there = link(&server, &phone).await;
    server.gate.set(Sync::Fail);
    assert_eq!(add(&server.document).await, Err(TransactError::Closed(Closed)));
    let failure = server.document.replica().failure();
    assert!(matches!(failure, Some(StoreError::Io(_))), "known when the caller hears of it: {failure:?}");
    assert!(matches!(within(server.replica.closed()).await, Some(StoreError::Io(_))));
    until(async || phone.status().await.unwrap().links.is_empty()).await;
    assert_eq!(sum(&there).await, 1);
    assert!(server.store.lease(ReplicaId::from_u128(1)).is_ok(), "the store is free");
}

#[tokio::test]
async fn store_that_panics_closes_the_replica() {
    let scene = open(Sync::Panic, |_| {}).await;
    assert_eq!(add(&scene.document).await, Err(TransactError::Closed(Closed)));
    assert!(matches!(within(scene.replica.closed()).await, Some(StoreError::Poisoned)));
}

#[tokio::test]
async fn replica_that_is_closed_in_order_has_no_failure() {
    let scene = open(Sync::Return, |_| {}).await;
    let other = scene.replica.clone();
    within(scene.replica.close()).await;
    assert!(within(other.closed()).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_share_syncs() {
    let scene = open(Sync::Take(Duration::from_millis(2)), |_| {}).await;
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let document = scene.document.clone();
        writers.spawn(async move {
            for _ in 0..20 {
                add(&document).await.unwrap();
            }
        });
    }
    within(writers.join_all()).await;
    let storage = scene.replica.status().await.unwrap().storage;
    assert_eq!((storage.writes, storage.waiting_bytes), (64 * 20, 0));
    assert_eq!(storage.syncs, scene.gate.syncs() as u64);
    assert!(storage.syncs * 16 <= storage.writes, "{storage:?}");
}

#[tokio::test]
async fn writes_wait_for_company_until_a_flush_or_a_close_or_a_heavy_one() {
    let scene = open(Sync::Return, |options| options.durability = HOUR).await;
    let writes: Vec<_> = (0..8)
        .map(|_| {
            let document = scene.document.clone();
            tokio::spawn(async move { add(&document).await })
        })
        .collect();
    until(async || sum(&scene.document).await == 8).await;
    settle().await;
    assert!(writes.iter().all(|write| !write.is_finished()));
    within(scene.replica.flush()).await.unwrap();
    for write in writes {
        within(write).await.unwrap().unwrap();
    }
    assert_eq!(scene.gate.syncs(), 1);

    let text = "x".repeat(1024 * 1024);
    let heavy = scene.document.transact(move |edit| edit.register("r").set(text));
    within(heavy).await.map_err(|error: TransactError<EditError>| error).unwrap();
    assert_eq!(scene.gate.syncs(), 2);

    let (written, ()) = within(async { tokio::join!(biased; add(&scene.document), scene.replica.close()) }).await;
    assert_eq!(written, Ok(()));
    assert_eq!((scene.gate.syncs(), scene.store.load("d").unwrap().version.total()), (3, 10));
}

#[tokio::test]
async fn writes_wait_for_company_only_as_long_as_they_may() {
    let scene = open(Sync::Return, |options| options.durability = Durability::Within { ms: 20 }).await;
    let started = std::time::Instant::now();
    let (one, other) = within(async { tokio::join!(add(&scene.document), add(&scene.document)) }).await;
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert_eq!(scene.gate.syncs(), 1);
}

#[tokio::test]
async fn transaction_without_a_change_waits_for_what_it_may_have_read_and_a_failed_one_does_not() {
    let scene = open(Sync::Return, |_| {}).await;
    let read = |edit: &mut crdt_core::Transaction<'_>| Ok::<_, EditError>(edit.counter("n").value());
    assert_eq!(within(scene.document.transact(read)).await, Ok(0));
    assert_eq!(scene.gate.syncs(), 0, "nothing was asked for");

    scene.gate.set(Sync::Wait);
    let document = scene.document.clone();
    let write = tokio::spawn(async move { add(&document).await });
    until(async || scene.gate.syncs() == 1).await;
    let failing = scene.document.transact(|edit| {
        edit.counter("n").add(1).unwrap();
        Err::<(), _>("changed my mind")
    });
    assert_eq!(within(failing).await, Err(TransactError::Edit("changed my mind")));
    let document = scene.document.clone();
    let reading = tokio::spawn(async move { document.transact(read).await });
    let version = scene.document.snapshot().await.unwrap().version();
    let document = scene.document.clone();
    let waiting = tokio::spawn(async move { document.wait_for(&version).await });
    settle().await;
    assert!(!reading.is_finished() && !waiting.is_finished() && !write.is_finished());
    scene.gate.set(Sync::Return);
    assert_eq!(within(reading).await.unwrap(), Ok(1));
    within(waiting).await.unwrap().unwrap();
    within(write).await.unwrap().unwrap();
}

/// Starts writers of one transaction each, which count themselves when they run.
fn start_writers(document: &DocumentHandle, count: usize, ran: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for number in 0..count {
        let (document, ran) = (document.clone(), Arc::clone(ran));
        writers.spawn(async move {
            let edit = document.transact(move |edit| {
                ran.fetch_add(1, Ordering::Relaxed);
                edit.register(&format!("{number:03}")).set("x".repeat(1_000))
            });
            edit.await.map_err(|error: TransactError<EditError>| error).unwrap();
        });
    }
    writers
}

#[tokio::test]
async fn only_so_many_bytes_wait_for_a_slow_disk_and_a_close_still_saves_them() {
    let scene = open(Sync::Wait, |options| options.waiting_bytes_max = 10_000).await;
    let ran = Arc::new(AtomicUsize::new(0));
    let writers = start_writers(&scene.document, 200, &ran);
    until(async || ran.load(Ordering::Relaxed) == 10).await;
    settle().await;
    assert_eq!(ran.load(Ordering::Relaxed), 10, "a little over 1,000 bytes each");
    let closing = tokio::spawn(scene.replica.clone().close());
    settle().await;
    assert!(!closing.is_finished());

    scene.gate.set(Sync::Return);
    within(writers.join_all()).await;
    within(closing).await.unwrap();
    assert_eq!(scene.store.load("d").unwrap().version.total(), 200);
}

#[tokio::test]
async fn peers_wait_for_a_slow_disk_too() {
    let scene = open(Sync::Wait, |options| options.waiting_bytes_max = 10_000).await;
    let mut options = Options::default();
    // One write a message, or two.
    options.sync.chunk_bytes_max = 2_500;
    let phone = Replica::open(options).await.unwrap();
    let address = scene.replica.listen("127.0.0.1:0").await.unwrap();
    phone.connect(&format!("ws://{address}")).await.unwrap();
    let there = phone.document("d").await.unwrap();
    let mut watch = scene.document.watch().await.unwrap();
    within(start_writers(&there, 200, &Arc::default()).join_all()).await;
    assert!(within(watch.next()).await.is_some());
    let mut taken = 1;
    // The last wait is in vain. Too short a one could only miss a failure.
    while let Ok(Some(WatchEvent::Changed { changes, .. })) = timeout(Duration::from_millis(50), watch.next()).await {
        taken += changes.iter().count();
    }
    assert!((1..=12).contains(&taken), "took in {taken} writes of 1,000 bytes");
    scene.gate.set(Sync::Return);
    within(scene.document.wait_for(&there.snapshot().await.unwrap().version())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_made_while_others_write_lose_nothing() {
    let store = MemoryStore::with_delta_bytes_max(500);
    let scene = open_on(&store, Sync::Take(Duration::from_micros(100)), |_| {}).await;
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let document = scene.document.clone();
        writers.spawn(async move {
            for _ in 0..250 {
                add(&document).await.unwrap();
            }
        });
    }
    within(writers.join_all()).await;
    let storage = scene.replica.status().await.unwrap().storage;
    assert!(storage.checkpoints >= 10, "{storage:?}");
    assert!(storage.checkpoints <= storage.syncs, "one at a time: {storage:?}");
    within(scene.replica.close()).await;
    let again = open_on(&store, Sync::Return, |_| {}).await;
    assert_eq!(sum(&again.document).await, 2_000);
}

#[tokio::test]
async fn only_so_many_callers_wait_for_a_slow_disk() {
    let scene = open(Sync::Wait, |_| {}).await;
    let ran = Arc::new(AtomicUsize::new(0));
    let mut callers = start_writers(&scene.document, 1, &ran);
    until(async || scene.gate.syncs() == 1).await;
    for _ in 0..ANSWERS_MAX + 100 {
        let (document, ran) = (scene.document.clone(), Arc::clone(&ran));
        callers.spawn(async move {
            let read = document.transact(move |_| Ok::<_, EditError>(ran.fetch_add(1, Ordering::Relaxed)));
            read.await.unwrap();
        });
    }
    until(async || ran.load(Ordering::Relaxed) == ANSWERS_MAX).await;
    settle().await;
    assert_eq!(ran.load(Ordering::Relaxed), ANSWERS_MAX, "they weigh nothing, and wait all the same");
    scene.gate.set(Sync::Return);
    within(callers.join_all()).await;
    assert_eq!(ran.load(Ordering::Relaxed), ANSWERS_MAX + 101);
}

#[tokio::test]
async fn dropping_all_handles_saves_what_nobody_waits_for_any_more() {
    let scene = open(Sync::Return, |options| options.durability = HOUR).await;
    let Scene { replica, document, store, gate } = scene;
    let edit = document.transact(|edit| edit.counter("n").add(1));
    assert!(timeout(Duration::ZERO, edit).await.is_err(), "nobody waits for it");
    until(async || sum(&document).await == 1).await;
    assert_eq!(gate.syncs(), 0);
    drop((replica, document));
    until(async || store.lease(ReplicaId::from_u128(1)).is_ok()).await;
    assert_eq!((gate.syncs(), store.load("d").unwrap().version.total()), (1, 1));
}
