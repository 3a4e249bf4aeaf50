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
//! What is left out, since the file system cannot hold it or [`Options`] allow it, is told in the [`Report`].

mod dirs;
mod files;
mod finish;
mod limits;
mod metadata;
mod nodes;
pub(crate) mod resolve;
mod steps;
mod tree;
mod undo;
mod whiteouts;
mod writers;

use crate::archive::{Archive, Entry};
use crate::error::{Error, Fault, Result};
use crate::owners::IdMaps;
use crate::pipeline::{self, Known, Watch};
use spec::{DiffId, Digest};
use std::borrow::BorrowMut;
use std::fmt;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;

pub(crate) use limits::Allowance;
pub(crate) use metadata::{Ways, own_umask};
pub(crate) use tree::Tree;
pub use undo::left_behind;

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
pub enum Owners<'a> {
    /// Those the layer names. In a user namespace that has no such id the kernel refuses, and so do we.
    #[default]
    Keep,
    /// The caller's: no owner is set at all.
    Caller,
    /// Those that the layer's ids stand for on this machine. An id without one is an error.
    Map(&'a IdMaps),
    /// The caller's; owner, group, mode and type as the layer names them are kept in the xattr
    /// `user.containers.override_stat`, as containers/storage does and fuse-overlayfs shows them.
    Record,
}

/// What becomes of device nodes (whiteouts are none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Devices {
    /// They are made; where that is not permitted, it is an error.
    #[default]
    Fail,
    /// They are made; where that is not permitted they are left out, with a line in [`Report::skipped`].
    Skip,
    /// They become empty files that say in `user.containers.override_stat` what they are.
    Record,
}

/// How much a run may write: all layers of an image together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of files' contents that the archive holds. Holes of sparse files take no room and do not count.
    pub bytes: Option<u64>,
    /// Entries, of whichever type.
    pub files: Option<u64>,
}

/// Whether equal files of different layers share their blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dedup {
    /// Each file is its own.
    #[default]
    Off,
    /// Files that are equal in content, owner, mode, time and xattrs are one file with several names.
    Hardlink,
    /// Files of equal content share their blocks, where the file system can (XFS, btrfs).
    Reflink,
}

/// Says of a path whether its entry is taken.
pub type Choice<'a> = dyn Fn(&[u8]) -> bool + Sync + 'a;

/// What a caller allows and wants to hear of.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The form of whiteouts.
    pub whiteouts: Whiteouts,
    /// Whose the files become.
    pub owners: Owners<'a>,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// Skip xattrs that need privileges that are not there (of `trusted.` and `security.`), each with a line in
    /// [`Report::skipped`], instead of failing.
    pub skip_privileged: bool,
    /// Set no xattrs but those that overlays and recorded owners need.
    pub no_xattrs: bool,
    /// How much may be written.
    pub limits: Limits,
    /// Which entries are taken, by their path without leading `/`, `.` and `..`; `None`: all.
    pub select: Option<&'a Choice<'a>>,
    /// With [`select`](Self::select), a word of hexadecimal digits that tells this choice from others: the folder of part of
    /// a layer must not pass for the layer's.
    pub part: Option<&'a str>,
    /// Whether equal files of an image's layers share their blocks.
    pub dedup: Dedup,
    /// Bring an image's layers to disk before they get their names.
    pub sync: bool,
    /// Called for each entry that is taken, before it is written, from a thread of ours.
    pub on_entry: Option<&'a (dyn Fn(&Entry) + Sync)>,
    /// Called with the number of bytes of the blob just read, from a thread of ours.
    pub on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set to true by whoever wants it to stop; the error then is [`Kind::Cancelled`](crate::Kind::Cancelled).
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            whiteouts: Whiteouts::default(),
            owners: Owners::default(),
            devices: Devices::default(),
            skip_privileged: false,
            no_xattrs: false,
            limits: Limits::default(),
            select: None,
            part: None,
            dedup: Dedup::default(),
            sync: true,
            on_entry: None,
            on_progress: None,
            cancel: None,
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("whiteouts", &self.whiteouts)
            .field("owners", &self.owners)
            .field("devices", &self.devices)
            .field("skip_privileged", &self.skip_privileged)
            .field("no_xattrs", &self.no_xattrs)
            .field("limits", &self.limits)
            .field("dedup", &self.dedup)
            .field("sync", &self.sync)
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
    /// Bytes of files' contents that were written.
    pub content_bytes: u64,
    /// Bytes that [`Options::dedup`] found in another layer.
    pub shared_bytes: u64,
    /// What was left out because [`Options::skip_privileged`] allowed it or the file system cannot hold it: a line each,
    /// naming the entry; after [`SKIPPED_LINES`] lines only counted.
    pub skipped: Vec<String>,
    /// How many were left out.
    pub skipped_count: u64,
}

