//! The chain loader: makes namespaces as unshare(1) does, perhaps a root file system, and becomes a command.
//!
//! ```text
//! helper (stays outside)      this process                     child (with --fork)
//!                             unshare
//! maps, bindings ◀─────────── unshared
//!                ───────────▶ setgroups, fork ───────────────▶ propagation, root, /proc, ids, exec
//!                             waits; passes signals on
//! ```
//!
//! The helper is there only where something has to be done from outside: ranges of ids (newuidmap), files that keep a namespace.

mod sandbox;

use crate::channel::{Channel, Message};
use crate::create::unshare_hint;
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::idmap::{self, IdRange, Ids};
use crate::namespace::Namespace;
use crate::rootfs::fsmount;
use crate::rootfs::options::Options;
use crate::{capabilities, file, program, reaper, relay};
use nix::unistd::{Gid, Uid};
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags};
use rustix::process::Signal;
use spec::runtime::Capability;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use sys::spawn::Fork;

/// Whose ids a new user namespace maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapRanges {
    /// The caller's first line in /etc/subuid or /etc/subgid.
    Auto,
    /// This one.
    Range(IdRange),
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
    /// Where to mount a new procfs.
    pub mount_proc: Option<PathBuf>,
    /// Propagation of all mounts in a new mount namespace: a word of mount(8), or `unchanged`. Without one: `rprivate`.
    pub propagation: Option<String>,
    /// The signal for the child when we die.
    pub kill_child: Option<i32>,
    /// Die with whoever started us.
    pub die_with_parent: bool,
    /// Allow or deny setgroups in a new user namespace.
    pub setgroups: Option<bool>,
    /// chroot to this folder.
    pub root: Option<PathBuf>,
    /// Make this folder the root of a sandbox: pivot_root, default mounts, default capabilities and seccomp profile.
    pub rootfs: Option<PathBuf>,
    /// The sandbox's root read-only.
    pub read_only: bool,
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
    /// Set no_new_privs.
    pub no_new_privs: bool,
    /// The host name inside.
    pub hostname: Option<String>,
    /// Capabilities beyond the default.
    pub cap_add: Vec<Capability>,
    /// Capabilities less than the default.
    pub cap_drop: Vec<Capability>,
    /// No default seccomp profile.
    pub unconfined: bool,
    /// The command; the caller's shell where it is empty.
    pub command: Vec<OsString>,
}

impl Chain {
    /// Whether a namespace of this kind is made.
    pub fn makes(&self, kind: Namespace) -> bool {
        self.namespaces.iter().any(|(k, _)| *k == kind)
    }

    fn flags(&self) -> u64 {
        self.namespaces.iter().fold(0, |all, (kind, _)| all | kind.flag())
    }

    /// The maps of a new user namespace.
    fn maps(&self, ids: Ids) -> Result<Vec<IdRange>> {
        let (own, asked, single) = match ids {
            Ids::Users => (nix::unistd::geteuid().as_raw(), &self.map_users, self.map_user),
            Ids::Groups => (nix::unistd::getegid().as_raw(), &self.map_groups, self.map_group),
        };
        let mut ranges = Vec::new();
        for one in asked {
            ranges.push(match one {
                MapRanges::Range(range) => *range,
                MapRanges::Auto => {
                    let (outside, size) = idmap::load_sub_ids(ids)?;
                    IdRange { inside: 0, outside, size }
                }
            });
        }
        Ok(match single {
            None => ranges,
            Some(inside) => insert(&ranges, IdRange { inside, outside: own, size: 1 }),
        })
    }
}

/// Ranges with a single id put in: those that cover it make room, their upper part moving up by one, as unshare(1) does.
fn insert(ranges: &[IdRange], single: IdRange) -> Vec<IdRange> {
    let mut all = Vec::new();
    for r in ranges {
        let below = single.inside.saturating_sub(r.inside).min(r.size);
        if below > 0 {
            all.push(IdRange { inside: r.inside, outside: r.outside, size: below });
        }
        if below < r.size {
            let moved = if single.inside >= r.inside { 1 } else { 0 };
            all.push(IdRange { inside: r.inside + below + moved, outside: r.outside + below, size: r.size - below });
        }
    }
    all.push(single);
    all.sort_by_key(|r| r.inside);
    all
}

