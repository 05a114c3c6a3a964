//! Opening, closing, and what is left behind.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crdt_core::{EditError, ReplicaId};
use crdt_net::{
    Closed, ConnectError, DocumentError, LeaseError, ListenError, MemoryStore, OpenError, Options, Replica,
};
use crdt_net::{TargetError, TransactError, WallClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::support::{add, converge, links_up, listen, open, open_listening, open_on, sum, until, within};

/// Waits until only so many tasks are left in this test's runtime.
async fn tasks_left(count: usize) {
    within(async {
        while Handle::current().metrics().num_alive_tasks() > count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn close_is_prompt_and_leaves_no_task() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    phone.connect("ws://127.0.0.1:1").await.unwrap();
    let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
    add(&here, "n", 1).await;
    converge(&[&here, &there]).await;
    let started = Instant::now();
    within(phone.close()).await;
    within(server.close()).await;
    assert!(started.elapsed() < Duration::from_millis(900), "waited for something: {:?}", started.elapsed());
    tasks_left(0).await;
}

/// The clock goes last of all that a replica holds; whoever still holds it is not done with the documents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_returns_when_all_content_is_freed() {
    let held = Arc::new(());
    let mut options = Options::default();
    let in_clock = Arc::clone(&held);
    options.wall_clock = WallClock::new(move || {
        let _ = &in_clock;
        SystemTime::now()
    });
    let replica = Replica::open(options).await.unwrap();
    let document = replica.document("d").await.unwrap();
    let edit = document.transact(|edit| (0..100_000_i64).try_for_each(|number| edit.set("s").insert(number)));
    within(edit).await.map_err(|error: TransactError<EditError>| error).unwrap();
    drop(document);
    within(replica.close()).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn close_does_not_wait_for_a_connection_that_says_nothing() {
    let (server, url) = open_listening().await;
    let _silent = TcpStream::connect(url.trim_start_matches("ws://")).await.unwrap();
    let started = Instant::now();
    within(server.close()).await;
    assert!(started.elapsed() < Duration::from_secs(2), "waited for it: {:?}", started.elapsed());
    tasks_left(0).await;
}

#[tokio::test]
async fn dropping_all_handles_ends_all_tasks() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    let document = phone.document("d").await.unwrap();
    let watch = document.watch().await.unwrap();
    until(&phone, |status| links_up(status) == 1).await;
    drop(phone);
    // A document handle keeps the replica open, a watch does not.
    add(&document, "n", 1).await;
    drop((document, server));
    tasks_left(0).await;
    drop(watch);
}

#[tokio::test]
async fn disconnected_and_offline_replicas_do_not_go_on_dialling() {
    let impostor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", impostor.local_addr().unwrap());
    let phone = open().await;
    for _ in 0..2 {
        phone.connect(&url).await.unwrap();
        let (connection, _) = within(impostor.accept()).await.unwrap();
        drop(connection);
        phone.disconnect(&url).await.unwrap();
        tasks_left(1).await;
    }
    phone.connect(&url).await.unwrap();
    let connection = within(impostor.accept()).await.unwrap();
    phone.go_offline().await.unwrap();
    tasks_left(1).await;
    drop(connection);
    phone.go_online().await.unwrap();
    within(impostor.accept()).await.unwrap();
}

#[tokio::test]
async fn every_call_after_close_says_closed() {
    let replica = open().await;
    let (other, document) = (replica.clone(), replica.document("d").await.unwrap());
    let url = listen(&replica).await;
    replica.clone().close().await;
    within(other.clone().close()).await;
    assert_eq!(other.documents().await, Err(Closed));
    assert_eq!(other.versions().await, Err(Closed));
    assert_eq!(other.go_offline().await, Err(Closed));
    assert_eq!(other.go_online().await, Err(Closed));
    assert!(other.status().await.is_err());
    assert_eq!(other.connect(&url).await, Err(ConnectError::Closed(Closed)));
    assert_eq!(other.disconnect(&url).await, Err(Closed));
    assert_eq!(other.disconnect("nonsense").await, Err(Closed));
    assert!(matches!(other.listen("127.0.0.1:0").await, Err(ListenError::Closed(Closed))));
    assert!(matches!(other.document("e").await, Err(DocumentError::Closed(Closed))));
    assert!(matches!(document.snapshot().await, Err(Closed)));
    assert!(document.watch().await.is_err());
    let edit = document.transact(|edit| edit.counter("n").add(1));
    assert_eq!(edit.await, Err(TransactError::Closed(Closed)));
}

#[tokio::test]
async fn those_who_wait_for_a_version_are_told_of_the_close() {
    let replica = open().await;
    let document = replica.document("d").await.unwrap();
    let never = [(ReplicaId::from_u128(1), 1)].into_iter().collect();
    let (waited, ()) = within(async { tokio::join!(document.wait_for(&never), replica.close()) }).await;
    assert_eq!(waited, Err(Closed));
}

/// The transaction ran, and was neither stored nor answered.
#[tokio::test]
async fn transaction_queued_ahead_of_close_is_stored_and_answered() {
    let store = MemoryStore::new();
    let replica = open_on(&store).await;
    let document = replica.document("d").await.unwrap();
    let edit = document.transact(|edit| edit.counter("n").add(1));
    let (edited, ()) = within(async { tokio::join!(biased; edit, replica.close()) }).await;
    assert_eq!(edited, Ok(()));
    assert_eq!(store.load("d").expect("stored").deltas.len(), 1);
}

#[tokio::test]
async fn store_has_one_writer_and_one_identity() {
    let store = MemoryStore::new();
    let first = open_on(&store).await;
    let open = |replica| {
        let mut options = Options::default();
        (options.storage, options.replica) = (store.clone().into(), replica);
        Replica::open(options)
    };
    assert!(matches!(open(None).await, Err(OpenError::Lease(LeaseError::Held))));
    let id = first.id();
    first.close().await;
    let stranger = Some(ReplicaId::from_u128(7));
    assert!(matches!(open(stranger).await, Err(OpenError::Lease(LeaseError::OtherReplica { owner })) if owner == id));
    assert_eq!(open(None).await.unwrap().id(), id);
}

#[tokio::test]
async fn checkpoints_lose_nothing() {
    let store = MemoryStore::with_delta_bytes_max(200);
    let replica = open_on(&store).await;
    let document = replica.document("d").await.unwrap();
    for _ in 0..100 {
        add(&document, "n", 1).await;
    }
    let before = document.snapshot().await.unwrap();
    let stored = store.load("d").unwrap();
    assert!(stored.deltas.len() < 20, "checkpoints have replaced the deltas: {}", stored.deltas.len());
    assert_eq!(stored.version, before.version());
    replica.close().await;
    let replica = open_on(&store).await;
    let document = replica.document("d").await.unwrap();
    assert_eq!(document.snapshot().await.unwrap(), before);
    add(&document, "n", 1).await;
    assert_eq!(sum(&document, "n").await, Some(101));
}

#[tokio::test]
async fn failed_edit_changes_nothing() {
    let replica = open().await;
    let document = replica.document("d").await.unwrap();
    let edit = document.transact(|edit| {
        edit.counter("n").add(1).unwrap();
        Err::<(), _>("changed my mind")
    });
    assert_eq!(edit.await, Err(TransactError::Edit("changed my mind")));
    assert!(document.snapshot().await.unwrap().version().is_empty());
}

#[tokio::test]
async fn panic_in_an_edit_stays_with_its_caller() {
    let replica = open().await;
    let document = replica.document("d").await.unwrap();
    let panicking = document.clone();
    let edit = tokio::spawn(async move {
        let edit = panicking.transact(|edit| -> Result<(), EditError> {
            edit.counter("n").add(1)?;
            panic!("a bug in the application")
        });
        edit.await
    });
    assert!(edit.await.unwrap_err().is_panic());
    assert!(document.snapshot().await.unwrap().version().is_empty());
    add(&document, "n", 2).await;
    assert_eq!(sum(&document, "n").await, Some(2));
}

#[tokio::test]
async fn unusable_urls_and_names_are_refused() {
    let replica = open().await;
    assert_eq!(replica.connect("wss://host").await, Err(ConnectError::Url(TargetError::Tls)));
    assert_eq!(replica.connect("ws://u:p@host").await, Err(ConnectError::Url(TargetError::Credentials)));
    assert!(matches!(replica.document("").await, Err(DocumentError::Name(_))));
}
