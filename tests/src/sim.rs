//! A network of real endpoints on virtual links, disks and clocks, all from one seed.
//!
//! A [`Host`] is one replica with its store. (Work in progress: the world around it follows.)

mod host;

pub use host::{Effect, Host, Unsynced};
