//! Subnets: arithmetic, and the pools that networks without a subnet of their own are given.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 subnet: the network's address and how many bits of it are fixed. Host bits are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: u32,
    prefix: u8,
}

impl Subnet {
    /// The subnet of `prefix` bits that `address` lies in.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { network: address.to_bits() & mask(prefix), prefix }
    }

    /// How many bits are fixed.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address, which names the network.
    pub fn network(self) -> Ipv4Addr {
        self.network.into()
    }

    /// The last address, which reaches all.
    pub fn broadcast(self) -> Ipv4Addr {
        (self.network | !mask(self.prefix)).into()
    }

    /// Whether `address` lies in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let shared = mask(self.prefix.min(other.prefix));
        self.network & shared == other.network & shared
    }

    /// The addresses interfaces can have: all but the first and the last.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.network.saturating_add(1)..self.broadcast().to_bits()).map(Ipv4Addr::from)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not an IPv4 subnet like 10.20.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix > 32 {
            return Err(wrong());
        }
        let subnet = Self::around(address, prefix);
        if subnet.network() != address {
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

/// The pools in the order they are tried: 172.17 to 172.31 as /16, as docker users know them; then 10/8 in /20 and
/// 192.168/16 in /24, so that networks run out after thousands and not after thirty.
pub fn pools() -> impl Iterator<Item = Subnet> {
    let docker = (17..=31).map(|n| Subnet::around(Ipv4Addr::new(172, n, 0, 0), 16));
    let ten = (0..4096_u32).map(|n| Subnet::around(Ipv4Addr::from(0x0a00_0000 + (n << 12)), 20));
    let home = (0..=255).map(|n| Subnet::around(Ipv4Addr::new(192, 168, n, 0), 24));
    docker.chain(ten).chain(home)
}

/// The first pool that overlaps none of `taken`.
pub fn choose(taken: &[Subnet]) -> Option<Subnet> {
    pools().find(|pool| !taken.iter().any(|t| t.overlaps(*pool)))
}

#[cfg(test)]
mod tests {
    use super::{Subnet, choose, pools};

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn arithmetic_at_the_edges() {
        let net = subnet("10.1.2.0/30");
        assert_eq!(net.hosts().map(|a| a.to_string()).collect::<Vec<_>>(), ["10.1.2.1", "10.1.2.2"]);
        assert_eq!(net.broadcast().to_string(), "10.1.2.3");
        assert_eq!(subnet("10.0.0.1/32").hosts().count(), 0);
        assert_eq!(subnet("10.0.0.0/31").hosts().count(), 0);
        assert!(subnet("0.0.0.0/0").contains([255, 255, 255, 255].into()));
        assert!(subnet("10.0.0.0/8").overlaps(subnet("10.255.255.0/24")));
        assert!(!subnet("10.0.0.0/9").overlaps(subnet("10.128.0.0/9")));
    }

    #[test]
    fn wrong_subnets_are_named() {
        assert_eq!(
            "10.1.2.3/16".parse::<Subnet>().unwrap_err(),
            "`10.1.2.3/16` has host bits set: the subnet is 10.1.0.0/16"
        );
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/64", "10.0.0/8", "10.0.0.0/x"] {
            assert!(wrong.parse::<Subnet>().unwrap_err().contains("is not an IPv4 subnet"), "{wrong}");
        }
    }

    #[test]
    fn pools_go_round_what_is_taken() {
        assert_eq!(choose(&[]), Some(subnet("172.17.0.0/16")));
        assert_eq!(choose(&[subnet("172.17.4.0/24")]), Some(subnet("172.18.0.0/16")));
        assert_eq!(choose(&[subnet("172.16.0.0/12")]), Some(subnet("10.0.0.0/20")));
        assert_eq!(choose(&[subnet("172.16.0.0/12"), subnet("10.0.0.0/8")]), Some(subnet("192.168.0.0/24")));
        assert_eq!(choose(&[subnet("0.0.0.0/0")]), None);
        assert!(pools().count() > 4000);
    }
}
