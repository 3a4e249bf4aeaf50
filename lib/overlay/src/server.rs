//! The life of a FUSE server: how it comes to be, how its parent knows that it serves, how it ends.
//!
//! ```text
//! parent (one thread)                          child
//! open /dev/fuse, fsmount (detached)
//! fork ───────────────────────────────────────> closes all but the device and the pipe
//! closes the device                            opens the layers; setsid; leaves every mount behind
//! reads the pipe <───────────── "ready", or why not
//! statfs on the mount <──────── answered ────── threads start, FUSE_INIT, serves
//! move_mount to the target
//! ```
//!
//! Nothing is to be seen at the target before the server has answered. Whatever goes wrong up to the last step, dropping the
//! detached mount ends the connection, and with ENODEV the server. That is also how it ends later: at the unmount, and
//! when the last process of the mount's namespace dies, however it dies, because the server is in another one. It holds no
//! descriptor but the device, the pipe (to nobody, once the parent is gone) and its layers'.
//!
//! Without the right to mount, fusermount3 makes the mount, attached at once, and the server stays in its namespace, with
//! `/` as its working folder.
//!
//! It keeps the capabilities it was started with: it acts for every user of the mount, and whether they may has been checked by
//! the kernel (`default_permissions`). The server is an ordinary process to the kernel's OOM killer: its score is left as it is, since a user cannot lower it
//! and root's services usually have theirs set already. When it is killed the mount answers ENOTCONN until unmounted.

use crate::device::{self, Detached};
use crate::ending::{self, Place};
use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::fusermount;
use crate::journal;
use crate::keeper::Keeper;
use crate::kernel::attach;
use crate::options::Options;
use crate::rights;
use crate::seclusion;
use crate::serving::{self, Stack, serve};
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, fstatfs, open, statfs};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the child says when it is about to serve; anything else is why it will not, a mark before it.
const READY: &[u8; 1] = &[0];
/// What follows is wrong for every driver.
const FOR_ALL: char = 'r';
/// What follows is wrong for this driver.
const FOR_US: char = 'd';

/// How long a server whose mount is gone may take to end.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    /// Its process: our child.
    pub pid: Pid,
    /// What it has to say when it ends badly.
    complaints: OwnedFd,
    /// Whether fusermount3 has to unmount it.
    pub(crate) by_fusermount: bool,
}

/// Whether the server keeps the standard streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Streams {
    /// They go to /dev/null.
    #[default]
    Close,
    /// Kept, for a server in the foreground.
    Keep,
}

/// How a server is kept, whatever it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Whether it keeps the standard streams.
    pub streams: Streams,
    /// The file that its words are added to; made if missing.
    pub log: Option<PathBuf>,
    /// A socket to ask it by; made, and taken away at its end.
    pub control: Option<PathBuf>,
}

/// Mounts `folders` and starts a server for them.
pub fn start(folders: &Folders, options: &Options, service: &Service) -> Result<Server> {
    let failed = |op: &'static str| move |e: io::Error| Error::new(Kind::Driver, op, "").because(e);
    let (device, mount) = if rights::may_mount() {
        let Detached { device, mount } = device::mount(folders, options)?;
        (device, Some(mount))
    } else {
        (fusermount::mount(folders, options)?, None)
    };
    let by_fusermount = mount.is_none();
    let device_number = match &mount {
        Some(mount) => ending::device_number(mount, Path::new("")),
        None => ending::device_number(CWD, &folders.target.path),
    };
    let setup = Setup { folders, options, service, device_number, by_fusermount };
    let undo = |error: Error| {
        if by_fusermount {
            fusermount::unmount(&folders.target.path);
        }
        error
    };
    let (complaints, speak) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| undo(failed("pipe")(e.into())))?;
    let pid = sys::daemon::fork_into(vec![device, speak], |kept| live(kept, &setup))
        .map_err(|e| undo(failed("fork the fuse server")(e)))?;
    let server = Server { pid, complaints, by_fusermount };
    server.wait_until_ready(folders, mount).map_err(undo)
}

/// What the child is made for.
struct Setup<'a> {
    folders: &'a Folders,
    options: &'a Options,
    service: &'a Service,
    device_number: (u32, u32),
    by_fusermount: bool,
}

/// The child's life; gives its exit code.
fn live(kept: Vec<OwnedFd>, setup: &Setup<'_>) -> u8 {
    let Ok([device, pipe]) = <[OwnedFd; 2]>::try_from(kept) else { return 1 };
    let served = prepare(setup, &device).and_then(|(stack, keeper)| {
        let _socket_file = keeper.start(stack.count(), stack.change());
        let _ = rustix::io::write(&pipe, READY);
        serve(device, stack)
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            let mark = if error.kind == Kind::Request { FOR_ALL } else { FOR_US };
            // The starter says it, from the pipe.
            journal::silence();
            log::error!("{error}");
            let text = format!("{mark}{error}\n{}", error.hint.as_deref().unwrap_or_default());
            let _ = rustix::io::write(&pipe, text.as_bytes());
            1
        }
    }
}

