//! Runs a property over many generated inputs and says how to repeat a failure.
//!
//! `CRDT_LAW_CASES` sets the number of cases a law (default 20,000), `CRDT_LAW_SEED` the seed, as
//! a failure prints it; without it every run draws a new one. A failure also prints the smallest
//! input found, which belongs into `regressions.rs` as a named test. Nothing is stored in files.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Cases a law unless `CRDT_LAW_CASES` says otherwise.
const CASES: u32 = 20_000;

/// Checks that `property` holds (does not panic) for generated inputs.
///
/// # Panics
/// If it does not: with the seed and the smallest failing input.
pub fn holds<S: Strategy<Value: Debug>>(inputs: &S, property: impl Fn(S::Value)) {
    let seed = seed();
    let config = Config {
        cases: from_env("CRDT_LAW_CASES").unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_iters: 4_096,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(inputs, |input| {
        property(input);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, input)) => {
            panic!("law broken: {reason}\nCRDT_LAW_SEED={seed}\nsmallest input: {input:?}")
        }
        Err(TestError::Abort(reason)) => panic!("no verdict: {reason}"),
    }
}

/// Returns the seed of this run: `CRDT_LAW_SEED`, or one drawn from the operating system.
#[must_use]
pub fn seed() -> u64 {
    from_env("CRDT_LAW_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish())
}

/// Reads a number from the environment.
///
/// # Panics
/// If the variable is set to something else: a typo must not pass for a choice.
#[must_use]
pub fn from_env<T: std::str::FromStr<Err: Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|text| text.parse().expect("the variable is a number"))
}
