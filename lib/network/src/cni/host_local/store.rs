//! The folder of a network's addresses, in the reference's own format.
//!
//! ```text
//! DATA/NETWORK/lock                   held by flock while anybody works here
//! DATA/NETWORK/10.1.0.5               a reserved address; content: the container's id, CR LF, the interface
//! DATA/NETWORK/last_reserved_ip.0     the address given last from range set 0
//! ```
//!
//! A reservation gets its content before its name (renamed into place, under the lock), so that `kill -9` leaves none that belongs to nobody.
//! Older ones without an interface belong to all of the container's.

use nix::fcntl::{Flock, FlockArg};
use spec::cni::failure::code;
use spec::cni::{Attachment, Failure};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const LAST: &str = "last_reserved_ip.";
const HALF_DONE: &str = ".reserving";
const LINE_BREAK: &str = "\r\n";

/// The folder, locked until this is dropped.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    _lock: Flock<File>,
}

fn wrong(what: &str, path: &Path, e: &io::Error) -> Failure {
    Failure::new(code::IO, format!("host-local: {what} {}: {e}", path.display()))
}

impl Store {
    /// Opens and locks the folder, which is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|e| wrong("create", folder, &e))?;
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o750);
        let mut file = options.open(&path).map_err(|e| wrong("open", &path, &e))?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => return Ok(Self { folder: folder.to_path_buf(), _lock: lock }),
                Err((again, nix::Error::EINTR)) => file = again,
                Err((_, errno)) => return Err(wrong("lock", &path, &errno.into())),
            }
        }
    }

    /// The same, if there is such a folder.
    pub(super) fn open_existing(folder: &Path) -> Result<Option<Self>, Failure> {
        if folder.is_dir() { Self::open(folder).map(Some) } else { Ok(None) }
    }

    /// Writes `address` down for `owner` if it is free; it is the last one of range set `set` from then on.
    pub(super) fn reserve(&self, address: IpAddr, owner: &Attachment, set: usize) -> Result<bool, Failure> {
        let path = self.folder.join(address.to_string());
        if path.exists() {
            return Ok(false);
        }
        let half_done = self.folder.join(HALF_DONE);
        let content = format!("{}{LINE_BREAK}{}", owner.container, owner.interface);
        std::fs::write(&half_done, content).map_err(|e| wrong("write", &half_done, &e))?;
        std::fs::rename(&half_done, &path).map_err(|e| wrong("write", &path, &e))?;
        let last = self.folder.join(format!("{LAST}{set}"));
        std::fs::write(&last, address.to_string()).map_err(|e| {
            self.release(address);
            wrong("write", &last, &e)
        })?;
        Ok(true)
    }

    /// Gives `address` back.
    pub(super) fn release(&self, address: IpAddr) {
        let _ = std::fs::remove_file(self.folder.join(address.to_string()));
    }

    /// The address given last from range set `set`.
    pub(super) fn last(&self, set: usize) -> Option<IpAddr> {
        std::fs::read_to_string(self.folder.join(format!("{LAST}{set}"))).ok()?.trim().parse().ok()
    }

    /// All reserved addresses.
    pub(super) fn taken(&self) -> Result<HashSet<IpAddr>, Failure> {
        Ok(self.names()?.into_iter().collect())
    }

    /// The addresses of `owner`: those with its interface, or else those that say only the container.
    pub(super) fn of(&self, owner: &Attachment) -> Result<Vec<IpAddr>, Failure> {
        let all = self.reservations()?;
        let by = |wanted: String| -> Vec<IpAddr> {
            all.iter().filter(|(_, content)| *content == wanted).map(|(address, _)| *address).collect()
        };
        let exact = by(format!("{}{LINE_BREAK}{}", owner.container, owner.interface));
        Ok(if exact.is_empty() { by(owner.container.clone()) } else { exact })
    }

    /// Gives all addresses of `owner` back.
    pub(super) fn release_all_of(&self, owner: &Attachment) -> Result<(), Failure> {
        self.remove(&self.of(owner)?)
    }

    /// Gives all addresses back whose owner is none of `valid`.
    pub(super) fn release_all_but(&self, valid: &[Attachment]) -> Result<(), Failure> {
        let stale = |content: &str| match content.split_once(LINE_BREAK) {
            Some((container, interface)) => !valid.iter().any(|a| a.container == container && a.interface == interface),
            None => !valid.iter().any(|a| a.container == content),
        };
        let stale: Vec<_> = self.reservations()?.into_iter().filter(|(_, c)| stale(c)).map(|(ip, _)| ip).collect();
        self.remove(&stale)
    }

    /// Removes what it can; the error is the first.
    fn remove(&self, addresses: &[IpAddr]) -> Result<(), Failure> {
        let mut first = None;
        for address in addresses {
            let path = self.folder.join(address.to_string());
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => drop(first.get_or_insert(wrong("remove", &path, &e))),
                _ => {}
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn names(&self) -> Result<Vec<IpAddr>, Failure> {
        let entries = std::fs::read_dir(&self.folder).map_err(|e| wrong("read", &self.folder, &e))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    /// Addresses and their content. One that vanishes meanwhile or cannot be read belongs to nobody we know.
    fn reservations(&self) -> Result<Vec<(IpAddr, String)>, Failure> {
        let read = |address: IpAddr| {
            let content = std::fs::read_to_string(self.folder.join(address.to_string())).ok()?;
            Some((address, content.trim().to_owned()))
        };
        Ok(self.names()?.into_iter().filter_map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Store;
    use spec::cni::Attachment;

    fn owner(container: &str, interface: &str) -> Attachment {
        Attachment { container: container.into(), interface: interface.into() }
    }

    #[test]
    fn speaks_the_references_format() {
        let folder = std::env::temp_dir().join(format!("veneer-host-local-store-{}", std::process::id()));
        assert!(Store::open_existing(&folder).unwrap().is_none());
        let store = Store::open(&folder).unwrap();
        let one = [10, 0, 0, 2].into();
        assert!(store.reserve(one, &owner("a", "eth0"), 0).unwrap());
        assert!(!store.reserve(one, &owner("b", "eth0"), 0).unwrap());
        assert_eq!(std::fs::read_to_string(folder.join("10.0.0.2")).unwrap(), "a\r\neth0");
        assert_eq!(std::fs::read_to_string(folder.join("last_reserved_ip.0")).unwrap(), "10.0.0.2");
        std::fs::write(folder.join("10.0.0.3"), "old").unwrap();
        std::fs::write(folder.join("fd00::3"), "c\r\neth1").unwrap();
        assert_eq!(store.of(&owner("old", "eth7")).unwrap(), [std::net::IpAddr::from([10, 0, 0, 3])]);
        assert_eq!(store.taken().unwrap().len(), 3);
        store.release_all_but(&[owner("a", "eth0"), owner("old", "x"), owner("c", "eth0")]).unwrap();
        assert_eq!(store.taken().unwrap().len(), 2, "only the stale one is gone");
        store.release_all_of(&owner("a", "eth0")).unwrap();
        store.release_all_of(&owner("a", "eth0")).unwrap();
        assert_eq!((store.taken().unwrap().len(), store.last(0)), (1, Some(one)));
        drop(store);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
