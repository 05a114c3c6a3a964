//! `cart demo`: tells the story of a merge while it happens.

use clap::Args;
use demo_app::story::{self, Options, PEERS_MAX};
use demo_app::topology::Topology;

use self::narrator::Narrator;
use crate::STALL;
use crate::cli::{CommandError, block_on, check_topology, peers};
use crate::ui::{Ui, fail};

mod narrator;

/// Plays the story: A and B change one cart without links, and merge it.
///
/// A and B lose their links, both put something in, change one quantity, touch the same item and
/// write a name; then they meet again. The other replicas listen and relay.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How the replicas are linked.
    #[arg(long, value_enum, default_value_t)]
    topology: Topology,
    /// How many replicas there are, A and B included (2 to 26).
    #[arg(long, value_name = "N", default_value = "3", value_parser = |text: &str| peers(text, 2, PEERS_MAX))]
    peers: usize,
}

impl DemoArgs {
    #[cfg(test)]
    pub(crate) const fn topology(&self) -> Topology {
        self.topology
    }

    pub(crate) fn run(self, json: bool, ui: &mut Ui) -> Result<bool, CommandError> {
        check_topology("demo", self.topology, self.peers);
        let options = Options { topology: self.topology, peers: self.peers, seed: 1, stall: STALL };
        let report = if json {
            let report = block_on(story::run(&options, &mut |_| ()))??;
            ui.json(&report);
            report
        } else {
            let mut narrator = Narrator::new(ui);
            block_on(story::run(&options, &mut |scene| narrator.tell(&scene)))??
        };
        for problem in &report.problems {
            fail(problem);
        }
        Ok(report.is_good())
    }
}
