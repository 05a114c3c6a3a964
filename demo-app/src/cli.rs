//! The commands of `cart`: arguments here and in one module a command, what they do in the library.
//!
//! A command without a name is `demo`, so that `cargo run` shows something. Each command turns its
//! arguments into the options of a library function, shows what that reports, and says whether all
//! went well; a new command is a variant of [`Command`] and a module.
//!
//! Results go to standard output, as text or with `--json` as JSON; errors and notes go to standard
//! error, always as text: whoever reads JSON has the exit code.

use std::io;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use demo_app::offline::edit::CartError;
use demo_app::offline::folder::{FolderError, Renewed};
use demo_app::offline::serve::ServeError;
use demo_app::offline::sync::SyncError;
use demo_app::replay::ReplayError;
use demo_app::story::StoryError;
use demo_app::topology::Topology;
use thiserror::Error;

use crate::ui::{self, Ui};

mod demo;
mod edit;
mod keep;
mod look;
mod replay;
mod serve;
mod sync;

/// A shopping cart on many replicas, each of which accepts writes, online or not.
///
/// Without a command, plays the demo: two replicas change one cart while they cannot talk, and
/// merge it afterwards, over real WebSocket links on this machine. With --data DIR it keeps carts in
/// a folder, which is a replica of its own.
#[derive(Debug, Parser)]
#[command(name = "cart", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: demo::DemoArgs,
    #[command(flatten)]
    common: Common,
}

/// What every command takes, before or after its name.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The folder that keeps the carts; of `replay`, one folder for each replica.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Which cart in the folder [default: cart].
    #[arg(long, value_name = "NAME", global = true)]
    cart: Option<String>,
    /// Prints JSON instead of words: one object, of `serve` one a line.
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cart                                        the story, on three replicas
  cart demo --topology ring --peers 5         the same on a ring of five
  cart replay sales.csv.zst --peers 5         trade data on five replicas, checked
  cart replay sales.csv --offline-every 2000  … which lose their links in turn
  cart replay sales.csv --data shops          … on disk; end it, and it goes on

  cart --data phone add apple 2               two apples into the cart in phone/
  cart --data phone take apple                one out again
  cart --data phone name Alice                whose cart it is
  cart --data phone show                      what is in it
  cart --data till serve --listen 127.0.0.1:4000
                                              a replica that others can reach
  cart --data phone sync ws://127.0.0.1:4000  both ways, until both hold the same
  cart --data phone backup phone.backup       all carts in one file
  cart --data tablet restore phone.backup     a new replica with the same carts
  cart --data phone moved                     first, after phone/ was carried here:
                                              it stays the replica it was

Errors go to standard error as text, with --json too. CART_LOG=debug (or
RUST_LOG) shows there what the replicas do.

Exit code: 0 if all went well (of demo and replay: if every replica ended with
exactly what it should hold; of moved: if the identity was kept), 1 if not, 2 for
wrong arguments.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Replay(replay::ReplayArgs),
    Add(edit::AddArgs),
    Take(edit::TakeArgs),
    Remove(edit::RemoveArgs),
    Name(edit::NameArgs),
    Show(edit::ShowArgs),
    SetAside(edit::SetAsideArgs),
    Log(look::LogArgs),
    Inspect(look::InspectArgs),
    Verify(keep::VerifyArgs),
    Backup(keep::BackupArgs),
    Restore(keep::RestoreArgs),
    Moved(keep::MovedArgs),
    Serve(serve::ServeArgs),
    Sync(sync::SyncArgs),
}

/// Why a command ended without an outcome.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Story(#[from] StoryError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Cart(#[from] CartError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error("standard output cannot be written")]
    Output(#[from] io::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
}

