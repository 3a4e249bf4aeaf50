//! Trees mounted where the whole machine sees them: containers' ([`crate::mounted`]) and images' ([`crate::images::mount`]).
//!
//! What is mounted is asked of the kernel, never written down, so that after a reboot nothing is mounted and nothing says so.

use crate::request::Request;
use crate::text::Text;
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result, execute, plan, view};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use store::Root;

/// Whether something is mounted on `path`: it is on another file system than the folder it is in. One whose server died is mounted
/// too, and answers nothing else.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|meta| meta.dev());
    match (device(path), path.parent().map(device)) {
        (Ok(here), Some(Ok(above))) => here != above,
        (Err(e), _) => e.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()),
        _ => false,
    }
}

/// Whether something is mounted on `at` that can be used; what is dead is taken away. `what` is what is shown there.
pub(crate) fn stands(at: &Path, what: &str) -> Result<bool> {
    // What a dead one knew of its root the kernel may remember; this it has to ask for.
    if rustix::fs::statvfs(at).is_err_and(|e| e == Errno::NOTCONN) {
        hide(at, what)?;
    }
    Ok(is_mount_point(at))
}

/// Lays `layers` (lowest first) over each other on the folder `at`, which is made, to be read only.
pub(crate) fn show(root: &Root, tools: &Tools, request: &Request, layers: &[PathBuf], at: &Path) -> Result<()> {
    std::fs::create_dir_all(at).map_err(|e| crate::error::system("make", at.display(), e))?;
    let command = plan::read_only(request, layers, Text::plain(&at.to_string_lossy()));
    execute::run(view::ready(tools, &command, root), &tools.name(Tool::OvlMount)).map(drop)
}

/// Takes what is mounted on `at` away, if something is; whether there was. `what` is what is shown there.
pub(crate) fn hide(at: &Path, what: &str) -> Result<bool> {
    if !is_mount_point(at) {
        return Ok(false);
    }
    execute::unmount(at).map_err(|e| Error::new(Kind::Conflict, "", format!("{what} cannot be unmounted: {e}")))?;
    Ok(true)
}
