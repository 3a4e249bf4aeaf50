//! A container's terminal (runc's docs/terminals.md): made from the container's own devpts, so that its name means the same
//! inside; the slave becomes /dev/console and stdio; the master goes to whoever serves it, over a socket.

use crate::defence::{Defence, by_name};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::rootfs::fsmount::is_of;
use crate::rootfs::mounts::bind_file;
use crate::rootfs::tree::{Make, Tree};
use rustix::fs::{Gid, OFlags, Uid};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const DEVPTS_MAGIC: u64 = 0x1cd1;

/// Both sides of a terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

/// Makes a terminal in the devpts mounted inside `tree`.
pub(crate) fn open(tree: &Tree, size: Option<(u64, u64)>, owner: (u32, u32)) -> Result<Terminal> {
    let master = tree
        .open(Path::new("/dev/pts/ptmx"), OFlags::RDWR | OFlags::NOCTTY)
        .map_err(|e| failed("open terminal", "/dev/pts/ptmx", e))?;
    if !is_of(master.as_fd(), DEVPTS_MAGIC) {
        return Err(invalid("open terminal", "/dev/pts/ptmx", "is not on a devpts"));
    }
    finish(master, size, owner)
}

/// Makes a terminal in the devpts that this process sees.
pub(crate) fn open_here() -> Result<Terminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).map_err(|e| failed("open terminal", "/dev/ptmx", e))?;
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    finish(master, None, (uid, gid))
}

fn finish(master: OwnedFd, size: Option<(u64, u64)>, owner: (u32, u32)) -> Result<Terminal> {
    rustix::pty::unlockpt(&master).map_err(|e| failed("unlock terminal", "", e))?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .map_err(|e| failed("open terminal", "slave", e))?;
    if let Some((height, width)) = size.filter(|(h, w)| *h > 0 && *w > 0) {
        let small = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
        let size = Winsize { ws_row: small(height), ws_col: small(width), ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size).map_err(|e| failed("set size of terminal", "", e))?;
    }
    // Only the owner changes: the group is tty where devpts was told so. An id without a place in the user namespace stays.
    match rustix::fs::fchown(&slave, Some(Uid::from_raw(owner.0)), None::<Gid>) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => {}
        Err(e) => return Err(failed("set owner of", "terminal", e)),
    }
    Ok(Terminal { master, slave })
}

/// Puts the slave at /dev/console.
pub(crate) fn bind_console(tree: &Tree, slave: BorrowedFd<'_>) -> Result<()> {
    let place = tree.ensure(Path::new("/dev/console"), Make::File).map_err(|e| failed("make", "/dev/console", e))?;
    if let Some(named) = by_name(Defence::Console, tree.as_fd(), Path::new("/dev/pts/0")) {
        return named
            .and_then(|fd| bind_file(fd.as_fd(), place.as_fd()))
            .map_err(|e| failed("mount", "/dev/console", e));
    }
    bind_file(slave, place.as_fd()).map_err(|e| failed("mount", "/dev/console", e))
}

/// Makes the slave stdio and the controlling terminal of this process, which leads its session.
pub(crate) fn adopt(slave: &OwnedFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave).map_err(|e| failed("take terminal", "", e))?;
    let done = nix::unistd::dup2_stdin(slave)
        .and_then(|()| nix::unistd::dup2_stdout(slave))
        .and_then(|()| nix::unistd::dup2_stderr(slave));
    done.map_err(|e| failed("take terminal", "stdio", e))
}

/// Connects to the socket at which the caller waits for the master.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd> {
    let say = |e| failed("connect to console socket", path.display(), std::io::Error::from(e));
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(say)?;
    let address = SocketAddrUnix::new(path).map_err(say)?;
    rustix::net::connect(&socket, &address).map_err(say)?;
    Ok(socket)
}

/// Hands `master` over, under the name engines show.
pub(crate) fn send_master(socket: BorrowedFd<'_>, master: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [master];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Error::new(Kind::Failed, "send terminal", "").because("no room for a descriptor".to_owned()));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(name)], &mut ancillary, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|e| failed("send terminal", "to the console socket", e))
}

/// Its name inside, `/dev/pts/0`.
pub(crate) fn name_of(master: BorrowedFd<'_>) -> Vec<u8> {
    rustix::pty::ptsname(master, Vec::new())
        .map(std::ffi::CString::into_bytes)
        .unwrap_or_else(|_| b"/dev/pts/ptmx".to_vec())
}