/// Runs the command; its exit code where we stay behind to wait for it. Without a fork there is no return but an error.
pub fn run(chain: &Chain) -> Result<u8> {
    if chain.die_with_parent {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    let user = chain.makes(Namespace::User);
    let (users, groups) = if user { (chain.maps(Ids::Users)?, chain.maps(Ids::Groups)?) } else { Default::default() };
    let from_outside =
        chain.map_users.len() + chain.map_groups.len() > 0 || chain.namespaces.iter().any(|(_, f)| f.is_some());
    let helper = if from_outside { Some(Helper::start(chain, &users, &groups)?) } else { None };

    let flags = nix::sched::CloneFlags::from_bits_retain(chain.flags() as i32);
    nix::sched::unshare(flags).map_err(|e| unshare_hint(e.into(), chain.flags()))?;
    if let Some(helper) = helper {
        helper.finish()?;
    }
    if chain.map_users.is_empty() && chain.map_groups.is_empty() {
        if !groups.is_empty() {
            if chain.setgroups == Some(true) {
                return Err(invalid("--setgroups", "allow", "cannot go with a map of one group")
                    .hint("map ranges with --map-auto"));
            }
            idmap::deny_setgroups_of("self")?;
        }
        idmap::write_own(Ids::Users, &users)?;
        idmap::write_own(Ids::Groups, &groups)?;
    }
    if chain.setgroups == Some(false) {
        idmap::deny_setgroups_of("self")?;
    }
    for (clock, offset) in [("monotonic", chain.monotonic), ("boottime", chain.boottime)] {
        if let Some(seconds) = offset {
            file::write_existing("/proc/self/timens_offsets", format!("{clock} {seconds} 0").as_bytes())
                .map_err(|e| failed("set clock offset", clock, e))?;
        }
    }
    if !chain.fork {
        return Err(last_steps(chain));
    }
    let leads = chain.makes(Namespace::Pid) && in_foreground();
    match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
        Fork::Child => {
            if let Some(signal) = chain.kill_child.and_then(Signal::from_named_raw) {
                let _ = rustix::process::set_parent_process_death_signal(Some(signal));
            }
            if leads {
                lead_foreground();
            }
            Err(last_steps(chain))
        }
        Fork::Parent(pid, _) => {
            let code = relay::serve(pid, None);
            if leads {
                take_foreground(nix::unistd::getpgrp());
            }
            code
        }
    }
}

/// Whether our process group has the terminal at stdin. (rustix's getpgrp asserts that the group is visible, which the
/// one of a process in a pid namespace of its own need not be.)
fn in_foreground() -> bool {
    let ours = nix::unistd::getpgrp();
    ours.as_raw() > 0 && nix::unistd::tcgetpgrp(std::io::stdin()) == Ok(ours)
}

fn take_foreground(group: nix::unistd::Pid) {
    // From a background group the kernel stops the caller unless the signal is ignored.
    sys::spawn::ignore_signal(libc::SIGTTOU);
    let _ = nix::unistd::tcsetpgrp(std::io::stdin(), group);
    sys::spawn::reset_signal(libc::SIGTTOU);
}

/// A shell that is PID 1 cannot see the process group of the caller, and some then refuse the terminal: it gets one of its
/// own, in the foreground.
fn lead_foreground() {
    let us = nix::unistd::getpid();
    if nix::unistd::setpgid(us, us).is_ok() {
        take_foreground(us);
    }
}

