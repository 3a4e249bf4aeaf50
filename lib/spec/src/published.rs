//! Published ports as they are asked for, in docker's grammar: `[ip:][host[-range]]:ctr[-range][/proto]` (`nat.ParsePortSpec` of
//! docker's go-connections), with docker's words for what is wrong.
//!
//! ```text
//! 8080:80                 on every address, IPv4 and IPv6
//! 127.0.0.1:8080:80/udp   on one address
//! [::1]:8080:80           an IPv6 address may be in brackets
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
            other => Err(format!("invalid proto: {other}")),
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
pub struct Published {
    /// The one address of the machine it is published on. The unspecified one means all of its family; none all of both.
    pub address: Option<IpAddr>,
    /// The machine's port or ports.
    pub host: Host,
    /// The container's port or ports.
    pub container: RangeInclusive<u16>,
    /// The protocol.
    pub protocol: Protocol,
}

impl Published {
    /// Reads `text`, and gives it with the same text in one form: an IPv6 address in brackets, the protocol said.
    pub fn read(text: &str) -> Result<(Self, String), String> {
        let mut parts: Vec<&str> = text.split(':').collect();
        let inside = parts.pop().unwrap_or_default();
        let outside = parts.pop();
        let ip = parts.join(":");
        let (protocol, inside) = split_protocol(inside);
        let address = match ip.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(|| format!("invalid IP address {ip}: missing ']'"))?,
            None => &ip,
        };
        let on: Option<IpAddr> = match address {
            "" => None,
            address => Some(address.parse().map_err(|_| format!("invalid IP address: {address}"))?),
        };
        if inside.is_empty() {
            return Err(format!("no port specified: {text}<empty>"));
        }
        let container = range(inside).map_err(|_| format!("invalid containerPort: {inside}"))?;
        let host = match outside.unwrap_or_default() {
            "" => Host::Free,
            host => {
                let ports = range(host).map_err(|_| format!("invalid hostPort: {host}"))?;
                match (ports.len(), container.len()) {
                    _ if ports == (0..=0) => Host::Free,
                    (a, b) if a == b => Host::These(ports),
                    // A range outside for one port inside means any of it.
                    (_, 1) => Host::OneOf(ports),
                    _ => {
                        let why = "invalid ranges specified for container and host Ports";
                        return Err(format!("{why}: {inside} and {host}"));
                    }
                }
            }
        };
        let protocol: Protocol = protocol.parse()?;
        let before = match (on, outside) {
            (None, None) => String::new(),
            (None, Some(host)) => format!("{host}:"),
            (Some(IpAddr::V6(_)), host) => format!("[{address}]:{}:", host.unwrap_or_default()),
            (Some(IpAddr::V4(_)), host) => format!("{address}:{}:", host.unwrap_or_default()),
        };
        Ok((Self { address: on, host, container, protocol }, format!("{before}{inside}/{protocol}")))
    }

    /// Why it can be read and not be done, if so: port 0 is none.
    pub fn check(&self) -> Result<(), String> {
        if *self.container.start() == 0 {
            return Err(format!(
                "invalid containerPort: the container's port is 1 to 65535, not {}",
                self.container.start()
            ));
        }
        match &self.host {
            Host::These(ports) | Host::OneOf(ports) if *ports.start() == 0 => {
                Err("invalid hostPort: a range begins at 1 at least".into())
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Published {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (read, _) = Self::read(text)?;
        read.check().map(|()| read)
    }
}

/// `80/udp` is `udp` and `80`; docker drops what is behind a second slash.
pub fn split_protocol(text: &str) -> (&str, &str) {
    let mut parts = text.split('/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        (port, None | Some("")) => ("tcp", port),
        (port, Some(protocol)) => (protocol, port),
    }
}

/// A port's number; an error in the words of Go's `strconv.ParseUint`.
pub fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    let read = text.parse().ok().filter(|_| digits);
    read.ok_or_else(|| format!("strconv.ParseUint: parsing \"{text}\": {why}"))
}

/// `80` or `80-90`; an error in the words of docker's `nat.ParsePortRange`.
pub fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    if text.is_empty() {
        return Err("empty string specified for ports".into());
    }
    let Some((first, last)) = text.split_once('-') else {
        let port = number(text)?;
        return Ok(port..=port);
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first { Err(format!("invalid range specified for port: {text}")) } else { Ok(first..=last) }
}

impl fmt::Display for Published {
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
    use super::{Host, Published};

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
            ("::1:8080:80", "[::1]:8080:80/tcp"),
            ("[::]::80", "[::]::80/tcp"),
            ("0.0.0.0:80:80", "0.0.0.0:80:80/tcp"),
            ("8000-8010:9000-9010", "8000-8010:9000-9010/tcp"),
            ("9000-9010", ":9000-9010/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
        ] {
            let spec: Published = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(spec.to_string(), read, "{text}");
            assert_eq!(read.parse(), Ok(spec), "{text}");
        }
        assert!(matches!("1-2:80".parse::<Published>().unwrap().host, Host::OneOf(_)));
        assert!(matches!("1-2:3-4".parse::<Published>().unwrap().host, Host::These(_)));
    }

    /// What the client of docker 28.2 says to each.
    #[test]
    fn dockers_words() {
        for (text, said) in [
            ("a:80", "invalid hostPort: a"),
            ("80:a", "invalid containerPort: a"),
            ("127.0.0.1:80", "invalid hostPort: 127.0.0.1"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("70000:80", "invalid hostPort: 70000"),
            ("80:70000", "invalid containerPort: 70000"),
            ("80:+5", "invalid containerPort: +5"),
            ("8000-8001:80-82", "invalid ranges specified for container and host Ports: 80-82 and 8000-8001"),
            ("82-80:80", "invalid hostPort: 82-80"),
            ("80:82-80", "invalid containerPort: 82-80"),
            ("80:80/foo", "invalid proto: foo"),
            ("80:", "no port specified: 80:<empty>"),
            ("", "no port specified: <empty>"),
            ("80:80:80:80", "invalid IP address: 80:80"),
            ("localhost:80:80", "invalid IP address: localhost"),
            (":::80", "invalid IP address: :"),
            ("[::1:80:80", "invalid IP address [::1: missing ']'"),
            ("[fe80::1%eth0]:80:80", "invalid IP address: fe80::1%eth0"),
            ("-1:80", "invalid hostPort: -1"),
            ("x/tcp", "invalid containerPort: x"),
        ] {
            assert_eq!(Published::read(text).unwrap_err(), said, "{text}");
        }
        // docker finds these out later.
        for (text, why) in [("80:0", "1 to 65535"), ("0-5:80", "begins at 1")] {
            assert!(Published::read(text).is_ok() && text.parse::<Published>().unwrap_err().contains(why), "{text}");
        }
    }
}
