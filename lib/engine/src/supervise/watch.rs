//! What a supervisor does beside moving bytes: looks at the container's health, hears of memory that ran out and of signals to
//! itself, ends what has run long enough, and gives back memory while nothing happens.
//!
//! All of it is descriptors and times of the one `poll(2)` of [`super::pump`].

use super::oom::Memory;
use super::probe::Probe;
use crate::life::{Asked, signal, stop};
use crate::request::health::{Check, OnFailure};
use crate::{Result, events, health};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::{Record, Root, State, Status};

/// How long nothing happens before memory is given back.
const QUIET: Duration = Duration::from_secs(1);

/// What there is to watch, and what came of it.
pub(super) struct Watch<'a> {
    pub(super) root: &'a Root,
    pub(super) record: &'a Record,
    pub(super) asked: &'a Asked,
    pub(super) own: &'a Path,
    /// PID 1 of the container, which the pump waits for.
    pub(super) first: i32,
    /// Sends the container's process a signal.
    pub(super) kill: &'a dyn Fn(i32) -> Result<()>,
    pub(super) signals: &'a SignalFd,
    pub(super) memory: Option<Memory>,
    pub(super) probe: Option<Probe>,
    /// When it is killed: it ran long enough, or was asked to end and has not.
    pub(super) deadline: Option<Instant>,
    /// When it has run long enough.
    pub(super) limit: Option<Instant>,
    /// Whether it had, and was killed for that.
    pub(super) timed_out: bool,
    /// Whether it is started again whatever its policy says.
    pub(super) again: bool,
    /// When memory is given back.
    pub(super) rest_at: Option<Instant>,
    /// Whether there may be children that have ended behind one that somebody else waits for.
    pub(super) unreaped: bool,
}

/// The signals a supervisor hears by descriptor: requests to end, and children that have.
pub(super) fn signals() -> Result<SignalFd> {
    let mut set = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().for_each(|signal| set.add(signal));
    let fail = |e: nix::errno::Errno| crate::error::system("signalfd", "", e);
    set.thread_block().map_err(fail)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(fail)
}

/// Whether a signal says that the container is to end.
pub(crate) fn asks_to_end(info: &nix::libc::signalfd_siginfo) -> bool {
    ![Signal::SIGCHLD, Signal::SIGHUP].map(|signal| signal as u32).contains(&info.ssi_signo)
}

/// What is looked at, as asked and as the image says.
pub(super) fn check(asked: &Asked) -> Option<Check> {
    Check::merged(asked.request.health.check.as_ref(), asked.defaults.healthcheck.as_ref())
}

