//! Removing trees that containers filled: by descriptor, never through a symbolic link, never into what is mounted there (a root file
//! system that could not be unmounted is not ours to empty), also folders whose mode forbids it.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, chmodat, openat2, unlinkat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Removes the file or tree at `path`; that nothing is there is no error.
pub fn tree(path: &Path) -> rustix::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return Err(Errno::INVAL) };
    let name = std::ffi::CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    let folder = match rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e),
    };
    tree_at(folder.as_fd(), &name)
}

/// Removes the file or tree `name` in `folder`; that nothing is there is no error.
pub fn tree_at(folder: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM | Errno::ACCESS) => {}
        Err(e) => return Err(e),
    }
    match empty(folder, name) {
        // Not a folder after all: the file itself could not be removed.
        Err(Errno::NOTDIR) => return unlinkat(folder, name, AtFlags::empty()),
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    }
    match unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Removes all that the folder `name` in `parent` holds.
fn empty(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV | ResolveFlags::BENEATH);
    let folder = match open() {
        // A folder of ours that we may not read or change, as a user who is no root in its user namespace.
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        other => other?,
    };
    let mut opened = false;
    loop {
        let mut left = 0;
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            left += 1;
            let done = match entry.file_type() {
                FileType::Directory => tree_at(folder.as_fd(), name),
                _ => match unlinkat(&folder, name, AtFlags::empty()) {
                    Err(Errno::NOENT) => Ok(()),
                    Err(Errno::ISDIR) => tree_at(folder.as_fd(), name),
                    other => other,
                },
            };
            match done {
                Err(Errno::ACCESS) if !opened => {
                    rustix::fs::fchmod(&folder, Mode::RWXU)?;
                    opened = true;
                }
                other => other?,
            }
        }
        if left == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tree;

    #[test]
    fn removes_closed_folders_and_leaves_what_links_point_to() {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("veneer-remove-{}", std::process::id()));
        let outside = dir.join("outside");
        std::fs::create_dir_all(dir.join("t/closed/in")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("kept"), "").unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("t/link")).unwrap();
        std::fs::set_permissions(dir.join("t/closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
        tree(&dir.join("t")).unwrap();
        assert!(!dir.join("t").exists());
        assert!(outside.join("kept").exists());
        tree(&dir).unwrap();
        tree(&dir).unwrap();
    }
}
