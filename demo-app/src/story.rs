//! The article's story, played on real replicas: two people change one cart while they cannot
//! talk, and nothing of either is lost.
//!
//! A and B start from the same cart, lose their links, and both go on shopping: each puts
//! something in, both change one quantity, A takes the bread out while B adds one more, and both
//! write a name. Then the links come back. The merge keeps every change; only the name has two
//! concurrent values, and so one wins, the other stays readable, and A settles it.
//!
//! Every step is told to the caller as a [`Scene`] the moment it happens. The last one is a
//! [`Report`], which lists whatever differs from what the story promises.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crdt_core::EditError;
use crdt_net::{Closed, DocumentError, DocumentHandle, TransactError};
use thiserror::Error;

pub use self::report::{Conflict, Report};
use self::script::{A, ALONE_A, ALONE_B, B, CART, START};
pub use self::script::{Edit, letter};
pub use self::view::{View, version_text};
use crate::cart::Cart;
use crate::cluster::{Cluster, ClusterError};
use crate::topology::{Edge, Topology};

mod report;
mod script;
mod view;

/// The most replicas the story can name: one for each letter.
pub const PEERS_MAX: usize = 26;

/// Between A's changes and B's, so that B's name is the later one in milliseconds, too.
const MOMENT: Duration = Duration::from_millis(10);

/// How the story is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who links to whom; A is replica 0 and B replica 1.
    pub topology: Topology,
    /// How many replicas, 2 to [`PEERS_MAX`]; from the third on they only listen and relay.
    pub peers: usize,
    /// Fixes the replica ids.
    pub seed: u64,
    /// How long nothing may move before the story gives up.
    pub stall: Duration,
}

/// One step of the story, told as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Scene<'a> {
    /// The replicas are up.
    Opened {
        /// Who links to whom.
        topology: Topology,
        /// Where each listens, A first.
        addresses: &'a [SocketAddr],
        /// The links between them.
        edges: &'a [Edge],
    },
    /// A part of the story begins.
    Begins(Act),
    /// A replica has changed its cart.
    Wrote {
        /// The replica's number.
        replica: usize,
        /// What it did.
        edit: &'a Edit,
    },
    /// The versions of all replicas have become equal.
    Converged {
        /// How long it took.
        after: Duration,
    },
    /// What every replica shows now, A first.
    Carts(&'a [View]),
    /// The story is over.
    Ended(&'a Report),
}

/// The parts of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Everybody starts from the same cart.
    Start,
    /// A and B have no links and go on.
    Apart,
    /// A and B have their links back.
    Merge,
    /// A settles the conflict over the name.
    Resolution,
}

/// Why the story could not be told to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoryError {
    /// The replicas could not be opened, have stopped, or no longer exchange anything.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The cart cannot be opened.
    #[error("the cart cannot be opened")]
    Document(#[from] DocumentError),
    /// A change was refused.
    #[error("a change of the cart was refused")]
    Transact(#[from] TransactError<EditError>),
    /// After the merge there is no name to choose from: a write was lost.
    #[error("the merged cart has no name, though two were written")]
    NoName,
}

impl From<Closed> for StoryError {
    fn from(closed: Closed) -> Self {
        Self::Cluster(closed.into())
    }
}

/// Plays the story and tells each step to `tell`.
///
/// # Errors
/// [`StoryError`] if it cannot be played to its end. An end that differs from what the story
/// promises is no error but a [`Report`] that [is not good](Report::is_good).
pub async fn run(options: &Options, tell: &mut dyn FnMut(Scene<'_>)) -> Result<Report, StoryError> {
    let cluster = Cluster::open(options.topology, options.peers, options.seed).await?;
    let (topology, addresses) = (options.topology, cluster.addresses());
    tell(Scene::Opened { topology, addresses: &addresses, edges: cluster.edges() });
    let told = Story { cluster: &cluster, stall: options.stall, tell }.play(topology).await;
    cluster.close().await;
    told
}

/// A story under way.
struct Story<'a> {
    cluster: &'a Cluster,
    stall: Duration,
    tell: &'a mut dyn FnMut(Scene<'_>),
}

impl Story<'_> {
    async fn play(mut self, topology: Topology) -> Result<Report, StoryError> {
        let started = Instant::now();
        let mut report = Report::new(topology, self.cluster.peers());

        (self.tell)(Scene::Begins(Act::Start));
        self.write_all(A, &START).await?;
        self.converge().await?;
        self.show().await?;

        (self.tell)(Scene::Begins(Act::Apart));
        for replica in [A, B] {
            self.cluster.replica(replica).go_offline().await?;
        }
        self.write_all(A, &ALONE_A).await?;
        tokio::time::sleep(MOMENT).await;
        self.write_all(B, &ALONE_B).await?;
        report.apart(&self.show().await?);

        (self.tell)(Scene::Begins(Act::Merge));
        for replica in [A, B] {
            self.cluster.replica(replica).go_online().await?;
        }
        let merge_time = self.converge().await?;
        let merged = self.show().await?;
        report.merged(&merged, merge_time);

        (self.tell)(Scene::Begins(Act::Resolution));
        let name = script::choice(&merged[A].cart).ok_or(StoryError::NoName)?;
        self.write_all(A, &[Edit::Rename { name: name.clone() }]).await?;
        self.converge().await?;
        report.resolved(&self.show().await?, &name, started.elapsed());

        (self.tell)(Scene::Ended(&report));
        Ok(report)
    }

    /// Makes each edit a transaction of its own.
    async fn write_all(&mut self, replica: usize, edits: &[Edit]) -> Result<(), StoryError> {
        let document = self.document(replica).await?;
        for edit in edits {
            let todo = edit.clone();
            document.transact(move |transaction| todo.apply(transaction)).await?;
            (self.tell)(Scene::Wrote { replica, edit });
        }
        Ok(())
    }

    /// Waits until all versions are equal, and tells how long it took.
    async fn converge(&mut self) -> Result<Duration, StoryError> {
        let started = Instant::now();
        self.cluster.converge(self.stall, |_| ()).await?;
        let after = started.elapsed();
        (self.tell)(Scene::Converged { after });
        Ok(after)
    }

    /// Reads every replica and tells what it shows.
    async fn show(&mut self) -> Result<Vec<View>, StoryError> {
        let ids: Vec<_> = self.cluster.replicas().map(crdt_net::Replica::id).collect();
        let totals = self.cluster.totals().await?;
        let mut views = Vec::with_capacity(ids.len());
        for (number, totals) in totals.iter().enumerate() {
            let snapshot = self.document(number).await?.snapshot().await?;
            views.push(View {
                replica: number,
                cart: Cart::read(&snapshot),
                version: view::by_number(&snapshot.version(), &ids),
                digest: snapshot.digest(),
                bytes_sent: totals.bytes_sent,
                deltas_sent: totals.deltas_sent,
                deltas_duplicate: totals.deltas_duplicate,
            });
        }
        (self.tell)(Scene::Carts(&views));
        Ok(views)
    }

    async fn document(&self, replica: usize) -> Result<DocumentHandle, DocumentError> {
        self.cluster.replica(replica).document(CART).await
    }
}
