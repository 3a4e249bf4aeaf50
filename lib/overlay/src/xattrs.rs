//! The xattrs by which an overlay keeps its books, and how a user's own of that name are told from them.
//!
//! As root `trusted.overlay.*`, else `user.overlay.*` (the kernel's mount option `userxattr`); the names and values are
//! those of Documentation/filesystems/overlayfs.rst. A user's xattr with such a name is stored with the prefix doubled
//! (`trusted.overlay.overlay.x` holds `trusted.overlay.x`), as the kernel does since 6.7, so that overlays nest.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where an overlay keeps its books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrNamespace {
    /// `trusted.overlay.*`: needs CAP_SYS_ADMIN in the first user namespace.
    Trusted,
    /// `user.overlay.*`: the kernel's `userxattr`.
    User,
}

impl XattrNamespace {
    /// What all names of the books begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.",
            Self::User => "user.overlay.",
        }
    }

    /// Nothing of the layers below shows through (`y`), or whiteouts in it may be files (`x`).
    pub(crate) fn opaque(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.opaque",
            Self::User => c"user.overlay.opaque",
        }
    }

    /// Where the layers below have it: a name in the same directory, or a path from the root.
    pub(crate) fn redirect(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.redirect",
            Self::User => c"user.overlay.redirect",
        }
    }

    /// Its content is in a layer below.
    pub(crate) fn metacopy(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.metacopy",
            Self::User => c"user.overlay.metacopy",
        }
    }

    /// An empty file that stands for nothing.
    pub(crate) fn whiteout(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.whiteout",
            Self::User => c"user.overlay.whiteout",
        }
    }

    /// What it was copied from.
    pub(crate) fn origin(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.origin",
            Self::User => c"user.overlay.origin",
        }
    }

    /// Holds copies.
    pub(crate) fn impure(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.impure",
            Self::User => c"user.overlay.impure",
        }
    }

    /// How many names it has in the union, relative to how many it has on disk.
    pub(crate) fn nlink(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.nlink",
            Self::User => c"user.overlay.nlink",
        }
    }

    /// Whether a name on disk is of the books, and so neither shown nor copied.
    pub fn is_own(self, stored: &OsStr) -> bool {
        match stored.as_bytes().strip_prefix(self.prefix().as_bytes()) {
            Some(rest) => !rest.starts_with(b"overlay."),
            None => false,
        }
    }

    /// The name on disk for the name a user gave.
    pub fn store(self, shown: &OsStr) -> OsString {
        match shown.as_bytes().strip_prefix(self.prefix().as_bytes()) {
            Some(rest) => {
                let mut stored = self.prefix().as_bytes().to_vec();
                stored.extend_from_slice(b"overlay.");
                stored.extend_from_slice(rest);
                OsString::from_vec(stored)
            }
            None => shown.to_owned(),
        }
    }

    /// The name a user sees for a name on disk; `None` for those of the books.
    pub fn show(self, stored: &[u8]) -> Option<Vec<u8>> {
        let Some(rest) = stored.strip_prefix(self.prefix().as_bytes()) else { return Some(stored.to_vec()) };
        let rest = rest.strip_prefix(b"overlay.")?;
        let mut shown = self.prefix().as_bytes().to_vec();
        shown.extend_from_slice(rest);
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_hidden_and_users_names_nest() {
        let space = XattrNamespace::Trusted;
        assert!(space.is_own(OsStr::new("trusted.overlay.opaque")));
        assert!(!space.is_own(OsStr::new("trusted.overlay.overlay.opaque")));
        assert!(!space.is_own(OsStr::new("user.overlay.opaque")));
        let stored = space.store(OsStr::new("trusted.overlay.opaque"));
        assert_eq!(stored, "trusted.overlay.overlay.opaque");
        assert_eq!(space.show(stored.as_bytes()).as_deref(), Some(&b"trusted.overlay.opaque"[..]));
        assert_eq!(space.show(b"trusted.overlay.opaque"), None);
        assert_eq!(space.show(b"user.a").as_deref(), Some(&b"user.a"[..]));
    }
}
