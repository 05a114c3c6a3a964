//! See `crdt_tests::fuzz::store_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crdt_tests::fuzz::store_file(bytes));
