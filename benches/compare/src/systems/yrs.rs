//! yrs: `encode_update_v1` of each transaction for what happens live, `apply_update` to take it in.
//!
//! A set is the keys of a map. Replicas share containers by name at the root, which merge; nested ones that two
//! replicas make at the same time would not. Encoding v1 is the faster of its two.

use std::collections::{HashMap, HashSet};

use ::yrs::block::ClientID;
use ::yrs::updates::decoder::Decode;
use ::yrs::updates::encoder::Encode;
use ::yrs::{Any, Doc, Map, MapRef, Out, ReadTxn, StateVector, Transact, TransactionMut, Update, merge_updates_v1};

use super::{CartReplica, CatchUp, CounterReplica, Deltas, FullState, MapReplica, SetReplica, StateMerge, id};

/// A client id has 53 bits.
fn client(replica: u64) -> ClientID {
    ClientID::new(id(replica) as u64 & ((1 << 53) - 1))
}

fn document(replica: u64) -> Doc {
    Doc::with_client_id(client(replica).get())
}

/// Makes a copy for a writer: there is no clone of the data.
fn copy(document: &Doc, replica: u64) -> Doc {
    let copy = self::document(replica);
    apply(&copy, &encode(document));
    copy
}

fn encode(document: &Doc) -> Vec<u8> {
    document.transact().encode_state_as_update_v1(&StateVector::default())
}

fn apply(document: &Doc, update: &[u8]) {
    let update = Update::decode_v1(update).expect("bytes of an update");
    document.transact_mut().apply_update(update).expect("updates come in order");
}

/// Makes one transaction; returns its update.
fn write(document: &Doc, edit: impl FnOnce(&mut TransactionMut<'_>)) -> Vec<u8> {
    let mut transaction = document.transact_mut();
    edit(&mut transaction);
    transaction.encode_update_v1()
}

/// Decodes what `target` lacks, ready to be applied.
fn state(document: &Doc, target: &Doc) -> Option<Update> {
    let version = target.transact().state_vector();
    let update = document.transact().encode_diff_v1(&version);
    Some(Update::decode_v1(&update).expect("our own bytes"))
}

fn merge(document: &Doc, state: &mut Option<Update>) {
    let update = state.take().expect("a state is merged once");
    document.transact_mut().apply_update(update).expect("updates come in order");
}

/// Returns the number a value holds, or one that no model holds.
fn integer(value: &Out) -> i64 {
    match value {
        Out::Any(Any::Number(number)) => number.as_i64().unwrap_or(i64::MIN),
        _ => i64::MIN,
    }
}

/// The keys of the map "s".
pub(crate) struct Set {
    document: Doc,
    map: MapRef,
}

impl Set {
    fn new(document: Doc) -> Self {
        let map = document.get_or_insert_map("s");
        Self { document, map }
    }
}

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self::new(document(replica))
    }

    fn insert_all(&mut self, keys: &[String]) {
        let mut transaction = self.document.transact_mut();
        for key in keys {
            self.map.insert(&mut transaction, key.as_str(), true);
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self::new(copy(&self.document, replica))
    }

    fn contents(&mut self) -> HashSet<String> {
        self.map.keys(&self.document.transact()).map(str::to_owned).collect()
    }
}

impl StateMerge for Set {
    type State = Option<Update>;

    fn state(&mut self, target: &mut Self) -> Self::State {
        state(&self.document, &target.document)
    }

    fn merge(&mut self, state: &mut Self::State) {
        merge(&self.document, state);
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        write(&self.document, |transaction| {
            self.map.insert(transaction, key, true);
        })
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        write(&self.document, |transaction| {
            self.map.remove(transaction, key);
        })
    }

    fn apply(&mut self, delta: &[u8]) {
        apply(&self.document, delta);
    }

    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        let updates: Vec<Vec<u8>> = keys.iter().map(|key| self.insert(key)).collect();
        merge_updates_v1(&updates).expect("our own updates")
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        encode(&self.document)
    }

    fn decode(bytes: &[u8]) -> Self {
        let document = document(9);
        apply(&document, bytes);
        Self::new(document)
    }

    fn contains(&mut self, key: &str) -> bool {
        self.map.contains_key(&self.document.transact(), key)
    }
}

