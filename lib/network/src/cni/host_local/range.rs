//! Ranges of addresses, and the order in which they are tried.

use serde::Deserialize;
use spec::cni::Cidr;
use std::fmt;
use std::net::IpAddr;

/// Addresses of one subnet from a first to a last one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Range {
    /// The subnet.
    pub(super) subnet: Cidr,
    /// The first one; by default the first of the subnet.
    #[serde(default, deserialize_with = "spec::cni::success::maybe_address")]
    pub(super) range_start: Option<IpAddr>,
    /// The last one; by default the last of the subnet.
    #[serde(default, deserialize_with = "spec::cni::success::maybe_address")]
    pub(super) range_end: Option<IpAddr>,
    /// The subnet's gateway, which is never given away; by default the first address.
    #[serde(default, deserialize_with = "spec::cni::success::maybe_address")]
    pub(super) gateway: Option<IpAddr>,
}

/// An address as a number of its family.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The address that many behind `base`.
fn step(base: IpAddr, by: u128) -> IpAddr {
    match base {
        IpAddr::V4(a) => IpAddr::V4(a.to_bits().wrapping_add(by as u32).into()),
        IpAddr::V6(a) => IpAddr::V6(a.to_bits().wrapping_add(by).into()),
    }
}

impl Range {
    fn canonical(mut self) -> Result<Self, String> {
        let subnet = self.subnet;
        let width = if subnet.address.is_ipv4() { 32 } else { 128 };
        if subnet.prefix > width - 2 {
            return Err(format!("Network {subnet} too small to allocate from"));
        }
        let network = subnet.network();
        if network != subnet {
            let (prefix, address) = (subnet.prefix, network.address);
            return Err(format!(
                "Network has host bits set. For a subnet mask of length {prefix} the network address is {address}"
            ));
        }
        let first = step(subnet.address, 1);
        let last = step(subnet.address, (u128::MAX >> (128 - u32::from(width))) >> subnet.prefix);
        // The last of IPv4 reaches all; IPv6 has no such thing.
        let last = if subnet.address.is_ipv4() { step(last, u128::MAX) } else { last };
        let same_family = |ip: IpAddr| ip.is_ipv4() == subnet.address.is_ipv4();
        for (name, given) in [("RangeStart", &mut self.range_start), ("RangeEnd", &mut self.range_end)] {
            *given = given.map(|ip| ip.to_canonical());
            if let Some(ip) = given
                && !subnet.contains(*ip)
            {
                return Err(format!("{name} {ip} not in network {subnet}"));
            }
        }
        self.gateway = Some(self.gateway.map_or(first, |ip| ip.to_canonical()));
        let (start, end) = (self.range_start.unwrap_or(first), self.range_end.unwrap_or(last));
        if number(end) < number(start) || !same_family(end) {
            return Err(format!("RangeEnd {end} is below RangeStart {start}"));
        }
        self.range_start = Some(start);
        self.range_end = Some(end);
        Ok(self)
    }

    fn start(&self) -> IpAddr {
        self.range_start.unwrap_or(self.subnet.address)
    }

    fn end(&self) -> IpAddr {
        self.range_end.unwrap_or(self.subnet.address)
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.subnet.contains(ip) && (number(self.start())..=number(self.end())).contains(&number(ip))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start().is_ipv4() == other.start().is_ipv4()
            && (self.contains(other.start())
                || self.contains(other.end())
                || other.contains(self.start())
                || other.contains(self.end()))
    }

    /// All addresses but the gateway, from the one after `after` if that is said.
    fn addresses(&self, after: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Self)> {
        let first = number(self.start());
        let from = after.map_or(first, |ip| number(ip) + 1);
        (from..=number(self.end()))
            .map(move |n| step(self.start(), n - first))
            .filter(|ip| Some(*ip) != self.gateway)
            .map(move |ip| (ip, self))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start(), self.end())
    }
}

/// Ranges of one family that together give one address.
#[derive(Debug)]
pub(super) struct RangeSet(Vec<Range>);

