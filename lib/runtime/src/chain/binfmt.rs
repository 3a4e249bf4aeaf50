//! `--mount-binfmt`, `--load-interp`: a binfmt_misc of the user namespace's own (Linux 6.7), and an interpreter registered there.

use super::Chain;
use crate::error::{Result, failed};
use crate::file;
use crate::rootfs::fsmount;
use crate::rootfs::masks::QUIET;
use crate::rootfs::options::{Attributes, Options};
use rustix::fs::CWD;
use rustix::mount::MoveMountFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the kernel has a place for it.
const USUAL: &str = "/proc/sys/fs/binfmt_misc";

/// Whether the interpreter is opened when it is registered (flag `F`), and so may lie outside the root to come.
fn is_fixed(interpreter: &OsStr) -> bool {
    let flags = interpreter.as_bytes().rsplit(|b| *b == b':').next();
    flags.is_some_and(|flags| flags.contains(&b'F'))
}

/// Before the change of root: what has to see the caller's files.
pub(super) fn before_root(chain: &Chain) -> Result<()> {
    match chain.interpreter.as_deref().filter(|i| chain.root.is_some() && is_fixed(i)) {
        None => Ok(()),
        Some(interpreter) => {
            mount(Path::new(USUAL))?;
            register(Path::new(USUAL), interpreter)
        }
    }
}

/// Behind the change of root: what the command will see.
pub(super) fn after_root(chain: &Chain) -> Result<()> {
    let Some(place) = &chain.mount_binfmt else { return Ok(()) };
    mount(place)?;
    match chain.interpreter.as_deref().filter(|i| !(chain.root.is_some() && is_fixed(i))) {
        None => Ok(()),
        Some(interpreter) => register(place, interpreter),
    }
}

fn mount(place: &Path) -> Result<()> {
    let options = Options { attributes: Attributes { set: QUIET, clear: 0 }, ..Options::default() };
    let fresh = fsmount::detached("binfmt_misc", "binfmt_misc", &options).map_err(|e| {
        let before_namespaces = e.is(libc::EPERM);
        let error = e.at(&place.display().to_string());
        if before_namespaces {
            error.hint("a user namespace has a binfmt_misc of its own from Linux 6.7 on")
        } else {
            error
        }
    })?;
    rustix::mount::move_mount(&fresh, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|e| failed("mount", place.display(), e))
}

fn register(place: &Path, interpreter: &OsStr) -> Result<()> {
    file::write_existing(place.join("register"), interpreter.as_bytes()).map_err(|e| {
        failed("register interpreter", interpreter.display(), e)
            .hint("as :name:type:offset:magic:mask:interpreter:flags, with an interpreter that exists")
    })
}

#[cfg(test)]
mod tests {
    use super::is_fixed;
    use std::ffi::OsStr;

    #[test]
    fn flags_stand_last() {
        assert!(is_fixed(OsStr::new(":x:M::\\x7fELF::/bin/qemu:OCF")));
        assert!(!is_fixed(OsStr::new(":F:M::\\x7fELF::/bin/qemu:")));
    }
}
