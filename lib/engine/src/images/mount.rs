//! An image's tree where the whole machine sees it, to be read: `mounts/<id>` of the state root, from `ctr image mount` until
//! `ctr image unmount`. What is mounted nobody writes down ([`crate::shown`]).
//!
//! Mounting is done under [`Lock::Images`]: several at once mount it once, and nobody removes the image meanwhile.

use crate::Result;
use crate::request::{Programs, Request};
use crate::shown::{self, is_mount_point};
use crate::tools::Tools;
use spec::Digest;
use std::path::{Path, PathBuf};
use store::{Image, Lock, Mode, Root};

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
    let _alone = root.lock(Lock::Images, Mode::Exclusive).map_err(crate::error::store)?;
    let image = super::resolve(root, name).map_err(crate::error::store)?;
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

/// Takes an image's mount away, if there is one; whether there was.
pub fn release(root: &Root, id: &Digest) -> Result<bool> {
    let _alone = root.lock(Lock::Images, Mode::Exclusive).map_err(crate::error::store)?;
    let at = place(root, id);
    if !shown::hide(&at, &named(id))? {
        return Ok(false);
    }
    let _ = std::fs::remove_dir(&at);
    let _ = std::fs::remove_dir(at.with_extension("empty"));
    Ok(true)
}

fn named(id: &Digest) -> String {
    format!("image {id}")
}
