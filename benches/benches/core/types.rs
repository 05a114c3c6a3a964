//! The plain types, which need no document.
//!
//! They travel by serde; postcard makes their bytes here.

use std::cell::LazyCell;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use crdt_benches::growth::{group, sizes, suit};
use crdt_benches::{WALL_MS, key, replica, scattered};
use crdt_core::{HybridClock, LwwRegister, MvRegister, OrSet, OrSetDelta, PnCounter, ReplicaId};

/// Deltas applied in one timed batch.
const BATCH: usize = 1_000;

fn set(writer: ReplicaId, numbers: std::ops::Range<usize>) -> OrSet<String> {
    let mut set = OrSet::new();
    let _ = set.extend(writer, numbers.map(key)).expect("within all limits");
    set
}

/// Makes a copy that shares no table.
fn through_bytes(set: &OrSet<String>) -> OrSet<String> {
    postcard::from_bytes(&bytes(set)).expect("our own bytes")
}

fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("has a length")
}

/// Inserts of another replica, then their removals, so that the size stays.
fn deltas(writer: &mut OrSet<String>, size: usize) -> Vec<Vec<u8>> {
    let numbers = size..size + BATCH / 2;
    let inserts = numbers.clone().map(|number| writer.insert(replica(2), key(number)).expect("within all limits"));
    let mut all: Vec<Vec<u8>> = inserts.map(|delta| bytes(&delta)).collect();
    let removes = numbers.map(|number| writer.remove(replica(2), &key(number)).expect("within all limits"));
    all.extend(removes.map(|delta| bytes(&delta.expect("it was there"))));
    all
}

fn apply_all(set: &mut OrSet<String>, deltas: &[Vec<u8>]) {
    for bytes in deltas {
        let delta: OrSetDelta<String> = postcard::from_bytes(bytes).expect("our own bytes");
        assert!(set.apply(&delta).expect("deltas are in order"));
    }
}

pub(crate) fn or_set_deltas(criterion: &mut Criterion) {
    let mut group = group(criterion, "OrSet: apply one-entry deltas from bytes");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(BATCH as u64));
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let (set, writer) = made.get_or_insert_with(|| reader_and_writer(size));
            let next = || deltas(writer, size);
            bencher.iter_batched(next, |deltas| apply_all(set, &deltas), BatchSize::PerIteration);
        });
    }
}

fn reader_and_writer(size: usize) -> (OrSet<String>, OrSet<String>) {
    let mut set = set(replica(1), 0..size);
    let mut writer = through_bytes(&set);
    let batch = deltas(&mut writer, size);
    apply_all(&mut set, &batch[..BATCH / 2]);
    assert_eq!(set.len(), size + BATCH / 2);
    apply_all(&mut set, &batch[BATCH / 2..]);
    assert!(set == writer && set.len() == size);
    (set, writer)
}

/// A clone is what a snapshot is to a document.
pub(crate) fn or_set_clone(criterion: &mut Criterion) {
    let mut group = group(criterion, "OrSet: clone");
    for size in sizes() {
        suit(&mut group, size);
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let set = made.get_or_insert_with(|| set(replica(1), 0..size));
            assert_eq!(set.clone().len(), size);
            bencher.iter(|| set.clone());
        });
    }
}

pub(crate) fn or_set_write_under_clone(criterion: &mut Criterion) {
    let mut group = group(criterion, "OrSet: clone and write once under it");
    for size in sizes() {
        suit(&mut group, size);
        let (mut made, mut number) = (None, 0);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let set = made.get_or_insert_with(|| {
                let mut set = set(replica(1), 0..size);
                let live = set.clone();
                let _ = set.insert(replica(1), key(size)).expect("within all limits");
                assert_eq!((live.len(), set.len()), (size, size + 1));
                set
            });
            bencher.iter(|| {
                let live = set.clone();
                number += 1;
                let delta = set.insert(replica(1), key(scattered(number, size)));
                (delta.expect("within all limits"), live)
            });
        });
    }
}

pub(crate) fn or_set_merge(criterion: &mut Criterion) {
    let mut group = group(criterion, "OrSet: merge two half in common");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(size as u64));
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let (left, right) = made.get_or_insert_with(|| half_in_common(size));
            let open = || -> OrSet<String> { postcard::from_bytes(left).expect("our own bytes") };
            let merge = |left: &mut OrSet<String>| left.merge(right).expect("two replicas");
            bencher.iter_batched_ref(open, merge, BatchSize::PerIteration);
        });
    }
}

