//! One id, two replicas: found out at first contact, repaired, and nothing lost.

use crdt_core::{EditError, ReplicaId};
use crdt_net::{DocumentHandle, MemoryStore, Options, Replica, SetAsideError, Status, TransactError, WatchEvent};
use crdt_store::Store;

use crate::support::{converge, listen, until, within};

const ONE_ID: ReplicaId = ReplicaId::from_u128(7);

/// Opens a replica under the id that all of these tests are about.
async fn open(store: &MemoryStore) -> Replica {
    open_with_room_for(store, Options::default().sync.resident_documents_max).await
}

/// The same, with so many documents in memory.
async fn open_with_room_for(store: &MemoryStore, documents: usize) -> Replica {
    let mut options = Options::default();
    options.storage = store.clone().into();
    options.replica = Some(ONE_ID);
    options.redial_min_ms = 5;
    options.redial_max_ms = 50;
    options.sync.resident_documents_max = documents;
    within(Replica::open(options)).await.expect("free")
}

/// Opens both, and the one document of each.
async fn open_both(stores: &[MemoryStore; 2]) -> ([Replica; 2], [DocumentHandle; 2]) {
    let replicas = [open(&stores[0]).await, open(&stores[1]).await];
    let documents = [replicas[0].document("d").await.expect("open"), replicas[1].document("d").await.expect("open")];
    (replicas, documents)
}

/// Lets one of two dial the other, until they agree.
async fn link(replicas: &[Replica; 2], dialler: usize) {
    let url = listen(&replicas[1 - dialler]).await;
    replicas[dialler].connect(&url).await.expect("a valid URL");
    agree(&[&replicas[0], &replicas[1]], 1).await;
}

/// Puts what a store holds into another one, as if its memory had been copied.
fn copy(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    let mut lease = copy.lease(store.replica().expect("was leased")).expect("new");
    for document in store.documents() {
        let stored = store.load(&document).expect("listed");
        lease.replace(&document, stored.snapshot).expect("memory takes it");
        for delta in &stored.deltas {
            let _ = lease.append(&document, delta).expect("in order");
        }
    }
    drop(lease);
    copy
}

/// Writes an element, and counts it.
async fn write(document: &DocumentHandle, element: &str) {
    let element = element.to_owned();
    let edit = document.transact(move |edit| {
        edit.set("s").insert(element)?;
        edit.counter("n").add(1)
    });
    within(edit).await.map_err(|error: TransactError<EditError>| error).expect("a valid edit");
}

async fn elements(document: &DocumentHandle) -> Vec<String> {
    let snapshot = document.snapshot().await.expect("open");
    let set = snapshot.root().set("s").expect("was written to");
    let mut elements: Vec<String> = set.values().into_iter().map(|value| format!("{value:?}")).collect();
    elements.sort();
    assert_eq!(snapshot.root().counter("n"), Some(elements.len() as i128), "each counted once: {elements:?}");
    elements
}

/// Waits until every replica has a link to so many others, and all their documents are the same there.
async fn agree(replicas: &[&Replica], links: usize) {
    let agrees = |status: &Status| {
        status.links.len() == links
            && status.links.iter().all(|link| link.documents == status.documents && link.in_sync == link.documents)
    };
    for replica in replicas {
        until(replica, agrees).await;
    }
}

/// Lets two replicas of one id find out; `stores` is where they keep their documents, with so many elements already.
async fn meet_and_lose_nothing(stores: [MemoryStore; 2], common: usize, dialler: usize) {
    let (replicas, documents) = open_both(&stores).await;
    assert_eq!((replicas[0].id(), replicas[1].id()), (ONE_ID, ONE_ID));
    let mut watches = [documents[0].watch().await.expect("open"), documents[1].watch().await.expect("open")];
    for (number, document) in documents.iter().enumerate() {
        for index in 0..3 + number {
            write(document, &format!("{number} before {index}")).await;
        }
    }
    link(&replicas, dialler).await;
    let ids = [replicas[0].id(), replicas[1].id()];
    assert_ne!(ids[0], ids[1]);
    assert!(ids.contains(&ONE_ID), "one of them stays who it was");
    converge(&[&documents[0], &documents[1]]).await;
    assert_eq!(elements(&documents[0]).await.len(), common + 7);

    // Who has given way says so, to the number.
    let renewed = usize::from(ids[0] == ONE_ID);
    let own = 3 + renewed as u64;
    assert_eq!(replicas[renewed].status().await.expect("open").reissued, own);
    assert_eq!(replicas[1 - renewed].status().await.expect("open").reissued, 0);
    loop {
        match within(watches[renewed].next()).await.expect("it is not closed") {
            WatchEvent::Reissued { replica, heir, transactions } => {
                assert_eq!((replica, heir, transactions), (ONE_ID, ids[renewed], own));
                break;
            }
            event => assert!(matches!(event, WatchEvent::Changed { .. }), "{event:?}"),
        }
    }

    for (number, document) in documents.iter().enumerate() {
        write(document, &format!("{number} after")).await;
    }
    converge(&[&documents[0], &documents[1]]).await;
    let written = elements(&documents[0]).await;
    assert_eq!(written.len(), common + 9);

    drop((documents, watches));
    for replica in replicas {
        within(replica.close()).await;
    }
    // Whoever still names the first id goes on under the one that was taken.
    let (replicas, documents) = open_both(&stores).await;
    assert_eq!([replicas[0].id(), replicas[1].id()], ids);
    for (number, document) in documents.iter().enumerate() {
        assert_eq!(elements(document).await, written);
        write(document, &format!("{number} again")).await;
    }
    link(&replicas, dialler).await;
    converge(&[&documents[0], &documents[1]]).await;
    assert_eq!(elements(&documents[0]).await.len(), common + 11);
    assert_eq!([replicas[0].id(), replicas[1].id()], ids, "settled for good");
}

