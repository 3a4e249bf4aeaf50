//! Which of the overlay's features an upper may hold, so that the kernel's overlay can go on with it.
//!
//! In `trusted.*` the kernel takes all that is written here (`metacopy=on,redirect_dir=on`, and `index=on` where there is an
//! index folder). In `user.*` (its `userxattr`) it refuses redirects and metadata copies as a matter of trust, fails on
//! files that have them, and cannot index. So there an upper is made for the kernel ([`Compat::Kernel`]: whole copies,
//! directories of lower layers are not renamed, links of lower files are broken), or for this server alone
//! ([`Compat::Fuse`]); the latter is written on the upper's root in an xattr of our own, which the kernel hides as it does
//! everything below `user.overlay.`.

use crate::error::{Error, Kind, Result};
use crate::xattrs::XattrNamespace;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Says on an upper's root that it holds what the kernel would not take.
pub(crate) const MARK: &CStr = c"user.overlay.veneer.compat";
/// Its value.
pub(crate) const FUSE: &[u8] = b"fuse";

/// Who can go on with an upper in `user.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compat {
    /// The kernel's overlay, too.
    Kernel,
    /// This server alone; in return directories are renamed and metadata changed without copying data.
    Fuse,
}

/// What is written to an upper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Features {
    /// Directories that lower layers have a part in are renamed, leaving `overlay.redirect`.
    pub(crate) redirect: bool,
    /// A change of attributes copies no data, leaving `overlay.metacopy`.
    pub(crate) metacopy: bool,
    /// Links of one lower file stay one file, kept together in the index folder.
    pub(crate) index: bool,
}

impl Features {
    /// What may be written of what is wanted. The kernel takes no metadata copies without redirects.
    pub(crate) fn allowed(wanted: Self, xattrs: XattrNamespace, compat: Compat) -> Self {
        if xattrs == XattrNamespace::User && compat == Compat::Kernel {
            return Self::default();
        }
        Self { metacopy: wanted.metacopy && wanted.redirect, ..wanted }
    }
}

/// Whether xattrs of the books can be set in `folder` (`ovl_make_workdir` tries the same).
pub(crate) fn holds_books(folder: BorrowedFd<'_>, xattrs: XattrNamespace) -> bool {
    let set = rustix::fs::fsetxattr(folder, xattrs.opaque(), b"0", XattrFlags::empty()).is_ok();
    set && rustix::fs::fremovexattr(folder, xattrs.opaque()).is_ok()
}

/// What an upper's root says of itself; `None` where it says nothing.
pub(crate) fn recorded(upper: BorrowedFd<'_>) -> Option<Compat> {
    let mut value = [0_u8; 16];
    let length = rustix::fs::fgetxattr(upper, MARK, &mut value).ok()?;
    (value.get(..length) == Some(FUSE)).then_some(Compat::Fuse)
}

/// Settles for whom the upper at `path` is, and writes it down.
pub(crate) fn settle(
    upper: BorrowedFd<'_>,
    path: &Path,
    xattrs: XattrNamespace,
    asked: Option<Compat>,
) -> Result<Compat> {
    if xattrs == XattrNamespace::Trusted {
        return Ok(Compat::Kernel);
    }
    match (recorded(upper), asked) {
        (Some(Compat::Fuse), Some(Compat::Kernel)) => Err(only_fuse(Kind::Request, path)),
        (Some(recorded), _) => Ok(recorded),
        (None, Some(Compat::Fuse)) => match rustix::fs::fsetxattr(upper, MARK, FUSE, XattrFlags::empty()) {
            Ok(()) => Ok(Compat::Fuse),
            // Without xattrs nothing of it could be written anyway.
            Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => Ok(Compat::Kernel),
            Err(e) => {
                Err(Error::new(Kind::Failed, "mark the upper layer", path.display()).because(std::io::Error::from(e)))
            }
        },
        (None, _) => Ok(Compat::Kernel),
    }
}

/// The upper holds what the kernel's overlay does not take.
pub(crate) fn only_fuse(kind: Kind, path: &Path) -> Error {
    Error::new(kind, "upper layer", path.display())
        .because("was written for the fuse driver alone (compat=fuse)")
        .hint(format!("ovl-mount convert {} makes it one that the kernel takes", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_user_xattrs_the_kernel_takes_none_of_it() {
        let all = Features { redirect: true, metacopy: true, index: true };
        assert_eq!(Features::allowed(all, XattrNamespace::User, Compat::Kernel), Features::default());
        assert_eq!(Features::allowed(all, XattrNamespace::User, Compat::Fuse), all);
        assert_eq!(Features::allowed(all, XattrNamespace::Trusted, Compat::Kernel), all);
        let stays = Features { redirect: false, ..all };
        assert!(!Features::allowed(stays, XattrNamespace::Trusted, Compat::Kernel).metacopy);
    }
}
