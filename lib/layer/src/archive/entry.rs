//! What an archive holds: entries, as those who unpack or list them see them.

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its data follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of an entry before.
    HardLink,
    /// A character device with its major and minor number.
    CharDevice(u32, u32),
    /// A block device with its major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// Seconds since 1970 (negative: before) and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanoseconds: u32,
}

/// A file with holes, of which only what is between them is in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// Bytes of the whole file, holes among them.
    pub real_size: u64,
    /// Where in the file the data goes, as offset and length: sorted, not overlapping, none beyond `real_size`, none empty;
    /// together [`Entry::size`] bytes, which follow in the archive one behind the other.
    pub extents: Vec<(u64, u64)>,
}

/// One entry, with everything its headers say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as written: bytes without NUL, perhaps absolute, perhaps with `..`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Where a symbolic link points, or which entry a hard link names; else empty.
    pub link: Vec<u8>,
    /// Permission bits with set-id and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Time of the last modification.
    pub mtime: Time,
    /// Bytes of data that follow in the archive; of a file with holes, those between the holes.
    pub size: u64,
    /// Where in the file the data goes, if it has holes; `None` where the data is the file.
    pub sparse: Option<Sparse>,
    /// Extended attributes under their names on Linux, POSIX ACLs (`system.posix_acl_access`) and the SELinux label
    /// (`security.selinux`) among them, whichever way the archive says them. No name comes twice.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The owner's name, empty where there is none. Says nothing about who the owner will be: `uid` does.
    pub uname: Vec<u8>,
    /// The group's name, likewise.
    pub gname: Vec<u8>,
    /// What its headers say that cannot be carried over, in words for people (`ACL entry user:joe:rw-: no numeric id`).
    pub left_out: Vec<String>,
}
