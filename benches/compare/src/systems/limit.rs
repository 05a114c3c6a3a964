//! The limit: the same keys in bare hash tables, with nothing that could resolve a conflict.
//!
//! Tables are those of the `hashbrown` crate with its own hasher. Each table has a seed of its own, or all
//! have one: a table that is filled in the order of another with the same seed is filled from front to back, so the
//! memory is read in order. Bytes are keys with a length in front.

mod cart;

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::OnceLock;

use crdt_core::Text;
use hashbrown::DefaultHashBuilder;

pub(crate) use cart::CartOf;

use super::{CatchUp, CounterReplica, Deltas, FullState, MapReplica, SetReplica, StateMerge, from_bytes, id, to_bytes};

/// Where tables get their seeds from.
pub(crate) trait Seeds: 'static {
    /// Makes the hasher of a new table.
    fn hasher() -> DefaultHashBuilder;
}

/// A seed of its own for each table.
pub(crate) struct Random;
/// One seed for all tables.
pub(crate) struct Same;

impl Seeds for Random {
    fn hasher() -> DefaultHashBuilder {
        DefaultHashBuilder::default()
    }
}

impl Seeds for Same {
    fn hasher() -> DefaultHashBuilder {
        static ONLY: OnceLock<DefaultHashBuilder> = OnceLock::new();
        ONLY.get_or_init(DefaultHashBuilder::default).clone()
    }
}

type Keys<E> = hashbrown::HashSet<E, DefaultHashBuilder>;

/// What a key is held as.
pub(crate) trait Key: Clone + Eq + Hash + Borrow<str> + for<'a> From<&'a str> + 'static {}

impl Key for String {}
impl Key for Text {}

type Table<K, V> = hashbrown::HashMap<K, V, DefaultHashBuilder>;

/// A table of keys.
pub(crate) struct SetOf<S, E> {
    keys: Keys<E>,
    seeds: PhantomData<S>,
}

/// With random seeds.
pub(crate) type Set = SetOf<Random, String>;
/// With one seed.
pub(crate) type SeededSet = SetOf<Same, String>;
/// With random seeds, and keys in place.
pub(crate) type TextSet = SetOf<Random, Text>;

impl<S: Seeds, E: Key> SetReplica for SetOf<S, E> {
    fn empty(_: u64) -> Self {
        Self { keys: Keys::<E>::with_hasher(S::hasher()), seeds: PhantomData }
    }

    fn insert_all(&mut self, keys: &[String]) {
        for key in keys {
            self.keys.insert(E::from(key));
        }
    }

    fn copy(&mut self, _: u64) -> Self {
        let mut keys = Keys::<E>::with_capacity_and_hasher(self.keys.len(), S::hasher());
        keys.extend(self.keys.iter().cloned());
        Self { keys, seeds: PhantomData }
    }

    fn contents(&mut self) -> HashSet<String> {
        self.keys.iter().map(|key| key.borrow().to_owned()).collect()
    }
}

impl<S: Seeds, E: Key> StateMerge for SetOf<S, E> {
    type State = Keys<E>;

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.copy(0).keys
    }

    fn merge(&mut self, state: &mut Self::State) {
        // As hashbrown's own `extend` does: half of what comes may be new.
        self.keys.reserve(state.len().div_ceil(2));
        for key in state.iter() {
            self.keys.get_or_insert_with::<str, _>(key.borrow(), |key| E::from(key));
        }
    }
}

impl<S: Seeds, E: Key> Deltas for SetOf<S, E> {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        self.keys.insert(E::from(key));
        [b"+", key.as_bytes()].concat()
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        self.keys.remove(key);
        [b"-", key.as_bytes()].concat()
    }

    fn apply(&mut self, delta: &[u8]) {
        let key = std::str::from_utf8(&delta[1..]).expect("our own bytes");
        if delta[0] == b'+' {
            self.keys.insert(E::from(key));
        } else {
            self.keys.remove(key);
        }
    }
}

impl<S: Seeds, E: Key> FullState for SetOf<S, E> {
    fn encode(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.keys.iter().map(|key| key.borrow().len() + 1).sum());
        for key in &self.keys {
            let key: &str = key.borrow();
            bytes.push(u8::try_from(key.len()).expect("keys are short"));
            bytes.extend_from_slice(key.as_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut set = Self::empty(0);
        let mut rest = bytes;
        while let Some((len, tail)) = rest.split_first() {
            let (key, tail) = tail.split_at(usize::from(*len));
            set.keys.insert(E::from(std::str::from_utf8(key).expect("our own bytes")));
            rest = tail;
        }
        set
    }

    fn contains(&mut self, key: &str) -> bool {
        self.keys.contains(key)
    }
}

/// A table of totals by writer.
pub(crate) struct CounterOf<S> {
    own: u128,
    totals: Table<u128, [u64; 2]>,
    seeds: PhantomData<S>,
}

impl<S: Seeds> CounterReplica for CounterOf<S> {
    type State = Table<u128, [u64; 2]>;

