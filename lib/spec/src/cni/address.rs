//! An address with its prefix: `10.1.0.5/16`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address and how many of its bits are the network's. Unlike a subnet it may have host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// How many bits are the network's.
    pub prefix: u8,
}

impl Cidr {
    /// The address with all bits of its own: /32 or /128.
    pub fn single(address: IpAddr) -> Self {
        Self { address, prefix: bits(address) }
    }

    /// The same without host bits: the network it is in.
    #[must_use]
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((a.to_bits() & mask).into())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((a.to_bits() & mask).into())
            }
        };
        Self { address, ..self }
    }

    /// Whether `address` is of the same network.
    pub fn contains(self, address: IpAddr) -> bool {
        let same_family = self.address.is_ipv4() == address.is_ipv4();
        same_family && Self { address, ..self }.network() == self.network()
    }

    /// Whether it is everything of its family.
    pub fn is_default(self) -> bool {
        self.prefix == 0 && self.address.is_unspecified()
    }
}

/// How many bits an address of this family has.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid CIDR address: {text}");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix > bits(address) {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Cidr;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_of_both_families() {
        assert_eq!(cidr("10.1.2.3/16").network(), cidr("10.1.0.0/16"));
        assert_eq!(cidr("fd00::1:2/64").network(), cidr("fd00::/64"));
        assert_eq!(cidr("1.2.3.4/0").network(), cidr("0.0.0.0/0"));
        assert!(cidr("10.1.0.1/16").contains([10, 1, 255, 255].into()));
        assert!(!cidr("10.1.0.1/16").contains("fd00::1".parse().unwrap()));
        assert!(cidr("::/0").is_default() && !cidr("::/1").is_default());
        assert_eq!(Cidr::single([1, 2, 3, 4].into()).to_string(), "1.2.3.4/32");
    }

    #[test]
    fn wrong_ones_are_named() {
        for wrong in ["", "10.0.0.1", "10.0.0.1/33", "::/129", "10.0.0/8", "10.0.0.1/-1", "10.0.0.1/+8"] {
            assert_eq!(wrong.parse::<Cidr>(), Err(format!("invalid CIDR address: {wrong}")));
        }
    }
}
