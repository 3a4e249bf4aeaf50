//! Networks of driver macvlan: each container is another hardware address on the parent's cable.
//!
//! Options: `parent`; `mode` (`bridge`, `private`, `vepa`, `passthru`; docker's `macvlan_mode`); `bcqueuelen`, how many
//! broadcasts may wait; `bclim`, how many children a group needs for its packets to wait at all. In mode passthru the one
//! container has the parent's own hardware address.

use super::{Endpoint, child};
use crate::error::{Error, Kind, Result};
use crate::link::macvlan::{self, Mode};
use crate::socket::Socket;

pub(super) fn plug(endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket) -> Result<()> {
    let definition = endpoint.definition;
    let invalid = |why: String| Error::new(Kind::Invalid, "read network", &definition.name).because(why);
    let mode: Mode = definition.option("mode").unwrap_or("bridge").parse().map_err(invalid)?;
    let queue = definition.option("bcqueuelen").and_then(|text| text.parse().ok());
    let limit = definition.option("bclim").and_then(|text| text.parse().ok());
    let create = |it: &crate::link::Child<'_>| macvlan::create(it, mode, queue, limit);
    child::plug(endpoint, socket, inner, "macvlan", create, |errno, error| match errno {
        // The kernel says no more than that.
        libc::EINVAL => error.hint("in mode passthru one container has the parent for itself; detach who has it"),
        errno => child::busy(errno, error),
    })
}
