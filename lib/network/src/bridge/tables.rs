//! What the machine reaches already: no network may take that from it.

use crate::address::{self, Address};
use crate::definition::Definition;
use crate::error::{Error, Kind, Result, refused};
use crate::pool::Subnet;
use crate::route::{self, Route};
use crate::socket::{Message, Request, Socket};

pub(super) fn everything(socket: &mut Socket, request: &Request, op: &'static str) -> Result<Vec<Message>> {
    socket.dump(request)?.map_err(|refusal| refused(op, "", refusal))
}

/// Which subnets the calling namespace already reaches, and by which links.
#[derive(Debug)]
pub struct Tables {
    taken: Vec<(Subnet, Option<u32>)>,
    default_link: Option<u32>,
}

impl Tables {
    /// Reads addresses and routes.
    pub fn read(socket: &mut Socket) -> Result<Self> {
        let addresses = everything(socket, &address::dump(), "list addresses")?;
        let routes: Vec<Route> =
            everything(socket, &route::dump(), "list routes")?.iter().filter_map(Route::read).collect();
        let mut taken: Vec<_> = addresses
            .iter()
            .filter_map(Address::read)
            .filter(|a| !a.is_link_local())
            .map(|a| (a.subnet, Some(a.link)))
            .collect();
        taken.extend(routes.iter().filter(|r| !r.is_default()).map(|r| (r.destination, r.link)));
        let default_link = routes.iter().find(|r| r.is_default()).and_then(|r| r.link);
        Ok(Self { taken, default_link })
    }

    /// The number of the link that the default route goes by.
    pub fn default_link(&self) -> Option<u32> {
        self.default_link
    }

    /// All of these subnets.
    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        self.taken.iter().map(|(subnet, _)| *subnet)
    }

    /// An error where a subnet of the network overlaps one that is reached by another link than `except`.
    pub fn refuse_overlap(&self, definition: &Definition, except: Option<u32>) -> Result<()> {
        let others = || self.taken.iter().filter(|(_, link)| except.is_none() || *link != except);
        for pool in &definition.subnets {
            if let Some((subnet, _)) = others().find(|(subnet, _)| subnet.overlaps(pool.subnet)) {
                return Err(Error::new(Kind::InUse, "use subnet", pool.subnet)
                    .because(format!("it overlaps {subnet}, which this machine reaches already"))
                    .hint(
                        "remove the network and create it with another --subnet, or without one to have a free one chosen",
                    ));
            }
        }
        Ok(())
    }
}
