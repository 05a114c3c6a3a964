//! One number for a document's whole content, kept up to date entry by entry.
//!
//! How can a hash over a document follow each change without reading the document? It is the sum,
//! modulo 2¹²⁸, of one hash per entry; an entry that goes is subtracted. Equal content has equal
//! digests in whatever order it came about. It guards against accidents (a bug, a damaged disk),
//! not against an adversary, who could construct sums that meet.
//!
//! Source: Bellare, Micciancio, "A new paradigm for collision-free hashing: incrementality at
//! reduced cost" (1997), AdHash; differs in: XXH3 as the hash, so accidents only.

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use crate::id::Dot;
use crate::path::KeyRef;
use crate::value::ValueRef;
use crate::wire::kind_tag;

/// A hash of a document's content, not of its version. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

impl Digest {
    pub(crate) fn add(&mut self, entry: EntryHash) {
        self.0 = self.0.wrapping_add(entry.0);
    }

    pub(crate) fn subtract(&mut self, entry: EntryHash) {
        self.0 = self.0.wrapping_sub(entry.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What one entry adds to the digest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryHash(u128);

/// The hash of the keys from the root to a node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathHash(u64);

impl PathHash {
    /// The path of whoever needs none.
    pub(crate) const NOWHERE: Self = Self(0);

    /// Goes one key down.
    pub(crate) fn child(self, key: KeyRef<'_>) -> Self {
        let seed = self.0.wrapping_add(u64::from(kind_tag(key.kind)));
        Self(xxh3_64_with_seed(key.name.as_bytes(), seed))
    }

    /// Hashes an entry at this path: who wrote it and what it holds.
    pub(crate) fn entry(self, dot: Dot, payload: u64) -> EntryHash {
        let mut bytes = [0; 40];
        bytes[0..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&payload.to_le_bytes());
        bytes[16..32].copy_from_slice(&dot.replica.to_bytes());
        bytes[32..40].copy_from_slice(&dot.counter.to_le_bytes());
        EntryHash(xxh3_128(&bytes))
    }
}

/// The payload of a presence mark.
pub(crate) const PRESENCE: u64 = 0;

/// Hashes a value; `seed` is 0 for a set element, the stamp for a register.
pub(crate) fn value_payload(value: ValueRef<'_>, seed: u64) -> u64 {
    let (tag, number): (u64, [u8; 8]) = match value {
        ValueRef::Text(text) => return xxh3_64_with_seed(text.as_bytes(), seed.wrapping_add(5)),
        ValueRef::Bytes(bytes) => return xxh3_64_with_seed(bytes, seed.wrapping_add(6)),
        ValueRef::Null => (1, [0; 8]),
        ValueRef::False => (2, 0_u64.to_le_bytes()),
        ValueRef::True => (2, 1_u64.to_le_bytes()),
        ValueRef::Int(value) => (3, value.to_le_bytes()),
        ValueRef::Float(value) => (4, value.to_bits().to_le_bytes()),
    };
    xxh3_64_with_seed(&number, seed.wrapping_add(tag))
}

/// Hashes what a counter entry holds.
pub(crate) fn counter_payload(total: i64, base: u64, base_total: i64) -> u64 {
    let mut bytes = [0; 24];
    bytes[0..8].copy_from_slice(&total.to_le_bytes());
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    bytes[16..24].copy_from_slice(&base_total.to_le_bytes());
    xxh3_64_with_seed(&bytes, 0)
}
