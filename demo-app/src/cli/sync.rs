//! `cart sync`: meets others once, both ways, until all hold the same.

use std::time::Duration;

use clap::Args;
use demo_app::offline::sync::{self, Options, Report};
use indicatif::HumanCount;

use crate::cli::{CommandError, Place, block_on, note_renewed};
use crate::ui::{GOOD, Ui, styled};

/// How long nothing may move before the command gives up.
const STALL: Duration = Duration::from_secs(10);

/// Exchanges all carts with other replicas, both ways, until every one holds the same, durably.
///
/// Makes the folder if there is none. Gives up when nothing has moved for ten seconds; what was exchanged
/// until then is kept.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Where others listen, such as ws://127.0.0.1:4000.
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// How long the whole may take.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    deadline: Option<Duration>,
}

impl SyncArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let options = Options { urls: self.urls, deadline: self.deadline, stall: STALL };
        let mut notice = |renewed| note_renewed(&renewed);
        let report = block_on(sync::sync(&place.folder, &options, &mut notice))??;
        if place.json {
            ui.json(&report);
        } else {
            show(ui, &report);
        }
        Ok(true)
    }
}

fn show(ui: &mut Ui, report: &Report) {
    let Report { peers, carts, sent, received, seconds, .. } = report;
    let urls: Vec<&str> = peers.iter().map(|peer| peer.url.as_str()).collect();
    let good = styled(GOOD, "✓");
    ui.line(format_args!("{good} {carts} carts are equal here and at {}", urls.join(" and at ")));
    let (sent, received) = (HumanCount(*sent), HumanCount(*received));
    ui.line(format_args!("  {sent} transactions sent, {received} received, in {seconds:.2} s"));
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "give a number of seconds above 0".to_owned())
}
