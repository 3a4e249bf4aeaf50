//! The way back: a directory into a layer, the same bytes each time.
//!
//! ```text
//! upper of an overlay ─┐  walk (sorted, one name at a time)   tar, cut into blocks    packers, in order
//! plain tree          ─┼─▶ what is there, and what it means ─▶ of one size       ─▶  gzip or zstd, digests ─▶ out
//! two trees, compared ─┘        (found, ladder)                  (emit, format)            (sink, packer)
//! ```
//!
//! **Reproducible.** Same tree, same digest: whatever the order in which the file system gives names, the clock, the umask, the
//! number of threads. Names are sorted bytewise in each directory, a directory comes before what is in it, what hides all of a
//! directory below first in it. `.wh.NAME` stands where NAME would. There are no names of owners, no times but the last
//! modification's ([`Mtimes`] bounds or sets it), nothing of inodes. Of the names of one file the first in this order holds the data.
//! [`format`] says which bytes an entry is, [`packer`] how they are packed.
//!
//! **Whiteouts** are understood in every spelling that an overlay's upper can have: devices 0:0, empty files `.wh.NAME`, empty files
//! with `overlay.whiteout` in a directory whose opaque mark is `x`; directories with `trusted.overlay.opaque`,
//! `user.overlay.opaque`, `user.fuseoverlayfs.opaque` = `y` or with a file `.wh..wh..opq`. What a layer cannot say (a directory or
//! file that has its content or its other name in a layer below) is refused by name.
//!
//! **A difference of two trees** says what changed from one to the other: entries whose type, mode, owner, size, time (to the
//! nanosecond), link target, device or xattrs differ, and files whose bytes do, also where size and time agree (docker and
//! containers/storage stop there; umoci's mtree compares content too; [`PackOptions::trust_times`] stops there); names of one
//! file together, if any of them changed. What is gone is a whiteout.
//!
//! **Honest.** A file that changes while it is read, or vanishes, is an error that names it, never a torn copy. Sockets, which no
//! tar can hold, are left out with a line.

mod ahead;
mod content;
mod difference;
mod emit;
mod format;
pub(crate) mod found;
pub(crate) mod ladder;
mod packer;
mod sink;
mod upper;

pub use packer::{DEFAULT_GZIP_LEVEL, DEFAULT_ZSTD_LEVEL, MAX_GZIP_LEVEL, MAX_ZSTD_LEVEL, Packing};

use crate::archive::Time;
use crate::error::{Error, Fault, Kind, Result};
use crate::owners::IdMaps;
use crate::select::Select;
use emit::Emitter;
use found::Look;
use sink::{Blocks, Watch};
use spec::{DiffId, Digest};
use std::ffi::CStr;
use std::fmt;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;

pub(crate) use content::full;

/// Which times entries get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mtimes {
    /// Those of the files, to the nanosecond.
    #[default]
    Keep,
    /// The same, but none later than this (`SOURCE_DATE_EPOCH`, reproducible-builds.org).
    Clamp(Time),
    /// This one, all of them.
    Set(Time),
}

