//! A replica that stays: others reach it, and it says what comes.
//!
//! How is a document noticed that only others have made? The replica tells that documents or links have come or gone,
//! and is then asked for all of them. A document is watched before it is read, so that nothing falls between the two;
//! what comes there is told twice. One that is still empty is told as a whole when something comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use crdt_core::{Change, Changed, ReplicaId};
use crdt_net::{
    Closed, ConnectError, DocumentError, DocumentId, ListenError, Replica, Source, StatusWatch, WatchEvent,
};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::cart::{self, Cart};
use crate::offline::folder::{self, FolderError, Open, Renewed};

/// How many events may wait to be told. Beyond that a watch lags, and its cart is told as a whole.
const EVENTS_MAX: usize = 1_024;

/// Where to listen, and whom to dial.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address, such as `127.0.0.1:4000`; port 0 asks for a free one.
    pub listen: String,
    /// Whom to keep a link to.
    pub peers: Vec<String>,
}

/// What a replica that serves has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum News<'a> {
    /// Others can reach it from now on.
    Listening {
        /// Where.
        address: SocketAddr,
        /// Who it is.
        replica: ReplicaId,
        /// How many carts it holds.
        carts: usize,
    },
    /// A peer is linked.
    PeerUp {
        /// Who it is.
        replica: ReplicaId,
        /// The URL that was dialled, or the address that it came from.
        address: &'a str,
    },
    /// A peer is no longer linked.
    PeerDown {
        /// Who it was.
        replica: ReplicaId,
    },
    /// A whole cart: one that has come up, or one of which too much has changed to tell it bit by bit.
    Cart {
        /// Its document.
        document: &'a DocumentId,
        /// What it holds now.
        cart: Cart,
    },
    /// A cart does not come together with that of a peer, and never will until one of the two is
    /// [set aside](crate::offline::edit::set_aside).
    Conflict {
        /// Its document.
        document: &'a DocumentId,
    },
    /// The quantity of an item has changed.
    Item {
        /// In which cart.
        document: &'a DocumentId,
        /// Which item.
        item: &'a str,
        /// How many there are now; `None` if the item is gone.
        quantity: Option<i128>,
        /// Who sent the change.
        from: Source,
    },
    /// The owner's name has changed.
    Name {
        /// Of which cart.
        document: &'a DocumentId,
        /// The name that wins now.
        name: Option<String>,
        /// How many names stand side by side.
        names: usize,
        /// Who sent the change.
        from: Source,
    },
}

/// Why a replica does not serve, or no longer. What it took in is durable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The caller's: the address is taken, or none.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: ListenError,
    },
    /// The caller's: no replica can be reached at such a URL.
    #[error("{url} cannot be dialled")]
    Peer {
        /// The URL.
        url: String,
        /// Why not.
        source: ConnectError,
    },
    /// The store failed.
    #[error("the store has failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves until `end` is there, and tells what happens.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    folder: &Path,
    options: &Options,
    end: impl Future<Output = ()>,
    notice: &mut dyn FnMut(Renewed),
    tell: &mut dyn FnMut(News<'_>),
) -> Result<(), ServeError> {
    let Open { inner: replica, renewed } = folder::open_or_make(crdt_net::Options::at(folder), folder).await?;
    renewed.into_iter().for_each(notice);
    let handle = replica.clone();
    let served = async {
        let server = Server::start(&replica, options, tell).await?;
        server.run(&replica, tell).await
    };
    let outcome = tokio::select! {
        outcome = served => outcome,
        () = end => Ok(()),
    };
    replica.close().await;
    match handle.failure() {
        Some(error) => Err(ServeError::Store(error.into())),
        None => outcome,
    }
}

/// What is watched and has been told.
struct Server {
    documents: BTreeSet<DocumentId>,
    /// Those of which nothing was told yet, because they were empty.
    untold: BTreeSet<DocumentId>,
    peers: BTreeMap<ReplicaId, String>,
    status: StatusWatch,
    sender: mpsc::Sender<(DocumentId, WatchEvent)>,
    events: mpsc::Receiver<(DocumentId, WatchEvent)>,
}

