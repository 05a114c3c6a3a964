//! Who writes, and the name of what was written.
//!
//! A [`ReplicaId`] belongs to exactly one writer; two writers with one id would spend the same
//! dots for different changes, which no merge can repair afterwards. Ids enter as arguments:
//! this crate draws no randomness, so one seed can replay a whole network.
//!
//! Source: dots as in Almeida, Baquero, Gonçalves, Preguiça, Fonte, "Scalable and accurate
//! causality tracking for eventually consistent stores" (2014), §3.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The highest counter a dot can have: 2⁴⁸ − 1, about nine thousand years of 1,000 transactions a second.
///
/// Decoders refuse anything above it, so a forged version cannot claim the end of the range.
pub const COUNTER_MAX: u64 = (1 << 48) - 1;

/// Names one writer: a 128-bit UUID, held by one replica of the data at a time.
///
/// Ordered by its bytes; the order breaks ties between equal timestamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(Uuid);

impl ReplicaId {
    /// Makes the id from a number; meant for tests and examples, where 1, 2 and 3 read best.
    #[must_use]
    pub const fn from_u128(id: u128) -> Self {
        Self(Uuid::from_u128(id))
    }

    /// Makes a version 4 UUID from sixteen random bytes that the caller drew.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Reads the id back from its sixteen bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Returns the sixteen bytes, most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

/// One word: an array would be hashed with its length, byte by byte.
impl Hash for ReplicaId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.0.as_u128());
    }
}

impl From<Uuid> for ReplicaId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<ReplicaId> for Uuid {
    fn from(id: ReplicaId) -> Self {
        id.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one committed transaction: the replica that made it and its place in that replica's order.
///
/// Counters start at 1 and leave no gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who committed it.
    pub replica: ReplicaId,
    /// The how-manieth transaction of that replica; 1 to [`COUNTER_MAX`].
    pub counter: u64,
}

impl Dot {
    /// Names the `counter`-th transaction of `replica`.
    #[must_use]
    pub const fn new(replica: ReplicaId, counter: u64) -> Self {
        Self { replica, counter }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.replica, self.counter)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
