//! Starting and stopping the process that serves ports.

use super::{DESCRIPTORS, PUBLISH, door, wrong};
use crate::confine;
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use crate::nft::ports::Entry;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use spec::published::Protocol;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// This program, also where its file was replaced since.
const SELF: &str = "/proc/self/exe";
/// How many connections may wait.
const BACKLOG: i32 = 512;

/// Binds the doors of `entries` and starts a process that serves them and writes itself down in `path`.
pub(super) fn start(path: &Path, entries: &[Entry]) -> Result<()> {
    let wrong = wrong(path);
    // The process works elsewhere.
    let path = &std::path::absolute(path).map_err(&wrong)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(&wrong)?;
    }
    confine::raise_descriptors(DESCRIPTORS);
    let mut doors: Vec<(OwnedFd, Entry)> = Vec::new();
    for entry in entries {
        doors.push((open(entry).map_err(|e| refusal(entry, e))?, *entry));
    }
    let numbered: Vec<(RawFd, Entry)> = doors.iter().map(|(socket, entry)| (socket.as_raw_fd(), *entry)).collect();
    let told = serde_json::to_vec(&numbered).map_err(|e| wrong(e.into()))?;
    let mut list = File::from(rustix::fs::memfd_create("doors", MemfdFlags::CLOEXEC).map_err(|e| wrong(e.into()))?);
    list.write_all(&told).and_then(|()| list.rewind()).map_err(&wrong)?;
    let (mut ready, theirs) = io::pipe().map_err(&wrong)?;
    let mut command = Command::new(SELF);
    command.arg0("netwire").arg("relay").arg(path).env_clear().current_dir("/");
    command.stdin(list).stdout(theirs).stderr(Stdio::null());
    // What somebody left open for us is not the server's: a pipe of theirs would never end.
    sys::spawn::cloexec_from(3).map_err(&wrong)?;
    for (number, _) in &numbered {
        sys::spawn::keep_over_exec(*number).map_err(&wrong)?;
    }
    let started = command.spawn();
    for (number, _) in &numbered {
        sys::spawn::close_on_exec(*number).map_err(&wrong)?;
    }
    drop(command);
    started.map_err(&wrong)?;
    let mut word = [0];
    match ready.read(&mut word).map_err(&wrong)? {
        0 => Err(Error::new(Kind::System, PUBLISH, path.display()).because("the process that serves it did not start")),
        _ => Ok(()),
    }
}

/// Ends the process and waits for its end.
pub(super) fn stop(process: &Process, container: &str) -> Result<()> {
    let wrong = |e: io::Error| failed("stop serving ports of", container, e);
    let Some(pid) = i32::try_from(process.id).ok().and_then(rustix::process::Pid::from_raw) else { return Ok(()) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        opened => opened.map_err(|e| wrong(e.into()))?,
    };
    // Looked at after it was opened: what lives now is what the handle is of.
    if !process.is_alive() {
        return Ok(());
    }
    match pidfd_send_signal(&handle, Signal::KILL) {
        Ok(()) => {}
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(wrong(errno.into())),
    }
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).map_err(|e| wrong(e.into()))?;
    Ok(())
}

fn open(entry: &Entry) -> io::Result<OwnedFd> {
    let is_stream = entry.protocol == Protocol::Tcp.number();
    let kind = if is_stream { SocketType::STREAM } else { SocketType::DGRAM };
    let family = if entry.to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if entry.to.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if is_stream {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    } else if entry.to.is_ipv4() {
        // So that an answer leaves from the address that was asked.
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv4PacketInfo, &true)?;
    } else {
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    bind(&socket, &door(entry))?;
    if is_stream {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

fn refusal(entry: &Entry, e: io::Error) -> Error {
    let taken = e.kind() == io::ErrorKind::AddrInUse;
    let error = failed(PUBLISH, door(entry), e);
    if taken {
        return Error::new(Kind::InUse, PUBLISH, door(entry))
            .because("address already in use: a process of this machine listens there")
            .hint("stop it, or choose another port");
    }
    error
}
