//! `linux.netDevices`: network devices of the machine that move into the container's network namespace (rtnetlink(7)).

use crate::error::{Result, invalid};
use spec::runtime::LinuxNetDevice;
use std::collections::HashMap;

/// `IFNAMSIZ` without the NUL.
const MAX_NAME: usize = 15;

/// Fails on names no device can have.
pub(crate) fn check(devices: &HashMap<String, LinuxNetDevice>) -> Result<()> {
    for (name, device) in devices {
        for name in std::iter::once(name).chain(device.name().iter().filter(|n| !n.is_empty())) {
            let odd = |c: char| c == '/' || c == ':' || c.is_whitespace();
            if name.is_empty() || name.len() > MAX_NAME || name == "." || name == ".." || name.contains(odd) {
                return Err(invalid("linux.netDevices", format!("{name:?}"), "is no name a network device can have"));
            }
        }
    }
    Ok(())
}
