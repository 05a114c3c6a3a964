//! The life of the store that is kept as a fixture, told so that every table, every row and every kind of content
//! is in it. Nothing in it is drawn, but for the seals and the id that a copy takes.
//!
//! Changing it changes the fixture of no format that has one: see "Changing the format" in docs/storage.md.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use crdt_core::{Document, Kind, ReplicaId, Transaction, Value};
use crdt_store::{DiskOptions, DiskStore, Store};

use crate::folded;

/// The ids of the store, in the order in which it takes them; between the first and the second it has one of its own.
pub(crate) const FIRST: ReplicaId = ReplicaId::from_u128(1);
const SECOND: ReplicaId = ReplicaId::from_u128(2);
pub(crate) const THIRD: ReplicaId = ReplicaId::from_u128(3);
/// Another replica, whose writes come in as deltas.
const PEER: ReplicaId = ReplicaId::from_u128(0x00c0_ffee);

/// Tails of more than this many bytes become layers.
const TAIL_BYTES_MAX: usize = 512;

/// A document with everything, in a snapshot, two layers and a tail, and a noted head.
pub(crate) const CART: &str = "cart";
/// Its snapshot is longer than a chunk.
const LONG: &str = "in chunks";
/// Its deltas are not coalesced, and nothing tells where it stands.
const TAIL: &str = "only a tail";
/// Begins with a layer.
const LAYER: &str = "only a layer";
/// All that was in it was removed again.
const EMPTIED: &str = "emptied";
/// Written to under an id that was left, which is settled. A name that is not ASCII.
const SETTLED: &str = "Körbe/茶";

/// Opens the store with the limits of the story.
pub(crate) fn open(path: &Path) -> DiskStore {
    let mut options = DiskOptions::default();
    (options.replica, options.tail_bytes_max) = (Some(FIRST), TAIL_BYTES_MAX);
    DiskStore::open(path, options).expect("opens")
}

