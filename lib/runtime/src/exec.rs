//! `exec`: one more program in a container that runs.
//!
//! ```text
//! this process          helper                                   the program
//! opens cgroup, pidfd
//! fork ───────────────▶ not dumpable; cgroup; setns(pidfd)
//!                       clone3(CLONE_PARENT) ──────────────────▶ terminal, limits, program found
//! pid file ◀───────────────────────────────────────── Ready ────
//!          ─── Start ──────────────────────────────────────────▶ seccomp, user, capabilities, exec
//! ```
//!
//! The helper enters all namespaces in one setns(2) on the first process, the user namespace first. It is not dumpable from before
//! that on, so that nothing inside can look into it by ptrace or /proc (CVE-2016-9962).

use crate::bundle;
use crate::cgroup::Entrance;
use crate::channel::{Channel, Message};
use crate::container::{attend, open_process, status_of, wrong_state};
use crate::create::write_pid;
use crate::defence::{Defence, is_off};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use crate::held::Held;
use crate::init::{Console, Launch, hand_over};
use crate::namespace::{Namespace, become_root};
use crate::process::{self, Prepared};
use crate::relay::{self, Master};
use crate::rootfs::change_root;
use crate::rootfs::tree::Tree;
use crate::run::Ended;
use crate::seccomp::{self, Program};
use crate::state::{Entry, Record, Status};
use crate::{listener, schedule, terminal};
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::ThreadNameSpaceType;
use spec::runtime::{Capability, Linux, LinuxCapabilities, Process};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::spawn::{Clone3, Fork};

/// What differs from the process in the container's configuration.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// A whole process document instead.
    pub process: Option<PathBuf>,
    /// The command.
    pub args: Vec<String>,
    /// More `NAME=VALUE`.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// A terminal.
    pub terminal: bool,
    /// User and perhaps group.
    pub user: Option<(u32, Option<u32>)>,
    /// More groups.
    pub groups: Vec<u32>,
    /// More capabilities.
    pub capabilities: Vec<Capability>,
    /// Set no_new_privs.
    pub no_new_privs: bool,
    /// Another AppArmor profile.
    pub apparmor: Option<String>,
    /// Another SELinux label.
    pub label: Option<String>,
}

/// What `exec` is told.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder of all state.
    pub root: PathBuf,
    /// The container's name.
    pub id: String,
    /// The process.
    pub changes: Changes,
    /// Where someone waits for the master of the terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to write its pid.
    pub pid_file: Option<PathBuf>,
    /// Do not wait for its end.
    pub detach: bool,
    /// Descriptors from 3 on that the program gets.
    pub preserve_fds: u32,
    /// Groups below the container's own, `[CONTROLLER[,CONTROLLER]:]PATH` each.
    pub cgroup: Vec<String>,
    /// Also in a frozen container, where it starts when that is thawed.
    pub ignore_paused: bool,
}

