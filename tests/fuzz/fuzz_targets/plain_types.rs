//! See `crdt_tests::fuzz::plain_types`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crdt_tests::fuzz::plain_types(bytes));
