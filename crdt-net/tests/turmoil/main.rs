//! Real replicas on a simulated network: partitions, crashes, repairs, each run twice.
//!
//! What is real here? Everything in this crate and below: listeners, dials, handshakes, WebSockets,
//! links, the driver, redials, time limits. turmoil stands in for the network and for time, so a
//! minute of trouble takes a moment, and a seed gives the same minute again.
//!
//! `TURMOIL_SEEDS=1000 cargo test --release -p crdt-net --test turmoil` runs more seeds;
//! `TURMOIL_SEEDS=17..18` only one, and keeps its trace.

mod check;
mod choices;
mod host;
mod network;
mod run;
mod scene;
mod storm;
mod trace;
mod write;

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use std::{env, fs};

use crate::run::run;
use crate::trace::Trace;

/// How many seeds run unless told otherwise.
const SEEDS: u64 = 40;

/// What must happen in some of the seeds, in the words of the trace.
const HAPPENINGS: [&str; 17] = [
    "net    Partition",
    "net    OneWay",
    "net    Hold",
    "net    Crash",
    "net    PowerCut",
    "net    Offline",
    "net    HungUp",
    "net    Reopen",
    "INFO peer up",
    " lost ",
    "the reader lags",
    "snapshots sent",
    "dialling timed out",
    "reason=no sign of life",
    "reason=no hello within the deadline",
    "reason=the peer takes no data",
    "reason=another process with the same replica id",
];

/// How many lines of the trace are shown with a failure.
const LINES_SHOWN: usize = 60;

/// What became of a seed.
struct Outcome {
    /// How long the replicas took to become equal after the storm.
    settled_after: Duration,
    /// Writes that were answered.
    acknowledged: usize,
    /// How long the trace is.
    lines: usize,
    /// How often each of the happenings is in it.
    happened: [usize; HAPPENINGS.len()],
}

/// Which seeds to run: a number of them, or a range.
fn seeds() -> Range<u64> {
    let Ok(wanted) = env::var("TURMOIL_SEEDS") else {
        return 0..SEEDS;
    };
    let number = |text: &str| text.parse().expect("TURMOIL_SEEDS is a number or a range, such as 100 or 17..18");
    match wanted.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&wanted),
    }
}

/// Runs a seed twice and says what to do if it fails.
fn run_twice(seed: u64) -> Option<Outcome> {
    let (once, twice) = (Trace::default(), Trace::default());
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let (settled_after, acknowledged) = run(seed, &once);
        run(seed, &twice);
        assert_eq!(once.hash(), twice.hash(), "not the same run again: {}", once.first_difference(&twice));
        let happened = HAPPENINGS.map(|what| once.count(what));
        Outcome { settled_after, acknowledged, lines: once.len(), happened }
    }));
    let is_the_only_one = seeds().end - seeds().start == 1;
    if outcome.is_err() || is_the_only_one {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("turmoil-{seed}.trace"));
        fs::write(&path, once.last_with(usize::MAX, &[""])).expect("the folder is there");
        println!("the trace of seed {seed} is in {}", path.display());
    }
    if outcome.is_err() {
        let shown = once.last_with(LINES_SHOWN, &["net ", "INFO", "WARN", "ERROR", "opened", "online"]);
        eprintln!("seed {seed} failed. What it came to:\n{shown}");
        eprintln!("again: TURMOIL_SEEDS={seed}..{} cargo test -p crdt-net --test turmoil", seed + 1);
    }
    outcome.ok()
}

/// Runs all seeds, as many at a time as there are processors.
fn run_all(seeds: Range<u64>) -> Vec<Outcome> {
    let next = AtomicU64::new(seeds.start);
    let take_turns = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return outcomes;
            }
            outcomes.push((seed, run_twice(seed)));
        }
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(take_turns)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("failures are caught")).collect()
    });
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_none()).map(|(seed, _)| seed).collect();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
    outcomes.into_iter().filter_map(|(_, outcome)| outcome).collect()
}

#[test]
fn replicas_converge_after_partitions_and_crashes_and_each_seed_runs_the_same_twice() {
    let outcomes = run_all(seeds());
    let total = |count: &dyn Fn(&Outcome) -> usize| outcomes.iter().map(count).sum::<usize>();
    let longest = outcomes.iter().map(|outcome| outcome.settled_after).max().unwrap_or(Duration::ZERO);
    println!("{} seeds, {} writes answered", outcomes.len(), total(&|outcome| outcome.acknowledged));
    println!("{} lines of trace; at rest after {longest:?} at most", total(&|outcome| outcome.lines));
    for (number, what) in HAPPENINGS.into_iter().enumerate() {
        let times = total(&|outcome| outcome.happened[number]);
        println!("{times:8} {what}");
        // A few seeds need not have everything.
        assert!(outcomes.len() < 30 || times > 0, "no seed has any {what}");
    }
}

#[test]
fn another_seed_is_another_run() {
    let (one, other) = (Trace::default(), Trace::default());
    run(0, &one);
    run(1, &other);
    assert_ne!(one.hash(), other.hash());
    assert!(!one.first_difference(&other).is_empty());
}
