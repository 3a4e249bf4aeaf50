//! The `-o` grammar of mount(8), overlayfs and fuse-overlayfs, read without touching the world.
//!
//! A list is split at commas; `\` takes the meaning from the character behind it and a value may stand in double quotes
//! (as libmount has it). `lowerdir` is split at colons, uppermost layer first. Empty options (`a,,b`, which podman
//! writes) mean nothing. What nobody knows is a warning, never an error, as fuse-overlayfs has it; what would
//! give the user a different file system than asked for is an error. [`known`] is the list of all of them.

mod grammar;
pub mod known;
mod shown;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::union::Compat;
pub use grammar::{IdRun, Lowers, parse_lowerdir};
use grammar::{bad, needed, number, parse_id_map, switch, text, typed, unescape};
use known::Treatment;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Everything `-o` can say, for both drivers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Lower layers, uppermost first.
    pub lowers: Vec<PathBuf>,
    /// Data-only layers below them, uppermost first: only metacopy files point into them.
    pub data_lowers: Vec<PathBuf>,
    /// The writable layer.
    pub upper: Option<PathBuf>,
    /// The folder for half-done things beside the upper.
    pub work: Option<PathBuf>,
    /// Nothing is synced: an unclean end leaves an upper that is not to be trusted.
    pub volatile: bool,
    /// `fsync=0`: fsync(2) in the overlay does nothing.
    pub no_fsync: bool,
    /// Book-keeping in `user.*` xattrs even where `trusted.*` could be used.
    pub userxattr: bool,
    /// Renames of lower directories; `None` leaves it to the driver.
    pub redirect_dir: Option<RedirectDir>,
    /// Copies of attributes alone; `None` leaves it to the driver.
    pub metacopy: Option<bool>,
    /// Hard links of lower layers stay one file; `None` leaves it to the driver.
    pub index: Option<bool>,
    /// For whom an upper in `user.*` is kept (`--compat`, which is no option of `-o`).
    pub compat: Option<Compat>,
    /// What else the kernel's overlay is to be told, as key and value.
    pub for_kernel: Vec<(String, Option<String>)>,
    /// SELinux's labels, as key and value.
    pub labels: Vec<(String, String)>,
    /// Attributes of the mount itself.
    pub flags: Flags,
    /// Whether users other than the mounter may look in (FUSE; the default where the mounter is root).
    pub allow_other: Option<bool>,
    /// What /proc/mounts shows as source.
    pub fsname: Option<String>,
    /// What follows `fuse.` in the type that /proc/mounts shows.
    pub subtype: Option<String>,
    /// Every file is shown as root's, but for what the next two say.
    pub squash_root: bool,
    /// Every owner is shown as this user.
    pub squash_uid: Option<u32>,
    /// Every group is shown as this one.
    pub squash_gid: Option<u32>,
    /// User ids shown, as runs `inside:outside:length`.
    pub uid_map: Vec<IdRun>,
    /// Group ids shown.
    pub gid_map: Vec<IdRun>,
    /// Owners and modes are kept in xattrs of the upper's files: 0 no, 1 privileged, 2 in `user.*`.
    pub xattr_permissions: u32,
    /// For how long the kernel may keep what the server said, in seconds.
    pub timeout_s: Option<f64>,
    /// Whether the kernel gathers writes; `None` leaves it to the server.
    pub writeback: Option<bool>,
    /// No extended attributes to be seen.
    pub no_xattrs: bool,
    /// No POSIX ACLs.
    pub no_acl: bool,
    /// `threaded=0` or `-s`: one thread serves.
    pub single_thread: bool,
    /// Not a new mount: the one that is there gets these options.
    pub remount: bool,
    /// Everything is logged.
    pub debug: bool,
    /// What was not understood, or is not done, and why; for a warning.
    pub ignored: Vec<String>,
}

/// What becomes of a lower directory that is renamed (`redirect_dir`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectDir {
    /// It can be renamed, and earlier renames are followed.
    On,
    /// Earlier renames are followed.
    Follow,
    /// Earlier renames are not followed.
    NoFollow,
    /// As the kernel's default: not made, and followed as its module's parameter says.
    Off,
}

impl RedirectDir {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Follow => "follow",
            Self::NoFollow => "nofollow",
            Self::Off => "off",
        }
    }
}

/// Attributes of a mount, each as mount(8) calls it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// `ro`
    pub read_only: bool,
    /// `nosuid`
    pub nosuid: bool,
    /// `nodev`
    pub nodev: bool,
    /// `noexec`
    pub noexec: bool,
    /// `nosymfollow`
    pub nosymfollow: bool,
    /// `noatime`
    pub noatime: bool,
    /// `strictatime`
    pub strictatime: bool,
    /// `nodiratime`
    pub nodiratime: bool,
    /// `sync`, of the file system
    pub sync: bool,
    /// `dirsync`, of the file system
    pub dirsync: bool,
}

impl Options {
    /// Takes in one `-o` argument; later ones overrule earlier ones.
    pub fn add(&mut self, list: &OsStr) -> Result<()> {
        for (key, value) in grammar::options(list.as_bytes()) {
            self.set(&key, value)?;
        }
        Ok(())
    }

