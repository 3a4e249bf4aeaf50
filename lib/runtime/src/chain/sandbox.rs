//! A root file system of the command's own. With a folder (`--rootfs DIR`) it is what a container has by default: /proc, /dev, /sys,
//! /dev/shm mounted in it; without one (mount options alone) it starts as an empty tmpfs, as bwrap's does. Then come the operations
//! of the command line, in order, and over all of it the masked and read-only paths of every container.
//!
//! The command has docker's fourteen capabilities and the default seccomp profile, unless told otherwise. Where it shares the
//! caller's terminal it cannot type into it (TIOCSTI, CVE-2017-5226).

use super::fork::TerminalTo;
use super::operation::{self, Operation, Site};
use super::{CapabilityChange, Chain, Sandbox, Seccomp};
use crate::cgroup::{ChainGroup, View};
use crate::channel::Channel;
use crate::command::Change;
use crate::defence::{Defence, is_off};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::init::Launch;
use crate::namespace::Namespace;
use crate::process::Prepared;
use crate::rootfs::options::{NODEV, NOSUID, Options, RDONLY};
use crate::rootfs::tree::Tree;
use crate::rootfs::{attach, entries, fsmount, masks, mounts, nodes, pivot};
use crate::{bundle, command, file, idmap, landlock, seccomp, terminal};
use rustix::fs::OFlags;
use rustix::mount::MountPropagationFlags;
use spec::runtime::{
    Capabilities, Capability, LinuxCapabilitiesBuilder, LinuxSeccomp, Process, ProcessBuilder, UserBuilder,
};
use spec::syscall::Abi;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount_attr::{MountAttr, mount_setattr};

/// Builds the sandbox in the namespaces this process is in, and becomes the command.
pub(super) fn enter(
    chain: &Chain,
    sandbox: &Sandbox,
    terminal: Option<&TerminalTo<'_>>,
    group: Option<&ChainGroup>,
) -> Result<std::convert::Infallible> {
    let filters = filters(chain, true)?;
    let quiet_terminal = chain.seccomp != Seccomp::Unconfined && shares_terminal(chain);
    let caller = std::env::current_dir().ok();
    let machines = if terminal.is_some() { terminal::open_here().ok() } else { None };
    if !is_off(Defence::Keyring) {
        // Keys of the caller stay outside; where there are no keyrings there is nothing to keep.
        let _ = sys::spawn::join_session_keyring(None);
    }
    let mut site = build(chain, sandbox, group)?;
    let made = match terminal {
        None => None,
        Some(_) => Some(open_terminal(chain, sandbox, &site, machines)?),
    };
    if sandbox.read_only {
        let attr = MountAttr { set: RDONLY, ..MountAttr::default() };
        mount_setattr(site.tree.as_fd(), c"", false, &attr).map_err(|e| failed("make read-only", "/", e))?;
    }
    pivot(site.tree.as_fd(), sandbox.root.as_deref().unwrap_or(Path::new("/")))?;
    site.staging = None;
    let directory = enter_directory(chain, sandbox, &site.tree, caller)?;

    let mut command = chain.command.clone();
    command.environment.push(Change::Set("PWD".into(), directory.into()));
    let found = command.find(command::own_variables()).map_err(|e| {
        let empty = sandbox.root.is_none() && e.kind == Kind::NotFound;
        if empty {
            e.hint("the sandbox holds only what was put there, such as --ro-bind / /, or --rootfs DIR")
        } else {
            e
        }
    })?;
    if let (Some(to), Some(made)) = (terminal, &made) {
        to.adopt(made)?;
    }
    let process = process(chain)?;
    if chain.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(|e| failed("set no_new_privs", "", e))?;
    }
    landlock::restrict(&chain.landlock, chain.landlock_version)?;
    if quiet_terminal && !is_off(Defence::Seccomp) {
        no_typing()?.install()?;
    }
    let prepared = Prepared::of(found)?;
    let (channel, _other) = Channel::pair()?;
    sys::spawn::reset_signal(libc::SIGPIPE);
    Launch {
        process: &process,
        prepared: &prepared,
        seccomp: &filters,
        // No device list is in force here, so nodes may not be made unless that was asked for by name.
        devices_listed: chain.capabilities.contains(&CapabilityChange::Add(Capability::Mknod, true)),
        preserve_fds: chain.preserve_fds,
        reaper: chain.init,
        dies_with_parent: chain.die_with_parent || chain.kill_child.is_some(),
        hooks: None,
        channel: &channel,
    }
    .go()
}

