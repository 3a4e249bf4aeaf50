//! `static`: the addresses that the configuration or the runtime names, and nothing to remember.
//!
//! `CNI_ARGS` adds to the configuration's addresses; `args.cni.ips`, and over it `runtimeConfig.ips`, replace them.

use super::call::Call;
use super::configuration::invalid;
use super::plugin::Plugin;
use serde::Deserialize;
use spec::cni::failure::code;
use spec::cni::{Cidr, Dns, Failure, Ip, Route, Success, Version};
use std::net::IpAddr;

pub(super) struct Static;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    ipam: Option<Ipam>,
    #[serde(rename = "runtimeConfig")]
    runtime: Ips,
    args: Args,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ipam {
    routes: Vec<Route>,
    addresses: Vec<Address>,
    dns: Dns,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    #[serde(default, deserialize_with = "spec::cni::success::maybe_address")]
    gateway: Option<IpAddr>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Args {
    cni: Ips,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ips {
    ips: Vec<String>,
}

fn read(call: &Call<'_>) -> Result<Success, Failure> {
    let keys: Keys = call.configuration.decode()?;
    let ipam = keys.ipam.ok_or_else(|| invalid("IPAM config missing 'ipam' key"))?;
    let ip = |address: Cidr, gateway| Ip { interface: None, address, gateway };
    let parse = |text: &str, key: &str| {
        let cidr = text.trim().parse::<Cidr>();
        cidr.map_err(|_| invalid(format!("the '{key}' field is expected to be in CIDR notation, got: '{text}'")))
    };
    let configured = ipam.addresses.iter().map(|a| Ok(ip(parse(&a.address, "address")?, a.gateway)));
    let mut ips = configured.collect::<Result<Vec<_>, Failure>>()?;
    let arguments = &call.request.arguments;
    arguments.refuse_unknown(&["IP", "GATEWAY"]).map_err(invalid)?;
    for text in arguments.get("IP").into_iter().filter(|t| !t.is_empty()).flat_map(|list| list.split(',')) {
        ips.push(ip(parse(text, "ip")?, None));
    }
    for text in arguments.get("GATEWAY").into_iter().filter(|t| !t.is_empty()).flat_map(|list| list.split(',')) {
        let gateway: IpAddr = text.trim().parse().map_err(|_| invalid(format!("invalid gateway address: {text}")))?;
        ips.iter_mut().filter(|ip| ip.address.contains(gateway)).for_each(|ip| ip.gateway = Some(gateway));
    }
    for list in [&keys.args.cni.ips, &keys.runtime.ips].into_iter().filter(|list| !list.is_empty()) {
        ips = list.iter().map(|text| Ok(ip(parse(text, "ips")?, None))).collect::<Result<_, Failure>>()?;
    }
    let of_v4 = ips.iter().filter(|ip| ip.address.address.is_ipv4()).count();
    if call.version < Version::V0_3_0 && (of_v4 > 1 || ips.len() - of_v4 > 1) {
        let version = call.version;
        return Err(invalid(format!("CNI version {version} does not support more than 1 address per family")));
    }
    Ok(Success { ips, routes: ipam.routes, dns: ipam.dns, ..Success::default() })
}

impl Plugin for Static {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        read(call)
    }

    fn del(&self, _call: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (wanted, previous) = (read(call)?, call.required_previous()?);
        for ip in &wanted.ips {
            let found = previous.ips.iter().find(|p| p.address.address == ip.address.address);
            if found.is_some_and(|found| ip.gateway.is_some() && ip.gateway != found.gateway) {
                let (address, interface) = (ip.address.address, &call.request.interface);
                let msg = format!("static: Failed to match addr {address} on interface {interface}");
                return Err(Failure::new(code::INTERNAL, msg));
            }
        }
        Ok(())
    }
}
