//! `-it`: a prompt, job control, a window that changes its size, and the way out that leaves the container running.

use crate::lab::Lab;
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use testkit::need;

/// A person at a terminal, in front of `ctr`.
struct Person {
    terminal: File,
    child: Child,
    seen: String,
}

impl Person {
    fn new(lab: &Lab, args: &[&str]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let mut command = lab.ctr(args);
        let end = || Stdio::from(pty.slave.try_clone().expect("a copy"));
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("ctr runs");
        rustix::io::ioctl_fionbio(&pty.master, true).expect("non-blocking");
        Self { terminal: File::from(pty.master), child, seen: String::new() }
    }

    fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).expect("typed");
    }

    /// Reads until `text` is seen (what came before it is forgotten).
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < end, "never saw {text:?}, but {:?}", self.seen);
            let mut bytes = [0; 4096];
            match self.terminal.read(&mut bytes) {
                Ok(n) if n > 0 => self.seen.push_str(&String::from_utf8_lossy(&bytes[..n])),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn resizes(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.terminal.as_fd(), size).expect("resized");
        // The kernel signals the foreground group of the terminal's session; ours is not one's controlling terminal here.
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGWINCH).expect("signalled");
    }

    fn ends(mut self) -> i32 {
        self.child.wait().expect("ends").code().unwrap_or(-1)
    }
}

#[test]
fn a_shell_that_can_be_worked_in() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person = Person::new(&lab, &["run", "--rm", "-it", "-e", "PS1=ready> ", "host", "bash", "--norc"]);
    person.sees("ready> ");
    person.types("tty; stty size\n");
    person.sees("/dev/pts/0");
    person.sees("24 80");
    person.resizes(30, 100);
    person.sees("ready> ");
    person.types("sleep 0.3; stty size\n");
    person.sees("30 100");
    // job control: stopped by ^Z, listed, brought back, ended by ^C
    person.types("sleep 500\n");
    std::thread::sleep(Duration::from_millis(300));
    person.types("\x1a");
    person.sees("Stopped");
    person.types("jobs; fg\n");
    person.sees("sleep 500");
    std::thread::sleep(Duration::from_millis(300));
    person.types("\x03");
    person.sees("ready> ");
    person.types("exit 5\n");
    assert_eq!(person.ends(), 5);
}

#[test]
fn detaching_leaves_it_running() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person =
        Person::new(&lab, &["run", "-it", "--name", "left", "-e", "PS1=ready> ", "host", "bash", "--norc"]);
    person.sees("ready> ");
    person.types("\x10\x11");
    assert_eq!(person.ends(), 0);
    assert_eq!(lab.field("left", "{{.State.Status}}"), "running");
    let mut person = Person::new(&lab, &["exec", "-it", "left", "sh", "-c", "stty size; exit 6"]);
    person.sees("24 80");
    assert_eq!(person.ends(), 6);
}
