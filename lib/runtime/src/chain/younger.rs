//! A mount namespace that is to be kept in a file must be younger than the one the file is in.
//!
//! Otherwise the two could hold each other for ever, so the kernel refuses the mount (mnt_ns_loop in fs/namespace.c). It tells age
//! by a number that used to grow with each namespace; since Linux 6.18 each processor takes them from a stock of its own, and a
//! namespace made on another processor than ours may count as older. So one is found whose numbers are higher than ours.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;
use sys::spawn::{Clone3, Fork};

/// While it lives, the calling process runs where the namespaces it makes count as younger than its own.
#[derive(Debug)]
pub(super) struct Place {
    before: CpuSet,
}

impl Place {
    /// Finds one; nothing where it cannot be told, or needs not: then the kernel has the last word.
    pub(super) fn find() -> Option<Self> {
        let own = id("self").ok()?;
        let before = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let place = Self { before };
        for processor in (0..CpuSet::count()).filter(|cpu| before.is_set(*cpu).unwrap_or(false)) {
            let mut only = CpuSet::new();
            only.set(processor).ok()?;
            sched_setaffinity(Pid::from_raw(0), &only).ok()?;
            if trial().ok()? > own {
                return Some(place);
            }
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

/// The number of a mount namespace made now and gone again.
fn trial() -> io::Result<u64> {
    match sys::spawn::clone3(&Clone3 { flags: libc::CLONE_NEWNS as u64, cgroup: None })? {
        Fork::Child => loop {
            nix::unistd::pause();
        },
        Fork::Parent(pid, _) => {
            let id = id(&pid.to_string());
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), None);
            id
        }
    }
}

fn id(process: &str) -> io::Result<u64> {
    use rustix::fs::{Mode, OFlags, open};
    let namespace = open(format!("/proc/{process}/ns/mnt"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    sys::namespace::mount_id(namespace.as_fd())
}
