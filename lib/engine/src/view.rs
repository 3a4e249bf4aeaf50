//! A container's tree, as a descriptor that paths are resolved in.
//!
//! ```text
//! running   /proc/PID/root of its process: what it sees itself, with volumes and tmpfs
//!           /proc/SUPERVISOR/root/<run>/<id>/root: its layers merged, and nothing mounted on them
//! stopped   its layers laid over each other by `ovl-mount` on `overlay2/<id>/merged`, in our own mount namespace;
//!           where `ctr mount` has done so already, that mount
//! ```
//!
//! A process can be gone and its number another's; so it is looked at again after its root was opened. What is mounted for
//! a stopped container is seen by nobody else and ends with us, also by `kill -9`. While that mount is there the
//! container's lock is held: an overlay's upper must not be in two mounts that write.

use crate::life::{self, Asked};
use crate::machine::Machine;
use crate::plan::{self, Command, Writable};
use crate::text::Text;
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result, execute, mounted};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use store::{Guard, ProcessId, Record, Root, State};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Who mounts for us, and where.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The store.
    pub root: &'a Root,
    /// Our own executable.
    pub own: &'a Path,
    /// What the machine is like.
    pub machine: &'a Machine,
}

/// The tree that the container's process sees, with all that is mounted in it.
pub fn of_process(process: ProcessId) -> Result<OwnedFd> {
    open_root_of(process, Path::new("/"))
}

/// The container's layers, merged, as its supervisor has them mounted.
pub fn of_layers(state: &State) -> Result<OwnedFd> {
    match (state.supervisor, &state.root) {
        (Some(supervisor), Some(at)) => open_root_of(supervisor, at),
        _ => Err(Error::new(Kind::Conflict, "", "the container has no supervisor any more")
            .hint("stop what is left of it: ctr rm -f")),
    }
}

fn open_root_of(process: ProcessId, below: &Path) -> Result<OwnedFd> {
    let name = format!("/proc/{}/root", process.pid);
    let fail = |e| crate::error::system("open", &name, e);
    let root = rustix::fs::open(&*name, FOLDER, Mode::empty()).map_err(fail)?;
    let relative = below.strip_prefix("/").unwrap_or(below);
    let found = match relative.as_os_str().is_empty() {
        true => root,
        // A link on the way leads somewhere in its mount namespace, not in ours.
        false => openat2(&root, relative, FOLDER, Mode::empty(), ResolveFlags::IN_ROOT).map_err(fail)?,
    };
    if life::process(process.pid) != Some(process) {
        return Err(Error::new(Kind::Conflict, "", "the container ended while it was looked at"));
    }
    Ok(found)
}

/// A stopped container's layers, merged where only we see it, for as long as this lives.
#[derive(Debug)]
pub struct Merged {
    folder: OwnedFd,
    at: PathBuf,
    /// Whether we mounted it.
    ours: bool,
    _alone: Guard,
}

impl Merged {
    /// The root of the tree.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        // Our descriptor would keep it busy.
        if let Ok(nothing) = rustix::fs::open("/", FOLDER, Mode::empty()) {
            self.folder = nothing;
        }
        // If it fails the mount goes with our mount namespace.
        let _ = execute::unmount(&self.at);
    }
}

/// Mounts a stopped container's tree. We must be in a mount namespace of our own. [`Kind::Conflict`] where it runs.
pub fn merge(around: &Surroundings<'_>, record: &Record) -> Result<Merged> {
    let alone = around.root.lock_container(&record.id).map_err(crate::error::store)?;
    if life::is_live(&around.root.container_state(&record.id).map_err(crate::error::store)?) {
        return Err(Error::new(Kind::Conflict, "", format!("container {} was started meanwhile", record.name))
            .hint("try again"));
    }
    let asked = Asked::of(record)?;
    let tools = Tools::new(&asked.request.programs, around.own.to_owned());
    let at = mounted::place(around.root, record);
    // Where `ctr mount` shows it to be written to its upper is in a mount that writes already.
    let ours = !mounted::stands_writable(around.root, record)?;
    if ours {
        run_mount(around, record, &asked, &tools, &at)?;
    }
    let folder =
        rustix::fs::open(&at, FOLDER, Mode::empty()).map_err(|e| crate::error::system("open", at.display(), e))?;
    Ok(Merged { folder, at, ours, _alone: alone })
}

/// Lays the container's layers over each other on the folder `at`, which is made.
pub fn run_mount(around: &Surroundings<'_>, record: &Record, asked: &Asked, tools: &Tools, at: &Path) -> Result<()> {
    let layer = around.root.container_layer(&record.id);
    let folders = [layer.join("diff"), layer.join("work"), at.to_owned()];
    for folder in &folders {
        std::fs::create_dir_all(folder).map_err(|e| crate::error::system("make", folder.display(), e))?;
    }
    let init = layer.join("init");
    if plan::has_mark(&asked.request) && !init.join(".dockerenv").exists() {
        std::fs::create_dir_all(&init).map_err(|e| crate::error::system("make", init.display(), e))?;
        execute::make_mark(&init.join(".dockerenv"))?;
    }
    let text = |path: &Path| Text::plain(&path.to_string_lossy());
    let writable = Writable { upper: text(&folders[0]), work: text(&folders[1]), init: text(&init), in_tmp: false };
    let command = plan::overlay(&asked.request, &record.layers, &writable, around.machine, text(at))?;
    execute::run(ready(tools, &command, around.root), &tools.name(Tool::OvlMount)).map(drop)
}

/// A command of a plan, to be run by itself.
pub(crate) fn ready(tools: &Tools, command: &Command, root: &Root) -> std::process::Command {
    let mut process = tools.command(command.tool);
    process.args(command.words.iter().map(|word| word.fill(|_| String::new())));
    process.env("VENEER_ROOT", root.path());
    process.envs(command.env.iter().map(|(name, value)| (*name, value.as_str())));
    process.stdin(std::process::Stdio::null());
    process
}
