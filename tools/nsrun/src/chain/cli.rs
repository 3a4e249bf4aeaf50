//! The chain loader's command line as data: unshare(1)'s options, bwrap(1)'s, and ours.
//!
//! Options whose order among each other counts (mount operations, the environment, capabilities) are read from clap's matches by
//! their place ([`ordered`]); the rest is [`Args`].

use clap::{ArgAction, ArgMatches, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

const USAGE: &str = "nsrun [OPTIONS] [--] [COMMAND [ARG]...]
       nsrun enter [OPTIONS] [--] [COMMAND [ARG]...]
       nsrun [--root STATE] create|start|state|kill|delete|run|exec|list|ps|pause|resume|update|events|spec|features ...";

const NAMESPACES: &str = "Namespaces, as unshare(1); =FILE keeps one";
const IDS: &str = "Users and groups, as unshare(1)";
const FORK: &str = "Processes";
const ROOT: &str = "Root and mounts, as unshare(1)";
const SANDBOX: &str = "A root of its own, as bwrap(1); mounts in the order given";
const RIGHTS: &str = "Rights";
const LIMITS: &str = "Limits";
const ENVIRONMENT: &str = "Environment";
const WATCHING: &str = "For who watches";

/// Run a command in namespaces of its own.
#[derive(Debug, Default, Parser)]
#[command(
    name = "nsrun",
    version,
    disable_version_flag = true,
    override_usage = USAGE,
    after_help = "Without a command $SHELL or /bin/sh is run, as a login shell. docs/nsrun.md tells each option's whole story."
)]
pub(crate) struct Args {
    /// New mount namespace
    #[arg(help_heading = NAMESPACES, short = 'm', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) mount: Option<OsString>,
    /// New UTS namespace (host name)
    #[arg(help_heading = NAMESPACES, short = 'u', long, alias = "unshare-uts", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) uts: Option<OsString>,
    /// New IPC namespace
    #[arg(help_heading = NAMESPACES, short = 'i', long, alias = "unshare-ipc", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) ipc: Option<OsString>,
    /// New network namespace
    #[arg(help_heading = NAMESPACES, short = 'n', long, alias = "unshare-net", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) net: Option<OsString>,
    /// New pid namespace
    #[arg(help_heading = NAMESPACES, short = 'p', long, alias = "unshare-pid", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) pid: Option<OsString>,
    /// New user namespace
    #[arg(help_heading = NAMESPACES, short = 'U', long, aliases = ["unshare-user", "unshare-user-try"], value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) user: Option<OsString>,
    /// New cgroup namespace
    #[arg(help_heading = NAMESPACES, short = 'C', long, aliases = ["unshare-cgroup", "unshare-cgroup-try"], value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) cgroup: Option<OsString>,
    /// New time namespace
    #[arg(help_heading = NAMESPACES, short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) time: Option<OsString>,
    /// All of them but time (and user, for root), forking; lo is up
    #[arg(help_heading = NAMESPACES, long)]
    pub(crate) unshare_all: bool,
    /// Keep the network all the same
    #[arg(help_heading = NAMESPACES, long)]
    pub(crate) share_net: bool,
    /// Host name inside (implies --uts)
    #[arg(help_heading = NAMESPACES, long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Offset of the monotonic clock, in seconds (needs --time)
    #[arg(help_heading = NAMESPACES, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) monotonic: Option<i64>,
    /// Offset of the boot clock, in seconds (needs --time)
    #[arg(help_heading = NAMESPACES, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) boottime: Option<i64>,

