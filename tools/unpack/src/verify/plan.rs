//! What is to be compared and how, checked as far as the command line alone allows.

use super::cli::Args;
use crate::maps::Map;
use crate::plan::platform;
use cli::Failure;
use layer::select::Select;
use spec::Platform;
use std::ffi::OsString;
use std::path::PathBuf;

/// Whose the files should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// The layer's, for root or where they are recorded; else anybody's.
    Default,
    Named,
    Any,
    Map(Map),
}

/// A valid command.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) directory: PathBuf,
    pub(super) source: OsString,
    pub(super) platform: Option<Platform>,
    pub(super) owners: Owners,
    pub(super) times: bool,
    pub(super) xattrs: bool,
    pub(super) applied: bool,
    pub(super) select: Select,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Plan {
    pub(super) fn new(args: Args) -> Result<Self, Failure> {
        if args.directory.as_os_str().is_empty() || args.source.is_empty() {
            return Err(Failure::usage("an empty name"));
        }
        Ok(Self {
            owners: owners(&args)?,
            select: args.part.select()?,
            platform: platform(args.platform.as_deref())?,
            directory: args.directory,
            source: args.source,
            times: !args.no_times,
            xattrs: !args.no_xattrs,
            applied: args.applied,
            json: args.json,
            quiet: args.quiet,
        })
    }
}

fn owners(args: &Args) -> Result<Owners, Failure> {
    match (args.maps.map()?, args.same_owner, args.no_same_owner) {
        (None, true, _) => Ok(Owners::Named),
        (None, false, true) => Ok(Owners::Any),
        (None, false, false) => Ok(Owners::Default),
        (Some(map), false, false) => Ok(Owners::Map(map)),
        (Some(_), ..) => Err(Failure::usage("a map and --same-owner or --no-same-owner exclude each other")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Stop;

    fn plan(words: &str) -> Result<Plan, String> {
        let args = ["verify"].into_iter().chain(words.split_whitespace()).map(OsString::from).collect();
        match super::super::cli::parse(args) {
            Ok(args) => Plan::new(args).map_err(|f| f.message),
            Err(Stop::Fail(failure)) => Err(failure.message),
            Err(Stop::Say(_)) => Err(String::new()),
        }
    }

    #[test]
    fn reads_what_it_should_and_refuses_in_one_line() {
        let p = plan("--applied --no-times --platform linux/arm64 d img:t").unwrap();
        assert!(p.applied && !p.times && p.xattrs && p.owners == Owners::Default);
        assert_eq!((p.directory, p.source), ("d".into(), "img:t".into()));
        assert_eq!(plan("--idmap auto d l").unwrap().owners, Owners::Map(Map::OfUser));
        assert_eq!(plan("--same-owner d -").unwrap().owners, Owners::Named);
        for (words, message) in [
            ("d", "what to compare is DIR and a layer"),
            ("--frob d l", "unexpected argument '--frob' found"),
            ("--idmap auto --uid-map 0:1 d l", "--idmap auto is a whole map; it takes no other beside it"),
            ("--no-same-owner --idmap 0:1 d l", "a map and --same-owner or --no-same-owner exclude each other"),
        ] {
            assert_eq!(plan(words).unwrap_err(), message, "{words}");
        }
    }
}
