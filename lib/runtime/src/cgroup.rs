//! Cgroups: what a container may use, what belongs to it, stopping and ending all of it.
//!
//! ```text
//! /sys/fs/cgroup/devices/veneer/ID   v1: a group in each hierarchy that is needed (devices, freezer, those with limits)
//! /sys/fs/cgroup/veneer/ID           v2: one group, controllers switched on down to it as limits need them
//! ```
//!
//! Order for a new container: [`Cgroup::create`] makes the groups, writes the limits and the device list while no process is in
//! them; the container's first process starts in it (v2: `CLONE_INTO_CGROUP` with [`Cgroup::directory`]) or enters by itself while
//! it has one thread ([`Entrance::enter`], before its cgroup namespace is made). Both take a tenth of a millisecond; writing another
//! process's id takes 5 to 20, for the kernel then waits until no process on the machine is between fork and exec.
//!
//! Only groups made here are written to; of those above only empty ones of ours are removed, and in v2 controllers are switched
//! on. Who may not make groups (no root, no delegation, a read-only mount) goes without, unless limits were asked for.
//!
//! A [`Cgroup`] is plain data: store it, and any later process of the runtime can act on the container through it.

mod group;
mod layout;
mod limits;

use crate::devices::{DeviceList, Rules};
use crate::error::{Error, Kind, Result, failed};
use group::{Group, make_folders};
use layout::Layout;
use limits::Setting;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use spec::runtime::LinuxResources;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The folder of ours in each hierarchy, for containers whose configuration names no path: `/veneer/ID`. Removed when empty.
pub const PARENT: &str = "veneer";

/// How long to wait for processes to die, freeze or let go of a group.
const PATIENCE: Duration = Duration::from_secs(10);

/// What else to do when a container's groups are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Count memory, processor time and processes too where they have no limit, for `events --stats` and `stats`.
    pub accounting: bool,
}

/// The groups of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    groups: Vec<Group>,
    devices: DeviceList,
}

/// The way into a container's groups, opened while the right to is there.
#[derive(Debug)]
pub struct Entrance(Vec<OwnedFd>);

impl Entrance {
    /// Moves the calling thread, which must be its process's only one, in.
    pub fn enter(&self) -> io::Result<()> {
        for file in &self.0 {
            rustix::io::retry_on_intr(|| rustix::io::write(file, b"0"))?;
        }
        Ok(())
    }
}

impl Cgroup {
    /// Makes the groups for a container at `path` (`linux.cgroupsPath`: absolute from the root of each hierarchy, else below our own
    /// group) with these limits and devices. On an error nothing of it is left.
    pub fn create(path: &str, resources: Option<&LinuxResources>, options: &Options) -> Result<Self> {
        let layout = Layout::detect().map_err(|e| failed("read", "/proc/self/cgroup", e))?;
        Self::create_in(&layout, Path::new(path), resources, options)
    }

    fn create_in(layout: &Layout, path: &Path, resources: Option<&LinuxResources>, options: &Options) -> Result<Self> {
        let settings = resources.map(|r| limits::settings(r, layout)).transpose()?.unwrap_or_default();
        let devices = resources.and_then(|r| r.devices().as_deref()).unwrap_or_default();
        let rules = Rules::of(devices)?;
        let mut cgroup = Self { groups: Vec::new(), devices: DeviceList::Open("no cgroup to keep it in".to_owned()) };
        let made = cgroup.make(layout, path, &settings, &rules, options);
        if made.is_err() {
            for group in &cgroup.groups {
                let _ = group.remove();
            }
        }
        made.map(|()| cgroup)
    }

    fn make(
        &mut self,
        layout: &Layout,
        path: &Path,
        settings: &[Setting],
        rules: &Rules,
        options: &Options,
    ) -> Result<()> {
        let mut wanted: Vec<&str> = vec!["devices", "freezer"];
        if options.accounting {
            wanted.extend(["memory", "cpuacct", "pids"]);
        }
        wanted.extend(settings.iter().map(|setting| setting.controller.as_str()));
        for hierarchy in &layout.v1 {
            let here: Vec<&str> = wanted.iter().copied().filter(|c| hierarchy.has(c)).collect();
            if here.is_empty() {
                continue;
            }
            let folder = hierarchy.place(path);
            let cpuset = hierarchy.has("cpuset");
            let prepare = |new: &Path| if cpuset { inherit_cpuset(new) } else { Ok(()) };
            match make_folders(&hierarchy.root, &folder, prepare) {
                Ok(made) => {
                    let controllers = hierarchy.controllers.clone();
                    self.groups.push(Group { controllers, v2: false, path: folder, made });
                }
                Err(e) => tolerate(&folder, e, settings.iter().any(|s| hierarchy.has(&s.controller)))?,
            }
        }
        if let Some(hierarchy) = &layout.v2 {
            let mut here: Vec<&str> = wanted.iter().copied().filter(|c| hierarchy.has(c)).collect();
            here.sort_unstable();
            here.dedup();
            // Beside v1 it serves only where v1 lacks something.
            if layout.is_v2() || layout.with("devices").is_none() || !here.is_empty() {
                let folder = hierarchy.place(path);
                let limited = settings.iter().any(|s| here.contains(&s.controller.as_str()));
                match make_folders(&hierarchy.root, &folder, |_| Ok(())) {
                    Ok(made) => {
                        let controllers = here.iter().map(|c| (*c).to_owned()).collect();
                        self.groups.push(Group { controllers, v2: true, path: folder.clone(), made });
                        if let Err(e) = switch_on(&hierarchy.root, &folder, &here) {
                            tolerate(&folder, e, limited)?;
                        }
                    }
                    Err(e) => tolerate(&folder, e, limited)?,
                }
            }
        }
        self.write(settings)?;
        self.restrict(rules)
    }