/// Runs the program; its exit code (0 when detached), and what could not be done.
pub fn exec(request: &Request) -> Result<Ended> {
    let entry = Entry::open(&request.root, &request.id)?;
    let record = entry.load_made()?;
    match status_of(&entry, Some(&record)) {
        Status::Running | Status::Created => {}
        Status::Paused if request.ignore_paused => {}
        status => return Err(wrong_state("exec", &request.id, status)),
    }
    let gone = || wrong_state("exec", &request.id, Status::Stopped);
    let spec = entry.load_config()?;
    // Before it is made sure that this is the process.
    let root = if bundle::makes(&spec, Namespace::Mnt) { None } else { Some(root_of(&record)?) };
    let pidfd = open_process(&record).ok_or_else(gone)?;
    let (process, mut warnings) = changed(bundle::process_of(&spec)?, &request.changes)?;
    bundle::check_process(&process)?;
    let filter = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref()).map(seccomp::compile).transpose()?;
    let console = match (process.terminal().unwrap_or(false), &request.console_socket) {
        (false, None) => Console::None,
        (false, Some(path)) => return Err(invalid("--console-socket", path.display(), "no terminal was asked for")),
        (true, Some(path)) => Console::Socket(terminal::connect(path)?),
        (true, None) if !request.detach => Console::Parent,
        (true, None) => {
            return Err(invalid("exec", &request.id, "a terminal was asked for")
                .hint("say with --console-socket who serves it, or do not detach"));
        }
    };
    let entrance = match &record.cgroup {
        Some(cgroup) if !cgroup.is_none() => Some(cgroup.entrance_beside(record.pid, &request.cgroup)?),
        _ if !request.cgroup.is_empty() => {
            return Err(invalid("--cgroup", request.cgroup.join(" "), "the container has no cgroup"));
        }
        _ => None,
    };
    let mut flags = ThreadNameSpaceType::empty();
    for kind in Namespace::ALL {
        if !kind.shared_with(record.pid).map_err(|e| failed("look at namespaces of", record.pid, e))? {
            flags |= ThreadNameSpaceType::from_bits_retain(kind.flag() as u32);
        }
    }

    let (ours, theirs) = Channel::pair()?;
    let helper = match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
        Fork::Child => {
            drop(ours);
            let visit = Visit {
                record: &record,
                process: &process,
                linux: spec.linux().as_ref(),
                root: root.as_ref(),
                filter: filter.as_ref(),
                console: &console,
                channel: &theirs,
                preserve_fds: request.preserve_fds,
            };
            match visit.enter(entrance.as_ref(), pidfd.as_fd(), flags) {
                Ok(pid) => drop(theirs.send(&Message::Pid(pid))),
                Err(error) => theirs.send_error(error),
            }
            sys::spawn::exit_now(0)
        }
        Fork::Parent(pid, _) => pid,
    };
    drop(theirs);
    let mut pid = 0;
    let mut master: Option<OwnedFd> = None;
    let said = loop {
        match ours.receive() {
            Ok(Some((Message::Pid(given), _))) => pid = given,
            Ok(Some((Message::Terminal, fd))) => master = fd,
            Ok(Some((Message::Listener, Some(fd)))) => listener::forward(&ours, &spec, &record, fd)?,
            Ok(Some((Message::Warning(warning), _))) => warnings.push(warning.into()),
            Ok(Some((Message::Ready, _))) => break Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => {
                break Err(
                    Error::new(Kind::Failed, "exec", &request.id).because("the process ended too early".to_owned())
                );
            }
            Err(error) => break Err(error),
        }
    };
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(helper), None);
    if said.is_ok() && pid == 0 {
        // The helper's word came behind the program's.
        if let Ok(Some((Message::Pid(given), _))) = ours.receive() {
            pid = given;
        }
    }
    let mut held = None;
    let outcome = said.and_then(|()| {
        if let Some(path) = &request.pid_file {
            write_pid(path, pid)?;
        }
        held = (!request.detach).then(Held::take);
        ours.send(&Message::Start)?;
        attend(&ours, &spec, &record)
    });
    match outcome {
        Ok(more) => warnings.extend(more),
        Err(error) => {
            if pid != 0 {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
                let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            }
            return Err(error);
        }
    }
    let Some(held) = held else { return Ok(Ended { code: 0, warnings }) };
    let master = master.as_ref().map_or(Master::None, |fd| Master::Here(fd.as_fd()));
    let code = relay::serve(&held, pid, master)?;
    Ok(Ended { code, warnings })
}

/// The root of the first process.
fn root_of(record: &Record) -> Result<OwnedFd> {
    let path = format!("/proc/{}/root", record.pid);
    file::open_dir(Path::new(&path)).map_err(|e| failed("open root of", record.pid, e))
}

/// The process of the configuration with what differs.
fn changed(base: &Process, changes: &Changes) -> Result<(Process, Vec<Error>)> {
    if let Some(path) = &changes.process {
        return bundle::load_process(path);
    }
    let mut process = base.clone();
    process.set_args(Some(changes.args.clone()));
    process.set_terminal(Some(changes.terminal));
    if !changes.env.is_empty() {
        let mut env = base.env().clone().unwrap_or_default();
        env.extend(changes.env.iter().cloned());
        process.set_env(Some(env));
    }
    if let Some(cwd) = &changes.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut user = process.user().clone();
    if let Some((uid, gid)) = changes.user {
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(0));
    }
    if !changes.groups.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&changes.groups);
        user.set_additional_gids(Some(groups));
    }
    process.set_user(user);
    if changes.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if changes.apparmor.is_some() {
        process.set_apparmor_profile(changes.apparmor.clone());
    }
    if changes.label.is_some() {
        process.set_selinux_label(changes.label.clone());
    }
    if !changes.capabilities.is_empty() {
        process.set_capabilities(Some(with_more(process.capabilities().clone(), &changes.capabilities)));
    }
    Ok((process, Vec::new()))
}

