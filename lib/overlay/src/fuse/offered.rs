//! What a mount offers, where options take some of it away: extended attributes, ACLs, fsync, gathered writes, and for how long
//! the kernel may keep names and attributes.
//!
//! An operation that answers ENOSYS once is not asked for again: without xattrs and fsync a mount is the quicker for it.

use crate::layer::{Answer, Errno};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Names, their absence and attributes may be kept for ever, as only we change them.
pub const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

/// What is offered; [`Offered::default`] is all there is.
#[derive(Debug, Clone)]
pub struct Offered {
    /// For how long the kernel may keep what it was told.
    pub validity: Validity,
    /// The kernel may gather writes.
    pub writeback: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// POSIX access control lists.
    pub acls: bool,
    /// fsync(2) reaches the upper.
    pub sync: bool,
}

/// A span that can be changed while it is used; all copies are one.
#[derive(Debug, Clone)]
pub struct Validity(Arc<AtomicU64>);

impl Default for Offered {
    fn default() -> Self {
        let validity = Validity(Arc::new(AtomicU64::default()));
        validity.set(FOR_EVER);
        Self { validity, writeback: true, xattrs: true, acls: true, sync: true }
    }
}

impl Validity {
    /// The span now.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    /// From now on it is this one.
    pub fn set(&self, span: Duration) {
        self.0.store(u64::try_from(span.min(FOR_EVER).as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Offered {
    /// ENOSYS where there are no extended attributes, EOPNOTSUPP where this one is an ACL and there are none.
    pub(super) fn xattr(&self, name: &OsStr) -> Answer<()> {
        match name.as_bytes().starts_with(b"system.posix_acl_") {
            _ if !self.xattrs => Err(Errno::NOSYS),
            true if !self.acls => Err(Errno::OPNOTSUPP),
            _ => Ok(()),
        }
    }

    /// A list of names, each ended by NUL, without those that are not offered.
    pub(super) fn listed(&self, names: Vec<u8>) -> Answer<Vec<u8>> {
        if !self.xattrs {
            return Err(Errno::NOSYS);
        }
        if self.acls {
            return Ok(names);
        }
        let kept = names.split_inclusive(|byte| *byte == 0).filter(|name| !name.starts_with(b"system.posix_acl_"));
        Ok(kept.flatten().copied().collect())
    }

    /// ENOSYS where fsync is not offered.
    pub(super) fn sync(&self) -> Answer<()> {
        if self.sync { Ok(()) } else { Err(Errno::NOSYS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_is_not_there() {
        let acl = OsStr::new("system.posix_acl_access");
        let list = b"user.a\0system.posix_acl_access\0".to_vec();
        let all = Offered::default();
        assert_eq!((all.xattr(acl), all.listed(list.clone()), all.sync()), (Ok(()), Ok(list.clone()), Ok(())));
        let no_acls = Offered { acls: false, ..Offered::default() };
        assert_eq!((no_acls.xattr(acl), no_acls.xattr(OsStr::new("user.a"))), (Err(Errno::OPNOTSUPP), Ok(())));
        assert_eq!(no_acls.listed(list.clone()), Ok(b"user.a\0".to_vec()));
        let none = Offered { xattrs: false, sync: false, ..Offered::default() };
        assert_eq!((none.listed(list), none.sync()), (Err(Errno::NOSYS), Err(Errno::NOSYS)));
    }

    #[test]
    fn a_span_is_changed_for_all() {
        let (one, other) = {
            let v = Offered::default().validity;
            (v.clone(), v)
        };
        assert_eq!(one.get(), FOR_EVER);
        other.set(Duration::from_millis(1500));
        assert_eq!(one.get(), Duration::from_millis(1500));
    }
}