    /// Map the caller to root inside
    #[arg(help_heading = IDS, short = 'r', long)]
    pub(crate) map_root_user: bool,
    /// Map the caller to itself
    #[arg(help_heading = IDS, short = 'c', long)]
    pub(crate) map_current_user: bool,
    /// Map the caller to this user inside
    #[arg(help_heading = IDS, long, value_name = "UID|NAME", overrides_with = "map_user")]
    pub(crate) map_user: Option<String>,
    /// Map the caller's group to this group inside
    #[arg(help_heading = IDS, long, value_name = "GID|NAME", overrides_with = "map_group")]
    pub(crate) map_group: Option<String>,
    /// Map the caller's ranges of /etc/subuid and /etc/subgid from 0 on
    #[arg(help_heading = IDS, long)]
    pub(crate) map_auto: bool,
    /// Map the caller's ranges, each id to itself
    #[arg(help_heading = IDS, long)]
    pub(crate) map_subids: bool,
    /// Map users: INNER:OUTER:COUNT, auto, subids or all
    #[arg(help_heading = IDS, long, value_name = "RANGE")]
    pub(crate) map_users: Vec<String>,
    /// Map groups: INNER:OUTER:COUNT, auto, subids or all
    #[arg(help_heading = IDS, long, value_name = "RANGE")]
    pub(crate) map_groups: Vec<String>,
    /// Whom the user namespace belongs to (implies --user)
    #[arg(help_heading = IDS, long, value_name = "UID:GID")]
    pub(crate) owner: Option<String>,
    /// Allow or deny setgroups in a new user namespace
    #[arg(help_heading = IDS, long, value_name = "allow|deny")]
    pub(crate) setgroups: Option<String>,
    /// Become this user
    #[arg(help_heading = IDS, short = 'S', long, value_name = "UID")]
    pub(crate) setuid: Option<u32>,
    /// Become this group, and leave all others
    #[arg(help_heading = IDS, short = 'G', long, value_name = "GID")]
    pub(crate) setgid: Option<u32>,
    /// The user in the sandbox, mapped where nothing else is
    #[arg(help_heading = IDS, long, value_name = "UID")]
    pub(crate) uid: Option<u32>,
    /// The group in the sandbox, mapped where nothing else is
    #[arg(help_heading = IDS, long, value_name = "GID")]
    pub(crate) gid: Option<u32>,

    /// Fork before the command
    #[arg(help_heading = FORK, short, long)]
    pub(crate) fork: bool,
    /// Signal for the child when nsrun dies (implies --fork)
    #[arg(help_heading = FORK, long, value_name = "SIGNAL", num_args = 0..=1, require_equals = true, default_missing_value = "SIGKILL")]
    pub(crate) kill_child: Option<String>,
    /// As it is: signals are passed on while waiting (implies --fork)
    #[arg(help_heading = FORK, long)]
    pub(crate) forward_signals: bool,
    /// Die with whoever started nsrun
    #[arg(help_heading = FORK, long)]
    pub(crate) die_with_parent: bool,
    /// A PID 1 of ours that passes signals on and reaps
    #[arg(help_heading = FORK, long)]
    pub(crate) init: bool,
    /// As it is without --init
    #[arg(help_heading = FORK, long, conflicts_with = "init", hide = true)]
    pub(crate) as_pid_1: bool,
    /// A terminal of its own, served by nsrun
    #[arg(help_heading = FORK, short = 't', long)]
    pub(crate) tty: bool,
    /// A session of its own, without a terminal
    #[arg(help_heading = FORK, long)]
    pub(crate) new_session: bool,

    /// chroot to this folder
    #[arg(help_heading = ROOT, short = 'R', long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Change to this folder
    #[arg(help_heading = ROOT, short = 'w', long, visible_alias = "chdir", value_name = "DIR")]
    pub(crate) wd: Option<PathBuf>,
    /// Propagation of mounts: slave, shared, private or unchanged
    #[arg(help_heading = ROOT, long, value_name = "MODE")]
    pub(crate) propagation: Option<String>,
    /// Keep the mounts of this folder peers of the caller's: what is mounted there on either side is seen on both
    #[arg(help_heading = ROOT, long, value_name = "DIR", requires = "propagation")]
    pub(crate) keep_shared: Vec<PathBuf>,
    /// Mount a new procfs (implies --mount)
    #[arg(help_heading = ROOT, long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc")]
    pub(crate) mount_proc: Option<PathBuf>,
    /// Mount a new binfmt_misc (implies --mount and --user)
    #[arg(help_heading = ROOT, long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) mount_binfmt: Option<OsString>,
    /// Register an interpreter there (implies --mount-binfmt)
    #[arg(help_heading = ROOT, short = 'l', long, value_name = "STRING", allow_hyphen_values = true)]
    pub(crate) load_interp: Option<OsString>,

