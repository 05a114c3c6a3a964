//! A store in memory: a shared handle that outlives the replica opened on it.
//!
//! How does memory stay bounded while deltas are only ever appended? The store says when the
//! deltas of a document have become heavy ([`Checkpoint::Due`]), and its writer answers with a
//! snapshot of the live document, which is O(1) to take and shares its tables. Folding the deltas
//! in here was rejected: it would build a second copy of every document.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crdt_core::{Delta, Head, ReplicaId, Snapshot, VersionVector};
use thiserror::Error;

use crate::store::{Checkpoint, Listed, Store, StoreError, Stored};

/// How many bytes of deltas a document gathers before a checkpoint is due, unless told otherwise.
///
/// Each checkpoint makes the live document copy the tables that it changes next, so a small bound
/// would cost writes more than it saves memory.
const DELTA_BYTES_MAX: usize = 1024 * 1024;

/// Documents of one replica, in memory. Clones share one content.
///
/// ```
/// use crdt_core::{Document, ReplicaId, Snapshot};
/// use crdt_store::{MemoryStore, Store};
/// use std::sync::Arc;
///
/// let store = MemoryStore::new();
/// let mut lease = store.lease(ReplicaId::from_u128(1))?;
/// assert!(store.lease(ReplicaId::from_u128(1)).is_err(), "one writer at a time");
///
/// let mut cart = Document::new(lease.replica());
/// let mut edit = cart.transact(0);
/// edit.counter("tea").add(2)?;
/// let delta = edit.commit().expect("something was changed").delta;
/// let _ = lease.append("cart", &Arc::new(delta))?;
/// drop(lease);
///
/// assert_eq!(store.load("cart").expect("was stored").deltas.len(), 1);
/// assert_eq!(store.replica(), Some(ReplicaId::from_u128(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

