//! The wire's trait: one short handler an operation.

use super::answer;
use super::backing::{Attached, Backings};
use super::habit::Habit;
use super::{Serving, Table, ioctl};
use crate::layer::{Answer, Errno, Stat};
use crate::merge::Entry as Listed;
use crate::union::{Change, Maker, New, Node, OpenFile, Stack};
use fusewire::abi::{feature, open as kept};
use fusewire::{
    Changes, Connection, Controlled, Entry, Filesystem, Known, Listing, ListingPlus, Making, Name, Offer, Opened,
    Request, Span, Terms, Totals, Writing, XattrMode,
};
use rustix::fs::FileType;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long attributes are kept that may change without our knowing.
const A_MOMENT: Duration = Duration::from_secs(1);
/// What the kernel may keep of an open file, and that closing it needs no word.
const OPENED: u32 = kept::KEEP_CACHE | kept::NOFLUSH;
/// Entries told of before the number of nodes is looked at again.
const BETWEEN_PRUNING: u32 = 256;
/// Files up to this size are given to the kernel when they are opened.
const SMALL_BYTES: usize = 128 << 10;

thread_local! {
    static CONTENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Set-user-id and set-group-id.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// An open file, and how the kernel has it.
#[derive(Debug)]
pub(super) struct Handle {
    file: OpenFile,
    /// The node id it was opened under, where that is counted.
    attached: Option<u64>,
    /// Whether the kernel reads and writes it itself.
    backed: bool,
}

/// A stack as it is served.
#[derive(Debug)]
pub(super) struct Served {
    stack: Arc<Stack>,
    serving: Serving,
    files: Table<Handle>,
    /// There where files are passed through.
    backings: OnceLock<Backings>,
    connection: OnceLock<Connection>,
    habit: Habit,
    /// Entries told of.
    told: AtomicU32,
}

impl Served {
    pub(super) fn new(stack: Arc<Stack>, serving: Serving) -> Self {
        Self {
            stack,
            serving,
            files: Table::new(),
            backings: OnceLock::new(),
            connection: OnceLock::new(),
            habit: Habit::default(),
            told: AtomicU32::new(1),
        }
    }

    /// Has the kernel ask again for attributes that changed without an answer that says so.
    fn tell_outdated(&self) {
        for id in self.stack.outdated() {
            if let Some(connection) = self.connection.get() {
                let _ = connection.forget_inode(id, -1, 0);
            }
        }
    }

    fn node(&self, request: &Request<'_>) -> Answer<Arc<Node>> {
        self.stack.node(request.node)
    }

    fn file(&self, handle: u64) -> Answer<Arc<Handle>> {
        self.files.get(handle).ok_or(Errno::BADF)
    }

    /// An entry, which the kernel counts.
    fn enter(&self, node: &Arc<Node>, stat: &Stat) -> Entry {
        let id = self.stack.count(node);
        if self.told.fetch_add(1, Ordering::Relaxed).is_multiple_of(BETWEEN_PRUNING) {
            self.prune();
        }
        Entry {
            node: id,
            generation: 0,
            entry_valid: self.serving.offered.validity.get(),
            attributes_valid: self.valid(id),
            attributes: answer::attributes(stat),
        }
    }

    /// Has the kernel forget nodes, where more are held than should be. Kernels older than 6.18 do so when they want memory.
    fn prune(&self) {
        let surplus = self.stack.surplus();
        if let Some(connection) = self.connection.get().filter(|_| !surplus.is_empty())
            && let Err(e) = connection.prune(&surplus)
        {
            log::debug!("prune {} nodes: {e}", surplus.len());
        }
    }

    fn known(&self, id: u64, stat: &Stat) -> Known {
        Known { valid: self.valid(id), attributes: answer::attributes(stat) }
    }

    fn valid(&self, id: u64) -> Duration {
        let span = self.serving.offered.validity.get();
        if self.backings.get().is_some_and(|b| b.may_be_mapped(id)) { span.min(A_MOMENT) } else { span }
    }

    fn make(
        &self,
        request: &Request<'_>,
        name: &OsStr,
        new: New<'_>,
        making: &Making,
    ) -> Answer<(Arc<Node>, Stat, Option<OpenFile>)> {
        let parent = self.node(request)?;
        let maker = Maker { uid: request.uid, gid: request.gid, umask: making.umask };
        self.stack.make(&parent, name, new, making.mode, maker)
    }

    fn made(&self, request: &Request<'_>, name: &OsStr, new: New<'_>, making: &Making) -> Answer<Entry> {
        let (node, stat, _) = self.make(request, name, new, making)?;
        Ok(self.enter(&node, &stat))
    }

    /// Hands an open file to the kernel, which may do the reading and writing itself.
    fn hand_over(&self, id: u64, file: OpenFile, flags: u32, mode: u32) -> Answer<Opened> {
        let Some(backings) = self.backings.get() else {
            self.store(id, &file, flags);
            let handle = self.files.add(Arc::new(Handle { file, attached: None, backed: false }));
            return Ok(Opened { handle, flags: OPENED, backing: None });
        };
        let access = flags & libc::O_ACCMODE as u32;
        let (fd, upper) = file.descriptor();
        // The kernel would leave set-id bits when it writes.
        let leaves_bits = access != libc::O_RDONLY as u32 && mode & SET_ID != 0;
        let pass = !leaves_bits && (upper || self.stack.is_read_only());
        let attached = backings.attach(id, pass.then(|| fd.as_fd()), access == libc::O_RDWR as u32);
        drop(fd);
        let making_flags = flags;
        let (flags, backing) = match attached {
            Attached::Backed(backing) => (kept::NOFLUSH, Some(backing)),
            // An upper file may have been written past the page cache before.
            Attached::Plain if upper => (kept::NOFLUSH, None),
            Attached::Plain => {
                self.store(id, &file, making_flags);
                (OPENED, None)
            }
        };
        let file = Arc::new(Handle { file, attached: Some(id), backed: backing.is_some() });
        backings.remember(id, &file);
        let handle = self.files.add(file);
        Ok(Opened { handle, flags, backing })
    }

    /// Gives the kernel a small lower file's content before it asks for it: saves a READ, and since no READ changes what it
    /// thinks of the access time, the GETATTR of who looks at the file afterwards.
    fn store(&self, id: u64, file: &OpenFile, flags: u32) {
        let Some(connection) = self.connection.get() else { return };
        if flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_DIRECT) as u32 != 0 {
            return;
        }
        CONTENT.with_borrow_mut(|buffer| {
            // One byte more shows whether that is all.
            buffer.resize(SMALL_BYTES + 1, 0);
            self.stack.show_once(file, buffer, |content| {
                if let Err(e) = connection.store(id, 0, content) {
                    log::debug!("store {} bytes for node {id}: {e}", content.len());
                }
            });
        });
    }
}

