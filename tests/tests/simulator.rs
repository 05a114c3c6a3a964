//! Simulated networks under faults: no promise is broken, whatever happens in whatever order.
//!
//! `SIM_SEEDS` sets how many seeds are run (default 4,000), `SIM_FROM` the first (default 0). A
//! failure prints its seed, the shrunk run as a trace, and the command that replays it.

use std::process::Command;

use crdt_tests::law::from_env;
use crdt_tests::sim::{FaultKind, Plan, simulate, sweep};

/// Seeds unless `SIM_SEEDS` says otherwise.
const SEEDS: u64 = 4_000;

/// Seeds beyond those that have found something (docs/testing.md).
const FOUND_SOMETHING: [u64; 1] = [9101];

#[test]
fn no_promise_is_broken_under_any_mix_of_faults() {
    let (from, seeds) = (from_env("SIM_FROM").unwrap_or(0), from_env("SIM_SEEDS").unwrap_or(SEEDS));
    println!("{seeds} seeds from {from}");
    let tally = sweep(from, seeds).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally}");
    if seeds >= SEEDS {
        assert!(tally.messages >= 1_000_000, "a sweep is worth something only if there is traffic");
        assert!(tally.faults() >= 100_000, "and if things break");
        let idle: Vec<_> = FaultKind::ALL.iter().filter(|kind| !tally.faults.contains_key(kind)).collect();
        assert!(idle.is_empty(), "faults that never take effect: {idle:?}");
        assert!(tally.snapshots > seeds && tally.in_parts > 0 && tally.transactions_lost > seeds);
    }
}

#[test]
fn a_seed_gives_the_same_trace_in_every_process() {
    // Each process seeds its hash tables anew, so two must agree on more than on luck.
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["--hashes", "--seeds", "20"]).output();
        String::from_utf8(output.expect("the program starts").stdout).expect("it prints text")
    };
    let here: String =
        (0..20).map(|seed| format!("{seed} {:016x}\n", simulate(&Plan::from_seed(seed)).trace.hash())).collect();
    assert_eq!(run(), here);
    assert_eq!(run(), here);
}

#[test]
fn seeds_that_have_found_something_find_it_no_more() {
    FOUND_SOMETHING.iter().for_each(|seed| {
        sweep(*seed, 1).unwrap_or_else(|failure| panic!("{failure}"));
    });
}
