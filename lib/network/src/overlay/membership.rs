//! How this host is a member of an overlay network: written at `join`, kept for good, so that `restore` can join again.

use crate::error::{Error, Kind, Result, failed};
use crate::etcd::{Client, Login};
use crate::state::{self, Durability, State};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// The form in which memberships are written; a newer one is refused.
const FORMAT: u32 = 1;

/// How this host is a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The form of this record.
    pub format: u32,
    /// What tells this host from one that has its address by mistake: 16 hexadecimal digits.
    pub id: String,
    /// How the other hosts are known.
    #[serde(flatten)]
    pub source: Source,
}

/// How the other hosts are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Source {
    /// They were named.
    Peers {
        /// Their addresses.
        hosts: Vec<IpAddr>,
    },
    /// They stand in a file, one address a line.
    File {
        /// The file.
        path: PathBuf,
    },
    /// They listen to a multicast group.
    Group {
        /// The group.
        group: IpAddr,
    },
    /// They are members in etcd.
    Etcd(Cluster),
}

/// Where in which etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `host:port` each.
    pub endpoints: Vec<String>,
    /// What the keys begin with.
    pub prefix: String,
    /// After how many seconds without a sign of life a host is no member any more.
    pub ttl_s: u64,
    /// The user, if etcd wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file with the user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl Cluster {
    /// A client of it. The password is read now.
    pub fn client(&self) -> Result<Client> {
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|e| failed("read password", path.display(), e))?;
                Some(Login { user: user.clone(), password: text.trim_end_matches(['\r', '\n']).to_owned() })
            }
            _ => None,
        };
        Ok(Client::new(self.endpoints.clone(), login))
    }
}

impl Membership {
    /// A new one.
    pub fn new(source: Source) -> Result<Self> {
        let mut random = [0_u8; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| failed("get random bytes", "", e))?;
        Ok(Self { format: FORMAT, id: random.iter().map(|b| format!("{b:02x}")).collect(), source })
    }

    /// That of `network`, if it was joined.
    pub fn load(state: &State, network: &str) -> Result<Option<Self>> {
        let path = state.membership_path(network);
        let Some(bytes) = state::load(&path)? else { return Ok(None) };
        let found: Self = serde_json::from_slice(&bytes).map_err(|e| state::damaged(&path, e))?;
        if found.format > FORMAT {
            return Err(Error::new(Kind::Unsupported, "read", path.display())
                .because(format!("its format is {}, this netwire knows up to {FORMAT}", found.format))
                .hint("use the newer netwire that wrote it"));
        }
        Ok(Some(found))
    }

    /// Writes it down.
    pub fn store(&self, state: &State, network: &str) -> Result<()> {
        let path = state.membership_path(network);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| state::damaged(&path, e))?;
        bytes.push(b'\n');
        state::replace_locked(&path, &bytes, Durability::Disk)
    }

    /// The other hosts, where they are known without asking anybody; `local` is this one's own address.
    pub fn peers(&self, local: IpAddr) -> Result<Vec<IpAddr>> {
        let mut peers = match &self.source {
            Source::Peers { hosts } => hosts.clone(),
            Source::File { path } => {
                let text = std::fs::read_to_string(path).map_err(|e| failed("read peers from", path.display(), e))?;
                parse_peers(&text)
                    .map_err(|why| Error::new(Kind::Invalid, "read peers from", path.display()).because(why))?
            }
            Source::Group { .. } | Source::Etcd(_) => Vec::new(),
        };
        peers.retain(|peer| *peer != local);
        if let Some(other) = peers.iter().find(|peer| peer.is_ipv4() != local.is_ipv4()) {
            return Err(Error::new(Kind::Invalid, "reach host", other)
                .because(format!("this host's own address in the network is {local}, of the other family"))
                .hint("create the network with -o local=ADDRESS of that family"));
        }
        Ok(peers)
    }
}

/// The addresses in a file of peers: one a line, with `#` before what is for people. The own one may be among them, so that
/// all hosts can have the same file.
pub fn parse_peers(text: &str) -> std::result::Result<Vec<IpAddr>, String> {
    let lines = text.lines().enumerate().map(|(n, line)| (n, line.split('#').next().unwrap_or_default().trim()));
    let filled = lines.filter(|(_, line)| !line.is_empty());
    filled.map(|(n, line)| line.parse().map_err(|_| format!("line {}: `{line}` is no address", n + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Membership, Source, parse_peers};

    #[test]
    fn files_of_peers() {
        let peers = parse_peers("# ours\n192.0.2.1\n\n 192.0.2.2 # the second\r\n2001:db8::1\n").unwrap();
        assert_eq!(peers.len(), 3);
        assert_eq!(parse_peers("192.0.2.1\nhost\n"), Err("line 2: `host` is no address".into()));
    }

    #[test]
    fn what_is_written_is_read() {
        for source in [
            Source::Peers { hosts: vec!["192.0.2.2".parse().unwrap()] },
            Source::File { path: "/etc/peers".into() },
            Source::Group { group: "239.1.1.1".parse().unwrap() },
            Source::Etcd(Cluster {
                endpoints: vec!["127.0.0.1:2379".into()],
                prefix: "veneer".into(),
                ttl_s: 15,
                user: None,
                password_file: None,
            }),
        ] {
            let made = Membership::new(source).unwrap();
            let text = serde_json::to_string(&made).unwrap();
            assert_eq!(serde_json::from_str::<Membership>(&text).unwrap(), made, "{text}");
        }
        let mut own = Membership::new(Source::Peers { hosts: vec!["192.0.2.2".parse().unwrap()] }).unwrap();
        assert!(own.peers("192.0.2.2".parse().unwrap()).unwrap().is_empty(), "oneself is no peer");
        own.source = Source::Peers { hosts: vec!["2001:db8::1".parse().unwrap()] };
        assert!(own.peers("192.0.2.2".parse().unwrap()).unwrap_err().hint.is_some());
    }
}
