//! What the core costs at 1,000, 10,000 and 100,000 entries of one add-wins set.
//!
//! A delta must cost the same at every size, a snapshot nothing at any. Every operation is checked
//! for its result once before it is timed: speed with a wrong answer is no speed. Documents are not
//! `Clone`, so the timed ones are reopened from a snapshot, outside the timing.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crdt_benches::{elements, insert, insert_one, replica, set_document};
use crdt_core::{Delta, Document, Snapshot};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// Deltas applied in one timed batch, so that the clock's own cost does not count.
const BATCH: usize = 1_000;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    group
}

/// Encoded one-entry deltas of another replica on top of `state`.
fn remote_deltas(state: &Snapshot, size: usize) -> Vec<Vec<u8>> {
    let mut writer = Document::from_snapshot(replica(2), state.clone());
    (size..size + BATCH).map(|number| insert_one(&mut writer, number).to_bytes()).collect()
}

fn apply_all(document: &mut Document, deltas: &[Vec<u8>]) {
    for bytes in deltas {
        let delta = Delta::decode(bytes).expect("our own bytes");
        black_box(document.apply(&delta).expect("deltas are in order"));
    }
}

fn apply_delta(criterion: &mut Criterion) {
    let mut group = group(criterion, "apply one-entry deltas from bytes");
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in SIZES {
        let state = set_document(1, 0..size).snapshot();
        let deltas = remote_deltas(&state, size);
        let mut checked = Document::from_snapshot(replica(3), state.clone());
        apply_all(&mut checked, &deltas);
        assert_eq!(elements(&checked), size + BATCH);
        // The document's own tables, not a snapshot's: a live snapshot is another benchmark.
        let bytes = state.encode();
        drop(state);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let open = || Document::from_snapshot(replica(3), Snapshot::decode(&bytes).expect("our own bytes"));
            bencher.iter_batched_ref(open, |document| apply_all(document, &deltas), BatchSize::PerIteration);
        });
    }
}

fn take_snapshot(criterion: &mut Criterion) {
    let mut group = group(criterion, "take a snapshot");
    for size in SIZES {
        let document = set_document(1, 0..size);
        assert_eq!(document.snapshot().digest(), document.digest());
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter(|| document.snapshot()));
    }
}

fn write_under_snapshot(criterion: &mut Criterion) {
    let mut group = group(criterion, "take a snapshot and write once under it");
    for size in SIZES {
        let mut document = set_document(1, 0..size);
        let live = document.snapshot();
        let _ = insert_one(&mut document, size);
        assert_eq!(live.root().set("s").map(|set| set.len()), Some(size), "the snapshot stands still");
        assert_eq!(elements(&document), size + 1);
        let mut number = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let live = document.snapshot();
                number += 1;
                (insert_one(&mut document, number % size), live)
            });
        });
    }
}

fn merge_states(criterion: &mut Criterion) {
    let mut group = group(criterion, "merge two states half in common");
    for size in SIZES {
        let common = set_document(1, 0..size / 2).snapshot();
        let mut left = Document::from_snapshot(replica(1), common.clone());
        insert(&mut left, size / 2..size);
        let mut right = Document::from_snapshot(replica(2), common);
        insert(&mut right, size..size + size / 2);
        // Through bytes, so that no table is shared: the states of two machines.
        let left = left.snapshot().encode();
        let right = Snapshot::decode(&right.snapshot().encode()).expect("our own bytes");
        let open = || Document::from_snapshot(replica(1), Snapshot::decode(&left).expect("our own bytes"));
        let mut checked = open();
        let _ = checked.merge(&right).expect("honest states merge");
        assert_eq!(elements(&checked), size + size / 2);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched_ref(
                open,
                |document| document.merge(&right).expect("honest states merge"),
                BatchSize::PerIteration,
            );
        });
    }
}

fn encode_and_decode(criterion: &mut Criterion) {
    for (name, decode) in [("encode a snapshot", false), ("decode a snapshot", true)] {
        let mut group = group(criterion, name);
        for size in SIZES {
            let snapshot = set_document(1, 0..size).snapshot();
            let bytes = snapshot.encode();
            assert_eq!(Snapshot::decode(&bytes).expect("our own bytes"), snapshot);
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                if decode {
                    bencher.iter(|| Snapshot::decode(&bytes).expect("our own bytes"));
                } else {
                    bencher.iter(|| snapshot.encode());
                }
            });
        }
    }
}

criterion_group!(core, apply_delta, take_snapshot, write_under_snapshot, merge_states, encode_and_decode);
criterion_main!(core);