/// The root with everything in it, not yet the root.
fn build(chain: &Chain, sandbox: &Sandbox, group: Option<&ChainGroup>) -> Result<Site> {
    let operations = sandbox.operations.iter().map(operation::prepare).collect::<Result<Vec<_>>>()?;
    let root = match &sandbox.root {
        None => None,
        Some(given) => Some(open_root(given)?),
    };

    // Slave, not private: what the machine mounts below a bound folder later still arrives; nothing ever travels back.
    let propagation = match chain.propagation.as_deref() {
        None | Some("slave" | "rslave") => MountPropagationFlags::DOWNSTREAM,
        Some("private" | "rprivate") => MountPropagationFlags::PRIVATE,
        Some(word) => return Err(invalid("--propagation", word, "is neither slave nor private, which a sandbox has")),
    };
    rustix::mount::mount_change("/", propagation | MountPropagationFlags::REC)
        .map_err(|e| failed("make slave", "/", e))?;
    let staging = match operation::need_staging(&sandbox.operations) {
        true => Some(over_the_callers_root("mode=0700")?),
        false => None,
    };
    let tree = match &root {
        Some((path, clone, place)) => {
            attach(clone.as_fd(), place.as_fd()).map_err(|e| failed("bind root", path.display(), e))?;
            let copy = rustix::io::fcntl_dupfd_cloexec(clone, 3).map_err(|e| failed("dup", "root", e))?;
            Tree::new(copy)
        }
        None => Tree::new(over_the_callers_root("mode=0755")?),
    };
    if root.is_some() {
        let own_cgroup_namespace = chain.makes(Namespace::Cgroup);
        let view = group.map_or_else(View::load_own, ChainGroup::view);
        let site = mounts::Site { tree: &tree, cgroups: &view, own_cgroup_namespace };
        for entry in entries::of_defaults()? {
            site.mount(&entry)?;
        }
        nodes::populate(&tree, &[], nodes::Way::Any)?;
    }
    let (own_pids, user_namespace) = (chain.makes(Namespace::Pid), idmap::in_user_namespace());
    let mut site = Site { tree, staging, own_pids, user_namespace };
    for ready in operations {
        site.apply(ready)?;
    }
    masks::readonly(&site.tree, &spec::defaults::READONLY_PATHS.map(str::to_owned))?;
    let mut masked = spec::defaults::MASKED_PATHS.map(str::to_owned).to_vec();
    masked.extend(throttles());
    masks::mask(&site.tree, &masked)?;
    Ok(site)
}

