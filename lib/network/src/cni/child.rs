//! Interfaces that stand on another link: what `macvlan`, `ipvlan` and `vlan` share.
//!
//! The interface is born inside, under its name. The link below, `master`, is this host's, or with `linkInContainer` the
//! container's. One that nobody names is that of the default route.

mod ipvlan;
mod macvlan;
mod vlan;

use super::call::Call;
use super::configuration::invalid;
use super::inspection::{self, damaged};
use super::message::Link;
use super::place::{self, Found, Place};
use super::plugin::Plugin;
use super::{bridge, ipam};
use crate::link::Child;
use crate::namespace::Namespace;
use crate::socket::Request;
use spec::cni::{Attachment, Failure, Success};
use std::marker::PhantomData;
use std::os::fd::AsFd;

/// A kind of interface with its settings.
pub(super) trait Kind: Sized + Sync {
    /// As the kernel calls it.
    const KIND: &'static str;
    /// What is said where it would have no address; empty where that is allowed.
    const UNADDRESSED: &'static str = "";
    /// Whether `mtu` must not be more than the link below has.
    const LIMITED: bool = true;

    /// What the configuration asks for.
    fn wish(call: &Call<'_>) -> Result<Wish<Self>, Failure>;

    /// The request that makes it.
    fn create(&self, child: &Child<'_>) -> Request;

    /// What is not as the settings say, if anything.
    fn differs(&self, found: &Found) -> Option<String>;
}

/// An interface to be made.
pub(super) struct Wish<K> {
    pub(super) kind: K,
    /// The link below; that of the default route if it is empty.
    pub(super) master: String,
    pub(super) in_container: bool,
    pub(super) mtu: i64,
    pub(super) mac: Option<Vec<u8>>,
    /// Addresses that a plugin before us found, where nobody else gives some.
    pub(super) given: Option<Success>,
}

impl<K: Kind> Wish<K> {
    pub(super) fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let namespace = call.namespace()?;
        let (mut here, mut inside) = (Place::here()?, Place::inside(&namespace)?);
        let interface = &call.request.interface;
        if inside.find(interface)?.is_some() {
            return Err(damaged(format!("interface \"{interface}\" already exists in the container")));
        }
        let below = self.below(&mut here, &mut inside)?;
        if K::LIMITED && (self.mtu < 0 || self.mtu > below.mtu().into()) {
            return Err(invalid(format!("invalid MTU {}, must be [0, master MTU({})]", self.mtu, below.mtu())));
        }
        let mac = self.mac.as_deref().and_then(|mac| mac.try_into().ok()).map(crate::mac::Mac);
        let child = Child {
            name: interface,
            parent: below.index,
            namespace: (!self.in_container).then(|| namespace.as_fd()),
            mac,
            mtu: u32::try_from(self.mtu).ok().filter(|mtu| *mtu > 0),
        };
        let place = if self.in_container { &mut inside } else { &mut here };
        place.apply("create interface", interface, &[self.kind.create(&child)])?;
        self.furnish(call, &namespace, &mut inside).inspect_err(|_| drop(inside.delete(interface)))
    }

    fn furnish(&self, call: &Call<'_>, namespace: &Namespace, inside: &mut Place) -> Result<Success, Failure> {
        let interface = &call.request.interface;
        let delegated = self.given.is_none() && !call.configuration.ipam.is_empty();
        let mut result = match &self.given {
            Some(given) => given.clone(),
            None if delegated => ipam::add(call)?,
            None => Success::default(),
        };
        let done = if result.ips.is_empty() {
            inside.apply("set up interface", interface, &[Link::named(interface).up().change()])
        } else {
            let v6 = result.ips.iter().any(|ip| ip.address.address.is_ipv6());
            result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
            place::prepare(namespace, interface, v6, true, &["ipv4", "ipv6"])
                .and_then(|()| inside.configure(interface, &result))
                .and_then(|index| if v6 { inside.settle(index) } else { Ok(()) })
        };
        let found = done.and_then(|()| inside.need(interface)).inspect_err(|_| {
            if delegated {
                let _ = ipam::del(call);
            }
        })?;
        result.interfaces = vec![found.described(call.sandbox())];
        result.dns = call.configuration.dns()?;
        Ok(result)
    }

    pub(super) fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let namespace = call.namespace()?;
        ipam::check(call)?;
        let result = call.required_previous()?;
        let (mut here, mut inside) = (Place::here()?, Place::inside(&namespace)?);
        self.below(&mut here, &mut inside)?;
        let named = inspection::inner(call, result)?;
        let found = inspection::expect_link(&mut inside, named, &[K::KIND])?;
        if let Some(what) = self.kind.differs(&found) {
            return Err(damaged(what));
        }
        if self.mtu > 0 && self.mtu != i64::from(found.mtu()) {
            let (name, mtu) = (found.name(), found.mtu());
            return Err(damaged(format!("MTU of {name} is {mtu}, and should be {}", self.mtu)));
        }
        inspection::expect_addresses(&mut inside, &call.request.interface, found.index, result)
    }

    fn below(&self, here: &mut Place, inside: &mut Place) -> Result<Found, Failure> {
        let place = if self.in_container { inside } else { here };
        if !self.master.is_empty() {
            let found = place.find(&self.master)?;
            let lost = || damaged(format!("failed to lookup master \"{}\": Link not found", self.master));
            return found.ok_or_else(lost);
        }
        let routes = place.routes()?;
        let index = routes.iter().find(|route| route.is_default()).and_then(|route| route.link);
        let found = index.map(|index| place.find_numbered(index)).transpose()?.flatten();
        found.ok_or_else(|| damaged("no default route interface found"))
    }
}

/// The plugin of a kind.
pub(super) struct Of<K>(PhantomData<K>);

pub(super) const MACVLAN: Of<macvlan::Settings> = Of(PhantomData);
pub(super) const IPVLAN: Of<ipvlan::Settings> = Of(PhantomData);
pub(super) const VLAN: Of<vlan::Settings> = Of(PhantomData);

impl<K: Kind> Plugin for Of<K> {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let wish = K::wish(call)?;
        if !K::UNADDRESSED.is_empty() && wish.given.is_none() && call.configuration.ipam.is_empty() {
            return Err(invalid(K::UNADDRESSED));
        }
        wish.add(call)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        bridge::remove_interface(call).and(ipam::del(call))
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        K::wish(call)?.check(call)
    }

    /// Whether there would be addresses, and the link below.
    fn status(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = K::wish(call)?;
        ipam::status(call)?;
        if wish.in_container || wish.master.is_empty() || Place::here()?.find(&wish.master)?.is_some() {
            return Ok(());
        }
        let msg = format!("master \"{}\" is not there", wish.master);
        Err(Failure::new(spec::cni::failure::code::NOT_AVAILABLE, msg))
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        ipam::gc(call, valid)
    }
}
