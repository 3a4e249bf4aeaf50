//! The container's first process, from its birth to its exec. The order is that of docs/privilege.md:
//!
//! ```text
//! parent                                   first process
//! clone3 ────────────────────────────────▶ in its new namespaces
//! id maps, cgroup ─── Mapped ────────────▶ root of its user namespace; joins namespaces by path, cgroup
//!                                          cgroup namespace, host name, lo, mounts, devices, terminal
//! prestart, createRuntime ◀── RunHooks ──
//!                     ─── HooksRan ──────▶ createContainer; pivot_root; sysctl; limits; program found
//! state written ◀──────────── Ready ──────
//!                     ─── Start ─────────▶ startContainer; seccomp, user, capabilities; exec
//! ```
//!
//! It dies with its parent until it is ready. Whatever fails travels to the parent as a message that names the step. Nothing here
//! panics, and nothing returns to the parent's code: [`main`] ends in an exec or an exit.

use crate::capabilities;
use crate::cgroup::{Entrance, View};
use crate::channel::{Channel, Message};
use crate::defence::{Defence, is_off};
use crate::error::{Error, Kind, Result, failed};
use crate::namespace::{Namespace, Namespaces, become_root};
use crate::process::{self, Prepared};
use crate::rootfs;
use crate::rootfs::entries::Entry;
use crate::seccomp::Program;
use crate::{hooks, net_devices, reaper, sysctl, terminal};
use rustix::process::{DumpableBehavior, Signal};
use spec::runtime::{Capability, ContainerState, Hook, Process, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where the order to start comes from.
#[derive(Debug)]
pub(crate) enum Wait {
    /// The process that made us: its end is ours.
    Parent,
    /// Whoever connects here.
    Socket(OwnedFd),
}

/// Who gets the master side of the terminal.
#[derive(Debug)]
pub(crate) enum Console {
    /// There is no terminal.
    None,
    /// The process that made us.
    Parent,
    /// Whoever listens at the caller's console socket.
    Socket(OwnedFd),
}

/// All the first process needs to know.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) process: &'a Process,
    pub(crate) rootfs: &'a Path,
    pub(crate) namespaces: &'a Namespaces,
    /// Joined already by an intermediate process.
    pub(crate) joined: bool,
    pub(crate) channel: &'a Channel,
    pub(crate) wait: Wait,
    pub(crate) console: Console,
    pub(crate) seccomp: Option<&'a Program>,
    pub(crate) mounts: &'a [Entry],
    /// The root file system, where it was cloned already.
    pub(crate) root: Option<&'a OwnedFd>,
    /// The way into the cgroup, opened by the parent: going in by oneself costs no grace period.
    pub(crate) cgroup: Option<&'a Entrance>,
    /// What is shown of the groups.
    pub(crate) view: &'a View,
    /// CAP_MKNOD may be given.
    pub(crate) devices_listed: bool,
    pub(crate) own_keyring: bool,
    pub(crate) preserve_fds: u32,
    /// The container's state as hooks get it; the pid is filled in.
    pub(crate) state: spec::runtime::State,
    /// A PID 1 of ours in front of the program.
    pub(crate) reaper: bool,
}

/// Runs the first process. Never returns.
pub(crate) fn main(mut init: Init<'_>) -> ! {
    let error = match set_up(&mut init) {
        Err(error) => {
            init.channel.send_error(error);
            sys::spawn::exit_now(1)
        }
        Ok(ready) => match wait_for_start(&init) {
            Err(error) => {
                init.channel.send_error(error);
                sys::spawn::exit_now(1)
            }
            Ok(Some(starter)) => {
                let error = go(&init, &ready, &starter);
                starter.send_error(error);
                1
            }
            Ok(None) => {
                let error = go(&init, &ready, init.channel);
                init.channel.send_error(error);
                1
            }
        },
    };
    sys::spawn::exit_now(error)
}

