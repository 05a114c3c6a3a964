//! What the core costs at 1,000 to 1,000,000 entries, in documents and in the plain types.
//!
//! A delta must cost the same at every size, a snapshot nothing at any. Every operation is checked for its result once
//! before it is timed: speed with a wrong answer is no speed. Documents are not `Clone`, so where an operation changes
//! one for good it is reopened from a snapshot, outside the timing; elsewhere what is put in is taken out again, so
//! that the size stays. What is measured on is made only when it comes to it, so a filter does not wait for what it
//! leaves out.

mod documents;
mod maps;
mod types;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    core,
    documents::apply_deltas,
    documents::encode_and_decode_deltas,
    documents::take_snapshot,
    documents::write,
    documents::write_under_snapshot,
    documents::read_digest,
    documents::merge_states,
    documents::encode_and_decode,
    types::or_set_deltas,
    types::or_set_clone,
    types::or_set_write_under_clone,
    types::or_set_merge,
    types::or_set_bytes,
    types::counter,
    types::registers,
    maps::lww_map_merge,
    maps::counter_map_add,
);
criterion_main!(core);
