//! How a tool ends when it fails: one line on stderr, perhaps a hint, and a code.

use crate::{exit, output};
use std::fmt;
use std::process::ExitCode;

/// What is told to the user, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// One line: lower case, no full stop, with the thing it is about in it.
    pub message: String,
    /// What the user can do, one line.
    pub hint: Option<String>,
    /// The exit code.
    pub code: u8,
}

/// What a tool's `run` returns: an exit code, or what to say.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// A failure with code [`exit::FAILED`].
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None, code: exit::FAILED }
    }

    /// A wrong command line, with code [`exit::USAGE`].
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(message).code(exit::USAGE)
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Says it on stderr as `tool`.
    pub fn report(&self, tool: &str) {
        output::complain(tool, &self.message);
        if let Some(hint) = &self.hint {
            output::err_line(&format!("hint: {hint}"));
        }
    }
}

impl<Kind: fmt::Debug> From<spec::Error<Kind>> for Failure {
    fn from(error: spec::Error<Kind>) -> Self {
        let message = error.to_string();
        Self { message, hint: error.hint, code: exit::FAILED }
    }
}

/// Turns a tool's outcome into its exit code, saying on stderr what went wrong.
pub fn conclude(tool: &str, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report(tool);
            ExitCode::from(failure.code)
        }
    }
}
