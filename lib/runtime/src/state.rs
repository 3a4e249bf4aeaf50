//! What is known of a container between two calls of ours, in files:
//!
//! ```text
//! ROOT/ID/              a folder a container; flock on it for whoever changes something
//!         state.json    lines of JSON: the configuration as it was at create (later changes of the bundle's have no effect),
//!                       then this module's Record each time it changed: the last whole line counts
//!         start.sock    here the container's first process waits to be started; answers until it has been
//! ```
//!
//! One file, written in one go and added to, since on a disk it is making and removing files that costs, not writing them. A line that
//! is cut short, its writer having been killed or the disk being full, counts as not written.
//!
//! A process is named by pid and start time, since pids are used again. Killed at any instant we leave at worst a folder whose
//! record has no process: `delete` removes it together with the cgroup the record names.

use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const FILE: &str = "state.json";
const SOCKET: &str = "start.sock";

/// Beyond this the file is written anew with its last record alone.
const MAX_BYTES: u64 = 1 << 20;

/// What is written down of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Of the configuration.
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// Its first process; 0 while there is none.
    pub pid: i32,
    /// When that process started, in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start_time: u64,
    /// Whether it has been told to execute its program.
    pub started: bool,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// Seconds since the epoch.
    pub created: u64,
    /// Of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<HashMap<String, String>>,
    /// The cgroup, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Cgroup>,
    /// Whether a device list could be set up, so that CAP_MKNOD may be given.
    #[serde(default)]
    pub devices_listed: bool,
}

/// Where a container is in its life (runtime-spec "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made, or left half-made.
    Creating,
    /// Waiting to be started.
    Created,
    /// Its program runs.
    Running,
    /// Frozen.
    Paused,
    /// Its first process is gone.
    Stopped,
}

impl Status {
    /// The specification's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container's folder.
#[derive(Debug)]
pub struct Entry {
    dir: OwnedFd,
    id: String,
    root: PathBuf,
}

/// Fails on names that could be more than a name.
pub fn check_id(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
    if id.is_empty() || id == "." || id == ".." || !id.chars().all(plain) || id.len() > 1024 {
        return Err(invalid("container id", format!("{id:?}"), "must be letters, digits and _ + - . only"));
    }
    Ok(())
}

impl Entry {
    /// Makes the folder of a new container and locks it.
    pub fn create(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        let path = root.join(id);
        let mode = Mode::from_raw_mode(0o711);
        let made = match rustix::fs::mkdir(&path, mode) {
            Err(Errno::NOENT) => {
                file::make_dirs(root).map_err(|e| failed("make state folder", root.display(), e))?;
                rustix::fs::mkdir(&path, mode)
            }
            done => done,
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(Error::new(Kind::WrongState, "container", id)
                    .because("container with given ID already exists".to_owned()));
            }
            Err(e) => return Err(failed("make state folder", path.display(), e)),
        }
        let entry = Self::open_at(root, id)?;
        entry.lock()?;
        Ok(entry)
    }

    /// Opens the folder of a container there is.
    pub fn open(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        Self::open_at(root, id)
    }