/// All that comes behind the namespaces; returns only an error.
fn last_steps(chain: &Chain) -> Error {
    match try_last_steps(chain) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_last_steps(chain: &Chain) -> Result<std::convert::Infallible> {
    if chain.makes(Namespace::Net) && (chain.rootfs.is_some() || chain.hostname.is_some()) {
        sys::loopback::bring_up().map_err(|e| failed("bring up", "lo", e))?;
    }
    if let Some(name) = &chain.hostname {
        rustix::system::sethostname(name.as_bytes()).map_err(|e| failed("set host name", name, e))?;
    }
    if chain.rootfs.is_some() {
        return sandbox::enter(chain);
    }
    if chain.makes(Namespace::Mnt) {
        set_propagation(chain.propagation.as_deref().unwrap_or("rprivate"))?;
    }
    if let Some(root) = &chain.root {
        rustix::process::chroot(root).map_err(|e| failed("chroot", root.display(), e))?;
        rustix::process::chdir("/").map_err(|e| failed("enter", "/", e))?;
    }
    if let Some(dir) = &chain.working_directory {
        rustix::process::chdir(dir).map_err(|e| failed("enter", dir.display(), e))?;
    }
    if let Some(dir) = &chain.mount_proc {
        mount_proc(dir)?;
    }
    if chain.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(|e| failed("set no_new_privs", "", e))?;
    }
    if chain.uid.is_some() || chain.gid.is_some() {
        become_ids(chain.uid, chain.gid)?;
    }
    if !chain.cap_drop.is_empty() || !chain.cap_add.is_empty() {
        capabilities::restrict(&chain.cap_drop, &chain.cap_add)?;
    } else if chain.keep_caps && chain.makes(Namespace::User) {
        capabilities::keep_over_exec()?;
    }
    if chain.init {
        match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
            Fork::Child => reaper::step_aside(),
            Fork::Parent(pid, _) => reaper::main(pid),
        }
    }
    sys::spawn::reset_signal(libc::SIGPIPE);
    let command = command_of(chain);
    let name = command.first().cloned().unwrap_or_default();
    let path = std::env::var_os("PATH");
    let found = program::find(&name, path.as_deref())?;
    Err(execute(&found, &name, &command))
}

/// The command, or the caller's shell.
fn command_of(chain: &Chain) -> Vec<OsString> {
    if chain.command.is_empty() {
        let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
        return vec![shell.unwrap_or_else(|| "/bin/sh".into())];
    }
    chain.command.clone()
}

/// Becomes `file`, with the environment as it is. A text file without `#!` is given to the shell, as execvp(3) does.
pub(crate) fn execute(file: &Path, name: &OsStr, command: &[OsString]) -> Error {
    match try_execute(file, command) {
        Ok(never) => match never {},
        Err(Failed::Kernel(error)) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            let mut shell: Vec<OsString> = vec!["/bin/sh".into(), file.into()];
            shell.extend(command.iter().skip(1).cloned());
            match try_execute(Path::new("/bin/sh"), &shell) {
                Ok(never) => match never {},
                Err(_) => program::refused(name, error),
            }
        }
        Err(Failed::Kernel(error)) => program::refused(name, error),
        Err(Failed::Ours(error)) => error,
    }
}

enum Failed {
    Kernel(std::io::Error),
    Ours(Error),
}

fn try_execute(file: &Path, command: &[OsString]) -> std::result::Result<std::convert::Infallible, Failed> {
    let args = command.iter().map(program::c_string).collect::<Result<Vec<_>>>().map_err(Failed::Ours)?;
    let file = program::c_string(file).map_err(Failed::Ours)?;
    nix::unistd::execv(&file, &args).map_err(|e| Failed::Kernel(e.into()))
}

/// Sets the propagation of all mounts.
pub(crate) fn set_propagation(word: &str) -> Result<()> {
    let flags = match word.strip_prefix('r').filter(|w| *w != "private").unwrap_or(word) {
        "unchanged" => return Ok(()),
        "private" | "rprivate" => MountPropagationFlags::PRIVATE,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "shared" => MountPropagationFlags::SHARED,
        _ => return Err(invalid("--propagation", word, "is none of slave, shared, private, unchanged")),
    };
    rustix::mount::mount_change("/", flags | MountPropagationFlags::REC)
        .map_err(|e| failed("set propagation of", "/", e))
}