    /// This folder as root, with /proc, /dev, /sys (without it: empty)
    #[arg(help_heading = SANDBOX, long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// The root read-only
    #[arg(help_heading = SANDBOX, long)]
    pub(crate) read_only: bool,
    /// A file or folder of the caller's, with all mounts below
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["SRC", "DEST"], allow_hyphen_values = true)]
    bind: Vec<OsString>,
    /// The same, read-only
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["SRC", "DEST"], allow_hyphen_values = true)]
    ro_bind: Vec<OsString>,
    /// The same, where device nodes work
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["SRC", "DEST"], allow_hyphen_values = true)]
    dev_bind: Vec<OsString>,
    /// Left out without SRC; so --ro-bind-try, --dev-bind-try
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["SRC", "DEST"], allow_hyphen_values = true)]
    bind_try: Vec<OsString>,
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["SRC", "DEST"], allow_hyphen_values = true, hide = true)]
    ro_bind_try: Vec<OsString>,
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["SRC", "DEST"], allow_hyphen_values = true, hide = true)]
    dev_bind_try: Vec<OsString>,
    /// A new procfs
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    proc: Vec<OsString>,
    /// A new /dev
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    dev: Vec<OsString>,
    /// An empty tmpfs
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    tmpfs: Vec<OsString>,
    /// A new file system of message queues
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    mqueue: Vec<OsString>,
    /// A layer of the next overlay, lowest first
    #[arg(help_heading = SANDBOX, long, value_name = "SRC")]
    overlay_src: Vec<OsString>,
    /// An overlay that writes to RW
    #[arg(help_heading = SANDBOX, long, num_args = 3, value_names = ["RW", "WORK", "DEST"], allow_hyphen_values = true)]
    overlay: Vec<OsString>,
    /// An overlay that forgets
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    tmp_overlay: Vec<OsString>,
    /// An overlay that is only read
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    ro_overlay: Vec<OsString>,
    /// A folder
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    dir: Vec<OsString>,
    /// A symbolic link
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["TARGET", "DEST"], allow_hyphen_values = true)]
    symlink: Vec<OsString>,
    /// A file with what FD gives
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["FD", "DEST"], allow_hyphen_values = true)]
    file: Vec<OsString>,
    /// The same in memory, mounted; also --ro-bind-data
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["FD", "DEST"], allow_hyphen_values = true)]
    bind_data: Vec<OsString>,
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["FD", "DEST"], allow_hyphen_values = true, hide = true)]
    ro_bind_data: Vec<OsString>,
    /// Make a mount read-only
    #[arg(help_heading = SANDBOX, long, value_name = "DEST")]
    remount_ro: Vec<OsString>,
    /// Change a mode
    #[arg(help_heading = SANDBOX, long, num_args = 2, value_names = ["OCTAL", "DEST"], allow_hyphen_values = true)]
    chmod: Vec<OsString>,
    /// Mode of what the next option makes
    #[arg(help_heading = SANDBOX, long, value_name = "OCTAL")]
    perms: Vec<OsString>,
    /// Size of the next tmpfs
    #[arg(help_heading = SANDBOX, long, value_name = "BYTES")]
    size: Vec<OsString>,

    /// One capability more (in a sandbox than the fourteen), or ALL
    #[arg(help_heading = RIGHTS, long, value_name = "CAP")]
    cap_add: Vec<OsString>,
    /// One capability less, or ALL
    #[arg(help_heading = RIGHTS, long, value_name = "CAP")]
    cap_drop: Vec<OsString>,
    /// Keep capabilities granted in the user namespace
    #[arg(help_heading = RIGHTS, long)]
    pub(crate) keep_caps: bool,
    /// Set no_new_privs
    #[arg(help_heading = RIGHTS, long)]
    pub(crate) no_new_privs: bool,
    /// default, unconfined, a profile (JSON), or an FD with a program
    #[arg(help_heading = RIGHTS, long, value_name = "PROFILE|FD", overrides_with = "seccomp")]
    pub(crate) seccomp: Option<OsString>,
    /// A compiled program as well, again and again
    #[arg(help_heading = RIGHTS, long, value_name = "FD")]
    pub(crate) add_seccomp_fd: Vec<i32>,
    /// No user namespaces inside
    #[arg(help_heading = RIGHTS, long)]
    pub(crate) disable_userns: bool,
    /// Only paths given so can be used at all: this one to read
    #[arg(help_heading = RIGHTS, long, value_name = "PATH")]
    pub(crate) landlock_ro: Vec<PathBuf>,
    /// And this one to change
    #[arg(help_heading = RIGHTS, long, value_name = "PATH")]
    pub(crate) landlock_rw: Vec<PathBuf>,
    /// The least version of landlock that will do (3)
    #[arg(help_heading = RIGHTS, long, value_name = "N")]
    pub(crate) landlock_abi: Option<u32>,

    /// Memory, such as 512m
    #[arg(help_heading = LIMITS, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Processors, such as 1.5
    #[arg(help_heading = LIMITS, long, value_name = "N")]
    pub(crate) cpus: Option<String>,
    /// Processes and threads
    #[arg(help_heading = LIMITS, long, visible_alias = "pids", value_name = "N")]
    pub(crate) pids_limit: Option<i64>,
    /// The cgroup to make (implied by a limit)
    #[arg(help_heading = LIMITS, long, value_name = "PATH")]
    pub(crate) cgroup_path: Option<PathBuf>,

    /// Set a variable
    #[arg(help_heading = ENVIRONMENT, long, num_args = 2, value_names = ["VAR", "VALUE"], allow_hyphen_values = true)]
    setenv: Vec<OsString>,
    /// Take a variable away
    #[arg(help_heading = ENVIRONMENT, long, value_name = "VAR")]
    unsetenv: Vec<OsString>,
    /// Start with none
    #[arg(help_heading = ENVIRONMENT, long, visible_alias = "clear-env", action = ArgAction::Count)]
    clearenv: u8,
    /// Start with these only: VAR,VAR...
    #[arg(help_heading = ENVIRONMENT, long, value_name = "LIST")]
    whitelist_env: Vec<OsString>,
    /// Let descriptors 3 to N+2 into a sandbox
    #[arg(help_heading = WATCHING, long, value_name = "N")]
    pub(crate) preserve_fds: Option<u32>,
    /// The command's own name for itself
    #[arg(help_heading = ENVIRONMENT, long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) argv0: Option<OsString>,

    /// JSON lines on this descriptor: child-pid, exit-code
    #[arg(help_heading = WATCHING, long, value_name = "FD")]
    pub(crate) json_status_fd: Option<i32>,
    /// A JSON document on this descriptor: child-pid
    #[arg(help_heading = WATCHING, long, value_name = "FD")]
    pub(crate) info_fd: Option<i32>,
    /// Hold this descriptor open while the command runs
    #[arg(help_heading = WATCHING, long, value_name = "FD")]
    pub(crate) sync_fd: Vec<i32>,
    /// More options, a zero byte behind each, are read from here
    #[arg(help_heading = WATCHING, long, value_name = "FD")]
    args: Vec<i32>,
    /// Start the command when this descriptor can be read
    #[arg(help_heading = WATCHING, long, value_name = "FD")]
    pub(crate) block_fd: Option<i32>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: (),

    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND", hide = true)]
    pub(crate) command: Vec<OsString>,
}

