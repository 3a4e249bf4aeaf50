//! An operation done to a real tree, by system calls relative to the root's descriptor: nothing is started, nothing is
//! walked by absolute path but where a call has no other form.

use super::acl;
use super::apply::{DEVICE, value};
use super::operation::{Allocation, Answer, Flag, How, NodeKind, Op, XattrFlag, bytes};
use rustix::fs::{AtFlags, FallocateFlags, FileType, Gid, Mode, OFlags, RawDir, RenameFlags, SeekFrom, Stat, Timespec};
use rustix::fs::{Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

type Result<T> = std::result::Result<T, Errno>;

/// An entry as a listing shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// `st_mode >> 12`; 0 where the listing does not say
    pub(crate) kind: u32,
    pub(crate) inode: u64,
}

/// A mounted tree and what is open in it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) path: PathBuf,
    pub(crate) root: OwnedFd,
    pub(crate) lists_whiteouts: bool,
    pub(crate) files: BTreeMap<u8, OwnedFd>,
    pub(crate) folders: BTreeMap<u8, OwnedFd>,
    /// What the last [`Op::NextNames`] gave; `None` at the end.
    pub(crate) listed: Option<Vec<Listed>>,
}

/// Takes CAP_FSETID from this thread for as long as it is there.
struct Lesser(Option<rustix::thread::CapabilitySets>);

impl Lesser {
    fn new(wanted: bool) -> Self {
        let now = wanted.then(|| rustix::thread::capabilities(None).expect("capabilities"));
        if let Some(now) = now {
            let effective = now.effective - CapabilitySet::FSETID;
            let sets = rustix::thread::CapabilitySets { effective, ..now };
            rustix::thread::set_capabilities(None, sets).expect("fewer capabilities");
        }
        Self(now)
    }
}

impl Drop for Lesser {
    fn drop(&mut self) {
        if let Some(sets) = self.0.take() {
            rustix::thread::set_capabilities(None, sets).expect("the capabilities from before");
        }
    }
}

