//! A terminal with a program on it, typed at and read from as a person would.

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that leads a session on a terminal of its own.
#[derive(Debug)]
pub(crate) struct Pty {
    master: File,
    child: Child,
    heard: Receiver<Vec<u8>>,
    said: String,
    /// How much of it was expected already.
    seen: usize,
}

impl Pty {
    /// Starts `words` on a terminal of 33 rows and 77 columns.
    pub(crate) fn new(words: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).expect("its slave");
        tcsetwinsize(&master, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).expect("its size");
        let stdio = || Stdio::from(slave.try_clone().expect("a copy"));
        // Who runs the tests may ignore signals, as nohup(1) and a shell's `&` do; ^C and a hang-up are to work as for a person.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", "setsid", "--ctty", "--wait"])
            .args(words)
            .env("PS1", "P> ")
            .env("TERM", "dumb")
            .env_remove("ENV");
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let child = command.spawn().expect("starts");
        drop(command);
        drop(slave);
        let master = File::from(master);
        let (sender, heard) = channel();
        let mut reading = master.try_clone().expect("a copy");
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reading.read(&mut chunk) {
                if sender.send(chunk[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { master, child, heard, said: String::new(), seen: 0 }
    }

    /// Waits until the program says `text`, behind what was expected before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.said[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(bytes) => self.said.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in {:?}", self.said),
            }
        }
    }

    /// Types `text`.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typed");
    }

    /// Waits until the program has ended; all it said, and its code.
    #[track_caller]
    pub(crate) fn end(mut self) -> (String, Option<i32>) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                break status;
            }
            assert!(Instant::now() < end, "still runs: {:?}", self.said);
            std::thread::sleep(Duration::from_millis(10));
        };
        while let Ok(bytes) = self.heard.recv_timeout(Duration::from_millis(200)) {
            self.said.push_str(&String::from_utf8_lossy(&bytes));
        }
        (std::mem::take(&mut self.said), status.code())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // setsid(1) ends; what is on the terminal gets its hang-up when the master goes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
