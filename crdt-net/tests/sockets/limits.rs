//! Slow peers, broken connections, large documents, too many connections.

use crdt_core::EditError;
use crdt_net::DocumentHandle;

use crate::proxy::Proxy;
use crate::refusals::{close_frame, dial_as_peer};
use crate::support::{add, converge, links_up, listen, open, open_listening, open_with, sum, until, version, within};

/// Writes values that no two of are equal, `count` times `bytes`.
async fn write_much(document: &DocumentHandle, count: usize, bytes: usize) {
    for number in 0..count {
        let edit = document.transact(move |edit| {
            let value = format!("{number:08}").repeat(bytes / 8);
            edit.register(&format!("key/{number}")).set(value)
        });
        within(edit).await.map_err(|error: crdt_net::TransactError<EditError>| error).expect("a valid edit");
    }
}

#[tokio::test]
async fn peer_that_takes_nothing_holds_nobody_up() {
    let ((server, url), stuck, phone) = (open_listening().await, open().await, open().await);
    let proxy = Proxy::to(&url).await;
    let (there, theirs) = (server.document("d").await.unwrap(), stuck.document("d").await.unwrap());
    stuck.connect(proxy.url()).await.unwrap();
    add(&theirs, "n", 1).await;
    converge(&[&there, &theirs]).await;

    proxy.stop();
    // Far more than credit, socket buffers and queues hold together.
    write_much(&there, 128, 256 * 1024).await;
    phone.connect(&url).await.unwrap();
    let here = phone.document("d").await.unwrap();
    converge(&[&there, &here]).await;
    let status = server.status().await.unwrap();
    assert_eq!(links_up(&status), 2, "the stuck peer keeps its link until it is given up");
    assert!(status.links.iter().all(|link| link.in_flight_bytes <= 1024 * 1024), "{:?}", status.links);
    assert!(!version(&theirs).await.covers_all(&version(&there).await));
}

#[tokio::test]
async fn connection_cut_again_and_again_loses_nothing() {
    let (server, url) = open_listening().await;
    let proxy = Proxy::to(&url).await;
    let phone = open_with(|options| options.redial_max_ms = 10).await;
    phone.connect(proxy.url()).await.unwrap();
    let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
    for round in 0..10 {
        until(&phone, |status| links_up(status) == 1).await;
        write_much(&here, 4, 128 * 1024).await;
        add(&there, "n", 1).await;
        proxy.cut();
        until(&phone, |status| status.totals.links_up > round + 1).await;
    }
    converge(&[&here, &there]).await;
    assert_eq!(sum(&here, "n").await, Some(10));
    assert!(server.status().await.unwrap().totals.links_up >= 11);
}

#[tokio::test]
async fn large_document_arrives_at_a_new_peer() {
    let ((server, url), phone) = (open_listening().await, open().await);
    let there = server.document("d").await.unwrap();
    // 16 MiB, four times what the log keeps: only a snapshot can bring it over.
    write_much(&there, 16, 1024 * 1024).await;
    phone.connect(&url).await.unwrap();
    let here = phone.document("d").await.unwrap();
    converge(&[&here, &there]).await;
    assert_eq!(server.status().await.unwrap().totals.snapshots_sent, 1);
}

/// Below the least limit that a peer may be told, the socket kept to the number as it stood, and closed on every frame
/// that was longer, again and again.
#[tokio::test]
async fn frames_may_be_as_small_as_is_asked_for_but_not_smaller_than_a_peer_may_send() {
    for bytes in [4_096, 4_095, 0] {
        let (server, url) = open_listening().await;
        let phone = open_with(|options| options.sync.frame_bytes_max = bytes).await;
        let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
        write_much(&here, 4, 16 * 1024).await;
        write_much(&there, 4, 16 * 1024).await;
        phone.connect(&url).await.unwrap();
        converge(&[&here, &there]).await;
        let status = phone.status().await.unwrap();
        assert_eq!((status.totals.links_up, links_up(&status)), (1, 1), "at {bytes}: {status:?}");
    }
}

#[tokio::test]
async fn connection_beyond_the_limit_waits_for_its_turn() {
    let server = open_with(|options| options.connections_max = 1).await;
    let url = listen(&server).await;
    let (first, second) = (open().await, open().await);
    first.connect(&url).await.unwrap();
    until(&first, |status| links_up(status) == 1).await;
    second.connect(&url).await.unwrap();
    let (here, there) = (second.document("d").await.unwrap(), server.document("d").await.unwrap());
    add(&here, "n", 1).await;
    assert_eq!(server.status().await.unwrap().links.len(), 1);
    first.close().await;
    converge(&[&here, &there]).await;
    assert_eq!(server.status().await.unwrap().links[0].peer, Some(second.id()));
}

#[tokio::test]
async fn silent_peer_is_given_up_after_the_hello_timeout() {
    let server = open_with(|options| options.sync.hello_timeout_ms = 50).await;
    let url = listen(&server).await;
    let mut client = dial_as_peer(&url).await;
    assert_eq!(u16::from(close_frame(&mut client).await.code), 4004);
    until(&server, |status| status.links.is_empty()).await;
}
