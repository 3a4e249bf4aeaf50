//! Opening the layers: after it no path is used again.

use super::Stack;
use super::branch::Branch;
use super::compat::{self, Compat, Features};
use super::index::Index;
use super::layers::Layers;
use super::listing::Listings;
use super::node::{Body, Node, UPPER};
use super::nodes::{Nodes, ROOT};
use super::numbers::Outdated;
use super::origin::Uuids;
use super::owners::Owners;
use super::reach::Folders;
use super::work::Work;
use crate::error::{Error, Kind, Result};
use crate::layer::{Directory, Errno, Folder};
use crate::xattrs::XattrNamespace;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::mount::OpenTreeFlags;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use sys::mount_attr::{MountAttr, mount_setattr};

/// A layer below.
#[derive(Debug)]
pub enum Lower {
    /// A directory by path.
    Path(PathBuf),
    /// A directory already open (O_PATH will do), for instance a detached clone of a mount.
    Open(OwnedFd),
}

/// What an overlay is to be made of.
#[derive(Debug)]
pub struct StackSpec {
    /// The layers below, topmost first.
    pub lowers: Vec<Lower>,
    /// Layers that hold content alone, found by absolute redirects of `overlay.metacopy` files (`lowerdir=a::data`).
    pub data_only: Vec<Lower>,
    /// The layer that takes the writes; without it the overlay is read-only.
    pub upper: Option<PathBuf>,
    /// An empty folder on the upper's mount, for what is not finished.
    pub work: Option<PathBuf>,
    /// Where overlay's own xattrs are kept.
    pub xattrs: XattrNamespace,
    /// Reading leaves the access times of the upper layer's files too; those of the lower ones it always does.
    pub noatime: bool,
    /// Above so many nodes the kernel is asked to forget some ([`Stack::surplus`]).
    pub node_limit: usize,
    /// How owners show.
    pub owners: Owners,
    /// Do not wait for the disk, at fsync nor at copy-up.
    pub volatile: bool,
    /// Rename directories that lower layers have a part in (`redirect_dir=on`), where the upper may hold redirects.
    pub redirect: bool,
    /// Copy no data when only attributes change (`metacopy=on`), where the upper may hold such files; needs `redirect`.
    pub metacopy: bool,
    /// Keep the links of one lower file together (`index=on`), where the upper may hold an index.
    pub index: bool,
    /// Who is to go on with an upper in `user.*`; `None`: as it says itself, and for the kernel where it says nothing.
    pub compat: Option<Compat>,
}

impl Default for StackSpec {
    fn default() -> Self {
        Self {
            lowers: Vec::new(),
            data_only: Vec::new(),
            upper: None,
            work: None,
            xattrs: XattrNamespace::Trusted,
            noatime: false,
            node_limit: 1 << 19,
            owners: Owners::default(),
            volatile: false,
            redirect: true,
            metacopy: true,
            index: true,
            compat: None,
        }
    }
}

/// The next stack's token.
static TOKENS: AtomicU64 = AtomicU64::new(1);

fn failed(op: &'static str, subject: impl fmt::Display, errno: Errno) -> Error {
    Error::new(Kind::Failed, op, subject).because(std::io::Error::from(errno))
}

fn open_path(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The directory behind an O_PATH descriptor, open for reading where that is allowed.
fn reopen(fd: &OwnedFd) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(fd, c".", flags, Mode::empty()) {
        Err(Errno::ACCESS) => fd.try_clone().map_err(|_| Errno::MFILE),
        other => other,
    }
}

/// A clone of the mount that `place` is on, from there down, with nothing mounted below it; private, or what is mounted on the
/// original later would appear below the clone too: our own mount among it. `traceless`: reading through it leaves access times
/// alone, where we may ask for that. `None` where cloning is refused: not privileged, or locked mounts below, as with `/` in a
/// user namespace.
fn clone_of_mount(place: &OwnedFd, traceless: bool) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = rustix::mount::open_tree(place, c"", flags).ok()?;
    let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    let (set, clear) = (libc::MOUNT_ATTR_NOATIME, libc::MOUNT_ATTR__ATIME);
    let leaving_no_trace = MountAttr { set, clear, ..private };
    let made_so = |attributes| mount_setattr(clone.as_fd(), c"", false, attributes).is_ok();
    let done = traceless && made_so(&leaving_no_trace) || made_so(&private);
    done.then_some(clone)
}

