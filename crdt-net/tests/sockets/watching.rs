//! Watches: everything is delivered, or the reader is told that it was not.

use crdt_core::{Changed, Changes};
use crdt_net::{Closed, Source, WatchEvent};
use futures_util::{FutureExt, StreamExt};

use crate::support::{add, converge, links_up, open, open_listening, sum, within};

/// Returns the sums that the event reports, with where they come from.
fn counters(event: &WatchEvent) -> (Source, Vec<Option<i128>>) {
    let WatchEvent::Changed { source, changes } = event else { panic!("lagged") };
    let changes: &Changes = changes;
    let sums = changes.iter().filter_map(|change| match &change.what {
        Changed::Counter(sum) => Some(*sum),
        _ => None,
    });
    (*source, sums.collect())
}

#[tokio::test]
async fn watch_delivers_local_and_remote_changes() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
    let mut watch = here.watch().await.unwrap();
    add(&here, "n", 1).await;
    let event = within(watch.next()).await.unwrap();
    assert_eq!(counters(&event), (Source::Local, vec![Some(1)]));
    add(&there, "n", 10).await;
    let event = within(watch.next()).await.unwrap();
    assert_eq!(counters(&event), (Source::Peer(server.id()), vec![Some(11)]));
}

#[tokio::test]
async fn watch_is_a_stream_that_ends_with_the_replica() {
    let replica = open().await;
    let document = replica.document("d").await.unwrap();
    let watch = document.watch().await.unwrap();
    add(&document, "n", 1).await;
    add(&document, "n", 1).await;
    replica.close().await;
    let events: Vec<_> = within(watch.collect::<Vec<_>>()).await;
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn watcher_that_lags_is_told_and_holds_nobody_up() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
    let mut watch = here.watch().await.unwrap();
    for _ in 0..400 {
        add(&here, "n", 1).await;
    }
    converge(&[&here, &there]).await;
    let mut last = None;
    loop {
        match within(watch.next()).await.unwrap() {
            event @ WatchEvent::Changed { .. } => last = counters(&event).1[0],
            WatchEvent::Lagged => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(last < Some(400), "it has missed something");
    assert_eq!(sum(&here, "n").await, Some(400));
    add(&here, "n", 1).await;
    assert_eq!(counters(&within(watch.next()).await.unwrap()).1, [Some(401)]);
}

#[tokio::test]
async fn watch_of_the_status_tells_of_documents_and_links_and_of_nothing_else() {
    let ((server, url), phone) = (open_listening().await, open().await);
    let earlier = phone.document("earlier").await.unwrap();
    let mut status = server.watch_status();
    let mut own = phone.watch_status();
    phone.connect(&url).await.unwrap();
    // The link and the document of the peer may come as one change or as two.
    while server.documents().await.unwrap().is_empty() {
        within(status.changed()).await.unwrap();
    }
    assert_eq!(links_up(&server.status().await.unwrap()), 1);
    within(own.changed()).await.unwrap();
    let there = server.document("earlier").await.unwrap();
    add(&earlier, "n", 1).await;
    converge(&[&earlier, &there]).await;
    let mut status = server.watch_status();
    assert!(status.changed().now_or_never().is_none(), "what is in documents is for those who watch them");
    let _ = server.document("later").await.unwrap();
    within(status.changed()).await.unwrap();
    phone.close().await;
    within(status.changed()).await.unwrap();
    assert_eq!(links_up(&server.status().await.unwrap()), 0);
    server.close().await;
    assert_eq!(within(status.changed()).await, Err(Closed));
}
