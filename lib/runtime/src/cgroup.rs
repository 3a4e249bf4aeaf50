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

mod chain;
mod change;
pub(crate) mod delegate;
mod ending;
mod entrance;
mod freezer;
mod group;
mod layout;
mod limits;
mod oom;
pub mod statistics;
mod view;

pub use chain::{ChainGroup, ChainLimits, for_chain};
pub use entrance::Entrance;
pub(crate) use layout::Layout;
pub(crate) use view::{Folder, View};

use crate::devices::{DeviceList, Rules};
use crate::error::{Error, Kind, Result, failed};
use group::{Group, make_folders};
use layout::Hierarchy;
use limits::Setting;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use spec::runtime::LinuxResources;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of ours in each hierarchy, for containers whose configuration names no path: `/veneer/ID`. Removed when empty.
pub const PARENT: &str = "veneer";

/// How long to wait for processes to die, freeze or let go of a group.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is counted for statistics, whether limited or not: by v1's names and by v2's.
const ACCOUNTING: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "blkio", "io"];

/// What else to do when groups are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Count memory, processor time, processes and block transfers too where they have no limit: engines read the files.
    pub accounting: bool,
    /// Be in a group of its own in each hierarchy of v1 there is: whoever looks at the tree from inside finds it whole.
    pub everywhere: bool,
    /// Put a device list in force, and make it possible to freeze and to count all processes.
    pub container: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { accounting: false, everywhere: false, container: true }
    }
}

/// The groups of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    groups: Vec<Group>,
    devices: DeviceList,
}

impl Cgroup {
    /// Makes the groups for a container at `path` (`linux.cgroupsPath`: absolute from the root of each hierarchy, else below our own
    /// group) with these limits and devices. On an error nothing of it is left.
    pub fn create(path: &str, resources: Option<&LinuxResources>, options: &Options) -> Result<Self> {
        let layout = Layout::detect()?;
        Self::create_in(&layout, Path::new(path), resources, options)
    }

    /// The same in the trees of `layout`.
    pub(crate) fn create_in(
        layout: &Layout,
        path: &Path,
        resources: Option<&LinuxResources>,
        options: &Options,
    ) -> Result<Self> {
        let settings = resources.map(|r| limits::settings(r, layout)).transpose()?.unwrap_or_default();
        let devices = resources.and_then(|r| r.devices().as_deref()).unwrap_or_default();
        let rules = Rules::of(devices)?;
        let devices = DeviceList::Open("no cgroup to keep it in".to_owned());
        let mut cgroup = Self { groups: Vec::new(), devices };
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
        let mut wanted: Vec<&str> = if options.container { vec!["devices", "freezer"] } else { Vec::new() };
        if options.accounting {
            wanted.extend(ACCOUNTING);
        }
        wanted.extend(settings.iter().map(|setting| setting.controller.as_str()));
        for hierarchy in layout.v1.iter().chain(layout.named.iter().filter(|_| options.everywhere)) {
            if options.everywhere || wanted.iter().any(|c| hierarchy.has(c)) {
                let limited = settings.iter().any(|s| hierarchy.has(&s.controller));
                self.make_v1(hierarchy, &hierarchy.place(path), limited)?;
            }
        }
        if let Some(hierarchy) = &layout.v2 {
            let mut here: Vec<&str> = wanted.iter().copied().filter(|c| hierarchy.has(c)).collect();
            here.sort_unstable();
            here.dedup();
            // Beside v1 it serves only where v1 lacks something.
            if layout.is_v2() || (options.container && layout.with("devices").is_none()) || !here.is_empty() {
                let folder = hierarchy.place_beside(path);
                let limited = settings.iter().any(|s| here.contains(&s.controller.as_str()));
                match make_folders(&hierarchy.root, &folder, |_| Ok(())) {
                    Ok(made) => {
                        self.groups.push(Group { controllers: Vec::new(), v2: true, path: folder.clone(), made });
                        match switch_on(&hierarchy.root, &folder, &here) {
                            Ok(()) => self.offer(&here),
                            Err(e) => tolerate(&folder, e, limited)?,
                        }
                    }
                    Err(e) => tolerate(&folder, e, limited)?,
                }
            }
        }
        self.write(settings)?;
        if options.container { self.restrict(rules) } else { Ok(()) }
    }

