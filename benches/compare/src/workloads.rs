//! The workloads, by name and size, and what they share: keys, chance, and streams that can be cut short.

mod w1_merge;
mod w2_deltas;
mod w3_counter;
mod w4_lww_map;
mod w5_bytes;
mod w6_memory;
mod w7_cart;
mod w8_trade;
mod w9_late_peer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::run::{Runner, Skip, time};
use crate::system::System;

/// What is measured, and how it is set up.
pub(crate) struct Workload {
    /// Its name in tables, in JSON and in `--only`.
    pub(crate) name: &'static str,
    /// What it is, in a line.
    pub(crate) title: &'static str,
    /// What one item is.
    pub(crate) item: &'static str,
    kind: Kind,
}

/// How a workload depends on the size asked for.
enum Kind {
    /// It has any size that is asked for.
    Scaled(fn(System, Task) -> Result<Runner, Skip>),
    /// The same, and a run of it is cut short where it would take long.
    Streamed(fn(System, Task) -> Result<Runner, Skip>),
    /// It has a size of its own.
    Fixed(usize, fn(System, Task) -> Result<Runner, Skip>),
    /// It is as large as the file.
    File(Data),
}

/// How large, and with how much patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// The size.
    pub(crate) n: usize,
    /// The patience.
    pub(crate) effort: Effort,
}

/// How much time there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effort {
    /// Enough to measure.
    Full,
    /// Enough to see that all works.
    Quick,
}

/// A file that is given, or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    /// Where it is.
    pub(crate) path: Option<PathBuf>,
}

impl Workload {
    /// Returns all workloads.
    pub(crate) fn all(data: &Data) -> Vec<Self> {
        use Kind::{File, Fixed, Scaled, Streamed};
        let of = |name, title, item, kind| Self { name, title, item, kind };
        let replicas = w3_counter::REPLICAS;
        vec![
            of(
                "W1",
                "merge two add-wins sets by their states, half in common",
                "element of one side",
                Scaled(w1_merge::open),
            ),
            of("W2", "take one-entry deltas into a set of n, from bytes", "delta", Streamed(w2_deltas::open)),
            of(
                "W3-merge",
                "merge two counters by their states",
                "replica that counts",
                Fixed(replicas, w3_counter::open_merge),
            ),
            of(
                "W3-deltas",
                "count by the deltas of all replicas, from bytes",
                "delta",
                Fixed(replicas, w3_counter::open_deltas),
            ),
            of("W4", "merge two maps by their states, all n keys overwritten", "key", Scaled(w4_lww_map::open)),
            of("W5-state-encode", "encode a set of n; bytes an element", "element", Scaled(w5_bytes::open_encode)),
            of("W5-state-decode", "decode a set of n; bytes an element", "element", Scaled(w5_bytes::open_decode)),
            of(
                "W5-delta",
                "write an entry into a set of n and encode its delta; bytes a delta",
                "delta",
                Streamed(w5_bytes::open_delta),
            ),
            of(
                "W5-batch",
                "the same 1,000 times, sent together; bytes an entry",
                "entry",
                Scaled(w5_bytes::open_batch),
            ),
            of("W6", "memory of a set of n; bytes an element", "element", Scaled(w6_memory::open)),
            of("W7", "a cart on three replicas, n edits, exchanged every 100", "edit", Streamed(w7_cart::open)),
            of("W8", "trade rows on three replicas, exchanged every 100", "row", File(data.clone())),
            of(
                "W9-1",
                "bring up a late peer, 1 % of n edits new; bytes a new edit",
                "new edit",
                Scaled(w9_late_peer::open::<1>),
            ),
            of(
                "W9-10",
                "bring up a late peer, 10 % of n edits new; bytes a new edit",
                "new edit",
                Scaled(w9_late_peer::open::<10>),
            ),
            of(
                "W9-100",
                "bring up a late peer, all n edits new; bytes a new edit",
                "new edit",
                Scaled(w9_late_peer::open::<100>),
            ),
        ]
    }

    /// Tells whether `--only` names it: by its whole name, or by the part before the first dash.
    pub(crate) fn is_named_by(&self, only: &str) -> bool {
        let group = self.name.split('-').next().unwrap_or(self.name);
        only.eq_ignore_ascii_case(self.name) || only.eq_ignore_ascii_case(group)
    }

    /// Returns the sizes to run, of those asked for.
    pub(crate) fn sizes(&self, asked: &[usize]) -> Vec<usize> {
        match &self.kind {
            Kind::Scaled(_) | Kind::Streamed(_) => asked.to_vec(),
            Kind::Fixed(size, _) => vec![*size],
            Kind::File(data) => vec![w8_trade::count(data)],
        }
    }

    /// Tells whether its work grows with the size and nothing cuts it short.
    pub(crate) fn may_take_long(&self) -> bool {
        matches!(self.kind, Kind::Scaled(_))
    }

    /// Sets a system up for it.
    pub(crate) fn open(&self, system: System, task: Task) -> Result<Runner, Skip> {
        match &self.kind {
            Kind::Scaled(open) | Kind::Streamed(open) | Kind::Fixed(_, open) => open(system, task),
            Kind::File(data) => w8_trade::open(system, task.effort, data),
        }
    }
}

/// When a stream of small pieces is cut short.
#[derive(Clone, Copy, Debug)]
struct Cut(Duration);

impl Effort {
    /// Returns when making inputs is cut short, which is done once for all rounds.
    const fn writing(self) -> Cut {
        match self {
            Self::Full => Cut(Duration::from_secs(20)),
            Self::Quick => Cut(Duration::from_millis(200)),
        }
    }

    /// Returns when one run is cut short.
    const fn applying(self) -> Cut {
        match self {
            Self::Full => Cut(Duration::from_secs(5)),
            Self::Quick => Cut(Duration::from_millis(50)),
        }
    }
}

impl Cut {
    const fn limit(self) -> Duration {
        self.0
    }
}

/// Works through pieces by index, a chunk at a time, until the cut; returns the time and how many were done.
fn stream(count: usize, chunk: usize, cut: Cut, mut work: impl FnMut(usize)) -> (Duration, usize) {
    let started = Instant::now();
    let (elapsed, done) = time(|| {
        let mut done = 0;
        while done < count && started.elapsed() < cut.limit() {
            let end = (done + chunk).min(count);
            (done..end).for_each(&mut work);
            done = end;
        }
        done
    });
    (elapsed, done)
}

/// Makes the 12-byte keys of a range of numbers.
fn keys(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(key).collect()
}

/// Makes the 12-byte key of a number.
///
/// Numbers that follow each other give keys that do not: keys made in ascending order would favour ordered trees,
/// which then grow at one end, and encodings that leave out what neighbours have in common.
fn key(number: usize) -> String {
    // The factor shares no divisor with the modulus, so different numbers have different keys.
    const FACTOR: u128 = 61_803_398_749;
    const MODULUS: u128 = 100_000_000_000;
    format!("k{:011}", number as u128 * FACTOR % MODULUS)
}

/// Chance from a seed, the same for every system and round: SplitMix64.
struct Random(u64);

impl Random {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }
}
