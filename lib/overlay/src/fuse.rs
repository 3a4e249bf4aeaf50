//! The kernel's requests, decoded, handed to the [`Stack`], answered: no union rule lives here.
//!
//! What is asked of the kernel and why: attributes, names and their absence are kept for as long as it likes, since nobody
//! but us changes the layers; directories are read with attributes; permissions are checked by the kernel
//! (`default_permissions`, with POSIX ACLs), which also applies no umask, so that default ACLs can; writes are gathered in
//! its cache; set-id bits are taken by us when it says so (HANDLE_KILLPRIV_V2; SETXATTR_EXT must never be asked for with
//! this version of fuser). A handler that panics answers EIO and the loop goes on.

mod answer;
mod filesystem;
mod table;

use crate::error::{Error, Kind, Result};
use crate::union::Stack;
use fuser::{Config, Session, SessionACL};
use std::os::fd::OwnedFd;

pub(crate) use table::Table;

/// Serves `stack` on `device`, a connection to /dev/fuse that is already mounted (its INIT not yet answered), with so many
/// threads. Returns when it is unmounted.
pub fn serve(device: OwnedFd, stack: Stack, threads: usize) -> Result<()> {
    // Modes arrive as the caller asked for them; what is cut is cut by the union.
    rustix::process::umask(rustix::fs::Mode::empty());
    let failed = |op, e: std::io::Error| Error::new(Kind::Failed, op, "/dev/fuse").because(e);
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(threads.max(1));
    let session = match Session::from_fd(filesystem::Served::new(stack), device, SessionACL::All, config) {
        Ok(session) => session,
        Err(e) if is_unmounted(&e) => return Ok(()),
        Err(e) => return Err(failed("start serving", e)),
    };
    match session.run() {
        Ok(()) => Ok(()),
        Err(e) if is_unmounted(&e) => Ok(()),
        Err(e) => Err(failed("serve", e)),
    }
}

/// ENODEV: unmounted; ECONNABORTED: by force (`umount -f`, or an abort in fusectl).
fn is_unmounted(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotConnected
        || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ECONNABORTED))
}
