//! The store on disk: power lost at any moment, disks that fail or fill up, bits that turn over.
//!
//! `CRDT_CRASHES` sets at how many points the power is lost (default 10,000), `CRDT_ROT` how many bits
//! are turned over (default 10,000). Each prints the seed of what it finds.

mod crashes;
mod faults;
mod rot;
