//! What one replica shows at one moment of the story.

use std::collections::BTreeMap;

use crdt_core::{Digest, ReplicaId, VersionVector};

use crate::cart::Cart;
use crate::story::script::letter;

/// One replica's cart, and its figures so far.
#[derive(Clone, Debug)]
pub struct View {
    /// The replica's number.
    pub replica: usize,
    /// The cart it shows.
    pub cart: Cart,
    /// How many transactions of which replica it has, by number.
    pub version: BTreeMap<usize, u64>,
    /// The hash of the document's content.
    pub digest: Digest,
    /// Bytes it has sent on all its links.
    pub bytes_sent: u64,
    /// Transactions it has sent on all its links.
    pub deltas_sent: u64,
    /// Transactions it has received that it had already.
    pub deltas_duplicate: u64,
}

/// Writes a version with letters: `A:7 B:4`.
#[must_use]
pub fn version_text(version: &BTreeMap<usize, u64>) -> String {
    let parts: Vec<String> =
        version.iter().map(|(replica, counter)| format!("{}:{counter}", letter(*replica))).collect();
    parts.join(" ")
}

/// Puts numbers in the place of ids; ids of nobody here are left out.
pub(crate) fn by_number(version: &VersionVector, ids: &[ReplicaId]) -> BTreeMap<usize, u64> {
    let number = |(id, counter)| Some((ids.iter().position(|known| *known == id)?, counter));
    version.iter().filter_map(number).collect()
}
