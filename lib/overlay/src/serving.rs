//! What a server serves: the seam between its life ([`crate::server`]) and the union it answers from.

use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::options::Options;
use std::os::fd::OwnedFd;

/// The layers, open.
#[derive(Debug)]
pub(crate) struct Stack;

/// Opens every layer; to be called by the process that serves them.
pub(crate) fn open(_: &Folders, _: &Options) -> Result<Stack> {
    Err(Error::new(Kind::Driver, "fuse driver", "").because("the union is not part of this build"))
}

/// Answers the kernel until the mount is gone.
pub(crate) fn serve(_: OwnedFd, _: Stack, _: &Options) -> Result<()> {
    Ok(())
}
