//! The `-o` grammar of mount(8), overlayfs and fuse-overlayfs, read without touching the world.
//!
//! A list is split at commas; `\` takes the meaning from the character behind it and a value may stand in double quotes
//! (as libmount has it). `lowerdir` is split at colons, uppermost layer first. Empty options (`a,,b`, which podman
//! writes) mean nothing. What only other implementations know is a warning, never an error, as fuse-overlayfs has it; what would
//! give the user a different file system than asked for is an error.

use crate::error::{Error, Kind, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Everything `-o` can say, for both drivers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Lower layers, uppermost first.
    pub lowers: Vec<PathBuf>,
    /// The writable layer.
    pub upper: Option<PathBuf>,
    /// The folder for half-done things beside the upper.
    pub work: Option<PathBuf>,
    /// Nothing is synced: an unclean end leaves an upper that is not to be trusted.
    pub volatile: bool,
    /// Book-keeping in `user.*` xattrs even where `trusted.*` could be used.
    pub userxattr: bool,
    /// Attributes of the mount itself.
    pub flags: Flags,
    /// Whether users other than the mounter may look in (FUSE; the default where the mounter is root).
    pub allow_other: Option<bool>,
    /// What /proc/mounts shows as source.
    pub fsname: Option<String>,
    /// What follows `fuse.` in the type that /proc/mounts shows.
    pub subtype: Option<String>,
    /// Every owner is shown as this user.
    pub squash_uid: Option<u32>,
    /// Every group is shown as this one.
    pub squash_gid: Option<u32>,
    /// User ids shown, as runs `inside:outside:length`.
    pub uid_map: Vec<IdRun>,
    /// Group ids shown.
    pub gid_map: Vec<IdRun>,
    /// For how long the kernel may keep what the server said, in seconds.
    pub timeout_s: Option<f64>,
    /// `threaded=0` or `-s`: one thread serves.
    pub single_thread: bool,
    /// What was not understood and ignored.
    pub ignored: Vec<String>,
}

/// A run of ids: `length` ids from `inside` on are `outside` and following in the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRun {
    /// First id as the mount shows it.
    pub inside: u32,
    /// First id as the layers hold it.
    pub outside: u32,
    /// How many.
    pub length: u32,
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
    /// `noatime`
    pub noatime: bool,
    /// `nodiratime`
    pub nodiratime: bool,
}

/// Known to fuse-overlayfs or libfuse, and without a meaning here: how the server works is its own affair.
const TUNING: &[&str] = &[
    "fsync",
    "fast_ino",
    "fast_ino_check",
    "writeback",
    "xattr_permissions",
    "static_nlink",
    "noacl",
    "ino32_t",
    "default_permissions",
    "splice_read",
    "splice_write",
    "splice_move",
    "kernel_cache",
    "max_write",
    "clone_fd",
    "max_idle_threads",
    "max_threads",
    "noxattrs",
    "no_splice_read",
    "no_splice_write",
    "no_splice_move",
    "auto_unmount",
    "xino",
    "index",
    "nfs_export",
    "uuid",
    "verity",
    "debug",
    "max_read",
    "big_writes",
    "nonempty",
];

/// Said by mount(8) and fstab(5) for their own ends.
const FOR_MOUNT: &[&str] = &[
    "rw",
    "defaults",
    "suid",
    "dev",
    "exec",
    "atime",
    "diratime",
    "relatime",
    "norelatime",
    "strictatime",
    "async",
    "sync",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "lazytime",
    "nolazytime",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "silent",
    "loud",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "context",
    "fscontext",
    "defcontext",
    "rootcontext",
];

