//! Documents. What they send is a delta in our own encoding, several coalesced into one where several are due.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crdt_core::codec::{Encode, Reader};
use crdt_core::{Changes, Delta, DeltaLog, Document, Kind, MapMut, ReplicaId, Snapshot, Value, VersionVector};

use super::{WALL_MS, replica_id};
use crate::systems::{CartReplica, CatchUp, CounterReplica, Deltas, FullState, MapReplica, SetReplica, StateMerge};

/// Writes in one transaction, where many are made at once.
const TRANSACTION_WRITES: usize = 1_000;

/// A document and its log.
struct Logged {
    document: Document,
    log: DeltaLog,
    /// The position in the log from which nothing has been flushed.
    flushed: u64,
    /// What the last delta changed: kept, as a user interface would take it.
    changes: Changes,
}

impl Logged {
    fn new(replica: u64) -> Self {
        Self::from_snapshot(replica, Snapshot::empty())
    }

    fn from_snapshot(replica: u64, snapshot: Snapshot) -> Self {
        let document = Document::from_snapshot(replica_id(replica), snapshot);
        let log = DeltaLog::new(document.version());
        Self { document, log, flushed: 0, changes: Changes::default() }
    }

    /// Copies by way of bytes: a snapshot would share its tables.
    fn copy(&self, replica: u64) -> Self {
        let bytes = self.document.snapshot().encode();
        Self::from_snapshot(replica, Snapshot::decode(&bytes).expect("our own bytes"))
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::decode(&self.document.snapshot().encode()).expect("our own bytes")
    }

    /// Makes one transaction and logs it.
    fn write(&mut self, edit: impl FnOnce(MapMut<'_>)) -> Arc<Delta> {
        let mut transaction = self.document.transact(WALL_MS);
        edit(transaction.root());
        let committed = transaction.commit().expect("something was written");
        self.changes = committed.changes;
        let delta = Arc::new(committed.delta);
        self.log.push(Arc::clone(&delta)).expect("the log follows the document");
        delta
    }

    fn apply(&mut self, bytes: &[u8]) {
        let delta = Delta::decode(bytes).expect("our own bytes");
        self.changes = self.document.apply(&delta).expect("deltas come in order");
        self.log.push(Arc::new(delta)).expect("the log follows the document");
    }

    fn merge(&mut self, snapshot: &Snapshot) {
        self.changes = self.document.merge(snapshot).expect("honest states merge");
        self.log.rebase(&snapshot.version());
    }

    /// Forgets the log, as a replica does whose peers all hold it.
    fn cut(&mut self) {
        self.log.truncate_to_bytes(0);
        self.flushed = self.log.end();
    }
}

/// Coalesces consecutive deltas and encodes the result.
fn coalesced<'a>(mut deltas: impl Iterator<Item = &'a Arc<Delta>>) -> Vec<u8> {
    let mut all = Delta::clone(deltas.next().expect("something was written"));
    for delta in deltas {
        all.coalesce(delta).expect("deltas are consecutive");
    }
    all.to_bytes()
}

/// A document with a set "s".
pub(crate) struct SetDocument(Logged);

impl SetReplica for SetDocument {
    fn empty(replica: u64) -> Self {
        Self(Logged::new(replica))
    }

    fn insert_all(&mut self, keys: &[String]) {
        for keys in keys.chunks(TRANSACTION_WRITES) {
            let _ = self.0.write(|mut root| {
                let mut set = root.set("s");
                keys.iter().for_each(|key| set.insert(key.as_str()).expect("within all limits"));
            });
        }
        self.0.cut();
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self(self.0.copy(replica))
    }

    fn contents(&mut self) -> HashSet<String> {
        let set = self.0.document.root().set("s");
        let values = set.iter().flat_map(|set| set.iter());
        values.filter_map(|value| value.as_text().map(str::to_owned)).collect()
    }
}

impl StateMerge for SetDocument {
    type State = Snapshot;

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.0.snapshot()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.0.merge(state);
    }
}

impl Deltas for SetDocument {
    fn insert(&mut self, key: &str) -> Vec<u8> {
        self.0.write(|mut root| root.set("s").insert(key).expect("within all limits")).to_bytes()
    }

    fn remove(&mut self, key: &str) -> Vec<u8> {
        let remove = |mut root: MapMut<'_>| assert!(root.set("s").remove(key).expect("within all limits"));
        self.0.write(remove).to_bytes()
    }

    fn apply(&mut self, delta: &[u8]) {
        self.0.apply(delta);
    }

    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        let deltas: Vec<Arc<Delta>> = keys
            .iter()
            .map(|key| self.0.write(|mut root| root.set("s").insert(key.as_str()).expect("within all limits")))
            .collect();
        coalesced(deltas.iter())
    }
}

impl FullState for SetDocument {
    fn encode(&mut self) -> Vec<u8> {
        self.0.document.snapshot().encode()
    }

