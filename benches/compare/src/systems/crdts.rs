//! crdts: operations for what happens live, `merge` for states, both as the crate's README shows.
//!
//! It has serde and no encoding of its own, so its bytes are postcard's.

use std::collections::{BTreeSet, HashMap, HashSet};

use ::crdts::{CmRDT, CvRDT, MVReg, Map, Orswot, PNCounter, map, orswot, pncounter};

use super::{
    CartReplica, CatchUp, CounterReplica, Deltas, Element, FullState, MapReplica, SetReplica, StateMerge, from_bytes,
    id, to_bytes,
};

/// Who acts. Half of our id: the crate leaves the choice open, and the shorter one favours it.
type Actor = u64;

fn actor(replica: u64) -> Actor {
    id(replica) as Actor
}

/// An `Orswot`.
pub(crate) struct Set {
    actor: Actor,
    set: Orswot<Element, Actor>,
}

impl Set {
    fn insert_op(&mut self, key: &str) -> orswot::Op<Element, Actor> {
        let context = self.set.read_ctx().derive_add_ctx(self.actor);
        let op = self.set.add(key.into(), context);
        self.set.apply(op.clone());
        op
    }
}

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self { actor: actor(replica), set: Orswot::new() }
    }

    fn insert_all(&mut self, keys: &[String]) {
        for key in keys {
            self.insert_op(key);
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self { actor: actor(replica), set: self.set.clone() }
    }

    fn contents(&mut self) -> HashSet<String> {
        self.set.read().val.iter().map(Element::to_string).collect()
    }
}

impl StateMerge for Set {
    type State = Orswot<Element, Actor>;

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.set.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.set.merge(std::mem::take(state));
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        to_bytes(&self.insert_op(key))
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        let key = key.into();
        let context = self.set.contains(&key).derive_rm_ctx();
        let op = self.set.rm(key, context);
        self.set.apply(op.clone());
        to_bytes(&op)
    }

    fn apply(&mut self, delta: &[u8]) {
        self.set.apply(from_bytes(delta));
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        to_bytes(&self.set)
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { actor: actor(9), set: from_bytes(bytes) }
    }

    fn contains(&mut self, key: &str) -> bool {
        self.set.contains(&key.into()).val
    }
}

/// It keeps no operations and has no deltas since a version, so a late peer gets the whole state.
impl CatchUp for Set {
    fn request(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn answer(&mut self, _: &[u8]) -> Vec<u8> {
        self.encode()
    }

    fn take(&mut self, answer: &[u8]) {
        self.set.merge(from_bytes(answer));
    }
}

/// A `PNCounter`.
pub(crate) struct Counter {
    actor: Actor,
    counter: PNCounter<Actor>,
}

impl CounterReplica for Counter {
    type State = PNCounter<Actor>;

    fn empty(replica: u64) -> Self {
        Self { actor: actor(replica), counter: PNCounter::new() }
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        let amount = by.unsigned_abs();
        let op =
            if by < 0 { self.counter.dec_many(self.actor, amount) } else { self.counter.inc_many(self.actor, amount) };
        self.counter.apply(op.clone());
        to_bytes(&op)
    }

    fn apply(&mut self, delta: &[u8]) {
        self.counter.apply(from_bytes::<pncounter::Op<Actor>>(delta));
    }

    fn value(&mut self) -> i128 {
        i128::try_from(self.counter.read()).expect("the sum is small")
    }

    fn copy(&mut self) -> Self {
        Self { actor: self.actor, counter: self.counter.clone() }
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.counter.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.counter.merge(std::mem::take(state));
    }
}

/// A `Map` of `MVReg`: its last-writer-wins register cannot be put into its map.
pub(crate) struct Numbers {
    actor: Actor,
    map: Map<String, MVReg<i64, Actor>, Actor>,
}

impl MapReplica for Numbers {
    type State = Map<String, MVReg<i64, Actor>, Actor>;

    fn empty(replica: u64) -> Self {
        Self { actor: actor(replica), map: Map::new() }
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        for key in keys {
            let context = self.map.read_ctx().derive_add_ctx(self.actor);
            let op = self.map.update(key.as_str(), context, |register, context| register.write(number, context));
            self.map.apply(op);
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self { actor: actor(replica), map: self.map.clone() }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let entries = self.map.iter().map(|entry| {
            let (key, register) = entry.val;
            let values = register.read().val;
            // Values that stand side by side count as the sum of none: the check must notice them.
            (key.clone(), if values.len() == 1 { values[0] } else { i64::MIN })
        });
        entries.collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.map.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.map.merge(std::mem::take(state));
    }
}

/// One addition: its number makes equal quantities different.
type Addition = (u64, i64);
type Additions = Orswot<Addition, Actor>;
type CartOp = map::Op<String, Additions, Actor>;

/// A `Map` of sets of additions. A `Map` of `PNCounter` is the shorter way, and wrong: a removal that meets an
/// addition leaves replicas with different sums.
pub(crate) struct Cart {
    actor: Actor,
    additions: u64,
    map: Map<String, Additions, Actor>,
    unsent: Vec<CartOp>,
}

impl Cart {
    fn act(&mut self, op: CartOp) {
        self.map.apply(op.clone());
        self.unsent.push(op);
    }
}

impl CartReplica for Cart {
    fn empty(replica: u64, _: &[String]) -> Self {
        Self { actor: actor(replica), additions: replica << 32, map: Map::new(), unsent: Vec::new() }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.additions += 1;
        let addition = (self.additions, quantity);
        let context = self.map.read_ctx().derive_add_ctx(self.actor);
        let op = self.map.update(item, context, |set, context| set.add(addition, context));
        self.act(op);
    }

    fn remove(&mut self, item: &str) {
        let context = self.map.get(&item.to_owned()).derive_rm_ctx();
        let op = self.map.rm(item, context);
        self.act(op);
    }

    fn flush(&mut self) -> Vec<u8> {
        to_bytes(&std::mem::take(&mut self.unsent))
    }

    fn receive(&mut self, message: &[u8]) {
        for op in from_bytes::<Vec<CartOp>>(message) {
            self.map.apply(op);
        }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let sums = self.map.iter().map(|entry| {
            let (item, set) = entry.val;
            let additions: BTreeSet<Addition> = set.read().val.into_iter().collect();
            (item.clone(), additions.iter().map(|(_, quantity)| quantity).sum())
        });
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
