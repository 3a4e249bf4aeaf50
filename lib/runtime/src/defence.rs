//! The defences against known ways out of a container, by name, so that a test can take one away and see the way open again:
//! what is not seen to fail without its defence has not been tested.
//!
//! In every program that is shipped [`is_off`] is the constant `false`, and what stands behind it is not compiled in. The feature
//! `weak`, which no crate of the product turns on (tests/tidy.rs), reads the names from the environment: `VENEER_WEAK=seal,null`.
//! The program built so is that of tests/escape/weak, a workspace of its own. docs/privilege.md lists what each defence stops.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// One defence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "weak"), allow(dead_code, reason = "all are named where they stand"))]
pub(crate) enum Defence {
    /// What leads into a container runs from where nobody can write.
    Seal,
    /// No descriptor but those the program is to have gets to it.
    Descriptors,
    /// The working directory is opened below the root, without magic links.
    WorkingDirectory,
    /// Mount points are opened below the root, and mounted on by descriptor.
    MountPoint,
    /// What masks a file is the machine's null device, by descriptor.
    Null,
    /// The console is the terminal's own slave, by descriptor.
    Console,
    /// /proc is the machine's, opened before anything of the image is in reach.
    Proc,
    /// proc, sysfs and /dev are mounted on plain folders only.
    PlainDirectory,
    /// sysctl are those of the container's own namespaces.
    Sysctl,
    /// Read-only paths are made so.
    ReadOnly,
    /// Capabilities that were not given are given up.
    Capabilities,
    /// The seccomp filter is installed.
    Seccomp,
    /// Whoever enters cannot be looked into.
    NotDumpable,
    /// The container is a session of its own.
    Session,
    /// The container has a session keyring of its own.
    Keyring,
}

/// Whether a test has switched `defence` off.
#[cfg(not(feature = "weak"))]
pub(crate) const fn is_off(_: Defence) -> bool {
    false
}

/// Whether a test has switched `defence` off.
#[cfg(feature = "weak")]
pub(crate) fn is_off(defence: Defence) -> bool {
    let name = format!("{defence:?}");
    std::env::var("VENEER_WEAK").is_ok_and(|names| names.split(',').any(|n| n == name))
}

/// What is found at `path` of the tree by somebody who puts names together and follows every link, for a test that has
/// switched `defence` off.
#[cfg(not(feature = "weak"))]
pub(crate) const fn by_name(_: Defence, _: BorrowedFd<'_>, _: &Path) -> Option<io::Result<OwnedFd>> {
    None
}

/// What is found at `path` of the tree by somebody who puts names together and follows every link, for a test that has
/// switched `defence` off.
#[cfg(feature = "weak")]
pub(crate) fn by_name(defence: Defence, tree: BorrowedFd<'_>, path: &Path) -> Option<io::Result<OwnedFd>> {
    use rustix::fs::{Mode, OFlags, open, readlink};
    use std::os::fd::AsRawFd;
    let found = || {
        let root = readlink(format!("/proc/self/fd/{}", tree.as_raw_fd()), Vec::new())?;
        let whole = format!("{}/{}", root.to_string_lossy(), path.display());
        Ok(open(whole, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    };
    is_off(defence).then(found)
}
