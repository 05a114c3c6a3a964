//! See `crdt_tests::fuzz::two_endpoints`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crdt_tests::fuzz::two_endpoints(bytes));
