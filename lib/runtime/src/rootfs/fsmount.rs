//! A new file system as a detached mount: fsopen(2), fsconfig(2), fsmount(2).

use super::options::{Attributes, Options, RDONLY};
use crate::error::{Error, Kind, Result};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// File systems whose superblock is shared or harmless: read-only is a matter of the mount alone.
const VIRTUAL: [&str; 8] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs"];

/// What went wrong, with the words of the file system where it said some.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) errno: io::Error,
    pub(crate) said: String,
}

impl Refused {
    pub(crate) fn is(&self, errno: i32) -> bool {
        self.errno.raw_os_error() == Some(errno)
    }

    pub(crate) fn at(self, destination: &str) -> Error {
        let error = Error::new(Kind::Failed, "mount", destination);
        if self.said.is_empty() {
            error.because(self.errno)
        } else {
            error.because(format!("{}: {}", self.errno, self.said))
        }
    }
}

/// Mounts a file system of type `kind` nowhere yet.
pub(crate) fn detached(kind: &str, source: &str, options: &Options) -> std::result::Result<OwnedFd, Refused> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|e| Refused { errno: e.into(), said: format!("file system {kind}") })?;
    configure(&context, kind, source, options).map_err(|e| Refused { errno: e.into(), said: log_of(&context) })
}

fn configure(context: &OwnedFd, kind: &str, source: &str, options: &Options) -> std::result::Result<OwnedFd, Errno> {
    use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string};
    if !source.is_empty() {
        fsconfig_set_string(context, "source", source)?;
    }
    set_data(context, options)?;
    let Attributes { set, .. } = options.attributes;
    if set & RDONLY != 0 && !VIRTUAL.contains(&kind) {
        fsconfig_set_flag(context, "ro")?;
    }
    fsconfig_create(context)?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(set as u32))
}

fn set_data(context: &OwnedFd, options: &Options) -> std::result::Result<(), Errno> {
    use rustix::mount::{fsconfig_set_flag, fsconfig_set_string};
    for datum in &options.data {
        match datum.split_once('=') {
            Some((key, value)) => fsconfig_set_string(context, key, value)?,
            None => fsconfig_set_flag(context, datum.as_str())?,
        }
    }
    for flag in &options.file_system_flags {
        fsconfig_set_flag(context, *flag)?;
    }
    Ok(())
}

/// Changes the file system mounted at `place`: what `remount` says beyond attributes of the mount.
pub(crate) fn reconfigure(place: BorrowedFd<'_>, options: &Options) -> std::result::Result<(), Refused> {
    use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fspick};
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(place, "", flags).map_err(|e| Refused { errno: e.into(), said: "remount".to_owned() })?;
    set_data(&context, options)
        .and_then(|()| fsconfig_reconfigure(&context))
        .map_err(|e| Refused { errno: e.into(), said: log_of(&context) })
}

/// What the file system wrote into its context: one message a read, `e `, `w ` or `i ` in front.
pub(crate) fn log_of(context: &OwnedFd) -> String {
    let mut said = Vec::new();
    let mut line = [0_u8; 1024];
    for _ in 0..16 {
        match rustix::io::read(context, &mut line[..]) {
            Ok(n) if n > 0 => {
                let text = String::from_utf8_lossy(line.get(..n).unwrap_or_default()).trim().to_owned();
                said.push(text.strip_prefix("e ").map(str::to_owned).unwrap_or(text));
            }
            _ => break,
        }
    }
    said.join("; ")
}

/// An empty tmpfs that nobody can write to.
pub(crate) fn empty() -> Result<OwnedFd> {
    let options = Options {
        attributes: Attributes {
            set: RDONLY | super::options::NOSUID | super::options::NODEV | super::options::NOEXEC,
            clear: 0,
        },
        data: vec!["mode=0555".into(), "nr_inodes=2".into()],
        ..Options::default()
    };
    detached("tmpfs", "tmpfs", &options).map_err(|e| e.at("empty tmpfs"))
}

/// Whether `fd` lies on a file system of this magic number.
pub(crate) fn is_of(fd: BorrowedFd<'_>, magic: u64) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|s| s.f_type as u64 == magic)
}
