//! A network of real endpoints on virtual links, disks and clocks, all from one seed.
//!
//! What does a run prove? That with the faults of that seed no promise was broken after any step, and
//! that once nothing broke any more, every replica came to hold every durable write, byte for byte the
//! same, and the same as the naive model. The code under test is the real one: `crdt-core`, `crdt-sync`
//! and `crdt-store`; only wires, clocks and the moment at which writes become durable are made up.
//!
//! In reading order: a [`Plan`] says what will happen; [`Host`] is a replica and its store, [`machine`] the
//! computer around it, [`wire`] a link; [`world`] lets everything happen in turn; the [`oracle`] judges each
//! step by what it knows from outside, with [`truth`] and the model; [`trace`] and [`tally`] record;
//! [`shrink`] makes a failing plan small, and [`sweep`] runs many seeds.
//!
//! Source: deterministic simulation as in Zhou et al., "FoundationDB: A distributed unbundled
//! transactional key value store" (2021), §4.

mod host;
pub mod machine;
pub mod oracle;
mod plan;
pub mod shrink;
mod sweep;
pub mod tally;
pub mod trace;
pub mod truth;
pub mod wire;
pub mod world;

pub use host::{Effect, Host, Unsynced, folded};
pub use plan::{Action, Ending, Fault, FaultKind, LOG_BYTES, Limits, Plan, Step, Topology};
pub use sweep::{Failure, explain, simulate, simulate_traced, sweep};
