//! How the programs of this package begin and end: the arguments that all of them take, and what becomes of figures.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::Failed;
use crate::report::Report;

/// The arguments of every program.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Small and short, to see that it works: the figures mean nothing.
    #[arg(long)]
    pub quick: bool,
    /// Also writes the figures to a file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Common {
    /// Writes the figures to the file that was asked for, if one was.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn write(&self, report: &Report) -> Result<(), Failed> {
        match &self.json {
            Some(path) => Ok(fs::write(path, report.to_json_lines())?),
            None => Ok(()),
        }
    }
}

/// Ends a program; tells what failed.
#[must_use]
pub fn end(name: &str, outcome: Result<(), Failed>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
