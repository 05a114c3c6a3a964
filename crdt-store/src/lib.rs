//! Where the documents of one replica live between two openings of it.
//!
//! A store holds, for each document, a snapshot and the deltas that came after it, and for all of
//! them one identity: the [`ReplicaId`](crdt_core::ReplicaId) under which their writer spends dots. Writing needs the
//! [`Lease`], of which there is one at a time, because two writers with one id would spend the
//! same dots for different changes (Invariant 4 ends where two processes share a store).
//!
//! There are two: [`MemoryStore`] survives the replica that was opened on it, not the process;
//! [`DiskStore`] survives the process, a loss of power, and being copied.
//!
//! Deliberately absent: reading or merging what is stored. A store keeps bytes and order; the
//! meaning of a delta is the business of crdt-core.

mod disk;
mod memory;
mod store;

pub use disk::{
    Backup, BackupError, CompactError, Continuity, DiskOpenError, DiskOptions, DiskStore, Holder, Identity,
};
pub use disk::{Renewal, RestoreError, Verified, VerifyError};
pub use memory::{Lease, LeaseError, MemoryStore};
pub use store::{Checkpoint, Listed, Store, StoreError, Stored};
