//! What is published, on disk: one file for each container on a network.
//!
//! ```text
//! LEASES/.ports/NETWORK/CONTAINER
//!   {"boot":"…","container":"c1"}                                            which boot it means something in
//!   {"address":null,"port":8080,"protocol":"tcp","to":["172.17.0.2"],"inside":80}    published
//!   {"gone":8080,"protocol":"tcp","address":null}                            no longer
//! ```
//!
//! Lines are only added, so a port costs the same whether the container has none or thousands. A line cut short by a crash is
//! passed over. The file is locked while ports come and go, removed with its last port, and written anew when most of its
//! lines speak of what is gone; who waited for the lock of a removed file looks for it again.

use crate::error::{Result, failed};
use crate::lease;
use crate::nft::ports::Entry;
use crate::state::State;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use spec::published::Protocol;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Below this many lines nobody tidies up.
const TIDY_AT: usize = 256;

/// Which port of the machine: its address, if one, and protocol and number.
pub type Door = (Option<IpAddr>, Protocol, u16);

/// Where a door leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The container's addresses, at most one a family.
    pub to: Vec<IpAddr>,
    /// The port there.
    pub inside: u16,
    /// Whether the port of the machine was chosen for the container.
    #[serde(default)]
    pub chosen: bool,
}

/// A door and where it leads as the rules want it: an entry a family.
pub fn entries(door: &Door, way: &Way) -> impl Iterator<Item = Entry> {
    let (address, protocol, port) = *door;
    let inside = way.inside;
    way.to.clone().into_iter().filter(move |to| address.is_none_or(|a| a.is_ipv4() == to.is_ipv4())).map(move |to| {
        let host = address.filter(|a| !a.is_unspecified());
        Entry { host, protocol: protocol.number(), port, to: SocketAddr::new(to, inside) }
    })
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Head {
        boot: String,
        container: String,
    },
    Gone {
        gone: u16,
        protocol: Protocol,
        address: Option<IpAddr>,
    },
    There {
        address: Option<IpAddr>,
        port: u16,
        protocol: Protocol,
        #[serde(flatten)]
        way: Way,
    },
}

/// The ports of one container on one network, locked.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    file: Flock<File>,
    container: String,
    boot: String,
    lines: usize,
    doors: BTreeMap<Door, Way>,
}

impl Book {
    /// Opens and locks it, and makes it where `create` says so; else there may be none.
    pub fn open(state: &State, network: &str, container: &str, create: bool) -> Result<Option<Self>> {
        let path = folder(state).join(network).join(file_name(container));
        let wrong = |e: io::Error| failed("open", path.display(), e);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(create).mode(0o644);
            let file = match options.open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && !create => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(wrong)?;
                    continue;
                }
                opened => opened.map_err(wrong)?,
            };
            let mut file = lock(file).map_err(wrong)?;
            if file.metadata().map_err(wrong)?.nlink() == 0 {
                continue;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(wrong)?;
            let boot = lease::boot_id();
            let read = read(&bytes, &boot);
            let mut book =
                Self { path, file, container: container.to_owned(), boot, lines: read.lines, doors: read.doors };
            if read.stale || bytes.last().is_some_and(|last| *last != b'\n') {
                book.rewrite()?;
            }
            return Ok(Some(book));
        }
    }

    /// All that is published.
    pub fn doors(&self) -> &BTreeMap<Door, Way> {
        &self.doors
    }

    /// Writes down what is to be published.
    pub fn enter(&mut self, new: &[(Door, Way)]) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        if self.lines == 0 {
            write_line(&mut text, &self.head());
        }
        for ((address, protocol, port), way) in new {
            let line = Line::There { address: *address, port: *port, protocol: *protocol, way: way.clone() };
            write_line(&mut text, &line);
        }
        self.append(&text)?;
        self.lines += new.len() + usize::from(self.lines == 0);
        self.doors.extend(new.iter().cloned());
        Ok(())
    }

    /// Forgets what is published no longer; with the last one goes the file.
    pub fn strike(&mut self, gone: &[Door]) -> Result<()> {
        for door in gone {
            self.doors.remove(door);
        }
        if self.doors.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", self.path.display(), e)),
                _ => {
                    // The network's folder goes when it is empty, and only then.
                    let _ = self.path.parent().map(std::fs::remove_dir);
                    Ok(())
                }
            };
        }
        self.lines += gone.len();
        if self.lines > TIDY_AT && self.lines > self.doors.len() * 3 {
            return self.rewrite();
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for (address, protocol, gone) in gone {
            write_line(&mut text, &Line::Gone { gone: *gone, protocol: *protocol, address: *address });
        }
        self.append(&text)
    }

    fn head(&self) -> Line {
        Line::Head { boot: self.boot.clone(), container: self.container.clone() }
    }

    fn append(&mut self, text: &[u8]) -> Result<()> {
        self.file.write_all(text).map_err(|e| failed("write", self.path.display(), e))
    }

    /// Replaces the file by one that says the same in as few lines as can be; the lock goes over to it.
    fn rewrite(&mut self) -> Result<()> {
        let wrong = |e: io::Error| failed("write", self.path.display(), e);
        let mut text = Vec::new();
        write_line(&mut text, &self.head());
        for ((address, protocol, port), way) in &self.doors {
            let line = Line::There { address: *address, port: *port, protocol: *protocol, way: way.clone() };
            write_line(&mut text, &line);
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let half_done = self.path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o644);
        let mut file = lock(options.open(&half_done).map_err(wrong)?).map_err(wrong)?;
        file.set_len(0).and_then(|()| file.write_all(&text)).map_err(wrong)?;
        std::fs::rename(&half_done, &self.path).map_err(wrong)?;
        self.file = file;
        self.lines = self.doors.len() + 1;
        Ok(())
    }
}

