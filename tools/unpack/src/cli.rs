//! The command line, as typed.

use crate::maps::MapArgs;
use crate::part::PartArgs;
use clap::{Parser, ValueEnum};
use cli::Failure;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Unpack image layers into directories, checked while they are read.
///
/// SOURCE is a layer (a tar, plain or packed with gzip or zstd), or an image: an OCI layout (a folder or a tar) or a
/// docker-archive. A layer's tree goes into DIR. An image's layers go into folders of their own below DIR, and their paths are
/// printed, lowest first; a layer that is there already is not unpacked again. With --flatten the image's tree goes into DIR.
/// Several images in one archive are told apart by SOURCE:REF.
#[derive(Debug, Parser)]
#[command(
    name = "unpack",
    version,
    override_usage = "unpack [OPTIONS] LAYER|-
       unpack [OPTIONS] IMAGE[:REF]|-
       unpack -t [OPTIONS] LAYER|IMAGE[:REF]|-
       unpack pack [OPTIONS] DIR
       unpack verify [OPTIONS] DIR LAYER",
    after_help = "`unpack pack --help` and `unpack verify --help` tell of the way back. What is called `pack` itself is `./pack`."
)]
pub(crate) struct Args {
    /// Unpack into DIR; made if it is missing
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,

    /// Print what is in SOURCE, and write nothing
    #[arg(short = 't', long)]
    pub(crate) list: bool,

    /// With --list: types, modes, owners, sizes and times too, as tar -tv --numeric-owner
    #[arg(short = 'v', long, visible_alias = "verbose")]
    pub(crate) long: bool,

    /// Put all layers of an image into DIR itself, one over the other: the image's tree
    #[arg(long)]
    pub(crate) flatten: bool,

    /// Take SOURCE for that, whatever is in it
    #[arg(long = "as", value_name = "WHAT")]
    pub(crate) told: Option<Told>,

    /// Of an image for several machines, the one for OS/ARCH[/VARIANT] [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,

    #[command(flatten)]
    pub(crate) part: PartArgs,

    /// What becomes of whiteouts [default: overlay, or userxattr where that is not permitted]
    #[arg(long, value_name = "FORM")]
    pub(crate) whiteouts: Option<Form>,

    /// Give files the owners the layer names [default as root]
    #[arg(long, overrides_with = "no_same_owner")]
    pub(crate) same_owner: bool,

    /// Files belong to whoever unpacks them [default as another user]
    #[arg(long)]
    pub(crate) no_same_owner: bool,

    #[command(flatten)]
    pub(crate) maps: MapArgs,

    /// Owners, modes and devices are kept in the xattr user.containers.override_stat; xattrs that need privileges are skipped,
    /// with a line each
    #[arg(long)]
    pub(crate) rootless: bool,

    /// What becomes of device nodes [default: fail where they cannot be made]
    #[arg(long, value_name = "WHAT")]
    pub(crate) devices: Option<DeviceNodes>,

    /// Set no extended attributes (whiteouts and --rootless use theirs all the same)
    #[arg(long)]
    pub(crate) no_xattrs: bool,

    /// Let equal files of an image's layers share their blocks [default: off]
    #[arg(long, value_name = "HOW")]
    pub(crate) dedup: Option<Sharing>,

    /// Stop where files would hold more than SIZE altogether (10G, 500M; K, M, G, T are powers of 1024, KB, MB, … of 1000)
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,

    /// Stop where there would be more than N files, of whichever type
    #[arg(long, value_name = "N")]
    pub(crate) max_files: Option<u64>,

    /// Do not wait until the folders of an image are on disk
    #[arg(long)]
    pub(crate) no_sync: bool,

    /// Unpack N layers at a time [default: one a processor]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<usize>,

    /// A NUL behind each path instead of a newline
    #[arg(short = 'z', long)]
    pub(crate) null: bool,