fn name(entry: &Listed) -> Name<'_> {
    Name { name: &entry.name, inode: entry.inode, kind: answer::kind(entry.kind), next: entry.offset }
}

/// As much of `bytes` as fits; gives all their length.
fn fill(bytes: &[u8], into: &mut [u8]) -> usize {
    for (room, byte) in into.iter_mut().zip(bytes) {
        *room = *byte;
    }
    bytes.len()
}

impl Filesystem for Served {
    fn init(&self, offer: &Offer, connection: &Connection) -> Terms {
        let mut terms = Terms::default();
        let _ = self.connection.set(connection.clone());
        terms.features |= feature::ATOMIC_O_TRUNC
            | feature::DONT_MASK
            | feature::PARALLEL_DIROPS
            | feature::DO_READDIRPLUS
            | feature::READDIRPLUS_AUTO
            | feature::ASYNC_DIO
            | feature::CACHE_SYMLINKS
            | feature::HANDLE_KILLPRIV_V2
            | feature::SETXATTR_EXT
            | feature::HAS_IOCTL_DIR;
        if self.serving.offered.acls {
            terms.features |= feature::POSIX_ACL;
        }
        // The two exclude each other (fs/fuse/inode.c, process_init_reply: "no passthrough with writeback cache").
        if self.serving.passthrough && offer.features & feature::PASSTHROUGH != 0 {
            terms.features |= feature::PASSTHROUGH;
            terms.stack_depth = self.serving.stack_depth;
            let _ = self.backings.set(Backings::new(connection.clone()));
        } else if !self.stack.is_read_only() && self.serving.offered.writeback {
            terms.features |= feature::WRITEBACK_CACHE;
        }
        terms
    }

