//! `ctr mount` and `ctr umount`: a container's merged tree where the machine sees it, on `overlay2/<id>/merged`; podman's verbs.
//!
//! A running container has its own mount of it, which writes; what is mounted for the machine then is a second view that can only be
//! read.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::mounted::{self, Mounted};
use engine::view::Surroundings;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use std::path::{Path, PathBuf};

/// Options of `ctr mount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the mounted containers in specified format (json)
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate output
    #[arg(long, alias = "notruncate")]
    no_trunc: bool,
    /// The containers; without one those that are mounted are listed
    containers: Vec<String>,
}

/// Options of `ctr umount` and `ctr image umount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// Unmount all that are mounted
    #[arg(short, long)]
    all: bool,
    /// Accepted for podman's sake: whoever mounts counts once
    #[arg(short, long)]
    force: bool,
    /// Which
    #[arg(required_unless_present = "all", value_name = "NAME|ID")]
    names: Vec<String>,
}

pub(crate) fn mount(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    if args.containers.is_empty() {
        let json = is_json(args.format.as_deref())?;
        let all = mounted::all(&root)?;
        if json {
            let one = |m: &Mounted| Row {
                id: m.record.id.to_string(),
                names: vec![m.record.name.clone()],
                repositories: None,
                mountpoint: m.at.clone(),
            };
            return in_json(&all.iter().map(one).collect::<Vec<_>>());
        }
        let id = |m: &Mounted| if args.no_trunc { m.record.id.to_string() } else { m.record.id.short().to_owned() };
        return super::print(&table(all.iter().map(|m| (id(m), m.at.as_path()))));
    }
    may_mount("ctr cp and ctr export")?;
    // podman: nothing is mounted where there is one that is not there
    let found = args.containers.iter().map(|name| root.find_container(name)).collect::<Result<Vec<_>, _>>()?;
    let (machine, own) = (context.machine()?, context.own()?);
    let around = Surroundings { root: &root, own: &own, machine: &machine };
    told(found.iter().map(|record| Ok(Some(mounted::mount(&around, record)?.display().to_string()))))
}

pub(crate) fn umount(args: Release, context: &Context) -> Outcome {
    let root = context.store()?;
    let named = |m: Mounted| (m.record.id.to_string(), m.record);
    let found =
        args.found(|name| root.find_container(name), || Ok(mounted::all(&root)?.into_iter().map(named).collect()))?;
    told(found.into_iter().map(|(name, record)| {
        // podman: one that is not mounted is no failure
        mounted::release(&root, &record)?;
        Ok(Some(name))
    }))
}

impl Release {
    /// What is to be unmounted, each with what it is called by: what `find` has for a name, or `all` that are mounted. podman: nothing
    /// is, where there is one that is not there.
    pub(super) fn found<T>(
        self,
        find: impl Fn(&str) -> Result<T, store::Error>,
        all: impl FnOnce() -> Result<Vec<(String, T)>, Failure>,
    ) -> Result<Vec<(String, T)>, Failure> {
        let Self { all: every, force: _, names } = self;
        match (every, names.is_empty()) {
            (true, false) => Err(mixed()),
            (true, true) => all(),
            (false, _) => names.into_iter().map(|name| Ok((name.clone(), find(&name)?))).collect(),
        }
    }
}

/// podman: `--all` with names.
pub(super) fn mixed() -> Failure {
    Failure::new("--all and names exclude each other").hint("--all alone, or the names alone")
}

/// Whether `--format` asks for JSON, the one form there is besides the plain one.
pub(super) fn is_json(format: Option<&str>) -> Result<bool, Failure> {
    match format {
        None | Some("") => Ok(false),
        Some("json" | "{{json .}}") => Ok(true),
        Some(other) => Err(Failure::new(format!("unknown --format argument: {other:?}")).hint("json is known")),
    }
}

/// What is mounted, as podman's JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: String,
    #[serde(rename = "Names")]
    pub(super) names: Vec<String>,
    #[serde(rename = "Repositories", skip_serializing_if = "Option::is_none")]
    pub(super) repositories: Option<Vec<String>>,
    pub(super) mountpoint: PathBuf,
}

/// Prints them as podman does, a blank a level.
pub(super) fn in_json(rows: &[Row]) -> Outcome {
    let mut text = Vec::new();
    let mut to = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    rows.serialize(&mut to).map_err(|e| Failure::new(e.to_string()))?;
    super::print(&(String::from_utf8_lossy(&text).into_owned() + "\n"))
}

/// Refuses where only root may; `instead` needs no mount.
pub(super) fn may_mount(instead: &str) -> Result<(), Failure> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(Failure::new("cannot mount where the machine sees it without root")
            .hint(format!("{instead} need no mount"))),
    }
}

/// What is mounted and where, as podman's columns: two blanks between them, and none narrower than twelve.
pub(super) fn table<'a>(all: impl Iterator<Item = (String, &'a Path)>) -> String {
    let all: Vec<_> = all.collect();
    let width = all.iter().map(|(name, _)| name.chars().count() + 2).max().unwrap_or_default().max(12);
    all.iter().map(|(name, at)| format!("{name:width$}{}\n", at.display())).collect()
}

/// Prints what was done, a line each, and then what failed, which keeps nobody else.
pub(super) fn told(done: impl Iterator<Item = Result<Option<String>, Failure>>) -> Outcome {
    let mut failed = Vec::new();
    for one in done {
        match one {
            Ok(Some(text)) => drop(super::print(&format!("{text}\n"))?),
            Ok(None) => {}
            Err(failure) => failed.push(failure),
        }
    }
    failed.iter().for_each(|failure| failure.report("ctr"));
    Ok(if failed.is_empty() { cli::exit::DONE } else { cli::exit::OURS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_columns() {
        let at = |name: &'static str| (name.to_owned(), Path::new("/at"));
        assert_eq!(table([at("a"), at("0123456789ab")].into_iter()), "a             /at\n0123456789ab  /at\n");
        assert_eq!(table([at("a")].into_iter()), "a           /at\n");
    }

    #[test]
    fn all_or_some() {
        let release =
            |all, names: &[&str]| Release { all, force: false, names: names.iter().map(|n| (*n).to_owned()).collect() };
        let find = |release: Release| {
            release
                .found(|name| Ok(name.len()), || Ok(vec![("mounted".to_owned(), 7)]))
                .map_err(|failure| failure.message)
        };
        assert_eq!(find(release(true, &[])).unwrap(), [("mounted".to_owned(), 7)]);
        assert_eq!(find(release(false, &["ab", "c"])).unwrap(), [("ab".to_owned(), 2), ("c".to_owned(), 1)]);
        assert_eq!(find(release(true, &["ab"])).unwrap_err(), "--all and names exclude each other");
        assert!(is_json(Some("json")).unwrap());
        assert_eq!(is_json(Some("bogus")).unwrap_err().message, "unknown --format argument: \"bogus\"");
    }
}