/// Mounts a new procfs over `dir`.
fn mount_proc(dir: &Path) -> Result<()> {
    let options = Options {
        attributes: crate::rootfs::options::Attributes { set: crate::rootfs::masks::QUIET, clear: 0 },
        ..Options::default()
    };
    let fresh = fsmount::detached("proc", "proc", &options).map_err(|e| e.at(&dir.display().to_string()))?;
    // What was mounted there before belongs to the caller's namespaces too.
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&fresh, "", CWD, dir, flags).map_err(|e| failed("mount", dir.display(), e))
}

/// Becomes another user or group, without the caller's supplementary groups.
pub(crate) fn become_ids(uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    if let Some(gid) = gid.map(Gid::from_raw) {
        match nix::unistd::setgroups(&[]) {
            Ok(()) | Err(nix::Error::EPERM) => {}
            Err(e) => return Err(failed("setgroups", "", e)),
        }
        nix::unistd::setresgid(gid, gid, gid).map_err(|e| failed("setresgid", gid, e))?;
    }
    if let Some(uid) = uid.map(Uid::from_raw) {
        nix::unistd::setresuid(uid, uid, uid).map_err(|e| failed("setresuid", uid, e))?;
    }
    Ok(())
}

/// The process that stays outside.
#[derive(Debug)]
struct Helper {
    channel: Channel,
    pid: i32,
}

impl Helper {
    fn start(chain: &Chain, users: &[IdRange], groups: &[IdRange]) -> Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let parent = nix::unistd::getpid().as_raw();
        match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
            Fork::Child => {
                drop(ours);
                if let Ok(Some(_)) = theirs.receive() {
                    match Self::serve(chain, parent, users, groups) {
                        Ok(()) => drop(theirs.send(&Message::Ready)),
                        Err(error) => theirs.send_error(error),
                    }
                }
                sys::spawn::exit_now(0)
            }
            Fork::Parent(pid, _) => Ok(Self { channel: ours, pid }),
        }
    }

    fn serve(chain: &Chain, parent: i32, users: &[IdRange], groups: &[IdRange]) -> Result<()> {
        if !chain.map_users.is_empty() || !chain.map_groups.is_empty() {
            idmap::write(parent, Ids::Users, users)?;
            idmap::write(parent, Ids::Groups, groups)?;
        }
        for (kind, file) in &chain.namespaces {
            let Some(file) = file else { continue };
            let name = if matches!(kind, Namespace::Pid | Namespace::Time) {
                format!("{}_for_children", kind.name())
            } else {
                kind.name().to_owned()
            };
            let source = format!("/proc/{parent}/ns/{name}");
            rustix::mount::mount_bind(&source, file).map_err(|e| {
                failed("keep namespace in", file.display(), e)
                    .hint("the file must exist; for a mount namespace below a private mount")
            })?;
        }
        Ok(())
    }

    /// Says that the namespaces are there, and waits until all is done.
    fn finish(self) -> Result<()> {
        self.channel.send(&Message::Mapped)?;
        let said = self.channel.receive();
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
        match said? {
            Some((Message::Ready, _)) => Ok(()),
            _ => Err(Error::new(Kind::Failed, "helper", "").because("ended too early".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IdRange, insert};

    fn range(inside: u32, outside: u32, size: u32) -> IdRange {
        IdRange { inside, outside, size }
    }

    #[test]
    fn a_single_id_makes_room_in_ranges() {
        let auto = [range(0, 100_000, 65536)];
        assert_eq!(insert(&auto, range(0, 1000, 1)), [range(0, 1000, 1), range(1, 100_000, 65536)]);
        assert_eq!(
            insert(&auto, range(1000, 1000, 1)),
            [range(0, 100_000, 1000), range(1000, 1000, 1), range(1001, 101_000, 64536)]
        );
        assert_eq!(insert(&[], range(0, 7, 1)), [range(0, 7, 1)]);
        assert_eq!(insert(&[range(5, 50, 5)], range(0, 7, 1)), [range(0, 7, 1), range(5, 50, 5)]);
    }
}
