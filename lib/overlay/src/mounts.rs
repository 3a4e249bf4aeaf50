//! What is mounted, as the kernel tells it in mountinfo (proc_pid_mountinfo(5)).

use crate::error::{Error, Kind, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, open, statx};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The mount, as statx(2) numbers it.
    pub mount_id: u64,
    /// The file system, as its files' device number.
    pub device: (u32, u32),
    /// Where it is mounted, from the root of the process that is asked about.
    pub mount_point: PathBuf,
    /// What holds for the mount: `rw,noatime`.
    pub mount_options: String,
    /// The file system's type: `overlay`, `fuse.ovl-mount`.
    pub kind: String,
    /// What stands for a device.
    pub source: String,
    /// What holds for the file system.
    pub file_system_options: String,
}

impl Entry {
    /// Whether it is an overlay of ours or the kernel's.
    pub fn is_overlay(&self) -> bool {
        self.kind == "overlay" || self.is_served()
    }

    /// Whether it has a server.
    pub fn is_served(&self) -> bool {
        self.kind.starts_with("fuse")
    }
}

/// The mount that `path` is the root of; `None` where nothing is mounted right there. Asks no server.
pub fn at(path: &Path) -> Result<Option<Entry>> {
    let failed = |e: rustix::io::Errno| {
        Error::new(Kind::Request, "mount point", path.display()).because(std::io::Error::from(e))
    };
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = statx(CWD, path, flags, StatxFlags::MNT_ID).map_err(failed)?;
    let is_root = stat.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT);
    let table = open("/proc/thread-self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed(e).hint("mount procfs at /proc"))?;
    let entries = parse(&read(&table).map_err(failed)?);
    Ok(entries.into_iter().find(|entry| is_root && entry.mount_id == stat.stx_mnt_id))
}

/// All that is in an open mountinfo.
pub(crate) fn read(table: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut part = vec![0_u8; 1 << 16];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(table, &mut part))? {
            0 => return Ok(text),
            length => text.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
}

/// Every line that can be understood.
pub(crate) fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let plain = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    let mount_id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let (_parent, device) = (fields.next()?, std::str::from_utf8(fields.next()?).ok()?);
    let (major, minor) = device.split_once(':')?;
    let (_root, mount_point, mount_options) = (fields.next()?, fields.next()?, fields.next()?);
    // Optional fields follow, up to a dash.
    fields.find(|field| *field == b"-")?;
    let (kind, source, options) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    Some(Entry {
        mount_id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        mount_point: OsString::from_vec(unescape(mount_point)).into(),
        mount_options: plain(mount_options),
        kind: plain(kind),
        source: plain(source),
        file_system_options: String::from_utf8_lossy(options).into_owned(),
    })
}

/// Blank, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|d| *first == b'\\' && d.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = digits {
            plain.push(digits.iter().fold(0_u8, |sum, d| sum.wrapping_mul(8).wrapping_add(d - b'0')));
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_blanks_in_its_names() {
        let text = b"36 35 0:57 / /mnt/a\\040b rw,noatime shared:1 master:2 - fuse.ovl-mount my\\040source rw,user_id=0\nrubbish\n";
        let [entry] = parse(text).try_into().unwrap();
        assert_eq!((entry.mount_id, entry.device, entry.mount_point), (36, (0, 57), PathBuf::from("/mnt/a b")));
        assert_eq!((entry.kind.as_str(), entry.source.as_str()), ("fuse.ovl-mount", "my source"));
        assert_eq!((entry.mount_options.as_str(), entry.file_system_options.as_str()), ("rw,noatime", "rw,user_id=0"));
    }
}
