//! Replicas on tokio: documents that every peer may write, kept in step over WebSockets.
//!
//! A [`Replica`] holds any number of documents and writes to them whether or not anybody can be
//! reached. It listens, it dials, and whoever it is linked with gets every change, directly or
//! through others, in the end.
//!
//! ```
//! use crdt_net::{Options, Replica};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // Two replicas, which might as well be on two machines.
//! let (phone, server) = (Replica::open(Options::default()).await?, Replica::open(Options::default()).await?);
//! let address = server.listen("127.0.0.1:0").await?;
//! phone.connect(&format!("ws://{address}")).await?;
//!
//! // Both write; neither waits for the other.
//! let (here, there) = (phone.document("cart").await?, server.document("cart").await?);
//! here.transact(|cart| cart.counter("apples").add(2)).await?;
//! there.transact(|cart| cart.counter("apples").add(3)).await?;
//!
//! // Each has the other's write once its version covers that of the other.
//! here.wait_for(&there.snapshot().await?.version()).await?;
//! assert_eq!(here.snapshot().await?.root().counter("apples"), Some(5));
//! # phone.close().await;
//! # server.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! One *driver* task owns the [`Endpoint`](crdt_sync::Endpoint), which is the whole protocol and
//! knows neither sockets nor clocks. Handles send it commands, socket tasks send it what arrives; it
//! takes in everything that is ready and has it made durable, and only what is durable is answered
//! and sent. It waits for nobody: a peer whose queue is full loses its link, a [`Watch`] that is too
//! slow is told so, and a disk is the business of a thread that owns the store and commits what has
//! gathered while it was busy, all with one sync. [`Replica::open`] takes the path of a folder on disk, or
//! [`Options`], which keep documents in memory unless they say otherwise.
//!
//! This crate is the only one with sockets and tasks, and gives the protocol its clock and its random
//! numbers; a store on disk draws ids and seals from the system. All that surrounds a replica can be
//! given to it: connections come from a [`Transport`], the time of day from a [`WallClock`], delays from
//! tokio's clock, which can be paused, and what is drawn from [`Options::seed`]. On a runtime of one
//! thread, the same transport, clocks, seeds and calls then give the same run again, to the byte
//! count: that is how the tests take it through partitions and crashes.
//!
//! Deliberately absent: TLS (`wss://`) and authentication. Until they are there, listen on
//! loopback, or behind a proxy that has both.

mod backoff;
mod clock;
mod dial;
mod document;
mod driver;
mod link;
mod listen;
mod net;
mod options;
mod replica;
mod status;
mod transport;
mod watch;

pub use crdt_store::{
    Continuity, DiskOpenError, DiskOptions, Holder, Identity, LeaseError, MemoryStore, Renewal, StoreError,
};
pub use crdt_sync::{Accept, Config, DocumentId, DocumentIdError, LinkId, Source};

pub use clock::WallClock;
pub use dial::TargetError;
pub use document::{DocumentError, DocumentHandle, SetAsideError, TransactError};
pub use options::{Durability, Options, Storage};
pub use replica::{BackupError, Closed, ConnectError, ListenError, OpenError, Replica};
pub use status::{Direction, LinkStatus, Status, StorageStatus, Totals};
pub use transport::{Attempt, Connection, Listener, Tcp, Transport};
pub use watch::{StatusWatch, Watch, WatchEvent};

/// The embedding example of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
