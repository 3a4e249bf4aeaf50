//! Namespaces of our own, in which a mount is nobody else's business.
//!
//! With the right to mount, a mount namespace is enough. Without, a user namespace comes first, in which this user is
//! root: their own id becomes 0 and, where newuidmap and newgidmap are installed and /etc/subuid and /etc/subgid have
//! ranges for them, those follow from 1 on. Else it is the one id alone.

mod ranges;

use crate::error::{Error, Kind, Result};
use crate::rights;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getegid, geteuid, getpid};
use ranges::Range;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::process::{Command, Stdio};

/// Enters a mount namespace, and a user namespace before it where that is needed to mount. Mounts and unmounts of the
/// machine arrive in it; none travel back.
pub fn enter() -> Result<()> {
    if rights::may_mount() {
        unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|e| Error::new(Kind::Failed, "new mount namespace", "").because(io::Error::from(e)))?;
    } else {
        become_root_of_our_own()?;
    }
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
        .map_err(|e| Error::new(Kind::Failed, "keep mounts to ourselves", "").because(io::Error::from(e)))
}

/// Unshares, then has the maps written: by a child that stayed outside, since newuidmap is set-user-id there only.
fn become_root_of_our_own() -> Result<()> {
    let failed = |op: &'static str| move |e: io::Error| Error::new(Kind::Failed, op, "").because(e);
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let us = getpid().to_string();
    let (uids, gids) = (ranges::of(uid, "/etc/subuid"), ranges::of(uid, "/etc/subgid"));
    let (waits, go) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("pipe")(e.into()))?;
    let mapper = if uids.is_empty() || gids.is_empty() {
        None
    } else {
        let body = |kept: Vec<_>| {
            let told = kept.first().is_some_and(|pipe| rustix::io::read(pipe, &mut [0_u8; 1]) == Ok(1));
            let mapped = told && map("newuidmap", &us, uid, &uids) && map("newgidmap", &us, gid, &gids);
            if mapped { 0 } else { 1 }
        };
        Some(sys::daemon::fork_into(vec![waits], body).map_err(failed("fork"))?)
    };
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|e| {
        let error = failed("new user namespace")(e.into());
        match e {
            nix::Error::ENOSPC => error.hint("raise /proc/sys/user/max_user_namespaces, or run as root"),
            _ => error.hint("this machine does not let users make user namespaces: run as root"),
        }
    })?;
    let _ = rustix::io::write(&go, &[1]);
    drop(go);
    let mapped = mapper.is_some_and(|pid| matches!(waitpid(pid, None), Ok(WaitStatus::Exited(_, 0))));
    if !mapped {
        map_one_id(uid, gid).map_err(failed("map our id to 0"))?;
    }
    Ok(())
}

/// Runs `program` for process `us`: 0 is `own`, then the ranges one after the other.
fn map(program: &str, us: &str, own: u32, ranges: &[Range]) -> bool {
    let mut command = Command::new(program);
    command.args([us, "0", &own.to_string(), "1"]);
    let mut inside = 1_u32;
    for range in ranges {
        command.args([inside.to_string(), range.start.to_string(), range.length.to_string()]);
        inside = inside.saturating_add(range.length);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The kernel lets everyone map their own id, if they give up setgroups(2) (user_namespaces(7)).
fn map_one_id(uid: u32, gid: u32) -> io::Result<()> {
    // Where newuidmap wrote its map and newgidmap failed, the first of these cannot be written again, and need not be.
    let uid_map = write("/proc/self/uid_map", &format!("0 {uid} 1\n"));
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/gid_map", &format!("0 {gid} 1\n"))?;
    if geteuid().is_root() { Ok(()) } else { uid_map }
}

fn write(file: &str, text: &str) -> io::Result<()> {
    let file = open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}
