//! Several replicas in one process, linked over real WebSockets on loopback.
//!
//! How do real links stay out of each other's way? Every replica listens on a port of the system's
//! choice, so any number of clusters run side by side, in tests too. Replica ids come from a seed:
//! one seed gives the same cluster again. On disk they come from the stores, of which each replica has
//! a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crdt_core::ReplicaId;
use crdt_net::{Closed, ConnectError, ListenError, OpenError, Options, Replica, Totals};
use thiserror::Error;

use crate::convergence::{self, Stalled, Versions};
use crate::splitmix::SplitMix64;
use crate::topology::{Edge, TooFewPeers, Topology};
use crate::watchdog::Pulse;

/// Redials follow each other quickly: links break on purpose here, and nobody else is on loopback.
const REDIAL_MIN_MS: u64 = 20;
const REDIAL_MAX_MS: u64 = 250;

/// How often versions are compared at most while waiting for them to become equal.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looking at thousands of documents is work that the replicas do: the pause after a look is so many
/// times as long as the look was.
const PAUSE_BY_LOOK: u32 = 8;

/// How long a replica may take to answer when a stall is being explained, or to close.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Replicas by number, and the links between them.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Member {
    replica: Replica,
    address: SocketAddr,
}

/// Why a cluster could not be opened or asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Too few replicas for the shape; nothing was opened.
    #[error(transparent)]
    Topology(#[from] TooFewPeers),
    /// A replica could not be opened.
    #[error("replica {replica} cannot be opened")]
    Open {
        /// Its number.
        replica: usize,
        /// Why.
        source: OpenError,
    },
    /// A replica could not listen on loopback: the system refuses ports.
    #[error("replica {replica} cannot listen on 127.0.0.1")]
    Listen {
        /// Its number.
        replica: usize,
        /// Why.
        source: ListenError,
    },
    /// A replica refused to dial another's address.
    #[error("replica {replica} cannot dial its peer")]
    Connect {
        /// Its number.
        replica: usize,
        /// Why.
        source: ConnectError,
    },
    /// A replica has ended by itself, which is a defect.
    #[error("a replica has stopped")]
    Closed(#[from] Closed),
    /// The replicas no longer exchange anything.
    #[error(transparent)]
    Stalled(#[from] Stalled),
}

impl Cluster {
    /// Opens `peers` replicas with ids from `seed`, lets each listen, and links them.
    ///
    /// The links come up in the background.
    ///
    /// # Errors
    /// [`ClusterError`] says which replica failed.
    pub async fn open(topology: Topology, peers: usize, seed: u64) -> Result<Self, ClusterError> {
        let mut random = SplitMix64::new(seed);
        let in_memory = |_| {
            let mut options = Options::default();
            options.replica = Some(ReplicaId::from_random_bytes(random.bytes()));
            options
        };
        Self::link(topology, peers, in_memory).await
    }

    /// Opens `peers` replicas in `replica-0`, `replica-1` and so on beneath `folder`, which are made if need
    /// be, lets each listen, and links them.
    ///
    /// # Errors
    /// [`ClusterError`] says which replica failed.
    pub async fn open_in(folder: &Path, topology: Topology, peers: usize) -> Result<Self, ClusterError> {
        Self::link(topology, peers, |replica| Options::at(folder.join(format!("replica-{replica}")))).await
    }

    async fn link(
        topology: Topology,
        peers: usize,
        mut options: impl FnMut(usize) -> Options,
    ) -> Result<Self, ClusterError> {
        let edges = topology.edges(peers)?;
        let mut members = Vec::with_capacity(peers);
        for replica in 0..peers {
            members.push(Member::open(replica, options(replica)).await?);
        }
        for edge in &edges {
            let url = format!("ws://{}", members[edge.listener].address);
            let dialler = &members[edge.dialler].replica;
            let failed = |source| ClusterError::Connect { replica: edge.dialler, source };
            dialler.connect(&url).await.map_err(failed)?;
        }
        Ok(Self { members, edges })
    }

    /// Returns how many replicas there are.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.members.len()
    }

    /// Returns a replica by its number.
    ///
    /// # Panics
    /// If there is no such replica.
    #[must_use]
    pub fn replica(&self, number: usize) -> &Replica {
        &self.members[number].replica
    }

    /// Returns the replicas in order of their numbers.
    pub fn replicas(&self) -> impl ExactSizeIterator<Item = &Replica> {
        self.members.iter().map(|member| &member.replica)
    }

    /// Returns where each replica listens, by number.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// Returns the links that were asked for, up or not.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Asks every replica for the versions of its documents.
    ///
    /// # Errors
    /// [`Closed`] if a replica has stopped.
    pub async fn versions(&self) -> Result<Vec<Versions>, Closed> {
        let mut all = Vec::with_capacity(self.peers());
        for replica in self.replicas() {
            all.push(replica.versions().await?);
        }
        Ok(all)
    }

    /// Asks every replica for what its links have carried so far.
    ///
    /// # Errors
    /// [`Closed`] if a replica has stopped.
    pub async fn totals(&self) -> Result<Vec<Totals>, Closed> {
        let mut all = Vec::with_capacity(self.peers());
        for replica in self.replicas() {
            all.push(replica.status().await?.totals);
        }
        Ok(all)
    }

    /// Waits until the versions of all replicas are equal. Nobody may write meanwhile.
    ///
    /// `seen` is called with the number of transactions still lacking somewhere, whenever it moved.
    ///
    /// # Errors
    /// [`ClusterError::Stalled`] if no version has moved for `stall`; [`ClusterError::Closed`] if
    /// a replica has stopped.
    pub async fn converge(&self, stall: Duration, mut seen: impl FnMut(u64)) -> Result<(), ClusterError> {
        let pulse = Pulse::new();
        let mut last = u64::MAX;
        let equal = async {
            loop {
                let looked = Instant::now();
                let lags = convergence::lags(&self.versions().await?);
                let lacking = lags.iter().map(|lag| lag.transactions).sum();
                if lacking != last {
                    pulse.step();
                    seen(lacking);
                    last = lacking;
                }
                if lags.is_empty() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY.max(looked.elapsed() * PAUSE_BY_LOOK)).await;
            }
        };
        match pulse.guard(stall, equal).await {
            Some(outcome) => outcome,
            None => Err(self.explain_stall(stall).await.into()),
        }
    }

    /// Finds out which replica lacks what, for the error of a run that has stopped moving.
    pub async fn explain_stall(&self, stall: Duration) -> Stalled {
        let mut silent = Vec::new();
        let mut versions = Vec::with_capacity(self.peers());
        for (number, replica) in self.replicas().enumerate() {
            match tokio::time::timeout(ANSWER_WITHIN, replica.versions()).await {
                Ok(Ok(held)) => versions.push(held),
                Ok(Err(Closed { .. })) | Err(_) => {
                    silent.push(number);
                    versions.push(Versions::new());
                }
            }
        }
        let mut lags = convergence::lags(&versions);
        lags.retain(|lag| !silent.contains(&lag.replica));
        let replicas = self.replicas().map(Replica::id).collect();
        Stalled { after: stall, replicas, lags, silent }
    }

    /// Closes every replica. One that does not end within two seconds is left to the end of the process.
    pub async fn close(self) {
        for member in self.members {
            // A replica that hangs must not keep the process from reporting what happened.
            let _ = tokio::time::timeout(ANSWER_WITHIN, member.replica.close()).await;
        }
    }
}

impl Member {
    async fn open(number: usize, mut options: Options) -> Result<Self, ClusterError> {
        options.redial_min_ms = REDIAL_MIN_MS;
        options.redial_max_ms = REDIAL_MAX_MS;
        let opened = Replica::open(options).await;
        let replica = opened.map_err(|source| ClusterError::Open { replica: number, source })?;
        let listening = replica.listen("127.0.0.1:0").await;
        let address = listening.map_err(|source| ClusterError::Listen { replica: number, source })?;
        Ok(Self { replica, address })
    }
}
