//! The kernel's own overlay, mounted through the new mount API (Documentation/filesystems/overlayfs.rst).
//!
//! `fsopen("overlay")`, one `lowerdir+` a layer, `fsmount`, `move_mount`: nothing is visible before the last step, and no
//! length limit but the kernel's 500 layers. Kernels before 6.7 do not know `lowerdir+`; there [`legacy`] writes the
//! one string that mount(2) takes.
//!
//! What is said beside the folders is in [`settings`]; layers whose owners show shifted are in [`shifted`].

mod legacy;
pub(crate) mod settings;
mod shifted;

use crate::error::{Error, Kind, Result};
use crate::folders::{Folder, Folders};
use crate::layer::Directory;
use crate::options::{Flags, Options};
use crate::rights::{self, Xattrs};
use crate::union::Compat;
use crate::union::compat;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use shifted::Shifted;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// `OVL_MAX_STACK` (fs/overlayfs/params.h)
const MAX_LAYERS: usize = 500;

/// Mounts `folders` with the kernel's overlay.
pub fn mount(folders: &Folders, options: &Options) -> Result<()> {
    refuse_what_it_cannot(folders, options)?;
    let _not_in_use = folders.lock_work()?;
    let xattrs = if options.userxattr { Xattrs::User } else { Xattrs::for_this_process() };
    if xattrs == Xattrs::User {
        refuse_fuse_upper(folders, options)?;
    }
    let shifted = Shifted::of(folders, options)?;
    let mut assembled = assemble(folders, options, xattrs, shifted.as_ref());
    if let Err(Step::Failed(error, _)) = &assembled
        && error.raw_os_error() == Some(libc::ESTALE)
        && options.index.is_none()
        && !has_index(folders)
    {
        // The upper, or a copy of it, was used over other layers. Nothing in it depends on that.
        assembled = assemble(folders, &Options { index: Some(false), ..options.clone() }, xattrs, shifted.as_ref());
    }
    match assembled {
        Ok(mounted) => attach(mounted, folders),
        Err(Step::Unknown) if shifted.is_some() => Err(too_old_to_shift(folders)),
        Err(Step::Unknown) => legacy::mount(folders, options, xattrs).map_err(|e| explain(e, None, folders)),
        Err(Step::Failed(error, log)) => Err(explain(error, log, folders)),
    }
}

/// What is known to be beyond it, before anything is tried.
fn refuse_what_it_cannot(folders: &Folders, options: &Options) -> Result<()> {
    let refuse = |what: &str, why: &str| Err(Error::new(Kind::Driver, "kernel overlay", what).because(why));
    if !rights::may_mount() {
        return refuse("", "mounting needs CAP_SYS_ADMIN")
            .map_err(|e: Error| e.hint("run as root, or let ovl-mount run the command: ovl-mount … -- CMD"));
    }
    let other_owner = "only the fuse driver can show another owner";
    for (set, option, why) in [
        (options.squash_root, "squash_to_root", other_owner),
        (options.squash_uid.is_some(), "squash_to_uid", other_owner),
        (options.squash_gid.is_some(), "squash_to_gid", other_owner),
        (
            options.xattr_permissions != 0,
            "xattr_permissions",
            "only the fuse driver keeps owners in extended attributes",
        ),
        (options.no_xattrs, "noxattrs", "only the fuse driver can do without extended attributes"),
    ] {
        if set {
            return refuse(option, why);
        }
    }
    if folders.lowers.len() > MAX_LAYERS {
        return refuse(&format!("{} layers", folders.lowers.len()), "the kernel takes at most 500");
    }
    match &folders.upper {
        None if folders.lowers.len() < 2 => {
            refuse(&folders.lowers[0].path.display().to_string(), "the kernel wants two layers or an upper")
        }
        Some((upper, _)) if upper.on_overlayfs() => Err(Error::new(Kind::Driver, "upper layer", upper.path.display())
            .because("the kernel takes no upper that is on an overlay itself")
            .hint("put the upper on a disk or tmpfs, or use --driver fuse")),
        _ => Ok(()),
    }
}

