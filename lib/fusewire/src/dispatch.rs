//! From a request's bytes to a handler and back: which body each operation has, and which answer.
//!
//! A body that ends early, or holds a name that is none, is answered with EIO: the kernel sends neither. A number that stands
//! for no operation is ENOSYS.

use crate::abi::{self, set};
use crate::attributes::{Timestamp, decode_device};
use crate::filesystem::{Answer, Changes, Filesystem, Making, Opened, SetTime, Span, Writing, XattrMode};
use crate::listing::{self, Listing, ListingPlus};
use crate::request::Request;
use crate::statistics::Statistics;
use crate::wire::{Reader, Writer};
use rustix::io::Errno;
use std::sync::atomic::Ordering::Relaxed;

/// What goes back to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Nothing: it does not wait.
    None,
    /// So many bytes of the buffer.
    Body(usize),
    /// An error number.
    Error(Errno),
}

/// A body is there but not what the operation has.
const ODD: Errno = Errno::IO;

/// Answers one request; what is answered is written into `into`.
pub(crate) fn answer<F: Filesystem>(
    fs: &F,
    request: &Request<'_>,
    body: Reader<'_>,
    into: &mut [u8],
    statistics: &Statistics,
) -> Reply {
    match request.opcode {
        abi::FORGET | abi::BATCH_FORGET => {
            forget(fs, request, body);
            Reply::None
        }
        abi::NOTIFY_REPLY => Reply::None,
        _ => match operate(fs, request, body, into, statistics) {
            Ok(length) => Reply::Body(length),
            Err(errno) => Reply::Error(errno),
        },
    }
}

fn forget<F: Filesystem>(fs: &F, request: &Request<'_>, mut body: Reader<'_>) {
    if request.opcode == abi::FORGET {
        if let Some(lookups) = body.u64() {
            fs.forget(request.node, lookups);
        }
        return;
    }
    let Some(count) = body.u32() else { return };
    if body.skip(4).is_none() {
        return;
    }
    for _ in 0..count {
        let (Some(node), Some(lookups)) = (body.u64(), body.u64()) else { return };
        fs.forget(node, lookups);
    }
}

