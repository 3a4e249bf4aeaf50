//! The journald driver: entries go to the machine's journal by its native protocol (systemd, `JOURNAL_NATIVE_PROTOCOL`), and
//! are read back by `journalctl`. The members are docker's.

use super::{Entry, attributes};
use crate::life::Asked;
use crate::{Error, Kind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use store::Record;

/// Where a journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 16 << 10;

/// Sends entries.
#[derive(Debug)]
pub struct Sender {
    socket: UnixDatagram,
    /// The members that every entry has.
    members: Vec<u8>,
}

/// Refuses a machine without a journal, with docker's words.
pub fn check() -> Result<()> {
    connect().map(drop).map_err(|_| {
        let text = "failed to initialize logging driver: journald is not enabled on this host";
        Error::new(Kind::Request, "", text).hint("json-file and local are always there")
    })
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

impl Sender {
    /// For the container `record`.
    pub(super) fn open(record: &Record, asked: &Asked) -> Result<Self> {
        check()?;
        let socket = connect().map_err(|e| crate::error::system("connect to", SOCKET, e))?;
        let mut attributes = attributes::of(record, asked, "{{.ID}}");
        let tag = attributes.remove("tag").unwrap_or_default();
        let mut members = Vec::new();
        let mut add = |name: &str, value: &str| member(&mut members, name, value.as_bytes());
        add("CONTAINER_ID", record.id.short());
        add("CONTAINER_ID_FULL", record.id.as_str());
        add("CONTAINER_NAME", &record.name);
        add("CONTAINER_TAG", &tag);
        add("IMAGE_NAME", &record.image);
        add("SYSLOG_IDENTIFIER", &tag);
        for (name, value) in &attributes {
            add(&member_name(name), value);
        }
        Ok(Self { socket, members })
    }

    /// Sends one entry; `index` 0 is standard output, 1 standard error.
    pub(super) fn send(&mut self, index: usize, line: &[u8]) -> io::Result<()> {
        let (text, partial) = match line.strip_suffix(b"\n") {
            Some(whole) => (whole, false),
            None => (line, true),
        };
        if text.is_empty() && !partial {
            return Ok(());
        }
        let mut datagram = self.members.clone();
        member(&mut datagram, "MESSAGE", text);
        member(&mut datagram, "PRIORITY", if index == 0 { b"6" } else { b"3" });
        if partial {
            member(&mut datagram, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        self.socket.send(&datagram).map(drop).or_else(|_| {
            // The journal may have been started again.
            self.socket = connect()?;
            self.socket.send(&datagram).map(drop)
        })
    }
}

/// `NAME=value`, or with its length where it has more than one line.
fn member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// docker: capitals, digits and underscores, none of those in front.
fn member_name(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let clean: String = upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    clean.trim_start_matches('_').to_owned()
}

/// Reads what the journal has of a container, and then what comes.
///
/// What is there is asked for at once, `journalctl` ends behind it. Who then waits for more ([`Reader::rest`]) has one that stays.
#[derive(Debug)]
pub(super) struct Reader {
    id: String,
    /// The last entry that was read (`__CURSOR`).
    cursor: Option<String>,
    /// How many of the last are wanted of what is there, where not all are.
    tail: Option<usize>,
    /// The `journalctl` that ends behind what is there.
    now: Option<Running>,
    /// The one that stays.
    follower: Option<Running>,
    /// Whether there has been one that stays.
    follows: bool,
}

/// A `journalctl` that is being read.
#[derive(Debug)]
struct Running {
    child: Child,
    out: ChildStdout,
    /// What was read and is no whole line yet.
    bytes: Vec<u8>,
}

/// What reading gave.
enum Got {
    Line(Vec<u8>),
    /// Nothing now.
    Nothing,
    End,
}

impl Reader {
    /// From the beginning.
    pub(super) fn new(record: &Record) -> Self {
        let id = record.id.to_string();
        Self { id, cursor: None, tail: None, now: None, follower: None, follows: false }
    }

    /// Of what is there only the last `wanted` entries are read; one at least, behind which the others come.
    pub(super) fn tail(&mut self, wanted: usize) {
        self.tail = Some(wanted.max(1));
    }

    /// The next entry, or `None` where there is none yet.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let got = match (&mut self.follower, &mut self.now) {
                (Some(follower), _) => follower.read()?,
                (None, Some(now)) => now.read()?,
                (None, None) => {
                    self.now = Some(self.ask(&[], Stdio::piped())?);
                    continue;
                }
            };
            let line = match got {
                Got::Line(line) => line,
                Got::Nothing => return Ok(None),
                Got::End => {
                    // One that stays somebody ended.
                    if self.follower.take().is_none() {
                        self.now.take().map_or(Ok(()), Running::end)?;
                        self.tail = None;
                    }
                    return Ok(None);
                }
            };
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(&line) else { continue };
            self.cursor = value["__CURSOR"].as_str().map(str::to_owned).or(self.cursor.take());
            if let Some(entry) = entry(&value) {
                return Ok(Some(entry));
            }
        }
    }

    /// Waits for what comes, at most for `limit`.
    pub(super) fn rest(&mut self, limit: Duration) -> io::Result<()> {
        let follower = match self.follower.take() {
            Some(follower) => follower,
            None => {
                if std::mem::replace(&mut self.follows, true) {
                    std::thread::sleep(limit);
                }
                let follower = self.ask(&["--follow", "--no-tail"], Stdio::null())?;
                rustix::io::ioctl_fionbio(&follower.out, true)?;
                follower
            }
        };
        let timeout = Timespec::try_from(limit).ok();
        let _ = poll(&mut [PollFd::new(&follower.out, PollFlags::IN)], timeout.as_ref());
        self.follower = Some(follower);
        Ok(())
    }

    /// Nothing is written any more: all that is still to be read is asked for at once.
    pub(super) fn conclude(&mut self) {
        self.follower = None;
    }

    /// Asks for all that comes after what was read.
    fn ask(&self, more: &[&str], errors: Stdio) -> io::Result<Running> {
        let mut command = Command::new("journalctl");
        command.args(["--quiet", "--no-pager", "--all", "--output", "json"]).args(more);
        command.args(match (&self.cursor, self.tail) {
            (Some(cursor), _) => Some(format!("--after-cursor={cursor}")),
            (None, wanted) => wanted.map(|wanted| format!("--lines={wanted}")),
        });
        command.arg(format!("CONTAINER_ID_FULL={}", self.id));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().map_err(|e| io::Error::new(e.kind(), format!("execute journalctl: {e}")))?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Running { child, out, bytes: Vec::new() })
    }
}

