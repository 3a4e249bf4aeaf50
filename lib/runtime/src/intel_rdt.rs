//! `linux.intelRdt`: classes of service of the cache and the memory bus, by the file system `resctrl`.

use crate::error::{Result, invalid};
use spec::runtime::LinuxIntelRdt;

/// Fails where it cannot be done, which is wherever nothing of the kind is mounted.
pub(crate) fn check(_rdt: &LinuxIntelRdt) -> Result<()> {
    Err(invalid("linux.intelRdt", "", "no resctrl file system is mounted on this machine"))
}
