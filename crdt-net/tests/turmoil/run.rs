//! One run of one seed: a storm, then peace, then everything that must be true.

use std::sync::Arc;
use std::time::Duration;

use turmoil::Sim;

use crate::check;
use crate::choices::Choices;
use crate::host::{Host, LOOK_EVERY};
use crate::scene::Scene;
use crate::storm::Storm;
use crate::trace::{Recorder, Trace};

/// Runs a seed; returns how long the replicas took to become equal after the storm, and how many writes
/// were answered. Panics if anything is not as it must be.
pub(crate) fn run(seed: u64, trace: &Trace) -> (Duration, usize) {
    let recorder = Recorder::new(trace.clone());
    tracing::subscriber::with_default(recorder, || run_traced(seed, trace))
}

fn run_traced(seed: u64, trace: &Trace) -> (Duration, usize) {
    let mut choices = Choices::new(seed);
    let scene = Arc::new(Scene::draw(seed, &mut choices));
    let mut sim = scene.sim();
    let hosts: Vec<_> = (0..scene.hosts).map(|number| Arc::new(Host::new(number, &scene, trace))).collect();
    for host in &hosts {
        let software = Arc::clone(host);
        sim.host(host.name.as_str(), move || Arc::clone(&software).run());
    }
    let mut storm = Storm::new(&scene, &hosts, choices, trace);
    let storm_ends = Duration::from_millis(scene.storm_ms);
    while sim.elapsed() < storm_ends {
        storm.blow(&mut sim);
        step(&mut sim);
    }
    storm.end(&mut sim);
    settle(&mut sim, &scene, &hosts);
    let settled_after = sim.elapsed() - storm_ends;
    let acknowledged = check::all(&scene, &hosts, trace);
    // What is left of the hosts goes without a word; the stores must be free all the same.
    drop(sim);
    for host in &hosts {
        drop(host.store.lease(host.replica()).expect("the lease goes with the tasks that held it"));
    }
    (settled_after, acknowledged)
}

/// Steps on until all replicas are equal and at rest.
fn settle(sim: &mut Sim<'static>, scene: &Scene, hosts: &[Arc<Host>]) {
    let begun = sim.elapsed();
    let patience = Duration::from_millis(scene.settle_ms);
    let mut unsettled = "nobody has looked yet".to_owned();
    let mut look_next = begun + 2 * LOOK_EVERY;
    while sim.elapsed() - begun < patience {
        step(sim);
        if sim.elapsed() >= look_next {
            look_next += LOOK_EVERY;
            match check::settled(scene, hosts) {
                Ok(()) => return,
                Err(what) => unsettled = what,
            }
        }
    }
    panic!("not at rest {patience:?} after the storm: {unsettled}");
}

/// Lets every host and the network run for a tick.
pub(crate) fn step(sim: &mut Sim<'static>) {
    if let Err(error) = sim.step() {
        panic!("a host failed: {error}");
    }
}
