//! A command that runs in an overlay, and what is handed on to it while it runs.

use crate::error::{Error, Kind, Result};
use crate::signals::{Came, Signals};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use rustix::fs::{Mode, OFlags, open};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Where a command's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It is ours.
    Ours,
    /// Ours is used up: the terminal if we are its foreground group, so that reading it cannot stop the command, else nothing.
    TerminalOrNothing,
}

/// Runs `words` in the overlay at `target` until it ends. What is sent to us is handed on to it; what the terminal's keys
/// send has reached it already.
///
/// Fails with [`Kind::NoCommand`] or [`Kind::NotExecutable`] where it cannot be started.
pub fn run(words: &[OsString], target: &Path, input: Input, signals: &Signals) -> Result<ExitStatus> {
    let Some((program, args)) = words.split_first() else {
        return Err(Error::new(Kind::Request, "no command", ""));
    };
    let mut command = Command::new(program);
    command.args(args).current_dir(target).env("OVL_MOUNT", target).env("PWD", target);
    if input == Input::TerminalOrNothing {
        command.stdin(terminal_or_nothing());
    }
    let mut child = sys::daemon::spawn_with_mask(&mut command, signals.before).map_err(|e| cannot_start(program, e))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(e) => return Err(Error::new(Kind::Failed, "wait for", program.display()).because(e)),
        }
        if let Came::End { signal, by_terminal: false } | Came::Tell(signal) = signals.next() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }
}

fn cannot_start(program: &std::ffi::OsStr, source: io::Error) -> Error {
    let named = program.display();
    match source.kind() {
        ErrorKind::NotFound if named.to_string().contains('/') => {
            Error::new(Kind::NoCommand, "", named).because(source)
        }
        ErrorKind::NotFound => Error::new(Kind::NoCommand, "", named).because("executable file not found in $PATH"),
        _ => Error::new(Kind::NotExecutable, "", named).because(source),
    }
}

fn terminal_or_nothing() -> Stdio {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    match open("/dev/tty", flags, Mode::empty()) {
        Ok(terminal) if tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()) => terminal.into(),
        _ => Stdio::null(),
    }
}
