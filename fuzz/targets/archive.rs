//! The parser over any bytes: whatever they are, it ends, keeps within them, and reads the same in pieces of any size.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| layer::archive::fuzzed::archive(bytes));