    /// The groups there are at `path` already, in each hierarchy that has one; not of our making, so nothing is known of devices.
    fn found(layout: &Layout, path: &Path) -> Self {
        let group =
            |of: &Hierarchy, v2, path| Group { controllers: of.controllers.clone(), v2, path, made: Vec::new() };
        let v1 = layout.v1.iter().chain(&layout.named).map(|of| group(of, false, of.place(path)));
        let v2 = layout.v2.iter().map(|of| group(of, true, of.place_beside(path)));
        let is_there = |group: &Group| rustix::fs::stat(group.path.join("cgroup.procs")).is_ok();
        let devices = DeviceList::Open("the group is not ours".to_owned());
        Self { groups: v1.chain(v2).filter(is_there).collect(), devices }
    }

    fn make_v1(&mut self, hierarchy: &Hierarchy, folder: &Path, limited: bool) -> Result<()> {
        let cpuset = hierarchy.has("cpuset");
        let prepare = |new: &Path| if cpuset { inherit_cpuset(new) } else { Ok(()) };
        match make_folders(&hierarchy.root, folder, prepare) {
            Ok(made) => {
                let controllers = hierarchy.controllers.clone();
                self.groups.push(Group { controllers, v2: false, path: folder.to_owned(), made });
                Ok(())
            }
            Err(e) => tolerate(folder, e, limited),
        }
    }

    /// Notes that the v2 group has these controllers.
    fn offer(&mut self, controllers: &[&str]) {
        if let Some(group) = self.groups.iter_mut().find(|g| g.v2) {
            let new = controllers.iter().filter(|c| !group.controllers.iter().any(|had| had == *c));
            let new: Vec<String> = new.map(|c| (*c).to_owned()).collect();
            group.controllers.extend(new);
        }
    }

    /// Writes limits; a controller that is not to be had is an error that names it.
    ///
    /// The kernel refuses for an instant what does not fit with another limit that is about to change too (memory with
    /// memory and swap, period with quota): such a one is tried again behind the others.
    fn write(&self, settings: &[Setting]) -> Result<()> {
        let mut later = Vec::new();
        for setting in settings {
            match self.write_one(setting) {
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) && settings.len() > 1 => later.push(setting),
                done => done?,
            }
        }
        for setting in later.into_iter().rev() {
            self.write_one(setting)?;
        }
        Ok(())
    }

    fn write_one(&self, setting: &Setting) -> Result<()> {
        let group = self.group_of(&setting.controller).ok_or_else(|| {
            let controller = &setting.controller;
            Error::new(Kind::Failed, "set limit", controller)
                .because(format!("no cgroup controller {controller} here"))
                .hint(format!("drop the limit, or have the kernel and the caller's group offer {controller}"))
        })?;
        let mut tries = setting.tries.iter().peekable();
        while let Some((file, value)) = tries.next() {
            let Err(e) = group.write(file, value) else { return Ok(()) };
            if e.raw_os_error() == Some(libc::ENOENT) {
                match (tries.peek(), setting.optional) {
                    (Some(_), _) => continue,
                    (None, true) => return Ok(()),
                    (None, false) => {}
                }
            }
            let (missing, busy) = (e.raw_os_error() == Some(libc::ENOENT), e.raw_os_error() == Some(libc::EBUSY));
            let error = failed("set limit", format!("{value} in {}", group.path.join(file).display()), e);
            return Err(if missing {
                error.hint("this kernel was built or started without that limit")
            } else if busy && setting.controller == "memory" {
                error.hint("more than that is in use and cannot be freed")
            } else {
                error
            });
        }
        Ok(())
    }

    /// The group with `controller`; files of v2 itself are in the v2 group.
    fn group_of(&self, controller: &str) -> Option<&Group> {
        let own = controller == "cgroup";
        self.groups.iter().find(|g| g.has(controller) || (own && g.v2))
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

    /// What a container in these groups sees of them.
    pub(crate) fn view(&self, layout: &Layout) -> View {
        View::of(layout, self.groups.iter())
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

    /// The content of a controller's file (`memory.current`); `None` where there is no such group or file.
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        self.groups.iter().find(|g| g.has(controller)).or_else(|| self.groups.iter().find(|g| g.v2))?.read(file).ok()
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

/// A new cpuset has no processors and takes no process until it is given some: its parent's. Where that has none, somebody has just
/// made it and is about to give it some, and it is given them here.
fn inherit_cpuset(folder: &Path) -> io::Result<()> {
    let group = |path: &Path| Group { controllers: Vec::new(), v2: false, path: path.to_owned(), made: Vec::new() };
    let Some(above) = folder.parent() else { return Ok(()) };
    let (parent, child) = (group(above), group(folder));
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if child.read(file)?.trim().is_empty() {
            let mut theirs = parent.read(file)?;
            if theirs.trim().is_empty() {
                inherit_cpuset(above)?;
                theirs = parent.read(file)?;
            }
            child.write(file, theirs.trim())?;
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
