//! What the protocol costs without sockets and stores: two endpoints in memory, at 1,000 to 1,000,000 entries.
//!
//! One live delta must cost the same at every size, and so must what a late peer missed, if the log has it.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crdt_benches::growth::{group, sizes, suit};
use crdt_benches::pair::Pair;
use crdt_benches::{elements, set_document};
use crdt_core::Snapshot;

/// How many transactions a late peer has missed.
const MISSED: usize = 1_000;

/// Two ends that are linked and hold a set of this size.
fn linked(size: usize) -> Pair {
    let bytes = set_document(1, 0..size).snapshot().encode();
    let mut pair = Pair::apart(Snapshot::decode(&bytes).expect("our own bytes"));
    pair.link();
    pair.exchange(|_, _| {});
    assert!(pair.is_level() && elements(pair.document(1)) == size);
    pair
}

/// From a commit at one end through bytes to the other, and the acknowledgement back.
fn live_delta(criterion: &mut Criterion) {
    let mut group = group(criterion, "one live delta, written, sent, applied, acknowledged");
    for size in sizes() {
        suit(&mut group, size);
        let (mut made, mut number) = (None, 0);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let pair = made.get_or_insert_with(|| {
                let mut pair = linked(size);
                pair.insert(0, size);
                pair.exchange(|_, _| {});
                assert!(pair.is_level() && elements(pair.document(1)) == size + 1);
                pair
            });
            bencher.iter(|| {
                number += 1;
                pair.insert(0, number % size);
                pair.exchange(|_, _| {});
            });
            assert!(pair.is_level());
        });
    }
}

/// A peer that was away while the other wrote gets what it missed, merged into one delta.
fn catch_up_from_log(criterion: &mut Criterion) {
    let mut group = group(criterion, "a late peer catches up with 1,000 deltas of the log");
    group.throughput(Throughput::Elements(MISSED as u64));
    for size in sizes() {
        suit(&mut group, size);
        let mut made = None;
        let mut catch_up = |rounds: u64| {
            let (pair, mut took) = (made.get_or_insert_with(|| linked(size)), Duration::ZERO);
            for _ in 0..rounds {
                pair.cut();
                (size..size + MISSED).for_each(|number| pair.insert(0, number));
                let (begin, before) = (Instant::now(), pair.sent_bytes[0]);
                pair.link();
                pair.exchange(|_, _| {});
                took += begin.elapsed();
                assert!(pair.is_level() && elements(pair.document(1)) == size + MISSED);
                assert!(pair.sent_bytes[0] - before < 64 * MISSED, "it got more than it missed");
            }
            took
        };
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter_custom(&mut catch_up));
    }
}

/// A peer that has nothing gets all.
fn catch_up_by_snapshot(criterion: &mut Criterion) {
    let mut group = group(criterion, "a fresh peer catches up by a snapshot");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(size as u64));
        let mut made = None;
        let mut catch_up = |rounds: u64| {
            let (pair, mut took) = (made.get_or_insert_with(|| linked(size)), Duration::ZERO);
            for _ in 0..rounds {
                pair.cut();
                pair.refresh();
                let begin = Instant::now();
                pair.link();
                pair.exchange(|_, _| {});
                took += begin.elapsed();
                assert!(pair.is_level() && elements(pair.document(1)) == size);
            }
            took
        };
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter_custom(&mut catch_up));
    }
}

criterion_group!(sync, live_delta, catch_up_from_log, catch_up_by_snapshot);
criterion_main!(sync);
