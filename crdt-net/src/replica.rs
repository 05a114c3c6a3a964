//! The handle that an application holds: open, listen, connect, close.
//!
//! Where does the work happen? In one driver task that owns the endpoint and the store; a handle
//! only sends it commands over a bounded channel, so a busy replica slows its callers down instead
//! of queueing without limit, and nothing is ever locked.
//!
//! Deliberately absent: a way to read the live document in place. Readers get O(1) snapshots, so
//! none of them can hold up a writer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crdt_core::{ReplicaId, VersionVector};
use crdt_store::{LeaseError, MemoryStore, StoreError};
use crdt_sync::{Config, DocumentId, DocumentIdError};
use thiserror::Error;
use tokio::net::ToSocketAddrs;
use tokio::sync::{mpsc, oneshot};

use crate::clock::WallClock;
use crate::dial::{Target, TargetError};
use crate::document::{DocumentError, DocumentHandle};
use crate::driver::{Command, Driver, Reply};
use crate::status::Status;
use crate::transport::{Tcp, Transport, listen_on_any};

/// How many commands may wait for the driver before callers wait for room.
const COMMANDS_MAX: usize = 256;

/// How a replica is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Under which identity to write. `None`: that of the store, or a random one if it is new.
    pub replica: Option<ReplicaId>,
    /// Limits and delays of the protocol.
    pub sync: Config,
    /// Where documents are kept.
    pub store: MemoryStore,
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
    /// What the nonces of links and the delays before redials are drawn from. `None`: randomness of
    /// the system. A seed is for simulated runs that are to be the same again; take another one each
    /// time a replica is opened, for peers tell a restarted replica from the one before by its nonces.
    ///
    /// The identity of a new replica never comes from a seed, or two could share one: set
    /// [`replica`](Self::replica) as well.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replica: None,
            sync: Config::default(),
            store: MemoryStore::new(),
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

/// A replica of any number of documents, which keeps them in step with its peers. Cheap to clone.
///
/// Its tasks run until [`close`](Self::close), or until the last handle and the last
/// [`DocumentHandle`] are dropped.
#[derive(Clone, Debug)]
pub struct Replica {
    id: ReplicaId,
    commands: mpsc::Sender<Command>,
    transport: Arc<dyn Transport>,
}

impl Replica {
    /// Opens a replica and every document that the store holds. It has no links yet.
    ///
    /// # Errors
    /// [`OpenError`]; the store is unchanged and free.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled; [`Tcp`] needs IO enabled as well.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let transport = Arc::clone(&options.transport);
        let driver = Driver::open(options, received)?;
        let id = driver.replica();
        tokio::spawn(driver.run());
        Ok(Self { id, commands, transport })
    }

    /// Returns the identity under which this replica writes.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Accepts links on `addr` and returns the address bound; port 0 asks for a free one.
    ///
    /// # Errors
    /// [`ListenError`]; nothing has changed.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> Result<SocketAddr, ListenError> {
        let listener = listen_on_any(&*self.transport, addr).await?;
        let address = listener.local_addr()?;
        self.ask(|reply| Command::Listen { listener, address, reply }).await?;
        Ok(address)
    }

    /// Keeps a link to `url` up: redials with full jitter until [`disconnect`](Self::disconnect)
    /// or [`close`](Self::close). Returns at once; calling it again for one URL changes nothing.
    ///
    /// # Errors
    /// [`ConnectError`] if the URL can never be dialled, or the replica is closed. That nobody
    /// answers there is no error: somebody may later.
    pub async fn connect(&self, url: &str) -> Result<(), ConnectError> {
        let target = Target::parse(url)?;
        Ok(self.ask(|reply| Command::Connect { target, reply }).await?)
    }

    /// Stops dialling `url` and closes the link that was dialled there, if there is one.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn disconnect(&self, url: &str) -> Result<(), Closed> {
        match Target::parse(url) {
            Ok(target) => self.ask(|reply| Command::Disconnect { target, reply }).await,
            Err(_) if self.commands.is_closed() => Err(Closed),
            // Nothing unusable was ever dialled.
            Err(_) => Ok(()),
        }
    }

    /// Returns a handle to the document `name`, which is opened here if it is not yet.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed.
    pub async fn document(&self, name: &str) -> Result<DocumentHandle, DocumentError> {
        let id = DocumentId::new(name).map_err(DocumentError::Name)?;
        let document = id.clone();
        self.ask(|reply| Command::Open { document, reply }).await?.map_err(DocumentError::Open)?;
        Ok(DocumentHandle::new(id, self.commands.clone()))
    }

    /// Lists the open documents, sorted.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn documents(&self) -> Result<Vec<DocumentId>, Closed> {
        self.ask(|reply| Command::Documents { reply }).await
    }

    /// Returns the version of every open document.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn versions(&self) -> Result<BTreeMap<DocumentId, VersionVector>, Closed> {
        self.ask(|reply| Command::Versions { reply }).await
    }

    /// Closes every link and stops dialling and accepting; local reads and writes go on.
    ///
    /// Ports stay bound: whoever dials them is turned away.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn go_offline(&self) -> Result<(), Closed> {
        self.ask(|reply| Command::GoOffline { reply }).await
    }

    /// Accepts again, and dials again at once what was dialled before.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn go_online(&self) -> Result<(), Closed> {
        self.ask(|reply| Command::GoOnline { reply }).await
    }

    /// Returns how the replica stands.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn status(&self) -> Result<Status, Closed> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// Closes every link, ends every task and frees the store; returns when that is done.
    ///
    /// Every later call through any handle returns [`Closed`]. Closing twice does nothing more.
    pub async fn close(self) {
        // Fails only if the replica is closing already: then wait for that.
        let _ = self.commands.send(Command::Close).await;
        self.commands.closed().await;
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Closed> {
        ask(&self.commands, command).await
    }
}

/// Sends a command to the driver and waits for its answer.
pub(crate) async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Closed> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.map_err(|_| Closed)?;
    answer.await.map_err(|_| Closed)
}

/// The replica is closed, by [`Replica::close`] or because its store failed. Open it again.
///
/// A write that got this answer may or may not have been made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the replica is closed")]
pub struct Closed;

/// Why a replica could not be opened. The store is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The caller's: the store is open, or belongs to another identity.
    #[error("the store cannot be opened: {0}")]
    Lease(#[from] LeaseError),
    /// The store's: it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's: it holds a document under a name that none can have.
    #[error("the store holds a document of a bad name: {0}")]
    Name(#[from] DocumentIdError),
    /// The store's, or the configuration's: what it holds of a document cannot be opened.
    #[error("document {document} cannot be opened: {error}")]
    Document {
        /// Which one.
        document: DocumentId,
        /// Why.
        error: crdt_sync::OpenError,
    },
}

/// Why a replica does not listen. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is taken, not ours, or not allowed.
    #[error("the address cannot be bound: {0}")]
    Bind(#[from] io::Error),
    /// The replica is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why an address can never be dialled. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The caller's: the URL is none that a replica listens on.
    #[error(transparent)]
    Url(#[from] TargetError),
    /// The replica is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}