/// Commits what `edit` does to a document of `writer`, and stages it. Each has its place in time by its number.
fn write(store: &mut DiskStore, name: &str, writer: ReplicaId, edit: impl FnOnce(&mut Transaction<'_>)) {
    let mut document = read(store, name, writer);
    let counter = document.version().iter().map(|(_, counter)| counter).sum::<u64>();
    let mut transaction = document.transact(1_700_000_000_000 + counter);
    edit(&mut transaction);
    let delta = transaction.commit().expect("a change was made").delta;
    let _ = store.append(name, &Arc::new(delta)).expect("continues");
}

fn read(store: &DiskStore, name: &str, writer: ReplicaId) -> Document {
    match store.load(name).expect("reads") {
        Some(stored) => Document::from_snapshot(writer, folded(stored)),
        None => Document::new(writer),
    }
}

/// Writes the same register at once, here and at a peer that has not heard of it.
fn write_at_once(store: &mut DiskStore, name: &str, register: &str) {
    let mut there = read(store, name, PEER);
    let mut transaction = there.transact(1_700_000_100_000);
    transaction.map("settings").register(register).set("theirs").expect("short");
    let theirs = transaction.commit().expect("a change was made").delta;
    write(store, name, store.replica(), |tx| tx.map("settings").register(register).set("ours").expect("short"));
    let _ = store.append(name, &Arc::new(theirs)).expect("continues");
}

/// Lives the life, and leaves the folder closed.
pub(crate) fn live(path: &Path) {
    let before = path.with_extension("before");
    first_life(&before);
    // A copied folder is another file: it takes an id of its own, and the first joins the former ones.
    fs::create_dir(path).expect("a new folder");
    for file in ["store.redb", "witness"] {
        fs::copy(before.join(file), path.join(file)).expect("copies");
    }
    let mut store = open(path);
    assert_eq!(store.former(), [FIRST]);
    // Nothing is written under that id, which is random; it is disputed all the same.
    store.renew(SECOND).expect("the disk takes it");
    second_life(&mut store);
    store.renew(THIRD).expect("the disk takes it");
    drop(store);
    // What was written before an opening and after it stays in layers of its own.
    let mut store = open(path);
    third_life(&mut store);
    while store.compact().expect("nobody reads") {}
}

fn first_life(path: &Path) {
    let mut store = open(path);
    write(&mut store, CART, FIRST, every_value);
    write(&mut store, CART, FIRST, every_container);
    write(&mut store, CART, PEER, |tx| {
        tx.counter("visits").add(-7).expect("in range");
        tx.set("tags").insert("from the peer").expect("short");
        tx.map("settings").map("deep").map("deeper").register("theirs").set(1).expect("short");
    });
    let snapshot = read(&store, CART, FIRST).snapshot();
    store.replace(CART, snapshot).expect("is staged");
    let text = "A long text is stored in pieces. ".repeat(2_500);
    write(&mut store, LONG, FIRST, |tx| tx.register("text").set(text).expect("below the limit"));
    let snapshot = read(&store, LONG, FIRST).snapshot();
    store.replace(LONG, snapshot).expect("is staged");
    for number in 0..30 {
        write(&mut store, LAYER, FIRST, |tx| {
            tx.map("many").counter(&format!("n{}", number % 7)).add(1).expect("small")
        });
    }
    write(&mut store, EMPTIED, FIRST, every_container);
    write(&mut store, EMPTIED, FIRST, |tx| tx.root().clear().expect("may be"));
    store.sync().expect("the disk takes it");
}

fn second_life(store: &mut DiskStore) {
    write(store, CART, SECOND, removals);
    write_at_once(store, CART, "language");
    for number in 0..20 {
        write(store, CART, SECOND, |tx| tx.map("items").counter(&format!("item {number}")).add(number).expect("small"));
    }
    store.sync().expect("the disk takes it");
    write(store, SETTLED, SECOND, |tx| tx.register("whose").set("of the second").expect("short"));
    store.note_settled(SETTLED, SECOND).expect("is staged");
    store.sync().expect("the disk takes it");
}

fn third_life(store: &mut DiskStore) {
    // Longer than a delta in a tail may be: the rest of the tail becomes a layer with it.
    let note = "A note of some length. ".repeat(200);
    write(store, CART, THIRD, |tx| tx.register("note").set(note).expect("below the limit"));
    store.sync().expect("the disk takes it");
    let salt = NonZeroU64::new(0x5a17).expect("not zero");
    let mut document = Document::new(THIRD);
    let mut transaction = document.transact(1).salted(salt);
    transaction.counter("n").add(1).expect("small");
    let delta = transaction.commit().expect("a change was made").delta;
    let _ = store.append(TAIL, &Arc::new(delta)).expect("continues");
    for name in [TAIL, CART] {
        write(store, name, THIRD, |tx| tx.counter("visits").add(1).expect("small"));
        write(store, name, PEER, |tx| tx.register("last").set("seen by the peer").expect("short"));
        write(store, name, THIRD, |tx| tx.counter("visits").add(1).expect("small"));
    }
    write(store, SETTLED, THIRD, |tx| tx.register("whose").set("of the third").expect("short"));
    store.sync().expect("the disk takes it");
    for name in [CART, LONG, LAYER] {
        let head = read(store, name, THIRD).head();
        store.note_head(name, &head).expect("is staged");
    }
    store.sync().expect("the disk takes it");
}

/// One of each kind of value, and the ends of each range.
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("null", Value::Null),
        ("true", true.into()),
        ("false", false.into()),
        ("zero", 0_i64.into()),
        ("least", i64::MIN.into()),
        ("most", i64::MAX.into()),
        ("pi", std::f64::consts::PI.into()),
        ("minus zero", (-0.0).into()),
        ("infinite", f64::NEG_INFINITY.into()),
        ("no number", f64::NAN.into()),
        ("empty text", "".into()),
        ("text", "Grüße, 茶 ☂".into()),
        ("longer text", "text that does not fit into the value itself".into()),
        ("no bytes", Vec::new().into()),
        ("bytes", (0..=255).collect::<Vec<u8>>().into()),
    ]
}

fn every_value(tx: &mut Transaction<'_>) {
    for (name, value) in values() {
        tx.map("values").register(name).set(value.clone()).expect("short");
        tx.set("values").insert(value).expect("short");
    }
}

fn every_container(tx: &mut Transaction<'_>) {
    tx.register("name").set("Alice").expect("short");
    tx.register("to be cleared").set(1).expect("short");
    tx.counter("visits").add(40).expect("small");
    tx.counter("to be reset").add(5).expect("small");
    ["red", "green", "to be removed"].iter().for_each(|tag| tx.set("tags").insert(*tag).expect("short"));
    tx.set("created empty").create().expect("may be");
    tx.map("created empty").create().expect("may be");
    tx.map("settings").map("deep").map("deeper").counter("n").add(1).expect("small");
    // One name, four kinds.
    tx.map("same").counter("same").add(1).expect("small");
    tx.map("same").register("same").set("same").expect("short");
    tx.map("same").set("same").insert("same").expect("short");
    tx.map("same").map("same").create().expect("may be");
    tx.map("to be removed").map("inner").register("r").set(true).expect("short");
}

fn removals(tx: &mut Transaction<'_>) {
    assert!(tx.set("tags").remove("to be removed").expect("may be"));
    assert!(tx.root().remove(Kind::Map, "to be removed").expect("may be"));
    assert!(tx.map("same").remove(Kind::Counter, "same").expect("may be"));
    tx.register("to be cleared").clear().expect("may be");
    tx.counter("to be reset").reset().expect("may be");
    tx.map("settings").map("deep").map("deeper").counter("n").add(2).expect("small");
}
