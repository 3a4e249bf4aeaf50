//! Networks of driver ipvlan: each container is another address behind the parent's hardware address.
//!
//! Options: `parent`; `mode` (`l2`, `l3`, `l3s`; docker's `ipvlan_mode`); `ipvlan_flag` (`bridge`, `private`, `vepa`). Mode
//! and flag are the parent's: a later network on the same parent changes them for all.

use super::{Endpoint, child};
use crate::error::{Error, Kind, Result};
use crate::link::Child;
use crate::link::ipvlan::{self, Flag, Mode};
use crate::socket::Socket;

pub(super) fn plug(endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket) -> Result<()> {
    let definition = endpoint.definition;
    let invalid = |why: String| Error::new(Kind::Invalid, "read network", &definition.name).because(why);
    let mode: Mode = definition.option("mode").unwrap_or("l2").parse().map_err(invalid)?;
    let flag: Flag = definition.option("ipvlan_flag").unwrap_or("bridge").parse().map_err(invalid)?;
    let create = |it: &Child<'_>| ipvlan::create(it, mode, flag);
    child::plug(endpoint, socket, inner, "ipvlan", create, child::busy)
}
