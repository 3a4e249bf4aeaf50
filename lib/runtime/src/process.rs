//! The attributes of the container's process (runtime-spec "Process"), in the order in which they can be set, and its exec.
//!
//! [`Prepared::new`] does what can be done and checked before the container is started: working directory, environment, program.
//! [`settle`] sets what needs privileges; [`drop_privileges`] gives them up; [`Prepared::exec`] comes last. A seccomp filter is installed
//! before privileges are dropped where no_new_privs is off, since it takes CAP_SYS_ADMIN, and after everything where it is on.

use crate::channel::{Channel, Message};
use crate::defence::{Defence, is_off};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::rootfs::tree::{Make, Tree};
use crate::{file, idmap, memory_policy, procfs, program, schedule};
use nix::unistd::{Gid, Uid};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use spec::runtime::{Linux, LinuxPersonalityDomain, PosixRlimitType, Process, User};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A program that was found, with its arguments and environment.
#[derive(Debug)]
pub(crate) struct Prepared {
    name: String,
    file: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

/// Moves to the working directory, making it where it is missing. By descriptor: a directory outside the root cannot come
/// out, whatever links or leaked descriptors there are (CVE-2024-21626).
pub(crate) fn enter_working_directory(tree: &Tree, cwd: &Path) -> Result<()> {
    if !cwd.is_absolute() {
        return Err(invalid("process.cwd", cwd.display(), "must be absolute"));
    }
    if is_off(Defence::WorkingDirectory) {
        return rustix::process::chdir(cwd).map_err(|e| failed("enter working directory", cwd.display(), e));
    }
    let dir = tree.ensure(cwd, Make::Directory).map_err(|e| failed("make working directory", cwd.display(), e))?;
    rustix::process::fchdir(&dir).map_err(|e| failed("enter working directory", cwd.display(), e))
}

/// The same where one that is missing is not made: so it is with what joins a container, as with runc, whose words these are.
pub(crate) fn go_to_working_directory(tree: &Tree, cwd: &Path) -> Result<()> {
    if !cwd.is_absolute() {
        return Err(invalid("process.cwd", cwd.display(), "must be absolute"));
    }
    let op = |e| failed("chdir to cwd", format!("({cwd:?}) set in config.json failed"), e);
    if is_off(Defence::WorkingDirectory) {
        return rustix::process::chdir(cwd).map_err(|e| op(e.into()));
    }
    let dir = tree.open(cwd, OFlags::PATH | OFlags::DIRECTORY).map_err(op)?;
    rustix::process::fchdir(&dir).map_err(|e| op(e.into()))
}

impl Prepared {
    /// Finds the program of `process` in the root this process has, from the directory it is in.
    pub(crate) fn new(process: &Process, tree: &Tree) -> Result<Self> {
        let args = process.args().as_deref().unwrap_or_default();
        let name = args.first().ok_or_else(|| invalid("process.args", "", "is empty"))?;
        let mut env: Vec<String> = process.env().clone().unwrap_or_default();
        // As runc: programs expect a HOME, and only here is the container's /etc/passwd at hand.
        if program::variable(&env, "HOME").is_none_or(str::is_empty) {
            env.retain(|e| !e.starts_with("HOME="));
            env.push(format!("HOME={}", home_of(tree, process.user().uid())));
        }
        let path = program::variable(&env, "PATH").map(OsStr::new);
        let file = program::find(OsStr::new(name), path)?;
        let strings = |list: &[String]| list.iter().map(program::c_string).collect::<Result<Vec<_>>>();
        Ok(Self { name: name.clone(), file: program::c_string(file)?, args: strings(args)?, env: strings(&env)? })
    }

    /// A command that was found already, with its own environment.
    pub(crate) fn of(found: crate::command::Found) -> Result<Self> {
        let crate::command::Found { name, file, args, env } = found;
        Ok(Self { name: name.to_string_lossy().into_owned(), file: program::c_string(file)?, args, env })
    }

    /// What it is called with.
    pub(crate) fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.args.iter().map(|word| word.as_bytes())
    }

    /// Becomes the program; returns only an error.
    pub(crate) fn exec(&self) -> Error {
        match nix::unistd::execve(&self.file, &self.args, &self.env) {
            Ok(never) => match never {},
            Err(e) => program::refused(OsStr::new(&self.name), e.into()),
        }
    }
}

/// The home directory of user `uid` in the container's /etc/passwd, or `/`.
fn home_of(tree: &Tree, uid: u32) -> String {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let found = tree.open(Path::new("/etc/passwd"), flags).and_then(file::read_all).ok();
    let text = found.map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let home = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let ours = fields.get(2)?.parse::<u32>().ok()? == uid;
        ours.then(|| fields.get(5).copied().unwrap_or_default().to_owned())
    });
    home.filter(|h| !h.is_empty()).unwrap_or_else(|| "/".to_owned())
}

/// A file below /proc/self, by a descriptor of the machine's /proc.
fn write_self(proc_dir: BorrowedFd<'_>, name: &str, value: &str) -> std::io::Result<()> {
    procfs::write(proc_dir, &format!("self/{name}"), value.as_bytes())
}

