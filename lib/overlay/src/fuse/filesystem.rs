//! fuser's trait: one short handler an operation.

use super::Table;
use super::answer::{self, FOR_EVER};
use crate::layer::{Answer, Errno, Stat};
use crate::union::{Change, Maker, New, Node, OpenFile, OpenFolder, Stack};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::FileType;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Largest piece of a read or write.
const MOST_BYTES: u32 = 1 << 20;
/// The kernel reads ahead and writes back with so many requests at once.
const MOST_IN_FLIGHT: u16 = 64;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A stack as fuser serves it.
#[derive(Debug)]
pub(super) struct Served {
    stack: Stack,
    files: Table<OpenFile>,
    folders: Table<OpenFolder>,
}

/// Runs a handler; one that panics drops its reply, which answers EIO.
fn guarded(op: &str, handler: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(handler)).is_err() {
        log::error!("{op}: a fault of ours, answered with an input/output error");
    }
}

impl Served {
    pub(super) fn new(stack: Stack) -> Self {
        Self { stack, files: Table::new(), folders: Table::new() }
    }

    fn file(&self, handle: FileHandle) -> Answer<Arc<OpenFile>> {
        self.files.get(handle.0).ok_or(Errno::BADF)
    }

    /// Answers with an entry, which the kernel counts.
    fn enter(&self, made: Answer<(Arc<Node>, Stat)>, reply: ReplyEntry) {
        match made {
            Ok((node, stat)) => {
                self.stack.count(&node);
                reply.entry(&FOR_EVER, &answer::attributes(node.id(), &stat), Generation(0));
            }
            Err(e) => reply.error(answer::error(e)),
        }
    }

    fn make(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new: New<'_>,
        mode: u32,
        umask: u32,
    ) -> Answer<(Arc<Node>, Stat, Option<OpenFile>)> {
        let parent = self.stack.node(parent.0)?;
        let maker = Maker { uid: req.uid(), gid: req.gid(), umask };
        self.stack.make(&parent, name, new, mode, maker)
    }
}

fn empty(done: Answer<()>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(answer::error(e)),
    }
}

/// What the kernel may keep of an open file, and that closing it needs no word.
const OPENED: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE.union(FopenFlags::FOPEN_NOFLUSH);

/// Whether the caller may not keep set-id bits over a truncation. The kernel tells it of writes alone; for the others the
/// closest that fuser 0.18 lets us see is the user.
fn loses_set_id(req: &Request) -> bool {
    req.uid() != 0
}

