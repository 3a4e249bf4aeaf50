//! Other options for an overlay that is mounted.
//!
//! Read-only, nosuid, atime and their like are the kernel's: mount(2) with MS_REMOUNT takes all of them at once, so those that
//! were not named are read back first. What a server does itself it is asked to change, through [`crate::control`]; it
//! refuses by name what cannot be changed, before the kernel is asked.

use crate::control::{self, Request};
use crate::error::{Error, Kind, Result};
use crate::mounts::{self, Entry};
use crate::options::{Flags, Options};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

/// Gives the overlay at `target` the options of `lists`, each as behind `-o`.
pub fn remount(target: &Path, lists: &[OsString]) -> Result<()> {
    let refused = |why: &'static str| Error::new(Kind::Request, "remount", target.display()).because(why);
    let there = mounts::at(target)?
        .ok_or_else(|| refused("nothing is mounted there").hint("findmnt -t overlay,fuse.ovl-mount shows what is"))?;
    if !there.is_overlay() {
        return Err(
            refused("what is mounted there is no overlay").hint(format!("mount -i -o remount,… {}", target.display()))
        );
    }
    let mut wanted = Options { flags: as_they_are(&there), ..Options::default() };
    for list in lists {
        wanted.add(list)?;
    }
    let list = lists.join(OsStr::new(","));
    let request = Request::Remount { options: list.to_string_lossy().into_owned() };
    let nothing_else = Options { flags: wanted.flags, ..Options::default() }.server_part() == wanted.server_part();
    let ask = |request: &Request| if there.is_served() { control::ask(target, request) } else { Ok(None) };
    let upperless = |status: Value| status.get("upper").is_none();
    if !wanted.flags.read_only && ask(&Request::Status)?.is_some_and(upperless) {
        return Err(refused("it has no upper layer and stays read-only").hint("unmount it and mount it with upperdir="));
    }
    match ask(&request)? {
        Some(_) => {}
        None if nothing_else => {}
        None => {
            let text = list.to_string_lossy().into_owned();
            return Err(Error::new(Kind::Request, "remount", text)
                .because("only ro, nosuid and their like can be changed of an overlay without a server to ask")
                .hint("unmount it and mount it anew"));
        }
    }
    let flags = bits(&wanted.flags);
    rustix::mount::mount_remount(target, flags, "").map_err(|errno| {
        let error = Error::new(Kind::Failed, "remount", target.display()).because(io::Error::from(errno));
        match errno {
            Errno::PERM | Errno::ACCESS => {
                error.hint("the kernel lets only root of the mount's user namespace do this")
            }
            Errno::BUSY => error.hint("files are open for writing in there"),
            _ => error,
        }
    })
}

/// What holds for the mount now.
fn as_they_are(there: &Entry) -> Flags {
    let mut options = Options::default();
    let known =
        |word: &&str| matches!(*word, "ro" | "nosuid" | "nodev" | "noexec" | "nosymfollow" | "noatime" | "nodiratime");
    for word in there.mount_options.split(',').filter(known) {
        let _ = options.add(OsStr::new(word));
    }
    // The kernel shows neither of `relatime` and `strictatime` where the latter holds.
    options.flags.strictatime = !there.mount_options.split(',').any(|word| matches!(word, "relatime" | "noatime"));
    for word in there.file_system_options.split(',').filter(|word| matches!(*word, "sync" | "dirsync" | "ro")) {
        let _ = options.add(OsStr::new(word));
    }
    options.flags
}

fn bits(flags: &Flags) -> MountFlags {
    let mut bits = MountFlags::empty();
    for (set, bit) in [
        (flags.read_only, MountFlags::RDONLY),
        (flags.nosuid, MountFlags::NOSUID),
        (flags.nodev, MountFlags::NODEV),
        (flags.noexec, MountFlags::NOEXEC),
        (flags.nosymfollow, MountFlags::NOSYMFOLLOW),
        (flags.noatime, MountFlags::NOATIME),
        (flags.strictatime, MountFlags::STRICTATIME),
        (!flags.noatime && !flags.strictatime, MountFlags::RELATIME),
        (flags.nodiratime, MountFlags::NODIRATIME),
        (flags.sync, MountFlags::SYNCHRONOUS),
        (flags.dirsync, MountFlags::DIRSYNC),
    ] {
        bits.set(bit, set);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_named_stays() {
        let line = b"36 35 0:57 / /m ro,nosuid,relatime - fuse.ovl-mount x rw,dirsync,user_id=0";
        let [entry] = mounts::parse(line).try_into().unwrap();
        let mut options = Options { flags: as_they_are(&entry), ..Options::default() };
        assert!(options.flags.read_only && options.flags.nosuid && options.flags.dirsync && !options.flags.strictatime);
        options.add(OsStr::new("rw,noatime")).unwrap();
        let bits = bits(&options.flags);
        assert_eq!(bits, MountFlags::NOSUID | MountFlags::NOATIME | MountFlags::DIRSYNC);
    }
}
