//! The plain types. What they send is a delta, encoded by serde.

use std::collections::HashSet;

use crdt_core::{OrSet, OrSetDelta, PnCounter, PnCounterDelta, ReplicaId};

use super::replica_id;
use crate::systems::{CounterReplica, Deltas, Element, FullState, SetReplica, StateMerge, from_bytes, to_bytes};

/// An [`OrSet`] and who writes to it.
pub(crate) struct Set {
    replica: ReplicaId,
    set: OrSet<Element>,
}

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self { replica: replica_id(replica), set: OrSet::new() }
    }

    fn insert_all(&mut self, keys: &[String]) {
        for key in keys {
            let _ = self.set.insert(self.replica, key.as_str().into()).expect("two replicas");
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        // A clone would share its tables and profit from it.
        Self { replica: replica_id(replica), set: from_bytes(&to_bytes(&self.set)) }
    }

    fn contents(&mut self) -> HashSet<String> {
        self.set.iter().map(Element::to_string).collect()
    }
}

impl StateMerge for Set {
    type State = OrSet<Element>;

    fn state(&mut self, _: &mut Self) -> Self::State {
        from_bytes(&to_bytes(&self.set))
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.set.merge(state).expect("two replicas");
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        to_bytes(&self.set.insert(self.replica, key.into()).expect("two replicas"))
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        to_bytes(&self.set.remove(self.replica, key).expect("two replicas").expect("the key is there"))
    }

    fn apply(&mut self, delta: &[u8]) {
        let delta: OrSetDelta<Element> = from_bytes(delta);
        self.set.apply(&delta).expect("deltas come in order");
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        to_bytes(&self.set)
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { replica: replica_id(9), set: from_bytes(bytes) }
    }

    fn contains(&mut self, key: &str) -> bool {
        self.set.contains(key)
    }
}

/// A [`PnCounter`] and who counts on it.
pub(crate) struct Counter {
    replica: ReplicaId,
    counter: PnCounter,
}

impl CounterReplica for Counter {
    type State = PnCounter;

    fn empty(replica: u64) -> Self {
        Self { replica: replica_id(replica), counter: PnCounter::new() }
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        let amount = by.unsigned_abs();
        let delta = if by < 0 {
            self.counter.decrement(self.replica, amount)
        } else {
            self.counter.increment(self.replica, amount)
        };
        to_bytes(&delta.expect("totals are small"))
    }

    fn apply(&mut self, delta: &[u8]) {
        let delta: PnCounterDelta = from_bytes(delta);
        self.counter.apply(&delta);
    }

    fn value(&mut self) -> i128 {
        self.counter.value()
    }

    fn copy(&mut self) -> Self {
        Self { replica: self.replica, counter: self.counter.clone() }
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.counter.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.counter.merge(state);
    }
}
