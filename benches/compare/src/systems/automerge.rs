//! automerge: one change a transaction, `apply_changes` for changes, `merge` for documents.
//!
//! A set is the keys of the root map. Documents that must share an object (a counter, an item) start from one
//! common change, as its documentation asks for.

use std::collections::{HashMap, HashSet};

use ::automerge::transaction::Transactable;
use ::automerge::{ActorId, Automerge, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use super::{CartReplica, CatchUp, CounterReplica, Deltas, FullState, MapReplica, SetReplica, StateMerge, id};

/// Writes in one change, where many are made at once.
const CHANGE_WRITES: usize = 1_000;

fn actor(replica: u64) -> ActorId {
    ActorId::from(id(replica).to_be_bytes())
}

fn document(replica: u64) -> Automerge {
    Automerge::new().with_actor(actor(replica))
}

/// Makes the common first change; it has the same hash for everybody.
fn base(replica: u64, edit: impl FnOnce(&mut ::automerge::transaction::Transaction<'_>)) -> Automerge {
    let mut common = Automerge::new().with_actor(ActorId::from([0; 16]));
    write(&mut common, edit);
    common.with_actor(actor(replica))
}

fn write(document: &mut Automerge, edit: impl FnOnce(&mut ::automerge::transaction::Transaction<'_>)) {
    let mut transaction = document.transaction();
    edit(&mut transaction);
    transaction.commit();
}

/// Returns the bytes of the change just made.
fn last_change(document: &Automerge) -> Vec<u8> {
    document.get_last_local_change().expect("a change was just made").raw_bytes().to_vec()
}

fn apply(document: &mut Automerge, bytes: &[u8]) {
    let change = Change::from_bytes(bytes.to_vec()).expect("bytes of a change");
    document.apply_changes([change]).expect("changes come in order");
}

fn put_all(document: &mut Automerge, keys: &[String], value: &ScalarValue) {
    for keys in keys.chunks(CHANGE_WRITES) {
        write(document, |transaction| {
            keys.iter().for_each(|key| transaction.put(ROOT, key, value.clone()).expect("the root is a map"));
        });
    }
}

/// The keys of the root map.
pub(crate) struct Set(Automerge);

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self(document(replica))
    }

    fn insert_all(&mut self, keys: &[String]) {
        put_all(&mut self.0, keys, &ScalarValue::Boolean(true));
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self(self.0.clone().with_actor(actor(replica)))
    }

    fn contents(&mut self) -> HashSet<String> {
        self.0.keys(ROOT).collect()
    }
}

impl StateMerge for Set {
    type State = Automerge;

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.0.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.0.merge(state).expect("honest documents merge");
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        write(&mut self.0, |transaction| transaction.put(ROOT, key, true).expect("the root is a map"));
        last_change(&self.0)
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        write(&mut self.0, |transaction| transaction.delete(ROOT, key).expect("the root is a map"));
        last_change(&self.0)
    }

    fn apply(&mut self, delta: &[u8]) {
        apply(&mut self.0, delta);
    }

    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        let before = self.0.get_heads();
        for key in keys {
            write(&mut self.0, |transaction| transaction.put(ROOT, key, true).expect("the root is a map"));
        }
        self.0.save_after(&before)
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        self.0.save_nocompress()
    }

    fn decode(bytes: &[u8]) -> Self {
        Self(Automerge::load(bytes).expect("bytes of save"))
    }

    fn contains(&mut self, key: &str) -> bool {
        self.0.get(ROOT, key).expect("the root is a map").is_some()
    }
}

impl CatchUp for Set {
    fn request(&mut self) -> Vec<u8> {
        self.0.get_heads().iter().flat_map(|head| head.0).collect()
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let heads: Vec<ChangeHash> =
            request.chunks_exact(32).map(|head| ChangeHash(head.try_into().expect("32 bytes"))).collect();
        self.0.save_after(&heads)
    }

    fn take(&mut self, answer: &[u8]) {
        self.0.load_incremental(answer).expect("bytes of changes");
    }
}

/// A `Counter` under "n".
pub(crate) struct Counter(Automerge);

impl CounterReplica for Counter {
    type State = Automerge;

    fn empty(replica: u64) -> Self {
        let counter = ScalarValue::counter(0);
        Self(base(replica, |transaction| transaction.put(ROOT, "n", counter).expect("the root is a map")))
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        write(&mut self.0, |transaction| transaction.increment(ROOT, "n", by).expect("the counter is there"));
        last_change(&self.0)
    }

    fn apply(&mut self, delta: &[u8]) {
        apply(&mut self.0, delta);
    }

    fn value(&mut self) -> i128 {
        match self.0.get(ROOT, "n").expect("the root is a map") {
            Some((value, _)) => value.as_i64().expect("a counter").into(),
            None => 0,
        }
    }

    fn copy(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.0.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.0.merge(state).expect("honest documents merge");
    }
}

/// Numbers in the root map.
pub(crate) struct Numbers(Automerge);

impl MapReplica for Numbers {
    type State = Automerge;

    fn empty(replica: u64) -> Self {
        Self(document(replica))
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        put_all(&mut self.0, keys, &ScalarValue::Int(number));
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self(self.0.clone().with_actor(actor(replica)))
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let number = |key: &String| match self.0.get(ROOT, key) {
            Ok(Some((value, _))) => integer(&value),
            _ => i64::MIN,
        };
        self.0.keys(ROOT).map(|key| (key.clone(), number(&key))).collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.0.clone()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.0.merge(state).expect("honest documents merge");
    }
}

/// Returns the number a value holds, or one that no model holds.
fn integer(value: &Value<'_>) -> i64 {
    value.as_i64().unwrap_or(i64::MIN)
}

/// A map for each item, with a number for each addition. Counters in a map are the shorter way, and wrong: a
/// removal takes with it what others add meanwhile.
pub(crate) struct Cart {
    document: Automerge,
    items: HashMap<String, ObjId>,
    additions: u64,
    /// What all replicas have.
    exchanged: Vec<ChangeHash>,
}

impl CartReplica for Cart {
    fn empty(replica: u64, items: &[String]) -> Self {
        let mut objects = HashMap::new();
        let document = base(replica, |transaction| {
            for item in items {
                let object = transaction.put_object(ROOT, item, ObjType::Map).expect("the root is a map");
                objects.insert(item.clone(), object);
            }
        });
        let exchanged = document.get_heads();
        Self { document, items: objects, additions: replica << 32, exchanged }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.additions += 1;
        let (item, key) = (&self.items[item], self.additions.to_string());
        write(&mut self.document, |transaction| transaction.put(item, key, quantity).expect("items are maps"));
    }

    fn remove(&mut self, item: &str) {
        let item = &self.items[item];
        let seen: Vec<String> = self.document.keys(item).collect();
        write(&mut self.document, |transaction| {
            seen.iter().for_each(|key| transaction.delete(item, key.as_str()).expect("items are maps"));
        });
    }

    fn flush(&mut self) -> Vec<u8> {
        self.document.save_after(&self.exchanged)
    }

    fn receive(&mut self, message: &[u8]) {
        self.document.load_incremental(message).expect("bytes of changes");
        self.exchanged = self.document.get_heads();
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let sum = |item: &ObjId| self.document.values(item).map(|(value, _)| value.as_i64().unwrap_or(0)).sum();
        let sums = self.items.iter().map(|(name, item)| (name.clone(), sum(item)));
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
