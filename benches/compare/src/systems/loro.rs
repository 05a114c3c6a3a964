//! loro: `export` of what a version lacks, `import` to take it in.
//!
//! A set is the keys of a map. Replicas share containers by name at the root, which merge. A document that was
//! opened from a snapshot decodes its state when first asked, so copies are made from updates instead.

use std::collections::{HashMap, HashSet};

use ::loro::{ExportMode, LoroDoc, LoroMap, LoroValue, ValueOrContainer, VersionVector};

use super::{CartReplica, CatchUp, CounterReplica, Deltas, FullState, MapReplica, SetReplica, StateMerge, id};

fn document(replica: u64) -> LoroDoc {
    let document = LoroDoc::new();
    document.set_peer_id(id(replica) as u64).expect("the document is empty");
    document
}

fn copy(document: &LoroDoc, replica: u64) -> LoroDoc {
    let copy = self::document(replica);
    import(&copy, &since(document, &VersionVector::new()));
    copy
}

fn since(document: &LoroDoc, version: &VersionVector) -> Vec<u8> {
    document.export(ExportMode::updates(version)).expect("the version is known")
}

fn import(document: &LoroDoc, updates: &[u8]) {
    document.import(updates).expect("bytes of updates");
}

/// Makes one transaction; returns its update.
fn write(document: &LoroDoc, edit: impl FnOnce()) -> Vec<u8> {
    let before = document.oplog_vv();
    edit();
    document.commit();
    since(document, &before)
}

/// Returns the number a value holds, or one that no model holds.
fn integer(value: &ValueOrContainer) -> i64 {
    match value {
        ValueOrContainer::Value(LoroValue::I64(number)) => *number,
        _ => i64::MIN,
    }
}

/// The keys of the map "s".
pub(crate) struct Set {
    document: LoroDoc,
    map: LoroMap,
}

impl Set {
    fn new(document: LoroDoc) -> Self {
        let map = document.get_map("s");
        Self { document, map }
    }
}

impl SetReplica for Set {
    fn empty(replica: u64) -> Self {
        Self::new(document(replica))
    }

    fn insert_all(&mut self, keys: &[String]) {
        keys.iter().for_each(|key| self.map.insert(key, true).expect("the map is attached"));
        self.document.commit();
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self::new(copy(&self.document, replica))
    }

    fn contents(&mut self) -> HashSet<String> {
        self.map.keys().map(|key| key.to_string()).collect()
    }
}

impl StateMerge for Set {
    type State = Vec<u8>;

    fn state(&mut self, target: &mut Self) -> Self::State {
        since(&self.document, &target.document.oplog_vv())
    }

    fn merge(&mut self, state: &mut Self::State) {
        import(&self.document, state);
    }
}

impl Deltas for Set {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        write(&self.document, || self.map.insert(key, true).expect("the map is attached"))
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        write(&self.document, || self.map.delete(key).expect("the map is attached"))
    }

    fn apply(&mut self, delta: &[u8]) {
        import(&self.document, delta);
    }

    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        let before = self.document.oplog_vv();
        for key in keys {
            self.map.insert(key, true).expect("the map is attached");
            self.document.commit();
        }
        since(&self.document, &before)
    }
}

impl FullState for Set {
    fn encode(&mut self) -> Vec<u8> {
        self.document.export(ExportMode::Snapshot).expect("the document is attached")
    }

    fn decode(bytes: &[u8]) -> Self {
        Self::new(LoroDoc::from_snapshot(bytes).expect("bytes of a snapshot"))
    }

    fn contains(&mut self, key: &str) -> bool {
        self.map.get(key).is_some()
    }
}

impl CatchUp for Set {
    fn request(&mut self) -> Vec<u8> {
        self.document.oplog_vv().encode()
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        since(&self.document, &VersionVector::decode(request).expect("bytes of a version"))
    }

    fn take(&mut self, answer: &[u8]) {
        import(&self.document, answer);
    }
}

/// The counter "n": it counts in floating point.
pub(crate) struct Counter(LoroDoc);

impl CounterReplica for Counter {
    type State = Vec<u8>;

    fn empty(replica: u64) -> Self {
        Self(document(replica))
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        write(&self.0, || self.0.get_counter("n").increment(by as f64).expect("the counter is attached"))
    }

    fn apply(&mut self, delta: &[u8]) {
        import(&self.0, delta);
    }

    fn value(&mut self) -> i128 {
        self.0.get_counter("n").get_value() as i128
    }

    fn copy(&mut self) -> Self {
        Self(copy(&self.0, 0))
    }

    fn state(&mut self, target: &mut Self) -> Self::State {
        since(&self.0, &target.0.oplog_vv())
    }

    fn merge(&mut self, state: &mut Self::State) {
        import(&self.0, state);
    }
}

/// Numbers in the map "m".
pub(crate) struct Numbers {
    document: LoroDoc,
    map: LoroMap,
}

impl Numbers {
    fn new(document: LoroDoc) -> Self {
        let map = document.get_map("m");
        Self { document, map }
    }
}

impl MapReplica for Numbers {
    type State = Vec<u8>;

    fn empty(replica: u64) -> Self {
        Self::new(document(replica))
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        keys.iter().for_each(|key| self.map.insert(key, number).expect("the map is attached"));
        self.document.commit();
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self::new(copy(&self.document, replica))
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let mut contents = HashMap::new();
        self.map.for_each(|key, value| {
            contents.insert(key.to_owned(), integer(&value));
        });
        contents
    }

    fn state(&mut self, target: &mut Self) -> Self::State {
        since(&self.document, &target.document.oplog_vv())
    }

    fn merge(&mut self, state: &mut Self::State) {
        import(&self.document, state);
    }
}

/// A map at the root for each item, with a number for each addition. Its counters cannot be removed.
pub(crate) struct Cart {
    document: LoroDoc,
    items: HashMap<String, LoroMap>,
    additions: u64,
    /// What all replicas have.
    exchanged: VersionVector,
}

impl CartReplica for Cart {
    fn empty(replica: u64, items: &[String]) -> Self {
        let document = document(replica);
        let items = items.iter().map(|item| (item.clone(), document.get_map(item.as_str()))).collect();
        Self { document, items, additions: replica << 32, exchanged: VersionVector::new() }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.additions += 1;
        self.items[item].insert(&self.additions.to_string(), quantity).expect("the map is attached");
        self.document.commit();
    }

    fn remove(&mut self, item: &str) {
        self.items[item].clear().expect("the map is attached");
        self.document.commit();
    }

    fn flush(&mut self) -> Vec<u8> {
        since(&self.document, &self.exchanged)
    }

    fn receive(&mut self, message: &[u8]) {
        import(&self.document, message);
        self.exchanged = self.document.oplog_vv();
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let sum = |item: &LoroMap| item.values().map(|quantity| integer(&quantity)).sum();
        let sums = self.items.iter().map(|(name, item)| (name.clone(), sum(item)));
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
