//! `linux.intelRdt`: classes of service of the cache and the memory bus, by the file system `resctrl`. Refused, by name: kernels without
//! CONFIG_X86_CPU_RESCTRL have nothing of the kind, and on the others a hook can do it.

use crate::error::{Result, invalid};
use spec::runtime::LinuxIntelRdt;

/// Fails.
pub(crate) fn check(_rdt: &LinuxIntelRdt) -> Result<()> {
    Err(invalid("linux.intelRdt", "", "is not done by this runtime")
        .hint("a createRuntime hook can write the container's pid to the tasks file of a resctrl group"))
}
