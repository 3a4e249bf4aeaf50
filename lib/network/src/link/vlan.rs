//! VLAN: the packets of a cable that carry one tag (net/8021q/).

use super::Child;
use crate::socket::Request;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan, VlanProtocol};

/// The tags that mean something: 0 is none, 4095 is kept by the standard.
pub const TAGS: std::ops::RangeInclusive<u16> = 1..=4094;

/// Makes the link of `tag` (802.1Q) on its parent. There can be one on a parent. It cannot be set up while the parent is down.
pub fn create(child: &Child<'_>, tag: u16) -> Request {
    let data = vec![InfoVlan::Id(tag), InfoVlan::Protocol(VlanProtocol::Ieee8021Q)];
    child.create(InfoKind::Vlan, InfoData::Vlan(data))
}

/// Reads a tag.
pub fn parse_tag(text: &str) -> Result<u16, String> {
    let tag = text.parse().ok().filter(|tag| TAGS.contains(tag));
    tag.ok_or_else(|| format!("`{text}` is no VLAN: a number from {} to {}", TAGS.start(), TAGS.end()))
}

/// Parent and tag of a name that says both, as everybody writes it: `eth0.50`.
pub fn split(name: &str) -> Option<(&str, u16)> {
    let (parent, tag) = name.rsplit_once('.')?;
    (!parent.is_empty() && !tag.starts_with(['0', '+'])).then_some(())?;
    Some((parent, parse_tag(tag).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{parse_tag, split};

    #[test]
    fn names_say_parent_and_tag() {
        assert_eq!(split("eth0.50"), Some(("eth0", 50)));
        assert_eq!(split("eth0.50.7"), Some(("eth0.50", 7)));
        for name in ["eth0", "eth0.", ".5", "eth0.0", "eth0.4095", "eth0.x", "eth0.05", "eth0.+5"] {
            assert_eq!(split(name), None, "{name}");
        }
        assert!(parse_tag("4095").unwrap_err().contains("1 to 4094"));
    }
}
