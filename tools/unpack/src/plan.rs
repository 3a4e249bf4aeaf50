//! What is to be done, checked as far as the command line alone allows.

mod size;

use crate::cli::{Args, DeviceNodes, Form, Sharing, Told};
use crate::maps::Map;
use cli::Failure;
use layer::extract::{Dedup, Devices, Limits, Whiteouts};
use layer::probe::What;
use layer::select::Select;
use spec::Platform;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// A valid command.
#[derive(Debug)]
pub(crate) struct Plan {
    /// A path, a path and `:REF`, or `-`; which of these only the file system knows.
    pub(crate) source: OsString,
    pub(crate) told: Option<What>,
    pub(crate) platform: Option<Platform>,
    pub(crate) select: Select,
    pub(crate) quiet: bool,
    pub(crate) action: Action,
}

/// What becomes of it.
#[derive(Debug)]
pub(crate) enum Action {
    List(Style),
    Unpack(Box<Unpack>),
}

/// How entries are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Names, and this byte behind each: escaped where that is a newline.
    Names(u8),
    /// As `tar -tv`.
    Long,
    Json,
}

/// How it is unpacked.
#[derive(Debug)]
pub(crate) struct Unpack {
    pub(crate) directory: PathBuf,
    /// `None`: the overlay's, in the form that is permitted.
    pub(crate) whiteouts: Option<Whiteouts>,
    pub(crate) flatten: bool,
    pub(crate) owners: Owners,
    pub(crate) devices: Devices,
    pub(crate) skip_privileged: bool,
    pub(crate) no_xattrs: bool,
    pub(crate) dedup: Dedup,
    pub(crate) limits: Limits,
    pub(crate) sync: bool,
    /// `None`: one a processor.
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) output: Output,
}

/// Whose the files become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owners {
    /// The layer's for root, else the caller's.
    Default,
    Keep,
    Caller,
    Record,
    Map(Map),
}

/// How the result is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A path, and this byte behind it.
    Paths(u8),
    Json,
}

impl Plan {
    pub(crate) fn new(args: Args) -> Result<Self, Failure> {
        let platform = platform(args.platform.as_deref())?;
        if args.json && args.null {
            return Err(excludes("--json", "--null"));
        }
        if args.source.is_empty() {
            return Err(Failure::usage("the name of what to unpack is empty"));
        }
        let told = args.told.map(|told| match told {
            Told::Layer => What::Layer,
            Told::Image => What::Image,
        });
        let select = args.part.select()?;
        let (source, quiet) = (args.source.clone(), args.quiet);
        let action = if args.list { Action::List(style(&args)?) } else { Action::Unpack(Box::new(unpack(args)?)) };
        Ok(Self { source, told, platform, select, quiet, action })
    }
}

/// The value of `--platform`.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    let parsed = text.map(str::parse::<Platform>).transpose();
    parsed.map_err(|error| Failure::usage(format_args!("--platform: {error}")))
}

/// The value of `--jobs`.
pub(crate) fn jobs(number: Option<usize>) -> Result<Option<NonZeroUsize>, Failure> {
    let at_least_one = |jobs| NonZeroUsize::new(jobs).ok_or_else(|| Failure::usage("--jobs: at least 1"));
    number.map(at_least_one).transpose()
}

pub(crate) fn excludes(one: &str, other: &str) -> Failure {
    Failure::usage(format_args!("{one} and {other} exclude each other"))
}

fn style(args: &Args) -> Result<Style, Failure> {
    for (set, option) in [
        (args.flatten, "--flatten"),
        (args.whiteouts.is_some(), "--whiteouts"),
        (args.same_owner, "--same-owner"),
        (args.no_same_owner, "--no-same-owner"),
        (args.maps.has("--uid-map"), "--uid-map"),
        (args.maps.has("--gid-map"), "--gid-map"),
        (args.maps.has("--idmap"), "--idmap"),
        (args.rootless, "--rootless"),
        (args.devices.is_some(), "--devices"),
        (args.no_xattrs, "--no-xattrs"),
        (args.dedup.is_some(), "--dedup"),
        (args.max_size.is_some(), "--max-size"),
        (args.max_files.is_some(), "--max-files"),
        (args.no_sync, "--no-sync"),
        (args.jobs.is_some(), "--jobs"),
    ] {
        if set {
            return Err(Failure::usage(format_args!("{option} says how to write, and --list writes nothing")));
        }
    }
    match (args.long, args.json, args.null) {
        (true, true, _) => Err(excludes("--long", "--json")),
        (true, _, true) => Err(excludes("--long", "--null")),
        (true, ..) => Ok(Style::Long),
        (_, true, _) => Ok(Style::Json),
        (.., true) => Ok(Style::Names(0)),
        _ => Ok(Style::Names(b'\n')),
    }
}

