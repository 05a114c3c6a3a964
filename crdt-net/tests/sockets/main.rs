//! Replicas on real sockets of this machine. Nothing sleeps to let something happen: tests wait
//! for versions and events, and time limits are only there to end a test that hangs.

mod convergence;
mod durable;
mod identity;
mod lifecycle;
mod limits;
mod links;
mod proxy;
mod refusals;
mod residency;
mod support;
mod surroundings;
mod watching;
