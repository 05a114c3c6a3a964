//! A version together with the chain hash of each replica: where a document stands, and by which
//! history it got there.
//!
//! Two writers with one replica id spend the same dots for different changes. How is that noticed,
//! when versions look the same? Each transaction's hash is seeded with the hash before it, so two
//! histories of one id that differ anywhere differ from there on. Whoever meets the same counter
//! with another hash has found an identity that was used twice (a restored backup, a cloned
//! machine).

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{DecodeError, Encode, Reader};
use crate::id::{Dot, ReplicaId};
use crate::limits::REPLICAS_MAX;
use crate::version::VersionVector;
use crate::wire;

/// Replica → (counter, chain hash at that counter).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// Counters are at least 1.
    heads: BTreeMap<ReplicaId, (u64, u64)>,
}

impl Frontier {
    /// Returns the version alone.
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.heads.iter().map(|(replica, (counter, _))| (*replica, *counter)).collect()
    }

    /// Returns the counter at which a replica stands and its chain hash there.
    pub(crate) fn head(&self, replica: ReplicaId) -> Option<(u64, u64)> {
        self.heads.get(&replica).copied()
    }

    /// Finds a dot at which both stand with different hashes: its replica id was used by two writers.
    #[must_use]
    pub fn conflict_with(&self, other: &Self) -> Option<Dot> {
        self.heads.iter().find_map(|(replica, (counter, chain))| {
            let (theirs, their_chain) = other.heads.get(replica)?;
            (counter == theirs && chain != their_chain).then_some(Dot::new(*replica, *counter))
        })
    }

    /// Returns one number for all of it: XXH3-64 of the encoded bytes.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(1 + self.heads.len() * 27);
        self.encode(&mut bytes);
        xxh3_64(&bytes)
    }

    /// Appends the canonical bytes: per replica 16 for the id, a varint, 8 for the hash.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.heads.len() as u64);
        for (replica, (counter, chain)) in &self.heads {
            out.put_replica(*replica);
            out.put_varint(*counter);
            out.put_u64(*chain);
        }
    }

    /// Reads one and leaves the reader behind it.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever [`encode`](Self::encode) would not have written.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "a frontier";
        let count = reader.count(25, WHAT)?;
        if count > REPLICAS_MAX {
            return Err(DecodeError::Limit(WHAT));
        }
        let mut heads: BTreeMap<ReplicaId, (u64, u64)> = BTreeMap::new();
        for _ in 0..count {
            let replica = reader.replica(WHAT)?;
            wire::ascending(heads.last_key_value().map(|(last, _)| last), &replica, WHAT)?;
            let counter = wire::counter(reader)?;
            heads.insert(replica, (counter, reader.u64(WHAT)?));
        }
        Ok(Self { heads })
    }

    /// Yields (replica, counter, chain hash) in replica order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ReplicaId, u64, u64)> + '_ {
        self.heads.iter().map(|(replica, (counter, chain))| (*replica, *counter, *chain))
    }
}

impl FromIterator<(ReplicaId, u64, u64)> for Frontier {
    fn from_iter<I: IntoIterator<Item = (ReplicaId, u64, u64)>>(heads: I) -> Self {
        let written = heads.into_iter().filter(|(_, counter, _)| *counter > 0);
        Self { heads: written.map(|(replica, counter, chain)| (replica, (counter, chain))).collect() }
    }
}
