//! A version together with the chain hash of each replica: where a document stands, and by which
//! history it got there.
//!
//! Two writers with one replica id spend the same dots for different changes. How is that noticed,
//! when versions look the same? Each transaction's hash is seeded with the hash before it, so two
//! histories of one id that differ anywhere differ from there on. Whoever meets the same counter
//! with another hash has found an identity that was used twice (a restored backup, a cloned
//! machine).

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{DecodeError, Encode, Reader};
use crate::id::{Dot, ReplicaId};
use crate::limits::REPLICAS_MAX;
use crate::version::VersionVector;
use crate::wire;

/// Replica → (counter, chain hash at that counter).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// Sorted by replica, one each.
    heads: Vec<Head>,
}

/// Where one replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) replica: ReplicaId,
    /// At least 1.
    pub(crate) counter: u64,
    /// The chain hash at that counter.
    pub(crate) chain: u64,
}

impl Frontier {
    /// Returns the version alone.
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.iter().map(|(replica, counter, _)| (replica, counter)).collect()
    }

    /// Returns where each replica stands, in replica order.
    pub(crate) fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Returns where a replica stands. O(log n).
    pub(crate) fn head(&self, replica: ReplicaId) -> Option<Head> {
        let at = self.heads.binary_search_by_key(&replica, |head| head.replica).ok()?;
        Some(self.heads[at])
    }

    /// Finds a dot at which both stand with different hashes: its replica id was used by two writers.
    #[must_use]
    pub fn conflict_with(&self, other: &Self) -> Option<Dot> {
        self.heads.iter().find_map(|ours| {
            let theirs = other.head(ours.replica)?;
            let conflict = ours.counter == theirs.counter && ours.chain != theirs.chain;
            conflict.then_some(Dot::new(ours.replica, ours.counter))
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
        for head in &self.heads {
            out.put_replica(head.replica);
            out.put_varint(head.counter);
            out.put_u64(head.chain);
        }
    }

    /// Reads one and leaves the reader behind it. Allocates 32 bytes for each 25 or more of the input.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever [`encode`](Self::encode) would not have written.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "a frontier";
        let count = reader.count(25, WHAT)?;
        if count > REPLICAS_MAX {
            return Err(DecodeError::Limit(WHAT));
        }
        let mut heads = Vec::with_capacity(count);
        let mut last = None;
        for _ in 0..count {
            let replica = reader.replica(WHAT)?;
            wire::ascending(&mut last, replica, WHAT)?;
            heads.push(Head { replica, counter: wire::counter(reader)?, chain: reader.u64(WHAT)? });
        }
        Ok(Self { heads })
    }

    /// Yields (replica, counter, chain hash) in replica order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ReplicaId, u64, u64)> + '_ {
        self.heads.iter().map(|head| (head.replica, head.counter, head.chain))
    }
}

impl FromIterator<(ReplicaId, u64, u64)> for Frontier {
    /// A counter of 0 says nothing; of several entries of one replica the last counts.
    fn from_iter<I: IntoIterator<Item = (ReplicaId, u64, u64)>>(heads: I) -> Self {
        let written = heads.into_iter().filter(|(_, counter, _)| *counter > 0);
        let mut heads: Vec<Head> = written.map(|(replica, counter, chain)| Head { replica, counter, chain }).collect();
        heads.sort_by_key(|head| head.replica);
        heads.dedup_by(|later, kept| {
            let same = later.replica == kept.replica;
            if same {
                *kept = *later;
            }
            same
        });
        Self { heads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_sorted_and_the_last_of_a_replica_counts() {
        let [a, b, c] = [1, 2, 3].map(ReplicaId::from_u128);
        let frontier = Frontier::from_iter([(b, 1, 10), (c, 0, 0), (a, 5, 50), (b, 3, 30)]);
        assert_eq!(frontier.iter().collect::<Vec<_>>(), [(a, 5, 50), (b, 3, 30)]);
        assert_eq!(frontier.head(b).map(|head| head.chain), Some(30));
        assert_eq!(frontier.head(c), None);
    }
}
