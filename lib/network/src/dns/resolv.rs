//! The machine's own name servers: `nameserver` lines of `/etc/resolv.conf` (resolv.conf(5)), as they are now.
//!
//! The file is looked at (one `stat`) whenever a question is passed on, so nothing has to be told that it changed, however
//! it is replaced. Servers on a loopback address are as good as others: we are on the machine and not in a container.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where every program looks.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of name servers.
pub(crate) const PORT: u16 = 53;
/// More are not asked, as in glibc (MAXNS).
pub(crate) const MOST_SERVERS: usize = 3;

/// A file's state: what changes when the file does.
pub(crate) type Stamp = (u64, u64, i64, i64, u64);

/// The state of the file at `path`.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let m = std::fs::metadata(path).ok()?;
    Some((m.dev(), m.ino(), m.mtime(), m.mtime_nsec(), m.size()))
}

/// The servers that a file names.
#[derive(Debug)]
pub(crate) struct Servers {
    path: PathBuf,
    seen: Option<Stamp>,
    servers: Vec<SocketAddr>,
}

impl Servers {
    /// Those of the file at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        // resolv.conf(5): without a nameserver line it is the one on this machine.
        Self { path: path.to_owned(), seen: None, servers: vec![SocketAddr::new([127, 0, 0, 1].into(), PORT)] }
    }

    /// Those it names now; where it cannot be read or is just being written, those it named last.
    pub(crate) fn now(&mut self) -> &[SocketAddr] {
        let now = stamp(&self.path);
        if now.is_some() && now != self.seen {
            let text = std::fs::read(&self.path).unwrap_or_default();
            let servers = parse(&String::from_utf8_lossy(&text));
            if !servers.is_empty() {
                (self.seen, self.servers) = (now, servers);
            }
        }
        &self.servers
    }
}

/// The servers `text` names, in order.
fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        address(words.next()?)
    };
    text.lines().filter_map(server).take(MOST_SERVERS).collect()
}

/// An address, of link-local ones with the link they are on: `fe80::1%eth0`.
fn address(text: &str) -> Option<SocketAddr> {
    let Some((address, link)) = text.split_once('%') else {
        return text.parse().ok().map(|address: IpAddr| SocketAddr::new(address, PORT));
    };
    let index = link.parse().ok().or_else(|| index_of(link))?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, index).into())
}

/// The number of the link called `name`.
pub(crate) fn index_of(name: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
    let any = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    netdevice::name_to_index(any, name).ok()
}

#[cfg(test)]
mod tests {
    use super::{Servers, parse};

    #[test]
    fn lines() {
        let text = "# nameserver 9.9.9.9\n\tnameserver  10.0.0.1 # mine\nsearch x\nnameserver fe80::1%1\nnameserver x\n\
                    nameserver ::1\nnameserver 10.0.0.4\noptions nameserver 1.1.1.1";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1:53", "[fe80::1%1]:53", "[::1]:53"]);
        assert!(parse("").is_empty() && parse("nameserver").is_empty());
    }

    #[test]
    fn the_file_is_read_again_when_it_changes() {
        let path = std::env::temp_dir().join(format!("resolv-test-{}", std::process::id()));
        let mut servers = Servers::of(&path);
        let mut now = || servers.now().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(now(), "127.0.0.1:53");
        std::fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
        assert_eq!(now(), "10.0.0.1:53");
        std::fs::write(&path, "").unwrap();
        assert_eq!(now(), "10.0.0.1:53", "just being written");
        std::fs::write(&path, "nameserver 10.0.0.2\nnameserver 10.0.0.3\n").unwrap();
        assert_eq!(now(), "10.0.0.2:53 10.0.0.3:53");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(now(), "10.0.0.2:53 10.0.0.3:53");
    }
}
