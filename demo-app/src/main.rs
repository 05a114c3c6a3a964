//! `cart`: see multi-master replication work, on a story, on real trade data, or on carts of your own.
//!
//! Exit codes: 0 if all went well, which of `demo` and `replay` means that every replica ended with
//! exactly what was promised, 1 if not or if something failed, 2 for wrong arguments. Results are on
//! standard output; errors, notes and the log are on standard error, and always text.

use std::process::ExitCode;
use std::time::Duration;

mod cli;
mod trace;
mod ui;

/// How long nothing may move before a command gives up.
const STALL: Duration = Duration::from_secs(30);

/// The exit code for wrong arguments, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = cli::Cli::read();
    if let Err(complaint) = trace::start() {
        ui::fail(complaint);
        return ExitCode::from(USAGE);
    }
    let mut ui = ui::Ui::stdout();
    let outcome = cli.run(&mut ui);
    let good = match outcome.and_then(|good| ui.finish().map(|()| good).map_err(cli::CommandError::from)) {
        Ok(good) => good,
        Err(error) => {
            ui::report_error(&error);
            false
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
