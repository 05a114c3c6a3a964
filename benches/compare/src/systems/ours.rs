//! crdt-core: its plain types, and its documents.
//!
//! Plain types travel by serde, as crdts and crdt-kit do. A document keeps a log of the deltas it made and took in,
//! as it does inside a replica that serves others, and reports its changes; both are paid for within the timing.

mod document;
mod types;

pub(crate) use document::{CartDocument, CounterDocument, MapDocument, SetDocument};
pub(crate) use types::{Cart, Counter, Numbers, Set};

use crdt_core::ReplicaId;

/// The wall clock stands still.
const WALL_MS: u64 = 1_700_000_000_000;

fn replica_id(replica: u64) -> ReplicaId {
    ReplicaId::from_u128(super::id(replica))
}
