//! A container's merged tree where the whole machine sees it: `overlay2/<id>/merged`, from `ctr mount` until `ctr umount`.
//!
//! What is mounted is found in the mount table, never written down, so that after a reboot nothing is mounted and nothing says so. An
//! upper that a running container writes to must not be in a second mount that writes: of such a container the upper is
//! the uppermost of layers that are only read, and one that is mounted to be written to is not started.

use crate::life::{self, Asked};
use crate::plan;
use crate::request::Programs;
use crate::text::Text;
use crate::tools::{Tool, Tools};
use crate::view::{self, Surroundings};
use crate::{Error, Kind, Result, execute};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use store::{Record, Root};

/// A container whose tree is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// Which.
    pub record: Record,
    /// Where.
    pub at: PathBuf,
}

fn place(root: &Root, record: &Record) -> PathBuf {
    root.container_layer(&record.id).join("merged")
}

/// Whether something is mounted on `path`: it is on another file system than the folder it is in.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|meta| meta.dev()).ok();
    match (device(path), path.parent().and_then(device)) {
        (Some(here), Some(above)) => here != above,
        _ => false,
    }
}

/// Whether the container's tree is mounted where it can be written to: its upper must not be in another mount that writes.
pub fn is_writable(root: &Root, record: &Record) -> bool {
    use rustix::fs::StatVfsMountFlags;
    let at = place(root, record);
    let read_only = || rustix::fs::statvfs(&at).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY));
    is_mount_point(&at) && !read_only()
}

/// All that are mounted.
pub fn all(root: &Root) -> Result<Vec<Mounted>> {
    let records = root.containers().map_err(crate::error::store)?.into_iter();
    let all = records.map(|record| Mounted { at: place(root, &record), record });
    Ok(all.filter(|mounted| is_mount_point(&mounted.at)).collect())
}

/// Mounts the container's tree, unless it is, and tells where.
pub fn mount(around: &Surroundings<'_>, record: &Record) -> Result<PathBuf> {
    let at = place(around.root, record);
    let _alone = around.root.lock_container(&record.id).map_err(crate::error::store)?;
    if is_mount_point(&at) {
        return Ok(at);
    }
    let asked = Asked::of(record)?;
    let tools = Tools::new(&asked.request.programs, around.own.to_owned());
    let live = life::is_live(&around.root.container_state(&record.id).map_err(crate::error::store)?);
    if !live {
        view::run_mount(around, record, &asked, &tools, &at)?;
        return Ok(at);
    }
    std::fs::create_dir_all(&at).map_err(|e| crate::error::system("make", at.display(), e))?;
    let upper = around.root.container_layer(&record.id).join("diff");
    let layers: Vec<PathBuf> = record.layers.iter().cloned().chain([upper]).collect();
    let command = plan::read_only(&asked.request, &layers, Text::plain(&at.to_string_lossy()));
    execute::run(view::ready(&tools, &command, around.root), &tools.name(Tool::OvlMount))?;
    Ok(at)
}

/// Takes the mount away, if there is one; whether there was.
pub fn release(root: &Root, record: &Record) -> Result<bool> {
    let at = place(root, record);
    if !is_mount_point(&at) {
        return Ok(false);
    }
    let tools = Tools::new(&Programs::default(), PathBuf::new());
    let mut umount = tools.command(Tool::Umount);
    umount.arg(&at);
    execute::run(umount, "umount")
        .map_err(|e| Error::new(Kind::Conflict, "", format!("container {} cannot be unmounted: {e}", record.name)))?;
    Ok(true)
}
