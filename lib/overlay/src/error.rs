//! The room's error: which step of making an overlay failed, on what, and whether another driver may still manage.

/// What callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request itself is wrong (a missing folder, a bad option): no driver can serve it.
    Request,
    /// This driver cannot serve it here; another one may.
    Driver,
    /// There is no such command.
    NoCommand,
    /// The command is there and cannot be executed.
    NotExecutable,
    /// Something failed underway.
    Failed,
}

/// An operation of this room that failed.
pub type Error = spec::Error<Kind>;

/// What this room's fallible functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
