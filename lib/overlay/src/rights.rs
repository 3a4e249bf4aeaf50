//! What this process may do, as far as overlays are concerned.
//!
//! `trusted.*` xattrs can be read and set only with CAP_SYS_ADMIN in the *first* user namespace (fs/xattr.c,
//! `xattr_permission`); mounting needs it only in the user namespace that owns the mount namespace.

use nix::sys::stat::stat;
use rustix::thread::{CapabilitySet, capabilities};

/// Inode number of the first user namespace (`PROC_USER_INIT_INO`, include/linux/proc_ns.h), the same on every machine.
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Which xattrs hold an overlay's book-keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xattrs {
    /// `trusted.overlay.*`
    Trusted,
    /// `user.overlay.*` (the mount option `userxattr`)
    User,
}

impl Xattrs {
    /// The ones this process can use: `trusted.*` with CAP_SYS_ADMIN in the first user namespace, else `user.*`.
    pub fn for_this_process() -> Self {
        if may_mount() && in_first_user_namespace() { Self::Trusted } else { Self::User }
    }
}

/// Whether this process may mount in its user namespace.
pub fn may_mount() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Whether this process is in the first user namespace; without procfs its id map cannot be read and it is taken to be.
pub fn in_first_user_namespace() -> bool {
    stat("/proc/self/ns/user").map_or(true, |s| s.st_ino == FIRST_USER_NAMESPACE)
}