/// In `user.*` the kernel takes no redirects and no metadata copies, and an upper may hold them.
fn refuse_fuse_upper(folders: &Folders, options: &Options) -> Result<()> {
    let Some((upper, _)) = &folders.upper else { return Ok(()) };
    if options.compat == Some(Compat::Fuse) {
        return Err(Error::new(Kind::Driver, "kernel overlay", "compat=fuse").because("only the fuse driver can"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let recorded = open(&upper.path, flags, Mode::empty()).ok().and_then(|fd| compat::recorded(fd.as_fd()));
    if recorded == Some(Compat::Fuse) { Err(compat::only_fuse(Kind::Driver, &upper.path)) } else { Ok(()) }
}

/// Whether the upper has links of lower files that only the index keeps together.
fn has_index(folders: &Folders) -> bool {
    let Some((_, work)) = &folders.upper else { return false };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = open(work.path.join("index"), flags, Mode::empty()) else { return false };
    Directory::new(folder, false).is_ok_and(|index| !index.is_empty())
}

/// Why [`assemble`] did not end in a mount.
enum Step {
    /// The kernel is older than `lowerdir+`.
    Unknown,
    /// It failed; the second is what the kernel put into the context's log.
    Failed(Error, Option<String>),
}

fn too_old_to_shift(folders: &Folders) -> Error {
    Error::new(Kind::Driver, "kernel overlay", folders.target.path.display())
        .because("this kernel takes no shifted layers")
        .hint("Linux 6.13 does; --driver fuse shifts owners itself")
}

fn assemble(
    folders: &Folders,
    options: &Options,
    xattrs: Xattrs,
    shifted: Option<&Shifted>,
) -> std::result::Result<OwnedFd, Step> {
    let failed = |op: &'static str, errno: Errno| {
        Step::Failed(Error::new(Kind::Driver, op, folders.target.path.display()).because(io::Error::from(errno)), None)
    };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|e| failed("fsopen overlay for", e))?;
    // A file system that has not been moved to the new API takes any key here and looks at none before the end.
    if fsconfig_set_flag(context.as_fd(), "veneer-probe").is_ok() {
        return Err(Step::Unknown);
    }
    let _ = read_log(&context);
    let noted = |op: &'static str, folder: &Folder, errno: Errno| {
        let error = Error::new(Kind::Driver, op, folder.path.display()).because(io::Error::from(errno));
        Step::Failed(error, read_log(&context))
    };
    let source = options.fsname.as_deref().unwrap_or("overlay");
    let _ = fsconfig_set_string(context.as_fd(), "source", source);
    for (index, lower) in folders.lowers.iter().enumerate() {
        match set_folder(&context, "lowerdir+", lower, shifted.and_then(|s| s.lower(index))) {
            Err(Errno::INVAL) if index == 0 && unknown_key(&context) => return Err(Step::Unknown),
            result => result.map_err(|e| noted("lower layer", lower, e))?,
        }
    }
    for (index, data) in folders.data_lowers.iter().enumerate() {
        set_folder(&context, "datadir+", data, shifted.and_then(|s| s.data_lower(index)))
            .map_err(|e| noted("data-only layer", data, e))?;
    }
    if let Some((upper, work)) = &folders.upper {
        let [shifted_upper, shifted_work] = shifted.map_or([None, None], Shifted::upper);
        set_folder(&context, "upperdir", upper, shifted_upper).map_err(|e| noted("upper layer", upper, e))?;
        set_folder(&context, "workdir", work, shifted_work).map_err(|e| noted("work folder", work, e))?;
    }
    for (key, value) in settings::of(options, xattrs) {
        settings::say(&context, &key, value.as_deref()).map_err(|e| noted("overlay on", &folders.target, e))?;
    }
    let create = || fsconfig_create(context.as_fd());
    let created = match shifted {
        Some(shifted) => shifted
            .as_owner(create)
            .unwrap_or_else(|e| Err(Errno::from_raw_os_error(e.raw_os_error().unwrap_or(libc::EPERM)))),
        None => create(),
    };
    created.map_err(|e| noted("overlay on", &folders.target, e))?;
    let attributes = attributes(&options.flags, folders.upper.is_none());
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|e| noted("overlay on", &folders.target, e))
}

/// Makes a detached mount visible at the target.
pub(crate) fn attach(mounted: OwnedFd, folders: &Folders) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mounted.as_fd(), "", folders.target_fd.as_fd(), "", flags)
        .map_err(|e| Error::new(Kind::Driver, "mount on", folders.target.path.display()).because(io::Error::from(e)))
}

/// The attributes of the mount itself, as fsmount(2) takes them.
pub(crate) fn attributes(flags: &Flags, no_upper: bool) -> MountAttrFlags {
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, flags.read_only || no_upper);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, flags.nosuid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, flags.nodev);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, flags.noexec);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, flags.nosymfollow);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOATIME, flags.noatime);
    attributes.set(MountAttrFlags::MOUNT_ATTR_STRICTATIME, flags.strictatime);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, flags.nodiratime);
    attributes
}

