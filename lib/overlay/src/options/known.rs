//! Every option that somebody who comes from mount(8), the kernel's overlay, libfuse or fuse-overlayfs may write, and what becomes
//! of it here. The reference in docs/ovl-mount.md is printed from this table, and a test holds the parser to it.

use std::fmt::Write;

/// Who knows an option; the chapters of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// overlayfs (Documentation/filesystems/overlayfs.rst), and fuse-overlayfs for the most part.
    Overlay,
    /// fuse-overlayfs alone.
    FuseOverlayfs,
    /// libfuse and fusermount3.
    Fuse,
    /// mount(8) for every file system, and fstab(5).
    Mount,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It does this.
    Taken(&'static str),
    /// Accepted without a word: what it asks for is so anyway, or does not show.
    Idle(&'static str),
    /// Accepted with a warning: what it asks for is not done.
    Warned(&'static str),
    /// An error: without it the user would get something else than asked for.
    Refused(&'static str),
}

/// One option.
#[derive(Debug)]
pub struct Known {
    /// Its name, without a value.
    pub name: &'static str,
    /// What stands behind `=`; empty for none, in brackets where it may be left out.
    pub value: &'static str,
    /// A value to try it with.
    pub example: &'static str,
    /// Who knows it.
    pub from: Origin,
    /// What becomes of it.
    pub treatment: Treatment,
}

use Origin::{Fuse, FuseOverlayfs, Mount, Overlay};
use Treatment::{Idle, Refused, Taken, Warned};

const fn known(
    from: Origin,
    name: &'static str,
    value: &'static str,
    example: &'static str,
    treatment: Treatment,
) -> Known {
    Known { name, value, example, from, treatment }
}

const OWN_AFFAIR: Treatment = Idle("tunes libfuse; the server here has its own ways");
const NOT_A_MOUNTS: Treatment = Idle("for mount(8) and fstab(5)");

/// The list, in the order of the reference.
pub const KNOWN: &[Known] = &[
    known(
        Overlay,
        "lowerdir",
        "A:B[::DATA]",
        "/a:/b::/d",
        Taken(
            "the layers below, uppermost first; `\\:` is a colon in a name. Behind double colons stand data-only layers: nothing of them is \
         in the tree, metacopy files point into them",
        ),
    ),
    known(
        Overlay,
        "lowerdir+",
        "A",
        "/a",
        Taken("one more layer below the others; any name, without escapes for colons"),
    ),
    known(Overlay, "datadir+", "A", "/d", Taken("one more data-only layer below the others")),
    known(Overlay, "upperdir", "U", "/u", Taken("the layer that is written; without it the overlay is read-only")),
    known(
        Overlay,
        "workdir",
        "W",
        "/w",
        Taken("a folder on the upper's file system for half-done things; made if missing"),
    ),
    known(
        Overlay,
        "volatile",
        "",
        "",
        Taken("nothing is synced; an unclean end leaves an upper that is not to be trusted, and says so"),
    ),
    known(
        Overlay,
        "userxattr",
        "",
        "",
        Taken("book-keeping in `user.*` extended attributes also where `trusted.*` could be used"),
    ),
    known(
        Overlay,
        "redirect_dir",
        "on|follow|nofollow|off",
        "on",
        Taken(
            "whether a directory of a lower layer can be renamed (on), and whether such renames of before are followed (follow, off) or \
         not (nofollow)",
        ),
    ),
    known(Overlay, "metacopy", "on|off", "on", Taken("whether chmod and chown copy a lower file's attributes only")),
    known(
        Overlay,
        "index",
        "on|off",
        "on",
        Taken("whether hard links of a lower layer stay one file when one of them is written"),
    ),
    known(
        Overlay,
        "xino",
        "on|auto|off",
        "auto",
        Taken(
            "inode numbers that tell the layer; the fuse driver's are stable without it, so this is for the kernel driver",
        ),
    ),
    known(Overlay, "nfs_export", "on|off", "on", Taken("can be exported by NFS: the kernel driver only")),
    known(
        Overlay,
        "uuid",
        "on|auto|null|off",
        "auto",
        Taken("which id statfs(2) shows; `on` is for the kernel driver only"),
    ),
    known(
        Overlay,
        "verity",
        "off|on|require",
        "off",
        Taken("metacopy files checked by fs-verity: the kernel driver only"),
    ),
    known(
        Overlay,
        "override_creds",
        "",
        "",
        Taken("layers are used with the mounter's rights (the kernel driver; always so in the fuse driver)"),
    ),
    known(
        Overlay,
        "nooverride_creds",
        "",
        "",
        Taken("layers are used with the caller's rights: the kernel driver only"),
    ),
    known(Overlay, "default_permissions", "", "", Idle("the kernel always checks permissions")),
    known(FuseOverlayfs, "squash_to_root", "", "", Taken("every file is shown as root's")),
    known(
        FuseOverlayfs,
        "squash_to_uid",
        "UID",
        "7",
        Taken("every file is shown as this user's; goes before squash_to_root"),
    ),
    known(
        FuseOverlayfs,
        "squash_to_gid",
        "GID",
        "7",
        Taken("every file is shown as this group's; goes before squash_to_root"),
    ),
    known(
        FuseOverlayfs,
        "uidmapping",
        "A:B:N[:…]",
        "1000:0:1:100000:1:65536",
        Taken("N user ids from A on in the layers are shown as B and following; all others as nobody (65534)"),
    ),
    known(FuseOverlayfs, "gidmapping", "A:B:N[:…]", "1000:0:1", Taken("the same for groups")),
    known(
        FuseOverlayfs,
        "timeout",
        "SECONDS",
        "1.5",
        Taken(
            "how long the kernel may keep names and attributes; default: for ever, as only this overlay changes them",
        ),
    ),
    known(FuseOverlayfs, "threaded", "0|1", "0", Taken("0: one thread serves")),
    known(FuseOverlayfs, "fsync", "0|1", "0", Taken("0: fsync(2) in the overlay does nothing")),
    known(FuseOverlayfs, "writeback", "0|1", "0", Taken("0: the kernel does not gather writes")),
    known(FuseOverlayfs, "noxattrs", "[0|1]", "1", Taken("extended attributes can be neither read nor set")),
    known(FuseOverlayfs, "noacl", "", "", Taken("no POSIX access control lists")),
    known(
        FuseOverlayfs,
        "xattr_permissions",
        "0|1|2",
        "2",
        Taken(
            "1, 2: owners and modes are kept in an extended attribute of the upper's files instead of the files themselves; read in lower layers in any case",
        ),
    ),
    known(FuseOverlayfs, "static_nlink", "", "", Idle("directories have a link count of 1 here")),
    known(FuseOverlayfs, "fast_ino", "0|1", "1", Idle("inode numbers cost nothing here")),
    known(FuseOverlayfs, "fast_ino_check", "0|1", "1", Idle("inode numbers cost nothing here")),
    known(FuseOverlayfs, "ino32_t", "", "", Warned("inode numbers are those of the layers, of up to 64 bits")),
    known(FuseOverlayfs, "plugins", "LIST", "/x.so", Refused("plugins of fuse-overlayfs cannot be loaded")),
    known(
        Fuse,
        "allow_other",
        "",
        "",
        Taken("other users may use the mount (the default for root; others need user_allow_other in /etc/fuse.conf)"),
    ),
    known(Fuse, "allow_root", "", "", Refused("there is only the mounter alone, or with allow_other everybody")),
    known(Fuse, "fsname", "NAME", "x", Taken("the source that /proc/mounts shows")),
    known(Fuse, "subtype", "NAME", "x", Taken("what follows `fuse.` in the type that /proc/mounts shows")),
    known(Fuse, "debug", "", "", Taken("as --debug")),
    known(
        Fuse,
        "auto_unmount",
        "",
        "",
        Warned("a server that is killed leaves its mount behind; with -f ovl-mount takes it away"),
    ),
    known(Fuse, "nonempty", "", "", Idle("the mount point need not be empty")),
    known(Fuse, "kernel_cache", "", "", Idle("the kernel keeps what it has read anyway")),
    known(Fuse, "auto_cache", "", "", Idle("the kernel keeps what it has read anyway")),
    known(Fuse, "max_write", "BYTES", "131072", OWN_AFFAIR),
    known(Fuse, "max_read", "BYTES", "131072", OWN_AFFAIR),
    known(Fuse, "big_writes", "", "", OWN_AFFAIR),
    known(Fuse, "clone_fd", "", "", OWN_AFFAIR),
    known(Fuse, "max_threads", "N", "4", OWN_AFFAIR),
    known(Fuse, "max_idle_threads", "N", "4", OWN_AFFAIR),
    known(Fuse, "max_background", "N", "4", OWN_AFFAIR),
    known(Fuse, "congestion_threshold", "N", "4", OWN_AFFAIR),
    known(Fuse, "async_read", "", "", OWN_AFFAIR),
    known(Fuse, "sync_read", "", "", OWN_AFFAIR),
    known(Fuse, "splice_read", "", "", OWN_AFFAIR),
    known(Fuse, "splice_write", "", "", OWN_AFFAIR),
    known(Fuse, "splice_move", "", "", OWN_AFFAIR),
    known(Fuse, "no_splice_read", "", "", OWN_AFFAIR),
    known(Fuse, "no_splice_write", "", "", OWN_AFFAIR),
    known(Fuse, "no_splice_move", "", "", OWN_AFFAIR),
    known(Fuse, "rootmode", "MODE", "40000", Idle("what the kernel shows of a mount; comes back at a remount")),
    known(Fuse, "user_id", "UID", "0", Idle("what the kernel shows of a mount; comes back at a remount")),
    known(Fuse, "group_id", "GID", "0", Idle("what the kernel shows of a mount; comes back at a remount")),
    known(Mount, "ro", "", "", Taken("read-only")),
    known(Mount, "rw", "", "", Taken("not read-only")),
    known(Mount, "suid", "", "", Taken("set-id bits count")),
    known(Mount, "nosuid", "", "", Taken("set-id bits do not count")),
    known(Mount, "dev", "", "", Taken("device nodes can be opened")),
    known(Mount, "nodev", "", "", Taken("device nodes cannot be opened")),
    known(Mount, "exec", "", "", Taken("programs can be executed")),
    known(Mount, "noexec", "", "", Taken("programs cannot be executed")),
    known(Mount, "symfollow", "", "", Taken("symbolic links are followed")),
    known(Mount, "nosymfollow", "", "", Taken("symbolic links are not followed")),
    known(Mount, "atime", "", "", Taken("access times are kept, at most once a day")),
    known(Mount, "noatime", "", "", Taken("access times are not kept")),
    known(Mount, "relatime", "", "", Taken("access times are kept, at most once a day")),
    known(Mount, "norelatime", "", "", Idle("the opposite of an option that is not set")),
    known(Mount, "strictatime", "", "", Taken("access times are kept")),
    known(Mount, "nostrictatime", "", "", Idle("the opposite of an option that is not set")),
    known(Mount, "diratime", "", "", Taken("access times of directories are kept")),
    known(Mount, "nodiratime", "", "", Taken("access times of directories are not kept")),
    known(Mount, "sync", "", "", Taken("every write is synced (the kernel's flag of the file system)")),
    known(Mount, "async", "", "", Taken("the opposite of sync")),
    known(
        Mount,
        "dirsync",
        "",
        "",
        Taken("every change of a directory is synced (the kernel's flag of the file system)"),
    ),
    known(Mount, "remount", "", "", Taken("changes the options of the overlay that is mounted at TARGET")),
    known(
        Mount,
        "context",
        "LABEL",
        "system_u:object_r:x:s0",
        Taken("SELinux's label for every file; without SELinux nothing"),
    ),
    known(Mount, "fscontext", "LABEL", "x", Taken("SELinux's label for the file system; without SELinux nothing")),
    known(
        Mount,
        "defcontext",
        "LABEL",
        "x",
        Taken("SELinux's label for files that have none; without SELinux nothing"),
    ),
    known(Mount, "rootcontext", "LABEL", "x", Taken("SELinux's label for the root; without SELinux nothing")),
    known(Mount, "bind", "", "", Refused("a bind mount is not an overlay: mount --bind")),
    known(Mount, "rbind", "", "", Refused("a bind mount is not an overlay: mount --rbind")),
    known(Mount, "move", "", "", Refused("moving is mount(8)'s: mount --move")),
    known(Mount, "defaults", "", "", NOT_A_MOUNTS),
    known(Mount, "auto", "", "", NOT_A_MOUNTS),
    known(Mount, "noauto", "", "", NOT_A_MOUNTS),
    known(Mount, "user", "[NAME]", "", NOT_A_MOUNTS),
    known(Mount, "nouser", "", "", NOT_A_MOUNTS),
    known(Mount, "users", "", "", NOT_A_MOUNTS),
    known(Mount, "nousers", "", "", NOT_A_MOUNTS),
    known(Mount, "owner", "", "", NOT_A_MOUNTS),
    known(Mount, "noowner", "", "", NOT_A_MOUNTS),
    known(Mount, "group", "", "", NOT_A_MOUNTS),
    known(Mount, "nogroup", "", "", NOT_A_MOUNTS),
    known(Mount, "nofail", "", "", NOT_A_MOUNTS),
    known(Mount, "_netdev", "", "", NOT_A_MOUNTS),
    known(Mount, "comment", "TEXT", "x", NOT_A_MOUNTS),
    known(Mount, "silent", "", "", NOT_A_MOUNTS),
    known(Mount, "loud", "", "", NOT_A_MOUNTS),
    known(Mount, "lazytime", "", "", Idle("times are the upper's file system's to keep")),
    known(Mount, "nolazytime", "", "", Idle("times are the upper's file system's to keep")),
    known(Mount, "iversion", "", "", Idle("change counters are the upper's file system's to keep")),
    known(Mount, "noiversion", "", "", Idle("change counters are the upper's file system's to keep")),
    known(Mount, "mand", "", "", Idle("mandatory locks are gone from the kernel")),
    known(Mount, "nomand", "", "", Idle("mandatory locks are gone from the kernel")),
    known(Mount, "private", "", "", NOT_A_MOUNTS),
    known(Mount, "rprivate", "", "", NOT_A_MOUNTS),
    known(Mount, "slave", "", "", NOT_A_MOUNTS),
    known(Mount, "rslave", "", "", NOT_A_MOUNTS),
    known(Mount, "shared", "", "", NOT_A_MOUNTS),
    known(Mount, "rshared", "", "", NOT_A_MOUNTS),
];

/// The option of this name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// The reference, as Markdown: a table for each chapter.
pub fn reference() -> String {
    let chapters = [
        (Overlay, "Overlay's options"),
        (FuseOverlayfs, "fuse-overlayfs' options"),
        (Fuse, "FUSE's options"),
        (Mount, "mount(8)'s options"),
    ];
    let mut text = String::new();
    for (from, title) in chapters {
        let _ = write!(text, "### {title}\n\n| option | what it does |\n|---|---|\n");
        for known in KNOWN.iter().filter(|known| known.from == from) {
            let value = match known.value {
                "" => String::new(),
                optional if optional.starts_with('[') => format!("[={}]", optional.trim_matches(['[', ']'])),
                value => format!("={value}"),
            };
            let option = format!("{}{value}", known.name).replace('|', "\\|");
            let (mark, why) = match known.treatment {
                Taken(what) => ("", what),
                Idle(why) => ("*accepted*: ", why),
                Warned(why) => ("*accepted with a warning*: ", why),
                Refused(why) => ("*refused*: ", why),
            };
            let _ = writeln!(text, "| `{option}` | {mark}{} |", why.replace('|', "\\|"));
        }
        text.push('\n');
    }
    text
}
