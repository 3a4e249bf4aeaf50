//! Exit codes of the contract (docs/contracts.md).

/// Done.
pub const DONE: u8 = 0;
/// A tool that does not end in a command failed.
pub const FAILED: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 2;
/// A tool that ends in a command failed itself.
pub const OURS: u8 = 125;
/// The command cannot be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// The command was not found.
pub const NOT_FOUND: u8 = 127;

/// The code for a command that signal `number` ended.
pub const fn signalled(number: i32) -> u8 {
    128_u8.wrapping_add((number & 0x7f) as u8)
}

/// The code that stands for a `wait(2)` status.
pub fn of_wait_status(status: i32) -> u8 {
    if libc::WIFSIGNALED(status) { signalled(libc::WTERMSIG(status)) } else { libc::WEXITSTATUS(status) as u8 }
}
