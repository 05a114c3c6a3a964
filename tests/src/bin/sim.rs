//! Runs simulated networks from the command line: many seeds for their figures, or one for its trace.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use crdt_tests::sim::{Plan, explain, simulate, simulate_traced, sweep};

/// Runs simulated networks of replicas.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Runs this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints what happens in it: who, when, what.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Prints one line for each seed: its number and the hash of all that happened.
    #[arg(long, conflicts_with = "seed")]
    hashes: bool,
}

fn main() -> ExitCode {
    // A panic is a finding like any other, and told like any other.
    std::panic::set_hook(Box::new(|_| {}));
    let Arguments { from, seeds, seed, trace, hashes } = Arguments::parse();
    if let Some(seed) = seed {
        return one(seed, trace);
    }
    if hashes {
        for seed in from..from + seeds {
            println!("{seed} {:016x}", simulate(&Plan::from_seed(seed)).trace.hash());
        }
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    match sweep(from, seeds) {
        Ok(tally) => {
            let seconds = start.elapsed().as_secs_f64();
            println!("{tally}{seconds:.1} s, {:.0} seeds a second", tally.seeds as f64 / seconds);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    let plan = Plan::from_seed(seed);
    let outcome = if trace { simulate_traced(&plan) } else { simulate(&plan) };
    println!("{}hash {:016x}", outcome.tally, outcome.trace.hash());
    print!("{}", outcome.trace.into_text().unwrap_or_default());
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("{}", explain(seed, violation));
            ExitCode::FAILURE
        }
    }
}
