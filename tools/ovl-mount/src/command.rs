//! The form that ends in a command: mounts in a mount namespace of its own, runs the command in there, unmounts.
//!
//! The namespace lives as long as this process and whatever the command leaves behind; with the last of them the mount is
//! gone, however they ended. So no step here needs an undo but the folder made for the mount point.

use crate::plan::{Plan, Then};
use crate::{run, userns};
use cli::failure::Outcome;
use cli::{Failure, exit};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use overlay::rights;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// What a terminal, a user or a supervisor sends to end a program.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

pub(crate) fn run(mut plan: Plan) -> Outcome {
    let Then::Run(words) = std::mem::replace(&mut plan.then, Then::Return) else { return Ok(exit::DONE) };
    let made = plan.default_target && run::ensure_folder("mount point", &plan.target)?;
    let outcome = enter_namespaces().and_then(|()| mount_and_run(&plan, &words));
    if made {
        let _ = std::fs::remove_dir(&plan.target);
    }
    outcome
}

/// A mount namespace of our own, in which mounts and unmounts of the machine arrive and from which none travel back.
fn enter_namespaces() -> Result<(), Failure> {
    if rights::may_mount() {
        unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|e| Failure::new(format!("new mount namespace: {}", e.desc().to_lowercase())))?;
    } else {
        userns::enter()?;
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(|e| Failure::new(format!("keep mounts to ourselves: {}", e.desc().to_lowercase())))
}

fn mount_and_run(plan: &Plan, words: &[std::ffi::OsString]) -> Outcome {
    let _choice = run::mount(plan)?;
    let target = std::path::absolute(&plan.target).map_err(|e| Failure::new(format!("working folder: {e}")))?;
    let mut signals = SigSet::from_iter(ENDING);
    signals.add(Signal::SIGCHLD);
    signals.thread_block().map_err(|e| Failure::new(format!("block signals: {e}")))?;
    let queue =
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(|e| Failure::new(format!("signalfd: {e}")))?;
    let read_stdin = plan.list.as_ref().is_some_and(|list| list.file.is_none());
    let outcome = start(words, &target, read_stdin).and_then(|mut child| Ok(of(wait(&mut child, &queue)?)));
    unmount(&target);
    outcome
}

fn start(words: &[std::ffi::OsString], target: &Path, stdin_is_used_up: bool) -> Result<Child, Failure> {
    let [program, args @ ..] = words else { return Err(Failure::usage("no command")) };
    let mut command = Command::new(program);
    command.args(args).current_dir(target).env("OVL_MOUNT", target).env("PWD", target);
    if stdin_is_used_up {
        command.stdin(terminal_or_null());
    }
    command.spawn().map_err(|e| {
        let name = program.to_string_lossy();
        match e.kind() {
            ErrorKind::NotFound if name.contains('/') => Failure::new(format!("{name}: no such file or directory")),
            ErrorKind::NotFound => Failure::new(format!("{name}: not found in $PATH")),
            _ => {
                let error: Failure = spec::Error::new((), "", &name).because(e).into();
                return error.code(exit::CANNOT_EXECUTE);
            }
        }
        .code(exit::NOT_FOUND)
    })
}

/// stdin for a command when ours held the list of layers: the terminal if we are its foreground group, so that reading it
/// cannot stop the command, else nothing.
fn terminal_or_null() -> Stdio {
    let terminal = std::fs::File::open("/dev/tty").ok();
    match terminal.filter(|tty| tcgetpgrp(tty).is_ok_and(|group| group == getpgrp())) {
        Some(tty) => tty.into(),
        None => Stdio::null(),
    }
}

/// Waits for the command and hands on to it what was sent to us. What a terminal sends reaches the whole group, the
/// command too, and is not handed on a second time.
fn wait(child: &mut Child, queue: &SignalFd) -> Result<ExitStatus, Failure> {
    let waiting = |e: std::io::Error| Failure::new(format!("wait for the command: {e}"));
    loop {
        if let Some(status) = child.try_wait().map_err(waiting)? {
            return Ok(status);
        }
        let Ok(Some(signal)) = queue.read_signal() else { continue };
        let by_terminal = signal.ssi_code == libc::SI_KERNEL;
        match Signal::try_from(signal.ssi_signo as i32) {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(_) if by_terminal => {}
            Ok(number) => {
                let _ = kill(Pid::from_raw(child.id() as i32), number);
            }
        }
    }
}

fn of(status: ExitStatus) -> u8 {
    exit::of_wait_status(status.into_raw())
}

/// Unmounts; what the command left running may still hold it, then it goes when they do.
fn unmount(target: &Path) {
    if umount2(target, MntFlags::UMOUNT_NOFOLLOW).is_err() {
        let _ = umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
}
