//! A bridge network in a VLAN (`-o vlan=TAG`): the bridge looks at tags, containers are in that one VLAN and see none.
//!
//! On a bridge of our own each port begins in the VLAN, and the bridge itself is in it: a link of the machine that is made a
//! port leads all of it on, with tags if that port is told to (`bridge vlan add dev LINK vid TAG`). On a bridge that was
//! there before, only the containers' ports are ours to say; the bridge's own part is whose it is.

use super::unless;
use crate::definition::Definition;
use crate::error::{Result, refused};
use crate::link::vlan_filter::{self, Member};
use crate::link::{self, Link};
use crate::socket::Socket;

/// Where ports are that nobody told otherwise (`default_pvid`).
const FIRST: u16 = 1;

fn tag(definition: &Definition) -> Option<u16> {
    definition.option("vlan").and_then(|text| link::vlan::parse_tag(text).ok())
}

/// Makes the network's bridge look at tags.
pub(super) fn ensure(socket: &mut Socket, definition: &Definition) -> Result<()> {
    let Some(tag) = tag(definition) else { return Ok(()) };
    let name = definition.bridge.as_str();
    let request = if definition.adopted { vlan_filter::filter(name) } else { vlan_filter::enable(name, Some(tag)) };
    let done = socket.ask(request)?;
    done.map(drop).map_err(|refusal| {
        let lacks = refusal.errno == libc::EOPNOTSUPP;
        let error = refused("set VLAN of bridge", name, refusal);
        if lacks { error.hint("the kernel's bridges look at no tags (CONFIG_BRIDGE_VLAN_FILTERING)") } else { error }
    })
}

/// Puts the port called `name` into the network's VLAN.
pub(super) fn join(socket: &mut Socket, definition: &Definition, name: &str) -> Result<()> {
    let Some(tag) = tag(definition).filter(|_| definition.adopted) else { return Ok(()) };
    let wrong = |refusal| refused("set VLAN of", name, refusal);
    let Some(port) = socket.ask(link::get(name))?.map_err(wrong)?.iter().find_map(Link::read) else { return Ok(()) };
    let port = Member::Port(port.index);
    socket.ask(vlan_filter::set_own(port, tag))?.map_err(wrong)?;
    if tag != FIRST {
        unless(socket.ask(vlan_filter::leave(port, FIRST, FIRST))?, libc::ENOENT).map_err(wrong)?;
    }
    Ok(())
}
