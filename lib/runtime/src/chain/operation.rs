//! What is mounted and made in a sandbox's root, one operation after the other, as bwrap(1) has them.
//!
//! Two steps. [`prepare`] opens everything that comes from the caller's side (sources of bind mounts, layers of an overlay) before
//! anything is mounted: no source can be a thing inside the sandbox, nor show what is being built. [`Ready::apply`] then works in
//! the root by descriptor only ([`Tree`]).

use super::overlay::{self, Layers};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use crate::rootfs::masks::QUIET;
use crate::rootfs::mounts::{bind_file, clone_tree};
use crate::rootfs::nodes::{DEFAULT, LINKS};
use crate::rootfs::options::{Attributes, NODEV, NOEXEC, NOSUID, Options, RDONLY};
use crate::rootfs::tree::{Make, Tree, is_dir};
use crate::rootfs::{attach, copy_of, fsmount};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use sys::mount_attr::{MountAttr, mount_setattr};

/// Where an overlay's changes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upper {
    /// Into these two folders of one file system: upper and work.
    Folders(PathBuf, PathBuf),
    /// Into memory, gone with the sandbox.
    Memory,
    /// Nowhere: it is read-only.
    None,
}

/// One of them; destinations are paths inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The caller's file or folder, with all that is mounted below it.
    Bind {
        /// The caller's.
        source: PathBuf,
        /// Inside.
        destination: PathBuf,
        /// Cannot be written through.
        read_only: bool,
        /// Device nodes there can be opened.
        devices: bool,
        /// Left out where there is no such source.
        if_there: bool,
    },
    /// A new procfs.
    Proc(PathBuf),
    /// A new /dev: a tmpfs with the usual six devices, links, pts and shm.
    Dev(PathBuf),
    /// An empty tmpfs, with its mode and size in bytes.
    Tmpfs(PathBuf, Option<u32>, Option<u64>),
    /// A new file system of POSIX message queues.
    Mqueue(PathBuf),
    /// Folders of the caller's laid over each other, the lowest first.
    Overlay {
        /// Only read.
        lowers: Vec<PathBuf>,
        /// Written.
        upper: Upper,
        /// Inside.
        destination: PathBuf,
    },
    /// A folder, with the mode it gets where it is made.
    Dir(PathBuf, Option<u32>),
    /// A symbolic link: target, place.
    Symlink(OsString, PathBuf),
    /// A new file with what can be read from this descriptor, and its mode.
    File(i32, PathBuf, Option<u32>),
    /// The same, but in memory and mounted there; read-only where true.
    Data(i32, PathBuf, Option<u32>, bool),
    /// The mount there becomes read-only (not what is mounted below it).
    RemountReadOnly(PathBuf),
    /// Another mode.
    Chmod(u32, PathBuf),
}

/// An operation with its sources opened.
#[derive(Debug)]
pub(super) enum Ready<'a> {
    /// Nothing to do: the source is not there and need not be.
    Nothing,
    Bind(OwnedFd, Attributes, &'a Path),
    Overlay(Layers<'a>, &'a Path),
    Plain(&'a Operation),
}

/// Opens the sources.
pub(super) fn prepare(operation: &Operation) -> Result<Ready<'_>> {
    Ok(match operation {
        Operation::Bind { source, destination, read_only, devices, if_there } => {
            let opened = clone_tree(source, true);
            let missing = opened.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ENOENT));
            if *if_there && missing {
                return Ok(Ready::Nothing);
            }
            let mount = opened.map_err(|e| {
                let error = failed("bind", source.display(), e);
                if missing {
                    error.hint("or leave it out where it is not there: --bind-try, --ro-bind-try")
                } else {
                    error
                }
            })?;
            let set = NOSUID | if *devices { 0 } else { NODEV } | if *read_only { RDONLY } else { 0 };
            Ready::Bind(mount, Attributes { set, clear: 0 }, destination)
        }
        Operation::Overlay { lowers, upper, destination } => Ready::Overlay(overlay::open(lowers, upper)?, destination),
        plain => Ready::Plain(plain),
    })
}

