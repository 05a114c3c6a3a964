//! Meets other replicas once: both ways, until both ends hold the same and hold it durably.
//!
//! When is that certain? A link tells how many documents both ends have, and how many of them stand at one
//! version, durably. That they are equal may be true too early: before the peer has told of all its
//! documents. But it tells of them as soon as it has said hello, and messages keep their order; so after the
//! peer's answer to a ping nothing of that is still on the way. Answers to pings are the only messages of one
//! byte, by which they are told apart in the figures of a link.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crdt_core::ReplicaId;
use crdt_net::{Closed, ConnectError, Direction, LinkStatus, Options as NetOptions, Replica, Status};
use serde::Serialize;
use thiserror::Error;

use crate::offline::folder::{self, FolderError, Open, Renewed};
use crate::watchdog::Pulse;

/// A peer that is silent is asked for a sign of life after this long.
const PING_AFTER_MS: u64 = 50;

/// How often the links are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The pause after a look is so many times as long as the look was: it costs work for each document.
const PAUSE_BY_LOOK: u32 = 8;

/// The longest pause between two attempts to reach a peer.
const REDIAL_MAX_MS: u64 = 1_000;

/// The length of an answer to a ping, as of a ping.
const PONG_BYTES: u64 = 1;

/// Whom to meet, and how long to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the others listen; at least one.
    pub urls: Vec<String>,
    /// How long the whole may take; `None`: as long as something moves.
    pub deadline: Option<Duration>,
    /// How long nothing may move.
    pub stall: Duration,
}

/// Both ends are equal. Serialises to the object that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Who we are.
    pub replica: ReplicaId,
    /// Whom we met.
    pub peers: Vec<PeerLine>,
    /// How many documents there are now.
    pub carts: usize,
    /// Transactions sent.
    pub sent: u64,
    /// Transactions received, those that came in snapshots left out.
    pub received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A peer that holds the same as we do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerLine {
    /// Where it listens.
    pub url: String,
    /// Who it is.
    pub replica: ReplicaId,
}

/// Why it is not certain that both ends are equal. What was exchanged is kept; try again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The folder cannot be opened. Nothing has changed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The caller's: no replica can be reached at such a URL.
    #[error("{url} cannot be dialled")]
    Url {
        /// The URL.
        url: String,
        /// Why not.
        source: ConnectError,
    },
    /// Nothing has moved for a while.
    #[error("nothing has moved for {} s: {}", after.as_secs_f64(), Lacks(lacks))]
    Stalled {
        /// For how long.
        after: Duration,
        /// What is lacking, peer by peer.
        lacks: Vec<Lack>,
    },
    /// The time is over.
    #[error("not done within {} s: {}", after.as_secs_f64(), Lacks(lacks))]
    Deadline {
        /// How long it was tried.
        after: Duration,
        /// What is lacking, peer by peer.
        lacks: Vec<Lack>,
    },
    /// The store failed while others were met.
    #[error("the store has failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How far we are with a peer, if not at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// There is no link.
    Answer {
        /// Where to.
        url: String,
    },
    /// Not all documents are equal.
    Carts {
        /// With whom.
        url: String,
        /// How many are.
        equal: usize,
        /// Of how many.
        carts: usize,
        /// How many never will be until one side sets them aside.
        differing: usize,
    },
}

struct Lacks<'a>(&'a [Lack]);