/// All that can fail before serving, in the order in which it still can be done: what needs paths, then leaving them.
fn prepare(setup: &Setup<'_>, device: &OwnedFd) -> Result<(Stack, Keeper)> {
    let failed = |op: &'static str| move |e: io::Error| Error::new(Kind::Driver, op, "").because(e);
    let Setup { folders, options, service, device_number, by_fusermount } = *setup;
    let _ = SigSet::empty().thread_set_mask();
    raise_descriptor_limit();
    // The kernel has applied the caller's mask before a mode gets here.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    if let Some(path) = &service.log {
        journal::write_to(open_log(path)?);
    }
    let target = folders.target.path.clone();
    let connection = device.try_clone().map_err(failed("copy the descriptor of /dev/fuse"))?;
    let place = Place { device: device_number, target, by_fusermount, connection, proc: ending::open_proc() };
    let keeper = Keeper::new(place, folders, options, service.control.as_deref())?;
    // From here on the working folder may be another.
    let stack = serving::open(folders, options)?;
    let null = seclusion::open_null().map_err(failed("open /dev/null"))?;
    nix::unistd::setsid().map_err(|e| failed("setsid")(e.into()))?;
    if by_fusermount {
        rustix::process::chdir("/").map_err(|e| failed("chdir /")(e.into()))?;
    } else {
        seclusion::leave_all_mounts().map_err(failed("leave all mounts"))?;
    }
    if service.streams == Streams::Close {
        seclusion::silence(null).map_err(failed("close the standard streams"))?;
        journal::silence();
    }
    Ok((stack, keeper))
}

fn open_log(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(path, flags, Mode::from_raw_mode(0o600))
        .map_err(|e| Error::new(Kind::Request, "log", path.display()).because(io::Error::from(e)))
}

/// One descriptor a file that is open in there, and one a folder that is remembered: as many as we may have.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

impl Server {
    /// Makes the mount visible once the server has answered; drops it when it will not.
    fn wait_until_ready(self, folders: &Folders, mount: Option<OwnedFd>) -> Result<Self> {
        let mut first = [0_u8; 1];
        let spoken = rustix::io::retry_on_intr(|| rustix::io::read(&self.complaints, &mut first)).unwrap_or(0);
        let answered = match (&mount, spoken == 1 && first == *READY) {
            (_, false) => Err(io::Error::other("it ended before it was ready")),
            (Some(mount), true) => fstatfs(mount).map(|_| ()).map_err(io::Error::from),
            (None, true) => statfs(&folders.target.path).map(|_| ()).map_err(io::Error::from),
        };
        let attached = match (answered, mount) {
            (Ok(()), Some(mount)) => attach(mount, folders),
            (Ok(()), None) => Ok(()),
            (Err(silence), mount) => {
                drop(mount);
                let complaint = if spoken == 1 && first != *READY { first.to_vec() } else { Vec::new() };
                return Err(self.complaint(complaint).unwrap_or_else(|| {
                    Error::new(Kind::Driver, "fuse server for", folders.target.path.display()).because(silence)
                }));
            }
        };
        match attached {
            Ok(()) => Ok(self),
            Err(error) => {
                self.wait(LONG_ENOUGH);
                Err(error)
            }
        }
    }

    /// The descriptor that becomes readable when the server has ended.
    pub(crate) fn end(&self) -> &OwnedFd {
        &self.complaints
    }

    /// Waits until it has ended, for at most so long; gives what it ended with, and `None` when it goes on.
    pub(crate) fn wait(&self, at_most: Duration) -> Option<WaitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if Instant::now() >= deadline => return None,
                Ok(WaitStatus::StillAlive) => {}
                Ok(status) => return Some(status),
                Err(_) => return Some(WaitStatus::Exited(self.pid, 0)),
            }
            let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_millis(20));
            std::thread::sleep(left.min(Duration::from_millis(1)));
        }
    }

    /// What the server said at its end, if it ended badly; waits for that end.
    pub(crate) fn complaint(&self, mut said: Vec<u8>) -> Option<Error> {
        self.wait(LONG_ENOUGH)?;
        let mut part = [0_u8; 1024];
        while let Ok(length @ 1..) = rustix::io::read(&self.complaints, &mut part) {
            said.extend_from_slice(part.get(..length)?);
        }
        let text = String::from_utf8_lossy(&said);
        let (message, hint) = text.split_once('\n').unwrap_or((&text, ""));
        let mut message = message.chars();
        let kind = match message.next()? {
            FOR_ALL => Kind::Request,
            _ => Kind::Driver,
        };
        let error = Error::new(kind, "", message.as_str());
        Some(if hint.is_empty() { error } else { error.hint(hint) })
    }
}