/// The root that is being built.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) tree: Tree,
    /// A tmpfs mounted over the caller's root, where nobody looks, for what only mounts of it may show. The new root goes
    /// over it, and it goes with the old one.
    pub(super) staging: Option<OwnedFd>,
    /// A pid namespace of its own, so that a new procfs can be had.
    pub(super) own_pids: bool,
    /// Inside a user namespace, where overlays keep their marks in `user.*`.
    pub(super) user_namespace: bool,
}

impl Site {
    /// Does one operation.
    pub(super) fn apply(&mut self, ready: Ready<'_>) -> Result<()> {
        match ready {
            Ready::Nothing => Ok(()),
            Ready::Bind(mount, attributes, destination) => self.bind(mount, attributes, destination),
            Ready::Overlay(layers, destination) => {
                let memory = if layers.in_memory() { Some(self.staging()?) } else { None };
                let mount = layers.mount(memory, self.user_namespace, destination)?;
                self.put(mount, destination, Make::Directory)
            }
            Ready::Plain(operation) => self.plain(operation),
        }
    }

    fn plain(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Proc(destination) => self.proc(destination),
            Operation::Dev(destination) => self.dev(destination),
            Operation::Tmpfs(destination, mode, size) => self.tmpfs(destination, mode.unwrap_or(0o755), *size),
            Operation::Mqueue(destination) => self.file_system("mqueue", destination, QUIET, Vec::new()),
            Operation::Dir(destination, mode) => self.dir(destination, *mode),
            Operation::Symlink(target, destination) => self.symlink(target, destination),
            Operation::File(number, destination, mode) => self.file(*number, destination, mode.unwrap_or(0o666)),
            Operation::Data(number, destination, mode, read_only) => {
                self.data(*number, destination, mode.unwrap_or(0o600), *read_only)
            }
            Operation::RemountReadOnly(destination) => self.remount_read_only(destination),
            Operation::Chmod(mode, destination) => self.chmod(*mode, destination),
            // Prepared before.
            Operation::Bind { .. } | Operation::Overlay { .. } => Ok(()),
        }
    }

    /// Puts a detached mount in place; over the root itself it becomes the root.
    fn put(&mut self, mount: OwnedFd, destination: &Path, make: Make) -> Result<()> {
        let name = destination.display();
        if is_root(destination) {
            if make == Make::File {
                return Err(invalid("mount", name, "a file cannot be the root"));
            }
            attach(mount.as_fd(), self.tree.as_fd()).map_err(|e| failed("mount", name, e))?;
            self.tree = Tree::new(mount);
            return Ok(());
        }
        let place = self.tree.ensure(destination, make).map_err(|e| unwritable(failed("make mount point", name, e)))?;
        attach(mount.as_fd(), place.as_fd()).map_err(|e| failed("mount", destination.display(), e))
    }

    fn bind(&mut self, mount: OwnedFd, attributes: Attributes, destination: &Path) -> Result<()> {
        let name = destination.display();
        let attr = MountAttr { set: attributes.set, ..MountAttr::default() };
        mount_setattr(mount.as_fd(), c"", true, &attr).map_err(|e| failed("set mount attributes of", &name, e))?;
        let make = if is_dir(&mount).map_err(|e| failed("stat", &name, e))? { Make::Directory } else { Make::File };
        self.put(mount, destination, make)
    }

    fn file_system(&mut self, kind: &str, destination: &Path, set: u64, data: Vec<String>) -> Result<()> {
        let options = Options { attributes: Attributes { set, clear: 0 }, data, ..Options::default() };
        let mount = fsmount::detached(kind, kind, &options).map_err(|e| e.at(&destination.display().to_string()))?;
        self.put(mount, destination, Make::Directory)
    }

    fn tmpfs(&mut self, destination: &Path, mode: u32, size: Option<u64>) -> Result<()> {
        let mut data = vec![format!("mode={mode:o}")];
        data.extend(size.map(|bytes| format!("size={bytes}")));
        self.file_system("tmpfs", destination, NOSUID | NODEV, data)
    }

    /// A new one shows the processes of the pid namespace we are in; where it may not be mounted, or shows no other than the
    /// caller's anyway, the caller's is bound.
    fn proc(&mut self, destination: &Path) -> Result<()> {
        let options = Options { attributes: Attributes { set: QUIET, clear: 0 }, ..Options::default() };
        let mount = match fsmount::detached("proc", "proc", &options) {
            Ok(mount) => mount,
            Err(refused) if refused.is(libc::EPERM) && !self.own_pids => {
                let mount = clone_tree(Path::new("/proc"), true).map_err(|e| failed("bind", "/proc", e))?;
                let attr = MountAttr { set: QUIET, ..MountAttr::default() };
                mount_setattr(mount.as_fd(), c"", true, &attr)
                    .map_err(|e| failed("set mount attributes of", destination.display(), e))?;
                mount
            }
            Err(refused) => {
                let error = refused.at(&destination.display().to_string());
                return Err(
                    error.hint("a part of the caller's /proc is covered; bind that instead: --bind /proc /proc")
                );
            }
        };
        self.put(mount, destination, Make::Directory)
    }

    fn dev(&mut self, destination: &Path) -> Result<()> {
        self.file_system("tmpfs", destination, NOSUID | NODEV, vec!["mode=0755".into(), "size=65536k".into()])?;
        for (name, major, minor) in DEFAULT {
            let source = Path::new("/dev").join(name);
            let fd = rustix::fs::open(&source, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| failed("bind device", source.display(), e))?;
            let stat = rustix::fs::fstat(&fd).map_err(|e| failed("stat", source.display(), e))?;
            let right = stat.st_rdev == makedev(major, minor)
                && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
            if !right {
                return Err(invalid("bind device", source.display(), "is another device on this machine"));
            }
            let place = destination.join(name);
            let say = |e: std::io::Error| failed("bind device", place.display(), e);
            let at = self.tree.ensure(&place, Make::File).map_err(say)?;
            bind_file(fd.as_fd(), at.as_fd()).map_err(say)?;
        }
        for (name, target) in LINKS.into_iter().chain([("ptmx", "pts/ptmx")]) {
            self.symlink(OsStr::new(target), &destination.join(name))?;
        }
        let pts = ["newinstance", "ptmxmode=0666", "mode=0620"].map(str::to_owned).to_vec();
        self.file_system("devpts", &destination.join("pts"), NOSUID | NOEXEC, pts)?;
        let shm = vec!["mode=1777".to_owned(), format!("size={}", spec::defaults::SHM_SIZE_BYTES)];
        self.file_system("tmpfs", &destination.join("shm"), QUIET, shm)
    }

    fn dir(&mut self, destination: &Path, mode: Option<u32>) -> Result<()> {
        let was_there = self.tree.open(destination, OFlags::PATH | OFlags::DIRECTORY).is_ok();
        let made = self.tree.ensure(destination, Make::Directory);
        made.map_err(|e| unwritable(failed("make folder", destination.display(), e)))?;
        match mode.filter(|_| !was_there) {
            Some(mode) => self.chmod(mode, destination),
            None => Ok(()),
        }
    }

    fn symlink(&mut self, target: &OsStr, destination: &Path) -> Result<()> {
        let say = |e: std::io::Error| unwritable(failed("make link", destination.display(), e));
        let (dir, name) = self.tree.parent(destination).map_err(say)?;
        match rustix::fs::symlinkat(target, &dir, name.as_os_str()) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let there = rustix::fs::readlinkat(&dir, name.as_os_str(), Vec::new());
                let same = there.is_ok_and(|there| there.as_bytes() == std::os::unix::ffi::OsStrExt::as_bytes(target));
                if same { Ok(()) } else { Err(say(Errno::EXIST.into())) }
            }
            Err(e) => Err(say(e.into())),
        }
    }

    fn file(&mut self, number: i32, destination: &Path, mode: u32) -> Result<()> {
        let say = |e: std::io::Error| unwritable(failed("make file", destination.display(), e));
        let (dir, name) = self.tree.parent(destination).map_err(say)?;
        write_new(dir.as_fd(), &name, number, mode).map_err(say)
    }

    /// The file lies in the staging tmpfs, and a mount of it alone is put in place; its name there is gone then.
    fn data(&mut self, number: i32, destination: &Path, mode: u32, read_only: bool) -> Result<()> {
        let say = |e: std::io::Error| failed("make file for", destination.display(), e);
        let staging = self.staging()?;
        let name = OsString::from(format!("data.{number}"));
        write_new(staging.as_fd(), &name, number, mode).map_err(say)?;
        let fd = rustix::fs::openat(&staging, name.as_os_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| say(e.into()))?;
        let mount = copy_of(fd.as_fd(), false).map_err(say)?;
        let set = NOSUID | NODEV | if read_only { RDONLY } else { 0 };
        mount_setattr(mount.as_fd(), c"", false, &MountAttr { set, ..MountAttr::default() }).map_err(say)?;
        let done = self.put(mount, destination, Make::File);
        let _ = rustix::fs::unlinkat(&staging, name.as_os_str(), AtFlags::empty());
        done
    }

    fn remount_read_only(&mut self, destination: &Path) -> Result<()> {
        let say = |e: std::io::Error| {
            let none = e.raw_os_error() == Some(libc::EINVAL);
            let error = failed("remount read-only", destination.display(), e);
            if none { error.hint("nothing is mounted there") } else { error }
        };
        let fd = match is_root(destination) {
            true => rustix::io::fcntl_dupfd_cloexec(&self.tree, 3).map_err(|e| say(e.into()))?,
            false => self.tree.open(destination, OFlags::PATH).map_err(say)?,
        };
        mount_setattr(fd.as_fd(), c"", false, &MountAttr { set: RDONLY, ..MountAttr::default() }).map_err(say)
    }

    fn chmod(&mut self, mode: u32, destination: &Path) -> Result<()> {
        let say = |e: std::io::Error| unwritable(failed("chmod", destination.display(), e));
        let (dir, name) = match is_root(destination) {
            true => (rustix::io::fcntl_dupfd_cloexec(&self.tree, 3).map_err(|e| say(e.into()))?, OsString::from(".")),
            false => {
                self.tree.open(destination, OFlags::PATH).map_err(say)?;
                self.tree.parent(destination).map_err(say)?
            }
        };
        let stat = rustix::fs::statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(|e| say(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Err(say(Errno::LOOP.into()));
        }
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmodat(&dir, name.as_os_str(), mode, AtFlags::empty()).map_err(|e| say(e.into()))
    }

    fn staging(&self) -> Result<OwnedFd> {
        let staging = self.staging.as_ref().ok_or_else(|| Error::new(Kind::Failed, "staging", "was not made"))?;
        rustix::io::fcntl_dupfd_cloexec(staging, 3).map_err(|e| failed("dup", "staging", e))
    }
}

/// Whether operations need the staging tmpfs.
pub(super) fn need_staging(operations: &[Operation]) -> bool {
    let needs = |o: &Operation| match o {
        Operation::Data(..) => true,
        Operation::Overlay { upper, .. } => *upper == Upper::Memory,
        _ => false,
    };
    operations.iter().any(needs)
}

fn is_root(path: &Path) -> bool {
    path.components().all(|c| matches!(c, Component::RootDir | Component::CurDir))
}

fn unwritable(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EROFS) => error.hint(
            "its folder is read-only in there: make the place first, or order the options so that it can be made",
        ),
        _ => error,
    }
}

/// A new file with everything that can be read from the descriptor `number`.
fn write_new(dir: std::os::fd::BorrowedFd<'_>, name: &OsStr, number: i32, mode: u32) -> std::io::Result<()> {
    let from = sys::spawn::inherited(number)?;
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?;
    file::write_all(&to, &file::read_all(from)?)?;
    Ok(rustix::fs::fchmod(&to, Mode::from_raw_mode(mode & 0o7777))?)
}