/// An answer of fixed shape.
fn fixed<T>(made: Answer<T>, into: &mut [u8], put: impl FnOnce(&T, &mut Writer<'_>)) -> Answer<usize> {
    let made = made?;
    let mut out = Writer::new(into);
    put(&made, &mut out);
    out.finish().ok_or(Errno::IO)
}

fn done(answer: Answer<()>) -> Answer<usize> {
    answer.map(|()| 0)
}

fn put_opened(opened: &Opened, out: &mut Writer<'_>) {
    out.u64(opened.handle);
    out.u32(opened.flags | opened.backing.map_or(0, |_| abi::open::PASSTHROUGH));
    out.u32(opened.backing.unwrap_or(0));
}

fn operate<F: Filesystem>(
    fs: &F,
    request: &Request<'_>,
    mut body: Reader<'_>,
    into: &mut [u8],
    statistics: &Statistics,
) -> Answer<usize> {
    let r = request;
    let b = &mut body;
    match r.opcode {
        abi::LOOKUP => fixed(fs.lookup(r, b.name().ok_or(ODD)?), into, |e, out| e.put(out)),
        abi::GETATTR => {
            let (flags, _, handle) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?, b.u64().ok_or(ODD)?);
            let handle = (flags & abi::GETATTR_HANDLE != 0).then_some(handle);
            fixed(fs.get_attributes(r, handle), into, |k, out| k.put(out))
        }
        abi::STATX => {
            let (flags, _, handle) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?, b.u64().ok_or(ODD)?);
            let (_, mask) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let handle = (flags & abi::GETATTR_HANDLE != 0).then_some(handle);
            fixed(fs.get_extended(r, handle, mask), into, |e, out| e.put(out))
        }
        abi::SETATTR => {
            let changes = changes(b).ok_or(ODD)?;
            fixed(fs.set_attributes(r, &changes), into, |k, out| k.put(out))
        }
        abi::READLINK => fs.read_link(r, into),
        abi::SYMLINK => {
            let (name, target) = (b.name().ok_or(ODD)?, b.text().ok_or(ODD)?);
            fixed(fs.symlink(r, name, target), into, |e, out| e.put(out))
        }
        abi::MKNOD => {
            let (mode, rdev) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let (umask, _) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let making = Making { mode, umask, rdev: decode_device(rdev), ..Making::default() };
            fixed(fs.make_node(r, b.name().ok_or(ODD)?, &making), into, |e, out| e.put(out))
        }
        abi::MKDIR => {
            let making = Making { mode: b.u32().ok_or(ODD)?, umask: b.u32().ok_or(ODD)?, ..Making::default() };
            fixed(fs.make_folder(r, b.name().ok_or(ODD)?, &making), into, |e, out| e.put(out))
        }
        abi::UNLINK => done(fs.unlink(r, b.name().ok_or(ODD)?)),
        abi::RMDIR => done(fs.remove_folder(r, b.name().ok_or(ODD)?)),
        abi::RENAME => {
            let to = b.u64().ok_or(ODD)?;
            done(fs.rename(r, b.name().ok_or(ODD)?, to, b.name().ok_or(ODD)?, 0))
        }
        abi::RENAME2 => {
            let (to, flags, _) = (b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            done(fs.rename(r, b.name().ok_or(ODD)?, to, b.name().ok_or(ODD)?, flags))
        }
        abi::LINK => {
            let node = b.u64().ok_or(ODD)?;
            fixed(fs.link(r, node, b.name().ok_or(ODD)?), into, |e, out| e.put(out))
        }
        abi::OPEN => {
            let (flags, more) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            fixed(fs.open(r, flags, more & abi::OPEN_KILL_SUIDGID != 0), into, put_opened)
        }
        abi::CREATE | abi::TMPFILE => {
            let (flags, mode) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let (umask, more) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let kill_set_id = more & abi::OPEN_KILL_SUIDGID != 0;
            let making = Making { mode, umask, flags, kill_set_id, ..Making::default() };
            let made = if r.opcode == abi::CREATE {
                fs.create(r, b.name().ok_or(ODD)?, &making)
            } else {
                fs.create_nameless(r, &making)
            };
            fixed(made, into, |(entry, opened), out| {
                entry.put(out);
                put_opened(opened, out);
            })
        }
        abi::READ => {
            let (handle, offset, size) = (b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let into = into.get_mut(..size as usize).ok_or(Errno::INVAL)?;
            let length = fs.read(r, handle, offset, into)?;
            statistics.bytes_read.fetch_add(length as u64, Relaxed);
            Ok(length)
        }
        abi::WRITE => {
            let (handle, offset, size) = (b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let flags = b.u32().ok_or(ODD)?;
            b.skip(16).ok_or(ODD)?;
            let data = b.bytes(size as usize).ok_or(ODD)?;
            let (cached, kill) = (flags & abi::WRITE_CACHE != 0, flags & abi::WRITE_KILL_SUIDGID != 0);
            let length = fs.write(r, handle, offset, data, Writing { cached, kill_set_id: kill })?;
            statistics.bytes_written.fetch_add(length as u64, Relaxed);
            put_u32_pair(length, into)
        }
        abi::STATFS => fixed(fs.totals(r), into, |t, out| t.put(out)),
        abi::RELEASE => {
            fs.release(r.node, b.u64().ok_or(ODD)?);
            Ok(0)
        }
        abi::RELEASEDIR => {
            fs.release_folder(r.node, b.u64().ok_or(ODD)?);
            Ok(0)
        }
        abi::FSYNC | abi::FSYNCDIR => {
            let (handle, flags) = (b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let data_only = flags & abi::FSYNC_DATA != 0;
            if r.opcode == abi::FSYNC {
                done(fs.sync(r, handle, data_only))
            } else {
                done(fs.sync_folder(r, handle, data_only))
            }
        }
        abi::SYNCFS => done(fs.sync_all(r)),
        abi::SETXATTR | abi::GETXATTR | abi::LISTXATTR | abi::REMOVEXATTR => xattr(fs, r, b, into),
        abi::FLUSH => done(fs.flush(r, b.u64().ok_or(ODD)?)),
        abi::OPENDIR => fixed(fs.open_folder(r, b.u32().ok_or(ODD)?), into, put_opened),
        abi::READDIR | abi::READDIRPLUS => {
            let (handle, offset, size) = (b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let room = into.len().min(size as usize);
            let out = Writer::new(into.get_mut(..room).unwrap_or_default());
            if r.opcode == abi::READDIR {
                let mut listing = Listing(out);
                fs.list(r, handle, offset, &mut listing)?;
                return listing.0.finish().ok_or(Errno::IO);
            }
            let mut listing = ListingPlus(out);
            fs.list_plus(r, handle, offset, &mut listing)?;
            listing.0.finish().ok_or(Errno::IO)
        }
        abi::FALLOCATE => {
            let handle = b.u64().ok_or(ODD)?;
            let span = Span { handle, offset: b.u64().ok_or(ODD)?, length: b.u64().ok_or(ODD)? };
            done(fs.allocate(r, span, b.u32().ok_or(ODD)?))
        }
        abi::LSEEK => {
            let (handle, offset, whence) = (b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            fixed(fs.seek(r, handle, offset, whence), into, |at, out| out.u64(*at))
        }
        abi::COPY_FILE_RANGE | abi::COPY_FILE_RANGE_64 => {
            let (handle, offset) = (b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?);
            b.skip(8).ok_or(ODD)?;
            let (to, to_offset, length) = (b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?, b.u64().ok_or(ODD)?);
            if r.opcode == abi::COPY_FILE_RANGE_64 {
                return fixed(fs.copy_range(r, Span { handle, offset, length }, to, to_offset), into, |n, o| o.u64(*n));
            }
            // The older answer has 32 bits.
            let length = length.min(1 << 30);
            let copied = fs.copy_range(r, Span { handle, offset, length }, to, to_offset)?;
            put_u32_pair(usize::try_from(copied).unwrap_or(usize::MAX), into)
        }
        abi::IOCTL => control(fs, r, b, into),
        abi::DESTROY => {
            fs.destroy();
            Ok(0)
        }
        _ => Err(Errno::NOSYS),
    }
}

/// A count and 32 bits of nothing: `fuse_write_out`, `fuse_getxattr_out`.
fn put_u32_pair(number: usize, into: &mut [u8]) -> Answer<usize> {
    let mut out = Writer::new(into);
    out.u32(u32::try_from(number).unwrap_or(u32::MAX));
    out.u32(0);
    out.finish().ok_or(Errno::IO)
}

fn changes(b: &mut Reader<'_>) -> Option<Changes> {
    let (valid, _, handle, size, _) = (b.u32()?, b.u32()?, b.u64()?, b.u64()?, b.u64()?);
    let seconds = [b.i64()?, b.i64()?, b.i64()?];
    let nanoseconds = [b.u32()?, b.u32()?, b.u32()?];
    let (mode, _, uid, gid) = (b.u32()?, b.u32()?, b.u32()?, b.u32()?);
    let [accessed, modified, changed] = [0, 1, 2].map(|i: usize| Timestamp {
        seconds: seconds.get(i).copied().unwrap_or_default(),
        nanoseconds: nanoseconds.get(i).copied().unwrap_or_default(),
    });
    let has = |bit| valid & bit != 0;
    let time = |bit, now, at| has(bit).then(|| if has(now) { SetTime::Now } else { SetTime::At(at) });
    Some(Changes {
        mode: has(set::MODE).then_some(mode),
        uid: has(set::UID).then_some(uid),
        gid: has(set::GID).then_some(gid),
        size_bytes: has(set::SIZE).then_some(size),
        accessed: time(set::ATIME, set::ATIME_NOW, accessed),
        modified: time(set::MTIME, set::MTIME_NOW, modified),
        changed: has(set::CTIME).then_some(changed),
        handle: has(set::HANDLE).then_some(handle),
        kill_set_id: has(set::KILL_SUIDGID),
    })
}

fn xattr<F: Filesystem>(fs: &F, r: &Request<'_>, b: &mut Reader<'_>, into: &mut [u8]) -> Answer<usize> {
    let sized = |size: u32, into: &mut [u8], get: &dyn Fn(&mut [u8]) -> Answer<usize>| {
        let size = size as usize;
        if size == 0 {
            return put_u32_pair(get(&mut [])?, into);
        }
        let length = get(into.get_mut(..size).ok_or(Errno::INVAL)?)?;
        if length > size { Err(Errno::RANGE) } else { Ok(length) }
    };
    match r.opcode {
        abi::SETXATTR => {
            let (size, flags, more) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            b.skip(4).ok_or(ODD)?;
            let name = b.text().ok_or(ODD)?;
            let value = b.bytes(size as usize).ok_or(ODD)?;
            let kill_set_group_id = more & abi::SETXATTR_ACL_KILL_SGID != 0;
            done(fs.set_xattr(r, name, value, XattrMode { flags, kill_set_group_id }))
        }
        abi::GETXATTR => {
            let (size, _) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            let name = b.text().ok_or(ODD)?;
            sized(size, into, &|into| fs.get_xattr(r, name, into))
        }
        abi::LISTXATTR => {
            let (size, _) = (b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
            sized(size, into, &|into| fs.list_xattrs(r, into))
        }
        _ => done(fs.remove_xattr(r, b.text().ok_or(ODD)?)),
    }
}

fn control<F: Filesystem>(fs: &F, r: &Request<'_>, b: &mut Reader<'_>, into: &mut [u8]) -> Answer<usize> {
    let (handle, _, command) = (b.u64().ok_or(ODD)?, b.u32().ok_or(ODD)?, b.u32().ok_or(ODD)?);
    b.skip(8).ok_or(ODD)?;
    let (in_size, out_size) = (b.u32().ok_or(ODD)? as usize, b.u32().ok_or(ODD)? as usize);
    let argument = b.bytes(in_size).ok_or(ODD)?;
    let (head, room) = into.split_at_mut_checked(16).ok_or(Errno::IO)?;
    let room = room.get_mut(..out_size).ok_or(Errno::INVAL)?;
    // The buffer holds earlier answers.
    room.fill(0);
    let made = fs.control(r, handle, command, argument, room)?;
    let mut out = Writer::new(head);
    out.u32(made.result as u32);
    out.zeros(12);
    Ok(16 + made.length.min(out_size))
}

/// The kernel did not take an answer (its caller was killed, or it is unmounting): what it would have counted is taken
/// back.
pub(crate) fn take_back<F: Filesystem>(fs: &F, request: &Request<'_>, body: &[u8]) {
    let mut answer = Reader(body);
    match request.opcode {
        abi::LOOKUP | abi::SYMLINK | abi::MKNOD | abi::MKDIR | abi::LINK => {
            if let Some(node) = answer.u64().filter(|node| *node != 0) {
                fs.forget(node, 1);
            }
        }
        abi::CREATE | abi::TMPFILE => {
            let node = answer.u64();
            let handle = answer.skip(crate::attributes::ENTRY - 8).and_then(|()| answer.u64());
            if let (Some(node), Some(handle)) = (node, handle) {
                fs.release(node, handle);
                fs.forget(node, 1);
            }
        }
        abi::OPEN => {
            if let Some(handle) = answer.u64() {
                fs.release(request.node, handle);
            }
        }
        abi::OPENDIR => {
            if let Some(handle) = answer.u64() {
                fs.release_folder(request.node, handle);
            }
        }
        abi::READDIRPLUS => {
            for node in listing::told(body) {
                fs.forget(node, 1);
            }
        }
        _ => {}
    }
}
