//! The process that looks at a container's health, from the supervisor's side: when it is started, what it prints, when it has
//! taken too long. It is started by the OCI runtime's `exec --process`, which all of them have.

use crate::health::{self, Look, OUTPUT_BYTES, Status};
use crate::request::health::Check;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Looks at a container now and then.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) check: Check,
    /// The runtime's `exec`.
    command: Command,
    /// Where it writes the pid of what it started, as the machine knows it.
    pid_file: PathBuf,
    next: Instant,
    now: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    process: OwnedFd,
    output: Option<OwnedFd>,
    printed: Vec<u8>,
    start: jiff::Timestamp,
    deadline: Instant,
    late: bool,
}

impl Probe {
    /// Looks by `command`, which writes `pid_file`.
    pub(super) fn new(check: Check, command: Command, pid_file: PathBuf) -> Self {
        let mut probe = Self { check, command, pid_file, next: Instant::now(), now: None };
        probe.plan(Some(Status::Starting), Some(&jiff::Timestamp::now().to_string()));
        probe
    }

    /// When the next look is, after one that left the container in `status`.
    pub(super) fn plan(&mut self, status: Option<Status>, started: Option<&str>) {
        let since = started.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let age = since.map(|start| jiff::Timestamp::now().duration_since(start).unsigned_abs());
        let starting = status == Some(Status::Starting) && age.is_some_and(|age| age < self.check.start_period());
        // docker: the shorter interval is for those that have a time to start in
        let wait =
            if starting { self.check.start_interval().min(self.check.interval()) } else { self.check.interval() };
        self.next = Instant::now() + wait;
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let now = self.now.iter();
        now.flat_map(|now| [Some(now.process.as_fd()), now.output.as_ref().map(|o| o.as_fd())].into_iter().flatten())
    }

    /// When something is to be done whatever happens.
    pub(super) fn next(&self) -> Instant {
        self.now.as_ref().map_or(self.next, |now| now.deadline)
    }

    /// The process that looks at the moment.
    pub(super) fn pid(&self) -> Option<i32> {
        self.now.as_ref().map(|now| now.child.id() as i32)
    }

    /// Does what is due; gives what a look found that is over. `is_frozen`: nothing can be seen now.
    pub(super) fn turn(&mut self, is_frozen: impl FnOnce() -> bool) -> Option<Look> {
        if self.now.is_none() {
            if Instant::now() < self.next {
                return None;
            }
            self.next = Instant::now() + self.check.interval();
            if is_frozen() {
                return None;
            }
            return self.begin();
        }
        let now = self.now.as_mut()?;
        now.read();
        if let Ok(Some(status)) = now.child.try_wait() {
            let now = self.now.take()?;
            return Some(now.over(&self.check, status.code().unwrap_or(-1)));
        }
        if !now.late && now.deadline <= Instant::now() {
            now.late = true;
            // The runtime ends with what it started; one that does not gets another second.
            now.deadline = Instant::now() + std::time::Duration::from_secs(1);
            kill_by_file(&self.pid_file);
        } else if now.late && now.deadline <= Instant::now() {
            let _ = now.child.kill();
            now.deadline = Instant::now() + std::time::Duration::from_secs(1);
        }
        None
    }

    /// Looks now, and waits for what it finds: not longer than the check's timeout and the runtime's own end.
    pub(super) fn look_now(mut self) -> Look {
        self.next = Instant::now();
        loop {
            if let Some(look) = self.turn(|| false) {
                return look;
            }
            let rest = self.next().saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(rest).ok();
            let mut fds: Vec<PollFd<'_>> =
                self.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            // Interrupted is as good as ready: everything is looked at again.
            let _ = poll(&mut fds, timeout.as_ref());
        }
    }

    fn begin(&mut self) -> Option<Look> {
        let start = jiff::Timestamp::now();
        let _ = std::fs::remove_file(&self.pid_file);
        match self.spawn() {
            Ok((child, process, output)) => {
                let deadline = Instant::now() + self.check.timeout();
                let (output, printed) = (Some(output), Vec::new());
                self.now = Some(Running { child, process, output, printed, start, deadline, late: false });
                None
            }
            Err(e) => {
                let now = jiff::Timestamp::now().to_string();
                Some(Look { start: start.to_string(), end: now, exit_code: -1, output: e.to_string() })
            }
        }
    }

    fn spawn(&mut self) -> std::io::Result<(Child, OwnedFd, OwnedFd)> {
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        self.command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
        let child = self.command.spawn();
        // The command would keep the pipe open.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = child?;
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok((child, process, output))
    }

    /// The container has ended: whatever looks at it goes too.
    pub(super) fn abandon(&mut self) {
        if let Some(mut now) = self.now.take() {
            let _ = now.child.kill();
            let _ = now.child.wait();
        }
    }
}

impl Running {
    fn read(&mut self) {
        let mut bytes = [0; 4096];
        while let Some(output) = &self.output {
            match rustix::io::read(output, &mut bytes) {
                Ok(n) if n > 0 => {
                    // One more than is kept tells that there was more.
                    let room = (OUTPUT_BYTES + 1).saturating_sub(self.printed.len());
                    self.printed.extend_from_slice(&bytes[..n.min(room)]);
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }

    fn over(mut self, check: &Check, code: i32) -> Look {
        self.read();
        let (exit_code, output) = match self.late {
            true => (-1, health::too_long(check)),
            false => (code, health::shortened(&self.printed)),
        };
        Look { start: self.start.to_string(), end: jiff::Timestamp::now().to_string(), exit_code, output }
    }
}

/// Kills the process that `file` names, and what it started: a shell's command does not end with the shell.
fn kill_by_file(file: &std::path::Path) {
    let mut pids: Vec<i32> =
        std::fs::read_to_string(file).ok().and_then(|t| t.trim().parse().ok()).into_iter().collect();
    let mut at = 0;
    while let Some(pid) = pids.get(at).copied() {
        at += 1;
        // One that has ended already leaves the others.
        let Some(Ok(process)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { continue };
        // Stopped first: it must not start more while its children are read.
        let _ = pidfd_send_signal(&process, Signal::STOP);
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        pids.extend(children.split_whitespace().filter_map(|text| text.parse::<i32>().ok()));
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
}
