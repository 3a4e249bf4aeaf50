//! The first words on a supervisor's standard input: why it is started, and descriptors that come along.
//!
//! `ctr run` sends them over the socket that it then listens on; a supervisor that executes itself to start its container again
//! sends them to itself. One datagram's worth: a byte of length, JSON, and as SCM_RIGHTS the mount namespace to come back to, then
//! from itself the socket that clients connect to, from others what the container is given.

use crate::stream::MOST_GIVEN;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Most descriptors that come along: the mount namespace, the socket, and what the container is given.
const MOST: usize = 2 + MOST_GIVEN;

/// Why a supervisor is started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Words {
    /// Whether its container has run already, and how long it was waited for, in milliseconds.
    pub(crate) again_after_ms: Option<u64>,
}

/// What was received.
#[derive(Debug, Default)]
pub(super) struct Hello {
    pub(super) words: Words,
    /// The mount namespace in which the supervisor was started.
    pub(super) machine: Option<OwnedFd>,
    /// The socket of the supervisor it was before.
    pub(super) listener: Option<OwnedFd>,
    /// What the container is given as its descriptors 3, 4 and so on.
    pub(super) given: Vec<OwnedFd>,
}

/// Sends `words` and `descriptors` into `socket`.
pub(crate) fn send(socket: &UnixStream, words: &Words, descriptors: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let json = serde_json::to_vec(words)?;
    let length = [u8::try_from(json.len()).map_err(std::io::Error::other)?];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    along.push(SendAncillaryMessage::ScmRights(descriptors));
    sendmsg(socket, &[IoSlice::new(&length), IoSlice::new(&json)], &mut along, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes them from `socket`, and nothing that comes behind them. None where there is nobody any more to say them.
pub(super) fn receive(socket: BorrowedFd<'_>) -> Option<Hello> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0];
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut length)], &mut along, RecvFlags::CMSG_CLOEXEC);
    if !got.is_ok_and(|message| message.bytes == 1) {
        return None;
    }
    let descriptors = along.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.flatten();
    let machine = descriptors.next();
    let mut json = vec![0; usize::from(length[0])];
    let mut at = 0;
    while at < json.len() {
        match rustix::io::read(socket, &mut json[at..]) {
            Ok(n) if n > 0 => at += n,
            Err(rustix::io::Errno::INTR) => {}
            _ => break,
        }
    }
    let words: Words = serde_json::from_slice(&json[..at]).unwrap_or_default();
    let listener = words.again_after_ms.and_then(|_| descriptors.next());
    Some(Hello { words, machine, listener, given: descriptors.collect() })
}

/// The mount namespace we are in, to come back to.
pub(crate) fn own_namespace() -> std::io::Result<OwnedFd> {
    std::fs::File::open("/proc/self/ns/mnt").map(OwnedFd::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn words_and_descriptors_arrive_and_nothing_else_is_taken() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let namespace = own_namespace().unwrap();
        send(&ours, &Words { again_after_ms: Some(400) }, &[namespace.as_fd()]).unwrap();
        let (first, other) = UnixStream::pair().unwrap();
        send(&first, &Words::default(), &[namespace.as_fd(), other.as_fd()]).unwrap();
        let first = receive(other.as_fd()).unwrap();
        assert!(first.listener.is_none() && first.given.len() == 1);
        ours.write_all(b"more").unwrap();
        let hello = receive(theirs.as_fd()).unwrap();
        assert_eq!(hello.words.again_after_ms, Some(400));
        assert!(hello.machine.is_some() && hello.listener.is_none());
        let mut more = [0; 4];
        theirs.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"more");
        drop(ours);
        assert!(receive(theirs.as_fd()).is_none());
    }
}
