//! `linux.netDevices`: network devices of the machine that move into the container's network namespace (runtime-spec 1.3 "Network Devices").
//!
//! ```text
//! parent, where the device is                    first process, where it goes
//!          ◀─────────────── MoveDevices ──────── its namespaces stand; no name is taken
//! addresses read; moved, renamed in one step
//!          ──────────────── DevicesMoved ──────▶ template resolved, addresses given back, up
//! ```
//!
//! The kernel looks at the new name only when the device has arrived, or when its old name is taken there (`__dev_change_net_namespace`,
//! net/core/dev.c): so the first process looks before anything has moved. A name with `%d` is resolved by the kernel where the device arrives; until then it has a name of its own. The kernel drops the
//! addresses on the way: those that are permanent and of global scope are given back. Back out it is never moved: virtual devices end with
//! the namespace, physical ones fall back to the machine.

mod rtnetlink;

use crate::error::{Error, Kind, Result, failed, invalid};
use crate::namespace::{Namespace, Namespaces};
use rtnetlink::{Address, Socket};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use spec::runtime::LinuxNetDevice;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

/// `IFNAMSIZ` without the NUL.
const MAX_NAME: usize = 15;

/// A device that has been moved and waits to be made usable.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// Its name where it is now.
    name: String,
    /// The name with `%d` that it is to get.
    template: Option<String>,
    addresses: Vec<Address>,
}

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

/// The first process's look before: fails where a device would arrive at a name that is taken.
pub(crate) fn look_for_names(devices: &HashMap<String, LinuxNetDevice>) -> Result<()> {
    let mut socket = Socket::open().map_err(|e| failed("open", "rtnetlink socket", e))?;
    for (name, device) in devices {
        let wanted = device.name().as_deref().filter(|n| !n.is_empty()).unwrap_or(name);
        if !wanted.contains("%d") && socket.index_of(wanted).is_ok() {
            return Err(refused(name, std::io::Error::from_raw_os_error(libc::EEXIST)));
        }
    }
    Ok(())
}

/// The parent's part: moves `devices` to the network namespace of the first process `pid`.
pub(crate) fn move_all(
    devices: &HashMap<String, LinuxNetDevice>,
    namespaces: &Namespaces,
    pid: i32,
) -> Result<Vec<Moved>> {
    let made;
    let target = match namespaces.join.iter().find(|(kind, ..)| *kind == Namespace::Net) {
        Some((.., joined)) => joined.as_fd(),
        None => {
            made = open_namespace(pid)?;
            made.as_fd()
        }
    };
    let mut socket = Socket::open().map_err(|e| failed("open", "rtnetlink socket", e))?;
    let mut sorted: Vec<_> = devices.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    // All are found before the first is moved.
    let mut found = Vec::new();
    for (name, device) in sorted {
        let index = socket.index_of(name).map_err(|e| refused(name, e))?;
        let addresses = socket.addresses_of(index).map_err(|e| refused(name, e))?;
        found.push((name, device, index, addresses));
    }
    let mut moved = Vec::new();
    for (at, (name, device, index, addresses)) in found.into_iter().enumerate() {
        let wanted = device.name().as_deref().filter(|n| !n.is_empty()).unwrap_or(name);
        let template = wanted.contains("%d").then(|| wanted.to_owned());
        let arrives_as = if template.is_some() { format!("vnr{pid}n{at}") } else { wanted.to_owned() };
        socket.move_to(index, &arrives_as, target).map_err(|e| refused(name, e))?;
        moved.push(Moved { name: arrives_as, template, addresses });
    }
    Ok(moved)
}

fn open_namespace(pid: i32) -> Result<OwnedFd> {
    let path = Namespace::Net.path_of(pid);
    rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|e| failed("open", path, e))
}

fn refused(name: &str, error: std::io::Error) -> Error {
    let errno = error.raw_os_error();
    let error = failed("move linux.netDevices", name, error);
    match errno {
        Some(libc::EEXIST) => {
            error.hint("the container's network namespace has a device of that name; NAME%d takes the first free one")
        }
        Some(libc::EINVAL) => {
            error.hint("some devices belong to their namespace (bridges, lo, tunnels): those cannot be moved")
        }
        Some(libc::EPERM) => error.hint("it takes CAP_NET_ADMIN here and there"),
        _ => error,
    }
}

/// The first process's part: names, addresses, up.
pub(crate) fn settle(moved: &[Moved]) -> Result<()> {
    let mut socket = Socket::open().map_err(|e| failed("open", "rtnetlink socket", e))?;
    for device in moved {
        let say = |step: &'static str, e: std::io::Error| {
            Error::new(Kind::Failed, step, format!("linux.netDevices {}", device.name)).because(e)
        };
        let index = socket.index_of(&device.name).map_err(|e| say("find", e))?;
        if let Some(template) = &device.template {
            socket.rename(index, template).map_err(|e| say("name", e))?;
        }
        for address in &device.addresses {
            socket.add_address(index, address).map_err(|e| say("give back an address of", e))?;
        }
        socket.set_up(index).map_err(|e| say("set up", e))?;
    }
    Ok(())
}
