//! Many seeds on all cores, and what to say about the first that fails.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use super::oracle::Violation;
use super::plan::Plan;
use super::shrink::shrink;
use super::tally::Tally;
use super::trace::Detail;
use super::world::{Outcome, World};

/// A run that broke a promise, made small.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was broken in the run as it was drawn.
    pub violation: Violation,
    /// The smallest run found that breaks the same promise.
    pub plan: Plan,
    /// What is broken there.
    pub smallest: Violation,
    /// What happens there.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, violation, plan, smallest, trace } = self;
        writeln!(f, "{trace}")?;
        writeln!(f, "seed {seed}: {violation}")?;
        let (hosts, steps) = (plan.hosts, plan.steps.len());
        writeln!(f, "above: shrunk to {hosts} replicas and {steps} steps, where it is: {smallest}")?;
        write!(f, "replay: cargo run -p crdt-tests --bin sim -- --seed {seed} --trace")
    }
}

/// Runs one plan.
#[must_use]
pub fn simulate(plan: &Plan) -> Outcome {
    World::new(plan, Detail::Hash).run()
}

/// Runs one plan, and keeps the trace as text.
#[must_use]
pub fn simulate_traced(plan: &Plan) -> Outcome {
    World::new(plan, Detail::Text).run()
}

/// Runs seeds `first..first + count` on all cores, until one fails; returns the lowest that was seen to.
///
/// # Errors
/// The failure, shrunk.
pub fn sweep(first: u64, count: u64) -> Result<Tally, Box<Failure>> {
    let next = AtomicU64::new(first);
    let end = first + count;
    let total = Mutex::new(Tally::default());
    let failed: Mutex<Option<(u64, Violation)>> = Mutex::new(None);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let outcome = simulate(&Plan::from_seed(seed));
            tally.add(&outcome.tally);
            if let Some(violation) = outcome.violation {
                next.store(end, Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                    *failed = Some((seed, violation));
                }
            }
        }
        total.lock().unwrap_or_else(PoisonError::into_inner).add(&tally);
    };
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner)),
        Some((seed, violation)) => Err(Box::new(explain(seed, violation))),
    }
}

/// Makes a failure small, and tells what happens in it.
#[must_use]
pub fn explain(seed: u64, violation: Violation) -> Failure {
    let plan = shrink(&Plan::from_seed(seed), violation.check);
    let outcome = simulate_traced(&plan);
    let smallest = outcome.violation.unwrap_or_else(|| violation.clone());
    let trace = outcome.trace.into_text().unwrap_or_default();
    Failure { seed, violation, plan, smallest, trace }
}
