//! The journald driver: entries go to the machine's journal by its native protocol (systemd, `JOURNAL_NATIVE_PROTOCOL`), and
//! are read back by `journalctl`. The members are docker's.

use super::{Entry, attributes};
use crate::life::Asked;
use crate::{Error, Kind, Result};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdout, Command, Stdio};
use store::Record;

/// Where a journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

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

/// Reads what the journal has of a container, and then what has come since.
#[derive(Debug)]
pub(super) struct Reader {
    id: String,
    /// The last entry that was read (`__CURSOR`).
    cursor: Option<String>,
    /// The `journalctl` that is being read.
    now: Option<(Child, BufReader<ChildStdout>)>,
}

impl Reader {
    /// From the beginning.
    pub(super) fn new(record: &Record) -> Self {
        Self { id: record.id.to_string(), cursor: None, now: None }
    }

    /// The next entry, or `None` where there is none yet.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let (child, out) = match &mut self.now {
                Some(now) => now,
                None => self.now.insert(self.ask()?),
            };
            let mut line = Vec::new();
            if out.read_until(b'\n', &mut line)? == 0 {
                let mut said = String::new();
                child.stderr.take().map(|mut err| err.read_to_string(&mut said)).transpose()?;
                let status = child.wait()?;
                self.now = None;
                return match status.success() {
                    true => Ok(None),
                    false => Err(io::Error::other(format!("journalctl: {}", said.trim()))),
                };
            }
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(&line) else { continue };
            self.cursor = value["__CURSOR"].as_str().map(str::to_owned).or(self.cursor.take());
            if let Some(entry) = entry(&value) {
                return Ok(Some(entry));
            }
        }
    }

    /// Asks for all that comes after what was read.
    fn ask(&self) -> io::Result<(Child, BufReader<ChildStdout>)> {
        let mut command = Command::new("journalctl");
        command.args(["--quiet", "--no-pager", "--all", "--output", "json"]);
        command.args(self.cursor.iter().map(|cursor| format!("--after-cursor={cursor}")));
        command.arg(format!("CONTAINER_ID_FULL={}", self.id));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| io::Error::new(e.kind(), format!("execute journalctl: {e}")))?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((child, BufReader::new(out)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.now.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
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