/// Names a folder to the context: by its path where the kernel takes it as it is (at most 255 bytes, no escapes to
/// undo), else by descriptor (6.13; O_PATH since 6.15) or by the descriptor's name below /proc.
fn set_folder(context: &OwnedFd, key: &str, folder: &Folder, shifted: Option<&OwnedFd>) -> rustix::io::Result<()> {
    if let Some(mount) = shifted {
        return fsconfig_set_fd(context.as_fd(), key, mount.as_fd());
    }
    let path = folder.path.as_os_str().as_bytes();
    if path.len() < 256 && !path.contains(&b'\\') {
        return fsconfig_set_string(context.as_fd(), key, path);
    }
    let place = folder.open().map_err(|e| Errno::from_raw_os_error(e.raw_os_error().unwrap_or(libc::EIO)))?;
    match fsconfig_set_fd(context.as_fd(), key, place.as_fd()) {
        Err(Errno::INVAL | Errno::BADF) => {
            fsconfig_set_string(context.as_fd(), key, format!("/proc/self/fd/{}", place.as_raw_fd()))
        }
        result => result,
    }
}

fn unknown_key(context: &OwnedFd) -> bool {
    read_log(context).is_none_or(|log| log.contains("nknown parameter"))
}

/// The lines that the kernel left for this context: `e overlay: …` is an error. Read until there is none.
fn read_log(context: &OwnedFd) -> Option<String> {
    let mut errors = Vec::new();
    let mut line = [0_u8; 1024];
    while let Ok(length) = rustix::io::read(context, &mut line) {
        let text = String::from_utf8_lossy(&line[..length]);
        if length == 0 {
            break;
        }
        if let Some(error) = text.strip_prefix("e ") {
            errors.push(error.trim().to_owned());
        }
    }
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// Adds to the kernel's few words what is known about their cause.
fn explain(mut error: Error, log: Option<String>, folders: &Folders) -> Error {
    let code = error.raw_os_error();
    if let Some(log) = log {
        error.source = Some(log.into());
    }
    if error.hint.is_some() {
        return error;
    }
    let hint = match code {
        Some(libc::ENODEV) => {
            error.source = Some("this kernel has no overlay".into());
            "load the module (modprobe overlay), or use --driver fuse".to_owned()
        }
        Some(libc::EPERM) => "the kernel does not let this process mount an overlay; --driver fuse may work".to_owned(),
        Some(libc::ELOOP) => "one layer lies inside another: name only the outer or only the inner one".to_owned(),
        Some(libc::EBUSY) => "upper or work folder belong to another overlay that is mounted".to_owned(),
        Some(libc::ESTALE) => "the upper was made for other layers: use the same ones, or a fresh upper".to_owned(),
        Some(libc::EINVAL)
            if folders.lowers.iter().any(|l| l.path.as_os_str() == "/") && !rights::in_first_user_namespace() =>
        {
            "in a user namespace the kernel takes no `/` as a layer; use --driver fuse".to_owned()
        }
        Some(libc::EINVAL) => "the kernel's log says why (dmesg); --driver fuse takes more kinds of folders".to_owned(),
        _ => return error,
    };
    error.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_few_words_get_a_cause_and_a_remedy() {
        let folder = Folder { path: "/m".into(), id: (0, 0, 1), mount_id: 1 };
        let target_fd = folder.open().or_else(|_| Folder { path: "/".into(), ..folder.clone() }.open()).unwrap();
        let folders =
            Folders { lowers: vec![folder.clone()], data_lowers: Vec::new(), upper: None, target: folder, target_fd };
        let said = |code: i32, log: Option<&str>| {
            let error = Error::new(Kind::Driver, "overlay on", "/m").because(io::Error::from_raw_os_error(code));
            let error = explain(error, log.map(str::to_owned), &folders);
            (error.to_string(), error.hint.unwrap_or_default())
        };
        let (text, hint) = said(libc::ENODEV, None);
        assert_eq!(text, "overlay on /m: this kernel has no overlay");
        assert_eq!(hint, "load the module (modprobe overlay), or use --driver fuse");
        assert_eq!(said(libc::EINVAL, Some("overlay: bad")).0, "overlay on /m: overlay: bad");
        assert_eq!(said(libc::EIO, None), ("overlay on /m: input/output error".into(), String::new()));
    }
}