    /// Print a line of JSON for each layer, or with --list for each entry
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

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DeviceNodes {
    /// They are made, or it is an error
    Fail,
    /// They are made, or left out with a line each
    Skip,
    /// They become empty files that say in an xattr what they are
    Record,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Sharing {
    /// Each file has its own
    Off,
    /// Files equal in everything are one file with several names
    Hardlink,
    /// Files of equal content share blocks, where the file system can
    Reflink,
}

/// Why there are no arguments.
pub(crate) enum Stop {
    /// Help or the version was asked for.
    Say(String),
    /// They are wrong.
    Fail(Failure),
}

impl Stop {
    /// Why clap gave no arguments, in our words: `missing` where something that must be there is not.
    pub(crate) fn of(error: &clap::Error, missing: &str, hint: impl fmt::Display) -> Self {
        use clap::error::ErrorKind;
        let message = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Self::Say(error.to_string()),
            ErrorKind::MissingRequiredArgument => missing.to_owned(),
            _ => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                first.strip_prefix("error: ").unwrap_or(first).to_owned()
            }
        };
        Self::Fail(Failure::usage(message).hint(hint))
    }
}

pub(crate) fn parse(mut args: Vec<OsString>) -> Result<Args, Stop> {
    // `-:REF`, an image of standard input, looks like a flag: behind `--` it does not.
    let of_stdin = |a: &OsString| matches!(a.as_encoded_bytes(), [b'-', b':' | b'@', ..]);
    let reference = args.iter().position(of_stdin);
    if let Some(at) = reference.filter(|_| !args.iter().any(|a| a == "--")) {
        let source = args.remove(at);
        args.extend(["--".into(), source]);
    }
    let words: Vec<_> = args.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    let flag = words.iter().filter(|word| word.starts_with('-')).find_map(|word| hint_for_tar(word));
    let as_tar = flag.or_else(|| hint_for_tar(words.first()?));
    let hint = as_tar.unwrap_or("unpack --help lists the options");
    Args::try_parse_from(args).map_err(|error| Stop::of(&error, "nothing to unpack", hint))
}

/// What to say to who types tar's or umoci's first word, if that is what it is.
fn hint_for_tar(word: &str) -> Option<&'static str> {
    let letters = word.strip_prefix('-').unwrap_or(word);
    let bundle = letters.len() > 1 && letters.bytes().all(|b| b"xtczjJvfpa".contains(&b));
    match word {
        "--image" => {
            Some("the image is the last word: unpack -C DIR IMAGE[:REF], or with --flatten for umoci's rootfs")
        }
        "-x" | "--extract" | "--get" | "-f" | "--file" => Some(EXTRACT),
        "-c" | "--create" => Some(CREATE),
        _ if bundle && letters.contains('x') => Some(EXTRACT),
        _ if bundle && letters.contains('c') => Some(CREATE),
        _ if bundle && letters.contains('t') && letters.contains('f') => {
            Some("the archive is the last word, and how it is packed is told by its content: unpack -t ARCHIVE, or -tv")
        }
        _ => None,
    }
}

const EXTRACT: &str =
    "the archive is the last word, and how it is packed is told by its content: unpack -C DIR ARCHIVE";
const CREATE: &str = "unpack pack DIR > LAYER makes a layer of a directory";

#[cfg(test)]
mod tests {
    use super::hint_for_tar;

    #[test]
    fn knows_tars_first_word() {
        for word in ["-xzf", "xzf", "-x", "-xf", "--extract"] {
            assert!(hint_for_tar(word).is_some_and(|h| h.ends_with("unpack -C DIR ARCHIVE")), "{word}");
        }
        for word in ["-czf", "cf", "-c"] {
            assert!(hint_for_tar(word).is_some_and(|h| h.starts_with("unpack pack")), "{word}");
        }
        assert!(hint_for_tar("-tzf").is_some_and(|h| h.contains("unpack -t")));
        for word in ["-t", "-tv", "-C", "-z", "layer.tar", "x", "-"] {
            assert_eq!(hint_for_tar(word), None, "{word}");
        }
    }
}
