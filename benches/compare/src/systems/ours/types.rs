//! The plain types. What they send is a delta, encoded by serde.

use std::collections::{HashMap, HashSet};

use crdt_core::{
    CounterMap, CounterMapDelta, HybridClock, LwwMap, OrSet, OrSetDelta, PnCounter, PnCounterDelta, ReplicaId, Text,
};

use super::{WALL_MS, replica_id};
use crate::systems::{
    CartReplica, CounterReplica, Deltas, Element, FullState, MapReplica, SetReplica, StateMerge, from_bytes, to_bytes,
};

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

/// An [`LwwMap`], who writes to it and by which clock.
pub(crate) struct Numbers {
    replica: ReplicaId,
    clock: HybridClock,
    map: LwwMap<Text, i64>,
}

impl MapReplica for Numbers {
    type State = LwwMap<Text, i64>;

    fn empty(replica: u64) -> Self {
        Self { replica: replica_id(replica), clock: HybridClock::new(), map: LwwMap::new() }
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        for key in keys {
            let stamp = self.clock.stamp(WALL_MS);
            let _ = self.map.insert(self.replica, stamp, key.as_str().into(), number).expect("two replicas");
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        // A clone would share its tables and profit from it.
        Self { replica: replica_id(replica), clock: self.clock.clone(), map: from_bytes(&to_bytes(&self.map)) }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        self.map.iter().map(|(key, number)| (key.to_string(), *number)).collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        from_bytes(&to_bytes(&self.map))
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.map.merge(state).expect("two replicas");
    }
}

/// A [`CounterMap`] of quantities, who edits it, and what the others have not been sent.
pub(crate) struct Cart {
    replica: ReplicaId,
    map: CounterMap<Text>,
    unsent: Vec<CounterMapDelta<Text>>,
}

impl CartReplica for Cart {
    fn empty(replica: u64, _: &[String]) -> Self {
        Self { replica: replica_id(replica), map: CounterMap::new(), unsent: Vec::new() }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.unsent.push(self.map.add(self.replica, item.into(), quantity).expect("within all limits"));
    }

    fn remove(&mut self, item: &str) {
        self.unsent.extend(self.map.remove(self.replica, item).expect("within all limits"));
    }

    fn flush(&mut self) -> Vec<u8> {
        to_bytes(&std::mem::take(&mut self.unsent))
    }

    fn receive(&mut self, message: &[u8]) {
        for delta in from_bytes::<Vec<CounterMapDelta<Text>>>(message) {
            self.map.apply(&delta).expect("deltas come in order");
        }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let quantity = |sum: i128| i64::try_from(sum).expect("quantities are small");
        self.map.iter().filter(|(_, sum)| *sum != 0).map(|(item, sum)| (item.to_string(), quantity(sum))).collect()
    }
}
