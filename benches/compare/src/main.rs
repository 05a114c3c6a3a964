//! Other CRDT libraries and crdt-core, side by side.
//!
//! `cargo run --release -- --help` lists the arguments; README.md tells the method.

mod memory;
mod plot;
mod report;
mod run;
mod system;
mod systems;
mod workloads;

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;

use crate::workloads::{Data, Effort, Task, Workload};

/// Measures crdt-core and other CRDT libraries at the same work.
#[derive(Debug, Parser)]
struct Arguments {
    /// Small sizes and few rounds: whether all works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Writes one JSON object a line to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Runs these workloads only, such as `W1,W5-state-decode`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Sizes, such as `1000,100000`.
    #[arg(long, value_delimiter = ',')]
    n: Vec<usize>,
    /// The trade file of W8: CSV with the columns invoice, stock_code and quantity.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Draws growth curves as SVG files into this folder.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Counted rounds.
    #[arg(long)]
    rounds: Option<usize>,
}

impl Arguments {
    fn sizes(&self) -> Vec<usize> {
        match (self.n.is_empty(), self.quick) {
            (false, _) => self.n.clone(),
            (true, true) => vec![1_000],
            (true, false) => vec![1_000, 10_000, 100_000],
        }
    }

    fn effort(&self) -> Effort {
        if self.quick { Effort::Quick } else { Effort::Full }
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 }).max(1)
    }

    fn wants(&self, workload: &Workload) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| workload.is_named_by(only))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut json = arguments.json.as_ref().map(File::create).transpose()?.map(BufWriter::new);
    let data = Data { path: arguments.data.clone() };
    for workload in Workload::all(&data).iter().filter(|workload| arguments.wants(workload)) {
        let mut all_rows = Vec::new();
        for n in workload.sizes(&arguments.sizes()) {
            let measured = run::measure(workload, Task { n, effort: arguments.effort() }, arguments.rounds());
            let rows = report::rows(workload, n, &measured);
            println!("{}", report::table(workload, n, &rows));
            if let Some(json) = &mut json {
                report::write_json(json, &rows)?;
                json.flush()?;
            }
            all_rows.extend(rows);
        }
        if let Some(folder) = &arguments.plot {
            fs::create_dir_all(folder)?;
            plot::draw(workload, &all_rows, folder)?;
        }
    }
    Ok(())
}