impl Running {
    /// The next line, waited for as its pipe is.
    fn read(&mut self) -> io::Result<Got> {
        loop {
            if let Some(at) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let rest = self.bytes.split_off(at + 1);
                return Ok(Got::Line(std::mem::replace(&mut self.bytes, rest)));
            }
            let mut chunk = [0; CHUNK_BYTES];
            match self.out.read(&mut chunk) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// It has said all; why it failed, if it did.
    fn end(mut self) -> io::Result<()> {
        let mut said = String::new();
        self.child.stderr.take().map(|mut err| err.read_to_string(&mut said)).transpose()?;
        match self.child.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("journalctl: {}", said.trim()))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn entry(value: &serde_json::Value) -> Option<Entry> {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let mut log = match &value["MESSAGE"] {
        serde_json::Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes.iter().filter_map(|b| b.as_u64().map(|b| b as u8)).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        other => other.as_str()?.to_owned(),
    };
    if text("CONTAINER_PARTIAL_MESSAGE") != "true" {
        log.push('\n');
    }
    let micros: i64 = text("__REALTIME_TIMESTAMP").parse().ok()?;
    Some(Entry {
        log,
        stream: if text("PRIORITY") == "3" { "stderr" } else { "stdout" }.into(),
        time: jiff::Timestamp::from_microsecond(micros).ok()?.to_string(),
        ..Entry::default()
    })
}