impl Filesystem for Served {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = InitFlags::FUSE_ATOMIC_O_TRUNC
            | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2
            | InitFlags::FUSE_POSIX_ACL;
        if !self.stack.is_read_only() {
            wanted |= InitFlags::FUSE_WRITEBACK_CACHE;
        }
        for flag in wanted.iter() {
            // What an older kernel lacks is done without.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(MOST_BYTES);
        let _ = config.set_max_readahead(MOST_BYTES);
        let _ = config.set_max_background(MOST_IN_FLIGHT);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        guarded("lookup", || {
            let found = self.stack.node(parent.0).and_then(|p| self.stack.lookup(&p, name));
            match found.transpose() {
                Some(found) => self.enter(found, reply),
                None => reply.entry(&FOR_EVER, &answer::nothing(), Generation(0)),
            }
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        guarded("forget", || self.stack.forget(ino.0, nlookup));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        guarded("getattr", || match self.stack.node(ino.0).and_then(|n| self.stack.stat(&n)) {
            Ok(stat) => reply.attr(&FOR_EVER, &answer::attributes(ino.0, &stat)),
            Err(e) => reply.error(answer::error(e)),
        });
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        guarded("setattr", || {
            let change = Change {
                mode,
                uid,
                gid,
                size_bytes: size,
                accessed: atime.map(answer::when),
                modified: mtime.map(answer::when),
                drop_set_id: loses_set_id(req),
            };
            let file = fh.and_then(|fh| self.files.get(fh.0));
            let done = self.stack.node(ino.0);
            let done = done.and_then(|n| self.stack.set_attributes(&n, &change, file.as_deref()));
            match done {
                Ok(stat) => reply.attr(&FOR_EVER, &answer::attributes(ino.0, &stat)),
                Err(e) => reply.error(answer::error(e)),
            }
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        guarded("readlink", || match self.stack.node(ino.0).and_then(|n| self.stack.read_link(&n)) {
            Ok(target) => reply.data(&target),
            Err(e) => reply.error(answer::error(e)),
        });
    }

    fn mknod(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        guarded("mknod", || {
            let new = New::Node(FileType::from_raw_mode(mode), answer::decode_device(rdev));
            self.enter(self.make(req, parent, name, new, mode, umask).map(|(n, s, _)| (n, s)), reply);
        });
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        guarded("mkdir", || {
            self.enter(self.make(req, parent, name, New::Folder, mode, umask).map(|(n, s, _)| (n, s)), reply);
        });
    }

    fn symlink(&self, req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        guarded("symlink", || {
            let new = New::Link(target.as_os_str());
            self.enter(self.make(req, parent, link_name, new, 0o777, 0).map(|(n, s, _)| (n, s)), reply);
        });
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guarded("unlink", || empty(self.stack.node(parent.0).and_then(|p| self.stack.unlink(&p, name)), reply));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guarded("rmdir", || empty(self.stack.node(parent.0).and_then(|p| self.stack.rmdir(&p, name)), reply));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        guarded("rename", || {
            let known = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE;
            let done = (|| {
                if !known.contains(flags) {
                    return Err(Errno::INVAL);
                }
                let (from, to) = (self.stack.node(parent.0)?, self.stack.node(newparent.0)?);
                let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
                let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
                self.stack.rename(&from, name, &to, newname, keep, exchange)
            })();
            empty(done, reply);
        });
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        guarded("link", || {
            let done = (|| {
                let (node, parent) = (self.stack.node(ino.0)?, self.stack.node(newparent.0)?);
                let stat = self.stack.link(&node, &parent, newname)?;
                Ok((node, stat))
            })();
            self.enter(done, reply);
        });
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        guarded("open", || {
            let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
            let truncate = flags.0 & libc::O_TRUNC != 0;
            let opened = self.stack.node(ino.0);
            let opened = opened.and_then(|n| self.stack.open_file(&n, writes, truncate, loses_set_id(req)));
            match opened {
                Ok(file) => reply.opened(FileHandle(self.files.add(file)), OPENED),
                Err(e) => reply.error(answer::error(e)),
            }
        });
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        guarded("create", || match self.make(req, parent, name, New::File, mode, umask) {
            Ok((node, stat, Some(file))) => {
                self.stack.count(&node);
                let handle = FileHandle(self.files.add(file));
                reply.created(&FOR_EVER, &answer::attributes(node.id(), &stat), Generation(0), handle, OPENED);
            }
            Ok((_, _, None)) => reply.error(fuser::Errno::EIO),
            Err(e) => reply.error(answer::error(e)),
        });
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        guarded("read", || {
            BUFFER.with_borrow_mut(|buffer| {
                let size = size.min(MOST_BYTES) as usize;
                if buffer.len() < size {
                    buffer.resize(size, 0);
                }
                let buffer = buffer.get_mut(..size).unwrap_or_default();
                match self.file(fh).and_then(|file| self.stack.read(&file, buffer, offset)) {
                    Ok(done) => reply.data(buffer.get(..done).unwrap_or_default()),
                    Err(e) => reply.error(answer::error(e)),
                }
            });
        });
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        guarded("write", || {
            let drop_set_id = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
            match self.file(fh).and_then(|file| self.stack.write(&file, data, offset, drop_set_id)) {
                Ok(done) => reply.written(u32::try_from(done).unwrap_or(u32::MAX)),
                Err(e) => reply.error(answer::error(e)),
            }
        });
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        // Nothing is kept back here; told so once, the kernel asks no more.
        reply.error(fuser::Errno::ENOSYS);
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        guarded("release", || {
            drop(self.files.remove(fh.0));
            reply.ok();
        });
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        guarded("fsync", || empty(self.file(fh).and_then(|file| self.stack.sync(&file, datasync)), reply));
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        guarded("opendir", || match self.stack.node(ino.0).and_then(|n| self.stack.open_folder(&n)) {
            Ok(folder) => {
                let kept = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
                reply.opened(FileHandle(self.folders.add(folder)), kept);
            }
            Err(e) => reply.error(answer::error(e)),
        });
    }

    fn readdir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        guarded("readdir", || {
            let open = self.folders.get(fh.0).ok_or(Errno::BADF);
            match open.and_then(|open| self.stack.entries(&open, offset)) {
                Ok(entries) => {
                    for (at, entry) in entries.iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
                        let next = at as u64 + 1;
                        if reply.add(INodeNo(entry.inode), next, answer::kind(entry.kind), &entry.name) {
                            break;
                        }
                    }
                    reply.ok();
                }
                Err(e) => reply.error(answer::error(e)),
            }
        });
    }

    fn readdirplus(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        guarded("readdirplus", || {
            let open = self.folders.get(fh.0).ok_or(Errno::BADF);
            let listed = open.and_then(|open| Ok((self.stack.entries(&open, offset)?, open)));
            let (entries, open) = match listed {
                Ok(listed) => listed,
                Err(e) => return reply.error(answer::error(e)),
            };
            for (at, entry) in entries.iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
                let next = at as u64 + 1;
                if entry.name == "." || entry.name == ".." {
                    let attr = fuser::FileAttr {
                        ino: INodeNo(entry.inode),
                        kind: fuser::FileType::Directory,
                        ..answer::nothing()
                    };
                    if reply.add(attr.ino, next, &entry.name, &FOR_EVER, &attr, Generation(0)) {
                        break;
                    }
                    continue;
                }
                // An entry that cannot be looked up is left out; asked for by name it tells its error.
                let Ok(Some((node, stat))) = self.stack.look_up_entry(&open.node, entry) else { continue };
                self.stack.count(&node);
                let attr = answer::attributes(node.id(), &stat);
                if reply.add(attr.ino, next, &entry.name, &FOR_EVER, &attr, Generation(0)) {
                    self.stack.forget(node.id(), 1);
                    break;
                }
            }
            reply.ok();
        });
    }

    fn releasedir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        guarded("releasedir", || {
            drop(self.folders.remove(fh.0));
            reply.ok();
        });
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        guarded("fsyncdir", || empty(self.stack.node(ino.0).and_then(|n| self.stack.sync_folder(&n)), reply));
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        guarded("statfs", || match self.stack.stat_file_system() {
            Ok(s) => reply.statfs(
                s.f_blocks,
                s.f_bfree,
                s.f_bavail,
                s.f_files,
                s.f_ffree,
                u32::try_from(s.f_bsize).unwrap_or(4096),
                u32::try_from(s.f_namelen).unwrap_or(255),
                u32::try_from(s.f_frsize).unwrap_or(4096),
            ),
            Err(e) => reply.error(answer::error(e)),
        });
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        guarded("setxattr", || {
            let flags = u32::try_from(flags).unwrap_or(0);
            empty(self.stack.node(ino.0).and_then(|n| self.stack.set_xattr(&n, name, value, flags)), reply);
        });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        guarded("getxattr", || {
            xattr(self.stack.node(ino.0).and_then(|n| self.stack.get_xattr(&n, name)), size, reply);
        });
    }

