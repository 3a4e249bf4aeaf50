//! Making a container: the parent's side of what [`crate::init`] draws.
//!
//! Every step that leaves something behind is undone when a later one fails ([`Undo`]): the first process killed, the cgroup and
//! the state folder removed. Killed outright, we leave a record that `delete` can work from.

use crate::bundle::{self, Bundle};
use crate::cgroup::View;
use crate::channel::{Channel, Message};
use crate::confinement::{Confinement, Manager};
use crate::defence::{Defence, is_off};
use crate::error::{Error, Kind, Result, failed};
use crate::file;
use crate::idmap::{self, Ids};
use crate::init::{self, Console, Init, Wait};
use crate::namespace::{Namespace, Namespaces};
use crate::rootfs::{cgroups, entries};
use crate::state::{Entry, Record, start_time};
use crate::{hooks, listener, net_devices, seccomp, sysctl, terminal};
use rustix::fs::CWD;
use spec::runtime::{ContainerState, Spec, State, StateBuilder};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::spawn::{Clone3, Fork};

/// What `create` and `run` are told.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder of all state.
    pub root: PathBuf,
    /// The container's name.
    pub id: String,
    /// The bundle.
    pub bundle: PathBuf,
    /// Where someone waits for the master of the terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to write the pid of the first process.
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program gets.
    pub preserve_fds: u32,
    /// How cgroups are made.
    pub cgroups: Manager,
    /// A session keyring of its own.
    pub own_keyring: bool,
}

/// A container that waits for the order to start.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) entry: Entry,
    pub(crate) record: Record,
    pub(crate) spec: Spec,
    pub(crate) channel: Channel,
    /// The master of its terminal, where nobody else wanted it.
    pub(crate) master: Option<OwnedFd>,
    pub(crate) warnings: Vec<Error>,
}

/// Makes a container that waits to be started by [`crate::container::start`]; what of its configuration is left out.
pub fn create(request: &Request) -> Result<Vec<Error>> {
    let made = make(request, false, true)?;
    // The first process has a copy of the locked descriptor: only saying so lets go of the lock.
    made.entry.unlock();
    made.channel.send(&Message::Mapped)?;
    Ok(made.warnings)
}

/// Removes what was made when making the rest failed.
#[derive(Debug)]
struct Undo<'a> {
    entry: Option<&'a Entry>,
    cgroup: Option<&'a Confinement>,
    pid: Option<i32>,
    /// What stands behind its end (runtime-spec "Lifecycle": a hook that fails leads to step 12), once hooks have run.
    poststop: Option<(&'a Spec, State)>,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pid, None);
        }
        if let Some(cgroup) = self.cgroup {
            cgroup.remove();
        }
        if let Some(entry) = self.entry {
            let _ = entry.remove();
        }
        if let Some((spec, state)) = self.poststop.take() {
            let hooks = spec.hooks().as_ref().and_then(|h| h.poststop().as_ref());
            // Their failures are warnings, which the error that led here outweighs.
            let _ = hooks::run_all("poststop hook", hooks, &serde_json::to_vec(&state).unwrap_or_default(), None);
        }
    }
}

/// The state document of a container, as `state` prints it and hooks get it.
pub(crate) fn state_of(record: &Record, status: ContainerState) -> State {
    let mut builder = StateBuilder::default()
        .version(record.oci_version.clone())
        .id(record.id.clone())
        .status(status)
        .bundle(record.bundle.clone());
    if record.pid != 0 && status != ContainerState::Stopped {
        builder = builder.pid(record.pid);
    }
    if let Some(annotations) = &record.annotations {
        builder = builder.annotations(annotations.clone());
    }
    builder.build().unwrap_or_default()
}

