//! See `crdt_tests::fuzz::snapshot_merge`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crdt_tests::fuzz::snapshot_merge(bytes));
