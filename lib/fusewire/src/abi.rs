//! The numbers of include/uapi/linux/fuse.h, protocol 7.31 (Linux 5.4) to 7.45 (Linux 6.18).
//!
//! Structures are not laid over memory: they are read and written number by number ([`crate::wire`]), in the machine's byte
//! order, as the kernel does. So nothing here depends on alignment or padding, and a request that ends early is an error
//! and no undefined value.

/// The protocol's major number.
pub const MAJOR: u32 = 7;
/// The newest minor number spoken here.
pub const MINOR: u32 = 45;
/// The oldest.
pub const OLDEST_MINOR: u32 = 31;
/// The root's node id.
pub const ROOT: u64 = 1;

/// Bytes of `struct fuse_in_header`.
pub(crate) const IN_HEADER: usize = 40;
/// Bytes of `struct fuse_out_header`.
pub(crate) const OUT_HEADER: usize = 16;
/// Bytes before a WRITE's data.
pub(crate) const WRITE_HEADER: usize = IN_HEADER + 40;

macro_rules! opcodes {
    ($($name:ident = $number:literal, $shown:literal;)*) => {
        $(#[doc = concat!("`FUSE_", stringify!($name), "`")] pub const $name: u32 = $number;)*
        /// What an operation is called in statistics; empty for numbers that are none.
        pub fn operation(opcode: u32) -> &'static str {
            match opcode { $($number => $shown,)* _ => "" }
        }
    };
}

opcodes! {
    LOOKUP = 1, "lookup";
    FORGET = 2, "forget";
    GETATTR = 3, "getattr";
    SETATTR = 4, "setattr";
    READLINK = 5, "readlink";
    SYMLINK = 6, "symlink";
    MKNOD = 8, "mknod";
    MKDIR = 9, "mkdir";
    UNLINK = 10, "unlink";
    RMDIR = 11, "rmdir";
    RENAME = 12, "rename";
    LINK = 13, "link";
    OPEN = 14, "open";
    READ = 15, "read";
    WRITE = 16, "write";
    STATFS = 17, "statfs";
    RELEASE = 18, "release";
    FSYNC = 20, "fsync";
    SETXATTR = 21, "setxattr";
    GETXATTR = 22, "getxattr";
    LISTXATTR = 23, "listxattr";
    REMOVEXATTR = 24, "removexattr";
    FLUSH = 25, "flush";
    INIT = 26, "init";
    OPENDIR = 27, "opendir";
    READDIR = 28, "readdir";
    RELEASEDIR = 29, "releasedir";
    FSYNCDIR = 30, "fsyncdir";
    GETLK = 31, "getlk";
    SETLK = 32, "setlk";
    SETLKW = 33, "setlkw";
    ACCESS = 34, "access";
    CREATE = 35, "create";
    INTERRUPT = 36, "interrupt";
    BMAP = 37, "bmap";
    DESTROY = 38, "destroy";
    IOCTL = 39, "ioctl";
    POLL = 40, "poll";
    NOTIFY_REPLY = 41, "notify_reply";
    BATCH_FORGET = 42, "batch_forget";
    FALLOCATE = 43, "fallocate";
    READDIRPLUS = 44, "readdirplus";
    RENAME2 = 45, "rename2";
    LSEEK = 46, "lseek";
    COPY_FILE_RANGE = 47, "copy_file_range";
    SETUPMAPPING = 48, "setupmapping";
    REMOVEMAPPING = 49, "removemapping";
    SYNCFS = 50, "syncfs";
    TMPFILE = 51, "tmpfile";
    STATX = 52, "statx";
    COPY_FILE_RANGE_64 = 53, "copy_file_range_64";
}

/// Numbers of operations end below this.
pub const OPERATIONS: usize = 64;

