//! The room's errors, and how names out of an archive are shown to people.

use std::fmt;
use std::io;

/// What callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A system call failed; [`Error::raw_os_error`](spec::Error::raw_os_error) says which way.
    System,
    /// The blob or archive ends before it should.
    Truncated,
    /// The bytes of a blob are not the ones its digest names.
    Digest,
    /// The uncompressed tar of a layer is not the one the image's configuration names.
    DiffId,
    /// Not what it claims to be: a broken gzip stream, a tar header that does not add up, a manifest that is no JSON.
    Corrupt,
    /// An entry that would leave the layer's directory.
    Escape,
    /// Something that is valid, but not handled (a sparse file, a bzip2 layer, a digest that is not sha256).
    Unsupported,
    /// What was given is no image (or no layer).
    NotAnImage,
    /// There is no image of that name or platform, or more than one.
    Choice,
    /// More than the caller allowed.
    Limit,
    /// The caller asked to stop.
    Cancelled,
}

/// The room's error.
pub type Error = spec::Error<Kind>;
/// What most functions here return.
pub type Result<T> = std::result::Result<T, Error>;

/// An [`Error`] from an operating system's error.
pub(crate) fn system(op: &'static str, subject: impl fmt::Display, source: impl Into<io::Error>) -> Error {
    let source = source.into();
    let full = source.raw_os_error() == Some(libc::ENOSPC) || source.raw_os_error() == Some(libc::EDQUOT);
    let error = Error::new(Kind::System, op, subject).because(source);
    if full { error.hint("make room on that file system and run it again") } else { error }
}

/// What went wrong with one entry of a layer: `NAME: why`.
#[derive(Debug)]
pub(crate) struct EntryError {
    name: String,
    why: String,
    source: Option<io::Error>,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)?;
        match &self.source {
            Some(source) => {
                let text = source.to_string();
                write!(f, ": {}", text.split(" (os error ").next().unwrap_or(&text).to_lowercase())
            }
            None => Ok(()),
        }
    }
}

impl std::error::Error for EntryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s as _)
    }
}

/// A fault of one entry, before it is known (to this function) which layer it is in; [`Fault::in_layer`] makes it an
/// [`Error`].
#[derive(Debug)]
pub(crate) struct Fault {
    /// What callers branch on.
    pub(crate) kind: Kind,
    entry: Option<EntryError>,
    plain: String,
    hint: Option<String>,
}

impl Fault {
    /// `NAME: WHY`.
    pub(crate) fn entry(kind: Kind, name: &[u8], why: impl fmt::Display) -> Self {
        let entry = EntryError { name: shown(name), why: why.to_string(), source: None };
        Self { kind, entry: Some(entry), plain: String::new(), hint: None }
    }

    /// `NAME: WHAT: system's words`, with the hint that belongs to the error number.
    pub(crate) fn system(name: &[u8], what: impl fmt::Display, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let hint = match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Some("make room on that file system and run it again".to_owned()),
            _ => None,
        };
        let entry = EntryError { name: shown(name), why: what.to_string(), source: Some(source) };
        Self { kind: Kind::System, entry: Some(entry), plain: String::new(), hint }
    }

    /// A fault of the layer as a whole.
    pub(crate) fn layer(kind: Kind, why: impl fmt::Display) -> Self {
        Self { kind, entry: None, plain: why.to_string(), hint: None }
    }

    /// The caller asked to stop.
    pub(crate) fn interrupted() -> Self {
        Self::layer(Kind::Cancelled, "interrupted")
    }

    /// The same with a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The error that names the layer: `layer LAYER: ENTRY: why`.
    pub(crate) fn in_layer(self, layer: &str) -> Error {
        let error = Error::new(self.kind, "layer", layer);
        let error = match self.entry {
            Some(entry) => error.because(entry),
            None => error.because(self.plain),
        };
        let general = match self.kind {
            Kind::Truncated | Kind::Digest => Some("fetch or save it again"),
            Kind::Corrupt | Kind::DiffId => Some("the layer is broken; fetch or build the image again"),
            Kind::Escape => Some("the layer is hostile or broken; do not use this image"),
            Kind::Unsupported => Some("build the image again without it"),
            Kind::System | Kind::NotAnImage | Kind::Choice | Kind::Cancelled | Kind::Limit => None,
        };
        match self.hint.as_deref().or(general) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// A name out of an archive as it is shown to people: what is not UTF-8, would move a terminal's cursor, or would make the
/// line read otherwise than it is (other writing directions, what has no width) is escaped.
pub fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        for c in part.valid().chars() {
            if c.is_control() || is_unseen(c) { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in part.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Unicode's separators of lines, marks of direction, and characters without width.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_layer_and_entry_and_keeps_the_error_number() {
        let fault = Fault::system(b"usr/a\x1b[2J\xff", "write", io::Error::from_raw_os_error(28));
        let error = fault.in_layer("sha256:ab");
        assert_eq!(error.to_string(), "layer sha256:ab: usr/a\\u{1b}[2J\\xff: write: no space left on device");
        assert_eq!(error.raw_os_error(), Some(28));
        assert!(error.hint.unwrap().contains("make room"));
    }
}
