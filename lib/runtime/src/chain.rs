//! The chain loader: makes namespaces as unshare(1) does, perhaps a root file system as bwrap(1) does, and becomes a command.
//!
//! ```text
//! alone     helper (outside, if needed)     this process
//!                                           unshare
//!           maps, files ◀───────────────── unshared
//!                       ────────────────▶  settles, exec
//!
//! --fork    this process (stays outside)    child
//!           cgroup, clone3 ──────────────▶  in its namespaces
//!           maps, files, status ─────────▶  settles, exec
//!           waits; passes signals on; ends with the child's code
//! ```
//!
//! Who stays behind is outside of all that was made: it can write maps, bind namespaces to files, serve a terminal and remove the
//! cgroup whatever the child did to its root.

mod alone;
mod binfmt;
mod fork;
mod maps;
mod operation;
mod overlay;
mod plain;
mod sandbox;
mod status;
mod younger;

pub use maps::MapRanges;
pub use operation::{Operation, Upper};

use crate::cgroup::{ChainGroup, ChainLimits};
use crate::command::Command;
use crate::error::{Result, failed, invalid};
use crate::file;
use crate::held::Held;
use crate::landlock::Rule;
use crate::namespace::Namespace;
use maps::Maps;
use nix::unistd::{Gid, Uid};
use rustix::event::{PollFd, PollFlags};
use rustix::mount::MountPropagationFlags;
use spec::runtime::Capability;
use std::ffi::OsString;
use std::path::PathBuf;

/// A root file system of the command's own.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// This folder, with what a container has by default mounted in it; without one an empty tmpfs.
    pub root: Option<PathBuf>,
    /// Read-only.
    pub read_only: bool,
    /// What is mounted and made in it, in order.
    pub operations: Vec<Operation>,
}

/// Which system calls the command may make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// The default profile in a sandbox, any without one.
    #[default]
    Unsaid,
    /// Any.
    Unconfined,
    /// Those of the default profile.
    Default,
    /// Those of the profile in this file: Docker's JSON, or `linux.seccomp` of a config.json.
    Profile(PathBuf),
    /// What the compiled program that can be read from this descriptor says.
    Program(i32),
}

/// A change of what the command may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapabilityChange {
    /// It may also do this. True where it was named, not one of all: then it is an error not to have it.
    Add(Capability, bool),
    /// It may not do this.
    Drop(Capability),
}

