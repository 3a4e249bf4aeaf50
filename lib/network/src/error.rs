//! What can go wrong in this room.

use crate::socket::Refusal;

/// What callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No such network, namespace or interface.
    NotFound,
    /// The name, the address or the subnet is taken.
    InUse,
    /// No address or no subnet is left.
    Full,
    /// The caller may not do this.
    NotPermitted,
    /// The kernel has no such feature.
    Unsupported,
    /// What was asked for cannot be meant.
    Invalid,
    /// Anything else: the system refused.
    System,
}

/// The room's error.
pub type Error = spec::Error<Kind>;
/// The room's result.
pub type Result<T> = std::result::Result<T, Error>;

const RIGHTS: &str =
    "CAP_NET_ADMIN over the network namespace is needed: run as root, or in a user namespace that owns it";

/// The kernel's refusal of `op` on `subject`, with the hint that belongs to it.
pub(crate) fn refused(op: &'static str, subject: impl std::fmt::Display, refusal: Refusal) -> Error {
    let kind = kind_of(refusal.errno);
    let error = Error::new(kind, op, subject).because(refusal);
    if kind == Kind::NotPermitted { error.hint(RIGHTS) } else { error }
}

/// A failed system call in `op` on `subject`.
pub(crate) fn failed(op: &'static str, subject: impl std::fmt::Display, source: impl Into<std::io::Error>) -> Error {
    let source = source.into();
    let kind = source.raw_os_error().map_or(Kind::System, kind_of);
    let error = Error::new(kind, op, subject).because(source);
    if kind == Kind::NotPermitted { error.hint(RIGHTS) } else { error }
}

/// The number of the error that caused `error`: the kernel's refusal on netlink, or a failed system call.
pub(crate) fn errno(error: &Error) -> Option<i32> {
    let refusal = error.source.as_ref().and_then(|source| source.downcast_ref::<Refusal>());
    refusal.map(|refusal| refusal.errno).or_else(|| error.raw_os_error())
}

fn kind_of(errno: i32) -> Kind {
    match errno {
        libc::EPERM | libc::EACCES => Kind::NotPermitted,
        libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ESRCH => Kind::NotFound,
        libc::EEXIST | libc::EBUSY | libc::EADDRINUSE => Kind::InUse,
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => Kind::Unsupported,
        _ => Kind::System,
    }
}
