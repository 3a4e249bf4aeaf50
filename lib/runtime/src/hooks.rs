//! Hooks: programs the caller has us run at six points of a container's life, with its state on their stdin
//! (runtime-spec "POSIX-platform Hooks").

use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use spec::runtime::{Hook, Hooks};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Fails on hooks that cannot be: a path that is not absolute, a time that is none.
pub(crate) fn check(all: &Hooks) -> Result<()> {
    #[allow(deprecated, reason = "prestart is deprecated in the specification, not in its callers")]
    let stages = [
        ("hooks.prestart", all.prestart()),
        ("hooks.createRuntime", all.create_runtime()),
        ("hooks.createContainer", all.create_container()),
        ("hooks.startContainer", all.start_container()),
        ("hooks.poststart", all.poststart()),
        ("hooks.poststop", all.poststop()),
    ];
    for (stage, hooks) in stages {
        for hook in hooks.iter().flatten() {
            if !hook.path().is_absolute() {
                return Err(invalid(stage, format!("{:?}", hook.path()), "must be an absolute path"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(invalid(stage, hook.path().display(), "its timeout must be greater than zero"));
            }
        }
    }
    Ok(())
}

/// Runs `hooks` in order with `state` (JSON) on stdin; the first that fails ends it. They have our signal mask, or this one.
pub(crate) fn run(stage: &'static str, hooks: Option<&Vec<Hook>>, state: &[u8], mask: Option<SigSet>) -> Result<()> {
    for hook in hooks.into_iter().flatten() {
        run_one(stage, hook, state, mask)?;
    }
    Ok(())
}

/// The same where the specification wants a warning instead of an end: all are run, the errors given back.
pub(crate) fn run_all(
    stage: &'static str,
    hooks: Option<&Vec<Hook>>,
    state: &[u8],
    mask: Option<SigSet>,
) -> Vec<Error> {
    hooks.into_iter().flatten().filter_map(|h| run_one(stage, h, state, mask).err()).collect()
}

/// The state to read from: a file, not a pipe, since a hook need not read it, and may be given more than a pipe holds.
fn stdin_of(state: &[u8]) -> std::io::Result<Stdio> {
    let held = rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC)?;
    file::write_all(&held, state)?;
    rustix::fs::seek(&held, rustix::fs::SeekFrom::Start(0))?;
    Ok(held.into())
}

fn run_one(stage: &'static str, hook: &Hook, state: &[u8], mask: Option<SigSet>) -> Result<()> {
    let name = hook.path().display();
    let mut command = Command::new(hook.path());
    if let Some((first, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(first).args(rest);
    }
    if let Some(env) = hook.env() {
        command.env_clear().envs(env.iter().filter_map(|e| e.split_once('=')));
    }
    // A file, not a pipe: a hook may say more than a pipe holds and leave children that keep it open.
    let said = rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC).map_err(|e| failed("memfd_create", "hook", e))?;
    let copy = || said.try_clone().map(Stdio::from).map_err(|e| failed(stage, &name, e));
    command.stdin(stdin_of(state).map_err(|e| failed(stage, &name, e))?).stdout(copy()?).stderr(copy()?);
    let child = match mask {
        None => command.spawn(),
        Some(mask) => sys::daemon::spawn_with_mask(&mut command, mask),
    };
    let mut child = child.map_err(|e| failed(stage, &name, e))?;
    let limit = hook.timeout();
    if let (Some(seconds), Some(pid)) = (limit, Pid::from_raw(child.id() as i32)) {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .map_err(|e| failed("pidfd_open", pid.as_raw_nonzero(), e))?;
        let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let ended = rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))
            .map_err(|e| failed("poll", &name, e))?;
        if ended == 0 {
            let _ = rustix::process::pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
            let _ = child.wait();
            return Err(Error::new(Kind::Failed, stage, name).because(format!("did not end within {seconds} s")));
        }
    }
    let status = child.wait().map_err(|e| failed(stage, &name, e))?;
    if status.success() {
        return Ok(());
    }
    let _ = rustix::fs::seek(&said, rustix::fs::SeekFrom::Start(0));
    let text = file::read_all(File::from(said)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.trim();
    let why = if text.is_empty() { status.to_string() } else { format!("{status}: {text}") };
    Err(Error::new(Kind::Failed, stage, name).because(why))
}