/// What a caller wants of a layer.
#[derive(Clone, Copy)]
pub struct PackOptions<'a> {
    /// How errors call the tree; usually its path.
    pub name: &'a str,
    /// How the tar is packed.
    pub packing: Packing,
    /// How many threads pack. The result does not depend on it.
    pub jobs: NonZeroUsize,
    /// The tree is no overlay's upper: what would be a whiteout there is refused.
    pub plain: bool,
    /// In a plain tree names and devices that mean a whiteout in a layer are what they are: an archive, not a layer.
    pub literal: bool,
    /// Somebody works in the tree meanwhile: a file has the length it had when it was looked at, what vanishes is left out.
    pub lively: bool,
    /// What the root is called in the tar, with all below it; empty: what the tree is called there itself.
    pub prefix: &'a [u8],
    /// Which times entries get.
    pub mtimes: Mtimes,
    /// The owner of everything.
    pub owner: Option<u32>,
    /// The group of everything.
    pub group: Option<u32>,
    /// Ids on disk back to those of the container, against the direction in which they were unpacked.
    pub ids: Option<&'a IdMaps>,
    /// Whether the tree keeps owners in xattrs; `None`: its root tells.
    pub recorded: Option<bool>,
    /// What of the tree is wanted.
    pub select: Option<&'a Select>,
    /// Holes stay holes.
    pub sparse: bool,
    /// With an entry for the root itself (`./`).
    pub root: bool,
    /// With xattrs.
    pub xattrs: bool,
    /// With `security.selinux` too, which usually is the machine's label and not the image's.
    pub selinux: bool,
    /// Device and inode of the file that the layer is written to, which is left out if it is in the tree.
    pub itself: Option<(u64, u64)>,
    /// In a difference, files of the same size and time are the same.
    pub trust_times: bool,
    /// Called with the number of bytes of the tar just made, from a thread of ours.
    pub on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set to true by whoever wants it to stop; the error then is [`Kind::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for PackOptions<'_> {
    fn default() -> Self {
        Self {
            name: "",
            packing: Packing::default(),
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            plain: false,
            literal: false,
            lively: false,
            prefix: b"",
            mtimes: Mtimes::Keep,
            owner: None,
            group: None,
            ids: None,
            recorded: None,
            select: None,
            sparse: true,
            root: true,
            xattrs: true,
            selinux: false,
            itself: None,
            trust_times: false,
            on_progress: None,
            cancel: None,
        }
    }
}

impl fmt::Debug for PackOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackOptions")
            .field("name", &self.name)
            .field("packing", &self.packing)
            .field("mtimes", &self.mtimes)
            .finish_non_exhaustive()
    }
}

/// A layer that has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The digest of what was written.
    pub digest: Digest,
    /// The digest of the tar in it.
    pub diff_id: DiffId,
    /// Bytes written.
    pub blob_bytes: u64,
    /// Bytes of the tar.
    pub tar_bytes: u64,
    /// Entries of the tar, whiteouts among them.
    pub entries: u64,
    /// Bytes of its files' data with what fills up its blocks.
    pub data_bytes: u64,
    /// What was left out, a line each; after [`SKIPPED_LINES`](crate::extract::SKIPPED_LINES) lines only counted.
    pub skipped: Vec<String>,
    /// How many were left out.
    pub skipped_count: u64,
}

/// Writes the tree in `dir`, an overlay's upper or a plain one, to `out` as a layer.
///
/// After an error `out` holds part of a layer, which the caller throws away. An error of `out` itself keeps its number
/// ([`Error::raw_os_error`](spec::Error::raw_os_error)): EPIPE where its reader has gone.
pub fn pack_layer(dir: BorrowedFd<'_>, out: impl Write, options: &PackOptions<'_>) -> Result<Packed> {
    pack(out, options, |emitter| {
        let look = options.look(dir)?;
        upper::add(dir, &look, options, emitter)
    })
}

/// Writes what is at `name` in `dir`, and is no directory, to `out`; it is called [`PackOptions::prefix`] there, as a plain tree's
/// file is written.
pub fn pack_entry(dir: BorrowedFd<'_>, name: &CStr, out: impl Write, options: &PackOptions<'_>) -> Result<Packed> {
    pack(out, options, |emitter| {
        let look = Look { no_selinux: !options.selinux, no_xattrs: !options.xattrs, plain: true, ..Look::default() };
        let path = name.to_bytes();
        let told = rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        let told = told.map_err(|e| Fault::system(path, "stat", e))?;
        let found = look.at(dir, name, rustix::fs::FileType::from_raw_mode(told.st_mode), path)?;
        match found {
            Some(found) => emitter.add(b"", &found),
            None => Err(Fault::system(path, "open", rustix::io::Errno::NOENT)),
        }
    })
}

/// Writes what changed from the tree in `lower` to that in `upper` to `out` as a layer. Both are plain trees.
pub fn pack_difference(
    lower: BorrowedFd<'_>,
    upper: BorrowedFd<'_>,
    out: impl Write,
    options: &PackOptions<'_>,
) -> Result<Packed> {
    pack(out, options, |emitter| {
        let looks = (options.look(lower)?, options.look(upper)?);
        difference::add((lower, looks.0), (upper, looks.1), options, emitter)
    })
}

fn pack(
    out: impl Write,
    options: &PackOptions<'_>,
    add: impl FnOnce(&mut Emitter<'_, '_>) -> std::result::Result<(), Fault> + Send,
) -> Result<Packed> {
    let watch = Watch { on_progress: options.on_progress, cancel: options.cancel };
    let produce = |blocks: &mut Blocks<'_>| {
        let mut emitter = Emitter::new(blocks, options);
        add(&mut emitter)?;
        emitter.end()?;
        Ok((emitter.entries, emitter.data_bytes, emitter.skipped, emitter.skipped_count))
    };
    let done = sink::run(out, options.packing, options.jobs, watch, produce);
    let ((entries, data_bytes, skipped, skipped_count), sums) =
        done.map_err(|fault| Error { op: "pack", ..fault.in_layer(options.name) })?;
    Ok(Packed {
        digest: sums.digest,
        diff_id: sums.diff_id,
        blob_bytes: sums.blob_bytes,
        tar_bytes: sums.tar_bytes,
        entries,
        data_bytes,
        skipped,
        skipped_count,
    })
}

impl PackOptions<'_> {
    fn look(&self, root: BorrowedFd<'_>) -> std::result::Result<Look, Fault> {
        let mut look = Look::of(root)?;
        look.no_selinux = !self.selinux;
        look.no_xattrs = !self.xattrs;
        look.plain = self.plain;
        match self.recorded {
            Some(false) => look.record = None,
            Some(true) if look.record.is_none() => {
                return Err(Fault::entry(Kind::Unsupported, b".", "keeps no owners in user.containers.override_stat")
                    .hint("pack it without --rootless"));
            }
            _ => {}
        }
        Ok(look)
    }

    /// Whether what is at `path` goes into the layer.
    fn takes(&self, path: &[u8]) -> bool {
        self.select.is_none_or(|select| select.takes(path))
    }

    /// Whether nothing below `path`, which is not taken itself, can be taken.
    fn excludes(&self, path: &[u8]) -> bool {
        self.select.is_some_and(|select| select.excludes(path))
    }
}

#[cfg(test)]
mod tests;
