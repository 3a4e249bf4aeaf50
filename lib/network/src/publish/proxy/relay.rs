//! The process that serves ports: one thread, one loop over what is ready.
//!
//! It holds nothing but its sockets: before it hears the first stranger it leaves the mounts it was started among and all
//! its rights ([`crate::confine`]).

use super::datagrams::Datagrams;
use super::streams::Streams;
use super::{DESCRIPTORS, Line, line, wrong};
use crate::confine;
use crate::error::Result;
use crate::lease::Process;
use crate::nft::ports::Entry;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use spec::published::Protocol;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// What is waited for: whose it is, told by whoever asked.
pub(super) type Wish<'a> = (BorrowedFd<'a>, PollFlags);

/// Serves what standard input lists, written down in `path`; standard output hears of it. Comes back only with an error.
pub fn serve(path: &Path) -> Result<()> {
    let wrong = wrong(path);
    let _ = rustix::process::setsid();
    confine::raise_descriptors(DESCRIPTORS);
    let mut told = Vec::new();
    io::stdin().read_to_end(&mut told).map_err(&wrong)?;
    let doors: Vec<(RawFd, Entry)> = serde_json::from_slice(&told).map_err(|e| wrong(e.into()))?;
    let entries = doors.iter().map(|(_, entry)| *entry).collect();
    let (mut streams, mut datagrams) = (Streams::default(), Datagrams::default());
    for (number, entry) in doors {
        let socket = sys::spawn::inherited(number).map_err(&wrong)?;
        match entry.protocol == Protocol::Tcp.number() {
            true => streams.listen(socket, entry.to),
            false => datagrams.listen(socket, entry.to),
        }
    }
    let own = line(&Line { process: Process::own(), entries });
    let mut record = OpenOptions::new().append(true).create(true).open(path).map_err(&wrong)?;
    record.write_all(&own).map_err(&wrong)?;
    drop(record);
    io::stdout().write_all(b".").and_then(|()| io::stdout().flush()).map_err(&wrong)?;
    let nowhere = OwnedFd::from(File::options().read(true).write(true).open("/dev/null").map_err(&wrong)?);
    rustix::stdio::dup2_stdin(&nowhere)
        .and_then(|()| rustix::stdio::dup2_stdout(&nowhere))
        .map_err(|e| wrong(e.into()))?;
    drop(nowhere);
    // Who may not mount keeps what it was started among; it serves as well.
    let _ = confine::leave_mounts(&[]);
    confine::leave_rights().map_err(&wrong)?;
    loop {
        round(&mut streams, &mut datagrams).map_err(&wrong)?;
    }
}

fn round(streams: &mut Streams, datagrams: &mut Datagrams) -> io::Result<()> {
    let mut wishes: Vec<Wish<'_>> = Vec::new();
    streams.wishes(&mut wishes);
    let behind = wishes.len();
    datagrams.wishes(&mut wishes);
    // Of whom nothing is wanted is not asked about: poll(2) tells of an end or an error each time, wanted or not.
    let asked = |(_, flags): &&Wish<'_>| !flags.is_empty();
    let asked_of = wishes.iter().filter(asked);
    let mut fds: Vec<PollFd<'_>> = asked_of.map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let wait = [streams.wait(), datagrams.wait()].into_iter().flatten().min();
    let wait = wait.and_then(|wait| rustix::time::Timespec::try_from(wait).ok());
    match poll(&mut fds, wait.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut told = fds.iter().map(|fd| !fd.revents().is_empty());
    let ready: Vec<bool> = wishes.iter().map(|wish| asked(&wish) && told.next() == Some(true)).collect();
    streams.serve(&ready[..behind]);
    datagrams.serve(&ready[behind..]);
    Ok(())
}

/// A socket that talks to `to` without waiting.
pub(super) fn connect(to: SocketAddr, kind: rustix::net::SocketType) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}
