//! What all socket tests share.

use std::future::Future;
use std::time::Duration;

use crdt_core::{EditError, VersionVector};
use crdt_net::{DocumentHandle, MemoryStore, Options, Replica, Status};
use tokio::time::timeout;

/// Ends a test that hangs; no test is meant to come near it.
const GUARD: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(GUARD, future).await.expect("did not happen in time")
}

/// Opens a replica with a new store and a new identity.
pub(crate) async fn open() -> Replica {
    open_on(&MemoryStore::new()).await
}

/// Opens a replica on a store.
pub(crate) async fn open_on(store: &MemoryStore) -> Replica {
    open_with(|options| options.storage = store.clone().into()).await
}

/// Opens a replica with options of its own.
pub(crate) async fn open_with(set: impl FnOnce(&mut Options)) -> Replica {
    let mut options = Options::default();
    set(&mut options);
    Replica::open(options).await.expect("the store is free")
}

/// Opens a replica that listens, and returns its URL.
pub(crate) async fn open_listening() -> (Replica, String) {
    let replica = open().await;
    let url = listen(&replica).await;
    (replica, url)
}

/// Listens on a free port and returns the URL.
pub(crate) async fn listen(replica: &Replica) -> String {
    let address = replica.listen("127.0.0.1:0").await.expect("a port is free");
    format!("ws://{address}")
}

/// Adds to a counter and waits until that is durable.
pub(crate) async fn add(document: &DocumentHandle, counter: &'static str, by: i64) {
    let edit = document.transact(move |edit| edit.counter(counter).add(by));
    within(edit).await.map_err(|error: crdt_net::TransactError<EditError>| error).expect("a valid edit");
}

/// Returns the sum of a counter.
pub(crate) async fn sum(document: &DocumentHandle, counter: &str) -> Option<i128> {
    document.snapshot().await.expect("open").root().counter(counter)
}

/// Returns the version of a document.
pub(crate) async fn version(document: &DocumentHandle) -> VersionVector {
    document.snapshot().await.expect("open").version()
}

/// Waits until each has what any has, and checks that they are equal then.
pub(crate) async fn converge(documents: &[&DocumentHandle]) {
    let mut all = VersionVector::new();
    for document in documents {
        all.merge(&version(document).await);
    }
    for document in documents {
        within(document.wait_for(&all)).await.expect("open");
    }
    let first = documents[0].snapshot().await.expect("open");
    for document in documents {
        let snapshot = document.snapshot().await.expect("open");
        assert_eq!(snapshot.version(), all);
        assert_eq!(snapshot, first);
        assert_eq!(snapshot.encode(), first.encode());
    }
}

/// Waits until the status is as wanted, asking again and again.
pub(crate) async fn until(replica: &Replica, wanted: impl Fn(&Status) -> bool) -> Status {
    within(async {
        loop {
            let status = replica.status().await.expect("open");
            if wanted(&status) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Counts the links on which a peer has said hello.
pub(crate) fn links_up(status: &Status) -> usize {
    status.links.iter().filter(|link| link.peer.is_some()).count()
}
