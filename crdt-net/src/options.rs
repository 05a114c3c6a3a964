//! How a replica is opened: where its documents are kept, how soon they are durable, its limits.
//!
//! Why is the store no type parameter, or a trait object of the application's? Because the two differ in
//! who may wait: memory is written by the driver itself, so that simulated runs need no thread, and a
//! disk by a thread of its own, so that nobody waits for it who need not (see `driver::persist`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crdt_core::ReplicaId;
use crdt_store::{DiskOptions, MemoryStore};
use crdt_sync::Config;

use crate::clock::WallClock;
use crate::transport::{Tcp, Transport};

/// How a replica is opened.
///
/// A path is enough where the rest may stay as it is: see [`Replica::open`](crate::Replica::open).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Under which identity to write. `None`: that of the store, or a random one if it is new.
    pub replica: Option<ReplicaId>,
    /// Limits and delays of the protocol.
    pub sync: Config,
    /// Where documents are kept: in memory, for the life of the process.
    pub storage: Storage,
    /// How long a write may wait for others that share its sync: [`Durability::Immediate`].
    pub durability: Durability,
    /// How many bytes of writes may wait for the disk: 16 MiB. While more do, the replica takes in no transactions and
    /// reads no peer. What may exceed it: one write, and those that were taken in before and have waited for their
    /// document to be read.
    pub waiting_bytes_max: usize,
    /// The longest wait before the first redial of an address: 100 ms. It doubles with each failure.
    pub redial_min_ms: u64,
    /// The longest wait before any redial: 30 s.
    pub redial_max_ms: u64,
    /// Which web origins may open a link, such as `https://app.example`. A request without an
    /// `Origin` header does not come from a browser and is not asked for one.
    pub allowed_origins: Vec<String>,
    /// How many connections are accepted at a time, over all listeners: 10,000. Others wait.
    pub connections_max: usize,
    /// What links run on: [`Tcp`].
    pub transport: Arc<dyn Transport>,
    /// Where the time of day is read: the clock of the system.
    pub wall_clock: WallClock,
    /// What the delays before redials and the numbers are drawn from that tell links and openings of a replica apart.
    /// `None`: randomness of the system. A seed is for simulated runs that are to be the same again; take another one
    /// each time a replica is opened, for peers tell a restarted or copied replica from the one before by what it has
    /// drawn.
    ///
    /// An identity never comes from a seed, or two could share one: for that of a new replica, set
    /// [`replica`](Self::replica) as well. One that is taken because another writer uses the same is random in any case.
    pub seed: Option<u64>,
}

impl Options {
    /// Keeps documents in a folder on disk, which is made if need be. Nothing is touched before the
    /// replica is opened.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        let storage = Storage::Disk { folder: folder.into(), options: DiskOptions::default() };
        Self { storage, ..Self::default() }
    }
}

/// In memory, under a new identity.
impl Default for Options {
    fn default() -> Self {
        Self {
            replica: None,
            sync: Config::default(),
            storage: Storage::Memory(MemoryStore::new()),
            durability: Durability::Immediate,
            waiting_bytes_max: 16 * 1024 * 1024,
            redial_min_ms: 100,
            redial_max_ms: 30_000,
            allowed_origins: Vec::new(),
            connections_max: 10_000,
            transport: Arc::new(Tcp),
            wall_clock: WallClock::default(),
            seed: None,
        }
    }
}

impl From<&Path> for Options {
    fn from(folder: &Path) -> Self {
        Self::at(folder)
    }
}

impl From<PathBuf> for Options {
    fn from(folder: PathBuf) -> Self {
        Self::at(folder)
    }
}

impl From<&str> for Options {
    fn from(folder: &str) -> Self {
        Self::at(folder)
    }
}

impl From<String> for Options {
    fn from(folder: String) -> Self {
        Self::at(folder)
    }
}

/// Where the documents of a replica are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Storage {
    /// In memory: they survive the replica for as long as a clone of the store is held, not the process.
    Memory(MemoryStore),
    /// In a folder on disk, which one process at a time may have open.
    Disk {
        /// The folder; it is made if need be.
        folder: PathBuf,
        /// Identity, caches and limits. [`Options::replica`] takes precedence over the identity in here.
        options: DiskOptions,
    },
}

impl From<MemoryStore> for Storage {
    fn from(store: MemoryStore) -> Self {
        Self::Memory(store)
    }
}

/// How long a write may wait for others before all of them are made durable by one sync of the disk.
///
/// Whatever it is, a write is durable when [`transact`](crate::DocumentHandle::transact) returns, and
/// before a peer hears of it. While one sync is under way the next writes gather in any case. A store in
/// memory has nothing to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Sync as soon as the disk is free: the shortest wait for each write.
    #[default]
    Immediate,
    /// Gather writes for up to this long after the first: fewer syncs, for batteries and flash memory.
    /// Once 1 MiB waits, a document is to be read, or the replica is flushed, backed up or closed, it syncs at once.
    Within {
        /// In milliseconds.
        ms: u64,
    },
}
