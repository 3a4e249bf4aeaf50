//! Opening what lies below a directory's descriptor by `openat2(2)`, and never through a link.

use rustix::fs::ResolveFlags;
use rustix::io::Errno;

/// Through directories only.
pub(crate) const STRAIGHT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// EAGAIN is openat2's answer when somebody renames on the way just then.
pub(crate) fn retry<T>(mut open: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    for _ in 0..32 {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    open()
}
