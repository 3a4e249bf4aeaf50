//! mount(2)'s single string of options, for kernels before 6.7.
//!
//! The string must fit a page. Where the paths do not, every folder is opened and named by its descriptor's number,
//! with /proc/self/fd as the working folder: five bytes a layer.

use super::settings::{self, Setting};
use super::{Error, Kind, Result};
use crate::folders::Folders;
use crate::options::{Flags, Options};
use crate::rights::Xattrs;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::MountFlags;
use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What fits beside the terminating NUL.
const LONGEST: usize = 4095;

pub(super) fn mount(folders: &Folders, options: &Options, xattrs: Xattrs) -> Result<()> {
    let paths: Vec<&Path> = folders.lowers.iter().map(|l| l.path.as_path()).collect();
    if let Some(data) = folders.data_lowers.first() {
        return Err(Error::new(Kind::Driver, "data-only layer", data.path.display())
            .because("this kernel is older than 6.7 and takes none this way"));
    }
    let upper = folders.upper.as_ref().map(|(u, w)| (u.path.as_path(), w.path.as_path()));
    let settings = settings::of(options, xattrs);
    let data = compose(&paths, upper, &settings);
    if data.len() <= LONGEST {
        return call(folders, options, data);
    }
    let opened = |e: rustix::io::Errno| Error::new(Kind::Driver, "open", "/proc/self/fd").because(io::Error::from(e));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = open(".", flags, Mode::empty()).map_err(opened)?;
    let numbers = open("/proc/self/fd", flags, Mode::empty()).map_err(opened)?;
    let places = folders.lowers.iter().map(|l| l.open()).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = places.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    let names: Vec<&Path> = names.iter().map(Path::new).collect();
    let data = compose(&names, upper, &settings);
    rustix::process::fchdir(&numbers).map_err(opened)?;
    let result = call(folders, options, data);
    let _ = rustix::process::fchdir(&before);
    result
}

fn call(folders: &Folders, options: &Options, data: Vec<u8>) -> Result<()> {
    let failed = |e: io::Error| Error::new(Kind::Driver, "overlay on", folders.target.path.display()).because(e);
    let data = CString::new(data).map_err(|e| failed(e.into()))?;
    let target = format!("/proc/self/fd/{}", folders.target_fd.as_raw_fd());
    let flags = mount_flags(&options.flags, folders.upper.is_none());
    let source = options.fsname.as_deref().unwrap_or("overlay");
    rustix::mount::mount(source, target, "overlay", flags, Some(&*data)).map_err(|e| failed(e.into()))
}

fn mount_flags(flags: &Flags, no_upper: bool) -> MountFlags {
    let mut bits = MountFlags::empty();
    bits.set(MountFlags::RDONLY, flags.read_only || no_upper);
    bits.set(MountFlags::NOSUID, flags.nosuid);
    bits.set(MountFlags::NODEV, flags.nodev);
    bits.set(MountFlags::NOEXEC, flags.noexec);
    bits.set(MountFlags::NOATIME, flags.noatime);
    bits.set(MountFlags::STRICTATIME, flags.strictatime);
    bits.set(MountFlags::SYNCHRONOUS, flags.sync);
    bits.set(MountFlags::DIRSYNC, flags.dirsync);
    bits.set(MountFlags::NODIRATIME, flags.nodiratime);
    bits
}

fn compose(lowers: &[&Path], upper: Option<(&Path, &Path)>, settings: &[Setting]) -> Vec<u8> {
    let mut data = b"lowerdir=".to_vec();
    for (index, lower) in lowers.iter().enumerate() {
        if index > 0 {
            data.push(b':');
        }
        escape(&mut data, lower);
    }
    if let Some((upper, work)) = upper {
        data.extend_from_slice(b",upperdir=");
        escape(&mut data, upper);
        data.extend_from_slice(b",workdir=");
        escape(&mut data, work);
    }
    for (key, value) in settings.iter().filter(|(key, _)| !matches!(key.as_str(), "sync" | "dirsync")) {
        data.extend_from_slice(format!(",{key}").as_bytes());
        if let Some(value) = value {
            let quote = if value.contains(',') { "\"" } else { "" };
            data.extend_from_slice(format!("={quote}{value}{quote}").as_bytes());
        }
    }
    data
}

fn escape(data: &mut Vec<u8>, path: &Path) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            data.push(b'\\');
        }
        data.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_string_says_all() {
        let lowers = [Path::new("/a:b"), Path::new("/c")];
        let settings = [("volatile".to_owned(), None), ("metacopy".to_owned(), Some("off".to_owned()))];
        let said = compose(&lowers, Some((Path::new("/u,v"), Path::new("/w"))), &settings);
        let expected = r"lowerdir=/a\:b:/c,upperdir=/u\,v,workdir=/w,volatile,metacopy=off";
        assert_eq!(String::from_utf8(said).unwrap(), expected);
        assert_eq!(compose(&lowers[1..], None, &[("userxattr".to_owned(), None)]), b"lowerdir=/c,userxattr");
    }
}
