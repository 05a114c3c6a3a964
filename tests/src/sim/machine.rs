//! One computer: a replica that may be up or down, its disk, its clock, and how quickly it reads.

use std::collections::BTreeMap;

use crdt_core::{ReplicaId, VersionVector};
use crdt_store::MemoryStore;
use crdt_sync::{Config, LinkId, Now};

use super::host::Host;
use super::plan::Limits;
use super::wire::WireNumber;
use crate::script::WALL_MS;

/// A computer and what is wrong with it at the moment.
#[derive(Debug)]
pub struct Machine {
    /// Who it is, in every life with the store that it has.
    pub replica: ReplicaId,
    /// How many other stores it was given.
    pub renewals: usize,
    /// What was on its disk once, and in which versions.
    pub backup: Option<(MemoryStore, Vec<VersionVector>)>,
    /// The replica, while it is up.
    pub host: Option<Host>,
    /// What is on its disk.
    pub store: MemoryStore,
    /// How often it has been started.
    pub life: u64,
    /// What it was given.
    pub limits: Limits,
    /// How far its wall clock is off.
    pub skew_ms: i64,
    /// It reads no message before this moment.
    pub reads_from_ms: u64,
    /// Its disk is slow until then.
    pub slow_until_ms: u64,
    /// Its disk is full until then.
    pub full_until_ms: u64,
    /// The next write fails.
    pub fails_next: bool,
    /// In the midst of its next turn it cuts all its logs down to this many bytes.
    pub cuts_next: Option<usize>,
    /// A sync is on its way.
    pub is_syncing: bool,
    /// A load is on its way.
    pub is_loading: bool,
    /// When its timer will next be looked at.
    pub timer_ms: Option<u64>,
    /// Its links: which wire, and which end of it.
    pub links: BTreeMap<LinkId, (WireNumber, usize)>,
}

impl Machine {
    /// Makes a computer that is switched off, with an empty disk.
    #[must_use]
    pub fn new(replica: ReplicaId, limits: Limits) -> Self {
        Self {
            replica,
            renewals: 0,
            backup: None,
            host: None,
            store: MemoryStore::with_delta_bytes_max(limits.store_bytes),
            life: 0,
            limits,
            skew_ms: 0,
            reads_from_ms: 0,
            slow_until_ms: 0,
            full_until_ms: 0,
            fails_next: false,
            cuts_next: None,
            is_syncing: false,
            is_loading: false,
            timer_ms: None,
            links: BTreeMap::new(),
        }
    }

    /// Returns what its clocks show.
    #[must_use]
    pub fn now(&self, at_ms: u64) -> Now {
        Now { monotonic_ms: at_ms, wall_ms: (WALL_MS + at_ms).saturating_add_signed(self.skew_ms) }
    }

    /// Returns the settings of its replica.
    #[must_use]
    pub fn config(&self) -> Config {
        let Limits { log_bytes, chunk_bytes, in_flight_bytes, opened_only, residents, haste, .. } = self.limits;
        let mut config = Config::default();
        config.log_bytes_max = log_bytes;
        config.log_held_bytes_max = log_bytes / 2;
        config.chunk_bytes_max = chunk_bytes;
        config.in_flight_bytes_max = in_flight_bytes;
        config.resident_documents_max = residents;
        if opened_only {
            config.accept = crdt_sync::Accept::Opened;
        }
        config.hello_timeout_ms /= haste;
        config.ping_after_ms /= haste;
        config.dead_after_ms /= haste;
        config.stalled_after_ms /= haste;
        config.digest_delay_ms /= haste;
        config
    }
}