/// Makes a container; with `run` its first process waits for our order, not for whoever connects. With `accounting` its cgroup counts
/// what engines read.
pub(crate) fn make(request: &Request, run: bool, accounting: bool) -> Result<Made> {
    crate::state::check_id(&request.id)?;
    let bundle = bundle::load(&request.bundle)?;
    let namespaces = bundle.namespaces()?;
    let Bundle { path, rootfs, spec, raw, mut warnings } = bundle;
    let process = bundle::process_of(&spec)?;
    let linux = spec.linux().as_ref();
    if let Some(parameters) = linux.and_then(|l| l.sysctl().as_ref()) {
        sysctl::check(parameters, &namespaces)?;
    }
    let program = linux.and_then(|l| l.seccomp().as_ref()).map(seccomp::compile).transpose()?;
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mounts = entries::read(mounts, &path, linux, &namespaces, &mut warnings)?;
    let root = entries::clone_root(&rootfs, linux, &namespaces)?;
    let console = match (process.terminal().unwrap_or(false), &request.console_socket) {
        (false, None) => Console::None,
        (false, Some(path)) => {
            return Err(crate::error::invalid("--console-socket", path.display(), "process.terminal is not set"));
        }
        (true, Some(path)) => Console::Socket(terminal::connect(path)?),
        (true, None) if run => Console::Parent,
        (true, None) => {
            return Err(crate::error::invalid("create", &request.id, "process.terminal is set")
                .hint("say with --console-socket who serves the terminal"));
        }
    };

    let entry = Entry::create(&request.root, &request.id)?;
    let confinement;
    let mut undo = Undo { entry: Some(&entry), cgroup: None, pid: None, poststop: None };
    let mut record = Record {
        oci_version: spec.version().clone(),
        id: request.id.clone(),
        pid: 0,
        start_time: 0,
        started: false,
        bundle: path.clone(),
        rootfs: rootfs.clone(),
        created: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        annotations: spec.annotations().clone(),
        cgroup: None,
        devices_listed: false,
    };
    // Who joins namespaces by path on the way to a new user, pid or time namespace takes an intermediate process.
    let stepwise = namespaces.joins(Namespace::Pid)
        || namespaces.joins(Namespace::User)
        || namespaces.makes(Namespace::Time)
        || namespaces.joins(Namespace::Time)
        || (namespaces.makes(Namespace::User) && !namespaces.join.is_empty());
    let accounting = accounting || bundle::wants_accounting(&spec);
    // Before anything outside of the folder is made: whoever removes what a killed maker leaves reads there where its groups are.
    entry.begin(&raw, &record)?;
    confinement = Confinement::create(&spec, &request.id, request.cgroups, accounting, !stepwise)?;
    undo.cgroup = Some(&confinement);
    let shows_cgroups = mounts.iter().any(entries::Entry::is_cgroup);
    let mut view = if shows_cgroups { confinement.view() } else { View::default() };
    if namespaces.joins(Namespace::Mnt) {
        cgroups::clone_now(&mut view, linux)?;
    }
    record.cgroup = confinement.cgroup.clone();
    // Without a list a user namespace does as well: the kernel makes no devices in one.
    record.devices_listed =
        confinement.devices_listed() || namespaces.apart(Namespace::User) || idmap::in_user_namespace();

    let (ours, theirs) = Channel::pair()?;
    let wait = if run { Wait::Parent } else { Wait::Socket(entry.listen()?) };
    let state = state_of(&record, ContainerState::Creating);
    // Never returns, but a closure cannot say so.
    let begin = |joined: bool, channel: &Channel| {
        init::main(Init {
            spec: &spec,
            process,
            rootfs: &rootfs,
            namespaces: &namespaces,
            joined,
            channel,
            wait,
            console,
            seccomp: program.as_ref(),
            mounts: &mounts,
            root: root.as_ref(),
            cgroup: confinement.entrance.as_ref(),
            view: &view,
            devices_listed: record.devices_listed,
            own_keyring: request.own_keyring,
            preserve_fds: request.preserve_fds,
            state,
            reaper: bundle::wants_init(&spec),
        });
    };
    let pid = if stepwise {
        step(&spec, &namespaces, &ours, theirs, begin)?
    } else {
        let flags = namespaces.clone_flags();
        let cgroup = confinement.directory.as_ref().map(AsFd::as_fd);
        match sys::spawn::clone3(&Clone3 { flags, cgroup }).map_err(|e| unshare_hint(e, flags))? {
            Fork::Child => {
                drop(ours);
                begin(false, &theirs);
                sys::spawn::exit_now(1)
            }
            Fork::Parent(pid, _) => pid,
        }
    };
    undo.pid = Some(pid);

    if namespaces.makes(Namespace::User) {
        let linux = linux.ok_or_else(|| crate::error::invalid("linux", "", "is missing"))?;
        idmap::write(pid, Ids::Groups, &idmap::of_config(linux.gid_mappings().as_ref()))?;
        idmap::write(pid, Ids::Users, &idmap::of_config(linux.uid_mappings().as_ref()))?;
    }
    // With neither maps nor an intermediate process to wait for the first process is at work already.
    if stepwise || namespaces.makes(Namespace::User) {
        let _ = ours.send(&Message::Mapped);
    }
    record.pid = pid;
    record.start_time = start_time(pid).map_or(0, |(t, _)| t);

    let mut master = None;
    loop {
        match ours.receive()? {
            Some((Message::Ready, _)) => break,
            Some((Message::Terminal, fd)) => master = fd,
            Some((Message::MoveDevices, _)) => {
                let devices = linux.and_then(|l| l.net_devices().as_ref()).into_iter();
                let moved = devices.map(|all| net_devices::move_all(all, &namespaces, pid)).next();
                ours.send(&Message::DevicesMoved(moved.transpose()?.unwrap_or_default()))?;
            }
            Some((Message::RunHooks, _)) => {
                undo.poststop = Some((&spec, state_of(&record, ContainerState::Stopped)));
                let state = serde_json::to_vec(&state_of(&record, ContainerState::Creating)).unwrap_or_default();
                let all = spec.hooks().as_ref();
                #[allow(deprecated, reason = "prestart is deprecated in the specification, not in its callers")]
                hooks::run("prestart hook", all.and_then(|h| h.prestart().as_ref()), &state, None)?;
                hooks::run("createRuntime hook", all.and_then(|h| h.create_runtime().as_ref()), &state, None)?;
                ours.send(&Message::HooksRan(pid))?;
            }
            Some((Message::Listener, Some(fd))) => listener::forward(&ours, &spec, &record, fd)?,
            Some((Message::Warning(warning), _)) => warnings.push(warning.into()),
            Some(_) => {}
            None => {
                return Err(Error::new(Kind::Failed, "create", &request.id)
                    .because("the first process ended too early".to_owned()));
            }
        }
    }
    record.started = run;
    entry.save(&record)?;
    if let Some(path) = &request.pid_file {
        write_pid(path, pid)?;
    }
    undo.pid = None;
    undo.cgroup = None;
    undo.entry = None;
    undo.poststop = None;
    drop(undo);
    Ok(Made { entry, record, spec, channel: ours, master, warnings })
}

