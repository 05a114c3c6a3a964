//! A store in memory whose calls wait, fail and are counted as a test says.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crdt_core::{Delta, Head, ReplicaId, Snapshot, VersionVector};
use crdt_store::{Backup, Checkpoint, Identity, Lease, Listed, Store, StoreError, Stored};

use super::Disk;

/// What the next syncs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    Return,
    /// Take as long as a slow disk.
    Take(Duration),
    /// Wait until told otherwise.
    Wait,
    Fail,
    Panic,
}

/// What the next loads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Return,
    /// Wait until told otherwise.
    Wait,
    Fail,
    /// Find nothing.
    Miss,
    /// Find another document.
    Other,
}

#[derive(Debug)]
struct State {
    sync: Sync,
    load: Load,
    /// How many syncs have begun.
    syncs: usize,
    /// How many loads have.
    loads: usize,
}

/// The test's end of a store.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn new(sync: Sync) -> Arc<Self> {
        let state = State { sync, load: Load::Return, syncs: 0, loads: 0 };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }

    pub(super) fn set(&self, sync: Sync) {
        self.lock().sync = sync;
        self.changed.notify_all();
    }

    pub(super) fn set_load(&self, load: Load) {
        self.lock().load = load;
        self.changed.notify_all();
    }

    pub(super) fn syncs(&self) -> usize {
        self.lock().syncs
    }

    pub(super) fn loads(&self) -> usize {
        self.lock().loads
    }

    fn pass_load(&self) -> Result<Load, StoreError> {
        let mut state = self.lock();
        state.loads += 1;
        while state.load == Load::Wait {
            state = self.changed.wait(state).expect("no panic under the lock");
        }
        match state.load {
            Load::Fail => Err(StoreError::Io(Arc::new(io::Error::other("cannot be read")))),
            load => Ok(load),
        }
    }

    fn pass(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.syncs += 1;
        while state.sync == Sync::Wait {
            state = self.changed.wait(state).expect("no panic under the lock");
        }
        let sync = state.sync;
        drop(state);
        match sync {
            Sync::Return | Sync::Wait => {}
            Sync::Take(duration) => std::thread::sleep(duration),
            Sync::Fail => return Err(StoreError::Io(Arc::new(io::Error::other("no space left")))),
            Sync::Panic => panic!("a bug in the store"),
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Gated {
    lease: Lease,
    gate: Arc<Gate>,
}

impl Gated {
    pub(super) fn new(lease: Lease, gate: &Arc<Gate>) -> Self {
        Self { lease, gate: Arc::clone(gate) }
    }
}

impl Store for Gated {
    fn replica(&self) -> ReplicaId {
        self.lease.replica()
    }

    fn former(&self) -> Vec<ReplicaId> {
        self.lease.former()
    }

    fn renew(&mut self, replica: ReplicaId) -> Result<(), StoreError> {
        self.gate.pass()?;
        self.lease.renew(replica)
    }

    fn disputed(&self) -> Vec<ReplicaId> {
        self.lease.disputed()
    }

    fn note_settled(&mut self, document: &str, replica: ReplicaId) -> Result<(), StoreError> {
        self.lease.note_settled(document, replica)
    }

    fn settled(&self) -> Result<Vec<(Arc<str>, ReplicaId)>, StoreError> {
        self.lease.settled()
    }

    fn documents(&self) -> Result<Vec<Arc<str>>, StoreError> {
        self.lease.documents()
    }

    fn heads(&self) -> Result<Vec<Listed>, StoreError> {
        self.lease.heads()
    }

    fn note_head(&mut self, document: &str, head: &Head) -> Result<(), StoreError> {
        let stored = Store::load(&self.lease, document)?;
        assert!(stored.is_none_or(|stored| stored.version == head.version()), "noted what it does not hold");
        self.lease.note_head(document, head)
    }

    fn load(&self, document: &str) -> Result<Option<Stored>, StoreError> {
        match self.gate.pass_load()? {
            Load::Miss => Ok(None),
            Load::Other => {
                Ok(Some(Stored { snapshot: Snapshot::empty(), deltas: Vec::new(), version: VersionVector::new() }))
            }
            _ => Store::load(&self.lease, document),
        }
    }

    fn append(&mut self, document: &str, delta: &Arc<Delta>) -> Result<Checkpoint, StoreError> {
        self.lease.append(document, delta)
    }

    fn replace(&mut self, document: &str, snapshot: Snapshot) -> Result<(), StoreError> {
        // A checkpoint that is behind would lose writes, one that is ahead refuse those that follow.
        let held = Store::load(&self.lease, document)?.map(|stored| stored.version);
        // Its transactions may go by other ids than before, or all of it by another name.
        let version = snapshot.version();
        let is_ahead = |held: VersionVector| version.is_empty() || version.total() >= held.total();
        assert!(held.is_none_or(is_ahead), "went back");
        self.lease.replace(document, snapshot)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.gate.pass()
    }
}

impl Disk for Gated {
    fn identity(&self) -> Option<Identity> {
        None
    }

    fn announce(&self, _text: &str) -> io::Result<()> {
        Ok(())
    }

    fn start_backup(&self) -> Result<Backup, StoreError> {
        Err(StoreError::Poisoned)
    }
}
