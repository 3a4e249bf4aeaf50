//! The room's error, and how it crosses from a container's first process to the one that waits for it.

use serde::{Deserialize, Serialize};
use std::io;

/// What callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A step failed.
    Failed,
    /// The configuration asks for something that makes no sense or that this runtime does not have.
    Invalid,
    /// The program was not found: exit code 127.
    NotFound,
    /// The program cannot be executed: exit code 126.
    CannotExecute,
    /// There is no container of that name.
    NoContainer,
    /// The container is in the wrong state for that.
    WrongState,
}

/// An error of this room.
pub type Error = spec::Error<Kind>;

/// What this room's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// A step that failed with an error of the system.
pub(crate) fn failed(op: &'static str, subject: impl std::fmt::Display, source: impl Into<io::Error>) -> Error {
    Error::new(Kind::Failed, op, subject).because(source.into())
}

/// A configuration that cannot be.
pub(crate) fn invalid(op: &'static str, subject: impl std::fmt::Display, why: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, op, subject).because(why.into())
}

/// An [`Error`] as it is sent between processes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Portable {
    op: String,
    subject: String,
    kind: Kind,
    errno: Option<i32>,
    text: Option<String>,
    hint: Option<String>,
}

impl From<Error> for Portable {
    fn from(error: Error) -> Self {
        let errno = error.raw_os_error();
        // An error that is only an errno travels as the number; anything else as its words.
        let text =
            error.source.as_ref().filter(|s| s.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).is_none());
        Self {
            op: error.op.to_owned(),
            subject: error.subject.clone(),
            kind: error.kind,
            errno,
            text: text.map(ToString::to_string),
            hint: error.hint,
        }
    }
}

impl From<Portable> for Error {
    fn from(sent: Portable) -> Self {
        // `op` is static everywhere else; a process receives at most a few of these before it ends.
        let mut error = Error::new(sent.kind, String::leak(sent.op), sent.subject);
        error.hint = sent.hint;
        match (sent.text, sent.errno) {
            (Some(text), _) => error.because(text),
            (None, Some(errno)) => error.because(io::Error::from_raw_os_error(errno)),
            (None, None) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Kind, Portable, failed};

    #[test]
    fn an_error_keeps_its_words_and_number_on_the_way() {
        let sent = failed("mount", "/proc", std::io::Error::from_raw_os_error(1)).hint("be root");
        let words = sent.to_string();
        let bytes = serde_json::to_vec(&Portable::from(sent)).unwrap();
        let got: Error = serde_json::from_slice::<Portable>(&bytes).unwrap().into();
        assert_eq!(got.to_string(), words);
        assert_eq!(got.raw_os_error(), Some(1));
        assert_eq!(got.hint.as_deref(), Some("be root"));
        assert_eq!(got.kind, Kind::Failed);
    }
}
