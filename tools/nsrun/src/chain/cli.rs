//! unshare(1)'s command line as data, with what only we have behind it.

use clap::{ArgAction, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// Run a command in namespaces of its own.
#[derive(Debug, Default, Parser)]
#[command(
    name = "nsrun",
    version,
    override_usage = "nsrun [OPTIONS] [--] [COMMAND [ARG]...]\n       nsrun enter [OPTIONS] [--] [COMMAND [ARG]...]\n       nsrun [--root STATE] create|start|state|kill|delete|run|exec|list|ps|pause|resume|spec|features ...",
    after_help = "Without a command, $SHELL or /bin/sh is run."
)]
pub(crate) struct Args {
    /// New mount namespace
    #[arg(short = 'm', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) mount: Option<OsString>,
    /// New UTS namespace (host name)
    #[arg(short = 'u', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) uts: Option<OsString>,
    /// New IPC namespace
    #[arg(short = 'i', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) ipc: Option<OsString>,
    /// New network namespace
    #[arg(short = 'n', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) net: Option<OsString>,
    /// New pid namespace
    #[arg(short = 'p', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) pid: Option<OsString>,
    /// New user namespace
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) user: Option<OsString>,
    /// New cgroup namespace
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) cgroup: Option<OsString>,
    /// New time namespace
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) time: Option<OsString>,
    /// Fork before the command
    #[arg(short, long)]
    pub(crate) fork: bool,
    /// Map the caller to this user inside
    #[arg(long, value_name = "UID|NAME")]
    pub(crate) map_user: Option<String>,
    /// Map the caller's group to this group inside
    #[arg(long, value_name = "GID|NAME")]
    pub(crate) map_group: Option<String>,
    /// Map the caller to root inside
    #[arg(short = 'r', long)]
    pub(crate) map_root_user: bool,
    /// Map the caller to itself
    #[arg(short = 'c', long)]
    pub(crate) map_current_user: bool,
    /// Map the caller's ranges in /etc/subuid and /etc/subgid
    #[arg(long)]
    pub(crate) map_auto: bool,
    /// Map a range of users
    #[arg(long, value_name = "INNER:OUTER:COUNT|OUTER,INNER,COUNT|auto")]
    pub(crate) map_users: Vec<String>,
    /// Map a range of groups
    #[arg(long, value_name = "INNER:OUTER:COUNT|OUTER,INNER,COUNT|auto")]
    pub(crate) map_groups: Vec<String>,
    /// Signal for the child when nsrun dies (implies --fork)
    #[arg(long, value_name = "SIGNAL", num_args = 0..=1, require_equals = true, default_missing_value = "SIGKILL")]
    pub(crate) kill_child: Option<String>,
    /// Mount a new procfs (implies --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc")]
    pub(crate) mount_proc: Option<PathBuf>,
    /// Propagation of mounts: slave, shared, private or unchanged
    #[arg(long, value_name = "MODE")]
    pub(crate) propagation: Option<String>,
    /// Allow or deny setgroups in a new user namespace
    #[arg(long, value_name = "allow|deny")]
    pub(crate) setgroups: Option<String>,
    /// Keep capabilities granted in the user namespace
    #[arg(long)]
    pub(crate) keep_caps: bool,
    /// chroot to this folder
    #[arg(short = 'R', long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Change to this folder
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) wd: Option<PathBuf>,
    /// Become this user
    #[arg(short = 'S', long, value_name = "UID")]
    pub(crate) setuid: Option<u32>,
    /// Become this group
    #[arg(short = 'G', long, value_name = "GID")]
    pub(crate) setgid: Option<u32>,
    /// Offset of the monotonic clock, in seconds
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) monotonic: Option<i64>,
    /// Offset of the boot clock, in seconds
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) boottime: Option<i64>,

    /// New namespaces of every kind (user only for an ordinary user), forking
    #[arg(long)]
    pub(crate) unshare_all: bool,
    /// Keep the network where --unshare-all is given
    #[arg(long)]
    pub(crate) share_net: bool,
    /// A sandbox with this folder as root, by pivot_root (implies --mount)
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// The sandbox's root read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// A PID 1 of ours that passes signals on and reaps
    #[arg(long)]
    pub(crate) init: bool,
    /// Set no_new_privs
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// Host name inside (implies --uts)
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// One capability more than the sandbox's fourteen
    #[arg(long, value_name = "CAP")]
    pub(crate) cap_add: Vec<String>,
    /// One capability less, or ALL
    #[arg(long, value_name = "CAP")]
    pub(crate) cap_drop: Vec<String>,
    /// A seccomp profile: default or unconfined
    #[arg(long, value_name = "PROFILE")]
    pub(crate) seccomp: Option<String>,
    /// Die with whoever started nsrun
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) die_with_parent: bool,

    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}