impl Options {
    /// Takes in one `-o` argument; later ones overrule earlier ones.
    pub fn add(&mut self, list: &OsStr) -> Result<()> {
        for option in split(list.as_bytes(), b',') {
            if option.is_empty() {
                continue;
            }
            let (key, value) = match option.iter().position(|b| *b == b'=') {
                Some(at) => (&option[..at], Some(unquote(&option[at + 1..]))),
                None => (option, None),
            };
            self.set(&String::from_utf8_lossy(key), value)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        let path = || needed(key, value).map(|v| PathBuf::from(unescape(v)));
        match key {
            "lowerdir" => self.lowers = parse_lowerdir(needed(key, value)?)?,
            "lowerdir+" => self.lowers.push(path()?),
            "upperdir" => self.upper = Some(path()?),
            "workdir" => self.work = Some(path()?),
            "volatile" => self.volatile = true,
            "userxattr" => self.userxattr = true,
            "ro" => self.flags.read_only = true,
            "rw" => self.flags.read_only = false,
            "nosuid" => self.flags.nosuid = true,
            "suid" => self.flags.nosuid = false,
            "nodev" => self.flags.nodev = true,
            "dev" => self.flags.nodev = false,
            "noexec" => self.flags.noexec = true,
            "exec" => self.flags.noexec = false,
            "noatime" => self.flags.noatime = true,
            "nodiratime" => self.flags.nodiratime = true,
            "atime" | "relatime" => self.flags.noatime = false,
            "allow_other" => self.allow_other = Some(true),
            "allow_root" => self.allow_other = Some(true),
            "fsname" => self.fsname = Some(text(key, value)?),
            "subtype" => self.subtype = Some(text(key, value)?),
            "squash_to_root" => (self.squash_uid, self.squash_gid) = (Some(0), Some(0)),
            "squash_to_uid" => self.squash_uid = Some(number(key, value)?),
            "squash_to_gid" => self.squash_gid = Some(number(key, value)?),
            "uidmapping" => self.uid_map = parse_id_map(key, value)?,
            "gidmapping" => self.gid_map = parse_id_map(key, value)?,
            "timeout" => {
                let seconds = text(key, value)?.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
                self.timeout_s = Some(seconds.ok_or_else(|| bad(key, value, "not a number of seconds"))?);
            }
            "threaded" => self.single_thread = value == Some(b"0"),
            "redirect_dir" if matches!(value, Some(b"off" | b"follow" | b"nofollow")) => {}
            "metacopy" if value == Some(b"off") => {}
            "redirect_dir" | "metacopy" => self.ignore(key, value),
            "plugins" => return Err(bad(key, value, "plugins of fuse-overlayfs cannot be loaded")),
            "datadir+" => return Err(bad(key, value, "data-only layers are not supported")),
            "remount" => {
                return Err(bad(key, value, "an overlay cannot be remounted").hint("unmount it and mount it anew"));
            }
            _ if TUNING.contains(&key) || FOR_MOUNT.contains(&key) || key.starts_with("x-") => {}
            _ => self.ignore(key, value),
        }
        Ok(())
    }

    fn ignore(&mut self, key: &str, value: Option<&[u8]>) {
        self.ignored.push(match value {
            Some(value) => format!("{key}={}", String::from_utf8_lossy(value)),
            None => key.to_owned(),
        });
    }
}

/// Reads `A:B:C`, uppermost first; `\:` is a colon in a name, `\\` a backslash.
pub fn parse_lowerdir(value: &[u8]) -> Result<Vec<PathBuf>> {
    let wrong = |why: &'static str| bad("lowerdir", Some(value), why);
    if value.starts_with(b"//") && value[2..].windows(2).any(|w| w == b"//") {
        return Err(wrong("plugins of fuse-overlayfs cannot be loaded"));
    }
    let mut lowers = Vec::new();
    for part in split(value, b':') {
        if part.is_empty() {
            return Err(if value.is_empty() {
                wrong("no folder named")
            } else if value.windows(2).any(|w| w == b"::") {
                wrong("data-only layers (`::`) are not supported")
            } else {
                wrong("an empty name between colons").hint(r"a colon inside a name is written `\:`")
            });
        }
        lowers.push(PathBuf::from(unescape(part)));
    }
    Ok(lowers)
}

/// Reads runs `inside:outside:length`, one after the other with a colon between, as fuse-overlayfs does.
fn parse_id_map(key: &str, value: Option<&[u8]>) -> Result<Vec<IdRun>> {
    let said = text(key, value)?;
    let wrong = || bad(key, value, "not INSIDE:OUTSIDE:LENGTH").hint("as in uidmapping=0:1000:1:1:100000:65536");
    let numbers: Vec<u32> = said.split(':').map(|n| n.parse::<u32>()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let (runs, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(runs.iter().map(|&[inside, outside, length]| IdRun { inside, outside, length }).collect())
}

/// Splits at `separator` where no backslash stands before it and no double quotes, opened behind a `=`, stand around it.
fn split(list: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut at, mut quoted) = (Vec::new(), 0, 0, false);
    while at < list.len() {
        match list[at] {
            b'\\' => at += 1,
            b'"' if quoted => quoted = false,
            b'"' if separator == b',' && at > start && list[at - 1] == b'=' => quoted = list[at + 1..].contains(&b'"'),
            byte if byte == separator && !quoted => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&list[start..]);
    parts
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value)
}

fn unescape(value: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte });
    }
    OsString::from_vec(plain)
}

