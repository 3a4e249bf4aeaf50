//! A directory against a layer: what of it is missing, more than there should be, or otherwise.
//!
//! ```text
//! blob ─▶ pipeline (digests) ─▶ entries, one after the other ─▶ what is at their names ([`compare`]), content while it passes
//!                                                          └──▶ what the layer has, as hashes; whiteouts for later
//! at the end: the whiteouts, then a walk over the directory for what the layer does not have ([`rest`])
//! ```
//!
//! Compared are type, mode (not of links, which have none), owner and group as [`Owners`] says, size, content, link target, device,
//! time of the last modification to the nanosecond, xattrs, and which names are one file. What a layer hides must be hidden
//! in any form that an overlay reads, or as files `.wh.NAME`; with [`Options::applied`] it must be gone. Directories that the layer
//! does not have but needs (unpacking makes them) may be there with any attributes. Of entries with the same name the last counts.
//!
//! Nothing is written, no link leads out of the directory, and what is kept of a million entries is two hashes of each.

mod compare;
mod content;
mod paths;
mod place;
mod rest;

use crate::archive::Archive;
use crate::error::{Error, Fault, Result, shown};
use crate::extract::Expected;
use crate::owners::IdMaps;
use crate::pack::found::Look;
use crate::pipeline::{self, Known, Watch};
use crate::select::Select;
use compare::Comparison;
use spec::{DiffId, Digest};
use std::fmt;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;

/// Whose the files should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners<'a> {
    /// Those the layer names; in a directory that records owners, by the record.
    #[default]
    Named,
    /// Those that these maps make of the layer's.
    Map(&'a IdMaps),
    /// Anybody's.
    Any,
}

/// What is compared, and how.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Whose the files should be.
    pub owners: Owners<'a>,
    /// Whether times count.
    pub times: bool,
    /// Whether xattrs count.
    pub xattrs: bool,
    /// What the layer hides has been carried out: it must be gone, and nothing need stand for it.
    pub applied: bool,
    /// What of layer and directory is looked at.
    pub select: Option<&'a Select>,
    /// Called with the number of bytes of the blob just read, from a thread of ours.
    pub on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set to true by whoever wants it to stop; the error then is [`Kind::Cancelled`](crate::Kind::Cancelled).
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            owners: Owners::Named,
            times: true,
            xattrs: true,
            applied: false,
            select: None,
            on_progress: None,
            cancel: None,
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("owners", &self.owners)
            .field("times", &self.times)
            .field("xattrs", &self.xattrs)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// One thing that is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `type`, `mode`, `owner`, `group`, `size`, `content`, `target`, `device`, `mtime`, `xattr NAME`, `hard link` or `opaque`.
    pub what: String,
    /// How it is here; empty for what has no short form.
    pub here: String,
    /// How the layer has it.
    pub layer: String,
}

/// `mode 0644 (layer: 0755)`, `content`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.here.is_empty() {
            write!(f, " {}", self.here)?;
        }
        if !self.layer.is_empty() {
            write!(f, " (layer: {})", self.layer)?;
        }
        Ok(())
    }
}

/// How directory and layer differ at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The layer has it, the directory has not.
    Missing,
    /// The directory has it (and perhaps more below it), the layer has not.
    Extra,
    /// Both have it.
    Changed(Vec<Change>),
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    /// Where: below the directory, without a slash at its start; `.` for itself. A whiteout as the layer has it (`etc/.wh.conf`).
    pub path: Vec<u8>,
    /// How.
    pub how: Difference,
}

/// `missing PATH`, `extra PATH`, `changed PATH: CHANGE, CHANGE`.
impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match &self.how {
            Difference::Missing => write!(f, "missing {path}"),
            Difference::Extra => write!(f, "extra {path}"),
            Difference::Changed(changes) => {
                write!(f, "changed {path}: ")?;
                for (at, change) in changes.iter().enumerate() {
                    write!(f, "{}{change}", if at > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// How many differences are kept; more are counted.
pub const DIFFERENCES_KEPT: usize = 100_000;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What differs, sorted by path.
    pub differences: Vec<Differs>,
    /// How many more differ.
    pub more: u64,
    /// The digest of the blob.
    pub digest: Digest,
    /// The digest of the tar in it.
    pub diff_id: DiffId,
    /// Bytes of the blob.
    pub blob_bytes: u64,
    /// Bytes of the tar.
    pub tar_bytes: u64,
    /// Entries of the tar, whiteouts among them.
    pub entries: u64,
}

impl Verified {
    /// Whether directory and layer are the same.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.more == 0
    }
}

/// Whether the tree in `dir` keeps owners in xattrs.
pub fn records_owners(dir: BorrowedFd<'_>) -> bool {
    Look::of(dir).is_ok_and(|look| look.record.is_some())
}

/// Compares the tree in `dir` with the layer `blob` (plain, gzip or zstd).
///
/// An error means that they could not be compared; that they differ is none.
pub fn verify_layer(
    blob: impl Read + Send,
    dir: BorrowedFd<'_>,
    expected: &Expected,
    options: &Options<'_>,
) -> Result<Verified> {
    let known = Known { digest: expected.digest, diff_id: expected.diff_id, size_bytes: expected.size_bytes };
    let watch = Watch { on_progress: options.on_progress, cancel: options.cancel, stop: None };
    let in_layer = |fault: Fault| -> Error { fault.in_layer(&expected.name) };
    let look = Look::of(dir).map_err(in_layer)?;
    let ((findings, entries), sums) = pipeline::run(blob, &known, watch, |chunks| {
        let mut comparison = Comparison::new(dir, look, options);
        let mut archive = Archive::new(chunks);
        while let Some(entry) = archive.next()? {
            comparison.entry(&entry, &mut archive)?;
        }
        let entries = comparison.entries;
        Ok((rest::finish(comparison)?, entries))
    })
    .map_err(in_layer)?;
    Ok(Verified {
        more: findings.more,
        differences: findings.sorted(),
        digest: sums.digest,
        diff_id: sums.diff_id,
        blob_bytes: sums.blob_bytes,
        tar_bytes: sums.tar_bytes,
        entries,
    })
}

#[cfg(test)]
mod tests;
