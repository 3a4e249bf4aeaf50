//! A container's whole tree as a tar: its layers merged, without what is mounted in it (moby, `daemon/export.go`).

use crate::Result;
use crate::copy::of_layer;
use layer::pack::{PackOptions, Packing, pack_layer};
use std::io::Write;
use std::os::fd::BorrowedFd;

/// Writes the tree in `folder`, which belongs to the container `name`, to `out`. It may change meanwhile.
pub fn export(folder: BorrowedFd<'_>, name: &str, out: impl Write) -> Result<()> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let folder = rustix::fs::openat(folder, ".", flags, rustix::fs::Mode::empty())
        .map_err(|e| crate::error::system("open", name, e))?;
    let options = PackOptions {
        name,
        packing: Packing::None,
        plain: true,
        literal: true,
        lively: true,
        root: false,
        recorded: Some(false),
        ..PackOptions::default()
    };
    let folder = std::os::fd::AsFd::as_fd(&folder);
    pack_layer(folder, out, &options).map(drop).map_err(of_layer)
}