impl Cli {
    /// Reads the arguments of the process; ends it for wrong ones.
    pub(crate) fn read() -> Self {
        let matches = Self::command().get_matches();
        if let Some(command) = matches.subcommand_name() {
            let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
            if let Some(id) = ["topology", "peers"].iter().find(|id| given(id)) {
                usage_error(
                    command,
                    &format!("--{id} is an option of a command: give it after {command}, if it has it"),
                );
            }
        }
        match Self::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(error) => error.format(&mut Self::command()).exit(),
        }
    }

    /// Runs the command and tells whether all went well. Ends the process for wrong arguments.
    pub(crate) fn run(self, ui: &mut Ui) -> Result<bool, CommandError> {
        let common = self.common;
        let Some(command) = self.command else {
            if common.data.is_some() || common.cart.is_some() {
                let complaint = "say what to do with the carts: add, take, remove, name, show, set-aside, log, inspect, \
                                 verify, backup, restore, moved, serve, sync, or replay";
                Self::command().error(ErrorKind::MissingSubcommand, complaint).exit();
            }
            return self.demo.run(common.json, ui);
        };
        match command {
            Command::Demo(args) => {
                common.refuse_data("demo");
                common.refuse_cart("demo");
                args.run(common.json, ui)
            }
            Command::Replay(args) => {
                common.refuse_cart("replay");
                args.run(common.data, common.json, ui)
            }
            Command::Add(args) => args.run(&common.one_cart("add"), ui),
            Command::Take(args) => args.run(&common.one_cart("take"), ui),
            Command::Remove(args) => args.run(&common.one_cart("remove"), ui),
            Command::Name(args) => args.run(&common.one_cart("name"), ui),
            Command::Show(args) => args.run(&common.one_cart("show"), ui),
            Command::SetAside(args) => args.run(&common.one_cart("set-aside"), ui),
            Command::Log(args) => args.run(&common.one_cart("log"), ui),
            Command::Inspect(args) => args.run(&common.all_carts("inspect"), ui),
            Command::Verify(args) => args.run(&common.all_carts("verify"), ui),
            Command::Backup(args) => args.run(&common.all_carts("backup"), ui),
            Command::Restore(args) => args.run(&common.all_carts("restore"), ui),
            Command::Moved(args) => args.run(&common.all_carts("moved"), ui),
            Command::Serve(args) => args.run(&common.all_carts("serve"), ui),
            Command::Sync(args) => args.run(&common.all_carts("sync"), ui),
        }
    }
}

/// Where a command on a folder works, and how it answers.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder.
    folder: PathBuf,
    /// The cart in it.
    cart: String,
    /// Whether it answers in JSON.
    json: bool,
}

impl Common {
    /// Takes the arguments of a command on one cart.
    fn one_cart(self, command: &'static str) -> Place {
        let Some(folder) = self.data else {
            usage_error(command, "give --data DIR, the folder that keeps the carts");
        };
        Place { folder, cart: self.cart.unwrap_or_else(|| "cart".to_owned()), json: self.json }
    }

    /// Takes the arguments of a command on a whole folder.
    fn all_carts(self, command: &'static str) -> Place {
        self.refuse_cart(command);
        self.one_cart(command)
    }

    fn refuse_cart(&self, command: &'static str) {
        if self.cart.is_some() {
            usage_error(command, "--cart chooses nothing here: the command is about all carts");
        }
    }

    fn refuse_data(&self, command: &'static str) {
        if self.data.is_some() {
            usage_error(command, "the demo keeps its carts in memory: leave --data out");
        }
    }
}

/// Says on standard error that a store has taken a new identity.
fn note_renewed(renewed: &Renewed) {
    ui::note(renewed);
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
fn usage_error(command: &str, complaint: &str) -> ! {
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
    fn common_options_stand_before_or_after_the_command() {
        for arguments in [["cart", "--data", "d", "--json", "show"], ["cart", "show", "--json", "--data", "d"]] {
            let cli = Cli::try_parse_from(arguments).expect("a command on a folder");
            assert!(matches!(cli.command, Some(Command::Show(_))));
            assert_eq!((cli.common.data, cli.common.json), (Some(PathBuf::from("d")), true));
        }
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
