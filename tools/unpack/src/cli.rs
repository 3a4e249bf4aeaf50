//! The command line, as typed.

use clap::{Parser, ValueEnum};
use cli::Failure;
use std::ffi::OsString;
use std::path::PathBuf;

/// Unpack image layers into directories, checked while they are read.
///
/// SOURCE is a layer (a tar, plain or packed with gzip or zstd), or an image: an OCI layout (a folder or a tar) or a
/// docker-archive. A layer's tree goes into DIR. An image's layers go into folders of their own below DIR, and their paths are
/// printed, lowest first; a layer that is there already is not unpacked again. Several images in one archive are told apart
/// by SOURCE:REF.
#[derive(Debug, Parser)]
#[command(
    name = "unpack",
    version,
    override_usage = "unpack [OPTIONS] LAYER|-
       unpack [OPTIONS] IMAGE[:REF]|-
       unpack pack [OPTIONS] DIR
       unpack verify [OPTIONS] DIR LAYER",
    after_help = "`unpack pack --help` and `unpack verify --help` tell of the way back. What is called `pack` itself is `./pack`."
)]
pub(crate) struct Args {
    /// Unpack into DIR; made if it is missing
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,

    /// Take SOURCE for that, whatever is in it
    #[arg(long = "as", value_name = "WHAT")]
    pub(crate) told: Option<Told>,

    /// Of an image for several machines, the one for OS/ARCH[/VARIANT] [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,

    /// What becomes of whiteouts [default: overlay, or userxattr where that is not permitted]
    #[arg(long, value_name = "FORM")]
    pub(crate) whiteouts: Option<Form>,

    /// Give files the owners the layer names [default as root]
    #[arg(long, overrides_with = "no_same_owner")]
    pub(crate) same_owner: bool,

    /// Files belong to whoever unpacks them [default as another user]
    #[arg(long)]
    pub(crate) no_same_owner: bool,

    /// No owners, and devices and xattrs that need privileges are skipped, with a line each
    #[arg(long)]
    pub(crate) rootless: bool,

    /// Unpack N layers at a time [default: one a processor]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<usize>,

    /// A NUL behind each path instead of a newline
    #[arg(short = 'z', long)]
    pub(crate) null: bool,

    /// Print a line of JSON for each layer
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bar
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// What to unpack; - is standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: OsString,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Told {
    /// One layer
    Layer,
    /// An image
    Image,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Form {
    /// Devices 0:0 and trusted.overlay.opaque, for an overlay mounted by root
    Overlay,
    /// Devices 0:0 and user.overlay.opaque, for an overlay mounted with userxattr
    Userxattr,
    /// Files .wh.NAME, as they are in the layer
    Oci,
    /// What they hide is removed from DIR
    Apply,
}

/// Why there are no arguments.
pub(crate) enum Stop {
    /// Help or the version was asked for.
    Say(String),
    /// They are wrong.
    Fail(Failure),
}

pub(crate) fn parse(mut args: Vec<OsString>) -> Result<Args, Stop> {
    // `-:REF`, an image of standard input, looks like a flag: behind `--` it does not.
    let reference = args.iter().position(|a| a.as_encoded_bytes().starts_with(b"-:"));
    if let Some(at) = reference.filter(|_| !args.iter().any(|a| a == "--")) {
        let source = args.remove(at);
        args.extend(["--".into(), source]);
    }
    Args::try_parse_from(args).map_err(|error| {
        use clap::error::ErrorKind;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Say(error.to_string()),
            _ => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                let message = first.strip_prefix("error: ").unwrap_or(first);
                let message =
                    if error.kind() == ErrorKind::MissingRequiredArgument { "nothing to unpack" } else { message };
                Stop::Fail(Failure::usage(message).hint("unpack --help lists the options"))
            }
        }
    })
}
