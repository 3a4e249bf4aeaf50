//! The command line of `unpack verify`, as typed.

use crate::cli::Stop;
use crate::pack::stop;
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

    /// User C of the layer is H on this machine, and so on for N users
    #[arg(long, value_name = "C:H[:N]")]
    pub(crate) uid_map: Vec<String>,

    /// The same for groups
    #[arg(long, value_name = "C:H[:N]")]
    pub(crate) gid_map: Vec<String>,

    /// Both at once; auto: your id is 0, then your ranges of /etc/subuid and /etc/subgid
    #[arg(long, value_name = "C:H[:N]|auto")]
    pub(crate) idmap: Vec<String>,

    /// Times do not count
    #[arg(long)]
    pub(crate) no_times: bool,

    /// Extended attributes do not count (whiteouts do)
    #[arg(long)]
    pub(crate) no_xattrs: bool,

    /// Compare only what fits PATTERN (as GNU tar's --wildcards); can be given several times
    #[arg(long, value_name = "PATTERN")]
    pub(crate) include: Vec<OsString>,

    /// Leave out what fits PATTERN (as GNU tar's); can be given several times
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<OsString>,

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
    Args::try_parse_from(args)
        .map_err(|error| stop(&error, "what to compare is DIR and a layer", "unpack verify --help"))
}