/// Everything the chain loader can be told.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Namespaces to make, each perhaps kept in a file.
    pub namespaces: Vec<(Namespace, Option<PathBuf>)>,
    /// Fork before the command.
    pub fork: bool,
    /// The id inside that is the caller's.
    pub map_user: Option<u32>,
    /// The group inside that is the caller's.
    pub map_group: Option<u32>,
    /// Further users.
    pub map_users: Vec<MapRanges>,
    /// Further groups.
    pub map_groups: Vec<MapRanges>,
    /// The user and group that a new user namespace belongs to.
    pub owner: Option<(u32, u32)>,
    /// Where to mount a new procfs.
    pub mount_proc: Option<PathBuf>,
    /// Where to mount a new binfmt_misc.
    pub mount_binfmt: Option<PathBuf>,
    /// What to register there: `:name:type:offset:magic:mask:interpreter:flags`.
    pub interpreter: Option<OsString>,
    /// Propagation of all mounts in a new mount namespace: a word of mount(8), or `unchanged`. Without one: `rprivate`.
    pub propagation: Option<String>,
    /// Folders whose mounts stay peers of the caller's, whatever the propagation of all others: what is mounted there on either side
    /// is seen on both.
    pub keep_shared: Vec<PathBuf>,
    /// The signal for the child when we die.
    pub kill_child: Option<i32>,
    /// Die with whoever started us.
    pub die_with_parent: bool,
    /// Allow or deny setgroups in a new user namespace.
    pub setgroups: Option<bool>,
    /// chroot to this folder.
    pub root: Option<PathBuf>,
    /// A root file system of its own, with default capabilities and seccomp profile.
    pub sandbox: Option<Sandbox>,
    /// Change to this folder.
    pub working_directory: Option<PathBuf>,
    /// Become this user.
    pub uid: Option<u32>,
    /// Become this group.
    pub gid: Option<u32>,
    /// Keep capabilities in a new user namespace over the exec.
    pub keep_caps: bool,
    /// Offset of the monotonic clock in seconds.
    pub monotonic: Option<i64>,
    /// Offset of the boot clock in seconds.
    pub boottime: Option<i64>,
    /// A PID 1 of ours in front.
    pub init: bool,
    /// A terminal of its own, which we serve.
    pub terminal: bool,
    /// A session of its own, without a terminal.
    pub new_session: bool,
    /// Bring the loopback link of a new network namespace up.
    pub loopback: bool,
    /// Set no_new_privs.
    pub no_new_privs: bool,
    /// The host name inside.
    pub hostname: Option<String>,
    /// Changes of the default capabilities (in a sandbox), or of those we have.
    pub capabilities: Vec<CapabilityChange>,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Descriptors with further compiled programs of the same kind.
    pub filters: Vec<i32>,
    /// It may make no user namespaces.
    pub no_user_namespaces: bool,
    /// Descriptors that stay open for as long as it runs, and that it does not get.
    pub held: Vec<i32>,
    /// What of the file system it may use, and how.
    pub landlock: Vec<Rule>,
    /// The least version of landlock that will do.
    pub landlock_version: Option<u32>,
    /// Where to write JSON lines about the child and its end.
    pub status: Option<i32>,
    /// Where to write a JSON document about the child.
    pub info: Option<i32>,
    /// Wait until this can be read before the command is started.
    pub block: Option<i32>,
    /// How many descriptors from 3 on a sandbox's command gets.
    pub preserve_fds: u32,
    /// The cgroup it runs in; below `/veneer` where there are limits and no path.
    pub cgroup_path: Option<PathBuf>,
    /// What it may use.
    pub limits: ChainLimits,
    /// The command and its environment.
    pub command: Command,
}

impl Chain {
    /// Whether a namespace of this kind is made.
    pub fn makes(&self, kind: Namespace) -> bool {
        self.namespaces.iter().any(|(k, _)| *k == kind)
    }

    fn flags(&self) -> u64 {
        self.namespaces.iter().fold(0, |all, (kind, _)| all | kind.flag())
    }

    /// Whether one of `kinds` is kept in a file.
    fn keeps(&self, kinds: &[Namespace]) -> bool {
        self.namespaces.iter().any(|(kind, file)| file.is_some() && kinds.contains(kind))
    }

    /// Where to be while the namespaces are made, if a mount namespace is kept.
    fn place(&self) -> Option<younger::Place> {
        if self.keeps(&[Namespace::Mnt]) { younger::Place::find() } else { None }
    }

    /// Sets the clocks of a new time namespace, before any process is in it.
    fn set_clocks(&self) -> Result<()> {
        for (clock, offset) in [("monotonic", self.monotonic), ("boottime", self.boottime)] {
            if let Some(seconds) = offset {
                let line = format!("{clock} {seconds} 0");
                file::write_existing("/proc/self/timens_offsets", line.as_bytes()).map_err(|e| {
                    let out_of_range = e.raw_os_error() == Some(libc::ERANGE);
                    let error = failed("set clock offset", format!("{clock} {seconds}"), e);
                    if out_of_range {
                        error.hint("no clock may stand before 0, nor more than 146 years later")
                    } else {
                        error
                    }
                })?;
            }
        }
        Ok(())
    }
}

/// Runs the command; its exit code where we stay behind to wait for it. Without a fork there is no return but an error.
pub fn run(chain: &Chain) -> Result<u8> {
    if chain.die_with_parent {
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    }
    let maps = Maps::of(chain)?;
    if chain.fork { fork::run(chain, maps.as_ref()) } else { alone::run(chain, maps.as_ref()) }
}