    fn open_at(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(id);
        match rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(dir) => Ok(Self { dir, id: id.to_owned(), root: root.to_owned() }),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(Error::new(Kind::NoContainer, "container", id).because("container does not exist".to_owned()))
            }
            Err(e) => Err(failed("open state folder", path.display(), e)),
        }
    }

    /// Waits until nobody else changes this container. The lock goes with the descriptor.
    pub fn lock(&self) -> Result<()> {
        rustix::io::retry_on_intr(|| rustix::fs::flock(&self.dir, FlockOperation::LockExclusive))
            .map_err(|e| failed("lock container", &self.id, e))?;
        // Whoever held it may have removed the folder meanwhile.
        let (ours, named) = (rustix::fs::fstat(&self.dir), rustix::fs::stat(self.root.join(&self.id)));
        match (ours, named) {
            (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) => Ok(()),
            _ => {
                Err(Error::new(Kind::NoContainer, "container", &self.id).because("container does not exist".to_owned()))
            }
        }
    }

    /// Lets others change it.
    pub(crate) fn unlock(&self) {
        let _ = rustix::fs::flock(&self.dir, FlockOperation::Unlock);
    }

    /// Whether someone is at work on it now.
    fn is_locked(&self) -> bool {
        match rustix::fs::flock(&self.dir, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = rustix::fs::flock(&self.dir, FlockOperation::Unlock);
                false
            }
            Err(_) => true,
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is written down; `None` for a folder whose maker was killed before it wrote anything.
    pub fn load(&self) -> Result<Option<Record>> {
        let bytes = self.read()?;
        let lines: Vec<&[u8]> = whole_lines(&bytes).skip(1).filter(|line| !line.is_empty()).collect();
        let mut wrong = None;
        for line in lines.into_iter().rev() {
            match serde_json::from_slice(line) {
                Ok(record) => return Ok(Some(record)),
                // Cut short, and the one behind it as well.
                Err(e) => wrong = wrong.or(Some(e)),
            }
        }
        match wrong {
            Some(e) => Err(Error::new(Kind::Failed, "read state of container", &self.id).because(e)),
            None => Ok(None),
        }
    }

    fn read(&self) -> Result<Vec<u8>> {
        match file::read_at(self.dir.as_fd(), FILE) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
            done => done.map_err(|e| failed("read state of container", &self.id, e)),
        }
    }

    /// What is written down of a container that is more than a leftover.
    pub fn load_made(&self) -> Result<Record> {
        self.load()?.filter(|r| r.pid != 0).ok_or_else(|| {
            Error::new(Kind::WrongState, "container", &self.id)
                .because("is not fully made".to_owned())
                .hint(format!("nsrun delete --force {}", self.id))
        })
    }

    /// Writes down a new container: its configuration, as it was read, and what is known of it.
    pub fn begin(&self, config: &[u8], record: &Record) -> Result<()> {
        let mut all = one_line(config);
        all.extend(self.line_of(record)?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written = rustix::fs::openat(&self.dir, FILE, flags, Mode::from_raw_mode(0o600))
            .map_err(std::io::Error::from)
            .and_then(|fd| file::write_all(fd, &all));
        written.map_err(|e| failed("write state of container", &self.id, e))
    }

    /// Writes down what has changed.
    pub fn save(&self, record: &Record) -> Result<()> {
        let say = |e: std::io::Error| failed("write state of container", &self.id, e);
        let line = self.line_of(record)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.dir, FILE, flags, Mode::empty()).map_err(|e| say(e.into()))?;
        if rustix::fs::fstat(&fd).is_ok_and(|stat| stat.st_size as u64 > MAX_BYTES) {
            let bytes = self.read()?;
            let mut all = one_line(whole_lines(&bytes).next().unwrap_or_default());
            all.extend(line);
            return file::replace_at(self.dir.as_fd(), FILE, &all).map_err(say);
        }
        file::write_all(fd, &line).map_err(say)
    }

    /// A record as a line. It begins with a line's end as well: what was cut short before it stays apart.
    fn line_of(&self, record: &Record) -> Result<Vec<u8>> {
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, record)
            .map_err(|e| Error::new(Kind::Failed, "write state", &self.id).because(e))?;
        line.push(b'\n');
        Ok(line)
    }

    /// The configuration as it was at create.
    pub fn load_config(&self) -> Result<spec::runtime::Spec> {
        let bytes = self.read()?;
        serde_json::from_slice(whole_lines(&bytes).next().unwrap_or_default())
            .map_err(|e| Error::new(Kind::Failed, "read configuration of container", &self.id).because(e))
    }

    /// The socket's address. Through /proc/self/fd, since a path longer than 107 bytes is no address (unix(7)).
    fn address(&self) -> Result<SocketAddrUnix> {
        let path = format!("/proc/self/fd/{}/{SOCKET}", self.dir.as_raw_fd());
        SocketAddrUnix::new(path).map_err(|e| failed("start socket of", &self.id, e))
    }

    /// Makes the socket at which the first process waits.
    pub(crate) fn listen(&self) -> Result<OwnedFd> {
        let say = |e| failed("listen for start of", &self.id, std::io::Error::from(e));
        let socket = new_socket().map_err(say)?;
        rustix::net::bind(&socket, &self.address()?).map_err(say)?;
        rustix::net::listen(&socket, 4).map_err(say)?;
        Ok(socket)
    }

    /// Reaches the waiting first process; `None` where nobody waits any more.
    pub(crate) fn connect(&self) -> Result<Option<OwnedFd>> {
        let say = |e| failed("reach first process of", &self.id, std::io::Error::from(e));
        let socket = new_socket().map_err(say)?;
        match rustix::net::connect(&socket, &self.address()?) {
            Ok(()) => Ok(Some(socket)),
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(None),
            Err(e) => Err(say(e)),
        }
    }

    /// Forgets the socket.
    pub(crate) fn remove_socket(&self) {
        let _ = rustix::fs::unlinkat(&self.dir, SOCKET, AtFlags::empty());
    }

    /// Where the container is in its life; freezing is not looked at here.
    pub fn status(&self, record: Option<&Record>) -> Status {
        match record {
            Some(r) if r.pid != 0 => {
                if !is_alive(r.pid, r.start_time) {
                    Status::Stopped
                } else if r.started || !matches!(self.connect(), Ok(Some(_))) {
                    Status::Running
                } else {
                    Status::Created
                }
            }
            _ if self.is_locked() => Status::Creating,
            _ => Status::Stopped,
        }
    }

    /// Removes the folder and all in it.
    pub fn remove(&self) -> Result<()> {
        let say = |e| failed("remove state of container", &self.id, std::io::Error::from(e));
        let path = self.root.join(&self.id);
        // Nearly always this is all there is.
        let _ = rustix::fs::unlinkat(&self.dir, FILE, AtFlags::empty());
        match rustix::fs::rmdir(&path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(_) => {}
        }
        for entry in Dir::read_from(&self.dir).map_err(say)? {
            let entry = entry.map_err(say)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(e) => return Err(say(e)),
                }
            }
        }
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(say(e)),
        }
    }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// The lines of `bytes` that have an end.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// A JSON document on one line: in JSON an end of line is always a blank between words.
