//! Subnets of both families: arithmetic, and the pools that networks without a subnet of their own are given.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A subnet: the network's address and how many bits of it are fixed. Host bits are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The default route of IPv4.
    pub const ALL_V4: Self = Self { network: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 };
    /// The default route of IPv6.
    pub const ALL_V6: Self = Self { network: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 0 };

    /// The subnet of `prefix` bits that `address` lies in.
    pub fn around(address: impl Into<IpAddr>, prefix: u8) -> Self {
        let address = address.into();
        let prefix = prefix.min(width(address));
        Self { network: of_bits(bits(address) & mask(prefix, width(address)), address), prefix }
    }

    /// The subnet that holds `address` alone.
    pub fn only(address: impl Into<IpAddr>) -> Self {
        Self::around(address, u8::MAX)
    }

    /// How many bits are fixed.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is one of IPv6.
    pub fn is_v6(self) -> bool {
        self.network.is_ipv6()
    }

    /// The first address, which names the network.
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// The last address; in IPv4 it reaches all.
    pub fn last(self) -> IpAddr {
        of_bits(self.last_bits(), self.network)
    }

    /// The address that reaches all; none in IPv6, which has groups for that, nor where there is no room for one.
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        match self.last() {
            IpAddr::V4(last) if self.prefix < 31 => Some(last),
            _ => None,
        }
    }

    /// Whether `address` lies in it.
    pub fn contains(self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        address.is_ipv6() == self.is_v6() && Self::around(address, self.prefix) == self
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let wider = if self.prefix < other.prefix { self } else { other };
        wider.contains(self.network) && wider.contains(other.network)
    }

    /// Whether an interface can have `address`: it lies in it and is neither the first nor, in IPv4, the last.
    pub fn is_host(self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        self.contains(address) && address != self.network && (self.is_v6() || address != self.last())
    }

    /// The addresses interfaces can have, lowest first: all but the first and, in IPv4, the last.
    pub fn hosts(self) -> impl Iterator<Item = IpAddr> {
        let end = if self.is_v6() { self.last_bits() } else { self.last_bits().saturating_sub(1) };
        let mut next = Some(bits(self.network).saturating_add(1)).filter(|first| *first <= end);
        std::iter::from_fn(move || {
            let now = next?;
            next = now.checked_add(1).filter(|following| *following <= end);
            Some(of_bits(now, self.network))
        })
    }

    fn last_bits(self) -> u128 {
        let width = width(self.network);
        bits(self.network) | (mask(0, width) ^ mask(self.prefix, width) ^ u128::MAX >> (128 - u32::from(width)))
    }
}

