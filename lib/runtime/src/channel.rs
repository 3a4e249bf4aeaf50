//! The socket between the process that makes a container and the container's first process: whole messages (SOCK_SEQPACKET),
//! JSON each, with at most one descriptor beside them. End of file means that the other side is gone, or has executed its
//! program: both ends are close-on-exec.

use crate::error::{Error, Kind, Portable, Result, failed};
use crate::net_devices::Moved;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is said, in the order of a container's life.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// To the child: your id maps are written and your cgroup is joined.
    Mapped,
    /// From an intermediate process: the first process has this pid.
    Pid(i32),
    /// From the child: namespaces stand; move the network devices there.
    MoveDevices,
    /// To the child: here they are.
    DevicesMoved(Vec<Moved>),
    /// From the child: namespaces and mounts stand, pivot_root comes next; run the hooks of the runtime's namespace.
    RunHooks,
    /// To the child: they have run, and this is your pid outside.
    HooksRan(i32),
    /// From the child, with the master side of its terminal.
    Terminal,
    /// From the child, with the descriptor of its seccomp listener.
    Listener,
    /// To the child: whether the agent has the listener.
    Heard(bool),
    /// From the child: all is set up, waiting to be started.
    Ready,
    /// To the child: execute the program.
    Start,
    /// From the child: this could not be done, and it goes on.
    Warning(Portable),
    /// From the child: this went wrong, and it is ending.
    Failed(Portable),
}

/// No message is longer; an error that is loses its words.
const MAX_BYTES: usize = 4096;

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    /// Both ends of a new channel.
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|e| failed("socketpair", "", e))?;
        Ok((Self(a), Self(b)))
    }

    /// A connected socket as a channel.
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Says `message`.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        self.send_with(message, None)
    }

    /// Says `message`, handing over a copy of `fd`.
    pub(crate) fn send_with(&self, message: &Message, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let bytes =
            serde_json::to_vec(message).map_err(|e| Error::new(Kind::Failed, "encode message", "").because(e))?;
        if bytes.len() > MAX_BYTES {
            return Err(Error::new(Kind::Invalid, "encode message", "").because("it is too long".to_owned()));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds;
        if let Some(fd) = fd {
            fds = [fd];
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)
        })
        .map_err(|e| failed("tell the other process", "", e))?;
        Ok(())
    }

    /// Says that `error` ended this process; that nobody listens any more is no further error.
    pub(crate) fn send_error(&self, error: Error) {
        let op = error.op;
        let kind = error.kind;
        if matches!(self.send(&Message::Failed(error.into())), Err(e) if e.kind == Kind::Invalid) {
            let _ = self
                .send(&Message::Failed(Error::new(kind, op, "").because("the reason is too long".to_owned()).into()));
        }
    }

    /// The next message; `None` at the end. An error of the other side comes out as this function's error.
    pub(crate) fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut bytes = [0; MAX_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        });
        let length = match got {
            Ok(got) => got.bytes,
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(e) => return Err(failed("hear the other process", "", e)),
        };
        if length == 0 {
            return Ok(None);
        }
        let mut fd = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                fd = fds.into_iter().next();
            }
        }
        let said = bytes.get(..length).unwrap_or_default();
        match serde_json::from_slice(said).map_err(|e| Error::new(Kind::Failed, "decode message", "").because(e))? {
            Message::Failed(error) => Err(error.into()),
            message => Ok(Some((message, fd))),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
