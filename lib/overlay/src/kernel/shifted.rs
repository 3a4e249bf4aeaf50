//! Layers whose owners show shifted (`uidmapping`, `gidmapping`): id-mapped mounts of them below the kernel's overlay.
//!
//! The overlay itself cannot be id-mapped, its layers can (Linux 5.19: "idmapped layers" in overlayfs.rst): each is cloned as a
//! detached mount, which takes the map of a user namespace that lives only for this (mount_setattr(2), `MOUNT_ATTR_IDMAP`), and is
//! named to the overlay by descriptor (6.13; older kernels take no detached mount, and the next driver serves). Upper and work
//! folder must be on one mount (`ovl_get_workdir`), so the folder above both is cloned for them.
//!
//! The map `IN-LAYERS:SHOWN:LENGTH` is the user namespace's `inside outside length`: what the disk has inside shows as outside.

use crate::error::{Error, Kind, Result};
use crate::folders::{Folder, Folders};
use crate::options::{IdRun, Options};
use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount_attr::{MountAttr, mount_setattr};
use sys::spawn::{Clone3, Fork, clone3, exit_now};

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// Lines that the kernel takes in one map (`UID_GID_MAP_MAX_EXTENTS`).
const MAX_RUNS: usize = 340;

/// The layers of an overlay, shifted; the mounts live as long as this does.
#[derive(Debug)]
pub(crate) struct Shifted {
    lowers: Vec<OwnedFd>,
    data_lowers: Vec<OwnedFd>,
    /// Upper, work folder, and the mount both are on, which goes with the descriptor it was made by.
    upper: Option<[OwnedFd; 3]>,
    /// Who is shown as the owner of what is root's in the layers.
    owner: (u32, u32),
}

impl Shifted {
    /// Shifts all layers as `options` ask; none where they do not.
    pub(crate) fn of(folders: &Folders, options: &Options) -> Result<Option<Self>> {
        if options.uid_map.is_empty() && options.gid_map.is_empty() {
            return Ok(None);
        }
        let ids = user_namespace(&options.uid_map, &options.gid_map)?;
        let all = |folders: &[Folder]| folders.iter().map(|f| clone(&f.path, &ids)).collect::<Result<Vec<_>>>();
        let upper = match &folders.upper {
            Some((upper, work)) => Some(writable(&upper.path, &work.path, &ids)?),
            None => None,
        };
        let owner = (root_of(&options.uid_map), root_of(&options.gid_map));
        Ok(Some(Self { lowers: all(&folders.lowers)?, data_lowers: all(&folders.data_lowers)?, upper, owner }))
    }

    /// Does `act` as an owner whom the shifted upper has: the overlay writes for ever with the ids of whoever made it
    /// (`ofs->creator_cred`), and ours may have no number there (EOVERFLOW, and the overlay would be read-only). Capabilities stay.
    pub(crate) fn as_owner<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let held = sys::capability::get()?;
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let change = |uid: u32, gid: u32| {
            nix::unistd::setfsgid(gid.into());
            nix::unistd::setfsuid(uid.into());
            // Leaving root's file system id takes capabilities out of force (capabilities(7)).
            sys::capability::set(held)
        };
        change(self.owner.0, self.owner.1)?;
        let done = act();
        change(uid.as_raw(), gid.as_raw())?;
        Ok(done)
    }

    pub(crate) fn lower(&self, index: usize) -> Option<&OwnedFd> {
        self.lowers.get(index)
    }

    pub(crate) fn data_lower(&self, index: usize) -> Option<&OwnedFd> {
        self.data_lowers.get(index)
    }

    /// The upper and its work folder.
    pub(crate) fn upper(&self) -> [Option<&OwnedFd>; 2] {
        self.upper.as_ref().map_or([None, None], |[upper, work, _]| [Some(upper), Some(work)])
    }
}

/// As whom id 0 of the layers is shown; where it is not, the first that is.
fn root_of(runs: &[IdRun]) -> u32 {
    let first = runs.iter().find(|run| run.outside == 0).or_else(|| runs.first());
    first.map_or(0, |run| run.inside)
}

/// A detached, shifted mount of the folder `path`, without what is mounted below it.
fn clone(path: &Path, ids: &OwnedFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let failed = |e: io::Error| {
        Error::new(Kind::Driver, "shift owners of layer", path.display()).because(e).hint(
            "not every file system can, and only root may: see mount_setattr(2); --driver fuse shifts them itself",
        )
    };
    let mount = open_tree(CWD, path, flags).map_err(|e| failed(e.into()))?;
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, user_namespace: Some(ids.as_fd()), ..MountAttr::default() };
    mount_setattr(mount.as_fd(), c"", false, &attr).map_err(failed)?;
    Ok(mount)
}

/// Upper and work folder on one shifted mount: of the folder above both.
fn writable(upper: &Path, work: &Path, ids: &OwnedFd) -> Result<[OwnedFd; 3]> {
    let real = |path: &Path| {
        path.canonicalize().map_err(|e| Error::new(Kind::Driver, "upper layer", path.display()).because(e))
    };
    let (upper, work) = (real(upper)?, real(work)?);
    let above: PathBuf =
        upper.components().zip(work.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let mount = clone(&above, ids)?;
    let below = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let rest = path.strip_prefix(&above).unwrap_or(Path::new("."));
        openat(&mount, rest, flags, Mode::empty())
            .map_err(|e| Error::new(Kind::Driver, "open", path.display()).because(io::Error::from(e)))
    };
    let (upper, work) = (below(&upper)?, below(&work)?);
    Ok([upper, work, mount])
}

/// A user namespace with this map, alive as long as the descriptor. Where only one of the two is shifted the other stays as it is.
fn user_namespace(users: &[IdRun], groups: &[IdRun]) -> Result<OwnedFd> {
    let failed = |e: io::Error| Error::new(Kind::Driver, "make a map of ids", "").because(e);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    match clone3(&Clone3 { flags: libc::CLONE_NEWUSER as u64, cgroup: None }).map_err(failed)? {
        Fork::Child => {
            drop(writer);
            // Ends when the parent closes its side, or is gone.
            let _ = rustix::io::read(&reader, &mut [0_u8; 1][..]);
            exit_now(0)
        }
        Fork::Parent(pid, _) => {
            drop(reader);
            let made = write(pid, "uid_map", users).and_then(|()| write(pid, "gid_map", groups)).and_then(|()| {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                open(format!("/proc/{pid}/ns/user"), flags, Mode::empty()).map_err(io::Error::from)
            });
            drop(writer);
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            made.map_err(failed)
        }
    }
}

fn write(pid: i32, file: &str, runs: &[IdRun]) -> io::Result<()> {
    if runs.len() > MAX_RUNS {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let mut text = String::new();
    for run in runs {
        let _ = writeln!(text, "{} {} {}", run.outside, run.inside, run.length);
    }
    if runs.is_empty() {
        text.push_str("0 0 4294967295\n");
    }
    let file = open(format!("/proc/{pid}/{file}"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // One write: the kernel takes a map only once.
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}