/// Two sets that share no table, the first as bytes.
fn half_in_common(size: usize) -> (Vec<u8>, OrSet<String>) {
    let mut left = set(replica(1), 0..size / 2);
    let mut right = left.clone();
    let _ = left.extend(replica(1), (size / 2..size).map(key)).expect("within all limits");
    let _ = right.extend(replica(2), (size..size + size / 2).map(key)).expect("within all limits");
    let (left, right) = (bytes(&left), through_bytes(&right));
    let mut checked: OrSet<String> = postcard::from_bytes(&left).expect("our own bytes");
    checked.merge(&right).expect("two replicas");
    assert_eq!(checked.len(), size + size / 2);
    (left, right)
}

pub(crate) fn or_set_bytes(criterion: &mut Criterion) {
    for (name, decode) in [("OrSet: encode", false), ("OrSet: decode", true)] {
        let mut group = group(criterion, name);
        for size in sizes() {
            suit(&mut group, size);
            group.throughput(Throughput::Elements(size as u64));
            let mut made = None;
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                let (set, encoded) = made.get_or_insert_with(|| {
                    let set = through_bytes(&set(replica(1), 0..size));
                    assert!(through_bytes(&set) == set && set.len() == size);
                    let encoded = bytes(&set);
                    (set, encoded)
                });
                if decode {
                    let decode = || postcard::from_bytes::<OrSet<String>>(encoded).expect("our own bytes");
                    bencher.iter_with_large_drop(decode);
                } else {
                    bencher.iter_with_large_drop(|| bytes(set));
                }
            });
        }
    }
}

/// A counter has an entry for each replica that has written to it.
pub(crate) fn counter(criterion: &mut Criterion) {
    let mut group = group(criterion, "PnCounter of replicas");
    for size in sizes() {
        suit(&mut group, size);
        let made = LazyCell::new(|| two_counters(size));
        let mut number = 0;
        group.bench_function(BenchmarkId::new("increment", size), |bencher| {
            let mut counter = made.0.clone();
            bencher.iter(|| {
                number += 1;
                counter.increment(replica(scattered(number, size) as u128), 1).expect("far from overflow")
            });
        });
        group.bench_function(BenchmarkId::new("merge", size), |bencher| {
            let (counter, other) = &*made;
            let merge = |counter: &mut PnCounter| counter.merge(other);
            bencher.iter_batched_ref(|| counter.clone(), merge, BatchSize::PerIteration);
        });
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            let counter = &made.0;
            bencher.iter(|| bytes(counter));
        });
        group.bench_function(BenchmarkId::new("decode", size), |bencher| {
            let encoded = bytes(&made.0);
            bencher.iter(|| postcard::from_bytes::<PnCounter>(&encoded).expect("our own bytes"));
        });
    }
}

/// Two counters of so many replicas, of which they share half.
fn two_counters(size: usize) -> (PnCounter, PnCounter) {
    let written = |first: usize| {
        let mut counter = PnCounter::new();
        for number in first..first + size {
            let _ = counter.increment(replica(number as u128), 1).expect("far from overflow");
        }
        counter
    };
    let (counter, other) = (written(0), written(size / 2));
    let mut merged = counter.clone();
    merged.merge(&other);
    assert_eq!(merged.value(), (size + size / 2) as i128);
    assert_eq!(postcard::from_bytes::<PnCounter>(&bytes(&counter)).as_ref(), Ok(&counter));
    (counter, other)
}

/// Registers have one value, or a few side by side: nothing that grows.
pub(crate) fn registers(criterion: &mut Criterion) {
    let mut group = group(criterion, "registers: write and apply from bytes");
    let (mut clock, mut here, mut there) = (HybridClock::new(), LwwRegister::new(), LwwRegister::new());
    group.bench_function("LwwRegister", |bencher| {
        bencher.iter(|| {
            let delta = here.write(replica(1), clock.stamp(WALL_MS), key(1)).expect("there are stamps left");
            let delta = postcard::from_bytes(&bytes(&delta)).expect("our own bytes");
            assert!(there.apply(&delta));
        });
        assert_eq!(there.get(), Some(&key(1)));
    });
    let (mut here, mut there) = (MvRegister::new(), MvRegister::new());
    group.bench_function("MvRegister", |bencher| {
        bencher.iter(|| {
            let delta = here.write(replica(1), key(1)).expect("there are dots left");
            let delta = postcard::from_bytes(&bytes(&delta)).expect("our own bytes");
            assert!(black_box(there.apply(&delta)).expect("in order"));
        });
        assert!(here == there);
    });
}