fn one_line(json: &[u8]) -> Vec<u8> {
    json.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect()
}

/// The names of all containers below `root`, sorted.
pub fn list(root: &Path) -> Result<Vec<String>> {
    let dir = match rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(e) => return Err(failed("open state folder", root.display(), e)),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir).map_err(|e| failed("list", root.display(), e))? {
        let entry = entry.map_err(|e| failed("list", root.display(), e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if check_id(&name).is_ok() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// When process `pid` started and whether it is still more than a zombie, from /proc/PID/stat.
pub fn start_time(pid: i32) -> Option<(u64, bool)> {
    let stat = file::read_text(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

fn parse_stat(stat: &str) -> Option<(u64, bool)> {
    // The name, in parentheses, may hold anything, parentheses too.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    Some((fields.nth(18)?.parse().ok()?, !matches!(state, "Z" | "X" | "x")))
}

/// Whether the process of this pid is the one that started then, and lives.
pub fn is_alive(pid: i32, started: u64) -> bool {
    start_time(pid) == Some((started, true))
}

#[cfg(test)]
mod tests {
    use super::{Entry, Kind, check_id, list, parse_stat, start_time};

    #[test]
    fn names_are_names() {
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        assert!(check_id("Abc_1.2-3+4").is_ok());
    }

    #[test]
    fn a_folder_is_made_once_listed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let entry = Entry::create(root.path(), "one").unwrap();
        let error = Entry::create(root.path(), "one").unwrap_err();
        assert_eq!(error.to_string(), "container one: container with given ID already exists");
        assert_eq!(error.kind, Kind::WrongState);
        assert!(entry.load().unwrap().is_none());
        assert_eq!(list(root.path()).unwrap(), ["one"]);
        entry.remove().unwrap();
        assert!(list(root.path()).unwrap().is_empty());
        let error = Entry::open(root.path(), "one").unwrap_err();
        assert_eq!(
            (error.kind, error.to_string().as_str()),
            (Kind::NoContainer, "container one: container does not exist")
        );
    }

    #[test]
    fn the_last_whole_line_counts() {
        let root = tempfile::tempdir().unwrap();
        let entry = Entry::create(root.path(), "one").unwrap();
        let json = r#"{"ociVersion":"1.0.2","id":"one","pid":0,"startTime":0,"started":false,"bundle":"/b","rootfs":"/r","created":1}"#;
        let mut record: super::Record = serde_json::from_str(json).unwrap();
        entry.begin(b"{\n  \"ociVersion\": \"1.0.2\"\n}\n", &record).unwrap();
        assert_eq!(entry.load_config().unwrap().version(), "1.0.2");
        assert_eq!(entry.load().unwrap().unwrap().pid, 0);
        for pid in 1..=3 {
            record.pid = pid;
            entry.save(&record).unwrap();
            assert_eq!(entry.load().unwrap().unwrap().pid, pid);
        }
        let path = root.path().join("one/state.json");
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..20 {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(entry.load().unwrap().unwrap().pid, 2, "cut by {cut}");
            record.pid = 4;
            entry.save(&record).unwrap();
            assert_eq!(entry.load().unwrap().unwrap().pid, 4, "written after a cut by {cut}");
            assert_eq!(entry.load_config().unwrap().version(), "1.0.2");
        }
        std::fs::write(&path, b"{\"ociVer").unwrap();
        assert!(entry.load().unwrap().is_none());
        entry.remove().unwrap();
        assert!(list(root.path()).unwrap().is_empty());
    }

    #[test]
    fn the_stat_line_is_read_from_its_last_parenthesis() {
        let line = format!("7 (a) b) S {} 4242 0 0", ["1"; 18].join(" "));
        assert_eq!(parse_stat(&line), Some((4242, true)));
        assert_eq!(parse_stat("7 (x) Z"), None);
        assert!(start_time(std::process::id() as i32).is_some_and(|(_, alive)| alive));
    }
}
