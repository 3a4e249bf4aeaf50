//! Extended attributes: the user's pass through, the overlay's books stay hidden ([`crate::xattrs`]).
//!
//! An O_PATH descriptor takes no fgetxattr(2), and devices and links cannot be opened otherwise; the *xattrat calls are
//! younger (Linux 6.13) than what we run on. So each thread takes a working directory of its own, `/proc/self/fd`, in
//! which the descriptor's number is a name. No other path is ever used here.

use super::Stack;
use super::copy_up::Content;
use super::handle::OpenFile;
use super::lock::read;
use super::node::{NO_CAPABILITY, Node};
use super::owners::keeps_owner;
use crate::layer::{Answer, Errno};
use rustix::fs::XattrFlags;
use rustix::path::Arg;
use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

thread_local! {
    /// For which stack this thread took its working directory: one that is opened after a fork is another.
    static SETTLED: Cell<u64> = const { Cell::new(0) };
}

/// Asked for by the kernel before the first write to each file.
const CAPABILITY: &str = "security.capability";
/// Largest value and list the kernel allows.
const MOST_BYTES: usize = 64 << 10;

impl Stack {
    /// `fd` as a path of this thread.
    fn path_of(&self, fd: BorrowedFd<'_>) -> Answer<String> {
        if SETTLED.get() != self.token {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).map_err(|e| Errno::from_raw_os_error(e as i32))?;
            rustix::process::fchdir(&self.proc)?;
            SETTLED.set(self.token);
        }
        Ok(Self::proc_name(fd))
    }

    pub(crate) fn list_stored(&self, fd: BorrowedFd<'_>) -> Answer<Vec<u8>> {
        let path = self.path_of(fd)?;
        let mut names = vec![0_u8; 512];
        match rustix::fs::listxattr(&*path, &mut names[..]) {
            Err(Errno::RANGE) => {
                names.resize(MOST_BYTES, 0);
                let length = rustix::fs::listxattr(&*path, &mut names[..])?;
                names.truncate(length);
            }
            other => names.truncate(other?),
        }
        Ok(names)
    }

    pub(crate) fn get_stored(&self, fd: BorrowedFd<'_>, name: impl Arg + Copy) -> Answer<Vec<u8>> {
        let path = self.path_of(fd)?;
        let mut value = vec![0_u8; 256];
        match rustix::fs::getxattr(&*path, name, &mut value[..]) {
            Err(Errno::RANGE) => {
                value.resize(MOST_BYTES, 0);
                let length = rustix::fs::getxattr(&*path, name, &mut value[..])?;
                value.truncate(length);
            }
            other => value.truncate(other?),
        }
        Ok(value)
    }

    pub(crate) fn set_stored(&self, fd: BorrowedFd<'_>, name: impl Arg, value: &[u8]) -> Answer<()> {
        rustix::fs::setxattr(&*self.path_of(fd)?, name, value, XattrFlags::empty())
    }

    pub(crate) fn remove_stored(&self, fd: BorrowedFd<'_>, name: impl Arg) -> Answer<()> {
        rustix::fs::removexattr(&*self.path_of(fd)?, name)
    }

    /// The value of an xattr.
    pub fn get_xattr(&self, node: &Node, name: &OsStr) -> Answer<Vec<u8>> {
        let is_capability = name == CAPABILITY;
        if is_capability && node.hinted(NO_CAPABILITY) {
            return Err(Errno::NODATA);
        }
        let spot = self.spot(node)?;
        let Ok(fd) = spot.fd() else { return Err(Errno::NODATA) };
        let got = self.get_stored(fd, &self.xattrs.store(name));
        if is_capability && matches!(got, Err(Errno::NODATA | Errno::NOTSUP)) {
            node.lacks_capability();
        }
        got
    }

    /// The file capabilities of what `open` writes to; a write takes them, whoever makes it (fs/inode.c, file_remove_privs).
    pub fn capability(&self, open: &OpenFile) -> Option<Vec<u8>> {
        if open.node.hinted(NO_CAPABILITY) {
            return None;
        }
        let file = read(&open.file).clone();
        let got = self.get_stored(file.as_fd(), CAPABILITY);
        if matches!(got, Err(Errno::NODATA | Errno::NOTSUP)) {
            open.node.lacks_capability();
        }
        got.ok()
    }

    /// Gives the file back what [`Stack::capability`] told.
    pub fn put_capability_back(&self, open: &OpenFile, capability: &[u8]) -> Answer<()> {
        let file = read(&open.file).clone();
        self.set_stored(file.as_fd(), CAPABILITY, capability)
    }

    /// The names of all xattrs, each ended by a zero byte. `privileged`: the caller may know of `trusted.*`.
    pub fn list_xattrs(&self, node: &Node, privileged: bool) -> Answer<Vec<u8>> {
        let spot = self.spot(node)?;
        let Ok(fd) = spot.fd() else { return Ok(Vec::new()) };
        let stored = self.list_stored(fd)?;
        let mut shown = Vec::with_capacity(stored.len());
        for name in stored.split(|b| *b == 0).filter(|n| !n.is_empty()) {
            if keeps_owner(name) && self.layers.keeps.iter().any(Option::is_some) {
                continue;
            }
            if let Some(name) = self.xattrs.show(name)
                && (privileged || !name.starts_with(b"trusted."))
            {
                shown.extend_from_slice(&name);
                shown.push(0);
            }
        }
        Ok(shown)
    }

    /// Sets an xattr; `flags` are XATTR_CREATE and XATTR_REPLACE.
    pub fn set_xattr(&self, node: &Arc<Node>, name: &OsStr, value: &[u8], flags: u32) -> Answer<()> {
        self.raise(node, Content::Attributes)?;
        self.forget_bequest(node);
        let spot = self.spot(node)?;
        let path = self.path_of(spot.fd()?)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        let done = rustix::fs::setxattr(&*path, &*self.xattrs.store(name), value, flags);
        node.xattr_was_set();
        done
    }

    /// Removes an xattr.
    pub fn remove_xattr(&self, node: &Arc<Node>, name: &OsStr) -> Answer<()> {
        let stored = self.xattrs.store(name);
        // What is not there needs no copy-up to be told so.
        let spot = self.spot(node)?;
        self.get_stored(spot.fd()?, &stored)?;
        drop(spot);
        self.raise(node, Content::Attributes)?;
        self.forget_bequest(node);
        let spot = self.spot(node)?;
        rustix::fs::removexattr(&*self.path_of(spot.fd()?)?, &*stored)
    }

    /// Whether a directory hands an access list down to what is made in it.
    pub(crate) fn has_default_acl(&self, folder: BorrowedFd<'_>) -> bool {
        rustix::fs::fgetxattr(folder, c"system.posix_acl_default", &mut [0_u8; 0]).is_ok()
    }

    pub(crate) fn copy_default_acl(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Answer<()> {
        let name = OsStr::from_bytes(b"system.posix_acl_default");
        let value = self.get_stored(from, name)?;
        self.set_stored(to, name, &value)
    }

    pub(crate) fn set_opaque(&self, folder: BorrowedFd<'_>) -> Answer<()> {
        rustix::fs::fsetxattr(folder, self.xattrs.opaque(), b"y", XattrFlags::empty())
    }
}
