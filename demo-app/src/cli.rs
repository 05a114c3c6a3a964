//! The commands of `cart`: arguments here and in one module a command, what they do in the library.
//!
//! A command without a name is `demo`, so that `cargo run` shows something. Each command turns its
//! arguments into the options of a library function, shows what that reports, and says whether all
//! went well; a new command is a variant of [`Command`] and a module.

use std::io;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use demo_app::replay::ReplayError;
use demo_app::story::StoryError;
use demo_app::topology::Topology;
use thiserror::Error;

use crate::ui::Ui;

mod demo;
mod replay;

/// A shopping cart on many replicas, each of which accepts writes, online or not.
///
/// Without a command, plays the demo: two replicas change one cart while they cannot talk, and
/// merge it afterwards, over real WebSocket links on this machine.
#[derive(Debug, Parser)]
#[command(name = "cart", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: demo::DemoArgs,
}

const EXAMPLES: &str = "\
Examples:
  cart                                        the story, on three replicas
  cart demo --topology ring --peers 5         the same on a ring of five
  cart replay sales.csv.zst --peers 5         trade data on five replicas, checked
  cart replay sales.csv --offline-every 2000  … which lose their links in turn

Exit code: 0 if every replica ended with exactly what it should hold, 1 if not
or if something failed, 2 for wrong arguments.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Replay(replay::ReplayArgs),
}

/// Why a command ended without an outcome.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Story(#[from] StoryError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("standard output cannot be written")]
    Output(#[from] io::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
}

impl Cli {
    /// Runs the command and tells whether all went well. Ends the process for wrong arguments.
    pub(crate) fn run(self, ui: &mut Ui) -> Result<bool, CommandError> {
        match self.command.unwrap_or(Command::Demo(self.demo)) {
            Command::Demo(args) => args.run(ui),
            Command::Replay(args) => args.run(ui),
        }
    }
}

/// Runs a command's asynchronous part.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().map_err(CommandError::Runtime)?;
    Ok(runtime.block_on(work))
}

/// Ends the process if a shape cannot be made of so many replicas.
fn check_topology(command: &'static str, topology: Topology, peers: usize) {
    let Err(refused) = topology.edges(peers) else { return };
    let needed = refused.needed;
    usage_error(command, &format!("{refused}; give --peers {needed} or more, or another --topology"));
}

/// Ends the process as clap does: the complaint, the usage of the command, exit code 2.
fn usage_error(command: &'static str, complaint: &str) -> ! {
    let mut cart = Cli::command();
    cart.build();
    let command = cart.find_subcommand_mut(command).expect("named as in `Command`");
    command.error(ErrorKind::ValueValidation, complaint).exit()
}

/// Reads a number of replicas from `min` to `max`.
fn peers(text: &str, min: usize, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(peers) if (min..=max).contains(&peers) => Ok(peers),
        _ => Err(format!("give a whole number of replicas from {min} to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_the_demo_and_takes_its_options() {
        let cli = Cli::try_parse_from(["cart", "--topology", "ring"]).expect("options of the demo");
        assert!(cli.command.is_none());
        assert_eq!(cli.demo.topology(), Topology::Ring);
    }

    #[test]
    fn peers_are_taken_at_the_limits_and_refused_beyond() {
        assert_eq!(peers("2", 2, 64), Ok(2));
        assert_eq!(peers("64", 2, 64), Ok(64));
        for refused in ["1", "65", "-3", "many", ""] {
            assert!(peers(refused, 2, 64).is_err(), "{refused}");
        }
    }
}