/// What docker hides as well, where the machine has it: how often its processors had to be slowed down.
fn throttles() -> Vec<String> {
    let there = |path: &String| rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok();
    if !there(&spec::defaults::thermal_throttle(0)) {
        return Vec::new();
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (0..processors).map(spec::defaults::thermal_throttle).filter(there).collect()
}

/// The folder `given` by its whole name, as a detached mount, and as the place where that goes.
fn open_root(given: &Path) -> Result<(PathBuf, OwnedFd, OwnedFd)> {
    let path = bundle::absolute(given).map_err(|e| failed("open root", given.display(), e))?;
    let place = file::open_dir(&path).map_err(|e| failed("open root", path.display(), e))?;
    let clone = mounts::clone_tree(&path, true).map_err(|e| failed("open root", path.display(), e))?;
    Ok((path, clone, place))
}

/// A new tmpfs mounted over the root of the caller, which goes on below it: a look-up starts under it.
fn over_the_callers_root(mode: &str) -> Result<OwnedFd> {
    let attributes = crate::rootfs::options::Attributes { set: NOSUID | NODEV, clear: 0 };
    let options = Options { attributes, data: vec![mode.into()], ..Options::default() };
    let tmpfs = fsmount::detached("tmpfs", "tmpfs", &options).map_err(|e| e.at("/"))?;
    let place = file::open_dir(Path::new("/")).map_err(|e| failed("open", "/", e))?;
    attach(tmpfs.as_fd(), place.as_fd()).map_err(|e| failed("mount", "/", e))?;
    Ok(tmpfs)
}

/// A terminal of the sandbox's own devpts; of the caller's where it has none.
fn open_terminal(
    chain: &Chain,
    sandbox: &Sandbox,
    site: &Site,
    machines: Option<terminal::Terminal>,
) -> Result<terminal::Terminal> {
    let own_dev = sandbox.root.is_some() || sandbox.operations.contains(&Operation::Dev("/dev".into()));
    if !own_dev {
        return machines.ok_or_else(|| invalid("--tty", "", "there is no terminal to be had").hint("add --dev /dev"));
    }
    let owner = (user_id(chain), group_id(chain));
    let made = terminal::open(&site.tree, None, owner)?;
    terminal::bind_console(&site.tree, made.slave.as_fd())?;
    Ok(made)
}

/// Enters the working directory, by descriptor: with a folder as root the one asked for or `/`; else also where the caller was, or
/// HOME, if it is there.
fn enter_directory(chain: &Chain, sandbox: &Sandbox, tree: &Tree, caller: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(asked) = &chain.working_directory {
        if !asked.is_absolute() {
            return Err(invalid("--chdir", asked.display(), "must be absolute in a sandbox"));
        }
        if is_off(Defence::WorkingDirectory) {
            rustix::process::chdir(asked).map_err(|e| failed("enter", asked.display(), e))?;
            return Ok(asked.clone());
        }
        let dir = tree.open(asked, OFlags::PATH | OFlags::DIRECTORY);
        let dir =
            dir.map_err(|e| failed("enter", asked.display(), e).hint("it must be there inside: --dir makes it"))?;
        rustix::process::fchdir(&dir).map_err(|e| failed("enter", asked.display(), e))?;
        return Ok(asked.clone());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let liked = if sandbox.root.is_none() { [caller, home] } else { [None, None] };
    for path in liked.into_iter().flatten().filter(|p| p.is_absolute()) {
        if let Ok(dir) = tree.open(&path, OFlags::PATH | OFlags::DIRECTORY)
            && rustix::process::fchdir(&dir).is_ok()
        {
            return Ok(path);
        }
    }
    Ok("/".into())
}

fn user_id(chain: &Chain) -> u32 {
    chain.uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw())
}

fn group_id(chain: &Chain) -> u32 {
    chain.gid.unwrap_or_else(|| nix::unistd::getegid().as_raw())
}

/// Who the command is and what it may do.
fn process(chain: &Chain) -> Result<Process> {
    let caps: Capabilities = wanted(chain)?.into_iter().collect();
    let granted = LinuxCapabilitiesBuilder::default()
        .bounding(caps.clone())
        .effective(caps.clone())
        .permitted(caps)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
        .map_err(|e| Error::new(Kind::Failed, "capabilities", "").because(e.to_string()))?;
    let user = UserBuilder::default().uid(user_id(chain)).gid(group_id(chain)).build().unwrap_or_default();
    ProcessBuilder::default()
        .user(user)
        .capabilities(granted)
        .no_new_privileges(chain.no_new_privs)
        .rlimits(Vec::new())
        .build()
        .map_err(|e| Error::new(Kind::Failed, "process", "").because(e.to_string()))
}

/// Docker's fourteen, with the changes in order.
fn wanted(chain: &Chain) -> Result<Vec<Capability>> {
    let mut all: Vec<Capability> = spec::capability::DEFAULT.to_vec();
    for change in &chain.capabilities {
        let (CapabilityChange::Add(one, _) | CapabilityChange::Drop(one)) = change;
        all.retain(|c| c != one);
        if matches!(change, CapabilityChange::Add(..)) {
            all.push(*one);
        }
    }
    let held = sys::capability::get().map_err(|e| failed("capget", "", e))?.permitted;
    for one in &all {
        let named = chain.capabilities.contains(&CapabilityChange::Add(*one, true));
        if named && held & 1 << spec::capability::number(*one) == 0 {
            let name = spec::capability::name(*one);
            return Err(
                invalid("--cap-add", name, "is not ours to give").hint("be root, or add a user namespace: --user")
            );
        }
    }
    Ok(all)
}

/// The filters of system calls that `chain` asks for. Files are the caller's: before the root is another.
pub(super) fn filters(chain: &Chain, sandboxed: bool) -> Result<Vec<seccomp::Program>> {
    let mut all = Vec::new();
    // Ours goes first: one that is given may forbid seccomp(2).
    if chain.no_user_namespaces {
        all.push(no_user_namespaces()?);
    }
    all.extend(filter(chain, sandboxed)?);
    for number in &chain.filters {
        all.push(read_program("--add-seccomp-fd", *number)?);
    }
    if all.iter().any(seccomp::Program::notifies) {
        return Err(invalid("--seccomp", "SCMP_ACT_NOTIFY", "nobody here would answer").hint("the OCI verbs can do it"));
    }
    Ok(all)
}

fn read_program(option: &'static str, number: i32) -> Result<seccomp::Program> {
    let read = sys::spawn::inherited(number).and_then(file::read_all);
    let bytes = read.map_err(|e| failed("read", format!("{option} {number}"), e))?;
    seccomp::Program::from_bytes(&bytes)
}

fn filter(chain: &Chain, sandboxed: bool) -> Result<Option<seccomp::Program>> {
    let program = match &chain.seccomp {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::Unsaid if !sandboxed => return Ok(None),
        Seccomp::Unsaid | Seccomp::Default => seccomp::compile(&default_profile(chain, sandboxed)?)?,
        Seccomp::Profile(path) => {
            let text = file::read(path).map_err(|e| failed("read", path.display(), e))?;
            let (caps, native) = (capabilities(chain, sandboxed)?, native()?);
            let profile = spec::profile::parse(&text, &caps, native, kernel()).map_err(|why| {
                invalid("--seccomp", path.display(), why).hint("a seccomp profile as docker takes it")
            })?;
            seccomp::compile(&profile)?
        }
        Seccomp::Program(number) => read_program("--seccomp", *number)?,
    };
    Ok(Some(program))
}

fn capabilities(chain: &Chain, sandboxed: bool) -> Result<Vec<Capability>> {
    if sandboxed {
        return wanted(chain);
    }
    let held = sys::capability::bounding();
    Ok((0..64).filter(|n| held & 1 << n != 0).filter_map(spec::capability::from_number).collect())
}

fn default_profile(chain: &Chain, sandboxed: bool) -> Result<LinuxSeccomp> {
    Ok(spec::seccomp::default_profile(&capabilities(chain, sandboxed)?, native()?, kernel()))
}

fn native() -> Result<Abi> {
    let arch = std::env::consts::ARCH;
    Abi::native(arch).ok_or_else(|| {
        invalid("seccomp", arch, "no system call table for this architecture").hint("--seccomp unconfined goes without")
    })
}

/// Whether the command will have the caller's terminal as controlling terminal.
fn shares_terminal(chain: &Chain) -> bool {
    let in_callers_session = !chain.terminal && !chain.new_session;
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    // ENXIO where there is none.
    in_callers_session && rustix::fs::open("/dev/tty", flags, rustix::fs::Mode::empty()).is_ok()
}

/// Forbids putting characters into a terminal's input, by TIOCSTI or the console's way of pasting.
fn no_typing() -> Result<seccomp::Program> {
    let forbidden = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| {
        serde_json::json!({ "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM,
            // The kernel looks at 32 bits of it.
            "args": [{ "index": 1, "value": 0xffff_ffff_u64, "valueTwo": request, "op": "SCMP_CMP_MASKED_EQ" }] })
    });
    all_but(&serde_json::json!(forbidden))
}

