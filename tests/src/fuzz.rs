//! What fuzzers run: one function a target, from any bytes to a verdict.
//!
//! Each body takes its input for a small script, plays it, and asserts more than that nothing
//! panics; what, is said at the body. A body is deterministic and keeps nothing between calls, so a
//! file of bytes is a test. The fuzzer drives the bodies from `tests/fuzz`, a workspace of its own;
//! `tests/tests/fuzz_corpus.rs` runs them on the stored corpus in the default tests.
//!
//! [`Target::seeds`] are inputs made of honest histories, for the fuzzer to start from. They are
//! stored too, so that a format that moves away from them is noticed.
//!
//! Deliberately absent: limits of memory and time, which the fuzzer itself watches.

mod documents;
mod history;
mod input;
mod json;
mod node;
mod one_endpoint;
mod pair;
mod plain_types;
mod seal;
mod store_file;
mod two_endpoints;

pub use documents::{delta_apply, snapshot_merge};
pub use json::json_import;
pub use one_endpoint::frame;
pub use plain_types::plain_types;
pub use store_file::store_file;
pub use two_endpoints::two_endpoints;

/// One thing to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its folder of stored inputs.
    pub name: &'static str,
    /// Panics if a property does not hold.
    pub body: fn(&[u8]),
    /// Makes the inputs to start from, in the same order each time.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Everything there is to fuzz.
pub const TARGETS: [Target; 7] = [
    Target { name: "delta_apply", body: delta_apply, seeds: documents::delta_seeds },
    Target { name: "snapshot_merge", body: snapshot_merge, seeds: documents::snapshot_seeds },
    Target { name: "json_import", body: json_import, seeds: json::seeds },
    Target { name: "frame", body: frame, seeds: one_endpoint::seeds },
    Target { name: "plain_types", body: plain_types, seeds: plain_types::seeds },
    Target { name: "store_file", body: store_file, seeds: store_file::seeds },
    Target { name: "two_endpoints", body: two_endpoints, seeds: two_endpoints::seeds },
];