fn unpack(args: Args) -> Result<Unpack, Failure> {
    if args.long {
        return Err(Failure::usage("--long goes with --list"));
    }
    let jobs = jobs(args.jobs)?;
    let whiteouts = args.whiteouts.map(|form| match form {
        Form::Overlay => Whiteouts::Overlay,
        Form::Userxattr => Whiteouts::UserXattr,
        Form::Oci => Whiteouts::Oci,
        Form::Apply => Whiteouts::Apply,
    });
    if args.flatten && whiteouts.is_some_and(|form| form != Whiteouts::Apply) {
        return Err(Failure::usage("--flatten carries whiteouts out; --whiteouts has no say there"));
    }
    let bytes = match &args.max_size {
        None => None,
        Some(text) => Some(size::parse(text).ok_or_else(|| {
            Failure::usage(format_args!("--max-size: {text}: not a size")).hint("as in 500M, 10G, 1.5T, 1000000")
        })?),
    };
    Ok(Unpack {
        whiteouts,
        flatten: args.flatten,
        devices: match args.devices {
            Some(DeviceNodes::Fail) => Devices::Fail,
            Some(DeviceNodes::Skip) => Devices::Skip,
            Some(DeviceNodes::Record) => Devices::Record,
            None if args.rootless => Devices::Record,
            None => Devices::Fail,
        },
        skip_privileged: args.rootless,
        no_xattrs: args.no_xattrs,
        dedup: match args.dedup {
            None | Some(Sharing::Off) => Dedup::Off,
            Some(Sharing::Hardlink) => Dedup::Hardlink,
            Some(Sharing::Reflink) => Dedup::Reflink,
        },
        limits: Limits { bytes, files: args.max_files },
        sync: !args.no_sync,
        jobs,
        output: match (args.json, args.null) {
            (true, _) => Output::Json,
            (false, true) => Output::Paths(0),
            (false, false) => Output::Paths(b'\n'),
        },
        owners: owners(&args)?,
        directory: args.directory,
    })
}

