//! Files into containers and out of them: docker's `cp`.
//!
//! ```text
//! SRC is        DEST is not there               DEST is a file        DEST is a folder
//! a file        made, unless DEST ends in /     replaced              DEST/NAME
//! a folder      made, with what SRC holds       refused               DEST/NAME; what SRC holds, if SRC ends in /.
//! ```
//!
//! The folder that DEST goes into must be there. A link at the end of SRC is copied as a link, unless it is to be followed or SRC ends
//! in a slash; one at the end of DEST is followed (docker: `cli/command/container/cp.go`, `moby/go-archive/copy.go`).
//!
//! What is copied goes through a pipe as a tar, `layer::pack` on one side and `layer::extract` on the other, so that `-` is the
//! same thing with one side left out. **No name leads out of the container**: both ends are folders that were opened before
//! anything moves ([`tree`]), everything below them is opened a name at a time, without following a link. Exchanging a folder for a
//! link meanwhile (CVE-2018-15664) changes which names we meet, never what they are resolved in. What could not be copied to
//! its end is taken back.

mod ends;
mod tree;

pub use tree::Tree;

use crate::{Error, Kind, Result};
use ends::{Destination, Source, What};
use layer::extract::{Devices, Expected, Options, Owners, Whiteouts, unpack_layer};
use layer::pack::{PackOptions, Packed, Packing, pack_entry, pack_layer};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How it is copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Follow a link at the end of SRC.
    pub follow: bool,
    /// The files keep their owners; else they are the caller's.
    pub keep_owners: bool,
    /// Everything becomes this user's and group's.
    pub owner: Option<(u32, u32)>,
}

/// Copies `source` in `from` to `target` in `to`. Gives the bytes of a plain tar of it.
pub fn copy(from: &Tree, source: &Path, to: &Tree, target: &Path, how: How) -> Result<u64> {
    let source = ends::source(from, source, how.follow)?;
    let destination = ends::destination(to, target, &source)?;
    let (ours, theirs) = UnixStream::pair().map_err(|e| crate::error::system("pipe", "", e))?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| pack(from, &source, &destination.name, destination.with_root, how, theirs));
        let unpacked = unpack(ours, to, &destination, how);
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (packed, unpacked) {
            // Whoever writes into a closed pipe is not the one that failed.
            (Err(e), Err(_)) if e.raw_os_error() != Some(libc::EPIPE) => Err(e),
            (_, Err(e)) => Err(e),
            (packed, Ok(())) => packed.map(|packed| size(&packed)),
        }
    })
}

/// What Go's writer makes of it, which tells whole seconds: a block an entry, the data, the end.
fn size(packed: &Packed) -> u64 {
    packed.entries * 512 + packed.data_bytes + 1024
}

/// Writes `source` in `from` to `out` as a tar, under its own name; a link that was followed does not give it another one.
pub fn write(from: &Tree, source: &Path, out: impl Write + Send, how: How) -> Result<u64> {
    let source = ends::source(from, source, how.follow)?;
    let name = if source.contents { b".".to_vec() } else { source.real_name.clone() };
    pack(from, &source, &name, true, how, out).map(|packed| size(&packed))
}

/// Unpacks the tar `archive` into the folder `target` in `to`.
pub fn read(archive: impl Read + Send, to: &Tree, target: &Path, how: How) -> Result<()> {
    let folder = ends::folder(to, target)?;
    unpack(archive, to, &Destination { folder, name: Vec::new(), with_root: false }, how)
}

fn pack(from: &Tree, source: &Source, name: &[u8], with_root: bool, how: How, out: impl Write) -> Result<Packed> {
    let told = from.told(&source.path);
    let options = PackOptions {
        name: &told,
        packing: Packing::None,
        plain: true,
        literal: true,
        lively: true,
        prefix: name,
        root: with_root,
        owner: how.owner.map(|o| o.0),
        group: how.owner.map(|o| o.1),
        recorded: Some(false),
        ..PackOptions::default()
    };
    let packed = match &source.what {
        What::Folder(folder) => pack_layer(folder.as_fd(), out, &options),
        What::Entry(folder, name) => pack_entry(folder.as_fd(), name, out, &options),
    };
    packed.map_err(of_layer)
}

fn unpack(archive: impl Read + Send, to: &Tree, destination: &Destination, how: How) -> Result<()> {
    let rootful = rustix::process::geteuid().is_root();
    let owners = if how.keep_owners && rootful { Owners::Keep } else { Owners::Caller };
    let options = Options {
        whiteouts: Whiteouts::Oci,
        owners,
        devices: if rootful { Devices::Fail } else { Devices::Skip },
        skip_privileged: true,
        sync: false,
        ..Options::default()
    };
    let done = unpack_layer(archive, destination.folder.as_fd(), &Expected::named(to.name()), &options);
    match done.map_err(of_layer) {
        Err(e) if e.raw_os_error() == Some(libc::EROFS) && !to.is_machine() => {
            Err(Error::new(Kind::Conflict, "", "container rootfs is marked read-only"))
        }
        other => other.map(drop),
    }
}

/// An error of the room `layer` as ours.
pub(crate) fn of_layer(error: layer::Error) -> Error {
    Error { op: error.op, subject: error.subject, kind: Kind::Failed, source: error.source, hint: error.hint }
}
