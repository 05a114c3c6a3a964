//! Links: how many there are, what ends them, and what remains of them.

use crdt_net::{Direction, Status};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use crate::refusals::{close_frame, dial_as_peer};
use crate::support::{add, converge, links_up, listen, open, open_listening, open_with, until};

#[tokio::test]
async fn mutual_dialling_ends_with_one_live_link() {
    let ((left, left_url), (right, right_url)) = (open_listening().await, open_listening().await);
    let (here, there) = (left.document("d").await.unwrap(), right.document("d").await.unwrap());
    left.connect(&right_url).await.unwrap();
    right.connect(&left_url).await.unwrap();
    add(&here, "n", 1).await;
    converge(&[&here, &there]).await;
    // Refused links may still be on their way out; the live one stays the same.
    let one = |status: &Status| status.links.len() == 1 && links_up(status) == 1;
    let kept = until(&left, one).await.links[0].link;
    until(&right, one).await;
    for _ in 0..50 {
        add(&here, "n", 1).await;
        add(&there, "n", 1).await;
        converge(&[&here, &there]).await;
    }
    let status = left.status().await.unwrap();
    assert!(one(&status), "{:?}", status.links);
    assert_eq!(status.links[0].link, kept);
    assert!(one(&right.status().await.unwrap()));
}

#[tokio::test]
async fn link_is_described_from_both_ends() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    let dialled = until(&phone, |status| links_up(status) == 1).await.links.remove(0);
    let accepted = until(&server, |status| links_up(status) == 1).await.links.remove(0);
    assert_eq!((dialled.peer, dialled.direction), (Some(server.id()), Direction::Dialled));
    assert_eq!((accepted.peer, accepted.direction), (Some(phone.id()), Direction::Accepted));
    assert_eq!(dialled.address, url);
}

#[tokio::test]
async fn disconnect_ends_the_link_and_stops_dialling() {
    let ((server, url), phone) = (open_listening().await, open().await);
    phone.connect(&url).await.unwrap();
    phone.connect(&format!("{url}/")).await.unwrap();
    let status = until(&phone, |status| links_up(status) == 1).await;
    assert_eq!(status.dialling.as_slice(), std::slice::from_ref(&url));
    phone.disconnect(&url).await.unwrap();
    let status = phone.status().await.unwrap();
    assert!(status.links.is_empty() && status.dialling.is_empty());
    until(&server, |status| status.links.is_empty()).await;
    // It can be dialled again.
    phone.connect(&url).await.unwrap();
    until(&phone, |status| links_up(status) == 1).await;
}

#[tokio::test]
async fn totals_survive_the_links_they_sum_up() {
    let ((server, url), phone) = (open_listening().await, open().await);
    let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
    phone.connect(&url).await.unwrap();
    add(&here, "n", 1).await;
    converge(&[&here, &there]).await;
    phone.disconnect(&url).await.unwrap();
    until(&server, |status| status.links.is_empty()).await;
    let (sent, received) = (phone.status().await.unwrap().totals, server.status().await.unwrap().totals);
    assert_eq!((sent.links_up, received.links_up), (1, 1));
    assert_eq!((sent.deltas_sent, received.deltas_received), (1, 1));
    assert!(sent.bytes_sent > 0 && received.bytes_received > 0);

    phone.connect(&url).await.unwrap();
    add(&here, "n", 1).await;
    converge(&[&here, &there]).await;
    assert_eq!(phone.status().await.unwrap().totals.links_up, 2);
    assert_eq!(phone.status().await.unwrap().totals.deltas_sent, 2);
}

#[tokio::test]
async fn totals_keep_the_bytes_of_a_link_that_the_replica_closed_itself() {
    const BYTES: usize = 200;
    let (server, url) = open_listening().await;
    let mut client = dial_as_peer(&url).await;
    client.send(Message::binary(vec![0; BYTES])).await.unwrap();
    close_frame(&mut client).await;
    let status = server.status().await.unwrap();
    assert!(status.links.is_empty());
    assert_eq!(status.totals.bytes_received, BYTES as u64);
    assert!(status.totals.bytes_sent > 0, "a hello at least");
}

#[tokio::test]
async fn replica_does_not_link_with_itself() {
    // It is tried again and again at once, so that the links do not come and go unseen.
    let replica = open_with(|options| (options.redial_min_ms, options.redial_max_ms) = (1, 1)).await;
    let url = listen(&replica).await;
    replica.connect(&url).await.unwrap();
    let status = until(&replica, |status| !status.links.is_empty()).await;
    let first = status.links[0].link;
    let status = until(&replica, |status| status.links.iter().any(|link| link.link > first)).await;
    assert!(status.links.iter().all(|link| link.peer.is_none()), "{:?}", status.links);
    assert_eq!(status.totals.links_up, 0);
}
