//! What becomes of a name on its way into a directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| layer::archive::fuzzed::path(bytes));
