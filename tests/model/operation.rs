//! What is done to a tree: one operation, as it is chosen, replayed, printed (a line of JSON) and read back.

use serde::{Deserialize, Serialize};

/// One operation. Paths are relative to the root of the merged tree; slots are numbers of descriptors kept open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// open(O_CREAT|O_EXCL|O_WRONLY), then the bytes
    Create {
        path: String,
        mode: u32,
        length: usize,
        salt: u8,
    },
    /// open(O_WRONLY and what `how` says), pwrite, close
    Write {
        path: String,
        how: How,
        at: u64,
        length: usize,
        salt: u8,
        lesser: bool,
    },
    Truncate {
        path: String,
        size: u64,
        lesser: bool,
    },
    Read {
        path: String,
    },
    Mkdir {
        path: String,
        mode: u32,
    },
    Rmdir {
        path: String,
    },
    Unlink {
        path: String,
    },
    Rename {
        from: String,
        to: String,
        flag: Flag,
    },
    Link {
        from: String,
        to: String,
        follow: bool,
    },
    Symlink {
        path: String,
        target: String,
    },
    Mknod {
        path: String,
        node: NodeKind,
        mode: u32,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Chown {
        path: String,
        uid: u32,
        gid: u32,
        follow: bool,
    },
    Times {
        path: String,
        seconds: i64,
        nanoseconds: i64,
        follow: bool,
    },
    SetXattr {
        path: String,
        name: String,
        length: usize,
        salt: u8,
        flag: XattrFlag,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
    GetXattr {
        path: String,
        name: String,
    },
    SetAcl {
        path: String,
        default: bool,
        user: u16,
        group: u16,
        mask: u16,
        other: u16,
    },
    RemoveAcl {
        path: String,
        default: bool,
    },
    List {
        path: String,
    },
    /// Everything there is to know of one object
    Look {
        path: String,
    },
    Open {
        slot: u8,
        path: String,
        how: How,
        read: bool,
        write: bool,
    },
    Tmpfile {
        slot: u8,
        path: String,
        mode: u32,
        exclusive: bool,
    },
    LinkOpen {
        slot: u8,
        path: String,
    },
    ReadOpen {
        slot: u8,
        at: u64,
        length: usize,
    },
    WriteOpen {
        slot: u8,
        at: u64,
        length: usize,
        salt: u8,
        lesser: bool,
    },
    TruncateOpen {
        slot: u8,
        size: u64,
    },
    ChmodOpen {
        slot: u8,
        mode: u32,
    },
    ChownOpen {
        slot: u8,
        uid: u32,
        gid: u32,
    },
    TimesOpen {
        slot: u8,
        seconds: i64,
        nanoseconds: i64,
    },
    SetXattrOpen {
        slot: u8,
        name: String,
        length: usize,
        salt: u8,
    },
    Allocate {
        slot: u8,
        what: Allocation,
        at: u64,
        length: u64,
    },
    CopyRange {
        from: u8,
        to: u8,
        at: u64,
        to_at: u64,
        length: usize,
    },
    /// A shared mapping is written through
    MapWrite {
        slot: u8,
        at: u64,
        length: usize,
        salt: u8,
    },
    /// lseek over data and holes: no byte that is set lies in a hole
    Holes {
        slot: u8,
    },
    Sync {
        slot: u8,
    },
    StatOpen {
        slot: u8,
    },
    Close {
        slot: u8,
    },
    OpenFolder {
        slot: u8,
        path: String,
    },
    /// One getdents64 with a buffer of this size
    NextNames {
        slot: u8,
        bytes: usize,
    },
    CloseFolder {
        slot: u8,
    },
    Umask {
        mask: u32,
    },
    /// The same driver again
    Remount,
    /// The other driver goes on with the same upper
    Swap,
    /// The upper becomes the topmost lower layer, under an empty one
    Freeze,
}

/// Flags of an open(2) beside the access mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct How {
    pub(crate) create: bool,
    pub(crate) truncate: bool,
    pub(crate) append: bool,
    pub(crate) nofollow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Flag {
    Plain,
    NoReplace,
    Exchange,
    Whiteout,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum NodeKind {
    Fifo,
    Socket,
    /// 240:7, which no driver serves
    Char,
    Block,
    /// 0:0
    Whiteout,
    Regular,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum XattrFlag {
    Any,
    Create,
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Allocation {
    Grow,
    Keep,
    Punch,
}

/// What an operation answered, as far as it must be the same everywhere.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Done,
    Count(usize),
    Bytes(Vec<u8>),
    /// Names and their types (st_mode >> 12)
    Names(Vec<(String, u32)>),
    /// It makes no sense now (a slot that holds nothing), and was not tried
    Skipped,
}

impl Op {
    /// Its name, for the counts.
    pub(crate) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    /// Paths whose objects it may change or show.
    pub(crate) fn paths(&self) -> Vec<&str> {
        match self {
            Self::Create { path, .. }
            | Self::Write { path, .. }
            | Self::Truncate { path, .. }
            | Self::Read { path }
            | Self::Mkdir { path, .. }
            | Self::Rmdir { path }
            | Self::Unlink { path }
            | Self::Symlink { path, .. }
            | Self::Mknod { path, .. }
            | Self::Chmod { path, .. }
            | Self::Chown { path, .. }
            | Self::Times { path, .. }
            | Self::SetXattr { path, .. }
            | Self::RemoveXattr { path, .. }
            | Self::GetXattr { path, .. }
            | Self::SetAcl { path, .. }
            | Self::RemoveAcl { path, .. }
            | Self::List { path }
            | Self::Look { path }
            | Self::Open { path, .. }
            | Self::Tmpfile { path, .. }
            | Self::LinkOpen { path, .. }
            | Self::OpenFolder { path, .. } => vec![path],
            Self::Rename { from, to, .. } | Self::Link { from, to, .. } => vec![from, to],
            _ => Vec::new(),
        }
    }

    /// Slots of files that it may change or show.
    pub(crate) fn slots(&self) -> Vec<u8> {
        match self {
            Self::Open { slot, .. }
            | Self::Tmpfile { slot, .. }
            | Self::LinkOpen { slot, .. }
            | Self::WriteOpen { slot, .. }
            | Self::TruncateOpen { slot, .. }
            | Self::ChmodOpen { slot, .. }
            | Self::ChownOpen { slot, .. }
            | Self::TimesOpen { slot, .. }
            | Self::SetXattrOpen { slot, .. }
            | Self::Allocate { slot, .. }
            | Self::MapWrite { slot, .. }
            | Self::Sync { slot }
            | Self::StatOpen { slot } => vec![*slot],
            Self::CopyRange { from, to, .. } => vec![*from, *to],
            _ => Vec::new(),
        }
    }
}

/// The bytes that `length` and `salt` stand for: never zero, so that a hole is told from data.
pub(crate) fn bytes(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(31).wrapping_add(i >> 8) as u8).wrapping_add(salt) | 1).collect()
}