    /// Writes limits; a controller that is not to be had is an error that names it.
    fn write(&self, settings: &[Setting]) -> Result<()> {
        for (at, setting) in settings.iter().enumerate() {
            let group = self.groups.iter().find(|g| g.has(&setting.controller)).ok_or_else(|| {
                let controller = &setting.controller;
                Error::new(Kind::Failed, "set limit", controller)
                    .because(format!("no cgroup controller {controller} here"))
                    .hint(format!("drop the limit, or have the kernel and the caller's group offer {controller}"))
            })?;
            let write = |setting: &Setting| group.write(&setting.file, &setting.value);
            let mut done = write(setting);
            // v1 keeps memory + swap at least as large as memory at every instant: a larger pair goes in the other way round.
            let other = settings.get(at + 1).filter(|next| next.file == "memory.memsw.limit_in_bytes");
            if let (Err(e), Some(both)) = (&done, other)
                && e.raw_os_error() == Some(libc::EINVAL)
            {
                done = write(both).and_then(|()| write(setting));
            }
            done.map_err(|e| {
                let file = group.path.join(&setting.file);
                let missing = e.raw_os_error() == Some(libc::ENOENT);
                let error = failed("set limit", format!("{} in {}", setting.value, file.display()), e);
                if missing { error.hint("this kernel was built or started without that limit") } else { error }
            })?;
        }
        Ok(())
    }

    fn restrict(&mut self, rules: &Rules) -> Result<()> {
        if let Some(group) = self.groups.iter().find(|g| !g.v2 && g.has("devices")) {
            match rules.write_v1(&group.path) {
                Ok(()) => {
                    self.devices = DeviceList::Enforced;
                    return Ok(());
                }
                Err(e) if e.kind == Kind::Invalid => return Err(e),
                Err(e) => self.devices = DeviceList::Open(e.to_string()),
            }
        } else if let Some(group) = self.groups.iter().find(|g| g.v2) {
            self.devices = match rules.attach_v2(&group.path) {
                Ok(()) => DeviceList::Enforced,
                Err(e) => DeviceList::Open(failed("attach device program", group.path.display(), e).to_string()),
            };
        }
        Ok(())
    }

    /// Whether the device list is in force; if not, leave CAP_MKNOD out.
    pub fn devices(&self) -> &DeviceList {
        &self.devices
    }

    /// Whether there is no group at all: nothing to enter, freeze or remove.
    pub fn is_none(&self) -> bool {
        self.groups.is_empty()
    }

