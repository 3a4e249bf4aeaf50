//! An image's tree where the whole machine sees it, to be read: `mounts/<id>` of the state root, from `ctr image mount` until
//! `ctr image unmount`.
//!
//! As for containers ([`crate::mounted`]) what is mounted is found in the mount table, never written down.

use crate::mounted::is_mount_point;
use crate::request::{Programs, Request};
use crate::text::Text;
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result, execute, plan, view};
use spec::Digest;
use std::path::{Path, PathBuf};
use store::{Image, Root};

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
    let image = super::resolve(root, name).map_err(crate::error::store)?;
    let at = place(root, &image.id);
    if is_mount_point(&at) {
        return Ok(at);
    }
    std::fs::create_dir_all(&at).map_err(|e| crate::error::system("make", at.display(), e))?;
    let tools = Tools::new(&Programs::default(), own.to_owned());
    // the kernel wants two layers where nothing is written
    let empty = at.with_extension("empty");
    let mut layers = image.layers.clone();
    if layers.len() < 2 {
        std::fs::create_dir_all(&empty).map_err(|e| crate::error::system("make", empty.display(), e))?;
        layers.push(empty);
    }
    let command = plan::read_only(&Request::default(), &layers, Text::plain(&at.to_string_lossy()));
    execute::run(view::ready(&tools, &command, root), &tools.name(Tool::OvlMount))?;
    Ok(at)
}

/// Takes an image's mount away, if there is one; whether there was.
pub fn release(root: &Root, id: &Digest) -> Result<bool> {
    let at = place(root, id);
    if !is_mount_point(&at) {
        return Ok(false);
    }
    let tools = Tools::new(&Programs::default(), PathBuf::new());
    let mut umount = tools.command(Tool::Umount);
    umount.arg(&at);
    execute::run(umount, "umount")
        .map_err(|e| Error::new(Kind::Conflict, "", format!("image {id} cannot be unmounted: {e}")))?;
    let _ = std::fs::remove_dir(&at);
    let _ = std::fs::remove_dir(at.with_extension("empty"));
    Ok(true)
}
