//! `host-local`: addresses from ranges, remembered in files of this host.
//!
//! One address of each range set; of the ranges in a set the next free address after the one given last. The store is the
//! reference's own ([`store`]), so that the two can stand in for each other, also in the middle.
//!
//! Beyond the reference: all sets are served under one lock, so that nobody gets half of it; GC; STATUS says when a set has
//! no address left.

mod range;
mod store;

use super::call::Call;
use super::configuration::invalid;
use super::plugin::Plugin;
use range::{Range, RangeSet};
use serde::Deserialize;
use spec::cni::failure::code;
use spec::cni::{Attachment, Cidr, Dns, Failure, Ip, Route, Success, Version};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use store::Store;

pub(super) struct HostLocal;

/// Where stores are unless the configuration names a folder.
const DATA: &str = "/var/lib/cni/networks";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    ipam: Option<Ipam>,
    #[serde(rename = "runtimeConfig")]
    runtime: Runtime,
    args: Args,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    routes: Vec<Route>,
    data_dir: String,
    resolv_conf: String,
    ranges: Vec<Vec<Range>>,
    // The oldest way: one range, spread over the section itself.
    subnet: Option<Cidr>,
    #[serde(deserialize_with = "spec::cni::success::maybe_address")]
    range_start: Option<IpAddr>,
    #[serde(deserialize_with = "spec::cni::success::maybe_address")]
    range_end: Option<IpAddr>,
    #[serde(deserialize_with = "spec::cni::success::maybe_address")]
    gateway: Option<IpAddr>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Runtime {
    #[serde(rename = "ipRanges")]
    ranges: Vec<Vec<Range>>,
    ips: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Args {
    cni: ArgsCni,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ArgsCni {
    ips: Vec<String>,
}

/// The configuration, checked.
struct Wish {
    sets: Vec<RangeSet>,
    requested: Vec<IpAddr>,
    routes: Vec<Route>,
    folder: PathBuf,
    resolv_conf: Option<PathBuf>,
}

impl Wish {
    fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let keys: Keys = call.configuration.decode()?;
        let ipam = keys.ipam.ok_or_else(|| invalid("IPAM config missing 'ipam' key"))?;
        call.request.arguments.refuse_unknown(&["IP"]).map_err(invalid)?;
        let mut requested = Vec::new();
        let by_arguments = call.request.arguments.get("IP").map(str::to_owned);
        for text in by_arguments.into_iter().chain(keys.args.cni.ips).chain(keys.runtime.ips) {
            requested.push(requested_address(&text)?);
        }
        let old = ipam.subnet.map(|subnet| {
            vec![Range { subnet, range_start: ipam.range_start, range_end: ipam.range_end, gateway: ipam.gateway }]
        });
        let sets: Vec<_> = keys.runtime.ranges.into_iter().chain(old).chain(ipam.ranges).collect();
        if sets.is_empty() {
            return Err(invalid("no IP ranges specified"));
        }
        let whole = |(at, set)| RangeSet::new(set).map_err(|why| invalid(format!("invalid range set {at}: {why}")));
        let sets = sets.into_iter().enumerate().map(whole).collect::<Result<Vec<_>, _>>()?;
        let of_v4 = sets.iter().filter(|set| set.is_v4()).count();
        if call.version < Version::V0_3_0 && (of_v4 > 1 || sets.len() - of_v4 > 1) {
            let version = call.version;
            return Err(invalid(format!("CNI version {version} does not support more than 1 address per family")));
        }
        for (i, one) in sets.iter().enumerate() {
            if let Some(j) = (i + 1..sets.len()).find(|j| sets[*j].overlaps(one)) {
                return Err(invalid(format!("range set {i} overlaps with {j}")));
            }
        }
        let data = Path::new(if ipam.data_dir.is_empty() { DATA } else { &ipam.data_dir });
        let resolv_conf = Some(ipam.resolv_conf).filter(|path| !path.is_empty()).map(PathBuf::from);
        let folder = data.join(&call.configuration.name);
        Ok(Self { sets, requested, routes: ipam.routes, folder, resolv_conf })
    }
}

/// An address that is asked for; a prefix behind it is allowed and ignored, since the range knows it.
fn requested_address(text: &str) -> Result<IpAddr, Failure> {
    let plain = text.split_once('/').map_or(text, |(address, _)| address);
    plain.parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| invalid(format!("cannot understand ip: {text}")))
}

