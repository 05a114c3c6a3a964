//! What durability costs: transactions a second with 1, 8 and 64 writers against the bare syncs of the same disk, the
//! time to open a replica against reading its file, bytes on disk, and memory with most documents at rest.
//!
//! How is a figure from a busy machine worth anything? What is compared runs in turns, a round of each after a round of
//! each, so that a slow minute hits all of them; the median of the rounds is told with the least and the greatest. And
//! no time counts before its result was checked: stores are opened again and must hold exactly what was acknowledged.
//!
//! ```sh
//! cargo run --release -p crdt-benches --bin durable [-- --quick] [--json FILE] [--dir DIR]
//! ```
//!
//! docs/benchmarks.md has figures, and what they are weak in.

mod memory;
mod opening;
mod plan;
mod syncs;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crdt_benches::Failed;
use crdt_benches::program::{Common, end};
use crdt_benches::report::Report;
use plan::Plan;

/// Measures what durability costs.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Where the stores are made, on the disk that is to be measured; a folder for temporary files unless given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Measures only these.
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<Measure>,
    /// Plays one part of a measurement, in a process of its own.
    #[arg(long, hide = true, num_args = 2, value_names = ["PART", "FOLDER"])]
    child: Vec<String>,
}

/// One of the four questions.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Durable transactions a second.
    Writers,
    /// The time to open a replica, and the bytes of its file.
    Opening,
    /// Memory with documents at rest.
    Memory,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = if arguments.common.quick { Plan::quick() } else { Plan::full() };
    let outcome = match arguments.child.as_slice() {
        [part, folder] => memory::play(part, Path::new(folder), &plan),
        _ => measure(&arguments, &plan),
    };
    end("durable", outcome)
}

fn measure(arguments: &Arguments, plan: &Plan) -> Result<(), Failed> {
    let folder = match &arguments.dir {
        Some(dir) => {
            fs::create_dir_all(dir)?;
            tempfile::tempdir_in(dir)?
        }
        None => tempfile::tempdir()?,
    };
    let is_wanted = |measure| arguments.only.is_empty() || arguments.only.contains(&measure);
    let mut report = Report::default();
    if is_wanted(Measure::Writers) {
        writers::measure(&folder.path().join("writers"), plan, &mut report)?;
    }
    if is_wanted(Measure::Opening) {
        opening::measure(&folder.path().join("opening"), plan, &mut report)?;
    }
    if is_wanted(Measure::Memory) {
        memory::measure(&folder.path().join("memory"), plan, &mut report)?;
    }
    arguments.common.write(&report)
}
