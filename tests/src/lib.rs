//! Shared support for the tests of the replication crates.
//!
//! In reading order: an [`Op`] is one edit somewhere in a document; the [`Model`] is the naive
//! definition of what documents must contain after a history of edits; a [`View`] is content in a
//! neutral form, so that model and documents can be compared; a [`Script`] is a generated story of
//! writes and deliveries over a few replicas; the [`Network`] plays it on real documents and on
//! the model in lockstep; [`law`] runs a property over many scripts; [`scene`] builds the smallest
//! concurrent cases by hand; [`mutate`] breaks bytes. Around real endpoints: [`sim`] breaks everything
//! else, from one seed; [`golden`] plays the stories of the protocol; [`disk`] breaks what stores are on.
//!
//! The tests themselves are in `tests/*.rs`, one subject a file.

pub mod disk;
pub mod exhaustive;
pub mod forge;
pub mod fuzz;
pub mod golden;
pub mod law;
pub mod mutate;
pub mod process;
pub mod scene;
pub mod sim;

mod choices;
mod model;
mod network;
mod op;
mod same;
mod script;
mod shadow;
mod view;

pub use choices::Choices;
pub use model::{Event, EventSet, Model};
pub use network::{Network, Peer, coalesce_all, replica};
pub use op::{Edit, Entry, Item, Name, Op, Scope};
pub use same::{assert_same, assert_unchanged, through_bytes};
pub use script::{Script, Step, WALL_MS, script};
pub use shadow::Shadow;
pub use view::{View, Written};