impl Watch<'_> {
    /// What to poll for.
    pub(super) fn descriptors(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut all = vec![(self.signals.as_fd(), PollFlags::IN)];
        all.extend(self.memory.as_ref().map(Memory::descriptor));
        all.extend(self.probe.iter().flat_map(Probe::descriptors).map(|fd| (fd, PollFlags::IN)));
        all
    }

    /// How long nothing is to be done.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let next = self.probe.as_ref().map(Probe::next);
        let first = [self.deadline, self.rest_at, next].into_iter().flatten().min();
        first.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Does what is due; `busy` says that something happened at all, `visits` are children that somebody waits for.
    pub(super) fn turn(&mut self, ready: &[bool], busy: bool, visits: &[i32]) {
        if ready.first() == Some(&true) {
            self.hear();
        }
        let told = self.memory.is_some() && ready.get(1) == Some(&true);
        if told {
            self.look_for_kills(true);
        }
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.timed_out = self.limit.is_some_and(|at| at <= now);
            let _ = (self.kill)(Signal::SIGKILL as i32);
        }
        self.look();
        if self.unreaped {
            self.reap(visits);
        }
        if busy {
            self.rest_at = Some(now + QUIET);
        } else if self.rest_at.is_some_and(|at| at <= now) {
            self.rest_at = None;
            sys::heap::release();
            sys::stack::release();
            sys::text::release();
        }
    }

    /// The container's process has ended: nothing is looked at any more.
    pub(super) fn stop(&mut self) {
        self.look_for_kills(false);
        (self.memory, self.deadline, self.rest_at) = (None, None, None);
        if let Some(mut probe) = self.probe.take() {
            probe.abandon();
        }
    }

    /// Whether somebody wants the container to end: who reads slowly is not waited for then.
    pub(super) fn is_unwanted(&self) -> bool {
        // It may have been removed by force.
        !self.root.container_state(&self.record.id).is_ok_and(|state| !state.stopped_by_hand)
    }

    /// Compresses what was put aside of the log, in a process of its own.
    pub(super) fn compress(&self, file: &PathBuf) {
        let mut command = Command::new(self.own);
        command.arg("--root").arg(self.root.path()).args(["supervise", self.record.id.as_str(), "--compress"]);
        command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // What is not compressed is kept as it is.
        drop(command.spawn());
    }

    fn hear(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo == Signal::SIGCHLD as u32 {
                self.unreaped = true;
            } else if asks_to_end(&info) {
                // As if somebody had said `ctr stop`.
                self.ask_to_end(true);
            }
        }
    }

    /// Takes children that have ended, but for those somebody waits for: PID 1, what looks at the container's health, `visits`. The kernel
    /// shows one at a time, so that others may stand behind one of those until it has been taken, which is so by the next round.
    fn reap(&mut self, visits: &[i32]) {
        let options = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        let probe = self.probe.as_ref().and_then(Probe::pid);
        let is_waited_for = |pid: i32| pid == self.first || Some(pid) == probe || visits.contains(&pid);
        self.unreaped = false;
        while let Some(pid) = waitid(Id::All, options | WaitPidFlag::WNOWAIT).ok().and_then(|status| status.pid()) {
            if is_waited_for(pid.as_raw()) {
                self.unreaped = true;
                return;
            }
            let _ = waitid(Id::Pid(pid), options);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        // It may have been removed by force.
        drop(self.root.update_container(&self.record.id, change));
    }

    fn look_for_kills(&mut self, told: bool) {
        if self.memory.as_mut().is_some_and(|memory| memory.has_killed(told)) {
            self.change(|state| state.oom_killed = true);
            events::container(self.root, self.record, "oom", &[]);
        }
    }

    /// Sends the signal that asks for the end, and kills after the container's grace.
    fn ask_to_end(&mut self, for_good: bool) {
        if for_good {
            self.change(|state| state.stopped_by_hand = true);
        }
        let _ = (self.kill)(signal::to_stop(self.asked));
        let seconds = signal::seconds(self.asked).unwrap_or(stop::GRACE.as_secs() as i64);
        let grace = u64::try_from(seconds).ok().map(|seconds| Instant::now() + Duration::from_secs(seconds));
        self.deadline = [self.deadline, grace].into_iter().flatten().min();
    }

    fn look(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        let is_paused = |state: State| state.status == Status::Paused;
        let is_frozen = || self.root.container_state(&self.record.id).is_ok_and(is_paused);
        let Some(look) = probe.turn(is_frozen) else { return };
        let mut changed = None;
        let check = &probe.check;
        let note = |state: &mut State| changed = health::note(state, look, check);
        // It may have been removed by force.
        let now = self.root.update_container(&self.record.id, note).unwrap_or_default();
        probe.plan(health::Health::of(&now).map(|health| health.status), now.started.as_deref());
        let Some(status) = changed else { return };
        events::container(self.root, self.record, &format!("health_status: {}", status.word()), &[]);
        if status == health::Status::Unhealthy {
            match self.asked.request.health.on_failure {
                OnFailure::None => {}
                OnFailure::Kill => drop((self.kill)(Signal::SIGKILL as i32)),
                OnFailure::Restart => {
                    self.again = true;
                    self.ask_to_end(false);
                }
                OnFailure::Stop => self.ask_to_end(true),
            }
        }
    }
}