    fn lookup(&self, request: &Request<'_>, name: &OsStr) -> Answer<Entry> {
        let parent = self.node(request)?;
        Ok(match self.stack.lookup(&parent, name)? {
            Some((node, stat)) => {
                if !node.is_folder() {
                    self.habit.asked();
                }
                self.enter(&node, &stat)
            }
            None => Entry { entry_valid: self.serving.offered.validity.get(), ..Entry::default() },
        })
    }

    fn forget(&self, node: u64, lookups: u64) {
        self.stack.forget(node, lookups);
    }

    fn get_attributes(&self, request: &Request<'_>, _: Option<u64>) -> Answer<Known> {
        let stat = self.stack.stat(&*self.node(request)?)?;
        Ok(self.known(request.node, &stat))
    }

    fn set_attributes(&self, request: &Request<'_>, changes: &Changes) -> Answer<Known> {
        let change = Change {
            mode: changes.mode,
            uid: changes.uid,
            gid: changes.gid,
            size_bytes: changes.size_bytes,
            accessed: changes.accessed.map(answer::when),
            modified: changes.modified.map(answer::when),
            drop_set_id: changes.kill_set_id,
        };
        let named = changes.handle.and_then(|handle| self.files.get(handle));
        let file = named.or_else(|| self.backings.get()?.open_file(request.node));
        let node = self.node(request)?;
        let stat = self.stack.set_attributes(&node, &change, file.as_deref().map(|f| &f.file))?;
        Ok(self.known(request.node, &stat))
    }

    fn read_link(&self, request: &Request<'_>, into: &mut [u8]) -> Answer<usize> {
        let target = self.stack.read_link(&*self.node(request)?)?;
        Ok(fill(&target, into))
    }

    fn symlink(&self, request: &Request<'_>, name: &OsStr, target: &OsStr) -> Answer<Entry> {
        self.made(request, name, New::Link(target), &Making { mode: 0o777, ..Making::default() })
    }

    fn make_node(&self, request: &Request<'_>, name: &OsStr, making: &Making) -> Answer<Entry> {
        self.made(request, name, New::Node(FileType::from_raw_mode(making.mode), making.rdev), making)
    }

    fn make_folder(&self, request: &Request<'_>, name: &OsStr, making: &Making) -> Answer<Entry> {
        self.made(request, name, New::Folder, making)
    }

    fn unlink(&self, request: &Request<'_>, name: &OsStr) -> Answer<()> {
        self.stack.unlink(&self.node(request)?, name)
    }

    fn remove_folder(&self, request: &Request<'_>, name: &OsStr) -> Answer<()> {
        self.stack.rmdir(&self.node(request)?, name)
    }

    fn rename(&self, request: &Request<'_>, name: &OsStr, to: u64, to_name: &OsStr, flags: u32) -> Answer<()> {
        if flags & !(libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE) != 0 {
            return Err(Errno::INVAL);
        }
        let (from, to) = (self.node(request)?, self.stack.node(to)?);
        let (keep, exchange) = (flags & libc::RENAME_NOREPLACE != 0, flags & libc::RENAME_EXCHANGE != 0);
        let renamed = self.stack.rename(&from, name, &to, to_name, keep, exchange);
        self.tell_outdated();
        renamed
    }

    fn link(&self, request: &Request<'_>, node: u64, name: &OsStr) -> Answer<Entry> {
        let (node, parent) = (self.stack.node(node)?, self.node(request)?);
        let stat = self.stack.link(&node, &parent, name)?;
        Ok(self.enter(&node, &stat))
    }

    fn open(&self, request: &Request<'_>, flags: u32, kill_set_id: bool) -> Answer<Opened> {
        let node = self.node(request)?;
        let writes = flags & libc::O_ACCMODE as u32 != libc::O_RDONLY as u32;
        let truncate = flags & libc::O_TRUNC as u32 != 0;
        let file = self.stack.open_file(&node, writes, truncate, kill_set_id)?;
        if writes || truncate {
            self.tell_outdated();
        }
        let mode = match self.backings.get() {
            Some(_) if writes => file.mode()?,
            _ => 0,
        };
        self.hand_over(request.node, file, flags, mode)
    }

