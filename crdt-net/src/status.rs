//! What a replica can tell about itself: where it listens, its links, and figures over its life.
//!
//! The figures of a link end with it; [`Totals`] keeps their sums.

use std::net::SocketAddr;

use crdt_core::ReplicaId;
use crdt_sync::{LinkId, SessionStatus};

/// How a replica stands at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Its identity.
    pub replica: ReplicaId,
    /// How many transactions that were made here go by another id since the replica was opened, because another writer
    /// has used theirs; see [`WatchEvent::Reissued`](crate::WatchEvent::Reissued).
    pub reissued: u64,
    /// Whether it dials and accepts; see [`Replica::go_offline`](crate::Replica::go_offline).
    pub online: bool,
    /// The addresses that it listens on, in the order in which they were bound.
    pub listening: Vec<SocketAddr>,
    /// The addresses that it keeps a link to, or tries to, sorted.
    pub dialling: Vec<String>,
    /// How many documents are known, in memory or at rest in the store.
    pub documents: usize,
    /// How many of them are in memory; see [`Config::resident_documents_max`](crate::Config::resident_documents_max).
    pub resident_documents: usize,
    /// The live links, oldest first.
    pub links: Vec<LinkStatus>,
    /// Sums over all links since the replica was opened, ended ones included.
    pub totals: Totals,
    /// What the store was given to do since the replica was opened.
    pub storage: StorageStatus,
}

/// The figures of a store since the replica was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageStatus {
    /// Transactions and states of peers that were written.
    pub writes: u64,
    /// How often the store was told to make what was written durable: all of one group at a time.
    pub syncs: u64,
    /// Snapshots that took the place of a document's deltas.
    pub checkpoints: u64,
    /// Documents that were read: those of which the store could not tell where they stand when the replica was opened,
    /// and those that were needed and not in memory.
    pub loads: u64,
    /// About how many bytes of writes are not durable yet; see
    /// [`Options::waiting_bytes_max`](crate::Options::waiting_bytes_max).
    pub waiting_bytes: usize,
}

impl StorageStatus {
    pub(crate) fn add(&mut self, more: &Self) {
        self.writes += more.writes;
        self.syncs += more.syncs;
        self.checkpoints += more.checkpoints;
        self.loads += more.loads;
    }
}

/// Who opened the connection beneath a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This replica dialled.
    Dialled,
    /// The peer dialled, this replica accepted.
    Accepted,
}

/// One live link and its figures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Names the link; never used twice by one replica.
    pub link: LinkId,
    /// Who is at the other end, once it has said hello.
    pub peer: Option<ReplicaId>,
    /// The URL that was dialled, or the socket address that was accepted.
    pub address: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// Bytes of all messages sent.
    pub bytes_sent: u64,
    /// Bytes of all messages received.
    pub bytes_received: u64,
    /// Transactions sent in deltas.
    pub deltas_sent: u64,
    /// Transactions received in deltas, duplicates included.
    pub deltas_received: u64,
    /// Transactions received that were here already.
    pub deltas_duplicate: u64,
    /// Bytes of data sent and not yet taken by the peer.
    pub in_flight_bytes: usize,
    /// Whole snapshots sent.
    pub snapshots_sent: u64,
    /// Documents that both ends have open.
    pub documents: usize,
    /// How many of them are at the same version at both ends, durably.
    pub in_sync: usize,
    /// How many documents do not come together on this link: see [`WatchEvent::Irreconcilable`](crate::WatchEvent::Irreconcilable)
    /// and [`WatchEvent::Diverged`](crate::WatchEvent::Diverged). A conflict that is being settled counts as well.
    pub differing: usize,
}

impl LinkStatus {
    pub(crate) fn new(address: String, direction: Direction, session: &SessionStatus) -> Self {
        Self {
            link: session.link,
            peer: session.peer,
            address,
            direction,
            bytes_sent: session.bytes_sent,
            bytes_received: session.bytes_received,
            deltas_sent: session.deltas_sent,
            deltas_received: session.deltas_received,
            deltas_duplicate: session.deltas_duplicate,
            in_flight_bytes: session.in_flight_bytes,
            snapshots_sent: session.snapshots_sent,
            documents: session.documents,
            in_sync: session.in_sync,
            differing: session.differing,
        }
    }
}

/// Sums over all links of a replica since it was opened, ended ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Links that peers said hello on.
    pub links_up: u64,
    /// Bytes of all messages sent.
    pub bytes_sent: u64,
    /// Bytes of all messages received.
    pub bytes_received: u64,
    /// Transactions sent in deltas, counted once a link.
    pub deltas_sent: u64,
    /// Transactions received in deltas, duplicates included.
    pub deltas_received: u64,
    /// Transactions received that were here already.
    pub deltas_duplicate: u64,
    /// Whole snapshots sent.
    pub snapshots_sent: u64,
}

impl Totals {
    /// Adds the figures of one link, live or ended. Each stops at the end of `u64`: a peer may claim
    /// any number of transactions.
    pub(crate) fn add(&mut self, session: &SessionStatus) {
        self.bytes_sent = self.bytes_sent.saturating_add(session.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(session.bytes_received);
        self.deltas_sent = self.deltas_sent.saturating_add(session.deltas_sent);
        self.deltas_received = self.deltas_received.saturating_add(session.deltas_received);
        self.deltas_duplicate = self.deltas_duplicate.saturating_add(session.deltas_duplicate);
        self.snapshots_sent = self.snapshots_sent.saturating_add(session.snapshots_sent);
    }
}