impl World {
    pub(crate) fn new(path: PathBuf, lists_whiteouts: bool) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).expect("the mounted root");
        Self { path, root, lists_whiteouts, files: BTreeMap::new(), folders: BTreeMap::new(), listed: None }
    }

    /// Does it; answers as [`super::tree::Model::apply`] does.
    pub(crate) fn act(&mut self, op: &Op) -> Result<Answer> {
        let done = |()| Answer::Done;
        match op {
            Op::Create { path, mode, length, salt } => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&self.root, path, flags, Mode::from_raw_mode(*mode))?;
                write_at(fd.as_fd(), 0, &bytes(*length, *salt)).map(done)
            }
            Op::Write { path, how, at, length, salt, lesser } => {
                let fd = self.open_path(path, *how, false, true)?;
                let _lesser = Lesser::new(*lesser);
                write_at(fd.as_fd(), *at, &bytes(*length, *salt)).map(done)
            }
            Op::Truncate { path, size, lesser } => {
                let _lesser = Lesser::new(*lesser);
                let done = nix::unistd::truncate(&self.path.join(path), size.cast_signed());
                done.map(|()| Answer::Done).map_err(|e| Errno::from_raw_os_error(e as i32))
            }
            Op::Read { path } => {
                read_all(self.open_path(path, How::default(), true, false)?.as_fd()).map(Answer::Bytes)
            }
            Op::Mkdir { path, mode } => rustix::fs::mkdirat(&self.root, path, Mode::from_raw_mode(*mode)).map(done),
            Op::Rmdir { path } => rustix::fs::unlinkat(&self.root, path, AtFlags::REMOVEDIR).map(done),
            Op::Unlink { path } => rustix::fs::unlinkat(&self.root, path, AtFlags::empty()).map(done),
            Op::Rename { from, to, flag } => {
                let flags = match flag {
                    Flag::Plain => RenameFlags::empty(),
                    Flag::NoReplace => RenameFlags::NOREPLACE,
                    Flag::Exchange => RenameFlags::EXCHANGE,
                    Flag::Whiteout => RenameFlags::WHITEOUT,
                };
                rustix::fs::renameat_with(&self.root, from, &self.root, to, flags).map(done)
            }
            Op::Link { from, to, follow } => {
                let flags = if *follow { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
                rustix::fs::linkat(&self.root, from, &self.root, to, flags).map(done)
            }
            Op::Symlink { path, target } => rustix::fs::symlinkat(target, &self.root, path).map(done),
            Op::Mknod { path, node, mode } => {
                let (kind, device) = match node {
                    NodeKind::Fifo => (FileType::Fifo, 0),
                    NodeKind::Socket => (FileType::Socket, 0),
                    NodeKind::Regular => (FileType::RegularFile, 0),
                    NodeKind::Char => (FileType::CharacterDevice, DEVICE),
                    NodeKind::Block => (FileType::BlockDevice, DEVICE),
                    NodeKind::Whiteout => (FileType::CharacterDevice, 0),
                };
                rustix::fs::mknodat(&self.root, path, kind, Mode::from_raw_mode(*mode), device).map(done)
            }
            Op::Chmod { path, mode } => {
                rustix::fs::chmodat(&self.root, path, Mode::from_raw_mode(*mode), AtFlags::empty()).map(done)
            }
            Op::Chown { path, uid, gid, follow } => {
                let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                rustix::fs::chownat(&self.root, path, uid, gid, nofollow(*follow)).map(done)
            }
            Op::Times { path, seconds, nanoseconds, follow } => {
                let times = times(*seconds, *nanoseconds);
                rustix::fs::utimensat(&self.root, path, &times, nofollow(*follow)).map(done)
            }
            Op::SetXattr { path, name, length, salt, flag } => {
                let flags = match flag {
                    XattrFlag::Any => XattrFlags::empty(),
                    XattrFlag::Create => XattrFlags::CREATE,
                    XattrFlag::Replace => XattrFlags::REPLACE,
                };
                rustix::fs::lsetxattr(self.path.join(path), name, &value(name, *length, *salt), flags).map(done)
            }
            Op::RemoveXattr { path, name } => rustix::fs::lremovexattr(self.path.join(path), name).map(done),
            Op::GetXattr { path, name } => {
                let mut value = [0_u8; 1024];
                let length = rustix::fs::lgetxattr(self.path.join(path), name, &mut value)?;
                Ok(Answer::Bytes(value[..length].to_vec()))
            }
            Op::SetAcl { path, default, user, group, mask, other } => {
                let list = acl::encoded(*user, *group, *mask, *other);
                let name = if *default { acl::DEFAULT } else { acl::ACCESS };
                rustix::fs::lsetxattr(self.path.join(path), name, &list, XattrFlags::empty()).map(done)
            }
            Op::RemoveAcl { path, default } => {
                let name = if *default { acl::DEFAULT } else { acl::ACCESS };
                rustix::fs::lremovexattr(self.path.join(path), name).map(done)
            }
            Op::List { path } => {
                let mut names: Vec<_> = self.list(path)?.into_iter().map(|e| (e.name, e.kind)).collect();
                names.sort();
                Ok(Answer::Names(names))
            }
            Op::Look { path } => rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW).map(|_| Answer::Done),
            Op::Open { slot, path, how, read, write } => {
                let fd = self.open_path(path, *how, *read, *write)?;
                if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
                    return Ok(Answer::Skipped);
                }
                self.files.insert(*slot, fd);
                Ok(Answer::Done)
            }
            Op::Tmpfile { slot, path, mode, exclusive } => {
                let mut flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                flags.set(OFlags::EXCL, *exclusive);
                let fd = rustix::fs::openat(&self.root, path, flags, Mode::from_raw_mode(*mode))?;
                self.files.insert(*slot, fd);
                Ok(Answer::Done)
            }
            Op::OpenFolder { slot, path } => {
                let fd = self.open_folder(path)?;
                self.folders.insert(*slot, fd);
                Ok(Answer::Done)
            }
            Op::NextNames { slot, bytes } => {
                let Some(fd) = self.folders.get(slot) else { return Ok(Answer::Skipped) };
                let mut listed = Vec::new();
                let more = next_names(fd.as_fd(), *bytes, &mut listed)?;
                self.without_whiteouts(fd.as_fd(), &mut listed);
                self.listed = more.then_some(listed);
                Ok(Answer::Done)
            }
            Op::CloseFolder { slot } => {
                self.folders.remove(slot);
                Ok(Answer::Done)
            }
            Op::Umask { mask } => {
                rustix::process::umask(Mode::from_raw_mode(*mask));
                Ok(Answer::Done)
            }
            Op::Remount | Op::Swap | Op::Freeze => Ok(Answer::Skipped),
            _ => self.by_descriptor(op),
        }
    }

    fn by_descriptor(&mut self, op: &Op) -> Result<Answer> {
        let done = |()| Ok(Answer::Done);
        let slot = match op {
            Op::ReadOpen { slot, .. } | Op::Holes { slot } | Op::Close { slot } => *slot,
            _ => op.slots()[0],
        };
        let Some(fd) = self.files.get(&slot) else { return Ok(Answer::Skipped) };
        match op {
            Op::LinkOpen { path, .. } => {
                let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
                let flags = AtFlags::SYMLINK_FOLLOW;
                rustix::fs::linkat(rustix::fs::CWD, name, &self.root, path, flags).and_then(done)
            }
            Op::ReadOpen { at, length, .. } => read_at(fd.as_fd(), *at, *length).map(Answer::Bytes),
            Op::WriteOpen { at, length, salt, lesser, .. } => {
                let _lesser = Lesser::new(*lesser);
                write_at(fd.as_fd(), *at, &bytes(*length, *salt)).and_then(done)
            }
            Op::TruncateOpen { size, .. } => rustix::fs::ftruncate(fd, *size).and_then(done),
            Op::ChmodOpen { mode, .. } => rustix::fs::fchmod(fd, Mode::from_raw_mode(*mode)).and_then(done),
            Op::ChownOpen { uid, gid, .. } => {
                rustix::fs::fchown(fd, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid))).and_then(done)
            }
            Op::TimesOpen { seconds, nanoseconds, .. } => {
                rustix::fs::futimens(fd, &times(*seconds, *nanoseconds)).and_then(done)
            }
            Op::SetXattrOpen { name, length, salt, .. } => {
                rustix::fs::fsetxattr(fd, name, &value(name, *length, *salt), XattrFlags::empty()).and_then(done)
            }
            Op::Allocate { what, at, length, .. } => {
                let mode = match what {
                    Allocation::Grow => FallocateFlags::empty(),
                    Allocation::Keep => FallocateFlags::KEEP_SIZE,
                    Allocation::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                };
                rustix::fs::fallocate(fd, mode, *at, *length).and_then(done)
            }
            Op::CopyRange { to, at, to_at, length, .. } => {
                let Some(target) = self.files.get(to) else { return Ok(Answer::Skipped) };
                copy_range(fd.as_fd(), target.as_fd(), *at, *to_at, *length).map(Answer::Count)
            }
            Op::MapWrite { at, length, salt, .. } => {
                let size = rustix::fs::fstat(fd)?.st_size as usize;
                let errno = |e: std::io::Error| Errno::from_raw_os_error(e.raw_os_error().unwrap_or(0));
                let mapping = sys::mapping::Mapping::shared(fd.as_fd(), size.max(1), true).map_err(errno)?;
                if size == 0 {
                    return Ok(Answer::Skipped);
                }
                let start = *at as usize % size;
                assert!(mapping.write(start, &bytes((*length).min(size - start), *salt)), "within the mapping");
                Ok(Answer::Done)
            }
            Op::Sync { .. } => rustix::fs::fsync(fd).and_then(done),
            Op::Close { .. } => {
                self.files.remove(&slot);
                Ok(Answer::Done)
            }
            _ => Ok(Answer::Done),
        }
    }

    fn open_path(&self, path: &str, how: How, read: bool, write: bool) -> Result<OwnedFd> {
        let mut flags = match (read, write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        flags |= OFlags::CLOEXEC | OFlags::NONBLOCK;
        flags.set(OFlags::CREATE, how.create);
        flags.set(OFlags::TRUNC, how.truncate);
        flags.set(OFlags::APPEND, how.append);
        flags.set(OFlags::NOFOLLOW, how.nofollow);
        rustix::fs::openat(&self.root, path, flags, Mode::from_raw_mode(0o666))
    }

    pub(crate) fn open_folder(&self, path: &str) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.root, path, flags, Mode::empty())
    }

    /// All entries but `.` and `..`.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Listed>> {
        let fd = self.open_folder(path)?;
        let mut all = Vec::new();
        while next_names(fd.as_fd(), 4096, &mut all)? {}
        self.without_whiteouts(fd.as_fd(), &mut all);
        Ok(all)
    }

    /// The kernel lists the whiteouts of a directory that only one lower layer has, though nothing can be found there: it
    /// reads such a directory as it is (ovl_iterate_real).
    fn without_whiteouts(&self, folder: BorrowedFd<'_>, listed: &mut Vec<Listed>) {
        if self.lists_whiteouts {
            let gone = |name: &str| rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_err();
            listed.retain(|e| e.kind != 2 || !gone(&e.name));
        }
    }

    pub(crate) fn stat(&self, path: &str, follow: bool) -> Result<Stat> {
        rustix::fs::statat(&self.root, path, nofollow(follow))
    }

    /// The xattrs of what `path` names, but those of an overlay's books.
    pub(crate) fn xattrs(&self, path: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let path = self.path.join(path);
        let mut names = vec![0_u8; 4096];
        let length = rustix::fs::llistxattr(&path, &mut names[..])?;
        let mut all = BTreeMap::new();
        for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut value = [0_u8; 1024];
            let length = rustix::fs::lgetxattr(&path, &name, &mut value)?;
            all.insert(name, value[..length].to_vec());
        }
        Ok(all)
    }

    /// A file's content, the link itself followed by nobody.
    pub(crate) fn content(&self, path: &str) -> Result<Vec<u8>> {
        read_all(self.open_path(path, How { nofollow: true, ..How::default() }, true, false)?.as_fd())
    }

    pub(crate) fn target(&self, path: &str) -> Result<String> {
        rustix::fs::readlinkat(&self.root, path, Vec::new()).map(|t| t.to_string_lossy().into_owned())
    }

    /// The runs of data in an open file, as lseek(2) tells them.
    pub(crate) fn data_runs(&self, slot: u8) -> Result<Vec<(u64, u64)>> {
        let Some(fd) = self.files.get(&slot) else { return Ok(Vec::new()) };
        let mut runs = Vec::new();
        let mut at = 0;
        loop {
            let start = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => return Ok(runs),
                Err(e) => return Err(e),
            };
            at = rustix::fs::seek(fd, SeekFrom::Hole(start))?;
            runs.push((start, at));
        }
    }
}

