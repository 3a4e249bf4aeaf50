//! Ports in docker's grammar, with docker's words for what is wrong: `-p`, `--expose`, and how listings show them.
//!
//! What is checked here is handed on to `netwire attach -p` as it was written; which ports of the machine it became is in what
//! that prints.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
pub use spec::published::number as parse;
use spec::published::{Published, range, split_protocol};

/// An error in docker's words alone.
fn wrong(text: String) -> Error {
    Error::new(Kind::Request, "", text)
}

/// A published port or range, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// As netwire takes it: `[ip:][first[-last]]:first[-last]/proto`, or without what is before the last colon.
    pub spec: String,
    /// The ports inside, first and last.
    pub container: (u16, u16),
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl Publish {
    /// Reads `-p`'s value, also docker's long form with `target=`.
    pub fn parse(text: &str) -> Result<Self> {
        let (read, spec) = Published::read(&standard_notation(text)?).map_err(wrong)?;
        let container = (*read.container.start(), *read.container.end());
        Ok(Self { spec, container, protocol: read.protocol.to_string() })
    }
}

/// docker's long form, `published=8080,target=80,protocol=udp`, as the short one.
fn standard_notation(text: &str) -> Result<String> {
    if !text.contains('=') {
        return Ok(text.to_owned());
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("published" | "PublishedPort", value)) => published = value,
            Some(("target" | "TargetPort", value)) => target = value,
            Some(("protocol" | "Protocol", value)) => protocol = value,
            Some(("mode" | "PublishMode", _)) => {}
            _ => return Err(wrong(format!("invalid publish opts format (should be name=value but got '{field}')"))),
        }
    }
    let before = if published.is_empty() { String::new() } else { format!("{published}:") };
    Ok(format!("{before}{target}/{protocol}"))
}

/// `80`, `80/udp`, `80-90`: first and last, and the protocol; an error in Go's words.
pub fn parse_range(text: &str) -> std::result::Result<(std::ops::RangeInclusive<u16>, String), String> {
    let (protocol, port) = split_protocol(text);
    Ok((range(port)?, protocol.to_lowercase()))
}

/// A port that is only told, `80/tcp`: the image's `ExposedPorts` and `--expose`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Exposed {
    /// The port inside.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl Exposed {
    /// Reads `--expose`'s value: a port or a range.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        if text.contains(':') {
            return Err(wrong(format!("invalid port format for --expose: {text}")));
        }
        let (protocol, port) = split_protocol(text);
        let ports =
            range(port).map_err(|why| wrong(format!("invalid range format for --expose: {text}, error: {why}")))?;
        Ok(ports.map(|port| Self { port, protocol: protocol.to_lowercase() }).collect())
    }

    /// `80/tcp`
    pub fn text(&self) -> String {
        format!("{}/{}", self.port, self.protocol)
    }
}

/// A port of the machine that leads into a container: what `netwire attach` printed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The address outside.
    pub host_ip: String,
    /// The port outside.
    pub host_port: u16,
    /// The port inside.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl Bound {
    /// `0.0.0.0:8080`, `[::]:8080`
    pub fn outside(&self) -> String {
        join(&self.host_ip, &self.host_port.to_string())
    }
}

fn join(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// The column PORTS: neighbours are one range, ports that keep their number are grouped by address, the others come last
/// (docker's `formatter.DisplayablePorts`).
pub fn display(bound: &[Bound], exposed: &[Exposed]) -> String {
    let told = exposed.iter().filter(|e| !bound.iter().any(|b| b.container_port == e.port && b.protocol == e.protocol));
    let told = told.map(|e| (e.port, "", 0, e.protocol.as_str()));
    let mut all: Vec<_> = bound
        .iter()
        .map(|b| (b.container_port, b.host_ip.as_str(), b.host_port, b.protocol.as_str()))
        .chain(told)
        .collect();
    all.sort_unstable();
    let group = |(ip, protocol): (&str, &str), first: u16, last: u16| {
        let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
        match ip {
            "" => format!("{ports}/{protocol}"),
            ip => format!("{}->{ports}/{protocol}", join(ip, &ports)),
        }
    };
    let (mut groups, mut closed, mut moved) = (Vec::<((&str, &str), u16, u16)>::new(), Vec::new(), Vec::new());
    for (inside, ip, outside, protocol) in all {
        if !ip.is_empty() && outside != inside {
            moved.push(format!("{}->{inside}/{protocol}", join(ip, &outside.to_string())));
            continue;
        }
        match groups.iter_mut().find(|(key, ..)| *key == (ip, protocol)) {
            None => groups.push(((ip, protocol), inside, inside)),
            Some((_, _, last)) if last.checked_add(1) == Some(inside) => *last = inside,
            Some((key, first, last)) => {
                closed.push(group(*key, *first, *last));
                (*first, *last) = (inside, inside);
            }
        }
    }
    closed.extend(groups.into_iter().map(|(key, first, last)| group(key, first, last)));
    closed.extend(moved);
    closed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handed_on_as_they_were_written() {
        for (text, spec) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            (":80", ":80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("::1:80:80", "[::1]:80:80/tcp"),
            ("[::1]::80", "[::1]::80/tcp"),
            ("80:80/TCP", "80:80/tcp"),
            ("80/tcp/udp", "80/tcp"),
            ("8000-8002:80", "8000-8002:80/tcp"),
            ("8000-8002:80-82/udp", "8000-8002:80-82/udp"),
            ("8080:80/", "8080:80/tcp"),
            ("target=80,published=8080,protocol=udp", "8080:80/udp"),
        ] {
            assert_eq!(Publish::parse(text).unwrap().spec, spec, "{text}");
        }
    }

    #[test]
    fn exposed() {
        assert_eq!(
            Exposed::parse("80-82/UDP").unwrap().iter().map(Exposed::text).collect::<Vec<_>>(),
            ["80/udp", "81/udp", "82/udp"]
        );
        let said = |text: &str| Exposed::parse(text).unwrap_err().to_string();
        let syntax = "strconv.ParseUint: parsing \"a\": invalid syntax";
        assert_eq!(said("a"), format!("invalid range format for --expose: a, error: {syntax}"));
        assert_eq!(said("80:80"), "invalid port format for --expose: 80:80");
        assert_eq!(
            said("82-80"),
            "invalid range format for --expose: 82-80, error: invalid range specified for port: 82-80"
        );
        assert_eq!(said(""), "invalid range format for --expose: , error: empty string specified for ports");
        let range = "strconv.ParseUint: parsing \"70000\": value out of range";
        assert_eq!(said("70000"), format!("invalid range format for --expose: 70000, error: {range}"));
    }

    #[test]
    fn columns() {
        let bound = |ip: &str, host_port, container_port| Bound {
            host_ip: ip.into(),
            host_port,
            container_port,
            protocol: "tcp".into(),
        };
        let exposed = |port| Exposed { port, protocol: "tcp".into() };
        assert_eq!(
            display(&[bound("0.0.0.0", 8080, 80), bound("::", 8080, 80)], &[exposed(80)]),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(display(&[], &[exposed(80)]), "80/tcp");
        assert_eq!(display(&[], &[exposed(102), exposed(100), exposed(101), exposed(9)]), "9/tcp, 100-102/tcp");
        let kept: Vec<Bound> = (100..=102).map(|port| bound("127.0.0.1", port, port)).collect();
        assert_eq!(display(&kept, &[]), "127.0.0.1:100-102->100-102/tcp");
    }
}
