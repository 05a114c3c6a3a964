//! Rounds: every system once in each, in an order that turns, so that a noisy minute hits all alike.
//!
//! When is a time worth anything? Only if the result was right. So each run compares what came out
//! with a plain model, outside the timing, and a cell that was wrong once has no time at all.
//!
//! What would take longer than a minute is left out with its reason. Work that comes in small pieces is cut
//! short instead: the run says how many pieces it did, and the model is cut at the same place.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::system::System;
use crate::workloads::{Task, Workload};

/// What all rounds of one cell may take together.
const CELL_LIMIT: Duration = Duration::from_secs(60);

/// Below this size nothing is estimated: everything is fast enough.
const PROBED_FROM: usize = 100_000;

/// What one run yields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// What the timed part took; `None` where only bytes are measured.
    pub(crate) elapsed: Option<Duration>,
    /// Through how many items.
    pub(crate) items: u64,
    /// Bytes per item, or in all where the workload says so.
    pub(crate) bytes: Option<f64>,
    /// Whether the result is that of the model.
    pub(crate) is_right: bool,
}

/// Why a cell has no result.
#[derive(Clone, Debug)]
pub(crate) struct Skip(pub(crate) String);

impl Skip {
    /// Makes a reason.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A cell that is set up: each call is one run on fresh copies.
pub(crate) type Runner = Box<dyn FnMut() -> Result<Run, Skip>>;

/// All counted rounds of one system in one workload.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Whose.
    pub(crate) system: System,
    /// What came out.
    pub(crate) outcome: Outcome,
}

/// What became of a cell.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Every run had the model's result.
    Right {
        /// Nanoseconds per item of each round, ascending; empty where only bytes are measured.
        times: Vec<f64>,
        /// The fewest items of a run.
        items: u64,
        /// Bytes of the last run.
        bytes: Option<f64>,
    },
    /// A run had another result than the model: its times count for nothing.
    Wrong,
    /// It was not run.
    Skipped(Skip),
}

impl Outcome {
    /// Returns the median in nanoseconds per item.
    pub(crate) fn median(&self) -> Option<f64> {
        match self {
            Self::Right { times, .. } if !times.is_empty() => Some(middle(times)),
            _ => None,
        }
    }

    /// Returns bytes, if they were measured.
    pub(crate) fn bytes(&self) -> Option<f64> {
        match self {
            Self::Right { bytes, .. } => *bytes,
            _ => None,
        }
    }
}

/// Returns the middle one of ascending values, or the mean of the middle two.
fn middle(ascending: &[f64]) -> f64 {
    let half = ascending.len() / 2;
    if ascending.len().is_multiple_of(2) {
        f64::midpoint(ascending[half - 1], ascending[half])
    } else {
        ascending[half]
    }
}

/// Times a closure; what it returns is dropped by the caller, outside the timing.
///
/// Time is that of this thread on a processor. All systems work in one thread, and what other processes of a busy
/// machine take away is nobody's merit or fault.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = thread_time();
    let result = work();
    (thread_time() - started, result)
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's time is not negative")
}

/// Measures all systems of a workload at one size.
pub(crate) fn measure(workload: &Workload, task: Task, rounds: usize) -> Vec<Measured> {
    let mut cells: Vec<Cell> = System::ALL.iter().map(|system| Cell::open(workload, *system, task, rounds)).collect();
    // The first round warms up and checks; it is not counted.
    for round in 0..=rounds {
        let count = cells.len();
        for turn in 0..count {
            let cell = &mut cells[(turn + round) % count];
            cell.run(round > 0);
        }
    }
    cells.into_iter().map(Cell::finish).collect()
}

/// A system at work on one workload.
struct Cell {
    system: System,
    runner: Result<Runner, Skip>,
    times: Vec<f64>,
    items: u64,
    bytes: Option<f64>,
    is_right: bool,
}

impl Cell {
    fn open(workload: &Workload, system: System, task: Task, rounds: usize) -> Self {
        let runner = affordable(workload, system, task, rounds).and_then(|()| workload.open(system, task));
        Self { system, runner, times: Vec::new(), items: u64::MAX, bytes: None, is_right: true }
    }

    fn run(&mut self, counts: bool) {
        if !self.is_right {
            return;
        }
        let Ok(runner) = &mut self.runner else { return };
        match runner() {
            Ok(run) => {
                self.is_right = run.is_right;
                self.items = self.items.min(run.items);
                self.bytes = run.bytes;
                if let Some(elapsed) = run.elapsed.filter(|_| counts) {
                    self.times.push(elapsed.as_secs_f64() * 1e9 / run.items as f64);
                }
            }
            Err(skip) => self.runner = Err(skip),
        }
    }

    fn finish(mut self) -> Measured {
        self.times.sort_by(f64::total_cmp);
        let outcome = match self.runner {
            Err(skip) => Outcome::Skipped(skip),
            Ok(_) if !self.is_right => Outcome::Wrong,
            Ok(_) => Outcome::Right { times: self.times, items: self.items, bytes: self.bytes },
        };
        Measured { system: self.system, outcome }
    }
}

/// Estimates from two smaller sizes whether a rival can finish within the limit.
fn affordable(workload: &Workload, system: System, task: Task, rounds: usize) -> Result<(), Skip> {
    if !system.is_rival() || task.n < PROBED_FROM || !workload.may_take_long() {
        return Ok(());
    }
    let at = |n| probe(workload, system, Task { n, ..task });
    let (small, large) = (at(task.n / 100)?, at(task.n / 10)?);
    // Growth goes on as it was from a hundredth to a tenth, at least in proportion.
    let growth = (large.total() / small.total()).max(10.0);
    let expected = growth * (large.setup + large.run * (rounds + 1) as f64);
    if expected > CELL_LIMIT.as_secs_f64() {
        let limit = CELL_LIMIT.as_secs();
        return Err(Skip::new(format!("about {expected:.0} s expected from smaller sizes, the limit is {limit} s")));
    }
    Ok(())
}

/// Seconds that a smaller size took.
struct Probe {
    setup: f64,
    run: f64,
}

impl Probe {
    fn total(&self) -> f64 {
        self.setup + self.run
    }
}

fn probe(workload: &Workload, system: System, task: Task) -> Result<Probe, Skip> {
    let (setup, runner) = time(|| workload.open(system, task));
    let mut runner = runner?;
    let (run, outcome) = time(&mut runner);
    outcome?;
    Ok(Probe { setup: setup.as_secs_f64(), run: run.as_secs_f64() })
}
