//! Replicas on real WebSockets on loopback, which keep their documents in memory.

use std::time::{Duration, Instant};

use crdt_core::{Snapshot, VersionVector};
use crdt_net::{DocumentHandle, Options, Replica, Storage};
use crdt_store::{MemoryStore, Store};

use crate::pair::document_id;
use crate::{Failed, ensure, key, replica};

/// A replica that has the document and listens.
#[derive(Debug)]
pub struct Provider {
    replica: Replica,
    document: DocumentHandle,
    url: String,
    /// How many have dialled it.
    served: u128,
}

/// A replica that has dialled a [`Provider`] and holds what that one does.
#[derive(Debug)]
pub struct Follower {
    replica: Replica,
    document: DocumentHandle,
    /// From the dialling until it held the whole document.
    pub took: Duration,
    /// How many bytes of messages it had received by then.
    pub received_bytes: u64,
}

impl Provider {
    /// Opens a replica that holds the snapshot, and listens.
    ///
    /// # Errors
    /// Whatever fails, or a wrong result.
    pub async fn open(snapshot: &Snapshot) -> Result<Self, Failed> {
        let store = MemoryStore::new();
        store.lease(replica(1))?.replace(document_id().as_str(), snapshot.clone())?;
        let mut options = Options::default();
        options.storage = Storage::Memory(store);
        options.replica = Some(replica(1));
        let replica = Replica::open(options).await?;
        let document = replica.document(document_id().as_str()).await?;
        // In memory from here on.
        let opened = document.snapshot().await?;
        ensure(opened.digest() == snapshot.digest(), || "the provider holds something else".to_owned())?;
        let url = format!("ws://{}", replica.listen("127.0.0.1:0").await?);
        Ok(Self { replica, document, url, served: 0 })
    }

    /// Lets a fresh replica dial and take over the whole document.
    ///
    /// # Errors
    /// Whatever fails, or a wrong result.
    pub async fn hand_over(&mut self) -> Result<Follower, Failed> {
        self.served += 1;
        let (expected, version) = (self.document.snapshot().await?, self.version().await?);
        let mut options = Options::default();
        options.replica = Some(replica(1_000 + self.served));
        let replica = Replica::open(options).await?;
        let document = replica.document(document_id().as_str()).await?;
        let begin = Instant::now();
        replica.connect(&self.url).await?;
        document.wait_for(&version).await?;
        let held = document.snapshot().await?;
        let took = begin.elapsed();
        let is_right = held.digest() == expected.digest() && held.version() == version;
        ensure(is_right, || "the fresh peer holds something else".to_owned())?;
        let received_bytes = replica.status().await?.totals.bytes_received;
        Ok(Follower { replica, document, took, received_bytes })
    }

    /// Inserts one key into the set "s", in a transaction of its own.
    ///
    /// # Errors
    /// Whatever fails.
    pub async fn insert(&self, number: usize) -> Result<(), Failed> {
        Ok(self.document.transact(move |edit| edit.set("s").insert(key(number))).await?)
    }

    /// Returns the version of the document.
    ///
    /// # Errors
    /// If the replica is closed.
    pub async fn version(&self) -> Result<VersionVector, Failed> {
        Ok(self.document.snapshot().await?.version())
    }

    /// Closes the replica.
    pub async fn close(self) {
        self.replica.close().await;
    }
}

impl Follower {
    /// Waits until it holds all of a version; returns how many elements the set "s" has then.
    ///
    /// # Errors
    /// If the replica is closed.
    pub async fn reach(&self, version: &VersionVector) -> Result<usize, Failed> {
        self.document.wait_for(version).await?;
        Ok(self.document.snapshot().await?.root().set("s").map_or(0, |set| set.len()))
    }

    /// Closes the replica.
    pub async fn close(self) {
        self.replica.close().await;
    }
}
