//! Shared by tests only: what this machine can do, places to work in, and the programs under test.

pub mod gate;
