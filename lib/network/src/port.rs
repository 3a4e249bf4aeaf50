//! Published ports as they are asked for: docker's `[ip:][host[-range]]:ctr[-range][/proto]`.
//!
//! ```text
//! 8080:80                 on every address, IPv4 and IPv6
//! 127.0.0.1:8080:80/udp   on one address
//! [::1]:8080:80           an IPv6 address is in brackets
//! 80, :80, 0:80, ip::80   a free port is chosen
//! 8000-8010:9000-9010     each to its own
//! 8000-8010:80            the first of them that is free
//! ```

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// Its number in an IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(format!("`{text}` is not tcp, udp or sctp")),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which port of the machine is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Any that is free.
    Free,
    /// This one, or as many as there are in the container, in the same order.
    These(RangeInclusive<u16>),
    /// The first of these that is free, for the container's one.
    OneOf(RangeInclusive<u16>),
}

/// One wish: a port or a range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The one address of the machine it is published on. The unspecified one means all of its family; none all of both.
    pub address: Option<IpAddr>,
    /// The machine's port or ports.
    pub host: Host,
    /// The container's port or ports.
    pub container: RangeInclusive<u16>,
    /// The protocol.
    pub protocol: Protocol,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is no published port: {why}; it is [IP:][PORT]:PORT[/PROTOCOL]");
        let (rest, protocol) = match text.rsplit_once('/') {
            Some((rest, protocol)) => (rest, protocol.parse().map_err(|why: String| wrong(&why))?),
            None => (text, Protocol::Tcp),
        };
        let (rest, container) = rest.rsplit_once(':').map_or(("", rest), |(rest, container)| (rest, container));
        let (address, host) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (address, host) =
                    bracketed.split_once("]:").ok_or_else(|| wrong("a bracket is not closed before the port"))?;
                (Some(address), host)
            }
            None => match rest.rsplit_once(':') {
                Some((address, host)) => (Some(address).filter(|a| !a.is_empty()), host),
                None => (None, rest),
            },
        };
        let address = match address {
            Some(address) if address.contains(':') && !rest.starts_with('[') => {
                return Err(wrong("an IPv6 address is written in brackets"));
            }
            Some(address) => {
                Some(address.parse().map_err(|_| wrong(&format!("`{address}` is no address of this machine")))?)
            }
            None => None,
        };
        let container = ports(container).map_err(|why| wrong(&why))?;
        if *container.start() == 0 {
            return Err(wrong("the container's port is 1 to 65535"));
        }
        let host = match host {
            "" | "0" => Host::Free,
            host => {
                let host = ports(host).map_err(|why| wrong(&why))?;
                if *host.start() == 0 {
                    return Err(wrong("a range begins at 1 at least"));
                }
                match (host.len(), container.len()) {
                    (a, b) if a == b => Host::These(host),
                    (_, 1) => Host::OneOf(host),
                    (a, b) => return Err(wrong(&format!("{a} ports cannot lead to {b}"))),
                }
            }
        };
        Ok(Self { address, host, container, protocol })
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits).ok_or_else(|| format!("`{text}` is no port"))
    };
    let (first, last) = text.split_once('-').map_or_else(
        || port(text).map(|one| (one, one)),
        |(first, last)| Ok::<_, String>((port(first)?, port(last)?)),
    )?;
    if first > last {
        return Err(format!("the range {text} ends before it begins"));
    }
    Ok(first..=last)
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        let range = |f: &mut fmt::Formatter<'_>, ports: &RangeInclusive<u16>| match ports.len() {
            1 => write!(f, "{}", ports.start()),
            _ => write!(f, "{}-{}", ports.start(), ports.end()),
        };
        if let Host::These(ports) | Host::OneOf(ports) = &self.host {
            range(f, ports)?;
        }
        f.write_str(":")?;
        range(f, &self.container)?;
        write!(f, "/{}", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, Spec};

    #[test]
    fn as_docker_reads_them() {
        for (text, read) in [
            ("8080:80", "8080:80/tcp"),
            ("80", ":80/tcp"),
            (":80", ":80/tcp"),
            ("0:80/udp", ":80/udp"),
            ("80/SCTP", ":80/sctp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80/udp", "[::1]:8080:80/udp"),
            ("[::]::80", "[::]::80/tcp"),
            ("0.0.0.0:80:80", "0.0.0.0:80:80/tcp"),
            ("8000-8010:9000-9010", "8000-8010:9000-9010/tcp"),
            ("9000-9010", ":9000-9010/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
        ] {
            let spec: Spec = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(spec.to_string(), read, "{text}");
            assert_eq!(read.parse(), Ok(spec), "{text}");
        }
        assert!(matches!("1-2:80".parse::<Spec>().unwrap().host, Host::OneOf(_)));
        assert!(matches!("1-2:3-4".parse::<Spec>().unwrap().host, Host::These(_)));
    }

    #[test]
    fn what_cannot_be_meant() {
        for (text, why) in [
            ("", "`` is no port"),
            ("x:80", "`x` is no port"),
            ("80:", "`` is no port"),
            ("80:0", "1 to 65535"),
            ("80:70000", "`70000` is no port"),
            ("80:+5", "`+5` is no port"),
            ("0-5:80", "begins at 1"),
            ("8000-8001:1-3", "2 ports cannot lead to 3"),
            ("8000:1-3", "1 ports cannot lead to 3"),
            ("9-8:80", "ends before it begins"),
            ("80:80/icmp", "`icmp` is not tcp"),
            ("::1:80:80", "in brackets"),
            ("[::1:80", "not closed"),
            ("localhost:80:80", "`localhost` is no address"),
        ] {
            let said = text.parse::<Spec>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