/// How many bits addresses of this family have.
pub fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address that follows `address`, none after the last of its family.
pub fn following(address: IpAddr) -> Option<IpAddr> {
    let end = u128::MAX >> (128 - u32::from(width(address)));
    (bits(address) < end).then(|| of_bits(bits(address) + 1, address))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn of_bits(bits: u128, family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => Ipv4Addr::from(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(bits).into(),
    }
}

fn mask(prefix: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width));
    all & all.checked_shl(u32::from(width - prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a subnet like 10.20.0.0/16 or fd00:1::/64");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix > width(address) {
            return Err(wrong());
        }
        let subnet = Self::around(address, prefix);
        if subnet.network != address {
            return Err(format!("`{text}` has host bits set: the subnet is {subnet}"));
        }
        Ok(subnet)
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// The pools of IPv4 in the order they are tried: 172.17 to 172.31 as /16, as docker users know them; then 10/8 in /20 and
/// 192.168/16 in /24, so that networks run out after thousands and not after thirty.
pub fn pools() -> impl Iterator<Item = Subnet> {
    let docker = (17..=31).map(|n| Subnet::around(Ipv4Addr::new(172, n, 0, 0), 16));
    let ten = (0..4096_u32).map(|n| Subnet::around(Ipv4Addr::from(0x0a00_0000 + (n << 12)), 20));
    let home = (0..=255).map(|n| Subnet::around(Ipv4Addr::new(192, 168, n, 0), 24));
    docker.chain(ten).chain(home)
}

/// The first pool of IPv4 that overlaps none of `taken`.
pub fn choose(taken: &[Subnet]) -> Option<Subnet> {
    pools().find(|pool| !taken.iter().any(|t| t.overlaps(*pool)))
}

/// A /64 of IPv6 that overlaps none of `taken`: a unique local one (RFC 4193), whose 40 bits of chance and 16 bits of subnet
/// are the first seven bytes of `random`, or what follows them.
pub fn choose_v6(random: [u8; 7], taken: &[Subnet]) -> Option<Subnet> {
    let chance = random.iter().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
    (0..4096_u128).find_map(|more| {
        let chance = (chance + more) & (u128::MAX >> (128 - 56));
        let subnet = Subnet::around(Ipv6Addr::from(0xfd << 120 | chance << 64), 64);
        (!taken.iter().any(|t| t.overlaps(subnet))).then_some(subnet)
    })
}

#[cfg(test)]
mod tests {
    use super::{Subnet, choose, choose_v6, following, pools};
    use std::net::IpAddr;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn hosts(text: &str) -> Vec<String> {
        subnet(text).hosts().take(4).map(|a| a.to_string()).collect()
    }

    #[test]
    fn arithmetic_at_the_edges() {
        assert_eq!(hosts("10.1.2.0/30"), ["10.1.2.1", "10.1.2.2"]);
        assert_eq!(subnet("10.1.2.0/30").broadcast().unwrap().to_string(), "10.1.2.3");
        assert_eq!(subnet("10.1.2.0/31").broadcast(), None);
        assert_eq!(hosts("10.0.0.1/32"), [""; 0]);
        assert_eq!(hosts("10.0.0.0/31"), [""; 0]);
        assert!(subnet("0.0.0.0/0").contains([255, 255, 255, 255]));
        assert_eq!(subnet("0.0.0.0/0").last(), address("255.255.255.255"));
        assert!(subnet("10.0.0.0/8").overlaps(subnet("10.255.255.0/24")));
        assert!(!subnet("10.0.0.0/9").overlaps(subnet("10.128.0.0/9")));
        assert_eq!(following(address("10.0.0.255")), Some(address("10.0.1.0")));
        assert_eq!(following(address("255.255.255.255")), None);
        assert!(!subnet("10.0.0.0/8").is_host([10, 255, 255, 255]));
    }

    #[test]
    fn arithmetic_of_the_other_family() {
        assert_eq!(hosts("fd00::/126"), ["fd00::1", "fd00::2", "fd00::3"]);
        assert_eq!(hosts("fd00::/64").len(), 4);
        assert_eq!(subnet("fd00::/64").last(), address("fd00::ffff:ffff:ffff:ffff"));
        assert_eq!(subnet("fd00::/64").broadcast(), None);
        assert_eq!(subnet("::/0").last(), address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert!(subnet("::/0").contains(address("fd00::1")) && !subnet("::/0").contains(address("1.2.3.4")));
        assert!(!subnet("0.0.0.0/0").overlaps(subnet("::/0")));
        assert!(subnet("fd00::/8").overlaps(subnet("fd12:3::/64")));
        assert!(!subnet("fd00::/64").overlaps(subnet("fd00:0:0:1::/64")));
        assert!(subnet("fd00::/64").is_host(address("fd00::ffff:ffff:ffff:ffff")));
        assert!(!subnet("fd00::/64").is_host(address("fd00::")));
        assert_eq!(Subnet::only(address("fd00::5")).to_string(), "fd00::5/128");
    }

    #[test]
    fn wrong_subnets_are_named() {
        assert_eq!(
            "10.1.2.3/16".parse::<Subnet>().unwrap_err(),
            "`10.1.2.3/16` has host bits set: the subnet is 10.1.0.0/16"
        );
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/x"] {
            assert!(wrong.parse::<Subnet>().unwrap_err().contains("is not a subnet"), "{wrong}");
        }
    }

    #[test]
    fn pools_go_round_what_is_taken() {
        assert_eq!(choose(&[]), Some(subnet("172.17.0.0/16")));
        assert_eq!(choose(&[subnet("172.17.4.0/24")]), Some(subnet("172.18.0.0/16")));
        assert_eq!(choose(&[subnet("172.16.0.0/12")]), Some(subnet("10.0.0.0/20")));
        assert_eq!(choose(&[subnet("172.16.0.0/12"), subnet("10.0.0.0/8")]), Some(subnet("192.168.0.0/24")));
        assert_eq!(choose(&[subnet("0.0.0.0/0")]), None);
        assert_eq!(choose(&[subnet("::/0")]), Some(subnet("172.17.0.0/16")));
        assert!(pools().count() > 4000);
        let chance = [1, 2, 3, 4, 5, 6, 7];
        assert_eq!(choose_v6(chance, &[]), Some(subnet("fd01:203:405:607::/64")));
        assert_eq!(choose_v6(chance, &[subnet("fd01:203:405:607::/64")]), Some(subnet("fd01:203:405:608::/64")));
        assert_eq!(choose_v6([255; 7], &[subnet("fdff:ffff:ffff:ffff::/64")]), Some(subnet("fd00::/64")));
        assert_eq!(choose_v6(chance, &[subnet("fc00::/7")]), None);
    }
}
