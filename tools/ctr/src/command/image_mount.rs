//! `ctr image mount` and `ctr image unmount`: an image's tree where the machine sees it, to be read; podman's verbs.

use super::Context;
use super::mount::{Release, Row, in_json, is_json, may_mount, mixed, table, told};
use cli::failure::Outcome;
use engine::images::mount;
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

pub(crate) fn mount(args: Args, context: &Context) -> Outcome {
    let json = is_json(args.format.as_deref())?;
    if args.all && !args.images.is_empty() {
        return Err(mixed());
    }
    let root = context.store()?;
    let all = match args.all {
        true => root.images()?,
        // podman: nothing is mounted where there is one that is not there
        false => args.images.iter().map(|name| root.find_image(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let mounted = if args.all || !all.is_empty() {
        may_mount("ctr save, and unpack,")?;
        let own = context.own()?;
        let one = |image: Image| Ok((mount::mount(&root, &own, &image.id.to_string())?, image));
        all.into_iter().map(one).collect::<engine::Result<Vec<_>>>()?
    } else {
        mount::all(&root)?.into_iter().map(|(image, at)| (at, image)).collect()
    };
    if json {
        return in_json(&mounted.iter().map(row).collect::<Vec<_>>());
    }
    match (&mounted[..], args.images.len()) {
        // what a script asks for
        ([(at, _)], 1) => super::print(&format!("{}\n", at.display())),
        (all, _) => super::print(&table(all.iter().map(|(at, image)| (name(image), at.as_path())))),
    }
}

fn names(image: &Image) -> Vec<String> {
    image.names.iter().map(|(name, _)| name.familiar()).collect()
}

/// Its first name, or its id.
fn name(image: &Image) -> String {
    names(image).into_iter().next().unwrap_or_else(|| image.id.hex().to_owned())
}

fn row((at, image): &(PathBuf, Image)) -> Row {
    Row {
        id: image.id.hex().to_owned(),
        names: image.manifests.first().map(ToString::to_string).into_iter().collect(),
        repositories: Some(names(image)),
        mountpoint: at.clone(),
    }
}

pub(crate) fn umount(args: Release, context: &Context) -> Outcome {
    let root = context.store()?;
    let named = |(image, _): (Image, PathBuf)| (image.id.to_string(), image);
    let found = args.found(|name| root.find_image(name), || Ok(mount::all(&root)?.into_iter().map(named).collect()))?;
    // podman: one that is not mounted is passed over
    told(found.into_iter().map(|(_, image)| Ok(mount::release(&root, &image.id)?.then(|| image.id.hex().to_owned()))))
}
