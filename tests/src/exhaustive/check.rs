//! Runs a scenario through the checker, reports what was found, and tells the way to a breach.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use super::model::Replication;
use super::scenario::Scenario;

/// What an exploration has covered. Nothing that must hold was broken.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's.
    pub name: &'static str,
    /// Distinct states of the world.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// What was reached that a scenario may be meant to reach.
    pub reached: Vec<&'static str>,
    /// Distinct states of single replicas.
    pub replica_states: usize,
    /// Steps of single replicas, each run on real endpoints.
    pub replica_steps: u64,
    /// How many of those were found the same by a second history.
    pub confirmed: u64,
    /// Distinct messages.
    pub messages: usize,
    /// Distinct states from which the world was followed until it was quiet.
    pub settled: usize,
    /// How long it took.
    pub took: Duration,
}

/// Explores a scenario completely.
///
/// # Panics
/// If something that must hold is broken: with a shortest way to the breach.
#[must_use]
pub fn explore(scenario: Scenario) -> Outcome {
    let (name, started) = (scenario.name, Instant::now());
    let checker = Replication::new(scenario).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let model = checker.model();
    let mut reached = Vec::new();
    for property in model.properties() {
        let Some(path) = discoveries.get(property.name) else { continue };
        if property.expectation == Expectation::Sometimes {
            reached.push(property.name);
            continue;
        }
        let story = model.tell(&path.clone().into_actions());
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        panic!("{name}: broken after {states} states, depth {depth}: {}\n{}", property.name, story.join("\n"));
    }
    let replicas = model.replicas();
    Outcome {
        name,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        reached,
        replica_states: replicas.states(),
        replica_steps: replicas.run,
        confirmed: replicas.confirmed,
        messages: replicas.messages(),
        settled: model.settled().len(),
        took: started.elapsed(),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} states, {} steps, depth {}, {:.1} s; replicas: {} states, {} steps ({} confirmed), {} messages; settled: {}; reached: {}",
            self.name,
            self.states,
            self.steps,
            self.depth,
            self.took.as_secs_f64(),
            self.replica_states,
            self.replica_steps,
            self.confirmed,
            self.messages,
            self.settled,
            self.reached.join(", "),
        )
    }
}
