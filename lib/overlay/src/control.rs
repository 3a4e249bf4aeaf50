//! The conversation with a server: a stream socket, one line of JSON in, one line out.
//!
//! ```text
//! {"do":"status"}                             → {"driver":"fuse","pid":…,"statistics":{…},"log":[…],…}
//! {"do":"remount","options":"timeout=1"}      → {"done":true}
//! anything else                               → {"error":"…","hint":"…"}
//! ```
//!
//! Every server listens on the abstract name `veneer.ovl-mount/MAJOR:MINOR`, its mount's device number, which nobody else has while
//! it is mounted; it costs no file and holds no disk. With `--control PATH` it listens there too. It answers its own user and
//! root; the asker, too, believes only those.

use crate::error::{Error, Kind, Result};
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// A line may be so long.
const LONGEST: u64 = 1 << 20;
/// How long a server may take to listen.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked of a server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Request {
    /// What it serves and how it is.
    Status,
    /// Takes these options over, as far as they can be changed while it serves.
    Remount {
        /// As behind `-o`.
        options: String,
    },
}

/// The abstract name of the server of the mount with this device number.
pub(crate) fn address((major, minor): (u32, u32)) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("veneer.ovl-mount/{major}:{minor}"))
}

/// Listens on a file; one that a dead server left is taken away.
pub(crate) fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let left = match UnixListener::bind(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => e,
        other => return other,
    };
    match UnixStream::connect(path) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            rustix::fs::unlink(path)?;
            UnixListener::bind(path)
        }
        _ => Err(left),
    }
}

/// Answers whoever has come to `listener`, by `answer`; failures are the other side's business.
pub(crate) fn serve_one(listener: &UnixListener, answer: impl FnOnce(Request) -> Value) {
    let Ok((stream, _)) = listener.accept() else { return };
    let _ = converse(stream, answer);
}

fn converse(mut stream: UnixStream, answer: impl FnOnce(Request) -> Value) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Read in any case: an answer to somebody who is still writing is lost.
    let mut line = String::new();
    BufReader::new((&stream).take(LONGEST)).read_line(&mut line)?;
    let said = match serde_json::from_str(&line) {
        _ if !trusted(&stream)? => {
            serde_json::json!({ "error": "permission denied", "hint": "ask as the user who mounted it, or as root" })
        }
        Ok(request) => answer(request),
        Err(e) => serde_json::json!({ "error": format!("request not understood: {e}"), "hint": "{\"do\":\"status\"}" }),
    };
    stream.write_all(format!("{said}\n").as_bytes())
}

/// Whether the other side is our own user, or root.
fn trusted(stream: &UnixStream) -> io::Result<bool> {
    let other = rustix::net::sockopt::socket_peercred(stream.as_fd())?.uid;
    Ok(other.is_root() || other == rustix::process::geteuid())
}

/// Asks the server of the overlay mounted at `target`, or the one that listens on the socket `target`.
///
/// `None` where no server listens: one in another network namespace is not heard.
pub fn ask(target: &Path, request: &Request) -> Result<Option<Value>> {
    let failed = |e: io::Error| Error::new(Kind::Request, "ask the server of", target.display()).because(e);
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = statx(CWD, target, flags, StatxFlags::TYPE | StatxFlags::MNT_ID).map_err(|e| failed(e.into()))?;
    let socket = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Socket;
    let started = Instant::now();
    let said = loop {
        let stream = if socket {
            UnixStream::connect(target)
        } else {
            address((stat.stx_dev_major, stat.stx_dev_minor)).and_then(|name| UnixStream::connect_addr(&name))
        };
        match stream.and_then(|stream| exchange(stream, request)) {
            Ok(said) => break said,
            // The server of a new mount may not listen yet, and the one that had its number before may just be ending.
            Err(e) if nobody_there(&e) && started.elapsed() < A_MOMENT => std::thread::sleep(Duration::from_millis(5)),
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => return Ok(None),
            Err(e) => return Err(failed(e)),
        }
    };
    match said.get("error").and_then(Value::as_str) {
        None => Ok(Some(said)),
        Some(text) => {
            let error = Error::new(Kind::Request, "", text);
            Err(match said.get("hint").and_then(Value::as_str) {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

fn nobody_there(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof)
}

fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Value> {
    if !trusted(&stream)? {
        return Err(io::Error::other("somebody else listens in its place"));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

/// What a server answers where something is wrong with the request.
pub(crate) fn refusal(error: &Error) -> Value {
    serde_json::json!({ "error": error.to_string(), "hint": error.hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_the_head_of_this_file_says() {
        let remount: Request = serde_json::from_str(r#"{"do":"remount","options":"timeout=1"}"#).unwrap();
        assert!(matches!(remount, Request::Remount { options } if options == "timeout=1"));
        assert_eq!(serde_json::to_string(&Request::Status).unwrap(), r#"{"do":"status"}"#);
    }

    #[test]
    fn one_line_in_and_one_line_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let listener = listen_at(&path).unwrap();
        assert!(listen_at(&path).is_err(), "a living server keeps its socket");
        let asker = std::thread::spawn(move || ask(&path, &Request::Status));
        // The attempt above has come first.
        serve_one(&listener, |_| Value::Null);
        serve_one(&listener, |_| serde_json::json!({ "pid": 7 }));
        assert_eq!(asker.join().unwrap().unwrap().unwrap()["pid"], 7);
    }
}
