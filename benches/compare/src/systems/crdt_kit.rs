//! crdt-kit: states are merged; a delta is the difference between two states that are both at hand.
//!
//! Its deltas need the receiver's state where they are made, so the writer keeps a second copy that stands for it.
//! It has serde and no encoding of its own (its envelope is a header around bytes of others): postcard.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ::crdt_kit::clock::HybridTimestamp;
use ::crdt_kit::{Crdt, DeltaCrdt, LWWMap, NodeId, ORSet, ORSetDelta, PNCounter, PNCounterDelta};
use serde::{Deserialize, Serialize};

use super::{
    CartReplica, CatchUp, CounterReplica, Deltas, Element, FullState, MapReplica, SetReplica, StateMerge, from_bytes,
    id, to_bytes,
};

fn node(replica: u64) -> NodeId {
    id(replica) as NodeId
}

/// An `ORSet`.
pub(crate) struct Set {
    set: ORSet<Element>,
    /// What the others are known to have; made at the first delta.
    others: Option<ORSet<Element>>,
}

/// What an `ORSet` serialises as.
#[derive(Serialize, Deserialize)]
struct Parts {
    actor: NodeId,
    counter: u64,
    elements: BTreeMap<Element, BTreeSet<(NodeId, u64)>>,
    tombstones: BTreeSet<(NodeId, u64)>,
}

impl Set {
    fn delta(&mut self, write: impl FnOnce(&mut ORSet<Element>)) -> Vec<u8> {
        let others = self.others.get_or_insert_with(|| self.set.clone());
        write(&mut self.set);
        let delta = self.set.delta(others);
        others.apply_delta(&delta);
        to_bytes(&delta)
    }
}

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self { set: ORSet::new(node(replica)), others: None }
    }

    fn insert_all(&mut self, keys: &[String]) {
        keys.iter().for_each(|key| self.set.insert(key.as_str().into()));
    }

    fn copy(&mut self, replica: u64) -> Self {
        // The writer of a set cannot be changed by its API, and merging into an empty one takes removals times
        // elements.
        let mut parts: Parts = from_bytes(&to_bytes(&self.set));
        parts.actor = node(replica);
        Self { set: from_bytes(&to_bytes(&parts)), others: None }
    }

    fn contents(&mut self) -> HashSet<String> {
        self.set.iter().map(Element::to_string).collect()
    }
}

impl StateMerge for Set {
    type State = ORSet<Element>;

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.set.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.set.merge(state);
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        self.delta(|set| set.insert(key.into()))
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        self.delta(|set| {
            set.remove(&key.into());
        })
    }

    fn apply(&mut self, delta: &[u8]) {
        self.set.apply_delta(&from_bytes::<ORSetDelta<Element>>(delta));
    }

    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        self.delta(|set| keys.iter().for_each(|key| set.insert(key.as_str().into())))
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        to_bytes(&self.set)
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { set: from_bytes(bytes), others: None }
    }

    fn contains(&mut self, key: &str) -> bool {
        self.set.contains(&key.into())
    }
}

/// What a peer lacks is told from the peer's whole state.
impl CatchUp for Set {
    fn insert_only(&mut self, key: &str) {
        self.set.insert(key.into());
    }

    fn remove_only(&mut self, key: &str) {
        self.set.remove(&key.into());
    }

    fn request(&mut self) -> Vec<u8> {
        self.encode()
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let peer: ORSet<Element> = from_bytes(request);
        to_bytes(&self.set.delta(&peer))
    }

    fn take(&mut self, answer: &[u8]) {
        self.apply(answer);
    }
}

/// A `PNCounter`. It steps by one only.
pub(crate) struct Counter {
    counter: PNCounter,
    others: PNCounter,
}

impl CounterReplica for Counter {
    type State = PNCounter;

    fn empty(replica: u64) -> Self {
        Self { counter: PNCounter::new(node(replica)), others: PNCounter::new(node(replica)) }
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        for _ in 0..by.unsigned_abs() {
            if by < 0 { self.counter.decrement() } else { self.counter.increment() }
        }
        let delta = self.counter.delta(&self.others);
        self.others.apply_delta(&delta);
        to_bytes(&delta)
    }

    fn apply(&mut self, delta: &[u8]) {
        self.counter.apply_delta(&from_bytes::<PNCounterDelta>(delta));
    }

    fn value(&mut self) -> i128 {
        self.counter.value().into()
    }

    fn copy(&mut self) -> Self {
        Self { counter: self.counter.clone(), others: self.others.clone() }
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.counter.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.counter.merge(state);
    }
}

/// An `LWWMap`.
pub(crate) struct Numbers {
    map: LWWMap<String, i64>,
    replica: u64,
    /// Stands for a clock: strictly increasing.
    stamp: u64,
}

impl MapReplica for Numbers {
    type State = LWWMap<String, i64>;

    fn empty(replica: u64) -> Self {
        Self { map: LWWMap::new(), replica, stamp: 1_700_000_000_000 }
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        for key in keys {
            self.stamp += 1;
            let stamp = HybridTimestamp { physical: self.stamp, logical: 0, node_id: node(self.replica) as u16 };
            self.map.insert(key.clone(), number, stamp);
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self { map: self.map.clone(), replica, stamp: self.stamp }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        self.map.iter().map(|(key, number)| (key.clone(), *number)).collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.map.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.map.merge(state);
    }
}

/// One addition: its number makes equal quantities different.
type Addition = (u64, i64);

/// A set of additions for each item, in a map of our making: its maps hold plain values only.
pub(crate) struct Cart {
    node: NodeId,
    additions: u64,
    items: HashMap<String, ORSet<Addition>>,
    touched: BTreeSet<String>,
}

impl CartReplica for Cart {
    fn empty(replica: u64, _: &[String]) -> Self {
        Self { node: node(replica), additions: replica << 32, items: HashMap::new(), touched: BTreeSet::new() }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.additions += 1;
        let set = self.items.entry(item.to_owned()).or_insert_with(|| ORSet::new(self.node));
        set.insert((self.additions, quantity));
        self.touched.insert(item.to_owned());
    }

    fn remove(&mut self, item: &str) {
        if let Some(set) = self.items.get_mut(item) {
            let seen: Vec<Addition> = set.iter().copied().collect();
            for addition in &seen {
                set.remove(addition);
            }
            self.touched.insert(item.to_owned());
        }
    }

    fn flush(&mut self) -> Vec<u8> {
        let touched = std::mem::take(&mut self.touched);
        let states: BTreeMap<&String, &ORSet<Addition>> =
            touched.iter().filter_map(|item| Some((item, self.items.get(item)?))).collect();
        to_bytes(&states)
    }

    fn receive(&mut self, message: &[u8]) {
        for (item, state) in from_bytes::<BTreeMap<String, ORSet<Addition>>>(message) {
            self.items.entry(item).or_insert_with(|| ORSet::new(self.node)).merge(&state);
        }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let sum = |set: &ORSet<Addition>| set.iter().map(|(_, quantity)| quantity).sum();
        let sums = self.items.iter().map(|(item, set)| (item.clone(), sum(set)));
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