fn owners(args: &Args) -> Result<Owners, Failure> {
    let told = [
        ("--same-owner", args.same_owner),
        ("--no-same-owner", args.no_same_owner),
        ("--rootless", args.rootless && !args.same_owner && !args.no_same_owner),
    ];
    let told = told.iter().find(|(_, set)| *set).map(|(option, _)| *option);
    match (args.maps.option(), told) {
        (Some(map), Some(told)) => Err(excludes(map, told)),
        (None, Some("--same-owner")) => Ok(Owners::Keep),
        (None, Some("--no-same-owner")) => Ok(Owners::Caller),
        (None, Some(_)) => Ok(Owners::Record),
        (_, None) => Ok(args.maps.map()?.map_or(Owners::Default, Owners::Map)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use layer::owners::{IdMaps, Run};

    fn plan(words: &str) -> Result<Plan, String> {
        let args = ["unpack"].into_iter().chain(words.split_whitespace()).map(OsString::from).collect();
        match crate::cli::parse(args) {
            Ok(args) => Plan::new(args).map_err(|f| f.message),
            Err(crate::cli::Stop::Fail(failure)) => Err(failure.message),
            Err(crate::cli::Stop::Say(_)) => Err(String::new()),
        }
    }

    fn unpack(words: &str) -> Unpack {
        match plan(words).unwrap().action {
            Action::Unpack(unpack) => *unpack,
            Action::List(style) => panic!("{style:?}"),
        }
    }

    #[test]
    fn reads_what_the_contract_lists() {
        let p = plan("-C layers -z --as image --platform linux/arm64 --whiteouts apply -j 3 a.tar:debian:12").unwrap();
        assert_eq!(p.told, Some(What::Image));
        assert_eq!(p.platform.unwrap().architecture, "arm64");
        assert_eq!(p.source, "a.tar:debian:12");
        let Action::Unpack(u) = p.action else { panic!("unpacks") };
        assert_eq!(u.directory, PathBuf::from("layers"));
        assert_eq!(u.output, Output::Paths(0));
        assert_eq!(u.whiteouts, Some(Whiteouts::Apply));
        assert_eq!(plan("-:debian:12 -C x").unwrap().source, "-:debian:12");
        // The verbs are taken before; so what is called like one has a path.
        assert_eq!(plan("./pack").unwrap().source, "./pack");
        assert_eq!(unpack("-").directory, PathBuf::from("."));
    }

    #[test]
    fn reads_whose_the_files_become() {
        assert_eq!(unpack("-").owners, Owners::Default);
        assert_eq!(unpack("--rootless -").owners, Owners::Record);
        assert_eq!(unpack("--rootless -").devices, Devices::Record);
        assert_eq!(unpack("--rootless --devices skip -").devices, Devices::Skip);
        assert_eq!(unpack("--rootless --same-owner -").owners, Owners::Keep);
        assert_eq!(unpack("--rootless --no-same-owner -").owners, Owners::Caller);
        let run = |container, host, count| Run { container, host, count };
        let uids = vec![run(0, 1000, 1), run(1, 100_000, 9)];
        assert_eq!(
            unpack("--uid-map 0:1000 --uid-map 1:100000:9 --gid-map 0:5 -").owners,
            Owners::Map(Map::Of(IdMaps { uids, gids: vec![run(0, 5, 1)] }))
        );
        let both = vec![run(0, 100_000, 65536)];
        let both = Map::Of(IdMaps { uids: both.clone(), gids: both });
        assert_eq!(unpack("--idmap 0:100000:65536 -").owners, Owners::Map(both));
        assert_eq!(unpack("--idmap auto -").owners, Owners::Map(Map::OfUser));
        for (words, message) in [
            ("--idmap auto --uid-map 0:1 x", "--idmap auto is a whole map; it takes no other beside it"),
            ("--idmap 0:1 --rootless x", "--idmap and --rootless exclude each other"),
            ("--gid-map 0:1 --no-same-owner x", "--gid-map and --no-same-owner exclude each other"),
            ("--uid-map 0:1 --idmap 0:7 x", "--uid-map: 0:1:1 and 0:7:1 give one id twice"),
        ] {
            assert_eq!(plan(words).unwrap_err(), message, "{words}");
        }
        assert!(plan("--uid-map 0 x").unwrap_err().starts_with("--uid-map: 0: not "));
    }

    #[test]
    fn reads_limits() {
        let limits = unpack("--max-size 1.5G --max-files 10 -").limits;
        assert_eq!(limits, Limits { bytes: Some(3 << 29), files: Some(10) });
        assert_eq!(plan("--max-size 10X -").unwrap_err(), "--max-size: 10X: not a size");
    }

    #[test]
    fn reads_how_to_list() {
        let style = |words: &str| match plan(words).unwrap().action {
            Action::List(style) => style,
            Action::Unpack(unpack) => panic!("{unpack:?}"),
        };
        assert_eq!(style("-t x"), Style::Names(b'\n'));
        assert_eq!(style("-tv x"), Style::Long);
        assert_eq!(style("-tz x"), Style::Names(0));
        assert_eq!(style("--list --json x"), Style::Json);
        assert_eq!(plan("-v x").unwrap_err(), "--long goes with --list");
        assert_eq!(plan("-tv --json x").unwrap_err(), "--long and --json exclude each other");
        assert_eq!(plan("-t --flatten x").unwrap_err(), "--flatten says how to write, and --list writes nothing");
    }

    #[test]
    fn refuses_in_one_line() {
        assert_eq!(plan("").unwrap_err(), "nothing to unpack");
        assert_eq!(plan("--frob x").unwrap_err(), "unexpected argument '--frob' found");
        assert_eq!(plan("-j 0 x").unwrap_err(), "--jobs: at least 1");
        assert!(plan("--platform linux x").unwrap_err().starts_with("--platform: not a platform"));
        assert_eq!(plan("--json -z x").unwrap_err(), "--json and --null exclude each other");
        assert_eq!(
            plan("--flatten --whiteouts oci x").unwrap_err(),
            "--flatten carries whiteouts out; --whiteouts has no say there"
        );
    }
}
