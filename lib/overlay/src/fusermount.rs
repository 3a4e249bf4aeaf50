//! Mounting as a user who may not mount: the set-user-id program fusermount3 does it and passes `/dev/fuse` back through
//! the socket that `_FUSE_COMMFD` names (libfuse, util/fusermount.c).

use crate::device::SUBTYPE;
use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::options::Options;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = "fusermount3";

/// Mounts at the target and gives the server's end.
pub(crate) fn mount(folders: &Folders, options: &Options) -> Result<OwnedFd> {
    let target = &folders.target.path;
    let failed = |e: io::Error| {
        let error = Error::new(Kind::Driver, PROGRAM, target.display());
        match e.kind() {
            ErrorKind::NotFound => error.because("this program is needed to mount without root, and is not installed").hint(
                "let ovl-mount run the command (ovl-mount … -- CMD), or start with nsrun --user --map-root-user --mount -- sh",
            ),
            _ => error.because(e),
        }
    };
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| failed(e.into()))?;
    // Its stdin is the socket: the one descriptor that crosses exec without being marked for it.
    let child = Command::new(PROGRAM)
        .arg("-o")
        .arg(mount_options(folders, options))
        .arg("--")
        .arg(target)
        .env("_FUSE_COMMFD", "0")
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let device = receive(&ours);
    let output = child.wait_with_output().map_err(failed)?;
    match device {
        Ok(Some(device)) if output.status.success() => Ok(device),
        Err(e) => Err(failed(e)),
        Ok(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or("no reason given");
            let line = line.split_once(": ").map_or(line, |(_, rest)| rest).to_owned();
            let error = failed(io::Error::other(line.clone()));
            Err(match () {
                () if line.contains("user_allow_other") => {
                    error.hint("put the line user_allow_other into /etc/fuse.conf")
                }
                () => error.hint("ovl-mount … -- CMD needs no fusermount3"),
            })
        }
    }
}

/// Unmounts what [`mount`] has mounted.
pub(crate) fn unmount(target: &Path) {
    let _ = Command::new(PROGRAM)
        .args(["-u", "-z", "-q", "--"])
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn mount_options(folders: &Folders, options: &Options) -> OsString {
    let read_only = options.flags.read_only || folders.upper.is_none();
    let mut list = String::from(if read_only { "ro" } else { "rw" });
    list.push_str(",default_permissions");
    for (set, word) in [
        (options.flags.noexec, ",noexec"),
        (options.flags.noatime, ",noatime"),
        (options.flags.nodiratime, ",nodiratime"),
        (options.flags.sync, ",sync"),
        (options.flags.dirsync, ",dirsync"),
        (options.allow_other == Some(true), ",allow_other"),
    ] {
        if set {
            list.push_str(word);
        }
    }
    for (key, value) in [("fsname", &options.fsname), ("subtype", &options.subtype)] {
        let value = value.as_deref().unwrap_or(SUBTYPE).replace('\\', r"\\").replace(',', r"\,");
        list.push_str(&format!(",{key}={value}"));
    }
    list.into()
}

/// The descriptor that comes with one byte; `None` where the other side closed without sending one.
fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let found = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(found)
}
