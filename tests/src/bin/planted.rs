//! Plants each known bug in turn, and lets the simulator look for it.
//!
//! `RUSTFLAGS="--cfg planted_bugs" cargo run --profile planted --target-dir target/planted -p crdt-tests
//! --bin planted` prints a table: the bug, after how many seeds it was found, and by which check. It
//! fails if a bug is not found within 1,000 seeds: then the mix of faults is wrong.

use std::process::ExitCode;

#[cfg(planted_bugs)]
fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    hunt::all(&clap::Parser::parse())
}

#[cfg(not(planted_bugs))]
fn main() -> ExitCode {
    println!("no bug is planted in this build: compile with RUSTFLAGS=\"--cfg planted_bugs\" and --profile planted");
    ExitCode::FAILURE
}

#[cfg(planted_bugs)]
mod hunt {
    use std::collections::BTreeSet;
    use std::process::ExitCode;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::thread::available_parallelism;

    use crdt_core::planted::{Bug, plant};
    use crdt_tests::sim::oracle::Violation;
    use crdt_tests::sim::{Plan, simulate};

    /// Seeds that must be clean before anything is planted.
    const CONTROL_SEEDS: u64 = 300;

    /// Looks for planted bugs.
    #[derive(clap::Parser)]
    pub(super) struct Arguments {
        /// Only bugs whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
        /// After how many seeds to give up: one that hides longer shows that the mix of faults is wrong.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
    }

    type Find = (Bug, Option<(u64, Violation)>);

    pub(super) fn all(Arguments { only, seeds }: &Arguments) -> ExitCode {
        if let Some((seed, violation)) = look_for(None, CONTROL_SEEDS) {
            println!("seed {}: {violation}, with nothing planted", seed - 1);
            return ExitCode::FAILURE;
        }
        let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| format!("{bug:?}").contains(only)).collect();
        let next = AtomicUsize::new(0);
        let finds: Mutex<Vec<Find>> = Mutex::default();
        let work = || {
            while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let find = (*bug, look_for(Some(*bug), *seeds));
                finds.lock().unwrap_or_else(PoisonError::into_inner).push(find);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        let mut finds = finds.into_inner().unwrap_or_else(PoisonError::into_inner);
        finds.sort_by_key(|(bug, _)| *bug);
        report(&finds, *seeds)
    }

    /// Runs seeds until one breaks a promise; returns how many it took.
    fn look_for(bug: Option<Bug>, seeds: u64) -> Option<(u64, Violation)> {
        plant(bug);
        let found = (0..seeds).find_map(|seed| Some((seed + 1, simulate(&Plan::from_seed(seed)).violation?)));
        plant(None);
        found
    }

    fn report(finds: &[Find], seeds_max: u64) -> ExitCode {
        println!("| bug | seeds | caught by |\n|---|---|---|");
        for (bug, found) in finds {
            let (seeds, check) = match found {
                Some((seeds, violation)) => (seeds.to_string(), violation.check.to_string()),
                None => (format!("not within {seeds_max}"), String::new()),
            };
            println!("| {} | {seeds} | {check} |", bug.what().trim());
        }
        let hidden = finds.iter().filter(|(_, found)| found.is_none()).count();
        let caught: BTreeSet<_> = finds.iter().filter_map(|(_, found)| Some(found.as_ref()?.1.check)).collect();
        println!(
            "\n{} checks have caught one first; {} bugs planted, {} found",
            caught.len(),
            finds.len(),
            finds.len() - hidden
        );
        if hidden == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
