//! What is written to a store while its disk misbehaves: transactions of its own, deltas and whole
//! snapshots of a peer, syncs now and then.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt_core::{Document, ReplicaId, Snapshot};
use crdt_store::{Checkpoint, DiskOptions, Store, StoreError};

use super::Ledger;
use crate::choices::Choices;

/// Who writes to the store.
const OWNER: ReplicaId = ReplicaId::from_u128(1);

/// Who writes elsewhere.
const PEER: ReplicaId = ReplicaId::from_u128(2);

/// Small bounds, so that a short run folds deltas, merges layers and writes checkpoints.
#[must_use]
pub fn options() -> DiskOptions {
    let mut options = DiskOptions::default();
    options.replica = Some(OWNER);
    options.tail_bytes_max = 300;
    options
}

/// A writer with the documents that it has in memory.
#[derive(Debug)]
pub struct Workload {
    documents: BTreeMap<String, Document>,
    /// The peer's copies. A crash rolls the whole world back, so they start anew from what is left.
    peers: BTreeMap<String, Document>,
    choices: Choices,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// All of it was done.
    Done,
    /// The store failed; what was not acknowledged may be lost.
    Failed(StoreError),
}

impl Workload {
    /// Starts with what a store shows.
    #[must_use]
    pub fn new(found: BTreeMap<String, Snapshot>, seed: u64) -> Self {
        let documents = found.into_iter().map(|(name, state)| (name, Document::from_snapshot(OWNER, state))).collect();
        Self { documents, peers: BTreeMap::new(), choices: Choices::new(seed) }
    }

    /// Makes so many changes, each of which goes into the ledger before the store is asked.
    pub fn run(&mut self, store: &mut dyn Store, ledger: &mut Ledger, changes: usize) -> Ended {
        for _ in 0..changes {
            if let Err(error) = self.step(store, ledger) {
                return Ended::Failed(error);
            }
        }
        Ended::Done
    }

    fn step(&mut self, store: &mut dyn Store, ledger: &mut Ledger) -> Result<(), StoreError> {
        let name = format!("d{}", self.choices.below(3));
        let open = self.documents.entry(name.clone()).or_insert_with(|| Document::new(OWNER));
        let peer = self.peers.entry(name.clone());
        let due = match self.choices.below(16) {
            0 => {
                let peer = peer.or_insert_with(|| Document::from_snapshot(PEER, open.snapshot()));
                peer.merge(&open.snapshot()).expect("honest");
                edit(peer, &mut self.choices);
                open.merge(&peer.snapshot()).expect("honest");
                ledger.called(&name, open.snapshot());
                store.replace(&name, open.snapshot())?;
                Checkpoint::NotDue
            }
            1..4 => {
                let peer = peer.or_insert_with(|| Document::from_snapshot(PEER, open.snapshot()));
                peer.merge(&open.snapshot()).expect("honest");
                let delta = edit(peer, &mut self.choices);
                open.apply(&delta).expect("in order");
                ledger.called(&name, open.snapshot());
                store.append(&name, &delta)?
            }
            _ => {
                let delta = edit(open, &mut self.choices);
                ledger.called(&name, open.snapshot());
                store.append(&name, &delta)?
            }
        };
        if due == Checkpoint::Due {
            // Changes nothing that a reader could see.
            store.replace(&name, open.snapshot())?;
        }
        if self.choices.below(4) == 0 {
            store.sync()?;
            ledger.acknowledged();
        }
        Ok(())
    }
}

fn edit(document: &mut Document, choices: &mut Choices) -> Arc<crdt_core::Delta> {
    let mut transaction = document.transact(0);
    let number = choices.below(50) as i64;
    let edited = match choices.below(4) {
        0 => transaction.counter("n").add(1 + number),
        1 => transaction.set("s").insert(number),
        2 => transaction.register("r").set("x".repeat(choices.below(120))),
        _ => transaction.map("m").counter(&number.to_string()).add(1),
    };
    edited.expect("within all limits");
    // An insert of what is there already writes its dot anew, so every edit changes something.
    Arc::new(transaction.commit().expect("something was written").delta)
}
