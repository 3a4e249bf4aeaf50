//! The kernel's requests, decoded by [`fusewire`], handed to the [`Stack`], answered: no union rule lives here.
//!
//! What is asked of the kernel and why: attributes, names and their absence are kept for as long as it likes, since nobody
//! but us changes the layers; directories are read with attributes; permissions are checked by the kernel
//! (`default_permissions`, with POSIX ACLs), which also applies no umask, so that default ACLs can; set-id bits are taken by us
//! when it says so (HANDLE_KILLPRIV_V2, and SETXATTR_EXT for ACLs). A handler that panics answers EIO and the loop goes on.
//!
//! Data goes one of two ways. With the right to ([`crate::rights`]), the kernel reads and writes the layers' files itself
//! ([`backing`]). Without it, it gathers writes in its cache and we read and write.

mod answer;
mod backing;
mod filesystem;
mod habit;
mod ioctl;
mod offered;
mod table;

use crate::error::{Error, Kind, Result};
use crate::union::Stack;
use fusewire::{Session, Settings};
use std::os::fd::OwnedFd;
use std::sync::Arc;

pub use fusewire::{Snapshot, Statistics};
pub use offered::{FOR_EVER, Offered, Validity};
pub(crate) use table::Table;

/// How a stack is served.
#[derive(Debug, Clone)]
pub struct Serving {
    /// Most threads.
    pub threads: usize,
    /// Let the kernel read and write files itself, where it lets us.
    pub passthrough: bool,
    /// How many file systems may be stacked, ours included: 1, or 2 where a layer lies on an overlay (nothing can be
    /// stacked upon us then).
    pub stack_depth: u32,
    /// What options take away.
    pub offered: Offered,
    /// What counts; to be read while it serves.
    pub statistics: Arc<Statistics>,
}

impl Default for Serving {
    fn default() -> Self {
        Self { threads: 64, passthrough: true, stack_depth: 1, offered: Offered::default(), statistics: Arc::default() }
    }
}

/// Serves `stack` on `device`, a connection to /dev/fuse that is already mounted (its INIT not yet answered). Returns when
/// it is unmounted.
pub fn serve(device: OwnedFd, stack: Arc<Stack>, serving: Serving) -> Result<()> {
    // Modes arrive as the caller asked for them; what is cut is cut by the union.
    rustix::process::umask(rustix::fs::Mode::empty());
    sys::heap::share_one_arena();
    let failed = |e: std::io::Error| Error::new(Kind::Failed, "serve", "/dev/fuse").because(e);
    let proc = stack.own_descriptors().map_err(failed)?;
    let settings = Settings { most_threads: serving.threads.max(1), proc: Some(proc), ..Settings::default() };
    let statistics = serving.statistics.clone();
    let served = filesystem::Served::new(stack, serving);
    Session::new(device, served, settings).count_into(statistics).run().map_err(failed)
}
