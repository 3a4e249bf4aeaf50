//! What is to be packed and how, checked as far as the command line alone allows.

use super::cli::Args;
use super::time;
use crate::maps::Map;
use crate::plan::jobs;
use cli::Failure;
use layer::archive::Time;
use layer::pack::{DEFAULT_GZIP_LEVEL, DEFAULT_ZSTD_LEVEL, MAX_GZIP_LEVEL, MAX_ZSTD_LEVEL, Packing};
use layer::select::Select;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// A valid command.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) upper: PathBuf,
    pub(super) lower: Option<PathBuf>,
    /// `None`: standard output.
    pub(super) output: Option<PathBuf>,
    pub(super) packing: Packing,
    pub(super) plain: bool,
    pub(super) mtime: Option<Time>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    /// How ids on disk are those of the layer; `None`: they are.
    pub(super) ids: Option<Map>,
    pub(super) rootless: bool,
    pub(super) select: Select,
    pub(super) sparse: bool,
    pub(super) root: bool,
    pub(super) xattrs: bool,
    pub(super) selinux: bool,
    pub(super) trust_times: bool,
    pub(super) sync: bool,
    pub(super) jobs: Option<NonZeroUsize>,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Plan {
    pub(super) fn new(args: Args) -> Result<Self, Failure> {
        let output = args.output.as_ref().filter(|o| *o != "-").map(PathBuf::from);
        if args.upper.as_os_str().is_empty() || output.as_ref().is_some_and(|o| o.as_os_str().is_empty()) {
            return Err(Failure::usage("an empty name"));
        }
        if args.json && output.is_none() {
            return Err(Failure::usage("--json goes to standard output, where the layer goes")
                .hint("write the layer to a file with -o"));
        }
        if args.tree && args.diff.is_some() {
            return Err(
                Failure::usage("--tree and --diff exclude each other").hint("--diff takes both for plain trees")
            );
        }
        if args.trust_times && args.diff.is_none() {
            return Err(Failure::usage("--trust-times is for --diff"));
        }
        for (option, id, map) in [("--owner", args.owner, "--uid-map"), ("--group", args.group, "--gid-map")] {
            if id == Some(u32::MAX) {
                return Err(Failure::usage(format_args!("{option}: 4294967295 is nobody's id")));
            }
            if id.is_some() && args.maps.has(map) {
                return Err(Failure::usage(format_args!("{option} and a map exclude each other")));
            }
        }
        if args.rootless && args.maps.option().is_some() {
            return Err(Failure::usage("--rootless and a map exclude each other"));
        }
        let jobs = jobs(args.jobs)?;
        let mtime = match &args.mtime {
            None => None,
            Some(text) => Some(time::parse(text).ok_or_else(|| {
                Failure::usage(format_args!("--mtime: {text}: not a time"))
                    .hint("@SECONDS since 1970, or YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ")
            })?),
        };
        Ok(Self {
            packing: packing(args.compress.as_deref(), args.output.as_ref(), args.seekable)?,
            ids: args.maps.map()?,
            select: args.part.select()?,
            upper: args.upper,
            lower: args.diff,
            output,
            plain: args.tree,
            mtime,
            owner: args.owner,
            group: args.group,
            rootless: args.rootless,
            sparse: !args.no_sparse,
            root: !args.no_root,
            xattrs: !args.no_xattrs,
            selinux: args.selinux,
            trust_times: args.trust_times,
            sync: !args.no_sync,
            jobs,
            json: args.json,
            quiet: args.quiet,
        })
    }
}

/// How it is packed: as told, else as the file's name says, else gzip.
fn packing(told: Option<&str>, output: Option<&OsString>, seekable: bool) -> Result<Packing, Failure> {
    let name = output.map(|o| o.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let by_name = match () {
        () if seekable || ends(&[".zst", ".zstd", ".tzst"]) => "zstd",
        () if ends(&[".tar"]) => "none",
        () => "gzip",
    };
    let how = told.unwrap_or(by_name);
    let (kind, level) = match how.split_once(':') {
        Some((kind, level)) => (kind, Some(level)),
        None => (how, None),
    };
    let level = |default: u8, most: u8| match level {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|level| (1..=most).contains(level))
            .ok_or_else(|| Failure::usage(format_args!("--compress: {how}: {kind} has levels from 1 to {most}"))),
    };
    let packing = match kind {
        "none" if how == "none" => Packing::None,
        "gzip" => Packing::Gzip(level(DEFAULT_GZIP_LEVEL, MAX_GZIP_LEVEL)?),
        "zstd" => Packing::Zstd { level: level(DEFAULT_ZSTD_LEVEL, MAX_ZSTD_LEVEL)?, seekable },
        _ => {
            return Err(Failure::usage(format_args!("--compress: {how}: not gzip[:LEVEL], zstd[:LEVEL] or none")));
        }
    };
    match packing {
        Packing::Zstd { .. } => Ok(packing),
        _ if seekable => Err(Failure::usage("--seekable is for zstd").hint("--compress zstd --seekable")),
        _ => Ok(packing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Stop;

    fn plan(words: &str) -> Result<Plan, String> {
        let args = ["pack"].into_iter().chain(words.split_whitespace()).map(OsString::from).collect();
        match super::super::cli::parse(args) {
            Ok(args) => Plan::new(args).map_err(|f| f.message),
            Err(Stop::Fail(failure)) => Err(failure.message),
            Err(Stop::Say(_)) => Err(String::new()),
        }
    }

    #[test]
    fn the_packing_is_told_or_goes_by_the_name() {
        let packing = |words: &str| plan(words).unwrap().packing;
        let zstd = |level, seekable| Packing::Zstd { level, seekable };
        for (words, expected) in [
            ("u", Packing::Gzip(6)),
            ("-o - u", Packing::Gzip(6)),
            ("-o a.tar u", Packing::None),
            ("-o a.tar.gz u", Packing::Gzip(6)),
            ("-o a u", Packing::Gzip(6)),
            ("-o A.TAR.ZST u", zstd(3, false)),
            ("-o a.tar -c gzip:12 u", Packing::Gzip(12)),
            ("-c zstd:19 u", zstd(19, false)),
            ("--seekable u", zstd(3, true)),
            ("-c none u", Packing::None),
        ] {
            assert_eq!(packing(words), expected, "{words}");
        }
    }

    #[test]
    fn refuses_in_one_line() {
        for (words, message) in [
            ("", "nothing to pack"),
            ("-c xz u", "--compress: xz: not gzip[:LEVEL], zstd[:LEVEL] or none"),
            ("-c gzip:13 u", "--compress: gzip:13: gzip has levels from 1 to 12"),
            ("-c none:1 u", "--compress: none:1: not gzip[:LEVEL], zstd[:LEVEL] or none"),
            ("-c gzip --seekable u", "--seekable is for zstd"),
            ("--json u", "--json goes to standard output, where the layer goes"),
            ("--tree --diff a u", "--tree and --diff exclude each other"),
            ("--trust-times u", "--trust-times is for --diff"),
            ("-j 0 u", "--jobs: at least 1"),
            ("--mtime noon u", "--mtime: noon: not a time"),
            ("--owner 1 --uid-map 0:1 u", "--owner and a map exclude each other"),
            ("--rootless --idmap auto u", "--rootless and a map exclude each other"),
        ] {
            assert_eq!(plan(words).unwrap_err(), message, "{words}");
        }
    }
}
