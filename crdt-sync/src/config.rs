//! What an endpoint takes from its peers, and how long it waits for them.
//!
//! Every queue, buffer and wait of the protocol has its limit here. The limits of one document
//! are those of [`crdt_core::limits`].

use crate::frame::FRAME_BYTES_MIN;

/// Which of the documents that a peer offers are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Every document that a peer offers, up to [`Config::documents_max`].
    #[default]
    All,
    /// Only documents that were opened here; offers of others are ignored until they are.
    Opened,
}

/// The limits and delays of an endpoint.
///
/// ```
/// use crdt_sync::{Accept, Config};
///
/// let mut config = Config::default();
/// config.accept = Accept::Opened;
/// assert_eq!(config.ping_after_ms, 15_000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which documents are taken from peers.
    pub accept: Accept,
    /// How long a peer may take to say hello: 5 s.
    pub hello_timeout_ms: u64,
    /// After how long without a byte from the peer it is pinged: 15 s.
    pub ping_after_ms: u64,
    /// After how long without a byte from the peer the link is given up: 45 s.
    pub dead_after_ms: u64,
    /// How long data may be in flight without any of it being taken: 30 s.
    pub stalled_after_ms: u64,
    /// How many bytes of data frames may be on their way to one peer; also what peers may have on
    /// their way to us: 1 MiB. One frame is always allowed.
    pub in_flight_bytes_max: usize,
    /// How large one data frame is meant to get; larger payloads travel in parts of this size: 64 KiB.
    pub chunk_bytes_max: usize,
    /// The largest frame that is sent or taken: 256 KiB. Less than 4 KiB counts as 4 KiB: see
    /// [`frame_bytes_limit`](Self::frame_bytes_limit).
    pub frame_bytes_max: usize,
    /// The largest delta or snapshot that is put together from parts: 64 MiB. One that is refused
    /// takes at most twice its bytes besides; one that is accepted becomes data, which of nothing but
    /// tiny entries may take 66 times its bytes (a snapshot twice that for a moment), so raise it only among friends.
    pub message_bytes_max: usize,
    /// How much of a document's log is kept; a peer further behind gets a snapshot: 4 MiB.
    pub log_bytes_max: usize,
    /// How much of a document's log is kept of which every linked peer holds all, durably: 1 MiB. It serves those who
    /// come back later; and should an id turn out to be used twice, it shows since when.
    pub log_held_bytes_max: usize,
    /// How many documents can be known, in memory or at rest: 65,536.
    pub documents_max: usize,
    /// How many documents are kept in memory, at least 1: 1,024. Those not used for the longest time leave it
    /// first. Documents in use stay even if there are more: those with writes that are not durable, and on
    /// each link one that is sent from and one whose snapshot waits to be sent.
    pub resident_documents_max: usize,
    /// How long equal versions must rest before the states are compared again by digest: 1 s.
    pub digest_delay_ms: u64,
    /// How long a document that was [set aside](crate::Endpoint::set_aside) is exchanged only with those who hold
    /// another history of it, while none of them has come: 1 h. After that, whoever comes first fills it, and if that
    /// is the old history, the conflict is there, and reported, again.
    pub awaited_ms: u64,
}

impl Config {
    /// Returns the largest frame that is sent or taken, as peers are told: [`frame_bytes_max`](Self::frame_bytes_max),
    /// but not less than a name and an acknowledgement need. What carries the frames must take them of this size.
    #[must_use]
    pub fn frame_bytes_limit(&self) -> usize {
        self.frame_bytes_max.max(FRAME_BYTES_MIN)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            accept: Accept::All,
            hello_timeout_ms: 5_000,
            ping_after_ms: 15_000,
            dead_after_ms: 45_000,
            stalled_after_ms: 30_000,
            in_flight_bytes_max: 1 << 20,
            chunk_bytes_max: 64 << 10,
            frame_bytes_max: 256 << 10,
            message_bytes_max: 64 << 20,
            log_bytes_max: 4 << 20,
            log_held_bytes_max: 1 << 20,
            documents_max: 65_536,
            resident_documents_max: 1_024,
            digest_delay_ms: 1_000,
            awaited_ms: 3_600_000,
        }
    }
}
