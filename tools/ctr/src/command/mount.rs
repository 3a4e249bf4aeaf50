//! `ctr mount` and `ctr umount`: a container's merged tree where the machine sees it, on `overlay2/<id>/merged`; podman's verbs.
//!
//! A running container has its own mount of it, which writes; what is mounted for the machine then is a second view that can only be
//! read.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::mounted::{self, Mounted};
use engine::view::Surroundings;
use serde_json::json;

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

/// Options of `ctr umount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// Umount all of the currently mounted containers
    #[arg(short, long)]
    all: bool,
    /// Accepted for podman's sake: whoever mounts counts once
    #[arg(short, long)]
    force: bool,
    /// The containers
    #[arg(required_unless_present = "all")]
    containers: Vec<String>,
}

pub(crate) fn mount(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    if let Some(other) = args.format.as_deref().filter(|format| !matches!(*format, "" | "json")) {
        return Err(Failure::new(format!("unknown --format argument: {other:?}")).hint("json is known"));
    }
    if args.containers.is_empty() {
        let all = mounted::all(&root)?;
        if args.format.as_deref() == Some("json") {
            let all: Vec<_> = all.iter().map(|m| json!({ "id": m.record.id, "mountpoint": m.at })).collect();
            return super::print(&format!("{}\n", json!(all)));
        }
        let id = |m: &Mounted| if args.no_trunc { m.record.id.to_string() } else { m.record.id.short().to_owned() };
        return super::print(&all.iter().map(|m| format!("{} {}\n", id(m), m.at.display())).collect::<String>());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("cannot mount where the machine sees it without root")
            .hint("ctr cp and ctr export need no mount"));
    }
    let (machine, own) = (context.machine()?, context.own()?);
    let around = Surroundings { root: &root, own: &own, machine: &machine };
    let mut failed = false;
    for name in &args.containers {
        let path = root.find_container(name).map_err(Failure::from);
        match path.and_then(|record| Ok(mounted::mount(&around, &record)?)) {
            Ok(path) => drop(super::print(&format!("{}\n", path.display()))?),
            Err(failure) => {
                failure.report("ctr");
                failed = true;
            }
        }
    }
    Ok(u8::from(failed))
}

pub(crate) fn umount(args: Release, context: &Context) -> Outcome {
    let _ = args.force;
    let root = context.store()?;
    let names = match args.all {
        true => mounted::all(&root)?.iter().map(|m| m.record.id.to_string()).collect(),
        false => args.containers,
    };
    super::each(&names, |name| {
        let record = root.find_container(name)?;
        // podman: one that is not mounted is no failure
        mounted::release(&root, &record)?;
        Ok(())
    })
}
