//! `cart`: see multi-master replication work, on a story or on real trade data.
//!
//! Exit codes: 0 if every replica ended with exactly what was promised, 1 if not or if something
//! failed, 2 for wrong arguments.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

mod cli;
mod ui;

/// How long nothing may move before a command gives up.
const STALL: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut ui = ui::Ui::stdout();
    let outcome = cli::Cli::parse().run(&mut ui);
    let good = match outcome.and_then(|good| ui.finish().map(|()| good).map_err(cli::CommandError::from)) {
        Ok(good) => good,
        Err(error) => {
            ui::report_error(&error);
            false
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
