//! `ctr image mount` and `ctr image unmount`: an image's tree where the machine sees it, to be read; podman's verbs.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::images::{self, mount};
use serde_json::json;
use std::path::PathBuf;
use store::Image;

/// Options of `ctr image mount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mount all images
    #[arg(short, long)]
    all: bool,
    /// Print the mounted images in specified format (json)
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// The images; without one those that are mounted are listed
    images: Vec<String>,
}

/// Options of `ctr image unmount`.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// Unmount all of the currently mounted images
    #[arg(short, long)]
    all: bool,
    /// Accepted for podman's sake: whoever mounts counts once
    #[arg(short, long)]
    force: bool,
    /// The images
    #[arg(required_unless_present = "all")]
    images: Vec<String>,
}

pub(crate) fn mount(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let names = match args.all {
        true => root.images()?.iter().map(|image| image.id.to_string()).collect(),
        false => args.images,
    };
    if names.is_empty() {
        return list(&mount::all(&root)?, args.format.as_deref());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("cannot mount where the machine sees it without root")
            .hint("ctr save, and unpack, need no mount"));
    }
    let own = context.own()?;
    let mut failed = false;
    for name in &names {
        match mount::mount(&root, &own, name) {
            Ok(path) => drop(super::print(&format!("{}\n", path.display()))?),
            Err(error) => {
                Failure::from(error).report("ctr");
                failed = true;
            }
        }
    }
    Ok(u8::from(failed))
}

fn list(all: &[(Image, PathBuf)], format: Option<&str>) -> Outcome {
    let names = |image: &Image| image.names.iter().map(|(name, _)| name.familiar()).collect::<Vec<_>>();
    if format == Some("json") {
        let one = |(image, at): &(Image, PathBuf)| json!({ "id": image.id.hex(), "Repositories": names(image), "mountpoint": at });
        return super::print(&format!("{}\n", json!(all.iter().map(one).collect::<Vec<_>>())));
    }
    let line = |(image, at): &(Image, PathBuf)| {
        let name = names(image).into_iter().next().unwrap_or_else(|| images::short(&image.id));
        format!("{name} {}\n", at.display())
    };
    super::print(&all.iter().map(line).collect::<String>())
}

pub(crate) fn umount(args: Release, context: &Context) -> Outcome {
    let _ = args.force;
    let root = context.store()?;
    let names = match args.all {
        true => mount::all(&root)?.iter().map(|(image, _)| image.id.to_string()).collect(),
        false => args.images,
    };
    let mut failed = false;
    for name in &names {
        let released =
            root.find_image(name).map_err(Failure::from).and_then(|image| match mount::release(&root, &image.id)? {
                true => Ok(image.id),
                false => Err(Failure::new(format!("image {name} is not mounted"))),
            });
        match released {
            Ok(id) => drop(super::print(&format!("{}\n", id.hex()))?),
            Err(failure) => {
                failure.report("ctr");
                failed = true;
            }
        }
    }
    Ok(u8::from(failed))
}
