//! A container's merged tree where the whole machine sees it: `overlay2/<id>/merged`, from `ctr mount` until `ctr umount`.
//!
//! What is mounted nobody writes down ([`crate::shown`]). An upper that a running container writes to must not be in a second mount
//! that writes: of such a container the upper is the uppermost of layers that are only read, and one that is mounted to be written
//! to is not started.

use crate::Result;
use crate::life::{self, Asked};
use crate::shown::{self, is_mount_point};
use crate::tools::Tools;
use crate::view::{self, Surroundings};
use std::path::PathBuf;
use store::{Record, Root};

/// A container whose tree is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// Which.
    pub record: Record,
    /// Where.
    pub at: PathBuf,
}

/// Where it is mounted, if it is.
pub(crate) fn place(root: &Root, record: &Record) -> PathBuf {
    root.container_layer(&record.id).join("merged")
}

/// Whether the container's tree is mounted where it can be written to: its upper must not be in another mount that writes.
pub fn is_writable(root: &Root, record: &Record) -> bool {
    use rustix::fs::StatVfsMountFlags;
    let at = place(root, record);
    // One that does not answer, since its server died, writes nothing either.
    let writes = || rustix::fs::statvfs(&at).is_ok_and(|fs| !fs.f_flag.contains(StatVfsMountFlags::RDONLY));
    is_mount_point(&at) && writes()
}

/// The same; one whose server died is taken away.
pub(crate) fn stands_writable(root: &Root, record: &Record) -> Result<bool> {
    Ok(shown::stands(&place(root, record), &named(record))? && is_writable(root, record))
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
    if shown::stands(&at, &named(record))? {
        return Ok(at);
    }
    let asked = Asked::of(record)?;
    let tools = Tools::new(&asked.request.programs, around.own.to_owned());
    let live = life::is_live(&around.root.container_state(&record.id).map_err(crate::error::store)?);
    if !live {
        view::run_mount(around, record, &asked, &tools, &at)?;
        return Ok(at);
    }
    let upper = around.root.container_layer(&record.id).join("diff");
    let layers: Vec<PathBuf> = record.layers.iter().cloned().chain([upper]).collect();
    shown::show(around.root, &tools, &asked.request, &layers, &at)?;
    Ok(at)
}

/// Takes the mount away, if there is one; whether there was.
pub fn release(root: &Root, record: &Record) -> Result<bool> {
    shown::hide(&place(root, record), &named(record))
}

fn named(record: &Record) -> String {
    format!("container {}", record.name)
}
