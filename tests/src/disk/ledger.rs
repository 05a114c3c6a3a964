//! What was asked of a store, and what it may show after it was opened again.
//!
//! A store promises that a *prefix* of all calls survives, over all documents together, and that it
//! reaches at least to the last sync that was acknowledged. So the ledger keeps the state of each document
//! after each call, and looks for a length of prefix that explains everything that is found.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crdt_core::Snapshot;
use crdt_store::{Store, StoreError};
use thiserror::Error;

use crate::sim::folded;

/// Everything that was asked of one store, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    calls: u64,
    /// Calls that were acknowledged as durable.
    acknowledged: u64,
    /// By document: its state from this call on, ascending.
    states: BTreeMap<String, Vec<(u64, Snapshot)>>,
}

/// How a store breaks its promise.
#[derive(Debug, Error)]
pub enum Unfaithful {
    /// It cannot be read, though nothing was wrong but a loss of power.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] StoreError),
    /// It holds what it was never asked to hold, or no prefix of the calls.
    #[error("{document}: {found:?} is none of its states from call {from} on")]
    Wrong {
        /// Which document.
        document: String,
        /// At which version it is.
        found: crdt_core::VersionVector,
        /// No earlier state would do.
        from: u64,
    },
    /// Each document is in a state that it has had, but never all of them at once.
    #[error("calls are missing between others that are there")]
    NoPrefix,
}

impl Ledger {
    /// Tells whether nothing was asked of the store so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls == 0
    }

    /// A document was changed, and is so now.
    pub fn called(&mut self, document: &str, state: Snapshot) {
        self.calls += 1;
        self.states.entry(document.to_owned()).or_default().push((self.calls, state));
    }

    /// The store has said that all of it is durable.
    pub fn acknowledged(&mut self) {
        self.acknowledged = self.calls;
    }

    /// Compares what a store shows; what it has lost is forgotten.
    ///
    /// # Errors
    /// [`Unfaithful`].
    pub fn check(&mut self, store: &dyn Store) -> Result<BTreeMap<String, Snapshot>, Unfaithful> {
        let mut found = BTreeMap::new();
        for name in store.documents()? {
            let stored = store.load(&name)?.ok_or_else(|| StoreError::Damaged("a listed document".to_owned()))?;
            let state = folded(stored.snapshot, &stored.deltas);
            found.insert(name.to_string(), state);
        }
        let empty = Snapshot::empty();
        let mut prefix = self.acknowledged..=self.calls;
        let names: Vec<&String> = self.states.keys().chain(found.keys()).collect();
        for name in names {
            let state = found.get(name).unwrap_or(&empty);
            let Some(explained) = self.explain(name, state) else {
                let (document, found) = (name.clone(), state.version());
                return Err(Unfaithful::Wrong { document, found, from: *prefix.start() });
            };
            prefix = *prefix.start().max(explained.start())..=*prefix.end().min(explained.end());
        }
        if prefix.is_empty() {
            return Err(Unfaithful::NoPrefix);
        }
        self.forget_after(*prefix.end());
        Ok(found)
    }

    /// Returns for which numbers of calls a document is in this state, if it ever was at or after what
    /// is acknowledged.
    fn explain(&self, document: &str, state: &Snapshot) -> Option<RangeInclusive<u64>> {
        let states = self.states.get(document).map_or(&[][..], |states| states);
        let ends = states.iter().skip(1).map(|(call, _)| call - 1).chain([self.calls]);
        let known = states.iter().zip(ends).find(|((_, known), _)| {
            known.version() == state.version() && known.digest() == state.digest() && known == state
        });
        if let Some(((call, _), end)) = known {
            return Some(*call..=end);
        }
        let first = states.first().map_or(self.calls + 1, |(call, _)| *call);
        (*state == Snapshot::empty()).then(|| 0..=first - 1)
    }

    /// What a crash has taken has never happened.
    fn forget_after(&mut self, calls: u64) {
        self.calls = calls;
        self.acknowledged = self.acknowledged.min(calls);
        for states in self.states.values_mut() {
            states.retain(|(call, _)| *call <= calls);
        }
        self.states.retain(|_, states| !states.is_empty());
    }
}