    fn create(&self, request: &Request<'_>, name: &OsStr, making: &Making) -> Answer<(Entry, Opened)> {
        let (node, stat, file) = self.make(request, name, New::File, making)?;
        let opened = self.hand_over(node.id(), file.ok_or(Errno::IO)?, making.flags, stat.mode)?;
        Ok((self.enter(&node, &stat), opened))
    }

    fn create_nameless(&self, request: &Request<'_>, making: &Making) -> Answer<(Entry, Opened)> {
        let maker = Maker { uid: request.uid, gid: request.gid, umask: making.umask };
        let (node, stat, file) = self.stack.make_unnamed(&self.node(request)?, making.mode, maker)?;
        let opened = self.hand_over(node.id(), file, making.flags, stat.mode)?;
        Ok((self.enter(&node, &stat), opened))
    }

    fn sync_all(&self, _: &Request<'_>) -> Answer<()> {
        self.serving.offered.sync()?;
        self.stack.sync_all()
    }

    fn read(&self, _: &Request<'_>, handle: u64, offset: u64, into: &mut [u8]) -> Answer<usize> {
        self.stack.read(&self.file(handle)?.file, into, offset)
    }

    fn write(&self, _: &Request<'_>, handle: u64, offset: u64, data: &[u8], how: Writing) -> Answer<usize> {
        let open = self.file(handle)?;
        // The kernel took the file's capabilities when it was written to, where that takes them (not by a mapping): bringing
        // the pages down later takes none.
        let capability = if how.cached { self.stack.capability(&open.file) } else { None };
        let mut done = self.stack.write(&open.file, data, offset, how.kill_set_id)?;
        // Of pages that it kept the kernel does not look at how much was written: the rest is written or an error, such as
        // ENOSPC, or it would be lost without a word.
        while let Some(rest) = data.get(done..).filter(|rest| how.cached && !rest.is_empty()) {
            match self.stack.write(&open.file, rest, offset + done as u64, false)? {
                0 => return Err(Errno::IO),
                more => done += more,
            }
        }
        if let Some(capability) = capability {
            self.stack.put_capability_back(&open.file, &capability)?;
        }
        Ok(done)
    }

    // flush: not implemented, since nothing is kept back here; told so once, the kernel asks no more.

    fn release(&self, _: u64, handle: u64) {
        let Some(open) = self.files.remove(handle) else { return };
        if let (Some(id), Some(backings)) = (open.attached, self.backings.get()) {
            backings.detach(id);
        }
    }

    fn sync(&self, _: &Request<'_>, handle: u64, data_only: bool) -> Answer<()> {
        self.serving.offered.sync()?;
        self.stack.sync(&self.file(handle)?.file, data_only)
    }

    // open_folder: not implemented. Told so once, the kernel opens directories itself, and keeps their listings.

    fn list(&self, request: &Request<'_>, _: u64, offset: u64, into: &mut Listing<'_>) -> Answer<()> {
        let listed = self.stack.list_from(&self.node(request)?, offset)?;
        for entry in listed.entries() {
            if !into.add(&name(entry)) {
                break;
            }
        }
        Ok(())
    }

    fn list_plus(&self, request: &Request<'_>, _: u64, offset: u64, into: &mut ListingPlus<'_>) -> Answer<()> {
        let parent = self.node(request)?;
        let listed = self.stack.list_from(&parent, offset)?;
        let names_alone = self.habit.listing(request.node, listed.entries().len());
        for entry in listed.entries() {
            if !into.has_room_for(&entry.name) {
                break;
            }
            let dots = entry.name == "." || entry.name == "..";
            if dots || names_alone && entry.kind != FileType::Directory {
                into.add(&name(entry), &Entry::default());
                continue;
            }
            // An entry that cannot be looked up is left out; asked for by name it tells its error.
            let Ok(Some((node, stat))) = self.stack.look_up_entry(&parent, entry) else { continue };
            into.add(&Name { inode: stat.inode, ..name(entry) }, &self.enter(&node, &stat));
        }
        Ok(())
    }