/// An option with its values, one of those whose order counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its long name.
    pub(crate) option: &'static str,
    pub(crate) values: Vec<OsString>,
}

/// The ids of these in clap's matches are their long names with `_`.
const ORDERED: [&str; 29] = [
    "bind",
    "ro-bind",
    "dev-bind",
    "bind-try",
    "ro-bind-try",
    "dev-bind-try",
    "proc",
    "dev",
    "tmpfs",
    "mqueue",
    "overlay-src",
    "overlay",
    "tmp-overlay",
    "ro-overlay",
    "dir",
    "symlink",
    "file",
    "bind-data",
    "ro-bind-data",
    "remount-ro",
    "chmod",
    "perms",
    "size",
    "cap-add",
    "cap-drop",
    "setenv",
    "unsetenv",
    "clearenv",
    "whitelist-env",
];

/// The options whose order counts, in their order.
pub(crate) fn ordered(matches: &ArgMatches) -> Vec<Word> {
    let mut all: Vec<(usize, Word)> = Vec::new();
    for option in ORDERED {
        let id = option.replace('-', "_");
        if matches.value_source(&id) != Some(clap::parser::ValueSource::CommandLine) {
            continue;
        }
        let Some(mut indices) = matches.indices_of(&id) else { continue };
        if option == "clearenv" {
            // A flag: one index each time, no values.
            all.extend(indices.map(|at| (at, Word { option, values: Vec::new() })));
            continue;
        }
        for values in matches.get_occurrences::<OsString>(&id).into_iter().flatten() {
            let values: Vec<OsString> = values.cloned().collect();
            let at = indices.by_ref().take(values.len()).last().unwrap_or_default();
            all.push((at, Word { option, values }));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::{Args, ordered};
    use clap::CommandFactory;

    #[test]
    fn the_order_of_the_command_line_is_kept() {
        let line =
            "nsrun --ro-bind / / --setenv A -x --perms 700 --tmpfs /t --bind a b --tmpfs /u --clearenv --cap-add X sh";
        let matches = Args::command().try_get_matches_from(line.split(' ')).unwrap();
        let words: Vec<String> = ordered(&matches)
            .iter()
            .map(|w| format!("{} {}", w.option, w.values.join(std::ffi::OsStr::new(" ")).display()))
            .collect();
        let wanted =
            ["ro-bind / /", "setenv A -x", "perms 700", "tmpfs /t", "bind a b", "tmpfs /u", "clearenv ", "cap-add X"];
        assert_eq!(words, wanted);
    }

    #[test]
    fn clap_finds_nothing_wrong() {
        Args::command().debug_assert();
    }
}
