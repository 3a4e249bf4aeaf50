//! `wait`: until a container has no process, and what code its process ended with.

use super::{Site, identity};
use crate::stream::{Channel, Event, Inbox};
use crate::{Error, Kind, Result};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use store::Record;

/// How often a container is looked at whose supervisor does not listen yet, or not any more.
const POLL: Duration = Duration::from_millis(5);

/// Waits until the container does not run; gives its exit code. One that does not run is not waited for: docker's condition
/// `not-running`. The supervisor tells the code, since with `--rm` nobody else could afterwards.
pub fn wait(site: Site<'_>, record: &Record) -> Result<u8> {
    loop {
        let stored = site.root.container_state(&record.id).map_err(|e| gone(record, e))?;
        if !identity::is_live(&stored) {
            return Ok(super::seen(stored).exit_code);
        }
        if let Ok(socket) = UnixStream::connect(site.place.of(&record.id).join("attach"))
            && let Some(code) = told(socket)
        {
            return Ok(code);
        }
        std::thread::sleep(POLL);
    }
}

fn gone(record: &Record, e: store::Error) -> Error {
    match e.kind {
        store::Kind::NotFound => Error::new(Kind::NotFound, "", format!("No such container: {}", record.name)),
        _ => crate::error::store(e),
    }
}

/// The code that a supervisor tells before it leaves; none if it was killed.
fn told(mut socket: UnixStream) -> Option<u8> {
    let mut inbox = Inbox::default();
    let mut bytes = [0; 64 << 10];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return None,
            Ok(n) => inbox.push(&bytes[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        while let Some((channel, payload)) = inbox.next_frame().ok()? {
            if channel != Channel::Event {
                continue;
            }
            if let Ok(Event::Exited { code } | Event::Failed { code, .. }) = serde_json::from_slice(&payload) {
                return Some(code);
            }
        }
    }
}
