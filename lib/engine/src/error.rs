//! The room's error.

/// What callers branch on: the exit code they give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No such container or image.
    NotFound,
    /// The name is taken, or the thing is in use.
    Conflict,
    /// The request contradicts itself or asks for what cannot be.
    Request,
    /// The same where docker's client lets it pass and its daemon refuses it: `create` gives 1 then, `run` 125.
    Refused,
    /// The command exists but cannot be executed (126).
    CannotExecute,
    /// The command does not exist (127).
    CommandNotFound,
    /// A tool failed, or the system did.
    Failed,
}

/// An engine error.
pub type Error = spec::Error<Kind>;
/// An engine result.
pub type Result<T> = std::result::Result<T, Error>;

/// The system's no to `op` on `subject`.
pub fn system(op: &'static str, subject: impl std::fmt::Display, source: impl Into<std::io::Error>) -> Error {
    Error::new(Kind::Failed, op, subject).because(source.into())
}

/// A store's error as ours.
pub fn store(error: store::Error) -> Error {
    let kind = match error.kind {
        store::Kind::NotFound => Kind::NotFound,
        store::Kind::Exists | store::Kind::InUse => Kind::Conflict,
        store::Kind::Ambiguous | store::Kind::Invalid => Kind::Request,
        _ => Kind::Failed,
    };
    Error { op: error.op, subject: error.subject, kind, source: error.source, hint: error.hint }
}