    fn decode(bytes: &[u8]) -> Self {
        Self(Logged::from_snapshot(9, Snapshot::decode(bytes).expect("our own bytes")))
    }

    fn contains(&mut self, key: &str) -> bool {
        self.0.document.root().set("s").is_some_and(|set| set.contains(&Value::from(key)))
    }
}

impl CatchUp for SetDocument {
    fn request(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (replica, counter) in self.0.document.version().iter() {
            bytes.put_bytes(&replica.to_bytes());
            bytes.put_varint(counter);
        }
        bytes
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(request);
        let mut version = VersionVector::new();
        while !reader.rest().is_empty() {
            let id = reader.bytes(16, "a replica").expect("sixteen bytes");
            let id = ReplicaId::from_bytes(id.try_into().expect("sixteen bytes"));
            version.raise(id, reader.varint("a counter").expect("a counter"));
        }
        let missing = self.0.log.since(&version).expect("nothing was cut off");
        coalesced(missing.map(|(_, delta)| delta))
    }

    fn take(&mut self, answer: &[u8]) {
        self.0.apply(answer);
    }
}

/// A document with a counter "n".
pub(crate) struct CounterDocument(Logged);

impl CounterReplica for CounterDocument {
    type State = Snapshot;

    fn empty(replica: u64) -> Self {
        Self(Logged::new(replica))
    }

    fn add(&mut self, by: i64) -> Vec<u8> {
        let bytes = self.0.write(|mut root| root.counter("n").add(by).expect("totals are small")).to_bytes();
        self.0.cut();
        bytes
    }

    fn apply(&mut self, delta: &[u8]) {
        self.0.apply(delta);
    }

    fn value(&mut self) -> i128 {
        self.0.document.root().counter("n").unwrap_or(0)
    }

    fn copy(&mut self) -> Self {
        Self(Logged::from_snapshot(0, self.0.snapshot()))
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.0.snapshot()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.0.merge(state);
    }
}

/// A document with registers in a map "m".
pub(crate) struct MapDocument(Logged);

impl MapReplica for MapDocument {
    type State = Snapshot;

    fn empty(replica: u64) -> Self {
        Self(Logged::new(replica))
    }

    fn put_all(&mut self, keys: &[String], number: i64) {
        for keys in keys.chunks(TRANSACTION_WRITES) {
            let _ = self.0.write(|mut root| {
                let mut map = root.map("m");
                keys.iter().for_each(|key| map.register(key).set(number).expect("within all limits"));
            });
        }
        self.0.cut();
    }

    fn copy(&mut self, replica: u64) -> Self {
        Self(self.0.copy(replica))
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let root = self.0.document.root();
        let Some(map) = root.map("m") else { return HashMap::new() };
        let number = |key: &str| map.register(key).and_then(|register| register.get().as_int());
        map.keys().iter().filter_map(|key| Some((key.name.to_string(), number(&key.name)?))).collect()
    }

    fn state(&mut self, _: &mut Self) -> Self::State {
        self.0.snapshot()
    }

    fn merge(&mut self, state: &mut Self::State) {
        self.0.merge(state);
    }
}

/// A document with counters in a map "c".
pub(crate) struct CartDocument(Logged);

impl CartReplica for CartDocument {
    fn empty(replica: u64, _: &[String]) -> Self {
        Self(Logged::new(replica))
    }

    fn add(&mut self, item: &str, quantity: i64) {
        let _ = self.0.write(|mut root| root.map("c").counter(item).add(quantity).expect("within all limits"));
    }

    fn remove(&mut self, item: &str) {
        let mut transaction = self.0.document.transact(WALL_MS);
        transaction.map("c").remove(Kind::Counter, item).expect("within all limits");
        // An item that is not there leaves nothing to commit.
        if let Some(committed) = transaction.commit() {
            self.0.changes = committed.changes;
            self.0.log.push(Arc::new(committed.delta)).expect("the log follows the document");
        }
    }

    fn flush(&mut self) -> Vec<u8> {
        let (replica, from, end) = (self.0.document.replica(), self.0.flushed, self.0.log.end());
        self.0.flushed = end;
        let is_own = |delta: &&Arc<Delta>| delta.ranges().any(|range| range.replica == replica);
        let own = (from..end).filter_map(|position| self.0.log.at(position)).filter(is_own);
        let mut own = own.peekable();
        if own.peek().is_none() { Vec::new() } else { coalesced(own) }
    }

    fn receive(&mut self, message: &[u8]) {
        if !message.is_empty() {
            self.0.apply(message);
        }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let cart = self.0.document.root().map("c");
        let counters = cart.map(|cart| cart.counters()).unwrap_or_default();
        let quantity = |sum: i128| i64::try_from(sum).expect("quantities are small");
        counters.iter().filter(|(_, sum)| *sum != 0).map(|(name, sum)| (name.to_string(), quantity(*sum))).collect()
    }
}
