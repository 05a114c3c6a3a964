//! Explores every behaviour of a few real endpoints, within bounds, and checks each state reached.
//!
//! How can millions of states be reached when endpoints cannot be copied (Invariant 5)? An
//! endpoint is a deterministic machine, so what one replica does depends on its own past inputs
//! alone. Each replica is therefore learnt as a table, `(state, input) → (state, messages)`, one
//! row at a time: a row that is missing is found by replaying the inputs on a fresh [`Host`] and
//! giving it one more. A state of the world is then a few numbers: the state of each replica, the
//! messages on each wire, the faults that are left. What follows from it are look-ups, so the real
//! code runs once per row and the interleavings of all replicas cost almost nothing.
//!
//! When are two states of a replica the same? When the [`Debug`] text of the whole host is: the
//! endpoint with its sessions, the writes not yet durable, the store. Nothing in it is an address
//! or a time of day. If the text left something out that matters, two histories with one text
//! would go on differently; so each row is found by a second history too, where there is one, and
//! must come out the same.
//!
//! What is done at once, and not interleaved? A replica's answers go on the wires in the same step
//! as the input. A wire keeps its order and loses nothing while its link lives: that is what a
//! transport promises. What breaks is the link. Each end hears of it on its own, later or never, and
//! what is on the way to an end that has heard is lost. Scenarios that allow it lose or repeat
//! single messages, too.
//!
//! From every state reached, faults are stopped and the world is run until it is quiet: then all
//! replicas must hold the same. So "eventually" is a property of states, checked in all of them.
//!
//! The search itself is the model checker's: stateright (<https://www.stateright.rs>).
//! Deliberately absent: partial writes to a store, clocks that differ, malice.
//!
//! [`Host`]: crate::sim::Host

mod check;
mod live;
mod model;
mod replicas;
mod scenario;
mod settle;
mod text;
mod world;

pub use check::{Outcome, explore};
pub use scenario::{Allowance, Scenario};