impl MemoryStore {
    /// Makes an empty store that belongs to nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_delta_bytes_max(DELTA_BYTES_MAX)
    }

    /// Makes an empty store that asks for a checkpoint of a document once its deltas exceed `bytes`.
    #[must_use]
    pub fn with_delta_bytes_max(bytes: usize) -> Self {
        let shared = Shared {
            replica: None,
            former: Vec::new(),
            disputed: Vec::new(),
            settled: BTreeSet::new(),
            is_leased: false,
            delta_bytes_max: bytes,
            documents: BTreeMap::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Returns whose dots the documents hold; `None` until the first lease.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaId> {
        self.lock().replica
    }

    /// Takes the right to write as `replica`. The store belongs to that id from then on. Whoever names an id that it
    /// has gone by before writes as the one that it goes by now.
    ///
    /// # Errors
    /// [`LeaseError`]; the store is unchanged.
    pub fn lease(&self, replica: ReplicaId) -> Result<Lease, LeaseError> {
        let mut shared = self.lock();
        let owner = shared.replica.unwrap_or(replica);
        if owner != replica && !shared.former.contains(&replica) {
            return Err(LeaseError::OtherReplica { owner });
        }
        if shared.is_leased {
            return Err(LeaseError::Held);
        }
        shared.replica = Some(owner);
        shared.is_leased = true;
        drop(shared);
        Ok(Lease { replica: owner, store: self.clone() })
    }

    /// Lists the documents held, sorted by name.
    #[must_use]
    pub fn documents(&self) -> Vec<Arc<str>> {
        self.lock().documents.keys().cloned().collect()
    }

    /// Returns what is held of a document. O(deltas): both parts are shared, not copied.
    #[must_use]
    pub fn load(&self, document: &str) -> Option<Stored> {
        let shared = self.lock();
        let held = shared.documents.get(document)?;
        Some(Stored { snapshot: held.snapshot.clone(), deltas: held.deltas.clone(), version: held.version.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every write below is whole before anything can panic, so a poisoned lock guards whole data.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// The right to write to a [`MemoryStore`]; dropping it lets the next writer in.
#[must_use]
#[derive(Debug)]
pub struct Lease {
    replica: ReplicaId,
    store: MemoryStore,
}

impl Lease {
    /// Returns the store that this lease is for.
    #[must_use]
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }
}

impl Store for Lease {
    fn replica(&self) -> ReplicaId {
        self.replica
    }

    fn former(&self) -> Vec<ReplicaId> {
        self.store.lock().former.clone()
    }

    fn renew(&mut self, replica: ReplicaId) -> Result<(), StoreError> {
        if replica != self.replica {
            let mut shared = self.store.lock();
            let left = std::mem::replace(&mut self.replica, replica);
            shared.former.push(left);
            shared.disputed.push(left);
            shared.replica = Some(replica);
        }
        Ok(())
    }

    fn disputed(&self) -> Vec<ReplicaId> {
        self.store.lock().disputed.clone()
    }

    fn note_settled(&mut self, document: &str, replica: ReplicaId) -> Result<(), StoreError> {
        let mut shared = self.store.lock();
        if let Some((name, _)) = shared.documents.get_key_value(document) {
            let name = Arc::clone(name);
            shared.settled.insert((name, replica));
        }
        Ok(())
    }

    fn settled(&self) -> Result<Vec<(Arc<str>, ReplicaId)>, StoreError> {
        Ok(self.store.lock().settled.iter().cloned().collect())
    }

    fn documents(&self) -> Result<Vec<Arc<str>>, StoreError> {
        Ok(self.store.documents())
    }

    fn heads(&self) -> Result<Vec<Listed>, StoreError> {
        let shared = self.store.lock();
        Ok(shared.documents.iter().map(|(document, held)| (Arc::clone(document), held.head.clone())).collect())
    }

    fn note_head(&mut self, document: &str, head: &Head) -> Result<(), StoreError> {
        if let Some(held) = self.store.lock().documents.get_mut(document) {
            held.head = Some(head.clone());
        }
        Ok(())
    }

    fn load(&self, document: &str) -> Result<Option<Stored>, StoreError> {
        Ok(self.store.load(document))
    }

    fn append(&mut self, document: &str, delta: &Arc<Delta>) -> Result<Checkpoint, StoreError> {
        let mut shared = self.store.lock();
        let bytes_max = shared.delta_bytes_max;
        match shared.documents.get_mut(document) {
            Some(held) => held.append(delta, bytes_max),
            None => {
                let mut held = Held::at(Snapshot::empty());
                let checkpoint = held.append(delta, bytes_max)?;
                shared.documents.insert(Arc::from(document), held);
                Ok(checkpoint)
            }
        }
    }

    fn replace(&mut self, document: &str, snapshot: Snapshot) -> Result<(), StoreError> {
        let mut shared = self.store.lock();
        match shared.documents.get_mut(document) {
            Some(held) => *held = Held::at(snapshot),
            None => {
                shared.documents.insert(Arc::from(document), Held::at(snapshot));
            }
        }
        Ok(())
    }

    /// Memory is as durable as it gets at once.
    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.store.lock().is_leased = false;
    }
}

/// Why a store could not be leased. Nothing has changed in any of these cases.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Another writer has the store open; close it first.
    #[error("the store is open already")]
    Held,
    /// The store holds the dots of another writer; open it under that id, or use another store.
    #[error("the store belongs to replica {owner}")]
    OtherReplica {
        /// Whose dots it holds.
        owner: ReplicaId,
    },
}

#[derive(Debug)]
struct Shared {
    replica: Option<ReplicaId>,
    /// Whose dots the documents hold as well, oldest first.
    former: Vec<ReplicaId>,
    /// Those of them that others have used as well.
    disputed: Vec<ReplicaId>,
    /// In which documents it is settled whose dots of a disputed id are whose.
    settled: BTreeSet<(Arc<str>, ReplicaId)>,
    is_leased: bool,
    delta_bytes_max: usize,
    documents: BTreeMap<Arc<str>, Held>,
}

#[derive(Debug)]
struct Held {
    snapshot: Snapshot,
    deltas: Vec<Arc<Delta>>,
    delta_bytes: usize,
    /// The snapshot's version and every delta's range on top.
    version: VersionVector,
    /// Where that leaves the document, if it was noted.
    head: Option<Head>,
}

impl Held {
    fn at(snapshot: Snapshot) -> Self {
        let (version, head) = (snapshot.version(), Some(snapshot.head()));
        Self { snapshot, deltas: Vec::new(), delta_bytes: 0, version, head }
    }

    fn append(&mut self, delta: &Arc<Delta>, bytes_max: usize) -> Result<Checkpoint, StoreError> {
        StoreError::check_continues(&self.version, delta)?;
        delta.advance(&mut self.version);
        self.head = None;
        self.delta_bytes += delta.size_hint();
        self.deltas.push(Arc::clone(delta));
        Ok(if self.delta_bytes > bytes_max { Checkpoint::Due } else { Checkpoint::NotDue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_core::Document;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    fn add_one(document: &mut Document) -> Arc<Delta> {
        let mut edit = document.transact(1);
        edit.counter("n").add(1).expect("far from overflow");
        Arc::new(edit.commit().expect("a change was made").delta)
    }

    #[test]
    fn second_lease_waits_for_the_first_to_end() {
        let store = MemoryStore::new();
        let first = store.lease(A).expect("free");
        assert_eq!(store.lease(A).err(), Some(LeaseError::Held));
        drop(first);
        assert!(store.lease(A).is_ok());
    }

    #[test]
    fn store_keeps_its_identity_between_leases() {
        let store = MemoryStore::new();
        drop(store.lease(A).expect("free"));
        assert_eq!(store.lease(B).err(), Some(LeaseError::OtherReplica { owner: A }));
        assert_eq!(store.replica(), Some(A));
    }

    #[test]
    fn whoever_names_a_former_id_writes_as_the_present_one() {
        let store = MemoryStore::new();
        store.lease(A).expect("free").renew(B).expect("memory takes it");
        assert_eq!(store.lease(A).expect("free").replica(), B);
        assert_eq!(store.replica(), Some(B));
        let other = ReplicaId::from_u128(3);
        assert_eq!(store.lease(other).err(), Some(LeaseError::OtherReplica { owner: B }));
    }

    #[test]
    fn clones_share_one_content() {
        let store = MemoryStore::new();
        let mut lease = store.clone().lease(A).expect("free");
        lease.replace("d", Snapshot::empty()).expect("memory takes it");
        assert_eq!(store.documents(), [Arc::from("d")]);
    }

    #[test]
    fn deltas_come_back_in_order_with_their_version() {
        let store = MemoryStore::new();
        let mut lease = store.lease(A).expect("free");
        let mut document = Document::new(A);
        for _ in 0..3 {
            let _ = lease.append("d", &add_one(&mut document)).expect("continues");
        }
        let stored = store.load("d").expect("was stored");
        assert_eq!(stored.version, document.version());
        let mut replayed = Document::from_snapshot(B, stored.snapshot);
        for delta in &stored.deltas {
            let _ = replayed.apply(delta).expect("in order");
        }
        assert!(replayed == document);
    }

    #[test]
    fn delta_that_does_not_continue_is_refused() {
        let store = MemoryStore::new();
        let mut lease = store.lease(A).expect("free");
        let mut document = Document::new(A);
        let first = add_one(&mut document);
        let second = add_one(&mut document);
        assert!(matches!(lease.append("d", &second), Err(StoreError::Gap { replica: A, have: 0 })));
        assert!(store.load("d").is_none(), "a refused delta creates no document");
        let _ = lease.append("d", &first).expect("continues");
        assert!(matches!(lease.append("d", &first), Err(StoreError::Gap { replica: A, have: 1 })));
    }

    #[test]
    fn a_noted_head_stands_until_the_next_write() {
        let store = MemoryStore::new();
        let mut lease = store.lease(A).expect("free");
        let mut document = Document::new(A);
        lease.note_head("d", &document.head()).expect("forgotten: there is no such document");
        let _ = lease.append("d", &add_one(&mut document)).expect("continues");
        assert_eq!(lease.heads().expect("memory"), [(Arc::from("d"), None)]);
        lease.note_head("d", &document.head()).expect("memory takes it");
        assert_eq!(lease.heads().expect("memory"), [(Arc::from("d"), Some(document.head()))]);
        let _ = lease.append("d", &add_one(&mut document)).expect("continues");
        assert_eq!(lease.heads().expect("memory"), [(Arc::from("d"), None)]);
        lease.replace("d", document.snapshot()).expect("memory takes it");
        assert_eq!(lease.heads().expect("memory"), [(Arc::from("d"), Some(document.head()))]);
    }

    #[test]
    fn checkpoint_is_due_above_the_bound_and_replaces_the_deltas() {
        let mut document = Document::new(A);
        let first = add_one(&mut document);
        let second = add_one(&mut document);
        let store = MemoryStore::with_delta_bytes_max(first.size_hint());
        let mut lease = store.lease(A).expect("free");
        assert_eq!(lease.append("d", &first).expect("continues"), Checkpoint::NotDue);
        assert_eq!(lease.append("d", &second).expect("continues"), Checkpoint::Due);
        lease.replace("d", document.snapshot()).expect("memory takes it");
        let stored = store.load("d").expect("was stored");
        assert!(stored.deltas.is_empty());
        assert_eq!(stored.version, document.version());
    }
}
