//! A person at a terminal: a pseudo-terminal of the test's own, the controlling one of the command in front of it.

use crate::lab::Lab;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Both sides of a new terminal. Other tests start programs meanwhile, which must not get them.
fn terminal() -> std::io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOCTTY)
        .open(OsStr::from_bytes(name.to_bytes()))?;
    Ok((master, slave.into()))
}

/// A person at a terminal, in front of `ctr`.
pub(crate) struct Person {
    terminal: File,
    /// The other side, so that it stays when the command has gone.
    slave: File,
    child: Child,
    seen: String,
}

impl Person {
    /// Types `ctr ARGS` at a terminal of 24 lines and 80 columns.
    pub(crate) fn new(lab: &Lab, args: &[&str]) -> Self {
        Self::with(lab, args, |_| {})
    }

    /// The same with something else set up for the command.
    pub(crate) fn with(lab: &Lab, args: &[&str], more: impl FnOnce(&mut Command)) -> Self {
        Self::before(env!("CARGO_BIN_EXE_ctr"), args, |command| {
            lab.environment(command);
            command.env("DOCKER_CONFIG", lab.path());
            more(command);
        })
    }

    /// A person in front of another program than ours.
    pub(crate) fn before(program: impl AsRef<OsStr>, args: &[&str], more: impl FnOnce(&mut Command)) -> Self {
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let (master, slave) = terminal().expect("a terminal");
        rustix::termios::tcsetwinsize(&master, size).expect("resized");
        // a session of its own with this terminal: keys send signals, and a new size does
        let mut command = Command::new("env");
        // whatever the tests were started with: a job in the background ignores keys
        command.args(["--default-signal", "setsid", "--ctty"]).arg(program).args(args);
        let end = || Stdio::from(slave.try_clone().expect("a copy"));
        command.stdin(end()).stdout(end()).stderr(end());
        more(&mut command);
        let child = command.spawn().expect("ctr runs");
        rustix::io::ioctl_fionbio(&master, true).expect("non-blocking");
        Self { terminal: File::from(master), slave: File::from(slave), child, seen: String::new() }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).expect("typed");
    }

    /// Reads what is there.
    fn look(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.terminal.read(&mut bytes) {
            Ok(n) if n > 0 => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
                true
            }
            _ => false,
        }
    }

    /// Reads until `text` is seen (what came before it is forgotten).
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < end, "never saw {text:?}, but {:?}", self.seen);
            if !self.look() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Types it again and again until `text` is seen: whoever is to hear of it may not listen yet.
    #[track_caller]
    pub(crate) fn types_until(&mut self, typed: &str, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            assert!(Instant::now() < end, "never saw {text:?}, but {:?}", self.seen);
            self.types(typed);
            std::thread::sleep(Duration::from_millis(200));
            while self.look() {}
        }
        self.sees(text);
    }

    /// The window gets another size.
    pub(crate) fn resizes(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.terminal.as_fd(), size).expect("resized");
    }

    /// Sends the command itself a signal.
    pub(crate) fn signals(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("signalled");
    }

    /// Whether the terminal is as a shell leaves it: lines are edited, and shown as they are typed.
    pub(crate) fn terminal_is_sane(&self) -> bool {
        use rustix::termios::{LocalModes, tcgetattr};
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the command's end; its exit code, minus the signal that ended it.
    #[track_caller]
    pub(crate) fn ends(mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
            }
            // what it still writes must go somewhere
            if !self.look() {
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(Instant::now() < end, "it does not end; seen {:?}", self.seen);
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
