//! The enterer: what nsenter(1) does. Everything of the target that is needed is opened first, while the caller's /proc shows it;
//! then its cgroups are joined and its namespaces entered ([`spaces`]), and what comes out becomes the command.
//!
//! Invariant: nothing inside may look into us while we are on the way (CVE-2016-9962): we are not dumpable until the exec.

mod cgroup;
mod spaces;

use crate::chain::become_ids;
use crate::channel::{Channel, Message};
use crate::command::{self, Command, Variables};
use crate::defence::{Defence, is_off};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::held::Held;
use crate::namespace::Namespace;
use crate::relay::{self, Master};
use crate::rootfs::tree::Tree;
use crate::{capabilities, file, foreground, terminal};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use sys::spawn::Fork;

/// A folder of the target's, or one that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// As the target has it.
    Targets,
    /// This one, as it is before entering.
    Named(PathBuf),
}

/// Which user or group to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// This one.
    Id(u32),
    /// The target's.
    Targets,
}

/// The process whose namespaces are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its pid.
    pub pid: i32,
    /// The inode of its pidfd, where the caller makes sure that the pid was not given to another process.
    pub inode: Option<u64>,
}

/// Everything the enterer can be told.
#[derive(Debug, Clone, Default)]
pub struct Enter {
    /// The process whose namespaces are entered.
    pub target: Option<Target>,
    /// All of its namespaces that are not ours already.
    pub all: bool,
    /// These, each perhaps by a file.
    pub namespaces: Vec<(Namespace, Option<PathBuf>)>,
    /// The network namespace of the target's socket with this descriptor number.
    pub net_socket: Option<i32>,
    /// The parent of the user namespace.
    pub user_parent: bool,
    /// Become this user.
    pub uid: Option<Who>,
    /// Become this group.
    pub gid: Option<Who>,
    /// Stay who we are also in a user namespace.
    pub preserve_credentials: bool,
    /// Keep capabilities gained in a user namespace over the exec.
    pub keep_caps: bool,
    /// Take this root.
    pub root: Option<Place>,
    /// Take this working directory.
    pub working_directory: Option<Place>,
    /// This working directory as it is inside.
    pub inner_directory: Option<PathBuf>,
    /// Take the target's environment.
    pub environment: bool,
    /// Join the target's cgroups.
    pub join_cgroup: bool,
    /// Take the target's SELinux context.
    pub follow_context: bool,
    /// Do not fork, also where a pid namespace is entered.
    pub no_fork: bool,
    /// A terminal of its own, which we serve.
    pub terminal: bool,
    /// This file of the caller's is what is executed, whatever is inside; the command is what it is called with.
    pub program: Option<PathBuf>,
    /// The command.
    pub command: Command,
}

impl Enter {
    /// The pid of the target, which `what` needs.
    fn pid(&self, what: &str) -> Result<i32> {
        let target = self
            .target
            .ok_or_else(|| invalid("enter", what, "needs a target").hint("say which process with --target PID"))?;
        Ok(target.pid)
    }

    fn open(&self, place: &Place, name: &str) -> Result<OwnedFd> {
        let path = match place {
            Place::Named(path) => path.clone(),
            Place::Targets => format!("/proc/{}/{name}", self.pid(name)?).into(),
        };
        file::open_dir(&path).map_err(|e| {
            let forbidden = e.raw_os_error() == Some(libc::EACCES);
            let error = failed("open", path.display(), e);
            if forbidden { error.hint("looking into a process of someone else takes root") } else { error }
        })
    }

    /// The target by descriptor, made sure of.
    fn open_target(&self) -> Result<Option<OwnedFd>> {
        let Some(Target { pid, inode }) = self.target else { return Ok(None) };
        let process = Pid::from_raw(pid).ok_or_else(|| invalid("--target", pid, "is no process"))?;
        let opened = rustix::process::pidfd_open(process, PidfdFlags::empty());
        let fd = opened.map_err(|e| failed("open process", pid, e))?;
        if let Some(inode) = inode {
            let stat = rustix::fs::fstat(&fd).map_err(|e| failed("look at process", pid, e))?;
            if stat.st_ino != inode {
                let why = format!("is another process by now: its pidfd has inode {}", stat.st_ino);
                return Err(invalid("--target", format!("{pid}:{inode}"), why));
            }
        }
        Ok(Some(fd))
    }
}