/// Forbids making user namespaces. clone3(2) has its flags in memory, where no filter looks: without it the C library does with clone(2).
fn no_user_namespaces() -> Result<seccomp::Program> {
    let new_user = |name: &str| {
        serde_json::json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM,
            "args": [{ "index": 0, "value": libc::CLONE_NEWUSER, "valueTwo": libc::CLONE_NEWUSER, "op": "SCMP_CMP_MASKED_EQ" }] })
    };
    let clone3 = serde_json::json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS });
    all_but(&serde_json::json!([new_user("clone"), new_user("unshare"), clone3]))
}

/// Allows all but these rules of a profile.
fn all_but(rules: &serde_json::Value) -> Result<seccomp::Program> {
    let arches = match native()? {
        Abi::X86_64 | Abi::X32 => vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        Abi::I386 => vec!["SCMP_ARCH_X86"],
        Abi::Aarch64 => vec!["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        Abi::Arm => vec!["SCMP_ARCH_ARM"],
    };
    let text = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": arches, "syscalls": rules });
    let profile: LinuxSeccomp =
        serde_json::from_value(text).map_err(|e| Error::new(Kind::Failed, "seccomp", "").because(e))?;
    seccomp::compile(&profile)
}

/// Major and minor number of the running kernel.
pub(crate) fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{no_typing, no_user_namespaces};

    #[test]
    fn filters_of_our_own_compile() {
        assert!(!no_typing().unwrap().instructions().is_empty());
        assert!(!no_user_namespaces().unwrap().instructions().is_empty());
    }
}