impl CatchUp for Set {
    fn request(&mut self) -> Vec<u8> {
        self.document.transact().state_vector().encode_v1()
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let version = StateVector::decode_v1(request).expect("bytes of a version");
        self.document.transact().encode_diff_v1(&version)
    }

    fn take(&mut self, answer: &[u8]) {
        apply(&self.document, answer);
    }
}

/// A total for each writer in the map "n", added up on reading: the crate has no counter.
pub(crate) struct Counter {
    document: Doc,
    map: MapRef,
    own: i64,
}

impl Counter {
    fn new(document: Doc) -> Self {
        let map = document.get_or_insert_map("n");
        Self { document, map, own: 0 }
    }
}

impl CounterReplica for Counter {
    type State = Option<Update>;

    fn empty(replica: u64) -> Self {
        Self::new(document(replica))
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        self.own += by;
        let key = format!("{:x}", self.document.client_id().get());
        write(&self.document, |transaction| {
            self.map.insert(transaction, key, self.own);
        })
    }

    fn apply(&mut self, delta: &[u8]) {
        apply(&self.document, delta);
    }

    fn value(&mut self) -> i128 {
        let transaction = self.document.transact();
        self.map.iter(&transaction).map(|(_, total)| i128::from(integer(&total))).sum()
    }

    fn copy(&mut self) -> Self {
        Self { own: self.own, ..Self::new(copy(&self.document, 0)) }
    }

    fn state(&mut self, target: &mut Self) -> Self::State {
        state(&self.document, &target.document)
    }

    fn merge(&mut self, state: &mut Self::State) {
        merge(&self.document, state);
    }
}

/// Numbers in the map "m".
pub(crate) struct Numbers {
    document: Doc,
    map: MapRef,
}

impl Numbers {
    fn new(document: Doc) -> Self {
        let map = document.get_or_insert_map("m");
        Self { document, map }
    }
}

impl MapReplica for Numbers {
    type State = Option<Update>;

    fn empty(replica: u64) -> Self {
        Self::new(document(replica))
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        let mut transaction = self.document.transact_mut();
        for key in keys {
            self.map.insert(&mut transaction, key.as_str(), number);
        }
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self::new(copy(&self.document, replica))
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let transaction = self.document.transact();
        self.map.iter(&transaction).map(|(key, value)| (key.to_owned(), integer(&value))).collect()
    }

    fn state(&mut self, target: &mut Self) -> Self::State {
        state(&self.document, &target.document)
    }

    fn merge(&mut self, state: &mut Self::State) {
        merge(&self.document, state);
    }
}

/// A map at the root for each item, with a number for each addition.
pub(crate) struct Cart {
    document: Doc,
    items: HashMap<String, MapRef>,
    additions: u64,
    unsent: Vec<Vec<u8>>,
}

impl CartReplica for Cart {
    fn empty(replica: u64, items: &[String]) -> Self {
        let document = document(replica);
        let items = items.iter().map(|item| (item.clone(), document.get_or_insert_map(item.as_str()))).collect();
        Self { document, items, additions: replica << 32, unsent: Vec::new() }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.additions += 1;
        let (item, key) = (&self.items[item], self.additions.to_string());
        let update = write(&self.document, |transaction| {
            item.insert(transaction, key, quantity);
        });
        self.unsent.push(update);
    }

    fn remove(&mut self, item: &str) {
        let item = &self.items[item];
        let update = write(&self.document, |transaction| item.clear(transaction));
        self.unsent.push(update);
    }

    fn flush(&mut self) -> Vec<u8> {
        merge_updates_v1(std::mem::take(&mut self.unsent)).expect("our own updates")
    }

    fn receive(&mut self, message: &[u8]) {
        apply(&self.document, message);
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let transaction = self.document.transact();
        let sum = |item: &MapRef| item.iter(&transaction).map(|(_, quantity)| integer(&quantity)).sum();
        let sums = self.items.iter().map(|(name, item)| (name.clone(), sum(item)));
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
