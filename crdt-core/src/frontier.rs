//! A version together with the chain hash of each replica: where a document stands, and by which
//! history it got there.
//!
//! Two writers with one replica id spend the same dots for different changes. How is that noticed,
//! when versions look the same? Each transaction's hash is seeded with the hash before it, so two
//! histories of one id that differ anywhere differ from there on. Whoever meets the same counter
//! with another hash has found an identity that was used twice (a restored backup, a cloned
//! machine). Histories that do not differ in what they change differ in the salt of the first transaction
//! that each process commits ([`Transaction::salted`](crate::Transaction::salted)).

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
    tips: Vec<Tip>,
}

/// Where one replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
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

    /// Returns the highest counter of `replica` that is covered; 0 if none is. O(log n).
    #[must_use]
    pub fn counter(&self, replica: ReplicaId) -> u64 {
        self.tip(replica).map_or(0, |tip| tip.counter)
    }

    /// Returns where each replica stands, in replica order.
    pub(crate) fn tips(&self) -> &[Tip] {
        &self.tips
    }

    /// Returns where a replica stands. O(log n).
    pub(crate) fn tip(&self, replica: ReplicaId) -> Option<Tip> {
        let at = self.tips.binary_search_by_key(&replica, |tip| tip.replica).ok()?;
        Some(self.tips[at])
    }

    /// Finds a dot at which both stand with different hashes: its replica id was used by two writers.
    #[must_use]
    pub fn conflict_with(&self, other: &Self) -> Option<Dot> {
        self.tips.iter().find_map(|ours| {
            let theirs = other.tip(ours.replica)?;
            let conflict = ours.counter == theirs.counter && ours.chain != theirs.chain;
            conflict.then_some(Dot::new(ours.replica, ours.counter))
        })
    }

    /// Returns one number for all of it: XXH3-64 of the encoded bytes.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(1 + self.tips.len() * 27);
        self.encode(&mut bytes);
        xxh3_64(&bytes)
    }

    /// Appends the canonical bytes: per replica 16 for the id, a varint, 8 for the hash.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.tips.len() as u64);
        for tip in &self.tips {
            out.put_replica(tip.replica);
            out.put_varint(tip.counter);
            out.put_u64(tip.chain);
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
        let mut tips = Vec::with_capacity(count);
        let mut last = None;
        for _ in 0..count {
            let replica = reader.replica(WHAT)?;
            wire::ascending(&mut last, replica, WHAT)?;
            tips.push(Tip { replica, counter: wire::counter(reader)?, chain: reader.u64(WHAT)? });
        }
        Ok(Self { tips })
    }

    /// Yields (replica, counter, chain hash) in replica order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ReplicaId, u64, u64)> + '_ {
        self.tips.iter().map(|tip| (tip.replica, tip.counter, tip.chain))
    }
}

impl FromIterator<(ReplicaId, u64, u64)> for Frontier {
    /// A counter of 0 says nothing; of several entries of one replica the last counts.
    fn from_iter<I: IntoIterator<Item = (ReplicaId, u64, u64)>>(tips: I) -> Self {
        let written = tips.into_iter().filter(|(_, counter, _)| *counter > 0);
        let mut tips: Vec<Tip> = written.map(|(replica, counter, chain)| Tip { replica, counter, chain }).collect();
        tips.sort_by_key(|tip| tip.replica);
        tips.dedup_by(|later, kept| {
            let same = later.replica == kept.replica;
            if same {
                *kept = *later;
            }
            same
        });
        Self { tips }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tips_are_sorted_and_the_last_of_a_replica_counts() {
        let [a, b, c] = [1, 2, 3].map(ReplicaId::from_u128);
        let frontier = Frontier::from_iter([(b, 1, 10), (c, 0, 0), (a, 5, 50), (b, 3, 30)]);
        assert_eq!(frontier.iter().collect::<Vec<_>>(), [(a, 5, 50), (b, 3, 30)]);
        assert_eq!(frontier.tip(b).map(|tip| tip.chain), Some(30));
        assert_eq!(frontier.tip(c), None);
    }
}
