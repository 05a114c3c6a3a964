//! How many instructions the hot paths take, counted by callgrind: times on shared machines are noise, this is not.
//!
//! A path that takes more than 5 % more than `benches/instructions.json` says fails. If that is meant, or the compiler
//! is another one, write the counts anew (see `src/bin/instructions-baseline.rs`), and look at the diff.
//!
//! Results are not checked here: the same calls are in `core.rs`, where they are.

// The macros make items that nobody sees.
#![allow(missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::hint::black_box;

use crdt_benches::{WALL_MS, insert, insert_one, key, replica, set_document};
use crdt_core::{CounterMap, CounterMapDelta, Delta, Document, HybridClock, LwwMap, OrSet, OrSetDelta, Snapshot, Text};
use crdt_sync::{Config, DocumentId, Endpoint, Input, LinkId, Now, Output};
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};

/// Elements of a document.
const SIZE: usize = 10_000;
/// Deltas in a row.
const DELTAS: usize = 100;
/// Pairs of states.
const PAIRS: usize = 8;
/// How much more than the baseline is too much, in percent.
const GROWTH_MAX: u64 = 5;

const NOW: Now = Now { monotonic_ms: 0, wall_ms: WALL_MS };

/// Sets the limit of one path by its name in the baseline; one that is not in it has none yet.
fn at_most(name: &str) -> LibraryBenchmarkConfig {
    let baseline: BTreeMap<String, u64> =
        serde_json::from_str(include_str!("../instructions.json")).expect("the baseline is JSON");
    let mut callgrind = Callgrind::default();
    if let Some(instructions) = baseline.get(name) {
        callgrind.hard_limits([(EventKind::Ir, instructions + instructions * GROWTH_MAX / 100)]);
    }
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

fn document() -> Document {
    // Through bytes, so that no table is shared with anybody.
    let bytes = set_document(1, 0..SIZE).snapshot().encode();
    Document::from_snapshot(replica(3), Snapshot::decode(&bytes).expect("our own bytes"))
}

fn deltas() -> Vec<Vec<u8>> {
    let mut writer = Document::from_snapshot(replica(2), set_document(1, 0..SIZE).snapshot());
    (SIZE..SIZE + DELTAS).map(|number| insert_one(&mut writer, number).to_bytes()).collect()
}

/// Several pairs of states half in common: how full tables are is up to the hash seed of the process, so one pair
/// alone takes up to 8 % more in one run than in another.
fn states() -> Vec<(Document, Snapshot)> {
    let pair = |first: usize| {
        let common = set_document(1, first..first + SIZE / 2).snapshot();
        let mut left = Document::from_snapshot(replica(1), common.clone());
        insert(&mut left, first + SIZE / 2..first + SIZE);
        let mut right = Document::from_snapshot(replica(2), common);
        insert(&mut right, first + SIZE..first + SIZE + SIZE / 2);
        let through_bytes =
            |document: Document| Snapshot::decode(&document.snapshot().encode()).expect("our own bytes");
        (Document::from_snapshot(replica(1), through_bytes(left)), through_bytes(right))
    };
    (0..PAIRS).map(|number| pair(2 * SIZE * number)).collect()
}

/// A plain value that shares no table with anybody.
fn through_bytes<T: serde::Serialize + for<'de> serde::Deserialize<'de>>(value: &T) -> T {
    let bytes = postcard::to_stdvec(value).expect("has a length");
    postcard::from_bytes(&bytes).expect("our own bytes")
}

fn text(number: usize) -> Text {
    Text::from(key(number))
}

fn set() -> OrSet<Text> {
    let mut set = OrSet::new();
    let _ = set.extend(replica(1), (0..SIZE).map(text)).expect("within all limits");
    through_bytes(&set)
}

fn set_deltas() -> Vec<Vec<u8>> {
    let mut writer = set();
    let deltas =
        (SIZE..SIZE + DELTAS).map(|number| writer.insert(replica(2), text(number)).expect("within all limits"));
    deltas.map(|delta| postcard::to_stdvec(&delta).expect("has a length")).collect()
}

type Numbers = LwwMap<Text, i64>;

/// Two maps, of which one was overwritten all over.
fn maps() -> (Numbers, Numbers) {
    let mut map = Numbers::new();
    let mut clock = HybridClock::new();
    let entries = |value| (0..SIZE).map(move |number| (text(number), value));
    let _ = map.extend(replica(1), clock.stamp(WALL_MS), entries(1)).expect("within all limits");
    let before = through_bytes(&map);
    let _ = map.extend(replica(2), clock.stamp(WALL_MS), entries(2)).expect("within all limits");
    (before, through_bytes(&map))
}

fn counters() -> CounterMap<Text> {
    let mut map = CounterMap::new();
    for number in 0..SIZE {
        let _ = map.add(replica(1), text(number), 1).expect("within all limits");
    }
    through_bytes(&map)
}

/// Two endpoints that are linked and equal.
fn endpoints() -> [Endpoint; 2] {
    let mut ends = [1, 2].map(|number| Endpoint::new(replica(number.into()), number, Config::default()));
    for (nonce, end) in (1..).zip(&mut ends) {
        end.handle(NOW, Input::LinkUp { link: LinkId(0), nonce });
    }
    ends[0].open(NOW, &cart(), None).expect("room for one");
    exchange(&mut ends);
    ends
}

fn cart() -> DocumentId {
    DocumentId::new("cart").expect("a short name")
}

/// Carries messages over until nobody has anything to say; every write is durable at once.
fn exchange(ends: &mut [Endpoint; 2]) {
    let mut quiet = 0;
    for from in (0..2).cycle() {
        quiet += 1;
        while let Some(output) = ends[from].poll_output() {
            match output {
                Output::Persist { ticket, .. } => ends[from].handle(NOW, Input::Persisted { ticket }),
                Output::Transmit { bytes, .. } => {
                    ends[1 - from].handle(NOW, Input::Received { link: LinkId(0), bytes: &bytes });
                }
                _ => continue,
            }
            quiet = 0;
        }
        if quiet == 2 {
            return;
        }
    }
}

#[library_benchmark(config = at_most("apply_deltas"))]
#[bench::run(document(), deltas())]
fn apply_deltas(mut document: Document, deltas: Vec<Vec<u8>>) -> Document {
    for bytes in &deltas {
        let delta = Delta::decode(bytes).expect("our own bytes");
        let _ = black_box(document.apply(&delta).expect("deltas are in order"));
    }
    document
}

#[library_benchmark(config = at_most("coalesce_deltas"))]
#[bench::run(deltas())]
fn coalesce_deltas(deltas: Vec<Vec<u8>>) -> Delta {
    let mut decoded = deltas.iter().map(|bytes| Delta::decode(bytes).expect("our own bytes"));
    let mut all = decoded.next().expect("there are some");
    for next in decoded {
        all.coalesce(&next).expect("they follow on each other");
    }
    all
}

#[library_benchmark(config = at_most("merge_states"))]
#[bench::run(states())]
fn merge_states(mut states: Vec<(Document, Snapshot)>) -> Vec<(Document, Snapshot)> {
    for (document, other) in &mut states {
        let _ = black_box(document.merge(other).expect("honest states merge"));
    }
    states
}

#[library_benchmark(config = at_most("encode_snapshot"))]
#[bench::run(document())]
fn encode_snapshot(document: Document) -> (Vec<u8>, Document) {
    (document.snapshot().encode(), document)
}

#[library_benchmark(config = at_most("decode_snapshot"))]
#[bench::run(document().snapshot().encode())]
fn decode_snapshot(bytes: Vec<u8>) -> Snapshot {
    Snapshot::decode(&bytes).expect("our own bytes")
}

#[library_benchmark(config = at_most("write_under_snapshots"))]
#[bench::run(document())]
fn write_under_snapshots(mut document: Document) -> Document {
    for number in 0..DELTAS {
        let live = document.snapshot();
        let _ = black_box(insert_one(&mut document, number));
        drop(black_box(live));
    }
    document
}

#[library_benchmark(config = at_most("apply_set_deltas"))]
#[bench::run(set(), set_deltas())]
fn apply_set_deltas(mut set: OrSet<Text>, deltas: Vec<Vec<u8>>) -> OrSet<Text> {
    for bytes in &deltas {
        let delta: OrSetDelta<Text> = postcard::from_bytes(bytes).expect("our own bytes");
        let _ = black_box(set.apply(&delta).expect("deltas are in order"));
    }
    set
}

#[library_benchmark(config = at_most("merge_maps"))]
#[bench::run(maps())]
fn merge_maps((mut map, other): (Numbers, Numbers)) -> (Numbers, Numbers) {
    map.merge(&other).expect("two replicas");
    (map, other)
}

#[library_benchmark(config = at_most("count_in_maps"))]
#[bench::run([counters(), counters()])]
fn count_in_maps([mut here, mut there]: [CounterMap<Text>; 2]) -> [CounterMap<Text>; 2] {
    for number in 0..DELTAS {
        let delta = here.add(replica(2), text(number), 1).expect("within all limits");
        let bytes = postcard::to_stdvec(&delta).expect("has a length");
        let delta: CounterMapDelta<Text> = postcard::from_bytes(&bytes).expect("our own bytes");
        let _ = black_box(there.apply(&delta).expect("deltas are in order"));
    }
    [here, there]
}

#[library_benchmark(config = at_most("exchange_writes"))]
#[bench::run(endpoints())]
fn exchange_writes(mut ends: [Endpoint; 2]) -> [Endpoint; 2] {
    for number in 0..DELTAS {
        let write = ends[number % 2].transact(NOW, &cart(), |tx| tx.set("s").insert(number as i64));
        write.expect("the document is open");
        exchange(&mut ends);
    }
    ends
}

library_benchmark_group!(
    name = paths,
    benchmarks = [
        apply_deltas,
        coalesce_deltas,
        merge_states,
        encode_snapshot,
        decode_snapshot,
        write_under_snapshots,
        apply_set_deltas,
        merge_maps,
        count_in_maps,
        exchange_writes
    ]
);

main!(library_benchmark_groups = paths);
