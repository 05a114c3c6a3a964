//! dson: an `OrMap` of registers, its deltas joined into the store.
//!
//! A write is made on the store with its own context, which yields the delta; its transactions do the same on a
//! copy of the whole store. Many keys are joined pairwise, as joining is linear in both sides. Its serde needs a
//! format that describes itself (it flattens a field): MessagePack, which its sources speak of.
//!
//! Left out: counters, which it does not have.

use std::collections::{HashMap, HashSet};

use ::dson::crdts::mvreg::MvRegValue;
use ::dson::crdts::snapshot::ToValue;
use ::dson::{CausalContext, CausalDotStore, Identifier, OrMap};

use super::{CartReplica, CatchUp, Deltas, FullState, MapReplica, SetReplica, StateMerge, id};

type Store = CausalDotStore<OrMap<String>>;

/// The crate's ids have 20 bits.
fn identifier(replica: u64) -> Identifier {
    let bits = id(replica);
    Identifier::new(bits as u8, (bits >> 8) as u16 & 0xfff)
}

fn encode(store: &Store) -> Vec<u8> {
    rmp_serde::to_vec(store).expect("the store is serialisable")
}

fn decode(bytes: &[u8]) -> Store {
    rmp_serde::from_slice(bytes).expect("bytes of encode")
}

fn join(into: &mut Store, delta: Store) {
    into.join_or_replace_with(delta.store, &delta.context);
}

/// Writes a register; returns the delta, which is not joined yet.
fn write(store: &OrMap<String>, context: &CausalContext, writer: Identifier, key: &str, value: MvRegValue) -> Store {
    store.apply_to_register(|register, context, id| register.write(value, context, id), key.to_owned(), context, writer)
}

/// Writes one value under many keys.
fn write_all(store: &mut Store, writer: Identifier, keys: &[String], value: &MvRegValue) {
    let mut context = store.context.clone();
    let one = |key: &String| {
        let delta = write(&store.store, &context, writer, key, value.clone());
        context.insert_next_dot(context.next_dot_for(writer));
        delta
    };
    let mut deltas: Vec<Store> = keys.iter().map(one).collect();
    while deltas.len() > 1 {
        let mut rest = deltas.into_iter();
        deltas = Vec::new();
        while let Some(mut delta) = rest.next() {
            if let Some(next) = rest.next() {
                join(&mut delta, next);
            }
            deltas.push(delta);
        }
    }
    if let Some(all) = deltas.pop() {
        join(store, all);
    }
}

/// Keys with a register that says true.
pub(crate) struct Set {
    writer: Identifier,
    store: Store,
}

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self { writer: identifier(replica), store: Store::default() }
    }

    fn insert_all(&mut self, keys: &[String]) {
        write_all(&mut self.store, self.writer, keys, &MvRegValue::Bool(true));
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self { writer: identifier(replica), store: self.store.clone() }
    }

    fn contents(&mut self) -> HashSet<String> {
        self.store.store.inner().keys().cloned().collect()
    }
}

impl StateMerge for Set {
    type State = Store;

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.store.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        join(&mut self.store, std::mem::take(state));
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        let delta = write(&self.store.store, &self.store.context, self.writer, key, MvRegValue::Bool(true));
        let bytes = encode(&delta);
        join(&mut self.store, delta);
        bytes
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        let delta = self.store.store.remove(key, &self.store.context, self.writer);
        let bytes = encode(&delta);
        join(&mut self.store, delta);
        bytes
    }

    fn apply(&mut self, delta: &[u8]) {
        join(&mut self.store, decode(delta));
    }

    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        let mut all = Store::default();
        for key in keys {
            let delta = write(&self.store.store, &self.store.context, self.writer, key, MvRegValue::Bool(true));
            join(&mut self.store, delta.clone());
            join(&mut all, delta);
        }
        encode(&all)
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        encode(&self.store)
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { writer: identifier(9), store: decode(bytes) }
    }

    fn contains(&mut self, key: &str) -> bool {
        self.store.store.get(key).is_some()
    }
}

impl CatchUp for Set {
    fn request(&mut self) -> Vec<u8> {
        rmp_serde::to_vec(&self.store.context).expect("the context is serialisable")
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let context: CausalContext = rmp_serde::from_slice(request).expect("bytes of a request");
        encode(&self.store.subset_for_inflation_from(&context))
    }

    fn take(&mut self, answer: &[u8]) {
        self.apply(answer);
    }
}

/// Keys with a register that holds a number.
pub(crate) struct Numbers {
    writer: Identifier,
    store: Store,
}

impl MapReplica for Numbers {
    type State = Store;

    fn empty(replica: u64) -> Self {
        Self { writer: identifier(replica), store: Store::default() }
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        write_all(&mut self.store, self.writer, keys, &MvRegValue::I64(number));
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self { writer: identifier(replica), store: self.store.clone() }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        self.store.store.inner().iter().map(|(key, value)| (key.clone(), number(&value.reg))).collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.store.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        join(&mut self.store, std::mem::take(state));
    }
}

/// Returns the one number of a register; values that stand side by side become one that no model holds.
fn number(register: &::dson::MvReg) -> i64 {
    match register.value() {
        Ok(MvRegValue::I64(number)) => *number,
        _ => i64::MIN,
    }
}

/// A map for each item, with a register for each addition.
pub(crate) struct Cart {
    writer: Identifier,
    additions: u64,
    store: Store,
    unsent: Store,
}

impl Cart {
    fn act(&mut self, delta: Store) {
        join(&mut self.store, delta.clone());
        join(&mut self.unsent, delta);
    }
}

impl CartReplica for Cart {
    fn empty(replica: u64, _: &[String]) -> Self {
        Self {
            writer: identifier(replica),
            additions: replica << 32,
            store: Store::default(),
            unsent: Store::default(),
        }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.additions += 1;
        let key = self.additions.to_string();
        let value = MvRegValue::I64(quantity);
        let add = |map: &OrMap<String>, context: &CausalContext, id| write(map, context, id, &key, value);
        let delta = self.store.store.apply_to_map(add, item.to_owned(), &self.store.context, self.writer);
        self.act(delta);
    }

    fn remove(&mut self, item: &str) {
        let delta = self.store.store.remove(item, &self.store.context, self.writer);
        self.act(delta);
    }

    fn flush(&mut self) -> Vec<u8> {
        encode(&std::mem::take(&mut self.unsent))
    }

    fn receive(&mut self, message: &[u8]) {
        join(&mut self.store, decode(message));
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let sums = self.store.store.inner().iter().map(|(item, additions)| {
            let quantities = additions.map.inner().values().map(|addition| number(&addition.reg));
            (item.clone(), quantities.fold(0_i64, i64::saturating_add))
        });
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
