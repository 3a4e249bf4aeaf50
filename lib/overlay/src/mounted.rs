//! An overlay that is mounted: waiting for its end, and ending it.

use crate::driver::Driver;
use crate::error::{Error, Kind, Result};
use crate::fusermount;
use crate::server::Server;
use crate::signals::{Came, Signals};
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, open, statx};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may take to write out and end once its mount is gone.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Takes away what is mounted at `target` where its server is dead; whether it was.
pub fn clear_dead(target: &Path) -> Result<bool> {
    match statx(CWD, target, AtFlags::empty(), StatxFlags::TYPE) {
        Err(Errno::NOTCONN | Errno::CONNABORTED) => {}
        _ => return Ok(false),
    }
    match umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(nix::Error::EPERM) => {
            fusermount::unmount(target);
            Ok(true)
        }
        Err(e) => {
            Err(Error::new(Kind::Request, "take away the dead mount on", target.display()).because(io::Error::from(e)))
        }
    }
}

/// An overlay at its mount point.
#[derive(Debug)]
pub struct Mounted {
    /// Where it is mounted; absolute.
    pub target: PathBuf,
    /// Who serves it.
    pub driver: Driver,
    /// The server, where it is our child.
    pub server: Option<Server>,
    mount_id: Option<u64>,
}

impl Mounted {
    pub(crate) fn new(target: PathBuf, driver: Driver, server: Option<Server>) -> Self {
        let mut mounted = Self { target, driver, server, mount_id: None };
        mounted.mount_id = mounted.now_there();
        mounted
    }

    /// Which mount is at the target now.
    fn now_there(&self) -> Option<u64> {
        let stat = statx(CWD, &self.target, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID);
        stat.ok().map(|s| s.stx_mnt_id)
    }

    /// Unmounts it and waits for its server, which has written everything by then. Processes that still use it keep it
    /// alive, unseen, until they end.
    pub fn unmount(&self) {
        let by_fusermount = self.server.as_ref().is_some_and(|s| s.by_fusermount);
        let gone = if by_fusermount {
            fusermount::unmount(&self.target);
            true
        } else if umount2(&self.target, MntFlags::UMOUNT_NOFOLLOW).is_ok() {
            true
        } else {
            let _ = umount2(&self.target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
            false
        };
        if let (Some(server), true) = (&self.server, gone) {
            server.wait(LAST_WORDS);
        }
    }

    /// Hands a signal on to the server.
    fn tell(&self, signal: Signal) {
        if let Some(server) = &self.server {
            let _ = kill(server.pid, signal);
        }
    }

    /// Stays until someone unmounts it, its server ends, or a signal that ends programs comes; then unmounts it.
    pub fn stay(&self, signals: &Signals) -> Result<()> {
        let failed = |e: io::Error| Error::new(Kind::Failed, "watch", "/proc/self/mountinfo").because(e);
        let mounts = open("/proc/self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| failed(e.into()))?;
        loop {
            if self.now_there() != self.mount_id {
                break;
            }
            let mut watched = vec![
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                // The kernel reports a changed table of mounts as an exceptional condition (proc(5)).
                PollFd::new(mounts.as_fd(), PollFlags::POLLPRI),
            ];
            if let Some(server) = &self.server {
                watched.push(PollFd::new(server.end().as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut watched, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                Err(e) => return Err(failed(e.into())),
                Ok(_) => {}
            }
            let ready = |at: usize| watched.get(at).and_then(PollFd::any).unwrap_or(false);
            if ready(0) {
                match signals.next() {
                    Came::End { .. } => {
                        self.unmount();
                        return Ok(());
                    }
                    Came::Tell(signal) => self.tell(signal),
                    Came::Child => {}
                }
            }
            if ready(2) {
                break;
            }
        }
        match &self.server {
            Some(server) => {
                let complaint = server.complaint(Vec::new());
                if self.now_there() == self.mount_id {
                    self.unmount();
                }
                complaint.map_or(Ok(()), Err)
            }
            None => Ok(()),
        }
    }
}
