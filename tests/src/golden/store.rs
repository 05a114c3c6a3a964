//! What happens to stores behind their users' backs: copies, and damage that no checksum shows.

use crdt_core::{ReplicaId, Snapshot};
use crdt_store::{MemoryStore, Store, Stored};

use super::Failure;
use crate::forge;

/// Makes a store with the same content and identity.
pub(super) fn copy(store: &MemoryStore, replica: ReplicaId) -> Result<MemoryStore, Failure> {
    let copy = MemoryStore::new();
    let mut lease = copy.lease(replica)?;
    for name in store.documents() {
        let held = load(store, &name)?;
        lease.replace(&name, held.snapshot)?;
        for delta in &held.deltas {
            // What is due to be folded may stay as it is: a copy is a copy.
            let _ = lease.append(&name, delta)?;
        }
    }
    drop(lease);
    Ok(copy)
}

/// Puts another text of the same length into a stored document, at the same dot, and the digest right.
pub(super) fn damage(
    store: &MemoryStore,
    replica: ReplicaId,
    document: &str,
    (old, new): (&str, &str),
) -> Result<(), Failure> {
    let held = load(store, document)?;
    let mut snapshot = held.snapshot;
    for delta in &held.deltas {
        snapshot.apply(delta)?;
    }
    let mut bytes = snapshot.encode();
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes());
    let at = at.filter(|_| old.len() == new.len()).ok_or("no such text, or another length")?;
    bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    forge::reseal(&mut bytes);
    store.lease(replica)?.replace(document, Snapshot::decode(&bytes)?)?;
    Ok(())
}

fn load(store: &MemoryStore, document: &str) -> Result<Stored, Failure> {
    store.load(document).ok_or_else(|| format!("nothing is stored of {document:?}").into())
}