impl Plugin for HostLocal {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let mut wish = Wish::read(call)?;
        let dns = wish.resolv_conf.as_deref().map(read_resolv_conf).transpose()?.unwrap_or_default();
        let store = Store::open(&wish.folder)?;
        let owner = call.attachment();
        let mut result = Success { dns, routes: wish.routes.clone(), ..Success::default() };
        let mut reserved = Vec::new();
        let done = wish.sets.iter().enumerate().try_for_each(|(number, set)| {
            let at = wish.requested.iter().position(|ip| set.range_of(*ip).is_some());
            let requested = at.map(|at| wish.requested.remove(at));
            let (address, range) = reserve(&store, set, number, &owner, requested)
                .map_err(|why| why.during(&format!("failed to allocate for range {number}")))?;
            reserved.push(address);
            let address = Cidr { address, prefix: range.subnet.prefix };
            result.ips.push(Ip { interface: None, address, gateway: range.gateway });
            Ok(())
        });
        let all = done.and_then(|()| match wish.requested.is_empty() {
            true => Ok(()),
            false => {
                let list = wish.requested.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
                Err(invalid(format!("failed to allocate all requested IPs: {list}")))
            }
        });
        if let Err(failure) = all {
            reserved.iter().for_each(|address| store.release(*address));
            return Err(failure);
        }
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        match Store::open_existing(&wish.folder)? {
            Some(store) => store.release_all_of(&call.attachment()),
            None => Ok(()),
        }
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        let known = match Store::open_existing(&wish.folder)? {
            Some(store) => !store.of(&call.attachment())?.is_empty(),
            None => false,
        };
        if known {
            return Ok(());
        }
        let container = &call.request.container;
        Err(Failure::new(code::INTERNAL, format!("host-local: Failed to find address added by container {container}")))
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        let Some(store) = Store::open_existing(&wish.folder)? else { return Ok(()) };
        let taken = store.taken()?;
        match wish.sets.iter().find(|set| set.candidates(None).all(|(address, _)| taken.contains(&address))) {
            None => Ok(()),
            Some(set) => {
                Err(Failure::new(code::NOT_AVAILABLE, format!("no IP addresses available in range set: {set}")))
            }
        }
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        match Store::open_existing(&wish.folder)? {
            Some(store) => store.release_all_but(valid),
            None => Ok(()),
        }
    }
}

/// One address of the set: the requested one, or the next that is free.
fn reserve<'s>(
    store: &Store,
    set: &'s RangeSet,
    number: usize,
    owner: &Attachment,
    requested: Option<IpAddr>,
) -> Result<(IpAddr, &'s Range), Failure> {
    let refuse = |why: String| Failure::new(code::INTERNAL, why);
    if let Some(ip) = requested {
        let range = set.range_of(ip).ok_or_else(|| refuse(format!("{ip} not in range set {set}")))?;
        if range.gateway == Some(ip) {
            return Err(refuse(format!("requested ip {ip} is subnet's gateway")));
        }
        if !store.reserve(ip, owner, number)? {
            return Err(refuse(format!("requested IP address {ip} is not available in range set {set}")));
        }
        return Ok((ip, range));
    }
    if let Some(ip) = store.of(owner)?.into_iter().find(|ip| set.range_of(*ip).is_some()) {
        let container = &owner.container;
        return Err(refuse(format!("{ip} has been allocated to {container}, duplicate allocation is not allowed")));
    }
    // One look at the folder instead of one attempt an address: a full range of thousands is walked in memory.
    let taken = store.taken()?;
    for (ip, range) in set.candidates(store.last(number)) {
        if !taken.contains(&ip) && store.reserve(ip, owner, number)? {
            return Ok((ip, range));
        }
    }
    Err(refuse(format!("no IP addresses available in range set: {set}")))
}

fn read_resolv_conf(path: &Path) -> Result<Dns, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::new(code::IO, format!("read resolvConf {}: {e}", path.display())))?;
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match (words.next().as_deref(), words.next()) {
            (Some("nameserver"), Some(server)) => dns.nameservers.push(server),
            (Some("domain"), Some(domain)) => dns.domain = domain,
            (Some("search"), Some(first)) => dns.search.extend([first].into_iter().chain(words)),
            (Some("options"), Some(first)) => dns.options.extend([first].into_iter().chain(words)),
            _ => {}
        }
    }
    Ok(dns)
}

#[cfg(test)]
mod tests {
    use super::{read_resolv_conf, requested_address};

    #[test]
    fn resolv_conf_as_the_resolver_reads_it() {
        let folder = std::env::temp_dir().join(format!("veneer-host-local-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("resolv.conf");
        let text =
            "# x\nnameserver 10.0.0.1\n;y\nnameserver fd00::1\ndomain a.b\nsearch c d\noptions ndots:5\nnameserver\n";
        std::fs::write(&path, text).unwrap();
        let dns = read_resolv_conf(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(dns.nameservers, ["10.0.0.1", "fd00::1"]);
        assert_eq!((dns.domain.as_str(), dns.search.len(), dns.options.len()), ("a.b", 2, 1));
        assert_eq!(read_resolv_conf(&path).unwrap_err().code, 5);
    }

    #[test]
    fn addresses_asked_for_may_have_a_prefix() {
        assert_eq!(requested_address("10.0.0.9/24").unwrap().to_string(), "10.0.0.9");
        assert_eq!(requested_address("::ffff:10.0.0.9").unwrap().to_string(), "10.0.0.9");
        assert!(requested_address("ten").is_err());
    }
}
