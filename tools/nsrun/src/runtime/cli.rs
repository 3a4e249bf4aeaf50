//! runc's command line as data.

use super::events::Events;
use super::update::Update;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(name = "nsrun", about = "OCI runtime", disable_help_subcommand = true, subcommand_required = true)]
#[command(version = VERSION, disable_version_flag = true)]
pub(crate) struct Args {
    /// Folder of all containers' state (default /run/nsrun, or below $XDG_RUNTIME_DIR)
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// File to which errors are written as well
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Form of the lines in that file
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Which lines get into that file: error, warning, info or debug
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) log_level: Option<LogLevel>,
    /// The same as --log-level debug
    #[arg(long)]
    pub(crate) debug: bool,
    /// Print the version, as runc does, and end
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    pub(super) version: Option<bool>,
    /// Let systemd make cgroups (accepted: they are made as folders)
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// Who makes cgroups: cgroupfs, systemd or disabled
    #[arg(long, value_name = "MANAGER")]
    pub(crate) cgroup_manager: Option<String>,
    /// Tolerate cgroups that cannot be used: true, false or auto
    #[arg(long, value_name = "BOOL")]
    pub(crate) rootless: Option<String>,
    /// Path of criu (accepted)
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) criu: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// As runc says it: engines read name, version and specification from these lines.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.1");

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    Panic,
    Fatal,
    Error,
    #[value(alias = "warn")]
    Warning,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a container that waits for `start`
    Create(Create),
    /// Start a container that was created
    Start(Id),
    /// Print the state of a container as JSON
    State(Id),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Remove a container
    Delete(Delete),
    /// Make, start, wait for and remove a container
    Run(Run),
    /// Run a program in a running container
    Exec(Exec),
    /// List containers
    List(List),
    /// List the processes of a container
    Ps(Ps),
    /// Freeze a container
    Pause(Id),
    /// Thaw a container
    Resume(Id),
    /// Write a template of config.json
    Spec(Spec),
    /// Print what this runtime can do as JSON
    Features,
    /// Change the limits of a container
    Update(Update),
    /// Print statistics of a container
    Events(Events),
    #[command(hide = true)]
    Checkpoint(Unknown),
    #[command(hide = true)]
    Restore(Unknown),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Id {
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Unknown {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Create {
    pub(crate) id: String,
    /// The bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Socket at which the master of the terminal is awaited
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File for the pid of the first process
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program gets
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Do not use pivot_root (accepted: it is always used)
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Do not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Do not remove it afterwards
    #[arg(long)]
    pub(crate) keep: bool,
    /// Do not become the reaper of what it orphans (accepted)
    #[arg(long)]
    pub(crate) no_subreaper: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Kill {
    pub(crate) id: String,
    /// Name or number
    #[arg(default_value = "SIGTERM")]
    pub(crate) signal: String,
    /// To every process of the container
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Delete {
    pub(crate) id: String,
    /// End it first; one that does not exist is no error
    #[arg(short, long)]
    pub(crate) force: bool,
    /// crun's
    #[arg(short, long, hide = true)]
    pub(crate) regex: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    /// table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Names only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ps {
    pub(crate) id: String,
    /// table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Options of ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Spec {
    /// Folder to write config.json to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// For an ordinary user
    #[arg(long)]
    pub(crate) rootless: bool,
}

#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Exec {
    /// Socket at which the master of the terminal is awaited
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// NAME=VALUE, again and again
    #[arg(short, long, value_name = "ENV")]
    pub(crate) env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// UID[:GID]
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// One more group, again and again
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// A file with the process as in config.json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File for its pid
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub(crate) process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// One more capability, again and again
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    /// Descriptors from 3 on that the program gets
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Also in a frozen container
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    /// An existing group below the container's own
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    pub(crate) cgroup: Vec<String>,
    /// No subreaper (accepted)
    #[arg(long)]
    pub(crate) no_subreaper: bool,
    pub(crate) id: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}
