//! `loopback`: the namespace's `lo`, set up; whatever interface is asked for.

use super::call::Call;
use super::inspection::damaged;
use super::message::Link;
use super::place::Place;
use super::plugin::Plugin;
use spec::cni::{Failure, Interface, Ip, Success};

pub(super) struct Loopback;

const LOOPBACK: &str = "lo";

impl Plugin for Loopback {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let mut inside = Place::inside(&call.namespace()?)?;
        inside.apply("set up interface", LOOPBACK, &[Link::named(LOOPBACK).up().change()])?;
        let lo = inside.need(LOOPBACK)?;
        let addresses = inside.addresses(lo.index)?;
        if let Some(strange) = addresses.iter().find(|a| !a.address.is_loopback()) {
            return Err(damaged(format!("loopback interface found with non-loopback address \"{}\"", strange.address)));
        }
        if let Some(previous) = &call.previous {
            return Ok(previous.clone());
        }
        let first = |v4: bool| addresses.iter().find(|a| a.address.is_ipv4() == v4);
        let ips = [first(true), first(false)].into_iter().flatten();
        let interface = Interface {
            name: LOOPBACK.into(),
            mac: "00:00:00:00:00:00".into(),
            sandbox: call.sandbox().into(),
            ..Interface::default()
        };
        Ok(Success {
            interfaces: vec![interface],
            ips: ips.map(|a| Ip { interface: Some(0), address: *a, gateway: None }).collect(),
            ..Success::default()
        })
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let Some(namespace) = call.namespace_if_any()? else { return Ok(()) };
        let down = Link::named(LOOPBACK).flag(libc::IFF_UP, false).change();
        Place::inside(&namespace)?.apply("set down interface", LOOPBACK, &[down])
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        match Place::inside(&call.namespace()?)?.need(LOOPBACK)?.is_up() {
            true => Ok(()),
            false => Err(damaged("loopback interface is down")),
        }
    }
}
