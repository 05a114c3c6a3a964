//! See `crdt_tests::fuzz::delta_apply`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crdt_tests::fuzz::delta_apply(bytes));
