//! The records of one PAX header, ACLs and maps of holes among them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| layer::archive::fuzzed::records(bytes));
