//! The handle that an application holds: open, listen, connect, close.
//!
//! Where does the work happen? In one driver task that owns the endpoint, and for a store on disk in
//! a thread that owns it; a handle only sends the driver commands over a bounded channel, so a busy
//! replica slows its callers down instead of queueing without limit.
//!
//! Deliberately absent: a way to read the live document in place. Readers get O(1) snapshots, so
//! none of them can hold up a writer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crdt_core::{ReplicaId, VersionVector};

use crdt_store::{BackupError as WriteError, DiskOpenError, Identity, LeaseError, StoreError};
use crdt_sync::{DocumentId, DocumentIdError};
use thiserror::Error;
use tokio::net::ToSocketAddrs;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::dial::{Target, TargetError};
use crate::document::{DocumentError, DocumentHandle};
use crate::driver::{self, Command, Driver, Failure, Opened, Reply};
use crate::options::Options;
use crate::status::Status;
use crate::transport::{Transport, listen_on_any};
use crate::watch::StatusWatch;

/// How many commands may wait for the driver before callers wait for room.
const COMMANDS_MAX: usize = 256;

/// A replica of any number of documents, which keeps them in step with its peers. Cheap to clone.
///
/// Its tasks run until [`close`](Self::close), or until the last handle and the last
/// [`DocumentHandle`] are dropped.
#[derive(Clone, Debug)]
pub struct Replica {
    id: watch::Receiver<ReplicaId>,
    status_changes: watch::Receiver<()>,
    commands: mpsc::Sender<Command>,
    transport: Arc<dyn Transport>,
    /// None in memory.
    identity: Option<Arc<Identity>>,
    failure: Failure,
}

impl Replica {
    /// Opens a replica, which knows every document that its store holds. It has no links yet.
    ///
    /// Documents are read when they are needed. Only those that were in memory when a process ended without closing its
    /// replica are read now, to see where they stand.
    ///
    /// A path opens the folder in which its documents are kept, and makes it if need be;
    /// `Options::default()` keeps them in memory.
    ///
    /// ```
    /// use crdt_net::Replica;
    /// # let folder = std::env::temp_dir().join(format!("crdt-net-open-{}", std::process::id()));
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let phone = Replica::open(folder.as_path()).await?;
    /// let cart = phone.document("cart").await?;
    /// cart.transact(|cart| cart.counter("apples").add(2)).await?;
    /// phone.close().await;
    ///
    /// let phone = Replica::open(folder.as_path()).await?;
    /// assert_eq!(phone.document("cart").await?.snapshot().await?.root().counter("apples"), Some(2));
    /// # phone.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`]; nothing that was stored has changed, and the store is free. If another process has it
    /// open, [`DiskOpenError::Held`] in it says which, and how to reach it if that one listens.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled; [`Tcp`](crate::Tcp) needs IO enabled as well.
    pub async fn open(options: impl Into<Options>) -> Result<Self, OpenError> {
        let options = options.into();
        let clock = Clock::start(options.wall_clock.clone());
        let opened = driver::open(&options, clock.now()).await?;
        Ok(Self::start(&options, clock, opened))
    }

    /// Starts the driver of an open store.
    pub(crate) fn start(options: &Options, clock: Clock, opened: Opened) -> Self {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let Opened { endpoint, persist, identity } = opened;
        let (transport, failure) = (Arc::clone(&options.transport), Failure::default());
        let driver = Driver::new(options, clock, (endpoint, persist), received, Arc::clone(&failure));
        let (id, status_changes) = (driver.identity(), driver.status_changes());
        tokio::spawn(driver.run());
        Self { id, status_changes, commands, transport, identity: identity.map(Arc::new), failure }
    }

