//! Keeping the container from writing to us (CVE-2019-5736). A program inside can be made to execute /proc/self/exe, which for a
//! moment is this runtime, keep a descriptor of that file, and overwrite the machine's copy later.
//!
//! So whatever leads into a container first executes itself again from where nobody can write: a detached read-only mount of
//! its own file, which costs no copy and shows up nowhere; where mounting is not allowed, a sealed memfd with a copy. The
//! mount cannot be made writable again: its one descriptor closes with the exec, and a mount without a mount namespace takes no
//! changes (mount_setattr(2)). A runtime that lies on a read-only mount already needs nothing.

use crate::defence::{Defence, is_off};
use crate::error::{Result, failed};
use crate::{program, rootfs::options::RDONLY};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::mount::OpenTreeFlags;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount_attr::{MountAttr, mount_setattr};

const OURSELVES: &str = "/proc/self/exe";

/// Returns at once where nobody can write to us, else executes us again with `args`, and returns only errors.
pub fn ensure(args: &[OsString]) -> Result<()> {
    if is_off(Defence::Seal) {
        return Ok(());
    }
    let Ok(stat) = rustix::fs::statvfs(OURSELVES) else {
        // Without a /proc nothing inside can reach us by it.
        return Ok(());
    };
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let copy = match read_only_mount(Path::new(OURSELVES)) {
        Ok(mount) => mount,
        Err(_) => match sealed_copy(Path::new(OURSELVES))? {
            Some(copy) => copy,
            None => return Ok(()),
        },
    };
    let args = args.iter().map(program::c_string).collect::<Result<Vec<CString>>>()?;
    let mut env = Vec::new();
    for (mut name, value) in std::env::vars_os() {
        name.push("=");
        name.push(value);
        env.push(program::c_string(name)?);
    }
    Err(failed("execute", "ourselves", sys::spawn::execveat(copy.as_fd(), c"", &args, &env)))
}

/// The program `path` for an exec by descriptor inside a container: nobody there can write to the file by what runs of it.
pub(crate) fn protected(path: &Path) -> Result<OwnedFd> {
    if let Ok(mount) = read_only_mount(path) {
        return Ok(mount);
    }
    match sealed_copy(path)? {
        Some(copy) => Ok(copy),
        None => open(path),
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed("open", path.display(), e))
}

fn read_only_mount(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, path, flags)?;
    mount_setattr(mount.as_fd(), c"", false, &MountAttr { set: RDONLY, ..MountAttr::default() })?;
    Ok(mount)
}

/// A copy of a program that nobody can change; `None` where it is that already.
fn sealed_copy(path: &Path) -> Result<Option<OwnedFd>> {
    let say = |e: rustix::io::Errno| failed("copy", path.display(), e);
    let from = open(path)?;
    if rustix::fs::fcntl_get_seals(&from).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(None);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create("nsrun", flags).map_err(say)?;
    while rustix::fs::sendfile(&copy, &from, None, 1 << 30).map_err(say)? > 0 {}
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).map_err(say)?;
    Ok(Some(copy))
}