    fn sync_folder(&self, request: &Request<'_>, _: u64, _: bool) -> Answer<()> {
        self.serving.offered.sync()?;
        self.stack.sync_folder(&*self.node(request)?)
    }

    fn totals(&self, _: &Request<'_>) -> Answer<Totals> {
        let s = self.stack.stat_file_system()?;
        Ok(Totals {
            blocks: s.f_blocks,
            blocks_free: s.f_bfree,
            blocks_available: s.f_bavail,
            files: s.f_files,
            files_free: s.f_ffree,
            block_bytes: u32::try_from(s.f_bsize).unwrap_or(4096),
            name_bytes: u32::try_from(s.f_namelen).unwrap_or(255),
            fragment_bytes: u32::try_from(s.f_frsize).unwrap_or(4096),
        })
    }

    fn set_xattr(&self, request: &Request<'_>, name: &OsStr, value: &[u8], mode: XattrMode) -> Answer<()> {
        self.serving.offered.xattr(name)?;
        let node = self.node(request)?;
        let set = self.stack.set_xattr(&node, name, value, mode.flags);
        // Copied up it may be, whatever came of the rest.
        self.tell_outdated();
        set?;
        if mode.kill_set_group_id {
            let stat = self.stack.stat(&node)?;
            if stat.mode & libc::S_ISGID != 0 {
                let change = Change { mode: Some(stat.mode & !libc::S_ISGID), ..Change::default() };
                self.stack.set_attributes(&node, &change, None)?;
            }
        }
        Ok(())
    }

    fn get_xattr(&self, request: &Request<'_>, name: &OsStr, into: &mut [u8]) -> Answer<usize> {
        self.serving.offered.xattr(name)?;
        Ok(fill(&self.stack.get_xattr(&*self.node(request)?, name)?, into))
    }

    fn list_xattrs(&self, request: &Request<'_>, into: &mut [u8]) -> Answer<usize> {
        let privileged = request.uid == 0;
        let names = self.stack.list_xattrs(&*self.node(request)?, privileged)?;
        Ok(fill(&self.serving.offered.listed(names)?, into))
    }

    fn remove_xattr(&self, request: &Request<'_>, name: &OsStr) -> Answer<()> {
        self.serving.offered.xattr(name)?;
        let removed = self.stack.remove_xattr(&self.node(request)?, name);
        self.tell_outdated();
        removed
    }

    fn allocate(&self, request: &Request<'_>, span: Span, mode: u32) -> Answer<()> {
        // The kernel does not say whether the caller may keep set-id bits: the user is the closest to it.
        let kill_set_id = request.uid != 0;
        self.stack.allocate(&self.file(span.handle)?.file, mode, span.offset, span.length, kill_set_id)
    }

    fn seek(&self, _: &Request<'_>, handle: u64, offset: u64, whence: u32) -> Answer<u64> {
        let hole = match whence as i32 {
            libc::SEEK_DATA => false,
            libc::SEEK_HOLE => true,
            _ => return Err(Errno::INVAL),
        };
        let open = self.file(handle)?;
        if !open.backed && open.file.node.has_writers() {
            // The kernel may hold written pages that it does not bring here before it asks (fuse_lseek): a hole told now
            // could be data, and cp would leave it out. EINVAL sends callers to reading.
            return Err(Errno::INVAL);
        }
        self.stack.seek(&open.file, offset, hole)
    }

    fn copy_range(&self, _: &Request<'_>, from: Span, to: u64, to_offset: u64) -> Answer<u64> {
        let (source, target) = (self.file(from.handle)?, self.file(to)?);
        let length = usize::try_from(from.length.min(1 << 30)).unwrap_or(1 << 30);
        self.stack.copy_range(&source.file, from.offset, &target.file, to_offset, length).map(|done| done as u64)
    }

    fn control(
        &self,
        request: &Request<'_>,
        handle: u64,
        command: u32,
        argument: &[u8],
        into: &mut [u8],
    ) -> Answer<Controlled> {
        match self.files.get(handle) {
            Some(open) => ioctl::answer(open.file.descriptor().0.as_fd(), command, argument, into),
            None => self.stack.by_descriptor(&*self.node(request)?, |fd| ioctl::answer(fd, command, argument, into)),
        }
    }
}