/// What a container has published on a network, read without a lock: network, container, doors.
pub type Listed = (String, String, BTreeMap<Door, Way>);

/// All that is published on any network, or by one container.
pub fn list(state: &State, container: Option<&str>) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    let folder = folder(state);
    for network in names(&folder)? {
        let within = folder.join(&network);
        let files = match container {
            Some(container) => vec![file_name(container)],
            None => names(&within)?,
        };
        for name in files {
            let Some(bytes) = crate::state::load(&within.join(name))? else { continue };
            let read = read(&bytes, &lease::boot_id());
            if let Some(of) = read.container.filter(|_| !read.doors.is_empty()) {
                all.push((network.clone(), of, read.doors));
            }
        }
    }
    Ok(all)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries.map_err(|e| failed("list", folder.display(), e))?,
    };
    let mut names: Vec<String> = entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

fn folder(state: &State) -> PathBuf {
    state.lease_path(".ports").with_extension("")
}

/// The container's id where it can be a file's name, else a number made of it, which begins as no such id does.
pub(super) fn file_name(container: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if container.len() <= 200 && !container.starts_with('.') && container.bytes().all(fits) {
        return container.to_owned();
    }
    let fnv = |basis: u64| container.bytes().fold(basis, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("+{:016x}{:016x}", fnv(0xcbf2_9ce4_8422_2325), fnv(0x9e37_79b9_7f4a_7c15))
}

fn lock(mut file: File) -> io::Result<Flock<File>> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(locked) => return Ok(locked),
            Err((again, nix::Error::EINTR)) => file = again,
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

fn write_line(text: &mut Vec<u8>, line: &Line) {
    // Numbers, addresses and strings: nothing that serde could refuse.
    let _ = serde_json::to_writer(&mut *text, line);
    text.push(b'\n');
}

struct Contents {
    container: Option<String>,
    stale: bool,
    lines: usize,
    doors: BTreeMap<Door, Way>,
}

fn read(bytes: &[u8], now: &str) -> Contents {
    let mut read = Contents { container: None, stale: false, lines: 0, doors: BTreeMap::new() };
    for line in bytes.split_inclusive(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
        read.lines += 1;
        match line {
            Line::Head { boot, container } => {
                read.stale |= boot != now;
                read.container = Some(container);
            }
            Line::There { address, port, protocol, way } => drop(read.doors.insert((address, protocol, port), way)),
            Line::Gone { gone, protocol, address } => drop(read.doors.remove(&(address, protocol, gone))),
        }
    }
    if read.stale {
        read.doors.clear();
    }
    read
}

#[cfg(test)]
mod tests {
    use super::{Book, Way, file_name, list};
    use crate::state::State;
    use spec::published::Protocol::{Tcp, Udp};
    use std::io::Write;

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("ports-test-{}", std::process::id()));
        let state = State::new("/nonexistent".into(), folder.clone());
        assert!(Book::open(&state, "web", "c1", false).unwrap().is_none());
        let way = |port| Way { to: vec!["10.0.0.2".parse().unwrap()], inside: port, chosen: false };
        let mut book = Book::open(&state, "web", "c1", true).unwrap().unwrap();
        let doors: Vec<_> = (1..=300).map(|port| ((None, Tcp, port), way(80))).collect();
        book.enter(&doors).unwrap();
        book.enter(&[((Some([127, 0, 0, 1].into()), Udp, 53), way(53))]).unwrap();
        let gone: Vec<_> = doors.iter().map(|(door, _)| *door).take(299).collect();
        book.strike(&gone[..10]).unwrap();
        drop(book);
        // A crash cuts the last line short.
        let path = folder.join(".ports/web/c1");
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"gone\":53,\"prot").unwrap();
        let mut book = Book::open(&state, "web", "c1", false).unwrap().unwrap();
        assert_eq!(book.doors().len(), 291);
        book.strike(&gone[10..]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3, "tidied up");
        drop(book);
        let listed = list(&state, Some("c1")).unwrap();
        assert_eq!((listed.len(), listed[0].2.len()), (1, 2));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"boot\":\"", "\"boot\":\"x", 1)).unwrap();
        assert!(list(&state, None).unwrap().is_empty());
        let mut book = Book::open(&state, "web", "c1", false).unwrap().unwrap();
        assert!(book.doors().is_empty());
        book.strike(&[]).unwrap();
        assert!(!path.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn any_id_has_a_file() {
        assert_eq!(file_name("web-1"), "web-1");
        for odd in ["a/b", "..", &"x".repeat(256), "ä b"] {
            assert!(file_name(odd).starts_with('+') && file_name(odd).len() == 33, "{odd}");
        }
    }
}
