//! See `crdt_tests::fuzz::json_import`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crdt_tests::fuzz::json_import(bytes));