#[tokio::test]
async fn two_new_replicas_that_were_given_one_id_lose_nothing() {
    for dialler in 0..2 {
        meet_and_lose_nothing([MemoryStore::new(), MemoryStore::new()], 0, dialler).await;
    }
}

#[tokio::test]
async fn a_copy_and_its_original_keep_what_both_wrote_and_count_what_is_common_once() {
    for dialler in 0..2 {
        let original = MemoryStore::new();
        let replica = open(&original).await;
        let document = replica.document("d").await.unwrap();
        for index in 0..5 {
            write(&document, &format!("common {index}")).await;
        }
        drop(document);
        within(replica.close()).await;
        let twin = copy(&original);
        meet_and_lose_nothing([original, twin], 5, dialler).await;
    }
}

#[tokio::test]
async fn a_copy_that_meets_only_others_finds_out_from_them() {
    let original = MemoryStore::new();
    let (first, server) = (open(&original).await, Replica::open(Options::default()).await.unwrap());
    let url = listen(&server).await;
    let (here, there) = (first.document("d").await.unwrap(), server.document("d").await.unwrap());
    write(&here, "common").await;
    first.connect(&url).await.unwrap();
    converge(&[&here, &there]).await;
    let twin = copy(&original);
    write(&here, "first life").await;
    converge(&[&here, &there]).await;
    within(first.close()).await;

    let second = open(&twin).await;
    let document = second.document("d").await.unwrap();
    write(&document, "second life").await;
    second.connect(&url).await.unwrap();
    agree(&[&second, &server], 1).await;
    assert_ne!(second.id(), ONE_ID);
    converge(&[&document, &there]).await;
    assert_eq!(elements(&there).await.len(), 3);

    // The first life goes on, and all three meet.
    let first = open(&original).await;
    assert_eq!(first.id(), ONE_ID);
    let here = first.document("d").await.unwrap();
    write(&here, "third").await;
    let second_url = listen(&second).await;
    first.connect(&url).await.unwrap();
    first.connect(&second_url).await.unwrap();
    agree(&[&first, &second, &server], 2).await;
    converge(&[&here, &document, &there]).await;
    assert_eq!(elements(&there).await.len(), 4);
}

#[tokio::test]
async fn documents_at_rest_and_many_at_once_are_settled_too() {
    let stores = [MemoryStore::new(), MemoryStore::new()];
    let replicas = [open_with_room_for(&stores[0], 1).await, open_with_room_for(&stores[1], 1).await];
    for (number, replica) in replicas.iter().enumerate() {
        for index in 0..20 {
            let document = replica.document(&format!("d{index}")).await.unwrap();
            write(&document, &format!("{number} in {index}")).await;
        }
    }
    link(&replicas, 1).await;
    for index in 0..20 {
        let name = format!("d{index}");
        let (here, there) = (replicas[0].document(&name).await.unwrap(), replicas[1].document(&name).await.unwrap());
        converge(&[&here, &there]).await;
        assert_eq!(elements(&here).await.len(), 2);
    }
}

/// Both lives have told others of what they did, and are gone.
#[tokio::test]
async fn what_nobody_can_settle_is_told_and_goes_on_once_it_is_set_aside() {
    let original = MemoryStore::new();
    let first = open(&original).await;
    write(&first.document("d").await.unwrap(), "common").await;
    within(first.close()).await;
    let stores = [copy(&original), original];
    let mut servers = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let (life, server) = (open(store).await, Replica::open(Options::default()).await.unwrap());
        let (here, there) = (life.document("d").await.unwrap(), server.document("d").await.unwrap());
        write(&here, &format!("life {number}")).await;
        life.connect(&listen(&server).await).await.unwrap();
        converge(&[&here, &there]).await;
        within(life.close()).await;
        write(&there, &format!("server {number}")).await;
        servers.push((server, there));
    }
    let [(one, here), (other, there)] = &servers[..] else { panic!("two") };
    let mut watch = here.watch().await.unwrap();
    one.connect(&listen(other).await).await.unwrap();
    while !matches!(within(watch.next()).await.unwrap(), WatchEvent::Irreconcilable { replica: ONE_ID }) {}

    let (before, id) = (here.snapshot().await.unwrap(), one.id());
    assert_eq!(one.status().await.unwrap().links[0].differing, 1);
    assert!(matches!(here.set_aside("d").await, Err(SetAsideError::Taken)));
    assert!(matches!(here.set_aside("").await, Err(SetAsideError::Name(_))));
    assert_eq!((here.snapshot().await.unwrap(), one.id()), (before.clone(), id));

    let aside = within(here.set_aside("d of one")).await.unwrap();
    assert_eq!(aside.id().as_str(), "d of one");
    assert_eq!(aside.snapshot().await.unwrap(), before.detached());
    assert_ne!(one.id(), id);
    while !matches!(within(watch.next()).await.unwrap(), WatchEvent::SetAside { .. }) {}
    let copied = other.document("d of one").await.unwrap();
    converge(&[here, there]).await;
    converge(&[&aside, &copied]).await;
    assert_eq!(elements(here).await, elements(there).await);
    assert_eq!(elements(here).await.len(), 3);
    assert_eq!(elements(&copied).await.len(), 3);
    write(here, "after").await;
    write(&aside, "after").await;
    converge(&[here, there]).await;
    converge(&[&aside, &copied]).await;
    assert!(matches!(aside.set_aside("d").await, Err(SetAsideError::Taken)), "it holds something");
}
