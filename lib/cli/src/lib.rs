//! What the five tools share on the command line, so that they feel like one family.
//!
//! stdout is data, stderr is `tool: message` and at most one `hint:` line. Exit codes are [`exit`]'s. A closed pipe ends a
//! tool quietly. Nothing else in the house prints: `println!` and `eprintln!` are denied by lint.

pub mod exit;
pub mod failure;
pub mod human;
pub mod output;
pub mod progress;
pub mod table;

pub use failure::Failure;
pub use sys::local_time::{LocalTime, Zone, local_time, local_zone};
