//! The one shape of error every room uses: which operation failed, on what, and why.
//!
//! Printed lower case, without a full stop: `pivot_root /run/x/rootfs: device or resource busy`. A room names its own
//! `Kind` (an enum, only as rich as its callers branch on) and writes `pub type Error = spec::Error<Kind>;`.

use std::fmt;

/// An operation that failed: `{op} {subject}: {source}`, with a kind to branch on and at most one hint.
pub struct Error<Kind> {
    /// What was tried, as the system call or verb names it: `pivot_root`, `open layer`.
    pub op: &'static str,
    /// The path, id or address it was tried on; empty where there is none.
    pub subject: String,
    /// What callers branch on.
    pub kind: Kind,
    /// Why: usually an [`std::io::Error`] or a sentence.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What the user can do about it; one line, printed behind `hint:`.
    pub hint: Option<String>,
}

impl<Kind> Error<Kind> {
    /// An error of `kind` in `op` on `subject`.
    pub fn new(kind: Kind, op: &'static str, subject: impl fmt::Display) -> Self {
        Self { op, subject: subject.to_string(), kind, source: None, hint: None }
    }

    /// The same with its cause (an error, or a sentence).
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The operating system's error number below this, if one caused it.
    pub fn raw_os_error(&self) -> Option<i32> {
        let mut next: Option<&(dyn std::error::Error + 'static)> =
            self.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static));
        while let Some(error) = next {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.raw_os_error();
            }
            next = error.source();
        }
        None
    }
}

/// The system's words in lower case and without Rust's ` (os error 2)`.
fn plain(text: &str) -> String {
    let text = match text.rfind(" (os error ") {
        Some(at) if text.ends_with(')') => &text[..at],
        _ => text,
    };
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

impl<Kind> fmt::Display for Error<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op)?;
        if !self.subject.is_empty() {
            let gap = if self.op.is_empty() { "" } else { " " };
            write!(f, "{gap}{}", self.subject)?;
        }
        let nothing_before = self.op.is_empty() && self.subject.is_empty();
        match &self.source {
            Some(source) if nothing_before => f.write_str(&plain(&source.to_string())),
            Some(source) => write!(f, ": {}", plain(&source.to_string())),
            None => Ok(()),
        }
    }
}

impl<Kind: fmt::Debug> fmt::Debug for Error<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{:?}]", self.kind)
    }
}

impl<Kind: fmt::Debug> std::error::Error for Error<Kind> {}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn reads_as_one_lower_case_line() {
        let error = Error::new((), "pivot_root", "/run/x").because(std::io::Error::from_raw_os_error(16));
        assert_eq!(error.to_string(), "pivot_root /run/x: device or resource busy");
        assert_eq!(error.raw_os_error(), Some(16));
        assert_eq!(Error::new((), "unknown image", "debian:13").to_string(), "unknown image debian:13");
        assert_eq!(Error::new((), "", "").because("why").to_string(), "why");
    }
}