/// Forks a process that joins and makes what cannot be had in one clone, then makes the first process as its sibling.
fn step(
    spec: &Spec,
    namespaces: &Namespaces,
    ours: &Channel,
    theirs: Channel,
    begin: impl FnOnce(bool, &Channel),
) -> Result<i32> {
    let helper = match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
        Fork::Child => {
            match between(spec, namespaces) {
                Ok(Fork::Child) => begin(true, &theirs),
                Ok(Fork::Parent(pid, _)) => {
                    let _ = theirs.send(&Message::Pid(pid));
                }
                Err(error) => theirs.send_error(error),
            }
            sys::spawn::exit_now(0)
        }
        Fork::Parent(pid, _) => pid,
    };
    drop(theirs);
    let said = ours.receive();
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(helper), None);
    match said? {
        Some((Message::Pid(pid), _)) => Ok(pid),
        _ => Err(Error::new(Kind::Failed, "join namespaces", "")
            .because("the intermediate process ended too early".to_owned())),
    }
}

fn between(spec: &Spec, namespaces: &Namespaces) -> Result<Fork> {
    // From its birth on the first process is seen by those that are in its namespaces already (CVE-2016-9962). Not where clock offsets
    // are to be written: the file is not ours any more then.
    let watched = namespaces.joins(Namespace::Pid) || namespaces.joins(Namespace::User);
    if watched && !namespaces.makes(Namespace::Time) && !is_off(Defence::NotDumpable) {
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
    namespaces.join_all()?;
    if namespaces.makes(Namespace::Time) {
        let flags = rustix::thread::UnshareFlags::from_bits_retain(Namespace::Time.flag() as u32);
        unshare(flags, "time namespace")?;
        let offsets = spec.linux().as_ref().and_then(|l| l.time_offsets().as_ref());
        for (clock, offset) in offsets.into_iter().flatten() {
            let line = format!("{clock} {} {}", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            file::write_existing("/proc/self/timens_offsets", line.as_bytes())
                .map_err(|e| failed("set clock offset", clock, e))?;
        }
    }
    let flags = namespaces.clone_flags() | libc::CLONE_PARENT as u64;
    sys::spawn::clone3(&Clone3 { flags, cgroup: None }).map_err(|e| unshare_hint(e, flags))
}

fn unshare(flags: rustix::thread::UnshareFlags, name: &str) -> Result<()> {
    let flags = nix::sched::CloneFlags::from_bits_retain(flags.bits() as i32);
    nix::sched::unshare(flags).map_err(|e| failed("unshare", name, e))
}

/// An error of making namespaces, with what usually helps.
pub(crate) fn unshare_hint(error: std::io::Error, flags: u64) -> Error {
    let kinds: Vec<&str> = Namespace::ALL.iter().filter(|k| flags & k.flag() != 0).map(|k| k.name()).collect();
    let errno = error.raw_os_error();
    let failed = failed("make namespaces", kinds.join(" "), error);
    match errno {
        Some(libc::EPERM) if flags & Namespace::User.flag() == 0 => {
            failed.hint("be root, or make a user namespace too (--user --map-root-user)")
        }
        Some(libc::ENOSPC | libc::EPERM) => failed.hint(crate::forbidden::hint()),
        _ => failed,
    }
}

/// Writes a pid file, whole or not at all.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let say = |e: std::io::Error| failed("write pid file", path.display(), e);
    let dir = rustix::fs::openat(
        CWD,
        parent,
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|e| say(e.into()))?;
    file::replace_at(dir.as_fd(), name, pid.to_string().as_bytes()).map_err(say)
}