impl RangeSet {
    /// Fills in what is not said and refuses what cannot be meant.
    pub(super) fn new(ranges: Vec<Range>) -> Result<Self, String> {
        let ranges = ranges.into_iter().map(Range::canonical).collect::<Result<Vec<_>, _>>()?;
        let first = ranges.first().ok_or("empty range set")?;
        if ranges.iter().any(|r| r.start().is_ipv4() != first.start().is_ipv4()) {
            return Err("mixed address families".into());
        }
        for (i, one) in ranges.iter().enumerate() {
            if let Some(other) = ranges[i + 1..].iter().find(|other| one.overlaps(other)) {
                return Err(format!("subnets {one} and {other} overlap"));
            }
        }
        Ok(Self(ranges))
    }

    pub(super) fn is_v4(&self) -> bool {
        self.0.first().is_some_and(|r| r.start().is_ipv4())
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|one| other.0.iter().any(|two| one.overlaps(two)))
    }

    /// The range that `ip` is of.
    pub(super) fn range_of(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(ip))
    }

    /// Every address once: from the one after `last`, round over all ranges, and `last` itself at the end.
    pub(super) fn candidates(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        let last = last.filter(|ip| self.range_of(*ip).is_some());
        let at = last.and_then(|ip| self.0.iter().position(|range| range.contains(ip))).unwrap_or(0);
        let (before, rest) = self.0.split_at(at);
        let begun = rest.first().into_iter().flat_map(move |range| range.addresses(last));
        let round = rest.iter().skip(1).chain(before).flat_map(|range| range.addresses(None));
        let again = rest.first().into_iter().flat_map(|range| range.addresses(None));
        let until = again.take_while(move |(ip, _)| last.is_some_and(|last| number(*ip) <= number(last)));
        begun.chain(round).chain(until)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(Range::to_string).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::RangeSet;
    use serde_json::{Value, json};

    fn set(ranges: Value) -> Result<RangeSet, String> {
        RangeSet::new(serde_json::from_value(ranges).unwrap())
    }

    fn order(set: &RangeSet, last: Option<&str>) -> Vec<String> {
        set.candidates(last.map(|l| l.parse().unwrap())).map(|(ip, _)| ip.to_string()).collect()
    }

    #[test]
    fn goes_round_from_the_last_one() {
        let two = set(json!([{"subnet": "10.0.0.0/29", "rangeEnd": "10.0.0.4"}, {"subnet": "10.1.0.0/30"}])).unwrap();
        assert_eq!(order(&two, None), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.1.0.2"]);
        assert_eq!(order(&two, Some("10.0.0.3")), ["10.0.0.4", "10.1.0.2", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(order(&two, Some("10.1.0.2")), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.1.0.2"]);
        assert_eq!(order(&two, Some("10.9.0.2")).len(), 4, "a last one of another range is forgotten");
    }

    #[test]
    fn six_has_no_broadcast() {
        let six = set(json!([{"subnet": "fd00::/126"}])).unwrap();
        assert_eq!(order(&six, None), ["fd00::2", "fd00::3"]);
        let wide = set(json!([{"subnet": "fd00::/64"}])).unwrap();
        assert_eq!(wide.to_string(), "fd00::1-fd00::ffff:ffff:ffff:ffff");
        assert_eq!(wide.candidates(None).take(1).count(), 1);
        assert!(set(json!([{"subnet": "::/0"}])).is_ok() && set(json!([{"subnet": "0.0.0.0/0"}])).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let why = |ranges: Value| set(ranges).unwrap_err();
        assert_eq!(why(json!([])), "empty range set");
        assert_eq!(why(json!([{"subnet": "10.0.0.0/31"}])), "Network 10.0.0.0/31 too small to allocate from");
        assert!(why(json!([{"subnet": "10.0.0.1/24"}])).contains("the network address is 10.0.0.0"));
        assert!(why(json!([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}])).starts_with("RangeStart 10.0.1.1"));
        assert!(why(json!([{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}])).contains("mixed"));
        assert!(why(json!([{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.0.0/25"}])).contains("overlap"));
        let backwards = json!([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.3"}]);
        assert_eq!(why(backwards), "RangeEnd 10.0.0.3 is below RangeStart 10.0.0.9");
    }
}
