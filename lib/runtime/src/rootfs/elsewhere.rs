//! Bind mounts of what another process sees: a source `/proc/PID/root/PATH`.
//!
//! The kernel clones only mounts of the caller's own mount namespace (`do_loopback`, `check_mnt` in fs/namespace.c). So a child enters the other
//! one, clones there, and the parent takes the detached mount, which belongs to no namespace, out of the child's table of descriptors
//! (pidfd_getfd(2)). A container that shares another one's `/dev/shm` needs it.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::OpenTreeFlags;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use sys::spawn::{Fork, exit_now, fork};

/// The process, and the path as it sees it, where `source` is of this kind.
pub(crate) fn is_in(source: &Path) -> Option<(i32, &Path)> {
    let rest = source.strip_prefix("/proc").ok()?;
    let pid = rest.components().next()?.as_os_str().to_str()?.parse().ok()?;
    let path = rest.strip_prefix(Path::new(rest.components().next()?.as_os_str())).ok()?.strip_prefix("root").ok()?;
    (!path.as_os_str().is_empty()).then_some((pid, path))
}

/// A detached copy of the mount at `path` below the root of the process `pid`.
pub(crate) fn clone_tree(pid: i32, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let open = |what: &str| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, format!("/proc/{pid}/{what}"), flags, Mode::empty())
    };
    let (namespace, root) = (
        open("ns/mnt")?,
        rustix::fs::openat(CWD, format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    );
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let ((reader, writer), (waits, go)) = (pipe()?, pipe()?);
    match fork()? {
        Fork::Child => {
            drop((reader, go));
            let answer = match enter_and_clone(&namespace, &root, path, recursive) {
                Ok(mount) => {
                    let number = mount.as_raw_fd();
                    // Stays open until the parent has it.
                    std::mem::forget(mount);
                    number
                }
                Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
            };
            let _ = rustix::io::write(&writer, &answer.to_ne_bytes());
            let _ = rustix::io::read(&waits, &mut [0_u8; 1][..]);
            exit_now(0)
        }
        Fork::Parent(child, _) => {
            drop((writer, waits));
            let taken = take(child, &reader);
            drop(go);
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None);
            taken
        }
    }
}

/// In the child: never back to where it was.
fn enter_and_clone(namespace: &OwnedFd, root: &OwnedFd, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
    // No link in the other root file system leads out of it.
    let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
    let place = rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(&place, "", flags)?)
}

fn take(child: i32, reader: &OwnedFd) -> io::Result<OwnedFd> {
    let mut answer = [0_u8; 4];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut answer[..]))?;
    let number = i32::from_ne_bytes(answer);
    if read != answer.len() || number < 0 {
        return Err(io::Error::from_raw_os_error(if number < 0 { -number } else { libc::EIO }));
    }
    let pid = Pid::from_raw(child).ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::is_in;
    use std::path::Path;

    #[test]
    fn only_paths_through_a_process() {
        assert_eq!(is_in(Path::new("/proc/12/root/dev/shm")), Some((12, Path::new("dev/shm"))));
        assert_eq!(is_in(Path::new("/proc/12/root")), None);
        assert_eq!(is_in(Path::new("/proc/self/root/x")), None);
        assert_eq!(is_in(Path::new("/proc/12/cwd/x")), None);
        assert_eq!(is_in(Path::new("/dev/shm")), None);
    }
}