    /// Takes in the options of `list` one by one into copies of these, and hands each with its name and the copy to `each`.
    pub fn one_by_one(&self, list: &OsStr, mut each: impl FnMut(&str, Self) -> Result<()>) -> Result<()> {
        for (key, value) in grammar::options(list.as_bytes()) {
            let mut changed = self.clone();
            changed.set(&key, value)?;
            each(&typed(&key, value), changed)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        match known::find(key).map(|known| known.treatment) {
            Some(Treatment::Taken(_)) => {}
            Some(Treatment::Idle(_)) => return Ok(()),
            Some(Treatment::Refused(why)) => return Err(bad(key, value, why)),
            Some(Treatment::Warned(why)) => {
                self.ignored.push(format!("{}: {why}", typed(key, value)));
                return Ok(());
            }
            None if key.starts_with("x-") || key.starts_with("X-") => return Ok(()),
            None => {
                self.ignored.push(format!("{}: unknown, ignored", typed(key, value)));
                return Ok(());
            }
        }
        let path = || needed(key, value).map(|v| PathBuf::from(unescape(v)));
        let one_of = |words: &[&str]| match text(key, value)? {
            word if words.contains(&&*word) => Ok(Some(word)),
            _ => Err(bad(key, value, "no such value").hint(format!("{key}={}", words.join("|")))),
        };
        match key {
            "lowerdir" => Lowers { layers: self.lowers, data: self.data_lowers } = parse_lowerdir(needed(key, value)?)?,
            "lowerdir+" => self.lowers.push(path()?),
            "datadir+" => self.data_lowers.push(path()?),
            "upperdir" => self.upper = Some(path()?),
            "workdir" => self.work = Some(path()?),
            "volatile" => self.volatile = true,
            "fsync" => self.no_fsync = !switch(key, value)?,
            "userxattr" => self.userxattr = true,
            "redirect_dir" => {
                let all = [RedirectDir::On, RedirectDir::Follow, RedirectDir::NoFollow, RedirectDir::Off];
                let word = one_of(&all.map(RedirectDir::name))?;
                self.redirect_dir = all.into_iter().find(|r| word.as_deref() == Some(r.name()));
            }
            "metacopy" => self.metacopy = Some(switch(key, value)?),
            "index" => self.index = Some(switch(key, value)?),
            "nfs_export" => self.tell_kernel(key, one_of(&["on", "off"])?),
            "xino" => self.tell_kernel(key, one_of(&["on", "auto", "off"])?),
            "uuid" => self.tell_kernel(key, one_of(&["on", "auto", "null", "off"])?),
            "verity" => self.tell_kernel(key, one_of(&["off", "on", "require"])?),
            "override_creds" | "nooverride_creds" => self.tell_kernel(key, None),
            "context" | "fscontext" | "defcontext" | "rootcontext" => {
                self.labels.retain(|(k, _)| k != key);
                self.labels.push((key.to_owned(), text(key, value)?));
            }
            "allow_other" => self.allow_other = Some(true),
            "fsname" => self.fsname = Some(text(key, value)?),
            "subtype" => self.subtype = Some(text(key, value)?),
            "squash_to_root" => self.squash_root = true,
            "squash_to_uid" => self.squash_uid = Some(number(key, value)?),
            "squash_to_gid" => self.squash_gid = Some(number(key, value)?),
            "uidmapping" => self.uid_map = parse_id_map(key, value)?,
            "gidmapping" => self.gid_map = parse_id_map(key, value)?,
            "xattr_permissions" => {
                let kind = number(key, value)?;
                self.xattr_permissions =
                    if kind <= 2 { kind } else { return Err(bad(key, value, "there are 0, 1 and 2")) };
            }
            "timeout" => {
                let seconds = text(key, value)?.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
                self.timeout_s = Some(seconds.ok_or_else(|| bad(key, value, "not a number of seconds"))?);
            }
            "threaded" => self.single_thread = !switch(key, value)?,
            "writeback" => self.writeback = Some(switch(key, value)?),
            "noxattrs" => self.no_xattrs = switch(key, value)?,
            "noacl" => self.no_acl = true,
            "remount" => self.remount = true,
            "debug" => self.debug = true,
            _ => self.flags.set(key),
        }
        Ok(())
    }

    fn tell_kernel(&mut self, key: &str, value: Option<String>) {
        let name = |key: &str| key.trim_start_matches("no").to_owned();
        self.for_kernel.retain(|(k, _)| name(k) != name(key));
        self.for_kernel.push((key.to_owned(), value));
    }

    /// What the kernel's overlay is to be told of `key`.
    pub fn kernel_value(&self, key: &str) -> Option<&str> {
        self.for_kernel.iter().find(|(k, _)| k == key).and_then(|(_, value)| value.as_deref())
    }
}

impl Flags {
    fn set(&mut self, key: &str) {
        match key {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nosuid" => self.nosuid = true,
            "suid" => self.nosuid = false,
            "nodev" => self.nodev = true,
            "dev" => self.nodev = false,
            "noexec" => self.noexec = true,
            "exec" => self.noexec = false,
            "nosymfollow" => self.nosymfollow = true,
            "symfollow" => self.nosymfollow = false,
            "noatime" => (self.noatime, self.strictatime) = (true, false),
            "strictatime" => (self.noatime, self.strictatime) = (false, true),
            "atime" | "relatime" => (self.noatime, self.strictatime) = (false, false),
            "nodiratime" => self.nodiratime = true,
            "diratime" => self.nodiratime = false,
            "sync" => self.sync = true,
            "async" => self.sync = false,
            "dirsync" => self.dirsync = true,
            // The table says that it is taken, and a test that all that are taken do something.
            _ => debug_assert!(false, "option {key} is in the table and not in the parser"),
        }
    }
}