/// All that comes behind the namespaces, in the process that becomes the command; returns only an error.
fn settle(
    chain: &Chain,
    terminal: Option<&fork::TerminalTo<'_>>,
    group: Option<&ChainGroup>,
) -> Result<std::convert::Infallible> {
    if chain.makes(Namespace::Net) && chain.loopback {
        sys::loopback::bring_up().map_err(|e| failed("bring up", "lo", e))?;
    }
    if let Some(name) = &chain.hostname {
        rustix::system::sethostname(name.as_bytes()).map_err(|e| failed("set host name", name, e))?;
    }
    match &chain.sandbox {
        Some(sandbox) => sandbox::enter(chain, sandbox, terminal, group),
        None => plain::enter(chain, terminal),
    }
}

/// Waits until whoever has the other side of `chain.block` says something, or has gone. A signal that would end the command ends the wait with its
/// code: by itself none ends a PID 1, unless it is held.
fn wait_for_word(chain: &Chain, held: Option<&Held>) -> Result<()> {
    let Some(number) = chain.block else { return Ok(()) };
    let fd = sys::spawn::inherited(number).map_err(|e| failed("open --block-fd", number, e))?;
    if let Some(held) = held {
        let signals = held.reader()?;
        loop {
            let mut fds = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None)).map_err(|e| failed("poll", number, e))?;
            let said = fds.first().is_some_and(|fd| !fd.revents().is_empty());
            while let Ok(Some(info)) = signals.read_signal() {
                if sys::signals::ends_us(info.ssi_signo as i32) {
                    sys::spawn::exit_now(128_u8.saturating_add(info.ssi_signo as u8));
                }
            }
            if said {
                break;
            }
        }
    }
    rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut [0_u8; 1][..]))
        .map(drop)
        .map_err(|e| failed("read --block-fd", number, e))
}

/// Has the kernel end us when whoever made us ends. A change of credentials takes that back (`commit_creds`), so it is asked for
/// again behind one.
fn die_with_maker(chain: &Chain) {
    let signal = chain.kill_child.filter(|_| chain.fork).or(chain.die_with_parent.then_some(libc::SIGKILL));
    if let Some(signal) = signal.and_then(rustix::process::Signal::from_named_raw) {
        let _ = rustix::process::set_parent_process_death_signal(Some(signal));
    }
}

/// Sets the propagation of all mounts.
pub(crate) fn set_propagation(word: &str) -> Result<()> {
    let Some(flags) = propagation(word)? else { return Ok(()) };
    rustix::mount::mount_change("/", flags | MountPropagationFlags::REC)
        .map_err(|e| failed("set propagation of", "/", e))
}

fn propagation(word: &str) -> Result<Option<MountPropagationFlags>> {
    Ok(Some(match word {
        "unchanged" => return Ok(None),
        "private" | "rprivate" => MountPropagationFlags::PRIVATE,
        "slave" | "rslave" => MountPropagationFlags::DOWNSTREAM,
        "shared" | "rshared" => MountPropagationFlags::SHARED,
        _ => return Err(invalid("--propagation", word, "is none of slave, shared, private, unchanged")),
    }))
}

/// Becomes another user or group, the latter without the caller's supplementary groups.
pub(crate) fn become_ids(uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    if let Some(gid) = gid.map(Gid::from_raw) {
        match nix::unistd::setgroups(&[]) {
            Ok(()) => {}
            // Who cannot leave groups here at all keeps them, as everywhere in such a user namespace (user_namespaces(7)).
            Err(nix::Error::EPERM) if setgroups_denied() => {}
            Err(e) => {
                return Err(failed("setgroups", "", e).hint(
                    "dropping groups takes CAP_SETGID; nsrun enter can keep \
                    them with --preserve-credentials",
                ));
            }
        }
        nix::unistd::setresgid(gid, gid, gid).map_err(|e| unmapped(failed("setresgid", gid, e), e))?;
    }
    if let Some(uid) = uid.map(Uid::from_raw) {
        nix::unistd::setresuid(uid, uid, uid).map_err(|e| unmapped(failed("setresuid", uid, e), e))?;
    }
    Ok(())
}

fn setgroups_denied() -> bool {
    file::read_text("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

fn unmapped(error: crate::Error, errno: nix::Error) -> crate::Error {
    match errno {
        nix::Error::EINVAL => error.hint("the id has no place in the user namespace"),
        nix::Error::EPERM => error.hint("becoming another user takes root, or a user namespace that maps the id"),
        _ => error,
    }
}
