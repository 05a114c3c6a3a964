//! What replicas cost on real WebSockets on loopback, in memory, at 1,000 to 1,000,000 entries.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crdt_benches::growth::{group, sizes, suit};
use crdt_benches::loopback::Provider;
use crdt_benches::{Failed, runtime, set_document};
use crdt_core::Snapshot;

/// How many deltas are under way at a time.
const ROW: usize = 1_000;

async fn provider(size: usize) -> Provider {
    let bytes = set_document(1, 0..size).snapshot().encode();
    Provider::open(&Snapshot::decode(&bytes).expect("our own bytes")).await.expect("opens")
}

/// A fresh peer dials and takes over the whole document; every time ends with equal digests.
fn take_over(criterion: &mut Criterion) {
    let runtime = runtime().expect("starts");
    let mut group = group(criterion, "a fresh peer takes over a document");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(size as u64));
        let mut made = None;
        let mut take_over = |rounds: u64| {
            let (provider, mut took) = (made.get_or_insert_with(|| runtime.block_on(provider(size))), Duration::ZERO);
            for _ in 0..rounds {
                let follower = runtime.block_on(provider.hand_over()).expect("ends right");
                took += follower.took;
                runtime.block_on(follower.close());
            }
            took
        };
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter_custom(&mut take_over));
        if let Some(provider) = made {
            runtime.block_on(provider.close());
        }
    }
}

/// Transactions at one end, until the other holds all of them durably: one, and a row of them.
fn live_deltas(criterion: &mut Criterion) {
    let runtime = runtime().expect("starts");
    let mut group = group(criterion, "live deltas, written here until durable there");
    for (count, size) in [1, ROW].into_iter().flat_map(|count| sizes().map(move |size| (count, size))) {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(count as u64));
        let (mut made, mut next) = (None, size);
        let mut write = |rounds: u64| {
            let (provider, follower) = made.get_or_insert_with(|| {
                runtime.block_on(async {
                    let mut provider = provider(size).await;
                    let follower = provider.hand_over().await.expect("ends right");
                    (provider, follower)
                })
            });
            let begin = Instant::now();
            let written: Result<usize, Failed> = runtime.block_on(async {
                let mut held = 0;
                for _ in 0..rounds {
                    for _ in 0..count {
                        provider.insert(next % (size + ROW)).await?;
                        next += 1;
                    }
                    held = follower.reach(&provider.version().await?).await?;
                }
                Ok(held)
            });
            let took = begin.elapsed();
            assert!((size + 1..=size + ROW).contains(&written.expect("ends right")));
            took
        };
        let name = format!("{count} a time");
        group.bench_function(BenchmarkId::new(name, size), |bencher| bencher.iter_custom(&mut write));
        if let Some((provider, follower)) = made {
            runtime.block_on(follower.close());
            runtime.block_on(provider.close());
        }
    }
}

criterion_group!(net, take_over, live_deltas);
criterion_main!(net);
