//! The enterer: what nsenter(1) does. Namespaces of a process are entered in one setns(2) on its pidfd, the user namespace first;
//! those named by files one by one, what fails being tried again behind the others, since a user namespace may have to come first
//! (to gain rights) or last (since it takes them).

use crate::chain::{become_ids, execute};
use crate::defence::{Defence, is_off};
use crate::error::{Error, Result, failed, invalid};
use crate::namespace::Namespace;
use crate::{file, program, relay};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use sys::spawn::Fork;

/// A folder of the target's, or one that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// As the target has it.
    Targets,
    /// This one, as it is before entering.
    Named(PathBuf),
}

/// Everything the enterer can be told.
#[derive(Debug, Clone, Default)]
pub struct Enter {
    /// The process whose namespaces are entered.
    pub target: Option<i32>,
    /// All of its namespaces that are not ours already.
    pub all: bool,
    /// These, each perhaps by a file.
    pub namespaces: Vec<(Namespace, Option<PathBuf>)>,
    /// Become this user.
    pub uid: Option<u32>,
    /// Become this group.
    pub gid: Option<u32>,
    /// Stay who we are also in a user namespace.
    pub preserve_credentials: bool,
    /// Take this root.
    pub root: Option<Place>,
    /// Take this working directory.
    pub working_directory: Option<Place>,
    /// This working directory as it is inside.
    pub inner_directory: Option<PathBuf>,
    /// Do not fork, also where a pid namespace is entered.
    pub no_fork: bool,
    /// The command; the caller's shell where it is empty.
    pub command: Vec<OsString>,
}

impl Enter {
    fn target(&self, what: &str) -> Result<i32> {
        self.target.ok_or_else(|| invalid("enter", what, "needs a target").hint("say which process with --target PID"))
    }

    fn open(&self, place: &Place, name: &str) -> Result<OwnedFd> {
        let path = match place {
            Place::Named(path) => path.clone(),
            Place::Targets => format!("/proc/{}/{name}", self.target(name)?).into(),
        };
        file::open_dir(&path).map_err(|e| failed("open", path.display(), e))
    }
}

/// Enters and becomes the command; its exit code where we forked.
pub fn run(enter: &Enter) -> Result<u8> {
    let mut flags = ThreadNameSpaceType::empty();
    let mut entered: Vec<Namespace> = Vec::new();
    let mut files: Vec<(Namespace, PathBuf, OwnedFd)> = Vec::new();
    for (kind, path) in &enter.namespaces {
        entered.push(*kind);
        match path {
            Some(path) => {
                let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|e| failed("open namespace", path.display(), e))?;
                files.push((*kind, path.clone(), fd));
            }
            None => flags |= ThreadNameSpaceType::from_bits_retain(kind.flag() as u32),
        }
    }
    let root = enter.root.as_ref().map(|p| enter.open(p, "root")).transpose()?;
    let directory = enter.working_directory.as_ref().map(|p| enter.open(p, "cwd")).transpose()?;
    let mut target = None;
    if enter.all || !flags.is_empty() {
        let pid = enter.target("namespaces")?;
        let process = Pid::from_raw(pid).ok_or_else(|| invalid("--target", pid, "is no process"))?;
        target = Some(
            rustix::process::pidfd_open(process, PidfdFlags::empty()).map_err(|e| failed("open process", pid, e))?,
        );
        for kind in Namespace::ALL.into_iter().filter(|k| enter.all && !entered.contains(k)) {
            if !kind.shared_with(pid).map_err(|e| failed("look at namespaces of", pid, e))? {
                flags |= ThreadNameSpaceType::from_bits_retain(kind.flag() as u32);
            }
        }
        entered.extend(Namespace::ALL.into_iter().filter(|k| flags.bits() & k.flag() as u32 != 0));
        // setns(2) refuses the user namespace one is in.
        if entered.contains(&Namespace::User) && Namespace::User.shared_with(pid).unwrap_or(false) {
            flags.remove(ThreadNameSpaceType::from_bits_retain(Namespace::User.flag() as u32));
        }
    }

    // Nothing inside may look into us while we are on the way.
    if !is_off(Defence::NotDumpable) {
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    let mut again = Vec::new();
    for (kind, path, fd) in &files {
        if kind.enter(fd).is_err() {
            again.push((kind, path, fd));
        }
    }
    if let Some(target) = &target
        && !flags.is_empty()
    {
        rustix::thread::move_into_thread_name_spaces(std::os::fd::AsFd::as_fd(target), flags)
            .map_err(|e| failed("enter namespaces of", enter.target.unwrap_or(0), e))?;
    }
    for (kind, path, fd) in again {
        kind.enter(fd).map_err(|e| failed("enter namespace", path.display(), e))?;
    }
    if let Some(root) = &root {
        rustix::process::fchdir(root).map_err(|e| failed("enter root", "", e))?;
        rustix::process::chroot(".").map_err(|e| failed("chroot", "", e))?;
    }
    if let Some(directory) = &directory {
        rustix::process::fchdir(directory).map_err(|e| failed("enter working directory", "", e))?;
    }
    if let Some(directory) = &enter.inner_directory {
        rustix::process::chdir(directory).map_err(|e| failed("enter", directory.display(), e))?;
    }
    if entered.contains(&Namespace::Pid) && !enter.no_fork {
        match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
            Fork::Child => return Err(last_steps(enter, &entered)),
            Fork::Parent(pid, _) => return relay::serve(pid, None),
        }
    }
    Err(last_steps(enter, &entered))
}

fn last_steps(enter: &Enter, entered: &[Namespace]) -> Error {
    let (mut uid, mut gid) = (enter.uid, enter.gid);
    if entered.contains(&Namespace::User) && !enter.preserve_credentials {
        uid = Some(uid.unwrap_or(0));
        gid = Some(gid.unwrap_or(0));
    }
    if let Err(error) = become_ids(uid, gid) {
        return error;
    }
    sys::spawn::reset_signal(libc::SIGPIPE);
    let mut command = enter.command.clone();
    if command.is_empty() {
        let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
        command.push(shell.unwrap_or_else(|| "/bin/sh".into()));
    }
    let name = command.first().cloned().unwrap_or_default();
    match program::find(&name, std::env::var_os("PATH").as_deref()) {
        Ok(found) => execute(&found, &name, &command),
        Err(error) => error,
    }
}