    /// The folders, for `state` and for who measures.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.groups.iter().map(|group| group.path.as_path())
    }

    /// The folder of the group with `controller`.
    pub fn folder(&self, controller: &str) -> Option<&Path> {
        self.groups.iter().find(|g| g.has(controller)).map(|g| g.path.as_path())
    }

    /// The v2 group opened, for `CLONE_INTO_CGROUP`; `None` where there is none. A process started so needs no [`Entrance`]
    /// unless [`Cgroup::needs_entering`].
    pub fn directory(&self) -> Result<Option<OwnedFd>> {
        let Some(group) = self.groups.iter().find(|g| g.v2) else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&group.path, flags, Mode::empty());
        opened.map(Some).map_err(|e| failed("open", group.path.display(), e))
    }

    /// Whether there are v1 groups, which `CLONE_INTO_CGROUP` does not reach.
    pub fn needs_entering(&self) -> bool {
        self.groups.iter().any(|group| !group.v2)
    }

    /// Opens the way in; with `started_in_v2` leaves the v2 group out.
    pub fn entrance(&self, started_in_v2: bool) -> Result<Entrance> {
        let groups = self.groups.iter().filter(|group| !(started_in_v2 && group.v2));
        let open = |group: &Group| group.entrance().map_err(|e| failed("open group", group.path.display(), e));
        groups.map(open).collect::<Result<Vec<_>>>().map(Entrance)
    }

    /// Changes limits of a running container (`update`); what is left out stays. Device rules stay too.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let layout = Layout::detect().map_err(|e| failed("read", "/proc/self/cgroup", e))?;
        self.write(&limits::settings(resources, &layout)?)
    }

    /// The content of a controller's file (`memory.current`); `None` where there is no such group or file.
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        self.groups.iter().find(|g| g.has(controller)).or_else(|| self.groups.iter().find(|g| g.v2))?.read(file).ok()
    }

    /// Ids of all processes in it, as this pid namespace sees them.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        for group in &self.groups {
            pids.extend(group.processes().map_err(|e| failed("list processes of", group.path.display(), e))?);
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Sends a signal to every process in it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // 0 stands for a process of another pid namespace.
        for pid in self.processes()?.into_iter().filter(|pid| *pid > 0).filter_map(Pid::from_raw) {
            match rustix::process::kill_process(pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(e) => return Err(failed("kill", pid.as_raw_nonzero(), e)),
            }
        }
        Ok(())
    }

    /// Stops all of it, returning when it stands still.
    pub fn freeze(&self) -> Result<()> {
        let group = self.freezer()?;
        let (file, value) = if group.v2 { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        let op = |e: io::Error| failed("freeze", group.path.display(), e);
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(50);
        loop {
            group.write(file, value).map_err(op)?;
            if self.is_frozen() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let _ = self.thaw();
                return Err(op(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        let group = self.freezer()?;
        let (file, value) = if group.v2 { ("cgroup.freeze", "0") } else { ("freezer.state", "THAWED") };
        group.write(file, value).map_err(|e| failed("thaw", group.path.display(), e))
    }

    /// Whether all of it stands still; false where that cannot be told.
    pub fn is_frozen(&self) -> bool {
        let Ok(group) = self.freezer() else { return false };
        if group.v2 {
            group.read("cgroup.events").is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
        } else {
            group.read("freezer.state").is_ok_and(|state| state.trim_end() == "FROZEN")
        }
    }

    fn freezer(&self) -> Result<&Group> {
        let v1 = self.groups.iter().find(|g| !g.v2 && g.has("freezer"));
        v1.or_else(|| self.groups.iter().find(|g| g.v2)).ok_or_else(|| {
            Error::new(Kind::Failed, "freeze", "")
                .because("the container has no cgroup")
                .hint("pause needs root or a delegated cgroup")
        })
    }

    /// Ends every process in it, also of a frozen one, and removes the groups; what is gone already is no error.
    pub fn kill_and_remove(&self) -> Result<()> {
        self.kill()?;
        self.remove()
    }

    fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(100);
        let mut first = true;
        while !self.processes()?.is_empty() {
            let at_once = self.groups.iter().any(|g| g.v2 && g.write("cgroup.kill", "1").is_ok());
            if self.needs_entering() || !at_once {
                // Frozen ones fork no more: the first round gets all. It takes effect with the thaw.
                if first && let Ok(freezer) = self.freezer() {
                    let (file, value) = if freezer.v2 { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
                    let _ = freezer.write(file, value);
                }
                self.signal(Signal::KILL)?;
            }
            // Also where it was frozen before.
            let _ = self.thaw();
            if Instant::now() > deadline {
                let folder = self.groups.first().map(|g| g.path.display().to_string()).unwrap_or_default();
                return Err(failed("end processes of", folder, io::Error::from_raw_os_error(libc::ETIMEDOUT)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
            first = false;
        }
        Ok(())
    }

    /// Removes the groups of a container whose processes have ended. The last of them may still be letting go.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for group in &self.groups {
            let mut pause = Duration::from_micros(100);
            while let Err(e) = group.remove() {
                if e.raw_os_error() != Some(libc::EBUSY) || Instant::now() > deadline {
                    return Err(failed("remove group", group.path.display(), e));
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

/// A group that cannot be made is done without, unless a limit needs it.
fn tolerate(folder: &Path, error: io::Error, limited: bool) -> Result<()> {
    let forbidden = matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::EBUSY));
    if forbidden && !limited {
        return Ok(());
    }
    let error = failed("make group", folder.display(), error);
    Err(if forbidden { error.hint("limits need root, or a cgroup delegated to this user") } else { error })
}

/// A new cpuset has no processors and takes no process until it is given some: its parent's.
fn inherit_cpuset(folder: &Path) -> io::Result<()> {
    let group = |path: &Path| Group { controllers: Vec::new(), v2: false, path: path.to_owned(), made: Vec::new() };
    let (Some(parent), child) = (folder.parent().map(group), group(folder)) else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if child.read(file)?.trim().is_empty() {
            child.write(file, parent.read(file)?.trim())?;
        }
    }
    Ok(())
}

/// Offers `controllers` to the v2 group `folder`: every group above it has to pass them on.
fn switch_on(root: &Path, folder: &Path, controllers: &[&str]) -> io::Result<()> {
    let above: Vec<PathBuf> =
        folder.ancestors().skip(1).take_while(|a| a.starts_with(root)).map(Path::to_owned).collect();
    for path in above.into_iter().rev() {
        let group = Group { controllers: Vec::new(), v2: true, path, made: Vec::new() };
        let passed = group.read("cgroup.subtree_control")?;
        for controller in controllers.iter().filter(|c| !passed.split_whitespace().any(|p| p == **c)) {
            group.write("cgroup.subtree_control", &format!("+{controller}"))?;
        }
    }
    Ok(())
}
