//! A cluster that cannot converge says who lacks what, and does so by itself.

use std::time::Duration;

use demo_app::cart;
use demo_app::cluster::{Cluster, ClusterError};
use demo_app::topology::Topology;

#[tokio::test]
async fn a_replica_that_stays_away_is_named_with_what_it_lacks() {
    let cluster = Cluster::open(Topology::Line, 3, 1).await.expect("loopback works");
    cluster.replica(2).go_offline().await.expect("it is open");
    let document = cluster.replica(0).document("cart/1").await.expect("a short name");
    for _ in 0..3 {
        document.transact(|edit| cart::add(edit, "apple", 1)).await.expect("a small sum");
    }
    let stalled = match cluster.converge(Duration::from_secs(1), |_| ()).await {
        Err(ClusterError::Stalled(stalled)) => stalled.to_string(),
        other => panic!("one replica is away: {other:?}"),
    };
    let lacking = "; replica 2 lacks 3 transactions in 1 documents, first cart/1 from 1 to 3 of replica 0";
    assert!(stalled.ends_with(lacking), "{stalled}");

    // Nothing is lost by it: back again, it catches up.
    cluster.replica(2).go_online().await.expect("it is open");
    cluster.converge(Duration::from_secs(20), |_| ()).await.expect("all links are back");
    cluster.close().await;
}
