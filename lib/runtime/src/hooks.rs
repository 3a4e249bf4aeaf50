//! Hooks: programs the caller has us run at six points of a container's life, with its state on their stdin
//! (runtime-spec "POSIX-platform Hooks").

use crate::error::{Error, Kind, Result, failed, invalid};
use crate::file;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use spec::runtime::{Hook, Hooks};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs `hooks` in order with `state` (JSON) on stdin; the first that fails ends it.
pub(crate) fn run(stage: &'static str, hooks: Option<&Vec<Hook>>, state: &[u8]) -> Result<()> {
    for hook in hooks.into_iter().flatten() {
        run_one(stage, hook, state)?;
    }
    Ok(())
}

/// The same where the specification wants a warning instead of an end: all are run, the errors given back.
pub(crate) fn run_all(stage: &'static str, hooks: Option<&Vec<Hook>>, state: &[u8]) -> Vec<Error> {
    hooks.into_iter().flatten().filter_map(|h| run_one(stage, h, state).err()).collect()
}

/// Fails on hooks that cannot be run: `path` has to be absolute and `timeout` above zero.
pub(crate) fn check(hooks: &Hooks) -> Result<()> {
    #[allow(deprecated, reason = "prestart is deprecated in the specification, not in its callers")]
    let stages = [
        hooks.prestart(),
        hooks.create_runtime(),
        hooks.create_container(),
        hooks.start_container(),
        hooks.poststart(),
        hooks.poststop(),
    ];
    for hook in stages.into_iter().flatten().flatten() {
        let name = hook.path().display();
        if !hook.path().is_absolute() {
            return Err(invalid("hooks", name, "is no absolute path"));
        }
        if hook.timeout().is_some_and(|seconds| seconds <= 0) {
            return Err(invalid("hooks", name, "has a timeout that is not above zero"));
        }
    }
    Ok(())
}

fn run_one(stage: &'static str, hook: &Hook, state: &[u8]) -> Result<()> {
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
    command.stdin(Stdio::piped()).stdout(copy()?).stderr(copy()?);
    let mut child = command.spawn().map_err(|e| failed(stage, &name, e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its state.
        let _ = stdin.write_all(state);
    }
    let limit = hook.timeout().filter(|s| *s > 0);
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
