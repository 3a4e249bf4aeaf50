//! What a type must be able to do, and which types there are.

use super::call::Call;
use super::{bandwidth, bridge, child, firewall, fixed, host_local, loopback, network, portmap, ptp, tuning};
use spec::cni::{Attachment, Failure, Success};

/// A type of plugin.
pub(super) trait Plugin: Sync {
    /// Attaches or adjusts; undoes what it made when it fails.
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure>;

    /// Takes away what ADD made; that nothing is there is no error.
    fn del(&self, call: &Call<'_>) -> Result<(), Failure>;

    /// Whether everything is as ADD left it.
    fn check(&self, call: &Call<'_>) -> Result<(), Failure>;

    /// Whether ADD would be served.
    fn status(&self, _call: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes away what belongs to none of the `valid` attachments of the network.
    fn gc(&self, _call: &Call<'_>, _valid: &[Attachment]) -> Result<(), Failure> {
        Ok(())
    }
}

/// The types' names.
pub const NAMES: [&str; 13] = [
    "bridge",
    "ptp",
    "macvlan",
    "ipvlan",
    "vlan",
    "loopback",
    "portmap",
    "firewall",
    "tuning",
    "bandwidth",
    "host-local",
    "static",
    "netwire",
];

/// The type called `name`.
pub(super) fn of(name: &str) -> Option<&'static dyn Plugin> {
    Some(match name {
        "bridge" => &bridge::Bridge,
        "ptp" => &ptp::Ptp,
        "macvlan" => &child::MACVLAN,
        "ipvlan" => &child::IPVLAN,
        "vlan" => &child::VLAN,
        "portmap" => &portmap::Portmap,
        "firewall" => &firewall::Firewall,
        "tuning" => &tuning::Tuning,
        "bandwidth" => &bandwidth::Bandwidth,
        "host-local" => &host_local::HostLocal,
        "loopback" => &loopback::Loopback,
        "netwire" => &network::Network,
        "static" => &fixed::Static,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{NAMES, of};

    #[test]
    fn every_name_is_a_type() {
        for name in NAMES {
            assert!(of(name).is_some(), "{name}");
        }
        assert!(of("netwire2").is_none());
    }
}