    fn listxattr(&self, req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        guarded("listxattr", || {
            let privileged = req.uid() == 0;
            xattr(self.stack.node(ino.0).and_then(|n| self.stack.list_xattrs(&n, privileged)), size, reply);
        });
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guarded("removexattr", || {
            empty(self.stack.node(ino.0).and_then(|n| self.stack.remove_xattr(&n, name)), reply);
        });
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn bmap(&self, _req: &Request, _ino: INodeNo, _blocksize: u32, _idx: u64, reply: ReplyBmap) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(fuser::Errno::ENOTTY);
    }

    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        guarded("fallocate", || {
            let mode = u32::try_from(mode).unwrap_or(u32::MAX);
            let done = self.file(fh);
            empty(done.and_then(|f| self.stack.allocate(&f, mode, offset, length, loses_set_id(req))), reply);
        });
    }

    fn lseek(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        guarded("lseek", || {
            let sought = (|| {
                let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
                let hole = match whence {
                    libc::SEEK_DATA => false,
                    libc::SEEK_HOLE => true,
                    _ => return Err(Errno::INVAL),
                };
                let file = self.file(fh)?;
                if file.node.has_writers() {
                    // The kernel may hold written pages that it does not bring here before it asks (fuse_lseek): a hole
                    // told now could be data, and cp would leave it out. EINVAL sends callers to reading.
                    return Err(Errno::INVAL);
                }
                self.stack.seek(&file, offset, hole)
            })();
            match sought {
                Ok(at) => reply.offset(i64::try_from(at).unwrap_or(i64::MAX)),
                Err(e) => reply.error(answer::error(e)),
            }
        });
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        guarded("copy_file_range", || {
            let copied = (|| {
                let (from, to) = (self.file(fh_in)?, self.file(fh_out)?);
                // The answer has 32 bits.
                let length = usize::try_from(len.min(1 << 30)).unwrap_or(1 << 30);
                self.stack.copy_range(&from, offset_in, &to, offset_out, length)
            })();
            match copied {
                Ok(done) => reply.written(u32::try_from(done).unwrap_or(u32::MAX)),
                Err(e) => reply.error(answer::error(e)),
            }
        });
    }
}

/// Answers with a value or a list, or its length where the caller asks for that.
fn xattr(got: Answer<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match got {
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(fuser::Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(e) => reply.error(answer::error(e)),
    }
}
