//! Networks of driver vlan: one container has a VLAN of the parent to itself. For several on one VLAN there is macvlan with
//! `-o parent=NAME.TAG`.
//!
//! Options: `parent`; `vlan`, the tag.

use super::{Endpoint, child};
use crate::error::{Error, Kind, Result};
use crate::link::{Child, vlan};
use crate::socket::Socket;

pub(super) fn plug(endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket) -> Result<()> {
    let definition = endpoint.definition;
    let invalid = |why: String| Error::new(Kind::Invalid, "read network", &definition.name).because(why);
    let missing = || invalid("it has no option `vlan`".into()).hint("create it anew with -o vlan=TAG");
    let tag = vlan::parse_tag(definition.option("vlan").ok_or_else(missing)?).map_err(invalid)?;
    let create = |it: &Child<'_>| vlan::create(it, tag);
    child::plug(endpoint, socket, inner, "vlan", create, |errno, error| {
        match errno {
        libc::EEXIST => error.hint(format!(
            "VLAN {tag} of the parent is in use; for several containers create the network with -d macvlan -o parent=NAME.{tag}"
        )),
        errno => child::busy(errno, error),
    }
    })
}
