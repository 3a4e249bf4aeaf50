//! What travels between a supervisor and whoever is attached: docker's multiplexed frames, and two kinds more.
//!
//! ```text
//! ┌──────┬───────┬────────────────┬─────────┐
//! │ kind │ 0 0 0 │ length, 4 B BE │ payload │   kind 0 stdin, 1 stdout, 2 stderr, 3 event, 4 order
//! └──────┴───────┴────────────────┴─────────┘
//! ```
//!
//! Events (supervisor to client) and orders (client to supervisor) are JSON. Who does not know one skips it. With [`Order::Given`]
//! come descriptors (SCM_RIGHTS).

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// How much input a client may have on its way, in bytes: it sends no more before [`Event::Room`]. So a supervisor can always read
/// all its clients, and a container that does not read its input keeps nobody's signals from it.
pub const WINDOW_BYTES: usize = 64 << 10;
/// Most descriptors that a process is given beside its streams.
pub(crate) const MOST_GIVEN: usize = 64;
/// Longest payload that is taken, in bytes. Ours are far shorter.
const LIMIT_BYTES: usize = 1 << 20;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// To the container's standard input.
    Stdin,
    /// From its standard output, or its terminal.
    Stdout,
    /// From its standard error.
    Stderr,
    /// An [`Event`].
    Event,
    /// An [`Order`].
    Order,
}

/// What a supervisor tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The container's process runs.
    Started,
    /// Somebody else is starting it, or it runs already: it is not ours to start.
    Taken,
    /// It could not be started; the container is in the state it had before, and this is why.
    Failed {
        /// One line.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// The exit code for `ctr run`.
        code: u8,
    },
    /// So much of the input that this client sent has gone to the container, or nowhere.
    Room {
        /// How much more may be sent.
        bytes: usize,
    },
    /// This client is let go; the container goes on.
    Dropped {
        /// One line.
        why: String,
    },
    /// It has ended and everything of it is cleared away; or, for who asked for another process in it, that one has ended.
    Exited {
        /// Its exit code.
        code: u8,
    },
}

/// What a client asks. Its first order is `Attach`; whoever only waits for the start gives none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It wants to see what the container writes.
    Attach {
        /// It has input, which may end; where the container's ends with its client's, also by the client's going away.
        stdin: bool,
    },
    /// Instead of `Attach`: run the process that is described in the container's folder of processes ([`crate::exec`]), and be
    /// connected to its terminal, where it has one. It goes on when its client leaves.
    Exec {
        /// Its id.
        id: String,
    },
    /// Descriptors come along: those of the process that `Exec` asks for next, 3 and so on.
    Given,
    /// The terminal's new size, in characters.
    Resize {
        /// Height.
        rows: u16,
        /// Width.
        columns: u16,
    },
    /// No more input will come from this client.
    CloseStdin,
    /// Send the container's process this signal.
    Signal(i32),
}

/// A frame's bytes.
pub fn frame(channel: Channel, payload: &[u8]) -> Vec<u8> {
    let kind = match channel {
        Channel::Stdin => 0,
        Channel::Stdout => 1,
        Channel::Stderr => 2,
        Channel::Event => 3,
        Channel::Order => 4,
    };
    let mut bytes = Vec::with_capacity(8 + payload.len());
    bytes.extend_from_slice(&[kind, 0, 0, 0]);
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An event's or order's frame.
pub fn message(channel: Channel, value: &impl Serialize) -> Vec<u8> {
    frame(channel, &serde_json::to_vec(value).unwrap_or_default())
}

/// Sends [`Order::Given`], with `given`, which are no more than [`MOST_GIVEN`].
pub(crate) fn give(socket: &UnixStream, given: &[OwnedFd]) -> std::io::Result<()> {
    let too_many = || std::io::Error::other("too many descriptors");
    // The space below is for so many at least: alignment may leave it room for one more.
    if given.len() > MOST_GIVEN {
        return Err(too_many());
    }
    let given: Vec<BorrowedFd<'_>> = given.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_GIVEN))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    if !along.push(SendAncillaryMessage::ScmRights(&given)) {
        return Err(too_many());
    }
    // Short enough to go out whole into a socket that nothing waits in yet.
    let frame = message(Channel::Order, &Order::Given);
    sendmsg(socket, &[IoSlice::new(&frame)], &mut along, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Reads once, with the descriptors that come along; no more of them than a process may be given.
pub(crate) fn receive(socket: &UnixStream, bytes: &mut [u8], given: &mut Vec<OwnedFd>) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_GIVEN))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            given.extend(descriptors);
        }
    }
    given.truncate(MOST_GIVEN);
    Ok(got.bytes)
}

/// Bytes that came in and are not yet whole frames.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

/// The other side does not speak this protocol.
#[derive(Debug, PartialEq, Eq)]
pub struct Garbled;

impl Inbox {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one. Frames of unknown kinds are skipped.
    pub fn next_frame(&mut self) -> Result<Option<(Channel, Vec<u8>)>, Garbled> {
        loop {
            let Some((head, rest)) = self.bytes.split_first_chunk::<8>() else { return Ok(None) };
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            if length > LIMIT_BYTES {
                return Err(Garbled);
            }
            let Some(payload) = rest.get(..length) else { return Ok(None) };
            let channel = match head[0] {
                0 => Some(Channel::Stdin),
                1 => Some(Channel::Stdout),
                2 => Some(Channel::Stderr),
                3 => Some(Channel::Event),
                4 => Some(Channel::Order),
                _ => None,
            };
            let payload = payload.to_vec();
            self.bytes.drain(..8 + length);
            if let Some(channel) = channel {
                return Ok(Some((channel, payload)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_come_along_and_no_more_than_may_be() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let (mut inbox, mut given, mut bytes) = (Inbox::default(), Vec::new(), [0; 100]);
        for count in [2, MOST_GIVEN] {
            give(&ours, &(0..count).map(|_| file()).collect::<Vec<_>>()).unwrap();
            let n = receive(&theirs, &mut bytes, &mut given).unwrap();
            inbox.push(&bytes[..n]);
            let (channel, payload) = inbox.next_frame().unwrap().unwrap();
            assert_eq!((channel, serde_json::from_slice(&payload).unwrap()), (Channel::Order, Order::Given));
            assert_eq!(given.len(), count.min(MOST_GIVEN));
        }
        assert!(give(&ours, &(0..=MOST_GIVEN).map(|_| file()).collect::<Vec<_>>()).is_err());
    }

    #[test]
    fn frames_arrive_whole_however_they_are_cut() {
        let mut sent = frame(Channel::Stdout, b"hello");
        sent.extend([9, 0, 0, 0, 0, 0, 0, 1, 0]);
        sent.extend(message(Channel::Event, &Event::Exited { code: 3 }));
        let mut inbox = Inbox::default();
        let mut got = Vec::new();
        for byte in sent {
            inbox.push(&[byte]);
            while let Some(frame) = inbox.next_frame().unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(got[0], (Channel::Stdout, b"hello".to_vec()));
        assert_eq!(serde_json::from_slice::<Event>(&got[1].1).unwrap(), Event::Exited { code: 3 });
        inbox.push(&[0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(inbox.next_frame(), Err(Garbled));
    }
}