fn needed<'a>(key: &str, value: Option<&'a [u8]>) -> Result<&'a [u8]> {
    value.filter(|v| !v.is_empty()).ok_or_else(|| bad(key, None, "needs a value"))
}

fn text(key: &str, value: Option<&[u8]>) -> Result<String> {
    Ok(unescape(needed(key, value)?).to_string_lossy().into_owned())
}

fn number(key: &str, value: Option<&[u8]>) -> Result<u32> {
    text(key, value)?.parse().map_err(|_| bad(key, value, "not a number"))
}

fn bad(key: &str, value: Option<&[u8]>, why: &'static str) -> Error {
    let option = match value {
        Some(value) => format!("{key}={}", String::from_utf8_lossy(value)),
        None => key.to_owned(),
    };
    Error::new(Kind::Request, "option", option).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Options {
        let mut options = Options::default();
        options.add(OsStr::new(list)).unwrap();
        options
    }

    fn refused(list: &str) -> String {
        Options::default().add(OsStr::new(list)).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_podman_writes() {
        let said = parse("lowerdir=/a:/b,upperdir=/u,workdir=/w,,volatile,context=\"system_u:object_r:x:s0:c1,c2\"");
        assert_eq!(said.lowers, [PathBuf::from("/a"), "/b".into()]);
        assert_eq!((said.upper, said.work), (Some("/u".into()), Some("/w".into())));
        assert!(said.volatile);
        assert_eq!(said.ignored, Vec::<String>::new());
    }

    #[test]
    fn a_backslash_takes_the_meaning_away() {
        let said = parse(r"lowerdir=/a\:b:/c\\d:/e\,f,upperdir=/u\,v");
        assert_eq!(said.lowers, [PathBuf::from("/a:b"), r"/c\d".into(), "/e,f".into()]);
        assert_eq!(said.upper, Some("/u,v".into()));
    }

    #[test]
    fn later_options_overrule_and_unknown_ones_are_kept_for_a_warning() {
        let said = parse("ro,nodev,rw,dev,frobnicate=7,x-systemd.automount");
        assert_eq!(said.flags, Flags::default());
        assert_eq!(said.ignored, ["frobnicate=7"]);
        assert_eq!(parse("lowerdir+=/x,lowerdir+=/y").lowers, [PathBuf::from("/x"), "/y".into()]);
    }

    #[test]
    fn squashing_and_maps() {
        let said = parse("squash_to_root,uidmapping=0:1000:1:1:100000:65536");
        assert_eq!((said.squash_uid, said.squash_gid), (Some(0), Some(0)));
        assert_eq!(said.uid_map.len(), 2);
        assert_eq!(said.uid_map[1], IdRun { inside: 1, outside: 100_000, length: 65_536 });
    }

    #[test]
    fn refusals_name_the_option() {
        assert_eq!(refused("upperdir"), "option upperdir: needs a value");
        assert_eq!(refused("lowerdir=/a::/d"), "option lowerdir=/a::/d: data-only layers (`::`) are not supported");
        assert_eq!(refused("lowerdir=:/a"), "option lowerdir=:/a: an empty name between colons");
        assert_eq!(refused("squash_to_uid=me"), "option squash_to_uid=me: not a number");
        assert_eq!(refused("uidmapping=0:1"), "option uidmapping=0:1: not INSIDE:OUTSIDE:LENGTH");
        assert_eq!(
            refused("lowerdir=//p//x//y"),
            "option lowerdir=//p//x//y: plugins of fuse-overlayfs cannot be loaded"
        );
    }
}
