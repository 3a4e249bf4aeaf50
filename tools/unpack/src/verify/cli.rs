//! The command line of `unpack verify`, as typed.

use crate::cli::Stop;
use crate::maps::MapArgs;
use crate::part::PartArgs;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Compare a directory with a layer, or the folders of an image below it with the image.
///
/// Prints a line for each difference: `missing PATH`, `extra PATH` or `changed PATH: WHAT HERE (layer: THERE), ...`. Nothing, and
/// exit code 0, where there is none; 1 where there are some. Whiteouts count in any form; owners where you are root, or where the
/// directory records them.
#[derive(Debug, Parser)]
#[command(name = "unpack verify", version)]
pub(crate) struct Args {
    /// Of an image for several machines, the one for OS/ARCH[/VARIANT] [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,

    /// The layer was unpacked with --whiteouts apply: what it hides is gone
    #[arg(long)]
    pub(crate) applied: bool,

    /// Owners count
    #[arg(long, overrides_with = "no_same_owner")]
    pub(crate) same_owner: bool,

    /// Owners do not count
    #[arg(long)]
    pub(crate) no_same_owner: bool,

    #[command(flatten)]
    pub(crate) maps: MapArgs,

    /// Times do not count
    #[arg(long)]
    pub(crate) no_times: bool,

    /// Extended attributes do not count (whiteouts do)
    #[arg(long)]
    pub(crate) no_xattrs: bool,

    #[command(flatten)]
    pub(crate) part: PartArgs,

    /// Print a line of JSON for each difference
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bar
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// The directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The layer or IMAGE[:REF] it was made from; - is standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: OsString,
}

pub(crate) fn parse(args: Vec<OsString>) -> Result<Args, Stop> {
    let (missing, hint) = ("what to compare is DIR and a layer", "unpack verify --help lists the options");
    Args::try_parse_from(args).map_err(|error| Stop::of(&error, missing, hint))
}