impl Report {
    /// Takes over what was skipped since the last time.
    pub(crate) fn with_skipped(mut self, ways: &Ways<'_>) -> Self {
        let skipped = ways.take_skipped();
        self.skipped_count += skipped.count;
        self.skipped.extend(skipped.lines);
        self.skipped.truncate(SKIPPED_LINES);
        self
    }
}

/// How many lines of [`Report::skipped`] are kept.
pub const SKIPPED_LINES: usize = 100;

/// Unpacks the layer `blob` (plain, gzip or zstd) into the directory `dest`.
///
/// If `dest` is empty it holds part of the layer after an error, and the caller removes it (see
/// [`Stage`](crate::stage::Stage)). If it held something, all of that is there again as it was, and nothing else. Nothing is
/// synced to disk.
pub fn unpack_layer(
    blob: impl Read + Send,
    dest: BorrowedFd<'_>,
    expected: &Expected,
    options: &Options<'_>,
) -> Result<Report> {
    unpack_until(blob, dest, expected, options, None, &Allowance::default())
}

/// The same, with a second flag that stops it, and what is still allowed.
pub(crate) fn unpack_until(
    blob: impl Read + Send,
    dest: BorrowedFd<'_>,
    expected: &Expected,
    options: &Options<'_>,
    stop: Option<&AtomicBool>,
    allowance: &Allowance,
) -> Result<Report> {
    let in_layer = |fault: Fault| -> Error { fault.in_layer(&expected.name) };
    // In a thread of its own, since the umask is a thread's own only where it was unshared, and our caller's stays.
    on_own_thread(|exact| {
        let ways = Ways::new(dest, options, exact);
        let mut tree = Tree::new(dest, &ways, allowance).map_err(in_layer)?;
        let report = add_layer(|| Ok(&mut tree), blob, expected, options, stop).map(|(_, report)| report);
        let report =
            report.and_then(|report| tree.finish().and_then(|()| tree.keep()).map(|()| report.with_skipped(&ways)));
        report.map_err(|fault| in_layer(taken_back(&mut tree, fault)))
    })
}

/// Runs `work` with a umask of nothing, if that is possible; it is told.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce(bool) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| work(own_umask()));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Adds a whole layer to the tree that `get` gives once the bytes come, but for what its directories are due in the end.
pub(crate) fn add_layer<'t, T: BorrowMut<Tree<'t>>>(
    get: impl FnOnce() -> std::result::Result<T, Fault>,
    blob: impl Read + Send,
    expected: &Expected,
    options: &Options<'_>,
    stop: Option<&AtomicBool>,
) -> std::result::Result<(T, Report), Fault> {
    let known = Known { digest: expected.digest, diff_id: expected.diff_id, size_bytes: expected.size_bytes };
    let watch = Watch { on_progress: options.on_progress, cancel: options.cancel, stop };
    let (mut kept, sums) = pipeline::run(blob, &known, watch, |chunks| {
        let mut kept = get()?;
        let tree: &mut Tree<'t> = kept.borrow_mut();
        let mut archive = Archive::new(chunks);
        while let Some(entry) = archive.next()? {
            tree.add(entry, &mut archive)?;
        }
        tree.settle_all()?;
        Ok(kept)
    })?;
    let tree: &mut Tree<'t> = kept.borrow_mut();
    let counts = tree.next_layer();
    let report = Report {
        digest: sums.digest,
        diff_id: sums.diff_id,
        blob_bytes: sums.blob_bytes,
        tar_bytes: sums.tar_bytes,
        entries: counts.entries,
        content_bytes: counts.content_bytes,
        shared_bytes: 0,
        skipped_count: 0,
        skipped: Vec::new(),
    };
    let report = report.with_skipped(tree.ways);
    Ok((kept, report))
}

/// After `fault`: takes back what was done to a directory that held something.
fn taken_back(tree: &mut Tree<'_>, fault: Fault) -> Fault {
    let left = tree.undo();
    match left.first() {
        Some(first) => fault
            .hint(format_args!("{} of what was unpacked could not be taken back, the first being {first}", left.len())),
        None => fault,
    }
}

#[cfg(test)]
mod tests;