#[derive(Debug)]
struct Ready {
    prepared: Prepared,
}

fn set_up(init: &mut Init<'_>) -> Result<Ready> {
    sys::spawn::default_signals();
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let namespaces = init.namespaces;
    if namespaces.joins(Namespace::Pid) && !is_off(Defence::NotDumpable) {
        // Processes that are there already must not look into us.
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    // Made by an intermediate process, nothing of ours may be heard before that one has told our pid.
    if init.joined || namespaces.makes(Namespace::User) {
        match init.channel.receive()? {
            Some((Message::Mapped, _)) => {}
            _ => return Err(gone()),
        }
    }
    if namespaces.makes(Namespace::User) {
        become_root()?;
    }
    if !init.joined {
        namespaces.join_all()?;
    }
    if let Some(entrance) = init.cgroup {
        entrance.enter().map_err(|e| failed("enter cgroup", "", e))?;
    }
    if !is_off(Defence::Session) {
        rustix::process::setsid().map_err(|e| failed("setsid", "", e))?;
    }
    let linux = init.spec.linux().as_ref();
    if namespaces.makes(Namespace::Cgroup) {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
            .map_err(|e| failed("unshare", "cgroup namespace", e))?;
    }
    if let Some(name) = init.spec.hostname().as_ref().filter(|n| !n.is_empty()) {
        own(namespaces, Namespace::Uts, "hostname")?;
        rustix::system::sethostname(name.as_bytes()).map_err(|e| failed("set host name", name, e))?;
    }
    if let Some(name) = init.spec.domainname().as_ref().filter(|n| !n.is_empty()) {
        own(namespaces, Namespace::Uts, "domainname")?;
        rustix::system::setdomainname(name.as_bytes()).map_err(|e| failed("set domain name", name, e))?;
    }
    if namespaces.makes(Namespace::Net) {
        sys::loopback::bring_up().map_err(|e| failed("bring up", "lo", e))?;
    }
    if let Some(devices) = linux.and_then(|l| l.net_devices().as_ref()).filter(|all| !all.is_empty()) {
        own(namespaces, Namespace::Net, "linux.netDevices")?;
        net_devices::look_for_names(devices)?;
        init.channel.send(&Message::MoveDevices)?;
        match init.channel.receive()? {
            Some((Message::DevicesMoved(moved), _)) => net_devices::settle(&moved)?,
            _ => return Err(gone()),
        }
    }
    let proc_dir = process::open_proc()?;
    if init.own_keyring && !is_off(Defence::Keyring) {
        match sys::spawn::join_session_keyring(None) {
            Ok(()) => {}
            // No keyrings in this kernel, or not for us.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EDQUOT)) => {}
            Err(e) => return Err(failed("keyctl", "join session keyring", e)),
        }
    }

    let devices = linux.and_then(|l| l.devices().as_deref()).unwrap_or_default();
    let listed = |paths: &Option<Vec<String>>| paths.clone().unwrap_or_default();
    let (masked, readonly_paths) =
        linux.map(|l| (listed(l.masked_paths()), listed(l.readonly_paths()))).unwrap_or_default();
    let plan = rootfs::Plan {
        root: init.rootfs,
        cloned: init.root,
        readonly: init.spec.root().as_ref().and_then(spec::runtime::Root::readonly).unwrap_or(false),
        mounts: init.mounts,
        devices,
        masked: &masked,
        readonly_paths: &readonly_paths,
        propagation: linux.and_then(|l| l.rootfs_propagation().as_deref()).filter(|p| !p.is_empty()),
        cgroups: init.view,
        supplies_devices: true,
        among_the_machines: !namespaces.apart(Namespace::Mnt),
        own_cgroup_namespace: namespaces.apart(Namespace::Cgroup),
    };
    let assembled = rootfs::assemble(&plan)?;
    let slave = open_terminal(init, &assembled)?;

    let hooks = init.spec.hooks().as_ref();
    if hooks.is_some() {
        init.channel.send(&Message::RunHooks)?;
        match init.channel.receive()? {
            Some((Message::HooksRan(pid), _)) => init.state.set_pid(Some(pid)),
            _ => return Err(gone()),
        };
    }
    if let Some(hooks) = hooks.and_then(|h| h.create_container().as_ref()) {
        let state = serde_json::to_vec(&init.state).unwrap_or_default();
        hooks::run("createContainer hook", Some(hooks), &state, None)?;
    }

    process::enter_working_directory(&assembled.tree, init.process.cwd())?;
    rootfs::switch(&plan, &assembled)?;
    if let Some(parameters) = linux.and_then(|l| l.sysctl().as_ref()) {
        sysctl::apply(proc_dir.as_fd(), parameters)?;
    }
    process::settle(init.process, linux, proc_dir.as_fd(), init.channel)?;
    process::enter_working_directory(&assembled.tree, init.process.cwd())?;
    let prepared = Prepared::new(init.process, &assembled.tree)?;
    // Before the wait: whoever called `create` may wait for the end of the pipes it gave us as stdio (containerd does).
    if let Some(slave) = &slave {
        terminal::adopt(slave)?;
    }
    Ok(Ready { prepared })
}

fn own(namespaces: &Namespaces, kind: Namespace, field: &'static str) -> Result<()> {
    if namespaces.apart(kind) {
        return Ok(());
    }
    Err(crate::error::invalid("config", field, format!("needs a {} namespace of the container's own", kind.name())))
}

fn gone() -> Error {
    Error::new(Kind::Failed, "first process", "").because("whoever made it has gone".to_owned())
}

fn open_terminal(init: &Init<'_>, assembled: &rootfs::Assembled) -> Result<Option<OwnedFd>> {
    if matches!(init.console, Console::None) {
        return Ok(None);
    }
    let size = init.process.console_size().map(|s| (s.height(), s.width()));
    let user = init.process.user();
    let terminal = terminal::open(&assembled.tree, size, (user.uid(), user.gid()))?;
    if assembled.own_dev {
        terminal::bind_console(&assembled.tree, terminal.slave.as_fd())?;
    }
    hand_over(&init.console, init.channel, &terminal)?;
    Ok(Some(terminal.slave))
}

/// Gives the master side to whom it belongs.
pub(crate) fn hand_over(console: &Console, channel: &Channel, terminal: &terminal::Terminal) -> Result<()> {
    match console {
        Console::None => Ok(()),
        Console::Parent => channel.send_with(&Message::Terminal, Some(terminal.master.as_fd())),
        Console::Socket(socket) => {
            let name = terminal::name_of(terminal.master.as_fd());
            terminal::send_master(socket.as_fd(), terminal.master.as_fd(), &name)
        }
    }
}

/// Waits for the order to start; the connection it came by, where it came by one.
fn wait_for_start(init: &Init<'_>) -> Result<Option<Channel>> {
    // From here on an end of the parent is only noticed, not deadly: `create` ends, and we stay.
    let _ = rustix::process::set_parent_process_death_signal(None);
    init.channel.send(&Message::Ready)?;
    let Wait::Socket(socket) = &init.wait else {
        return match init.channel.receive()? {
            Some((Message::Start, _)) => Ok(None),
            _ => Err(gone()),
        };
    };
    // `create` says once more that all is written down; killed before that it leaves nothing running.
    match init.channel.receive()? {
        Some((Message::Mapped, _)) => {}
        _ => return Err(gone()),
    }
    loop {
        let connection =
            rustix::io::retry_on_intr(|| rustix::net::accept_with(socket, rustix::net::SocketFlags::CLOEXEC))
                .map_err(|e| failed("accept", "start", e))?;
        let connection = Channel::from_socket(connection);
        // Whoever only looks whether we wait says nothing.
        if let Ok(Some((Message::Start, _))) = connection.receive() {
            return Ok(Some(connection));
        }
    }
}

/// Gives up what the program is not to have, and becomes it. Returns only an error.
fn go(init: &Init<'_>, ready: &Ready, starter: &Channel) -> Error {
    match last_steps(init, ready, starter) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn last_steps(init: &Init<'_>, ready: &Ready, starter: &Channel) -> Result<std::convert::Infallible> {
    let hooks = init.spec.hooks().as_ref().and_then(|h| h.start_container().as_ref());
    let state = hooks.map(|_| {
        let mut state = init.state.clone();
        state.set_status(ContainerState::Created);
        serde_json::to_vec(&state).unwrap_or_default()
    });
    let launch = Launch {
        process: init.process,
        prepared: &ready.prepared,
        seccomp: init.seccomp.map(std::slice::from_ref).unwrap_or_default(),
        devices_listed: init.devices_listed,
        preserve_fds: init.preserve_fds,
        reaper: init.reaper,
        dies_with_parent: false,
        hooks: hooks.zip(state.as_deref()),
        channel: starter,
    };
    launch.go()
}

/// The last steps, which a program started in a running container takes as well.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) process: &'a Process,
    pub(crate) prepared: &'a Prepared,
    /// One behind the other.
    pub(crate) seccomp: &'a [Program],
    pub(crate) devices_listed: bool,
    pub(crate) preserve_fds: u32,
    pub(crate) reaper: bool,
    /// Ends with whoever made it.
    pub(crate) dies_with_parent: bool,
    /// Hooks `startContainer`, and what they read. They are programs of the image, perhaps: they get what the program gets.
    pub(crate) hooks: Option<(&'a Vec<Hook>, &'a [u8])>,
    /// Whoever is to have the listener of the seccomp filter.
    pub(crate) channel: &'a Channel,
}

impl Launch<'_> {
    /// Drops privileges and becomes the program.
    pub(crate) fn go(&self) -> Result<std::convert::Infallible> {
        process::close_the_rest(self.preserve_fds)?;
        let mut plan = capabilities::Plan::of(self.process.capabilities().as_ref())?;
        for missing in plan.missing() {
            let name = spec::capability::name(missing);
            let why = "is left out: this process does not have it itself".to_owned();
            let warning = Error::new(Kind::Invalid, "process.capabilities", name).because(why);
            self.channel.send(&Message::Warning(warning.into()))?;
        }
        if !self.devices_listed {
            plan.leave_out(Capability::Mknod);
        }
        let quiet = self.process.no_new_privileges().unwrap_or(false);
        if !quiet {
            self.install_filter()?;
        }
        if is_off(Defence::Capabilities) {
            process::become_user(self.process.user())?;
        } else {
            plan.before_ids()?;
            process::become_user(self.process.user())?;
            plan.after_ids()?;
        }
        if self.dies_with_parent {
            // A change of credentials has taken back what was asked for before (`commit_creds` in kernel/cred.c).
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        }
        if quiet {
            self.install_filter()?;
        }
        if let Some((hooks, state)) = self.hooks {
            hooks::run("startContainer hook", Some(hooks), state, None)?;
        }
        if self.reaper {
            reaper::stand_in_front(self.prepared.words())?;
        }
        Err(self.prepared.exec())
    }

    fn install_filter(&self) -> Result<()> {
        for program in self.seccomp.iter().filter(|_| !is_off(Defence::Seccomp)) {
            let Some(listener) = program.install()? else { continue };
            self.channel.send_with(&Message::Listener, Some(listener.as_fd()))?;
            // An agent that cannot be reached is an error (runtime-spec "Seccomp"), and the program does not run then.
            if !matches!(self.channel.receive()?, Some((Message::Heard(true), _))) {
                return Err(gone());
            }
        }
        Ok(())
    }
}
