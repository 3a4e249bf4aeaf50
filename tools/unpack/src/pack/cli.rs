//! The command line of `unpack pack`, as typed.

use crate::cli::Stop;
use crate::maps::MapArgs;
use crate::part::PartArgs;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Make an image layer of a directory: the same bytes each time.
///
/// UPPER is the upper directory of an overlay, in whichever form its whiteouts are, or any tree. With --diff the layer says what
/// changed from the tree LOWER to the tree UPPER. The layer goes to standard output, or with -o into a file, which is there when
/// it is complete. SOURCE_DATE_EPOCH in the environment bounds the times in it.
#[derive(Debug, Parser)]
#[command(
    name = "unpack pack",
    version,
    override_usage = "unpack pack [OPTIONS] UPPER > LAYER\n       unpack pack [OPTIONS] -o LAYER UPPER"
)]
pub(crate) struct Args {
    /// Write the layer to FILE; its name says how it is packed (.tar, .tar.gz, .tar.zst) unless --compress does
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<OsString>,

    /// What changed from the tree LOWER; both are plain trees
    #[arg(long, value_name = "LOWER")]
    pub(crate) diff: Option<PathBuf>,

    /// UPPER is a plain tree: what would be a whiteout in an overlay is refused
    #[arg(long)]
    pub(crate) tree: bool,

    /// gzip[:1-12], zstd[:1-19] or none [default: gzip:6]
    #[arg(short, long, value_name = "HOW")]
    pub(crate) compress: Option<String>,

    /// With zstd: a table of its frames at the end, for readers that seek
    #[arg(long)]
    pub(crate) seekable: bool,

    /// Everything was modified at TIME (@SECONDS or YYYY-MM-DD[THH:MM:SSZ])
    #[arg(long, value_name = "TIME")]
    pub(crate) mtime: Option<String>,

    /// Everything belongs to the user UID
    #[arg(long, value_name = "UID")]
    pub(crate) owner: Option<u32>,

    /// Everything belongs to the group GID
    #[arg(long, value_name = "GID")]
    pub(crate) group: Option<u32>,

    #[command(flatten)]
    pub(crate) maps: MapArgs,

    /// Owners, modes and devices are in the xattr user.containers.override_stat [default where UPPER itself has it]
    #[arg(long)]
    pub(crate) rootless: bool,

    #[command(flatten)]
    pub(crate) part: PartArgs,

    /// Write holes as zeros
    #[arg(long)]
    pub(crate) no_sparse: bool,

    /// No entry for UPPER itself
    #[arg(long)]
    pub(crate) no_root: bool,

    /// No extended attributes
    #[arg(long)]
    pub(crate) no_xattrs: bool,

    /// With the SELinux labels of this machine
    #[arg(long)]
    pub(crate) selinux: bool,

    /// With --diff: files of the same size and time are the same
    #[arg(long)]
    pub(crate) trust_times: bool,

    /// Do not wait until FILE is on disk
    #[arg(long)]
    pub(crate) no_sync: bool,

    /// Pack with N threads; the layer does not depend on it [default: one a processor]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<usize>,

    /// With -o: print digest, diff id, sizes and media type as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// The directory
    #[arg(value_name = "UPPER")]
    pub(crate) upper: PathBuf,
}

pub(crate) fn parse(args: Vec<OsString>) -> Result<Args, Stop> {
    Args::try_parse_from(args)
        .map_err(|error| Stop::of(&error, "nothing to pack", "unpack pack --help lists the options"))
}
