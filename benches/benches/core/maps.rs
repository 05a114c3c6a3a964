//! The plain maps: of registers, and of counters.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use crdt_benches::growth::{group, sizes, suit};
use crdt_benches::{WALL_MS, key, replica, scattered};
use crdt_core::{CounterMap, CounterMapDelta, HybridClock, LwwMap, Text};

type Numbers = LwwMap<Text, i64>;

fn write_all(map: &mut Numbers, writer: u128, size: usize, number: i64) {
    let entries = (0..size).map(|index| (Text::from(key(index).as_str()), number));
    let stamp = HybridClock::new().stamp(WALL_MS);
    let _ = map.extend(replica(writer), stamp, entries).expect("within all limits");
}

/// Makes a copy that shares no table.
fn through_bytes(map: &Numbers) -> Numbers {
    let bytes = postcard::to_stdvec(map).expect("has a length");
    postcard::from_bytes(&bytes).expect("our own bytes")
}

pub(crate) fn lww_map_merge(criterion: &mut Criterion) {
    let mut group = group(criterion, "LwwMap: merge one that was overwritten all over");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(size as u64));
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let (left, right) = made.get_or_insert_with(|| {
                let mut left = Numbers::new();
                write_all(&mut left, 1, size, 1);
                let mut right = through_bytes(&left);
                write_all(&mut right, 2, size, 2);
                let mut merged = through_bytes(&left);
                merged.merge(&right).expect("two replicas");
                assert!(merged == right && merged.iter().all(|(_, number)| *number == 2));
                (left, right)
            });
            let merge = |left: &mut Numbers| left.merge(right).expect("two replicas");
            bencher.iter_batched_ref(|| through_bytes(left), merge, BatchSize::PerIteration);
        });
    }
}

/// One adds, another takes that in from bytes.
pub(crate) fn counter_map_add(criterion: &mut Criterion) {
    let mut group = group(criterion, "CounterMap: add and apply from bytes");
    for size in sizes() {
        suit(&mut group, size);
        let (mut made, mut number) = (None, 0);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let (here, there) = made.get_or_insert_with(|| {
                let mut maps = (CounterMap::new(), CounterMap::new());
                (0..size).for_each(|index| add(&mut maps.0, &mut maps.1, index));
                assert!(maps.0 == maps.1 && maps.1.len() == size);
                maps
            });
            bencher.iter(|| {
                number += 1;
                add(here, there, scattered(number, size));
            });
            assert!(here == there);
        });
    }
}

fn add(here: &mut CounterMap<Text>, there: &mut CounterMap<Text>, index: usize) {
    let delta = here.add(replica(1), Text::from(key(index).as_str()), 1).expect("within all limits");
    let bytes = postcard::to_stdvec(&delta).expect("has a length");
    let delta: CounterMapDelta<Text> = postcard::from_bytes(&bytes).expect("our own bytes");
    assert!(black_box(there.apply(&delta)).expect("in order"));
}
