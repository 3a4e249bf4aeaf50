//! Owner, mode and type of a file as one of its xattrs keeps them, where they could not be given to the file itself:
//! `UID:GID:MODE[:TYPE]`, the mode in octal.
//!
//! containers/storage writes it (`pkg/idtools`, `FormatContainersOverrideXattrDevice`) and fuse-overlayfs reads it. TYPE is `file`, `dir`, `symlink`,
//! `pipe`, `socket`, `char-MAJOR-MINOR` or `block-MAJOR-MINOR`; without it the type is that of the file. A NUL at the end does not count.
//! Which of the xattrs a tree uses is told by its root, and in which order to ask is the reader's matter.

use std::ffi::CStr;
use std::fmt;

/// The name that all engines read.
pub const CONTAINERS: &CStr = c"user.containers.override_stat";
/// fuse-overlayfs' own.
pub const FUSE_OVERLAYFS: &CStr = c"user.fuseoverlayfs.override_stat";
/// fuse-overlayfs' own, which takes privileges to write (`xattr_permissions=1`).
pub const FUSE_OVERLAYFS_PRIVILEGED: &CStr = c"security.fuseoverlayfs.override_stat";

/// What a file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device: major and minor number.
    Char(u32, u32),
    /// A block device: major and minor number.
    Block(u32, u32),
}

/// A type that is none of those known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownKind;

/// What such an xattr says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits with set-id and sticky (0o7777); what else it says is left out.
    pub mode: u32,
    /// The type, where it says one. Whether one that nobody knows spoils the rest is the reader's matter.
    pub kind: Result<Option<Kind>, UnknownKind>,
}

impl Record {
    /// Reads the value of such an xattr; `None` where it names no owner, group and mode.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.trim_end_matches('\0').split(':');
        let uid = parts.next()?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        let mode = u32::from_str_radix(parts.next()?, 8).ok()? & 0o7777;
        let kind = match parts.next() {
            None | Some("") => Ok(None),
            Some(text) => Kind::parse(text).map(Some).ok_or(UnknownKind),
        };
        Some(Self { uid, gid, mode, kind })
    }
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        let numbers = |text: &str| -> Option<(u32, u32)> {
            let (major, minor) = text.split_once('-')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        Some(match text {
            "file" => Self::File,
            "dir" => Self::Directory,
            "symlink" => Self::Symlink,
            "pipe" => Self::Fifo,
            "socket" => Self::Socket,
            device => match device.split_once('-')? {
                ("char", rest) => numbers(rest).map(|(major, minor)| Self::Char(major, minor))?,
                ("block", rest) => numbers(rest).map(|(major, minor)| Self::Block(major, minor))?,
                _ => return None,
            },
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Directory => f.write_str("dir"),
            Self::Symlink => f.write_str("symlink"),
            Self::Fifo => f.write_str("pipe"),
            Self::Socket => f.write_str("socket"),
            Self::Char(major, minor) => write!(f, "char-{major}-{minor}"),
            Self::Block(major, minor) => write!(f, "block-{major}-{minor}"),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{:04o}", self.uid, self.gid, self.mode)?;
        match self.kind {
            Ok(Some(kind)) => write!(f, ":{kind}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let kinds = [
            (None, "1:2:4755"),
            (Some(Kind::File), "1:2:4755:file"),
            (Some(Kind::Directory), "1:2:4755:dir"),
            (Some(Kind::Symlink), "1:2:4755:symlink"),
            (Some(Kind::Fifo), "1:2:4755:pipe"),
            (Some(Kind::Socket), "1:2:4755:socket"),
            (Some(Kind::Char(1, 3)), "1:2:4755:char-1-3"),
            (Some(Kind::Block(8, 16)), "1:2:4755:block-8-16"),
        ];
        for (kind, text) in kinds {
            let record = Record { uid: 1, gid: 2, mode: 0o4755, kind: Ok(kind) };
            assert_eq!(record.to_string(), text);
            assert_eq!(Record::parse(text.as_bytes()), Some(record));
        }
        assert_eq!(Record { uid: 0, gid: 0, mode: 0o70, kind: Ok(None) }.to_string(), "0:0:0070");
    }

    #[test]
    fn what_others_write_is_read() {
        let plain = Record { uid: 0, gid: 0, mode: 0o755, kind: Ok(None) };
        for text in ["0:0:755", "0:0:0755", "0:0:40755", "0:0:755:", "0:0:755\0"] {
            assert_eq!(Record::parse(text.as_bytes()), Some(plain), "{text}");
        }
        for unknown in ["0:0:755:tape-1-1", "0:0:755:char-8", "0:0:755:char-8-", "0:0:755:directory"] {
            assert_eq!(
                Record::parse(unknown.as_bytes()),
                Some(Record { kind: Err(UnknownKind), ..plain }),
                "{unknown}"
            );
        }
        for wrong in [&b""[..], b"1:2", b"1:2:9", b"a:b:c", b"-1:0:644", b"1:2:\xff"] {
            assert_eq!(Record::parse(wrong), None);
        }
    }
}
