//! An image's tree where the whole machine sees it, to be read: `mounts/<id>` of the state root, from `ctr image mount` until
//! `ctr image unmount`. What is mounted nobody writes down ([`crate::shown`]).
//!
//! Mounting is done under [`Lock::Mounts`]: several at once mount it once. [`Lock::Images`] is shared meanwhile, so that nobody removes
//! the image and whoever only uses one does not wait. `mounts` is closed to others, as an image's setuid programs are nothing that other
//! users of the machine should reach.

use crate::Result;
use crate::request::{Programs, Request};
use crate::shown::{self, is_mount_point};
use crate::tools::Tools;
use spec::Digest;
use std::path::{Path, PathBuf};
use store::{Image, Kind, Lock, Mode, Root};

/// Where an image's tree is mounted, if it is.
pub fn place(root: &Root, id: &Digest) -> PathBuf {
    root.path().join("mounts").join(id.hex())
}

/// Whether it is.
pub fn is_mounted(root: &Root, id: &Digest) -> bool {
    is_mount_point(&place(root, id))
}

/// All that are mounted, and where.
pub fn all(root: &Root) -> Result<Vec<(Image, PathBuf)>> {
    let images = root.images().map_err(crate::error::store)?.into_iter();
    let all = images.map(|image| (place(root, &image.id), image)).map(|(at, image)| (image, at));
    Ok(all.filter(|(_, at)| is_mount_point(at)).collect())
}

/// Mounts an image's tree, unless it is, and tells where.
pub fn mount(root: &Root, own: &Path, name: &str) -> Result<PathBuf> {
    let _stays = root.lock(Lock::Images, Mode::Shared).map_err(crate::error::store)?;
    let image = super::resolve(root, name).map_err(crate::error::store)?;
    root.closed_folder("mounts").map_err(crate::error::store)?;
    let _alone = root.lock(Lock::Mounts, Mode::Exclusive).map_err(crate::error::store)?;
    let at = place(root, &image.id);
    if shown::stands(&at, &named(&image.id))? {
        return Ok(at);
    }
    let tools = Tools::new(&Programs::default(), own.to_owned());
    // the kernel wants two layers where nothing is written
    let empty = at.with_extension("empty");
    let mut layers = image.layers.clone();
    if layers.len() < 2 {
        std::fs::create_dir_all(&empty).map_err(|e| crate::error::system("make", empty.display(), e))?;
        layers.push(empty);
    }
    shown::show(root, &tools, &Request::default(), &layers, &at)?;
    Ok(at)
}

/// Takes an image's mount away, if there is one; whether there was. What a mount that was killed left goes too.
pub fn release(root: &Root, id: &Digest) -> Result<bool> {
    let _alone = match root.lock(Lock::Mounts, Mode::Exclusive) {
        Err(e) if e.kind == Kind::NotFound => return Ok(false),
        other => other.map_err(crate::error::store)?,
    };
    let at = place(root, id);
    let was = shown::hide(&at, &named(id))?;
    let _ = std::fs::remove_dir(&at);
    let _ = std::fs::remove_dir(at.with_extension("empty"));
    Ok(was)
}

fn named(id: &Digest) -> String {
    format!("image {id}")
}