    /// Returns the identity under which this replica writes.
    ///
    /// It changes, for good, when another writer turns out to use it as well: a copy of the store, or the store that
    /// this is a copy of. What was written here then goes by another id too, of which
    /// [`WatchEvent::Reissued`](crate::WatchEvent::Reissued) tells.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        *self.id.borrow()
    }

    /// Returns what the store on disk says of the identity: which ones were used before, and whether
    /// and why this opening took a new one. `None` in memory. It is as of opening: [`id`](Self::id) is what it is now.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// Accepts links on `addr` and returns the address bound; port 0 asks for a free one.
    ///
    /// A process that finds the store on disk taken is told of the addresses.
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
        Ok(DocumentHandle::new(id, self.clone()))
    }

    /// Lists the open documents, in memory or not, sorted.
    ///
    /// # Errors
    /// [`Closed`] if the replica is.
    pub async fn documents(&self) -> Result<Vec<DocumentId>, Closed> {
        self.ask(|reply| Command::Documents { reply }).await
    }

    /// Returns the version of every open document, in memory or not.
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

    /// Lets the caller know when documents and links come and go from now on.
    pub fn watch_status(&self) -> StatusWatch {
        StatusWatch::new(self.status_changes.clone())
    }

    /// Waits until everything taken in before is durable, without waiting for more to share its sync.
    ///
    /// Writes need no flush: they are durable when `transact` returns. This is for what peers have sent (not what still waits for its document to be read), and
    /// for calls of `transact` under way under [`Durability::Within`](crate::Durability::Within). A document that is being
    /// [set aside](crate::DocumentHandle::set_aside) may need another id first: that is not waited for here, but there.
    ///
    /// # Errors
    /// [`Closed`] if the replica is, or its store fails meanwhile.
    pub async fn flush(&self) -> Result<(), Closed> {
        self.ask(|reply| Command::Flush { reply }).await
    }

    /// Copies everything taken in before into the new file `path`, from which it can be restored; but as for
    /// [`flush`](Self::flush), not what waits for another id. Writes go on meanwhile. Returns how many bytes it has. If the returned future is dropped, the
    /// copy may still be made.
    ///
    /// # Errors
    /// [`BackupError`]; the replica is unchanged.
    ///
    /// # Panics
    /// If the runtime shuts down meanwhile.
    pub async fn backup(&self, path: impl Into<PathBuf>) -> Result<u64, BackupError> {
        let path = path.into();
        let backup = self.ask(|reply| Command::BackUp { reply }).await??;
        let written = spawn_blocking(move || backup.write_to(&path)).await;
        Ok(written.expect("writing a backup does not panic, and the runtime is there")?)
    }

    /// Closes every link, ends every task, frees the store and the memory of all documents; returns when that is done.
    /// Everything taken in before is durable then, unless the store has failed.
    ///
    /// Every later call through any handle returns [`Closed`]. Closing twice does nothing more.
    pub async fn close(self) {
        // Fails only if the replica is closing already: then wait for that.
        let _ = self.commands.send(Command::Close).await;
        self.commands.closed().await;
    }

    /// Waits until the replica is closed and returns the error of its store, if that is why. Keeps it
    /// open like every handle.
    pub async fn closed(&self) -> Option<StoreError> {
        self.commands.closed().await;
        self.failure()
    }

    /// Returns the error of the store that has closed the replica, if one has. It is there before any
    /// caller gets [`Closed`].
    ///
    /// Mend what it says and open the replica again: all that was acknowledged is there.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.failure.get().cloned()
    }

    /// Sends a command to the driver.
    pub(crate) async fn send(&self, command: Command) -> Result<(), Closed> {
        self.commands.send(command).await.map_err(|_| Closed)
    }

    /// Sends a command to the driver and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| Closed)
    }
}

/// The replica is closed, by [`Replica::close`] or because its store failed, of which
/// [`Replica::failure`] tells. Open it again.
///
/// A write that got this answer may or may not have been made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the replica is closed")]
pub struct Closed;

/// Why a replica could not be opened. What was stored is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be opened: another process has it, or the disk or its content is at fault.
    #[error(transparent)]
    Disk(#[from] DiskOpenError),
    /// The system's: it starts no thread for the store.
    #[error("no thread can be started for the store: {0}")]
    Thread(#[source] io::Error),
    /// The caller's: the store in memory is open, or belongs to another identity.
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

/// Why a live replica could not be backed up. It is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The caller's: its documents are in memory. Keep them on disk, or snapshots of them elsewhere.
    #[error("a replica in memory has nothing to back up")]
    InMemory,
    /// The store's: it cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The target's: the file is there already, or cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The replica is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}
