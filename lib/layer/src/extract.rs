//! One layer into one directory.
//!
//! What `tar -xp --numeric-owner --xattrs` does, with four differences. Whiteouts come out as [`Whiteouts`] says. Everything stays below the directory's
//! descriptor: leading `/` are dropped as tar drops them, a `..` is resolved by name and refused where it climbs out, a
//! symbolic link on the way to an entry is followed as long as it stays inside. A file may replace a directory and the
//! reverse. And the bytes are checked: nothing is finished before digest and diff id have been compared.
//!
//! Into an empty directory what a later entry replaces is this layer's own, so whole trees may go. Into one that holds
//! something, only [`Whiteouts::Apply`] removes trees; else a directory that is not empty is in the way, as it is for tar.
//!
//! Directories get owner, mode, xattrs and times when all is in them; until then they are open to their owner alone.
//! POSIX ACLs in star's text form (`SCHILY.acl.*`) are passed over, as engines do; as xattrs
//! (`SCHILY.xattr.system.posix_acl_access`) they are set.

mod metadata;
mod resolve;
mod tree;
mod whiteouts;

use crate::archive::Archive;
use crate::error::{Error, Result};
use crate::pipeline::{self, Known, Watch};
use spec::{DiffId, Digest};
use std::fmt;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use tree::Tree;

/// In which form a layer says that something of the layers below is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// Character devices 0:0 and `trusted.overlay.opaque`: what an overlay of the machine's root reads. Setting that xattr
    /// needs CAP_SYS_ADMIN in the first user namespace.
    #[default]
    Overlay,
    /// Character devices 0:0 and `user.overlay.opaque`: what an overlay mounted with `userxattr` reads. Any user can make both.
    UserXattr,
    /// Files `.wh.NAME` and `.wh..wh..opq`, as they are in the tar.
    Oci,
    /// Carried out: what the layer hides is removed from the directory. So layers unpacked one after the other into the same
    /// directory give the image's tree.
    Apply,
}

impl Whiteouts {
    /// The overlay form that a process like this one can write in `dir`: `trusted.*` or `user.*`. Asks the kernel, by removing
    /// an xattr that is not there.
    pub fn overlay_form(dir: BorrowedFd<'_>) -> Self {
        match rustix::fs::fremovexattr(dir, c"trusted.overlay.probe") {
            Err(rustix::io::Errno::PERM) => Self::UserXattr,
            _ => Self::Overlay,
        }
    }
}

/// Whose the files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// Those the layer names. In a user namespace that has no such id the kernel refuses, and so do we.
    #[default]
    Keep,
    /// The caller's: no owner is set at all.
    Caller,
}

/// What a caller allows and wants to hear of.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// The form of whiteouts.
    pub whiteouts: Whiteouts,
    /// Whose the files become.
    pub owners: Owners,
    /// Skip what needs privileges that are not there (devices, xattrs of `trusted.` and `security.`), each with a line in
    /// [`Report::skipped`], instead of failing.
    pub skip_privileged: bool,
    /// Called with the number of bytes of the blob just read, from a thread of ours.
    pub on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set to true by whoever wants it to stop; the error then is [`Kind::Cancelled`](crate::Kind::Cancelled).
    pub cancel: Option<&'a AtomicBool>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("whiteouts", &self.whiteouts)
            .field("owners", &self.owners)
            .field("skip_privileged", &self.skip_privileged)
            .finish_non_exhaustive()
    }
}

/// What is known of a layer before it is read. What is `None` is not checked.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// How errors call the layer; usually its digest.
    pub name: String,
    /// The digest of the blob.
    pub digest: Option<Digest>,
    /// The digest of the tar in it.
    pub diff_id: Option<DiffId>,
    /// The size of the blob.
    pub size_bytes: Option<u64>,
}

impl Expected {
    /// Nothing but a name.
    pub fn named(name: impl fmt::Display) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }
}

/// What was unpacked.
#[derive(Debug, Clone)]
pub struct Report {
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar in it.
    pub diff_id: DiffId,
    /// Bytes of the blob.
    pub blob_bytes: u64,
    /// Bytes of the tar.
    pub tar_bytes: u64,
    /// Entries of the tar, whiteouts among them.
    pub entries: u64,
    /// What was left out because [`Options::skip_privileged`] allowed it or the file system cannot hold it: a line each,
    /// naming the entry; after [`SKIPPED_LINES`] lines only counted.
    pub skipped: Vec<String>,
    /// How many were left out.
    pub skipped_count: u64,
}

/// How many lines of [`Report::skipped`] are kept.
pub const SKIPPED_LINES: usize = 100;

/// Unpacks the layer `blob` (plain, gzip or zstd) into the directory `dest`.
///
/// `dest` is best empty and the caller's own: after an error it holds part of the layer, and the caller removes it
/// (see [`Stage`](crate::stage::Stage)). Nothing is synced to disk.
pub fn unpack_layer(
    blob: impl Read + Send,
    dest: BorrowedFd<'_>,
    expected: &Expected,
    options: &Options<'_>,
) -> Result<Report> {
    unpack_until(blob, dest, expected, options, None)
}

/// The same, with a second flag that stops it.
pub(crate) fn unpack_until(
    blob: impl Read + Send,
    dest: BorrowedFd<'_>,
    expected: &Expected,
    options: &Options<'_>,
    stop: Option<&AtomicBool>,
) -> Result<Report> {
    let known = Known { digest: expected.digest, diff_id: expected.diff_id, size_bytes: expected.size_bytes };
    let watch = Watch { on_progress: options.on_progress, cancel: options.cancel, stop };
    let in_layer = |fault: crate::error::Fault| -> Error { fault.in_layer(&expected.name) };
    let tree = Tree::new(dest, options).map_err(in_layer)?;
    let (tree, sums) = pipeline::run(blob, &known, watch, |chunks| {
        let mut tree = tree;
        let mut archive = Archive::new(chunks);
        while let Some(entry) = archive.next()? {
            tree.add(&entry, &mut archive)?;
        }
        Ok(tree)
    })
    .map_err(in_layer)?;
    let (entries, skipped) = tree.finish().map_err(in_layer)?;
    Ok(Report {
        digest: sums.digest,
        diff_id: sums.diff_id,
        blob_bytes: sums.blob_bytes,
        tar_bytes: sums.tar_bytes,
        entries,
        skipped_count: skipped.count,
        skipped: skipped.lines,
    })
}

#[cfg(test)]
mod tests;
