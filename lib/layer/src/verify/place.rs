//! From a path of the layer to the directory it is in, without leaving the tree.

use super::compare::Comparison;
use crate::beneath::{STRAIGHT, retry};
use crate::error::Fault;
use crate::extract::resolve::split;
use crate::pack::found::Found;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// A directory, and its path without links.
pub(super) struct Place {
    pub(super) fd: OwnedFd,
    pub(super) path: Vec<u8>,
}

impl Comparison<'_> {
    /// The directory `path` (normalised); `None` where there is none. Links on the way are followed inside the tree, as they
    /// are when a layer is unpacked.
    pub(super) fn open(&mut self, path: &[u8], entry: &[u8]) -> Result<Option<Rc<Place>>, Fault> {
        if let Some((last, place)) = &self.last_place
            && last == path
        {
            return Ok(Some(Rc::clone(place)));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = if path.is_empty() { b"." } else { path };
        let open = |resolve: ResolveFlags| retry(|| rustix::fs::openat2(self.dir, name, flags, Mode::empty(), resolve));
        let place = match open(STRAIGHT) {
            Ok(fd) => Place { fd, path: path.to_vec() },
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::LOOP) => match open(ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
                Ok(fd) => {
                    let path = below(self.dir, fd.as_fd()).map_err(|e| Fault::system(entry, "readlink", e))?;
                    Place { fd, path }
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(e) => return Err(Fault::system(entry, "openat2", e)),
            },
            Err(e) => return Err(Fault::system(entry, "openat2", e)),
        };
        let place = Rc::new(place);
        self.last_place = Some((path.to_vec(), Rc::clone(&place)));
        Ok(Some(place))
    }

    /// What is at `path`, links followed on the way only.
    pub(super) fn at(&mut self, path: &[u8]) -> Result<Option<Found>, Fault> {
        let (parent, last) = split(path);
        let Some(place) = self.open(parent, path)? else { return Ok(None) };
        let Ok(name) = CString::new(last) else { return Ok(None) };
        self.look.at(place.fd.as_fd(), &name, FileType::Unknown, path)
    }
}

/// The path of `fd` below `dir`, both of them directories.
fn below(dir: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let path = |fd: BorrowedFd<'_>| {
        let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::readlinkat(CWD, own, Vec::new()).map(CString::into_bytes)
    };
    let (root, inner) = (path(dir)?, path(fd)?);
    let rest = if root == b"/" { &inner[..] } else { inner.strip_prefix(&root[..]).unwrap_or(&inner) };
    Ok(rest.strip_prefix(b"/").unwrap_or(rest).to_vec())
}