/// What was opened before anything was entered.
#[derive(Debug)]
struct Opened {
    root: Option<OwnedFd>,
    directory: Option<OwnedFd>,
    variables: Variables,
    program: Option<OwnedFd>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// Enters and becomes the command; its exit code where we forked.
pub fn run(enter: &Enter) -> Result<u8> {
    let target = enter.open_target()?;
    let spaces = spaces::open(enter, target.as_ref())?;
    if spaces.is_empty() && enter.root.is_none() && enter.working_directory.is_none() && !enter.join_cgroup {
        let alone = enter.inner_directory.is_none() && !enter.environment && enter.uid.is_none() && enter.gid.is_none();
        if alone && !enter.all {
            return Err(Error::new(Kind::Invalid, "enter", "")
                .because("nothing to enter".to_owned())
                .hint("say which namespaces of the target: --all, or some of -m -u -i -n -p -C -U -T"));
        }
    }
    let opened = open(enter)?;
    let entrance = match enter.join_cgroup {
        true => Some(cgroup::open(enter.pid("cgroup")?)?),
        false => None,
    };
    if enter.follow_context {
        follow_context(enter.pid("SELinux context")?)?;
    }

    if !is_off(Defence::NotDumpable) {
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    if let Some(entrance) = &entrance {
        entrance.enter()?;
    }
    let entered_user = spaces.has(Namespace::User);
    if entered_user && !enter.preserve_credentials {
        // While it is still allowed; behind a user namespace that denies it, it is not.
        let _ = nix::unistd::setgroups(&[]);
    }
    spaces.enter(target.as_ref())?;
    if let Some(root) = &opened.root {
        rustix::process::fchdir(root).map_err(|e| failed("enter root", "", e))?;
        rustix::process::chroot(".").map_err(|e| failed("chroot", "", e))?;
    }
    if let Some(directory) = &opened.directory {
        rustix::process::fchdir(directory).map_err(|e| failed("enter working directory", "", e))?;
    }
    if let Some(directory) = &enter.inner_directory {
        rustix::process::chdir(directory).map_err(|e| failed("enter", directory.display(), e))?;
    }

    let forks = (spaces.has(Namespace::Pid) && !enter.no_fork) || enter.terminal;
    if !forks {
        return Err(last_steps(enter, opened, entered_user));
    }
    let leads = !enter.terminal && spaces.has(Namespace::Pid) && foreground::is_ours();
    let channel = if enter.terminal { Some(Channel::pair()?) } else { None };
    let held = Held::take();
    match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
        Fork::Child => {
            held.let_go();
            let channel = channel.map(|(_, theirs)| theirs);
            if leads {
                foreground::lead();
            }
            if let Some(channel) = &channel {
                take_terminal(channel)?;
            }
            Err(last_steps(enter, opened, entered_user))
        }
        Fork::Parent(pid, _) => {
            if leads {
                return relay::serve_foreground(&held, pid);
            }
            let channel = channel.map(|(ours, _)| ours);
            relay::serve(&held, pid, channel.as_ref().map_or(Master::None, Master::Awaited))
        }
    }
}

fn open(enter: &Enter) -> Result<Opened> {
    let root = enter.root.as_ref().map(|p| enter.open(p, "root")).transpose()?;
    let directory = enter.working_directory.as_ref().map(|p| enter.open(p, "cwd")).transpose()?;
    let variables = match enter.environment {
        false => command::own_variables(),
        true => environment_of(enter.pid("environment")?)?,
    };
    let id = |who: Option<Who>, of: fn(&rustix::fs::Stat) -> u32| -> Result<Option<u32>> {
        match who {
            None => Ok(None),
            Some(Who::Id(id)) => Ok(Some(id)),
            Some(Who::Targets) => {
                let path = format!("/proc/{}", enter.pid("ids")?);
                let stat = rustix::fs::stat(&path).map_err(|e| failed("look at", path, e))?;
                Ok(Some(of(&stat)))
            }
        }
    };
    let (uid, gid) = (id(enter.uid, |s| s.st_uid)?, id(enter.gid, |s| s.st_gid)?);
    let program = enter.program.as_deref().map(crate::seal::protected).transpose()?;
    Ok(Opened { root, directory, variables, program, uid, gid })
}

fn environment_of(pid: i32) -> Result<Variables> {
    let path = format!("/proc/{pid}/environ");
    let bytes = file::read(&path).map_err(|e| failed("read", path, e))?;
    let variable = |line: &[u8]| {
        let at = line.iter().position(|b| *b == b'=')?;
        let (name, value) = (line.get(..at)?.to_vec(), line.get(at + 1..)?.to_vec());
        Some((std::ffi::OsString::from_vec(name), std::ffi::OsString::from_vec(value)))
    };
    Ok(bytes.split(|b| *b == 0).filter_map(variable).collect())
}

/// The context that the exec will have, where the machine has SELinux; else there is none to follow.
fn follow_context(pid: i32) -> Result<()> {
    if rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS).is_err() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/attr/current");
    let context = file::read(&path).map_err(|e| failed("read", path, e))?;
    file::write_existing("/proc/self/attr/exec", &context).map_err(|e| failed("write", "/proc/self/attr/exec", e))
}

/// In the child: a terminal of the devpts where we are now, or of the caller's where there is none.
fn take_terminal(channel: &Channel) -> Result<()> {
    rustix::process::setsid().map_err(|e| failed("setsid", "", e))?;
    let root = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let tree = Tree::new(root.map_err(|e| failed("open", "/", e))?);
    let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let made = match tree.open(Path::new("/dev/pts/ptmx"), OFlags::PATH) {
        Ok(_) => terminal::open(&tree, None, ids).or_else(|_| terminal::open_here())?,
        Err(_) => terminal::open_here()?,
    };
    channel.send_with(&Message::Terminal, Some(made.master.as_fd()))?;
    terminal::adopt(&made.slave)
}

fn last_steps(enter: &Enter, opened: Opened, entered_user: bool) -> Error {
    match try_last_steps(enter, opened, entered_user) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_last_steps(enter: &Enter, opened: Opened, entered_user: bool) -> Result<std::convert::Infallible> {
    let (mut uid, mut gid) = (opened.uid, opened.gid);
    if entered_user && !enter.preserve_credentials {
        uid = Some(uid.unwrap_or(0));
        gid = Some(gid.unwrap_or(0));
    }
    become_ids(uid, gid)?;
    if enter.keep_caps && entered_user {
        capabilities::keep_over_exec()?;
    }
    sys::spawn::reset_signal(libc::SIGPIPE);
    match &opened.program {
        Some(program) => Err(enter.command.exec_file(program.as_fd(), opened.variables)?),
        None => Err(enter.command.find(opened.variables)?.exec()),
    }
}