/// A layer below, on a clone of its mount, since reading through the union leaves no trace below, as overlayfs has it; or the
/// directory itself, and `true`: other mounts may be met.
fn without_mounts(fd: OwnedFd) -> (OwnedFd, bool) {
    match clone_of_mount(&fd, true) {
        Some(clone) => (clone, false),
        None => (fd, true),
    }
}

fn mount_of(fd: BorrowedFd<'_>) -> std::result::Result<u64, Errno> {
    let raw = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(raw.stx_mnt_id)
}

impl Stack {
    /// Opens every layer. The errors name the layer and what is wrong with it.
    pub fn open(spec: &StackSpec) -> Result<Self> {
        if spec.lowers.is_empty() {
            return Err(Error::new(Kind::Request, "overlay", "").because("no lower layer given"));
        }
        let proc =
            rustix::fs::open(c"/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| failed("open", "/proc/self/fd", e).hint("mount procfs at /proc"))?;
        let mut branches: Vec<Arc<Branch>> = Vec::new();
        let mut work = None;
        let mut features = Features::default();
        let mut index = Index::default();
        let mut uuids = Uuids::default();
        match (&spec.upper, &spec.work) {
            (None, _) => uuids.add_nothing(),
            (Some(upper), None) => {
                return Err(
                    Error::new(Kind::Request, "overlay", upper.display()).because("an upper needs a work folder")
                );
            }
            (Some(upper), Some(work_path)) => {
                let (upper_fd, work_fd) = open_upper(upper, work_path, spec.noatime)?;
                let compat = compat::settle(upper_fd.as_fd(), upper, spec.xattrs, spec.compat)?;
                let wanted = Features { redirect: spec.redirect, metacopy: spec.metacopy, index: spec.index };
                features = Features::allowed(wanted, spec.xattrs, compat);
                let folder = Directory::new(upper_fd, false)
                    .map(|root| root.traceless(spec.noatime))
                    .map_err(|e| failed("open upper", upper.display(), e))?;
                if features.index {
                    index = Index::open(work_fd.as_fd());
                }
                let opened = Work::open(work_fd, spec.volatile).map_err(|e| {
                    let error = failed("open work folder", work_path.display(), e);
                    match e {
                        Errno::BUSY => error.hint("another overlay is mounted with this upper"),
                        Errno::UCLEAN => unclean(upper, work_path),
                        _ => error,
                    }
                })?;
                if features != Features::default() && !compat::holds_books(opened.fd(), spec.xattrs) {
                    // As overlayfs: what cannot be written down is not done.
                    features = Features::default();
                    index = Index::default();
                }
                work = Some(opened);
                uuids.add(&folder);
                let marks = folder.marks(spec.xattrs).unwrap_or_default();
                let branch = Branch::new(UPPER, folder.identity(), Some(Arc::new(folder)));
                branch.note(&marks);
                branches.push(Arc::new(branch));
            }
        }
        for (index, lower) in spec.lowers.iter().enumerate() {
            let folder = open_lower(lower, &format!("lower {}", index + 1))?;
            uuids.add(&*folder);
            let marks = folder.marks(spec.xattrs).unwrap_or_default();
            let branch = Branch::new(index + 1, folder.identity(), Some(folder));
            branch.note(&marks);
            branches.push(Arc::new(branch));
        }
        let data = spec.data_only.iter().map(|lower| open_lower(lower, "data-only layer")).collect::<Result<_>>()?;
        let layers = Layers::new(&branches, data);
        let number = branches.iter().find(|b| b.layer != UPPER).map_or(ROOT, |b| layers.numbers.of(b.identity));
        let root = Node::new(ROOT, number, FileType::Directory, Body::Folder(branches));
        let nodes = Nodes::default();
        nodes.set_root(Arc::new(root));
        let mut stack = Self {
            nodes,
            folders: Folders::new(),
            layers,
            listings: Listings::default(),
            outdated: Outdated::default(),
            work,
            xattrs: spec.xattrs,
            node_limit: spec.node_limit,
            owners: spec.owners.clone(),
            volatile: spec.volatile,
            features,
            moving: RwLock::default(),
            index,
            uuids,
            proc,
            token: TOKENS.fetch_add(1, Ordering::Relaxed),
        };
        stack.begin_keeping().map_err(|e| {
            failed("keep owners in xattrs of", "the upper layer", e)
                .hint("xattr_permissions=1 needs root's rights; 2 a file system with user.* xattrs")
        })?;
        if stack.features.index && !stack.index_is_ours().unwrap_or(false) {
            if stack.index.is_in_use() {
                return Err(Error::new(Kind::Request, "upper layer", upper_path(spec))
                    .because("was made for other layers: names that share a file in it would be parted")
                    .hint("name the same layers again; or say index=off, and they are"));
            }
            stack.features.index = false;
            stack.index = Index::default();
        }
        Ok(stack)
    }
}

/// A layer below, without what is mounted on it. `called`: how errors name it when it has no path.
fn open_lower(lower: &Lower, called: &str) -> Result<Arc<dyn Folder>> {
    let (fd, shown) = match lower {
        Lower::Path(path) => {
            let fd = open_path(path).map_err(|e| {
                Error::new(Kind::Request, "open lower", path.display()).because(std::io::Error::from(e))
            })?;
            (fd, path.display().to_string())
        }
        Lower::Open(fd) => {
            let fd = fd.try_clone().map_err(|e| Error::new(Kind::Failed, "dup", "lower").because(e))?;
            (fd, called.to_owned())
        }
    };
    let (fd, crossing) = without_mounts(fd);
    let open = reopen(&fd).and_then(|fd| Directory::new(fd, crossing));
    Ok(Arc::new(open.map_err(|e| failed("open lower", &shown, e))?))
}

fn upper_path(spec: &StackSpec) -> String {
    spec.upper.as_ref().map(|upper| upper.display().to_string()).unwrap_or_default()
}

/// A volatile overlay was written here and not ended in order.
fn unclean(upper: &Path, work: &Path) -> Error {
    Error::new(Kind::Request, "upper layer", upper.display())
        .because("was written by a volatile overlay that did not end in order, and may lack some of it")
        .hint(format!(
            "start with an empty upper, or trust it as it is: rm -r {}",
            work.join("work/incompat/volatile").display()
        ))
}

/// Upper and work again, on a clone of their mount of our own, as overlayfs has it: what is done to the mount they were found
/// on (detached with our own mount still on it, mounted with `noatime`) does not concern us. `None` where there is none:
/// not privileged, or nothing above both is on their mount.
fn on_own_mount(upper: &Path, work: &Path, traceless: bool) -> Option<(OwnedFd, OwnedFd)> {
    let pairs = upper.components().zip(work.components());
    let above: PathBuf = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let place = open_path(&above).ok()?;
    let found = open_path(upper).ok()?;
    if mount_of(place.as_fd()).ok()? != mount_of(found.as_fd()).ok()? {
        return None;
    }
    let clone = clone_of_mount(&place, traceless)?;
    let again = |path: &Path| {
        let below = path.strip_prefix(&above).ok().filter(|below| !below.as_os_str().is_empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(&clone, below, flags, Mode::empty(), resolve).ok()?;
        let one = crate::layer::stat_of(fd.as_fd()).ok()?;
        let other = crate::layer::stat_of(open_path(path).ok()?.as_fd()).ok()?;
        (one.identity() == other.identity()).then_some(fd)
    };
    Some((again(upper)?, again(work)?))
}

/// Upper and work, open for reading, on one mount.
fn open_upper(upper: &Path, work: &Path, traceless: bool) -> Result<(OwnedFd, OwnedFd)> {
    let open = |op, path: &Path| {
        open_path(path)
            .and_then(|fd| reopen(&fd))
            .map_err(|e| Error::new(Kind::Request, op, path.display()).because(std::io::Error::from(e)))
    };
    let upper_fd = open("open upper", upper)?;
    let work_fd = open("open work folder", work)?;
    let same = match (mount_of(upper_fd.as_fd()), mount_of(work_fd.as_fd())) {
        (Ok(a), Ok(b)) => a == b,
        _ => true,
    };
    if !same {
        return Err(Error::new(Kind::Request, "overlay", work.display())
            .because(format!("not on the same mount as the upper {}", upper.display())));
    }
    Ok(on_own_mount(upper, work, traceless).unwrap_or((upper_fd, work_fd)))
}
