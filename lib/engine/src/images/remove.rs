//! Taking an image's name away, and the image with its last one.
//!
//! By name: the name goes; the image too if it was the last. By id: only an image with at most one name, unless forced.
//! A container that uses the image stands in the way of both; force overrides one that has stopped, never one that runs
//! (then the name goes and the image stays without).

use super::{is_host, short};
use crate::events;
use spec::{Digest, Reference};
use std::collections::BTreeMap;
use store::usage::User;
use store::{Error, Image, Kind, Lock, Mode, Result, Root};

/// How long to wait for a load or another removal before leaving the sweep to it.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// What was removed, in docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(String),
    /// An image's id, or a layer's chain id.
    Deleted(String),
}

/// Removes what `text` means. Kinds: [`Kind::NotFound`], [`Kind::InUse`] with docker's texts.
pub fn remove(root: &Root, text: &str, force: bool) -> Result<Vec<Removed>> {
    if is_host(text) {
        return Err(Error::new(Kind::InUse, "", "the image host is built in and cannot be removed"));
    }
    let mut removed = Vec::new();
    let gone = {
        let alone = root.lock(Lock::Images, Mode::Exclusive)?;
        let mut index = root.index()?;
        let name = text.parse::<Reference>().ok().filter(|name| name.digest().is_none());
        let name = name.and_then(|name| Some(store::image::meaning(&index, &name)?.0));
        let image = match (root.find_image_in(&index, text), &name) {
            (Ok(image), _) => Some(image),
            // A name whose image cannot be read any more can be removed all the same.
            (Err(e), Some(_)) if e.kind == Kind::Damaged => None,
            (Err(e), _) => return Err(e),
        };
        let users = match &image {
            Some(image) => root.users()?.into_iter().filter(|u| u.image_id == Some(image.id)).collect(),
            None => Vec::new(),
        };
        let goes = |image: &Image| name.is_none() || image.names.len() <= 1;
        if let Some(image) = image.as_ref().filter(|image| goes(image) && super::mount::is_mounted(root, &image.id)) {
            return Err(Error::new(Kind::InUse, "conflict", "")
                .because(format!("image {} is mounted", short(&image.id)))
                .hint(format!("ctr image unmount {text}")));
        }
        match (&name, &image) {
            (Some(name), image) => {
                let last = image.as_ref().is_none_or(|image| image.names.len() <= 1);
                if let (true, false, Some(image), Some(user)) = (last, force, image, users.first()) {
                    return Err(conflict(format!(
                        "unable to remove repository reference {:?} (must force) - container {} is using its referenced image {}",
                        text,
                        shorten(&user.id),
                        short(&image.id)
                    )));
                }
                let before = index.unname(name);
                removed.push(Removed::Untagged(name.familiar()));
                if let Some(image) = image.as_ref().filter(|_| last) {
                    if users.iter().any(|user| user.running) {
                        before.iter().for_each(|manifest| index.add(manifest));
                    } else {
                        image.manifests.iter().for_each(|manifest| index.drop_manifest(*manifest));
                        removed.push(Removed::Deleted(image.id.to_string()));
                    }
                }
            }
            (None, Some(image)) => {
                may_delete(image, &users, force)?;
                image.names.iter().for_each(|(name, _)| removed.push(Removed::Untagged(name.familiar())));
                image.manifests.iter().for_each(|manifest| index.drop_manifest(*manifest));
                removed.push(Removed::Deleted(image.id.to_string()));
            }
            (None, None) => {}
        }
        let labels = image.as_ref().map(|image| events::labels(root, &image.id)).unwrap_or_default();
        root.write_index(&index, &alone)?;
        if let Some(image) = &image {
            for one in &removed {
                match one {
                    Removed::Untagged(_) => events::image(root, &image.id, &labels, None, "untag"),
                    // docker: its labels went with it
                    Removed::Deleted(_) => events::image(root, &image.id, &BTreeMap::new(), None, "delete"),
                }
            }
        }
        image.map(|image| layers_of(root, &image)).unwrap_or_default()
    };
    let swept = root.sweep(PATIENCE)?.unwrap_or_default();
    let layers = gone.iter().rev().filter(|id| swept.layers.iter().any(|chain| chain.0 == **id));
    removed.extend(layers.map(|id| Removed::Deleted(id.to_string())));
    Ok(removed)
}

/// Whether an image may go that is named by its id.
fn may_delete(image: &Image, users: &[User], force: bool) -> Result<()> {
    let refuse =
        |how: &str, why: String| Err(conflict(format!("unable to delete {} ({how}) - {why}", short(&image.id))));
    if let Some(user) = users.iter().find(|user| user.running) {
        return refuse("cannot be forced", format!("image is being used by running container {}", shorten(&user.id)));
    }
    if force {
        return Ok(());
    }
    if image.names.len() > 1 {
        return refuse("must be forced", "image is referenced in multiple repositories".into());
    }
    match users.first() {
        Some(user) => {
            refuse("must be forced", format!("image is being used by stopped container {}", shorten(&user.id)))
        }
        None => Ok(()),
    }
}

fn conflict(text: String) -> Error {
    Error::new(Kind::InUse, "conflict", "").because(text).hint("ctr ps -a shows what uses it; ctr rmi -f overrides")
}

fn shorten(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The chain ids of an image's layers, lowest first; none if that cannot be told any more.
fn layers_of(root: &Root, image: &Image) -> Vec<Digest> {
    let chain = root.configuration(&image.id).and_then(|c| c.chain_ids());
    chain.map(|ids| ids.into_iter().map(|id| id.0).collect()).unwrap_or_default()
}