fn nofollow(follow: bool) -> AtFlags {
    if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
}

fn times(seconds: i64, nanoseconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}

fn write_at(fd: BorrowedFd<'_>, at: u64, bytes: &[u8]) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::pwrite(fd, &bytes[done..], at + done as u64)?;
    }
    Ok(())
}

fn read_at(fd: BorrowedFd<'_>, at: u64, length: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0_u8; length];
    let mut done = 0;
    while done < length {
        match rustix::io::pread(fd, &mut buffer[done..], at + done as u64)? {
            0 => break,
            got => done += got,
        }
    }
    buffer.truncate(done);
    Ok(buffer)
}

pub(crate) fn read_all(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        match rustix::io::read(fd, &mut buffer[..])? {
            0 => return Ok(all),
            got => all.extend_from_slice(&buffer[..got]),
        }
    }
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, at: u64, to_at: u64, length: usize) -> Result<usize> {
    let (mut from_at, mut to_at) = (at, to_at);
    // Once: what a second call would find may be what the first has written.
    rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), length)
}

/// One getdents64 with a buffer of `bytes`; false at the end.
fn next_names(fd: BorrowedFd<'_>, bytes: usize, into: &mut Vec<Listed>) -> Result<bool> {
    let mut buffer = vec![MaybeUninit::uninit(); bytes];
    let mut raw = RawDir::new(fd, &mut buffer);
    let mut any = false;
    while let Some(entry) = raw.next() {
        let entry = entry?;
        any = true;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            let kind = match entry.file_type() {
                FileType::Unknown => 0,
                kind => kind.as_raw_mode() >> 12,
            };
            into.push(Listed { name, kind, inode: entry.ino() });
        }
        if raw.is_buffer_empty() {
            break;
        }
    }
    Ok(any)
}