impl Server {
    async fn start(replica: &Replica, options: &Options, tell: &mut dyn FnMut(News<'_>)) -> Result<Self, ServeError> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (documents, untold, peers) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let mut server = Self { documents, untold, peers, status: replica.watch_status(), sender, events };
        for document in replica.documents().await? {
            server.watch(replica, &document).await?;
        }
        for url in &options.peers {
            replica.connect(url).await.map_err(|source| ServeError::Peer { url: url.clone(), source })?;
        }
        let listening = replica.listen(options.listen.as_str()).await;
        let failed = |source| ServeError::Listen { address: options.listen.clone(), source };
        let (address, carts) = (listening.map_err(failed)?, server.documents.len());
        tell(News::Listening { address, replica: replica.id(), carts });
        Ok(server)
    }

    /// Runs until the replica is closed.
    async fn run(mut self, replica: &Replica, tell: &mut dyn FnMut(News<'_>)) -> Result<(), ServeError> {
        loop {
            tokio::select! {
                event = self.events.recv() => {
                    let (document, event) = event.expect("the sender is ours");
                    self.tell_event(replica, &document, event, tell).await?;
                }
                changed = self.status.changed() => {
                    changed?;
                    self.look(replica, tell).await?;
                }
            }
        }
    }

    /// Looks for new documents and links.
    async fn look(&mut self, replica: &Replica, tell: &mut dyn FnMut(News<'_>)) -> Result<(), ServeError> {
        let mut linked = BTreeMap::new();
        for link in replica.status().await?.links {
            linked.extend(link.peer.map(|peer| (peer, link.address)));
        }
        for (&replica, address) in linked.iter().filter(|(peer, _)| !self.peers.contains_key(*peer)) {
            tell(News::PeerUp { replica, address });
        }
        for document in replica.documents().await? {
            if !self.documents.contains(&document) {
                self.watch(replica, &document).await?;
                let snapshot = replica.document(document.as_str()).await?.snapshot().await?;
                if snapshot.version().is_empty() {
                    self.untold.insert(document);
                } else {
                    tell(News::Cart { document: &document, cart: Cart::read(&snapshot) });
                }
            }
        }
        for &replica in self.peers.keys().filter(|peer| !linked.contains_key(*peer)) {
            tell(News::PeerDown { replica });
        }
        self.peers = linked;
        Ok(())
    }

    /// Passes every event of a document on from now on.
    async fn watch(&mut self, replica: &Replica, document: &DocumentId) -> Result<(), ServeError> {
        let mut watch = replica.document(document.as_str()).await?.watch().await?;
        self.documents.insert(document.clone());
        let (document, sender) = (document.clone(), self.sender.clone());
        // Ends with the replica, or with us.
        tokio::spawn(async move {
            while let Some(event) = watch.next().await {
                if sender.send((document.clone(), event)).await.is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    async fn tell_event(
        &mut self,
        replica: &Replica,
        document: &DocumentId,
        event: WatchEvent,
        tell: &mut dyn FnMut(News<'_>),
    ) -> Result<(), ServeError> {
        match event {
            WatchEvent::Changed { source, changes } if !self.untold.remove(document) => {
                changes.iter().filter_map(|change| news(document, change, source)).for_each(tell);
                Ok(())
            }
            WatchEvent::Irreconcilable { .. } | WatchEvent::Diverged { .. } => {
                tell(News::Conflict { document });
                Ok(())
            }
            // Also what is not known yet: the whole cart is never wrong.
            _ => tell_cart(replica, document, tell).await,
        }
    }
}

/// Puts a change into words of carts; `None` for what carts do not have.
fn news<'a>(document: &'a DocumentId, change: &'a Change, from: Source) -> Option<News<'a>> {
    match &change.what {
        Changed::Counter(quantity) => {
            cart::item_at(&change.path).map(|item| News::Item { document, item, quantity: *quantity, from })
        }
        Changed::Register { value, values } if cart::is_name_at(&change.path) => {
            let name = value.as_ref().map(cart::text);
            Some(News::Name { document, name, names: *values, from })
        }
        _ => None,
    }
}

async fn tell_cart(replica: &Replica, document: &DocumentId, tell: &mut dyn FnMut(News<'_>)) -> Result<(), ServeError> {
    let snapshot = replica.document(document.as_str()).await?.snapshot().await?;
    tell(News::Cart { document, cart: Cart::read(&snapshot) });
    Ok(())
}

impl From<Closed> for ServeError {
    fn from(closed: Closed) -> Self {
        Self::Store(closed.into())
    }
}

impl From<DocumentError> for ServeError {
    fn from(error: DocumentError) -> Self {
        Self::Store(error.into())
    }
}
