//! What endpoints do together, without a socket: a network in memory with a clock of its own.
#![allow(clippy::unwrap_used, reason = "a test that meets None has failed")]

mod network;

mod aside;
mod catching_up;
mod credit;
mod dispute;
mod durability;
mod hostile;
mod identity;
mod links;
mod live;
mod lives;
mod memory;
mod offers;
mod residency;
mod timers;
mod unsettled;

/// A driver may hold the endpoint in a task that moves between threads.
const _: fn() = || {
    fn must_be_send<T: Send>() {}
    must_be_send::<crdt_sync::Endpoint>();
};