impl fmt::Display for Lacks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, lack) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "; " };
            match lack {
                Lack::Answer { url } => write!(f, "{comma}no replica answers at {url}")?,
                Lack::Carts { url, equal, carts, differing } => {
                    write!(f, "{comma}{equal} of {carts} carts are known to be equal at {url}")?;
                    if *differing > 0 {
                        write!(f, ", {differing} will not come together until `cart set-aside` on one side")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Meets every peer, and returns once all of them hold the same as the folder, durably on all sides.
///
/// # Errors
/// [`SyncError`].
pub async fn sync(folder: &Path, options: &Options, notice: &mut dyn FnMut(Renewed)) -> Result<Report, SyncError> {
    let mut net = NetOptions::at(folder);
    (net.sync.ping_after_ms, net.redial_max_ms) = (PING_AFTER_MS, REDIAL_MAX_MS);
    let Open { inner: replica, renewed } = folder::open_or_make(net, folder).await?;
    renewed.into_iter().for_each(notice);
    let outcome = meet(&replica, options).await;
    let handle = replica.clone();
    replica.close().await;
    match handle.failure() {
        Some(error) => Err(SyncError::Store(error.into())),
        None => outcome,
    }
}

async fn meet(replica: &Replica, options: &Options) -> Result<Report, SyncError> {
    let started = Instant::now();
    for url in &options.urls {
        replica.connect(url).await.map_err(|source| SyncError::Url { url: url.clone(), source })?;
    }
    let pulse = Pulse::new();
    let mut watch = Watched::default();
    let settled = async {
        // A deadline that is not given is one that is never reached.
        tokio::select! {
            settled = watch.until_settled(replica, &pulse) => settled.map(Some),
            () = sleep_for(options.deadline) => Ok(None),
        }
    };
    let (after, in_time) = match pulse.guard(options.stall, settled).await {
        Some(Ok(Some(report))) => {
            return Ok(Report { seconds: started.elapsed().as_secs_f64(), ..report });
        }
        Some(Err(closed)) => return Err(closed.into()),
        Some(Ok(None)) => (options.deadline.unwrap_or_default(), false),
        None => (options.stall, true),
    };
    let lacks = lacks(&replica.status().await?, replica.documents().await?.len());
    Err(if in_time { SyncError::Stalled { after, lacks } } else { SyncError::Deadline { after, lacks } })
}

async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// What was seen of the links so far.
#[derive(Debug, Default)]
struct Watched {
    /// By address, the links that are equal, or have been.
    lines: BTreeMap<String, Line>,
    bytes: u64,
    steps: (usize, usize),
}

impl Watched {
    /// Looks at the links again and again until all of them are certainly equal.
    async fn until_settled(&mut self, replica: &Replica, pulse: &Pulse) -> Result<Report, Closed> {
        loop {
            let looked = Instant::now();
            // In this order: a document that comes in between makes the two numbers differ.
            let carts = replica.documents().await?.len();
            let status = replica.status().await?;
            if self.has_moved(&status) {
                pulse.step();
            }
            if let Some(peers) = self.settled(&status, carts) {
                replica.flush().await?;
                return Ok(report(&status, peers, carts));
            }
            tokio::time::sleep(LOOK_EVERY.max(looked.elapsed() * PAUSE_BY_LOOK)).await;
        }
    }

    /// Tells whether anything but pings and their answers has moved since the last look.
    fn has_moved(&mut self, status: &Status) -> bool {
        let bytes = status.totals.bytes_sent.saturating_add(status.totals.bytes_received);
        let links = status.links.iter();
        let steps = (links.clone().map(|link| link.documents).sum(), links.map(|link| link.in_sync).sum());
        let grown = bytes.saturating_sub(std::mem::replace(&mut self.bytes, bytes));
        let pings = 2 * PONG_BYTES * status.links.len() as u64;
        std::mem::replace(&mut self.steps, steps) != steps || grown > pings
    }

    /// Returns the peers if every one is certainly equal.
    fn settled(&mut self, status: &Status, carts: usize) -> Option<Vec<PeerLine>> {
        let mut peers = Vec::new();
        let mut all = true;
        for url in &status.dialling {
            let line = self.lines.entry(url.clone()).or_default();
            match link_to(status, url).and_then(|link| Some((link, link.peer?))) {
                Some((link, replica)) if is_equal(link, carts) => {
                    all &= line.is_answered(carts, link.bytes_received);
                    peers.push(PeerLine { url: url.clone(), replica });
                }
                _ => (*line, all) = (Line::default(), false),
            }
        }
        (all && !peers.is_empty()).then_some(peers)
    }
}

/// One link that is equal: whether the peer has answered a ping since.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// How many documents are equal, and the bytes received, as of the last look.
    last: Option<(usize, u64)>,
    answered: bool,
}

impl Line {
    fn is_answered(&mut self, carts: usize, bytes_received: u64) -> bool {
        self.answered = match self.last.replace((carts, bytes_received)) {
            Some((before, bytes)) if before == carts => self.answered || bytes + PONG_BYTES == bytes_received,
            _ => false,
        };
        self.answered
    }
}

fn link_to<'a>(status: &'a Status, url: &str) -> Option<&'a LinkStatus> {
    status.links.iter().find(|link| link.direction == Direction::Dialled && link.address == url)
}

fn is_equal(link: &LinkStatus, carts: usize) -> bool {
    link.documents == carts && link.in_sync == carts
}

fn lacks(status: &Status, carts: usize) -> Vec<Lack> {
    let lack = |url: &String| match link_to(status, url).filter(|link| link.peer.is_some()) {
        None => Lack::Answer { url: url.clone() },
        Some(link) => Lack::Carts {
            url: url.clone(),
            equal: link.in_sync,
            carts: carts.max(link.documents),
            differing: link.differing,
        },
    };
    status.dialling.iter().map(lack).collect()
}

fn report(status: &Status, peers: Vec<PeerLine>, carts: usize) -> Report {
    let totals = status.totals;
    Report {
        replica: status.replica,
        peers,
        carts,
        sent: totals.deltas_sent,
        received: totals.deltas_received,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
        seconds: 0.0,
    }
}

impl From<Closed> for SyncError {
    fn from(closed: Closed) -> Self {
        Self::Store(closed.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_counts_only_after_the_answer_to_a_ping() {
        let mut line = Line::default();
        assert!(!line.is_answered(1, 500), "just seen");
        assert!(!line.is_answered(1, 500), "nothing has come since");
        assert!(!line.is_answered(1, 540), "that was more than an answer");
        assert!(line.is_answered(1, 541));
        assert!(line.is_answered(1, 600), "once is enough");
    }

    #[test]
    fn a_document_that_comes_up_begins_it_anew() {
        let mut line = Line::default();
        assert!(!line.is_answered(1, 500));
        assert!(line.is_answered(1, 501));
        assert!(!line.is_answered(2, 600));
        assert!(line.is_answered(2, 601));
    }

    #[test]
    fn what_is_lacking_is_said_peer_by_peer() {
        let lacks = vec![
            Lack::Answer { url: "ws://a:1".to_owned() },
            Lack::Carts { url: "ws://b:2".to_owned(), equal: 1, carts: 3, differing: 0 },
            Lack::Carts { url: "ws://c:3".to_owned(), equal: 1, carts: 3, differing: 2 },
        ];
        let error = SyncError::Deadline { after: Duration::from_millis(1_500), lacks };
        assert_eq!(
            error.to_string(),
            "not done within 1.5 s: no replica answers at ws://a:1; 1 of 3 carts are known to be equal at ws://b:2; \
             1 of 3 carts are known to be equal at ws://c:3, 2 will not come together until `cart set-aside` on one side"
        );
    }
}
