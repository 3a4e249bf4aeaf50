//! What is to be done, checked as far as the command line alone allows.

use crate::cli::{Args, Form, Told};
use cli::Failure;
use layer::extract::Whiteouts;
use layer::probe::What;
use spec::Platform;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// How the result is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A path, and this byte behind it.
    Paths(u8),
    Json,
}

/// A valid command.
#[derive(Debug)]
pub(crate) struct Plan {
    /// A path, a path and `:REF`, or `-`; which of these only the file system knows.
    pub(crate) source: OsString,
    pub(crate) directory: PathBuf,
    pub(crate) told: Option<What>,
    pub(crate) platform: Option<Platform>,
    /// `None`: the overlay's, in the form that is permitted.
    pub(crate) whiteouts: Option<Whiteouts>,
    /// `None`: kept by root only.
    pub(crate) keep_owners: Option<bool>,
    pub(crate) skip_privileged: bool,
    /// `None`: one a processor.
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
}

impl Plan {
    pub(crate) fn new(args: Args) -> Result<Self, Failure> {
        let platform = match args.platform.as_deref().map(str::parse::<Platform>) {
            None => None,
            Some(Ok(platform)) => Some(platform),
            Some(Err(error)) => return Err(Failure::usage(format_args!("--platform: {error}"))),
        };
        let jobs = match args.jobs {
            None => None,
            Some(jobs) => Some(NonZeroUsize::new(jobs).ok_or_else(|| Failure::usage("--jobs: at least 1"))?),
        };
        if args.json && args.null {
            return Err(Failure::usage("--json and --null exclude each other"));
        }
        if args.source.is_empty() {
            return Err(Failure::usage("the name of what to unpack is empty"));
        }
        let told = args.told.map(|told| match told {
            Told::Layer => What::Layer,
            Told::Image => What::Image,
        });
        let whiteouts = args.whiteouts.map(|form| match form {
            Form::Overlay => Whiteouts::Overlay,
            Form::Userxattr => Whiteouts::UserXattr,
            Form::Oci => Whiteouts::Oci,
            Form::Apply => Whiteouts::Apply,
        });
        let keep_owners = match (args.same_owner, args.no_same_owner || args.rootless) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        Ok(Self {
            source: args.source,
            directory: args.directory,
            told,
            platform,
            whiteouts,
            keep_owners,
            skip_privileged: args.rootless,
            jobs,
            output: match (args.json, args.null) {
                (true, _) => Output::Json,
                (false, true) => Output::Paths(0),
                (false, false) => Output::Paths(b'\n'),
            },
            quiet: args.quiet,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        let args = ["unpack"].into_iter().chain(words.split_whitespace()).map(OsString::from).collect();
        match crate::cli::parse(args) {
            Ok(args) => Plan::new(args).map_err(|f| f.message),
            Err(crate::cli::Stop::Fail(failure)) => Err(failure.message),
            Err(crate::cli::Stop::Say(_)) => Err(String::new()),
        }
    }

    #[test]
    fn reads_what_the_contract_lists() {
        let p = plan("-C layers -z --as image --platform linux/arm64 --whiteouts apply -j 3 a.tar:debian:12").unwrap();
        assert_eq!(p.directory, PathBuf::from("layers"));
        assert_eq!(p.output, Output::Paths(0));
        assert_eq!(p.told, Some(What::Image));
        assert_eq!(p.platform.unwrap().architecture, "arm64");
        assert_eq!(p.whiteouts, Some(Whiteouts::Apply));
        assert_eq!(p.source, "a.tar:debian:12");
        assert_eq!(plan("-:debian:12 -C x").unwrap().source, "-:debian:12");
        // The verbs are taken before; so what is called like one has a path.
        assert_eq!(plan("./pack").unwrap().source, "./pack");
        assert_eq!(plan("-").unwrap().directory, PathBuf::from("."));
        assert_eq!(plan("--rootless -").unwrap().keep_owners, Some(false));
        assert_eq!(plan("--rootless --same-owner -").unwrap().keep_owners, Some(true));
    }

    #[test]
    fn refuses_in_one_line() {
        assert_eq!(plan("").unwrap_err(), "nothing to unpack");
        assert_eq!(plan("--frob x").unwrap_err(), "unexpected argument '--frob' found");
        assert_eq!(plan("-j 0 x").unwrap_err(), "--jobs: at least 1");
        assert!(plan("--platform linux x").unwrap_err().starts_with("--platform: not a platform"));
        assert_eq!(plan("--json -z x").unwrap_err(), "--json and --null exclude each other");
    }
}