/// What kernel and server agree on at INIT: bits of `fuse_init_in.flags` and, from bit 32 on, `flags2`.
pub mod feature {
    macro_rules! features {
        ($($name:ident = $bit:literal;)*) => {
            $(#[doc = concat!("`FUSE_", stringify!($name), "`")] pub const $name: u64 = 1 << $bit;)*
        };
    }
    features! {
        ASYNC_READ = 0;
        POSIX_LOCKS = 1;
        ATOMIC_O_TRUNC = 3;
        EXPORT_SUPPORT = 4;
        BIG_WRITES = 5;
        DONT_MASK = 6;
        FLOCK_LOCKS = 10;
        HAS_IOCTL_DIR = 11;
        AUTO_INVAL_DATA = 12;
        DO_READDIRPLUS = 13;
        READDIRPLUS_AUTO = 14;
        ASYNC_DIO = 15;
        WRITEBACK_CACHE = 16;
        NO_OPEN_SUPPORT = 17;
        PARALLEL_DIROPS = 18;
        HANDLE_KILLPRIV = 19;
        POSIX_ACL = 20;
        ABORT_ERROR = 21;
        MAX_PAGES = 22;
        CACHE_SYMLINKS = 23;
        NO_OPENDIR_SUPPORT = 24;
        EXPLICIT_INVAL_DATA = 25;
        SUBMOUNTS = 27;
        HANDLE_KILLPRIV_V2 = 28;
        SETXATTR_EXT = 29;
        INIT_EXT = 30;
        SECURITY_CTX = 32;
        CREATE_SUPP_GROUP = 34;
        HAS_EXPIRE_ONLY = 35;
        DIRECT_IO_ALLOW_MMAP = 36;
        PASSTHROUGH = 37;
        NO_EXPORT_SUPPORT = 38;
        HAS_RESEND = 39;
        ALLOW_IDMAP = 40;
        OVER_IO_URING = 41;
        REQUEST_TIMEOUT = 42;
    }
}

/// `FOPEN_*`: what the kernel may do with an open file.
pub mod open {
    /// Past the page cache.
    pub const DIRECT_IO: u32 = 1 << 0;
    /// What the page cache has stays.
    pub const KEEP_CACHE: u32 = 1 << 1;
    /// A directory's listing may be cached.
    pub const CACHE_DIR: u32 = 1 << 3;
    /// No FLUSH at close.
    pub const NOFLUSH: u32 = 1 << 5;
    /// Writes past the page cache need no lock.
    pub const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
    /// Read and written by the kernel through the backing file.
    pub const PASSTHROUGH: u32 = 1 << 7;
}

/// `FATTR_*`: which members of a SETATTR count.
pub(crate) mod set {
    pub(crate) const MODE: u32 = 1 << 0;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const SIZE: u32 = 1 << 3;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const HANDLE: u32 = 1 << 6;
    pub(crate) const ATIME_NOW: u32 = 1 << 7;
    pub(crate) const MTIME_NOW: u32 = 1 << 8;
    pub(crate) const CTIME: u32 = 1 << 10;
    pub(crate) const KILL_SUIDGID: u32 = 1 << 11;
}

/// GETATTR and STATX name an open file.
pub(crate) const GETATTR_HANDLE: u32 = 1 << 0;
/// OPEN and CREATE take set-id bits.
pub(crate) const OPEN_KILL_SUIDGID: u32 = 1 << 0;
/// WRITE takes set-id bits.
pub(crate) const WRITE_KILL_SUIDGID: u32 = 1 << 2;
/// WRITE comes from the page cache.
pub(crate) const WRITE_CACHE: u32 = 1 << 0;
/// SETXATTR of an ACL takes the set-group-id bit.
pub(crate) const SETXATTR_ACL_KILL_SGID: u32 = 1 << 0;
/// FSYNC of data only.
pub(crate) const FSYNC_DATA: u32 = 1 << 0;
/// An extension of a request: one supplementary group (`enum fuse_ext_type`).
pub(crate) const EXTENSION_GROUPS: u32 = 32;

/// Codes of messages the kernel did not ask for (`enum fuse_notify_code`).
pub(crate) mod notice {
    pub(crate) const INVAL_INODE: i32 = 2;
    pub(crate) const INVAL_ENTRY: i32 = 3;
    pub(crate) const STORE: i32 = 4;
    pub(crate) const DELETE: i32 = 6;
    pub(crate) const PRUNE: i32 = 9;
}
