//! Starting a container again: docker's times, and how its supervisor comes to a fresh start.
//!
//! A supervisor whose container is to run again takes everything back, waits, returns to the mount namespace it came from and
//! executes itself as the first time: same process, same pid, a mount namespace with what is mounted on the machine by now, and
//! none of the memory that the last run took.

use crate::life::Asked;
use crate::place::Place;
use crate::supervise::hello::{self, Words};
use crate::supervise::watch;
use crate::{Error, Kind, Result, launch};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Record, Root};

/// docker's first wait, and its longest (moby, `restartmanager`).
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// How long is waited before a container that ran for `lived` is started again, where the last wait was `before`.
pub fn delay(before: Option<Duration>, lived: Duration) -> Duration {
    match before {
        Some(before) if lived < GOOD => (before * 2).min(LONGEST),
        _ => FIRST,
    }
}

/// Waits for `delay`, or until somebody wants the container to stay down; a signal to us says so too. Who connects meanwhile is kept
/// until the next run begins, and connects to that.
pub(super) fn rest(root: &Root, record: &Record, listener: &UnixListener, signals: &SignalFd, delay: Duration) {
    let end = Instant::now() + delay;
    let mut waiting = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wanted = root.container_state(&record.id).is_ok_and(|state| !state.stopped_by_hand);
        if left.is_zero() || !wanted {
            return;
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut both = [PollFd::new(listener, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut both, Some(&timeout));
        waiting.extend(listener.accept().map(|(socket, _)| socket));
        while let Ok(Some(info)) = signals.read_signal() {
            if watch::asks_to_end(&info) {
                drop(root.update_container(&record.id, |state| state.stopped_by_hand = true));
            }
        }
    }
}

/// Becomes the supervisor of another run of `record`. Returns only errors.
pub(super) fn again(
    root: &Root,
    record: &Record,
    place: &Place,
    own: &Path,
    machine: Option<OwnedFd>,
    listener: &UnixListener,
    waited: Duration,
) -> Error {
    let prepare = || -> Result<std::process::Command> {
        let fail = |e: std::io::Error| Error::new(Kind::Failed, "start again", record.id.short()).because(e);
        // Where nobody told us what we came from, it is where we are.
        let machine = machine.map_or_else(hello::own_namespace, Ok).map_err(fail)?;
        move_into_link_name_space(machine.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(|e| fail(e.into()))?;
        let (ours, theirs) = UnixStream::pair().map_err(fail)?;
        let words = Words { again_after_ms: Some(waited.as_millis() as u64) };
        hello::send(&ours, &words, &[machine.as_fd(), listener.as_fd()]).map_err(fail)?;
        let Asked { request, .. } = Asked::of(record)?;
        let mut command = launch::supervisor(root, &record.id, &request, place, own, launch::OUTER);
        command.stdin(OwnedFd::from(theirs));
        Ok(command)
    };
    match prepare() {
        Ok(mut command) => crate::error::system("execute", own.display(), command.exec()),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let short = Duration::from_secs(1);
        let mut waits = vec![delay(None, short)];
        for _ in 0..12 {
            waits.push(delay(waits.last().copied(), short));
        }
        let ms: Vec<u128> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(ms[..5], [100, 200, 400, 800, 1600]);
        assert_eq!(ms[9..], [51_200, 60_000, 60_000, 60_000]);
        assert_eq!(delay(Some(LONGEST), GOOD), FIRST);
    }
}