    fn empty(replica: u64) -> Self {
        Self { own: id(replica), totals: Table::with_hasher(S::hasher()), seeds: PhantomData }
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        let totals = self.totals.entry(self.own).or_default();
        totals[usize::from(by < 0)] += by.unsigned_abs();
        to_bytes(&(self.own, *totals))
    }

    fn apply(&mut self, delta: &[u8]) {
        let (writer, totals) = from_bytes::<(u128, [u64; 2])>(delta);
        self.totals.insert(writer, totals);
    }

    fn value(&mut self) -> i128 {
        self.totals.values().map(|[up, down]| i128::from(*up) - i128::from(*down)).sum()
    }

    fn copy(&mut self) -> Self {
        let mut totals = Table::with_hasher(S::hasher());
        totals.extend(self.totals.iter().map(|(writer, totals)| (*writer, *totals)));
        Self { own: self.own, totals, seeds: PhantomData }
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.copy().totals
    }

    fn merge(&mut self, state: &mut Self::State) {
        for (writer, theirs) in state.iter() {
            let ours = self.totals.entry(*writer).or_default();
            *ours = [ours[0].max(theirs[0]), ours[1].max(theirs[1])];
        }
    }
}

/// A table of numbers.
pub(crate) struct NumbersOf<S> {
    numbers: Table<String, i64>,
    seeds: PhantomData<S>,
}

impl<S: Seeds> MapReplica for NumbersOf<S> {
    type State = Table<String, i64>;

    fn empty(_: u64) -> Self {
        Self { numbers: Table::with_hasher(S::hasher()), seeds: PhantomData }
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        for key in keys {
            self.numbers.insert(key.clone(), number);
        }
    }

    fn copy(&mut self, _: u64) -> Self {
        let mut numbers = Table::with_capacity_and_hasher(self.numbers.len(), S::hasher());
        numbers.extend(self.numbers.iter().map(|(key, number)| (key.clone(), *number)));
        Self { numbers, seeds: PhantomData }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        self.numbers.iter().map(|(key, number)| (key.clone(), *number)).collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.copy(0).numbers
    }

    fn merge(&mut self, state: &mut Self::State) {
        for (key, number) in state.iter() {
            *self.numbers.entry_ref(key.as_str()).or_default() = *number;
        }
    }
}

/// Edits in the order in which they were made, and a table of keys.
pub(crate) struct LogOf<S> {
    set: SetOf<S, String>,
    edits: Vec<Vec<u8>>,
}

/// With random seeds.
pub(crate) type Log = LogOf<Random>;
/// With one seed.
pub(crate) type SeededLog = LogOf<Same>;

impl<S: Seeds> SetReplica for LogOf<S> {
    fn empty(replica: u64) -> Self {
        Self { set: SetOf::empty(replica), edits: Vec::new() }
    }

    fn insert_all(&mut self, keys: &[String]) {
        self.set.insert_all(keys);
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self { set: self.set.copy(replica), edits: self.edits.clone() }
    }

    fn contents(&mut self) -> HashSet<String> {
        self.set.contents()
    }
}

impl<S: Seeds> Deltas for LogOf<S> {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        let edit = self.set.insert(key);
        self.edits.push(edit.clone());
        edit
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        let edit = self.set.remove(key);
        self.edits.push(edit.clone());
        edit
    }

    fn apply(&mut self, delta: &[u8]) {
        self.set.apply(delta);
    }
}

/// A peer asks by how many edits it has.
impl<S: Seeds> CatchUp for LogOf<S> {
    fn request(&mut self) -> Vec<u8> {
        to_bytes(&self.edits.len())
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for edit in &self.edits[from_bytes::<usize>(request)..] {
            bytes.push(u8::try_from(edit.len()).expect("keys are short"));
            bytes.extend_from_slice(edit);
        }
        bytes
    }

    fn take(&mut self, answer: &[u8]) {
        let mut rest = answer;
        while let Some((len, tail)) = rest.split_first() {
            let (edit, tail) = tail.split_at(usize::from(*len));
            self.set.apply(edit);
            rest = tail;
        }
    }
}
