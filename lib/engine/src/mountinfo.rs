//! The mounts of a mount namespace, as the kernel tells of them (proc_pid_mountinfo(5)):
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//!       device     point            tags       kind
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mount, as far as it is needed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    /// Its file system's number: `8:1`.
    pub(crate) device: &'a str,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// Its file system's kind.
    pub(crate) kind: &'a str,
    tags: &'a str,
}

impl Mount<'_> {
    /// Whether one of its optional fields begins like this: `shared:`, `master:`.
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.tags.split(' ').any(|field| field.starts_with(tag))
    }
}

/// The mounts that `text` tells of, in its order; lines that tell of none are passed over.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.splitn(7, ' ').skip(2);
        let (device, _, point, _) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let tags = fields.next().unwrap_or_default();
        Some(Mount { device, point: unescape(point).into(), kind: source.split(' ').next()?, tags })
    })
}

/// The kernel writes space, tab, newline and backslash as `\040` and the like.
fn unescape(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        match octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field() {
        let text = "36 35 98:0 / /a\\040b rw,noatime master:1 shared:7 - ext3 /dev/root rw\nnothing\n1 2 0:5 / /proc rw - proc p rw\n";
        let all: Vec<Mount<'_>> = parse(text).collect();
        assert_eq!((all[0].device, all[0].kind, &*all[0].point), ("98:0", "ext3", std::path::Path::new("/a b")));
        assert!(all[0].has("master:") && all[0].has("shared:") && !all[1].has("shared:"));
        assert_eq!((all.len(), all[1].kind), (2, "proc"));
    }
}
