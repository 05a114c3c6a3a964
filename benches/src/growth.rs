//! How benchmarks grow: the same sizes for all, and fewer samples where one takes long.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};

/// From this size on an operation on all of it may take seconds.
const LARGE: usize = 100_000;

/// Yields the sizes of documents and values: powers of ten. Where nothing is timed (`cargo test`), only the least.
pub fn sizes() -> impl Iterator<Item = usize> {
    [1_000, 10_000, 100_000, 1_000_000].into_iter().take(if is_timed() { 4 } else { 1 })
}

/// Tells whether this process times its benchmarks: cargo passes `--bench` only then.
fn is_timed() -> bool {
    let arguments = std::env::args();
    let (mut bench, mut test) = (false, false);
    arguments.for_each(|argument| {
        bench |= argument == "--bench";
        test |= argument == "--test";
    });
    bench && !test
}

/// Starts a group of benchmarks: one operation, at all sizes.
pub fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group
}

/// Sets how the next benchmarks of a group are sampled: fewer times at a size at which each may take long.
pub fn suit(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    if size >= LARGE {
        // As many operations in each sample as in the first: the default takes ever more.
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
    }
}