/// Limits, adjustments and labels that take privileges, `linux` being what the container's configuration says of every process in it.
pub(crate) fn settle(
    process: &Process,
    linux: Option<&Linux>,
    proc_dir: BorrowedFd<'_>,
    channel: &Channel,
) -> Result<()> {
    for limit in process.rlimits().iter().flatten() {
        set_limit(limit.typ(), limit.soft(), limit.hard())?;
    }
    if let Some(score) = process.oom_score_adj()
        && let Err(e) = write_self(proc_dir, "oom_score_adj", &score.to_string())
    {
        let denied = matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM));
        let error = failed("set process.oomScoreAdj", score, e)
            .hint("lowering it takes CAP_SYS_RESOURCE in the machine's first user namespace");
        // Nobody in a user namespace can have that: runc and crun go on there.
        if !denied || !idmap::in_user_namespace() {
            return Err(error);
        }
        channel.send(&Message::Warning(error.into()))?;
    }
    // Whether the machine has them is not asked first: /sys may be the image's by now, and a label that is not applied is no label.
    if let Some(profile) = process.apparmor_profile().as_ref().filter(|p| !p.is_empty()) {
        let done = write_self(proc_dir, "attr/apparmor/exec", &format!("exec {profile}"))
            .or_else(|_| write_self(proc_dir, "attr/exec", &format!("exec {profile}")));
        done.map_err(|e| {
            failed("apply process.apparmorProfile", profile, e)
                .hint("is AppArmor enabled here, and the profile loaded?")
        })?;
    }
    if let Some(label) = process.selinux_label().as_ref().filter(|l| !l.is_empty()) {
        write_self(proc_dir, "attr/exec", label)
            .map_err(|e| failed("apply process.selinuxLabel", label, e).hint("is SELinux enabled here?"))?;
    }
    let umask = process.user().umask().unwrap_or(0o022);
    rustix::process::umask(Mode::from_raw_mode(umask));
    if process.no_new_privileges().unwrap_or(false) {
        rustix::thread::set_no_new_privs(true).map_err(|e| failed("set no_new_privs", "", e))?;
    }
    schedule::apply(process)?;
    let Some(linux) = linux else { return Ok(()) };
    if let Some(personality) = linux.personality() {
        let domain = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => sys::personality::LINUX,
            LinuxPersonalityDomain::PerLinux32 => sys::personality::LINUX32,
        };
        sys::personality::set(domain).map_err(|e| failed("set linux.personality", personality.domain(), e))?;
    }
    linux.memory_policy().as_ref().map_or(Ok(()), memory_policy::apply)
}

fn set_limit(kind: PosixRlimitType, soft: u64, hard: u64) -> Result<()> {
    let resource = match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    };
    let value = |n: u64| (n != u64::MAX).then_some(n);
    let limit = Rlimit { current: value(soft), maximum: value(hard) };
    rustix::process::setrlimit(resource, limit).map_err(|e| {
        let shown = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
        let error = failed("set limit", format!("{kind} to {}:{}", shown(soft), shown(hard)), e);
        if e == rustix::io::Errno::PERM {
            error.hint("a hard limit can only be raised with CAP_SYS_RESOURCE, which this process lacks")
        } else {
            error
        }
    })
}

/// Becomes the container's user. Supplementary groups first, while it is still allowed.
pub(crate) fn become_user(user: &User) -> Result<()> {
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|g| Gid::from_raw(*g)).collect();
    match nix::unistd::setgroups(&groups) {
        Ok(()) => {}
        // A user namespace mapped by an ordinary user alone denies setgroups; the caller's own groups stay.
        Err(nix::Error::EPERM) if groups.is_empty() && setgroups_denied() => {}
        Err(e) => {
            let numbers: Vec<String> = groups.iter().map(ToString::to_string).collect();
            let error = failed("set process.user.additionalGids", numbers.join(" "), e);
            return Err(match e {
                nix::Error::EPERM => {
                    error.hint("a user namespace mapped by an ordinary user alone has no other groups")
                }
                _ => unmapped(error, e),
            });
        }
    }
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    nix::unistd::setresgid(gid, gid, gid).map_err(|e| unmapped(failed("setresgid", gid, e), e))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(|e| unmapped(failed("setresuid", uid, e), e))
}

fn unmapped(error: Error, errno: nix::Error) -> Error {
    if errno == nix::Error::EINVAL {
        error.hint("the id has no place in the container's user namespace")
    } else {
        error
    }
}

fn setgroups_denied() -> bool {
    file::read_text("/proc/self/setgroups").map_or(true, |t| t.trim() == "deny") || nix::unistd::geteuid().as_raw() != 0
}

/// Closes the way of leaked descriptors into the program: everything above stdio and `kept` is close-on-exec.
pub(crate) fn close_the_rest(kept: u32) -> Result<()> {
    if is_off(Defence::Descriptors) {
        return Ok(());
    }
    sys::spawn::cloexec_from(3 + kept).map_err(|e| failed("close_range", 3 + kept, e))?;
    for number in 3..3 + kept {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        sys::spawn::keep_over_exec(number).map_err(|e| {
            failed("keep descriptor", number, e).hint("--preserve-fds counts descriptors from 3 on, all of them open")
        })?;
    }
    Ok(())
}

/// The machine's /proc by descriptor, made sure of: what the runtime reads and writes there later cannot be led elsewhere.
pub(crate) fn open_proc() -> Result<std::os::fd::OwnedFd> {
    const PROC_MAGIC: u64 = 0x9fa0;
    let dir = file::open_dir(Path::new("/proc")).map_err(|e| failed("open", "/proc", e))?;
    if !crate::rootfs::fsmount::is_of(dir.as_fd(), PROC_MAGIC) {
        return Err(Error::new(Kind::Failed, "open", "/proc").because("is not a procfs".to_owned()));
    }
    Ok(dir)
}
