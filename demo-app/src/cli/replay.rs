//! `cart replay`: trade data on many replicas, compared with a plain fold.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use comfy_table::{Cell, CellAlignment};
use demo_app::replay::{self, Options, Progress, Report};
use demo_app::topology::Topology;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::STALL;
use crate::cli::{CommandError, block_on, check_topology, peers};
use crate::ui::{self, GOOD, Ui, fail, styled};

/// The most replicas; a mesh of as many has 2,016 links.
const PEERS_MAX: usize = 64;

/// Replays trade data on several replicas and checks that all end alike.
///
/// FILE is CSV, as it is or compressed with zstd, whose first line names the columns; needed are
/// invoice, stock_code, quantity and customer_id. Each row adds its quantity to the counter of its
/// stock code in the customer's cart, on a replica that the seed picks. At the end every replica is
/// compared with a plain sum of the file.
///
/// With --data DIR the replicas are durable, each in a folder beneath DIR. Whatever ends the replay, the
/// same command goes on where it was: no row is lost, and none is made twice.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The rows: a .csv or .csv.zst file.
    file: PathBuf,
    /// How many replicas there are (2 to 64).
    #[arg(long, value_name = "N", default_value = "3", value_parser = |text: &str| peers(text, 2, PEERS_MAX))]
    peers: usize,
    /// How the replicas are linked.
    #[arg(long, value_enum, default_value_t)]
    topology: Topology,
    /// Takes another replica's links away every so many rows; it goes on writing and comes back
    /// when the next one goes. Without it, nobody goes away.
    #[arg(long, value_name = "ROWS", value_parser = rows)]
    offline_every: Option<NonZeroU64>,
    /// Fixes who writes which row and who is away when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the last replica's carts to a file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

impl ReplayArgs {
    pub(crate) fn run(self, data: Option<PathBuf>, json: bool, ui: &mut Ui) -> Result<bool, CommandError> {
        check_topology("replay", self.topology, self.peers);
        let options = Options {
            file: self.file,
            peers: self.peers,
            topology: self.topology,
            offline_every: self.offline_every,
            seed: self.seed,
            data,
            export: self.export,
            stall: STALL,
        };
        // Drawn on standard error, and only if that is a terminal.
        let bar = if json { ProgressBar::hidden() } else { progress_bar() };
        let outcome = block_on(replay::run(&options, &mut |progress| show_progress(&bar, progress)))?;
        bar.finish_and_clear();
        let report = outcome?;
        if json {
            ui.json(&report);
        } else {
            show(ui, &report);
        }
        complain(&report);
        Ok(report.is_good())
    }
}

fn rows(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "give a whole number of rows, at least 1; leave the option out for never".to_owned())
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32.green} {percent:>3} %  {elapsed}  {msg}");
    ProgressBar::new(0).with_style(style.expect("the template is a constant"))
}

fn show_progress(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Reading { rows, bytes_read, bytes_total } => {
            bar.set_length(bytes_total);
            bar.set_position(bytes_read);
            bar.set_message(format!("{} rows", HumanCount(rows)));
        }
        Progress::Converging { lacking } => {
            bar.set_message(format!("{} transactions to exchange", HumanCount(lacking)))
        }
        Progress::Verifying => bar.set_message("comparing with the file"),
        Progress::Renewed { replica, renewed } => {
            bar.suspend(|| ui::note(format_args!("replica {replica}: {renewed}")));
        }
        _ => {}
    }
}

fn show(ui: &mut Ui, report: &Report) {
    let mut table = ui::table(["replay", ""]);
    let mut row = |what: &str, figure: String| {
        table.add_row([Cell::new(what), Cell::new(figure).set_alignment(CellAlignment::Right)]);
    };
    row("rows", HumanCount(report.rows).to_string());
    if let Some(found) = report.rows_found {
        row("found on disk", HumanCount(found).to_string());
    }
    row("carts", HumanCount(report.carts).to_string());
    row("items", HumanCount(report.items).to_string());
    row("replicas", format!("{}, as a {}", report.peers, report.topology));
    row("seconds", format!("{:.2}", report.seconds));
    row("rows a second", HumanCount(report.rows_per_second as u64).to_string());
    row("bytes sent", HumanBytes(report.bytes_sent).to_string());
    row("transactions sent", HumanCount(report.deltas_sent).to_string());
    row("received twice", HumanCount(report.deltas_duplicate).to_string());
    row("mismatches", HumanCount(report.mismatches).to_string());
    row("digest", report.digest.clone());
    ui.table(table);
    if report.is_good() {
        let peers = report.peers;
        ui.line(format_args!("{} all {peers} replicas hold exactly what the file says", styled(GOOD, "✓")));
    }
}

/// Says on standard error what is wrong, if anything is.
fn complain(report: &Report) {
    if let Some(stalled) = &report.stalled {
        fail(stalled);
    }
    if report.mismatches > 0 {
        fail(format_args!("{} mismatches with the file:", report.mismatches));
    }
    for mismatch in &report.examples {
        fail(mismatch);
    }
}