fn with_more(had: Option<LinuxCapabilities>, more: &[Capability]) -> LinuxCapabilities {
    let mut sets = had.unwrap_or_default();
    let grown = |set: &Option<spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(more.iter().copied());
        Some(set)
    };
    let (bounding, effective, permitted) = (grown(sets.bounding()), grown(sets.effective()), grown(sets.permitted()));
    sets.set_bounding(bounding);
    sets.set_effective(effective);
    sets.set_permitted(permitted);
    sets
}

/// The way of a program into a container.
struct Visit<'a> {
    record: &'a Record,
    process: &'a Process,
    linux: Option<&'a Linux>,
    /// Its root, where that is not the one of its mount namespace.
    root: Option<&'a OwnedFd>,
    filter: Option<&'a Program>,
    console: &'a Console,
    channel: &'a Channel,
    preserve_fds: u32,
}

impl Visit<'_> {
    /// In the helper: enters, and makes the process that becomes the program. Returns that one's pid.
    fn enter(&self, entrance: Option<&Entrance>, first: BorrowedFd<'_>, flags: ThreadNameSpaceType) -> Result<i32> {
        let proc_dir = process::open_proc()?;
        if !is_off(Defence::NotDumpable) {
            let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
        }
        schedule::before_group(self.process)?;
        if let Some(entrance) = entrance {
            entrance.enter().map_err(|e| failed("enter cgroup of", &self.record.id, e))?;
        }
        schedule::in_group(self.process)?;
        if !flags.is_empty() {
            rustix::thread::move_into_thread_name_spaces(first, flags)
                .map_err(|e| failed("enter namespaces of", &self.record.id, e))?;
        }
        if flags.bits() & Namespace::User.flag() as u32 != 0 {
            become_root()?;
        }
        if let Some(root) = self.root {
            change_root(root.as_fd(), Path::new("/"))?;
        }
        let what = Clone3 { flags: libc::CLONE_PARENT as u64, cgroup: None };
        match sys::spawn::clone3(&what).map_err(|e| failed("clone3", "", e))? {
            Fork::Parent(pid, _) => Ok(pid),
            Fork::Child => {
                let error = match self.become_program(proc_dir.as_fd()) {
                    Ok(never) => match never {},
                    Err(error) => error,
                };
                self.channel.send_error(error);
                sys::spawn::exit_now(1)
            }
        }
    }

    fn become_program(&self, proc_dir: BorrowedFd<'_>) -> Result<std::convert::Infallible> {
        sys::spawn::default_signals();
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if !is_off(Defence::Session) {
            rustix::process::setsid().map_err(|e| failed("setsid", "", e))?;
        }
        let root = file::open_dir(Path::new("/")).map_err(|e| failed("open", "/", e))?;
        let tree = Tree::new(root);
        // As in a container's first process, keys of the caller stay outside; where there are no keyrings there is nothing to keep.
        if !is_off(Defence::Keyring) {
            let _ = sys::spawn::join_session_keyring(None);
        }
        let mut slave = None;
        if !matches!(self.console, Console::None) {
            let size = self.process.console_size().map(|s| (s.height(), s.width()));
            let user = self.process.user();
            let terminal = terminal::open(&tree, size, (user.uid(), user.gid()))?;
            hand_over(self.console, self.channel, &terminal)?;
            slave = Some(terminal.slave);
        }
        process::settle(self.process, self.linux, proc_dir, self.channel)?;
        process::go_to_working_directory(&tree, self.process.cwd())?;
        let prepared = Prepared::new(self.process, &tree)?;
        self.channel.send(&Message::Ready)?;
        match self.channel.receive()? {
            Some((Message::Start, _)) => {}
            _ => sys::spawn::exit_now(1),
        }
        let _ = rustix::process::set_parent_process_death_signal(None);
        if let Some(slave) = &slave {
            terminal::adopt(slave)?;
        }
        let launch = Launch {
            process: self.process,
            prepared: &prepared,
            seccomp: self.filter.map(std::slice::from_ref).unwrap_or_default(),
            devices_listed: self.record.devices_listed,
            preserve_fds: self.preserve_fds,
            reaper: false,
            dies_with_parent: false,
            hooks: None,
            channel: self.channel,
        };
        launch.go()
    }
}
