//! What can go wrong in the store, and what callers branch on.

use std::fmt;
use std::io;
use std::path::Path;

/// What callers of the store branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No image, layer or container of that name.
    NotFound,
    /// A name or folder is already there.
    Exists,
    /// A short id that fits several.
    Ambiguous,
    /// Something still uses it.
    InUse,
    /// The store is of a newer format than this program knows.
    Newer,
    /// The store can only be read.
    ReadOnly,
    /// Bytes that do not have the digest they should, or documents that do not parse.
    Damaged,
    /// Something that was asked for makes no sense: a malformed name.
    Invalid,
    /// The disk is full, or the quota used up.
    Full,
    /// The system said no.
    System,
}

/// The store's error.
pub type Error = spec::Error<Kind>;
/// The store's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An operating system's error in `op` on `path`, with the hints that belong to a state root.
pub fn system(op: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Error {
    let source = source.into();
    let path = path.as_ref();
    let (kind, hint) = match source.raw_os_error() {
        Some(libc::ENOENT) => (Kind::NotFound, None),
        Some(libc::EEXIST | libc::ENOTEMPTY) => (Kind::Exists, None),
        Some(libc::EROFS) => (Kind::ReadOnly, None),
        Some(libc::ENOSPC | libc::EDQUOT) => (Kind::Full, Some(full_hint(path))),
        _ => (Kind::System, None),
    };
    let error = Error::new(kind, op, path.display()).because(source);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn full_hint(path: &Path) -> String {
    format!(
        "free some space on the file system of {}: `ctr rmi` removes images, VENEER_ROOT names another place",
        path.display()
    )
}

/// A document that does not parse or says something impossible.
pub fn damaged(
    what: &'static str,
    subject: impl fmt::Display,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(Kind::Damaged, what, subject).because(why)
}
