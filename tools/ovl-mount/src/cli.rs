//! The command line as it is typed. Nothing here looks at the world; [`crate::plan`] says what it means.

use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Lay a writable layer over read-only ones.
///
/// Mounts an overlay of the layers at TARGET and returns when it is ready. With `-- CMD` the overlay is mounted in a mount
/// namespace of its own, CMD runs in it, and nothing stays mounted.
#[derive(Debug, Default, Parser)]
#[command(
    name = "ovl-mount",
    version,
    override_usage = "ovl-mount [-o lowerdir=A:B,upperdir=U,workdir=W,…] [SOURCE] TARGET\n       \
                      ovl-mount --layers FILE|- --upper U [--work W] [TARGET]\n       \
                      ovl-mount … -- CMD…\n       \
                      ovl-mount -o remount,… TARGET\n       \
                      ovl-mount status [--json] TARGET|SOCKET\n       \
                      ovl-mount convert [--to kernel|fuse] --lowerdir A:B [--work W] UPPER",
    disable_version_flag = true
)]
pub struct Args {
    /// Options of mount(8), overlayfs and fuse-overlayfs; a name's colon is written `\:`
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<OsString>,

    /// A file that names the lower layers, one folder a line, lowest first; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub layers: Option<PathBuf>,

    /// Names in the file of `--layers` end with NUL, not with a newline
    #[arg(short = 'z', requires = "layers")]
    pub nul: bool,

    /// The writable layer; made if missing
    #[arg(long, value_name = "DIR")]
    pub upper: Option<PathBuf>,

    /// The folder for half-done things, on the upper's file system [default: the upper's name and .work]
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,

    /// Which drivers to try, in this order [default: $OVL_DRIVER or fuse,kernel]
    #[arg(long, value_name = "LIST")]
    pub driver: Option<String>,

    /// For whom an upper with `user.*` attributes is kept: one the kernel can go on with, or one with renamed folders and
    /// shared data that only the fuse driver reads [default: as the upper says, else kernel]
    #[arg(long, value_name = "kernel|fuse")]
    pub compat: Option<String>,

    /// Take away a mount on TARGET whose server is dead
    #[arg(long)]
    pub replace: bool,

    /// Add what the server has to say to FILE [default: stderr with -f, else kept for `ovl-mount status`]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Answer `ovl-mount status` on a socket at PATH, too
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Stay in front until it is unmounted; SIGINT and SIGTERM unmount it
    #[arg(short = 'f')]
    pub foreground: bool,

    /// Say on stderr which driver serves and why another does not
    #[arg(short = 'v', long)]
    pub verbose: bool,

    /// Print one JSON line with the mount point, the driver and why another does not serve
    #[arg(long)]
    pub json: bool,

    /// As -f and -v, and the server says all it can
    #[arg(short = 'd', long)]
    pub debug: bool,

    /// The type, as mount(8) hands it to a helper; ignored
    #[arg(short = 't', value_name = "TYPE", hide = true)]
    pub fs_type: Option<OsString>,

    /// One thread serves
    #[arg(short = 's')]
    pub single_thread: bool,

    /// No mtab, as mount(8) hands it to a helper; ignored
    #[arg(short = 'n', hide = true)]
    pub no_mtab: bool,

    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,

    /// What /proc/mounts shows as source, and the mount point
    #[arg(value_name = "[SOURCE] TARGET", num_args = 0..=2)]
    pub paths: Vec<PathBuf>,

    /// A command to run in the overlay, with the mount point as working folder and in $OVL_MOUNT
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Say how an overlay is served and what its server has counted.
#[derive(Debug, Parser)]
#[command(name = "ovl-mount status")]
pub struct StatusArgs {
    /// One JSON line
    #[arg(long)]
    pub json: bool,

    /// Where the overlay is mounted, or the socket of --control
    #[arg(value_name = "TARGET|SOCKET")]
    pub target: PathBuf,
}

/// Change for whom an upper layer is kept, while nothing is mounted with it.
///
/// For the kernel: renamed folders of lower layers are copied, files that had no data of their own get it. What shows in the overlay stays
/// the same. A run that was cut short is taken up by the next.
#[derive(Debug, Parser)]
#[command(name = "ovl-mount convert")]
pub struct ConvertArgs {
    /// For the kernel, too, or for the fuse driver alone [default: kernel]
    #[arg(long, value_name = "kernel|fuse")]
    pub to: Option<String>,

    /// The lower layers it was made over, uppermost first, as in `-o lowerdir=`
    #[arg(long, value_name = "A:B", conflicts_with = "layers")]
    pub lowerdir: Option<OsString>,

    /// A file that names the lower layers, one folder a line, lowest first; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub layers: Option<PathBuf>,

    /// The upper's work folder [default: the upper's name and .work]
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,

    /// Book-keeping is in `user.*` also where `trusted.*` could be used
    #[arg(long)]
    pub userxattr: bool,

    /// Print what was done as one JSON line
    #[arg(long)]
    pub json: bool,

    /// The layer
    #[arg(value_name = "UPPER")]
    pub upper: PathBuf,
}
