//! What is written anywhere arrives everywhere.

use crdt_core::EditError;
use crdt_net::MemoryStore;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{add, converge, links_up, listen, open, open_listening, open_on, sum, until, version, within};

#[tokio::test]
async fn two_replicas_converge() {
    let ((server, url), phone) = (open_listening().await, open().await);
    let (there, here) = (server.document("cart").await.unwrap(), phone.document("cart").await.unwrap());
    add(&there, "tea", 2).await;
    phone.connect(&url).await.unwrap();
    add(&here, "tea", 3).await;
    converge(&[&there, &here]).await;
    assert_eq!(sum(&here, "tea").await, Some(5));
    add(&there, "milk", 1).await;
    add(&here, "milk", 1).await;
    converge(&[&there, &here]).await;
}

#[tokio::test]
async fn document_of_a_peer_arrives_without_being_opened() {
    let ((server, url), phone) = (open_listening().await, open().await);
    let there = server.document("cart").await.unwrap();
    add(&there, "tea", 2).await;
    phone.connect(&url).await.unwrap();
    within(async { while phone.documents().await.unwrap().is_empty() {} }).await;
    let here = phone.document("cart").await.unwrap();
    converge(&[&there, &here]).await;
    assert_eq!(phone.versions().await.unwrap(), server.versions().await.unwrap());
}

#[tokio::test]
async fn three_in_a_line_relay() {
    let ((middle, url), left, right) = (open_listening().await, open().await, open().await);
    left.connect(&url).await.unwrap();
    right.connect(&url).await.unwrap();
    let (a, b) = (left.document("d").await.unwrap(), right.document("d").await.unwrap());
    let between = middle.document("d").await.unwrap();
    for _ in 0..20 {
        add(&a, "n", 1).await;
        add(&b, "n", 1).await;
    }
    converge(&[&a, &b, &between]).await;
    assert_eq!(sum(&between, "n").await, Some(40));
}

#[tokio::test]
async fn offline_writes_of_both_sides_merge_once_online() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    let (there, here) = (server.document("d").await.unwrap(), phone.document("d").await.unwrap());
    add(&here, "n", 1).await;
    converge(&[&there, &here]).await;

    phone.go_offline().await.unwrap();
    let status = phone.status().await.unwrap();
    assert!(!status.online && status.links.is_empty());
    until(&server, |status| status.links.is_empty()).await;
    let before = version(&there).await;
    add(&here, "n", 10).await;
    add(&there, "n", 100).await;
    assert!(!version(&there).await.covers_all(&version(&here).await));
    assert!(!version(&here).await.covers_all(&version(&there).await));
    assert!(version(&there).await.covers_all(&before));

    phone.go_online().await.unwrap();
    converge(&[&there, &here]).await;
    assert_eq!(sum(&here, "n").await, Some(111));
}

#[tokio::test]
async fn listener_that_goes_offline_keeps_its_port_and_turns_dialers_away() {
    let ((server, url), phone) = (open_listening().await, open().await);
    let (there, here) = (server.document("d").await.unwrap(), phone.document("d").await.unwrap());
    server.go_offline().await.unwrap();
    assert_eq!(server.status().await.unwrap().listening.len(), 1);
    phone.connect(&url).await.unwrap();
    add(&here, "n", 1).await;
    server.go_online().await.unwrap();
    add(&there, "n", 1).await;
    converge(&[&there, &here]).await;
}

#[tokio::test]
async fn dial_is_repeated_until_somebody_listens() {
    let phone = open().await;
    let here = phone.document("d").await.unwrap();
    add(&here, "n", 1).await;
    // Somebody else has the port first, and hangs up on the first attempt.
    let impostor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = impostor.local_addr().unwrap();
    phone.connect(&format!("ws://{address}")).await.unwrap();
    drop(within(impostor.accept()).await.unwrap());
    drop(impostor);

    let server = open().await;
    server.listen(address).await.unwrap();
    let there = server.document("d").await.unwrap();
    converge(&[&here, &there]).await;
}

#[tokio::test]
async fn replica_reopened_on_its_store_goes_on_and_loses_nothing() {
    let (store, phone) = (MemoryStore::new(), open().await);
    let here = phone.document("d").await.unwrap();
    let server = open_on(&store).await;
    let (id, url) = (server.id(), listen(&server).await);
    phone.connect(&url).await.unwrap();
    let there = server.document("d").await.unwrap();
    add(&there, "n", 1).await;
    add(&here, "n", 10).await;
    converge(&[&here, &there]).await;
    add(&there, "n", 100).await;
    let spent = version(&there).await.counter(id);
    let address = server.status().await.unwrap().listening[0];
    server.close().await;
    add(&here, "n", 1_000).await;

    let server = open_on(&store).await;
    assert_eq!(server.id(), id);
    let there = server.document("d").await.unwrap();
    assert_eq!(version(&there).await.counter(id), spent);
    server.listen(address).await.unwrap();
    add(&there, "n", 10_000).await;
    converge(&[&here, &there]).await;
    assert_eq!(sum(&here, "n").await, Some(11_111));
    assert_eq!(version(&here).await.counter(id), spent + 1);
}

#[tokio::test]
async fn two_hundred_documents_share_one_link() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    let mut pairs = Vec::new();
    for number in 0..200 {
        let name = format!("document/{number}");
        let here = phone.document(&name).await.unwrap();
        add(&here, "n", number).await;
        pairs.push((here, server.document(&name).await.unwrap()));
    }
    for (here, there) in &pairs {
        converge(&[here, there]).await;
    }
    let status = until(&phone, |status| links_up(status) == 1).await;
    assert_eq!(status.links[0].documents, 200);
    until(&phone, |status| status.links.iter().all(|link| link.in_sync == 200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_transactions_are_all_durable_and_all_arrive() {
    let (store, (server, url)) = (MemoryStore::new(), open_listening().await);
    let phone = open_on(&store).await;
    phone.connect(&url).await.unwrap();
    let here = phone.document("d").await.unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let (here, store, id) = (here.clone(), store.clone(), phone.id());
        writers.spawn(async move {
            for _ in 0..100 {
                let mine: i128 = here
                    .transact(|edit| {
                        edit.counter("n").add(1)?;
                        Ok::<_, EditError>(edit.counter("n").value())
                    })
                    .await
                    .unwrap();
                let stored = store.load("d").unwrap().version.counter(id);
                assert!(i128::from(stored) >= mine, "answered before it was stored: {stored} < {mine}");
            }
        });
    }
    within(writers.join_all()).await;
    let there = server.document("d").await.unwrap();
    converge(&[&here, &there]).await;
    assert_eq!(sum(&there, "n").await, Some(6_400));
    assert_eq!(version(&there).await.counter(phone.id()), 6_400);
}
