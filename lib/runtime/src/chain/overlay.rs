//! `--overlay`, `--tmp-overlay`, `--ro-overlay`: an overlay of the kernel's own in a sandbox. (`ovl-mount` has the other driver.)
//!
//! Layers are opened first and named by descriptor (`/proc/self/fd/N`): no name of theirs is looked up twice, and none is too long
//! for fsconfig(2), which takes 255 bytes.

use super::operation::Upper;
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use crate::rootfs::options::RDONLY;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Layers, opened.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    /// Lowest first.
    lowers: Vec<OwnedFd>,
    folders: Option<(OwnedFd, OwnedFd)>,
    upper: &'a Upper,
}

/// Opens them.
pub(super) fn open<'a>(lowers: &[PathBuf], upper: &'a Upper) -> Result<Layers<'a>> {
    let least = if *upper == Upper::None { 2 } else { 1 };
    if lowers.len() < least {
        let why = format!("needs at least {least} --overlay-src before it");
        return Err(invalid("overlay", "", why));
    }
    let open = |path: &PathBuf| file::open_dir(path).map_err(|e| failed("open layer", path.display(), e));
    let folders = match upper {
        Upper::Folders(upper, work) => Some((open(upper)?, open(work)?)),
        Upper::Memory | Upper::None => None,
    };
    Ok(Layers { lowers: lowers.iter().map(open).collect::<Result<_>>()?, folders, upper })
}

impl Layers<'_> {
    /// Whether changes are kept in memory.
    pub(super) fn in_memory(&self) -> bool {
        *self.upper == Upper::Memory
    }

    /// Mounts them nowhere yet; with changes going to new folders in `memory`.
    pub(super) fn mount(self, memory: Option<OwnedFd>, user_namespace: bool, destination: &Path) -> Result<OwnedFd> {
        let name = destination.display();
        let folders = match (self.folders, memory) {
            (Some(folders), _) => Some(folders),
            (None, Some(memory)) => Some(in_memory(&memory).map_err(|e| failed("make upper folder of", &name, e))?),
            (None, None) => None,
        };
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|e| {
            failed("mount overlay", &name, e).hint("this kernel has no overlay for us; ovl-mount has one in user space")
        })?;
        let read_only = folders.is_none();
        configure(&context, &self.lowers, folders.as_ref(), user_namespace, read_only).map_err(|e| {
            let said = crate::rootfs::fsmount::log_of(&context);
            let error = Error::new(Kind::Failed, "mount overlay", &name);
            let error = match said.is_empty() {
                true => error.because(std::io::Error::from(e)),
                false => error.because(format!("{}: {said}", std::io::Error::from(e))),
            };
            error.hint("no layer may lie in another, the work folder lies beside the upper one; ovl-mount can do more")
        })
    }
}

fn configure(
    context: &OwnedFd,
    lowers: &[OwnedFd],
    folders: Option<&(OwnedFd, OwnedFd)>,
    user_namespace: bool,
    read_only: bool,
) -> std::result::Result<OwnedFd, Errno> {
    use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string};
    let by_descriptor = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let names: Vec<String> = lowers.iter().rev().map(by_descriptor).collect();
    for (at, name) in names.iter().enumerate() {
        match fsconfig_set_string(context, "lowerdir+", name.as_str()) {
            Ok(()) => {}
            // Before Linux 6.7: all in one string.
            Err(Errno::INVAL) if at == 0 => {
                fsconfig_set_string(context, "lowerdir", names.join(":").as_str())?;
                break;
            }
            Err(e) => return Err(e),
        }
    }
    if let Some((upper, work)) = folders {
        fsconfig_set_string(context, "upperdir", by_descriptor(upper).as_str())?;
        fsconfig_set_string(context, "workdir", by_descriptor(work).as_str())?;
    }
    if user_namespace {
        fsconfig_set_flag(context, "userxattr")?;
    }
    fsconfig_create(context)?;
    let set = if read_only { RDONLY } else { 0 } | crate::rootfs::options::NOSUID | crate::rootfs::options::NODEV;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(set as u32))
}

/// A pair of folders with names of their own.
fn in_memory(memory: &OwnedFd) -> std::io::Result<(OwnedFd, OwnedFd)> {
    for number in 0..u16::MAX {
        let name = format!("overlay.{number}");
        match rustix::fs::mkdirat(memory, name.as_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) => continue,
            Err(e) => return Err(e.into()),
        }
        let open = |below: &str| {
            let path = format!("{name}/{below}");
            rustix::fs::mkdirat(memory, path.as_str(), Mode::from_raw_mode(0o755))?;
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::openat(memory, path.as_str(), flags, Mode::empty())
        };
        return Ok((open("upper")?, open("work")?));
    }
    Err(Errno::NOSPC.into())
}
