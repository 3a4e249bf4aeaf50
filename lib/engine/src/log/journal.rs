//! The journald driver: entries go to the machine's journal by its native protocol (systemd, `JOURNAL_NATIVE_PROTOCOL`), and
//! are read back by `journalctl`. The members are docker's.

use super::{Entry, attributes};
use crate::life::Asked;
use crate::{Error, Kind, Result};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
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

/// What the journal has of the container.
pub(super) fn entries(record: &Record) -> Result<Vec<Entry>> {
    let fail = |e: io::Error| {
        Error::new(Kind::Failed, "execute", "journalctl").because(e).hint("it reads what the journal keeps")
    };
    let output = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--all", "--output", "json"])
        .arg(format!("CONTAINER_ID_FULL={}", record.id))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(fail)?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(|line| entry(&serde_json::from_str(line).ok()?)).collect())
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
