//! What is to be compared and how, checked as far as the command line alone allows.

use super::cli::Args;
use crate::plan::runs;
use cli::Failure;
use layer::owners::IdMaps;
use layer::select::Select;
use spec::Platform;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Whose the files should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// The layer's, for root or where they are recorded; else anybody's.
    Default,
    Named,
    Any,
    Map(IdMaps),
    /// The map of the caller's ranges of subordinate ids.
    MapOfUser,
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
        let platform = match args.platform.as_deref().map(str::parse::<Platform>) {
            None => None,
            Some(Ok(platform)) => Some(platform),
            Some(Err(error)) => return Err(Failure::usage(format_args!("--platform: {error}"))),
        };
        let patterns = |of: &[OsString]| of.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
        Ok(Self {
            owners: owners(&args)?,
            select: Select::new(&patterns(&args.include), &patterns(&args.exclude)),
            directory: args.directory,
            source: args.source,
            platform,
            times: !args.no_times,
            xattrs: !args.no_xattrs,
            applied: args.applied,
            json: args.json,
            quiet: args.quiet,
        })
    }
}

fn owners(args: &Args) -> Result<Owners, Failure> {
    let count = args.uid_map.len() + args.gid_map.len() + args.idmap.len();
    match (count, args.same_owner, args.no_same_owner) {
        (0, true, _) => Ok(Owners::Named),
        (0, false, true) => Ok(Owners::Any),
        (0, false, false) => Ok(Owners::Default),
        (_, true, _) | (_, _, true) => {
            Err(Failure::usage("a map and --same-owner or --no-same-owner exclude each other"))
        }
        (1, ..) if args.idmap.first().is_some_and(|text| text == "auto") => Ok(Owners::MapOfUser),
        _ => {
            let uids = runs("--uid-map", &args.uid_map, &args.idmap)?;
            let gids = runs("--gid-map", &args.gid_map, &args.idmap)?;
            Ok(Owners::Map(IdMaps { uids, gids }))
        }
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
        assert_eq!(plan("--idmap auto d l").unwrap().owners, Owners::MapOfUser);
        assert_eq!(plan("--same-owner d -").unwrap().owners, Owners::Named);
        for (words, message) in [
            ("d", "what to compare is DIR and a layer"),
            ("--frob d l", "unexpected argument '--frob' found"),
            ("--no-same-owner --idmap 0:1 d l", "a map and --same-owner or --no-same-owner exclude each other"),
        ] {
            assert_eq!(plan(words).unwrap_err(), message, "{words}");
        }
    }
}
