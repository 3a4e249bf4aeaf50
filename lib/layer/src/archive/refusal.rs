//! Why something in an archive is not read; and above all the *disputes*: what GNU tar, Go's `archive/tar`, bsdtar and we
//! would read differently.
//!
//! An archive that two programs read differently can show one tree to who checks it and another to who runs it. So where
//! these readers can be made to disagree about where an entry ends, what type it has or which path, the archive is refused,
//! and the message says both readings. Each was found by running them on the same bytes (`tests/layer/oracle.rs` repeats
//! that with GNU tar and Python). None is written by docker, buildah, kaniko, jib, bazel, ko, nix, apko, GNU tar, bsdtar,
//! star, Go, Python or the crate `tar`, as far as known; what those do write is read:
//!
//! | refused | one reading | the other |
//! |---|---|---|
//! | a size on a symbolic link, device, pipe | no data (Go, tar -x, bsdtar) | that much data (tar -t) |
//! | a PAX `size` on them, a directory, a hard link | no data (Go) | that much data (GNU tar or bsdtar) |
//! | a size on a hard link, in an archive with PAX headers | no data (GNU tar, Go) | that much (bsdtar, as pax(1) allows) |
//! | a regular file (`0`, `7`, `S`) whose name ends in `/` | a file (Go, Python) | a directory (GNU tar, bsdtar) |
//! | the same of type NUL with a size | a directory without data (Go) | with data (tar -t) |
//! | a PAX `size` before a GNU long name of another size | the size of the entry after it | of the long name (older `tar` crates) |
//! | a GNU long name and a PAX `path` that differ | the long name (Go) | the PAX path (GNU tar) |
//! | an empty GNU long name, an empty PAX `path` or `linkpath` | the header's (Go) | none (GNU tar) |
//! | two PAX headers before one entry | the last alone (GNU tar, Go) | both (bsdtar) or the first (Python) |
//! | a global header or a label between an entry and its headers | it takes them (Go) | the entry has them (GNU tar) |
//! | a global `path`, `linkpath`, `size` | for all that follow (GNU tar) | nothing (Go, bsdtar) |
//! | NUL in a PAX `path` or keyword | ends it (GNU tar, bsdtar) | an error (Go) |
//! | records for one keyword that differ | the last (GNU tar, Go) | the first (readers that search) |
//! | sizes with more behind them, or NULs before them | the first (GNU tar) | the last, or an error (Go) |
//! | blanks for a size | 0 (Go, bsdtar) | no header, and on to the next that is one (GNU tar) |
//! | a `prefix` in a GNU header | not there (GNU tar) | the start of the path (Go, for archives of Go before 1.8) |
//! | star's prefix of more than 131 bytes | 131 bytes (Go) | 155 (GNU tar, bsdtar) |
//! | `GNU.sparse.*` records that are not one whole map of a known version | a sparse file (GNU tar) | a plain one (Go) |
//! | sparse maps that do not add up to the data, overlap, go on behind their end | more or less of it | an error |
//! | one block of zeros, then more | the end (GNU tar, bsdtar) | an error (Go) |
//! | Solaris' extended headers (`X`) | belong to the next entry (GNU tar, bsdtar) | a file of their own (Go) |
//! | a label (`V`) with a size | that much data (GNU tar, Go) | none (bsdtar) |
//!
//! No dispute, and read: PAX over ustar and over GNU's numbers (the standard says so); a repeated long name (the last);
//! a size on a hard link in an archive without PAX headers, as cpio and old systems write it, and on a directory (no data);
//! checksums of signed bytes; padding left out at the end; no zeros at the end, or one block of them.

use crate::error::{Fault, Kind};
use std::fmt::Display;

/// Why something is not read, before it is known which entry it belongs to.
#[derive(Debug)]
pub(crate) struct Refusal {
    kind: Kind,
    why: String,
    hint: Option<&'static str>,
}

impl Refusal {
    /// It does not add up.
    pub(super) fn corrupt(why: impl Display) -> Self {
        Self { kind: Kind::Corrupt, why: why.to_string(), hint: None }
    }

    /// It is valid, and not handled.
    pub(super) fn unsupported(why: impl Display, hint: &'static str) -> Self {
        Self { kind: Kind::Unsupported, why: why.to_string(), hint: Some(hint) }
    }

    /// Readers differ: `WHAT: ONE READING, THE OTHER`.
    pub(super) fn disputed(what: impl Display, one: impl Display, other: impl Display) -> Self {
        Self {
            kind: Kind::Corrupt,
            why: format!("{what}: {one}, {other}"),
            hint: Some("the layer would be another tree for other programs; do not use it, or pack it again"),
        }
    }

    /// The fault that names the entry.
    pub(super) fn of(self, name: &[u8]) -> Fault {
        let fault = Fault::entry(self.kind, name, self.why);
        match self.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}
