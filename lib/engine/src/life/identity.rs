//! Processes that are certainly the ones that were meant: pid and start time together, and which boot of the machine.
//!
//! A pid comes again, so what is written down of a process is its pid and field 22 of `/proc/PID/stat`; a signal or a wait
//! goes by a pidfd that was checked after it was opened.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use store::{ProcessId, State, Status};

/// The kernel's mark of a process that is on its way out: PF_EXITING (include/linux/sched.h).
const EXITING: u32 = 0x4;

/// This boot of the machine: processes of another one are certainly gone.
pub fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    BOOT.get_or_init(read).clone()
}

/// What the kernel says of a process in one line (proc_pid_stat(5)).
struct Stat {
    process: ProcessId,
    /// It has ended, and its parent has not asked yet.
    dead: bool,
    /// It is on its way out.
    exiting: bool,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name, field 2, is in parentheses and may hold anything
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let dead = fields.next() == Some("Z");
        let flags: u32 = fields.nth(5)?.parse().ok()?;
        let start_ticks = fields.nth(12)?.parse().ok()?;
        Some(Self { process: ProcessId { pid, start_ticks }, dead, exiting: flags & EXITING != 0 })
    }
}

/// The identity of the process `pid`, if it lives.
pub fn process(pid: i32) -> Option<ProcessId> {
    Stat::read(pid).filter(|stat| !stat.dead).map(|stat| stat.process)
}

/// The identity of our child `pid`, which may have ended, and that it has is for us to find out.
pub(crate) fn child(pid: i32) -> Option<ProcessId> {
    Stat::read(pid).map(|stat| stat.process)
}

/// Our own identity.
pub fn own_process() -> Option<ProcessId> {
    process(rustix::process::getpid().as_raw_nonzero().get())
}

/// Whether the process still is what it was.
pub fn lives(process_id: ProcessId) -> bool {
    process(process_id.pid) == Some(process_id)
}

/// Whether a supervisor or a process of the container is there, also one that nobody came to write down.
pub fn is_live(state: &State) -> bool {
    let both = [state.process, state.supervisor, begun(state).flatten()];
    state.boot == boot_id() && both.into_iter().flatten().any(lives)
}

/// Whether the container's supervisor is there.
pub fn is_supervised(state: &State) -> bool {
    state.boot == boot_id() && state.supervisor.is_some_and(lives)
}

/// A container whose supervisor died between having it started and writing that down: the runtime wrote its pid first. Its process,
/// if that lives.
pub(super) fn begun(state: &State) -> Option<Option<ProcessId>> {
    let (run, supervisor) = (state.run.as_ref()?, state.supervisor.filter(|_| state.process.is_none())?);
    if state.boot != boot_id() || lives(supervisor) {
        return None;
    }
    let pid = std::fs::read_to_string(run.join("pid")).ok()?.trim().parse().ok()?;
    // Whoever has that pid now and is older than the supervisor is somebody else.
    Some(process(pid).filter(|process| process.start_ticks >= supervisor.start_ticks))
}

/// Writes down for such a supervisor what it did not come to; whether there was one.
pub(super) fn complete(state: &mut State) -> bool {
    let Some(process) = begun(state) else { return false };
    state.process = process;
    if !matches!(state.status, Status::Removing | Status::Dead) {
        state.status = Status::Running;
    }
    true
}

/// A state that was read, with what its supervisor did not come to write down.
pub(super) fn completed(mut state: State) -> State {
    complete(&mut state);
    state
}

/// Whether the process was killed or has ended and is only not gone yet (proc_pid_stat(5), proc_pid_status(5)).
pub(super) fn is_ending(process_id: ProcessId) -> bool {
    const KILL: u64 = 1 << (Signal::KILL.as_raw() - 1);
    // What of a process ended with exit_group shows in its flags, and before that as a signal of one thread or of all.
    let status = std::fs::read_to_string(format!("/proc/{}/status", process_id.pid)).unwrap_or_default();
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let waits = |name: &str| u64::from_str_radix(of(name), 16).is_ok_and(|signals| signals & KILL != 0);
    let ends = |stat: Stat| stat.process != process_id || stat.dead || stat.exiting;
    waits("SigPnd:") || waits("ShdPnd:") || Stat::read(process_id.pid).is_none_or(ends)
}

/// A handle to the process, made so that it cannot be another one's.
pub fn handle(process_id: ProcessId) -> Option<OwnedFd> {
    let fd = pidfd_open(Pid::from_raw(process_id.pid)?, PidfdFlags::empty()).ok()?;
    lives(process_id).then_some(fd)
}

/// Waits for a process's end; whether it came in time (none: waits for ever).
pub fn wait(process: &OwnedFd, limit: Option<Duration>) -> bool {
    let end = limit.map(|l| Instant::now() + l);
    loop {
        let left = end.map(|e| e.saturating_duration_since(Instant::now()));
        let timeout = left.map(|l| Timespec { tv_sec: l.as_secs() as i64, tv_nsec: i64::from(l.subsec_nanos()) });
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(n) if n > 0 => return true,
            Err(rustix::io::Errno::INTR) => {}
            _ if left.is_some_and(|l| l.is_zero()) => return false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_only_with_its_start_time() {
        let me = own_process().unwrap();
        assert!(lives(me));
        assert!(!lives(ProcessId { start_ticks: me.start_ticks + 1, ..me }));
        assert!(handle(me).is_some());
        assert!(process(-1).is_none());
    }

    #[test]
    fn a_process_that_nobody_came_to_write_down_is_the_containers() {
        let run = tempfile::tempdir().unwrap();
        let me = own_process().unwrap();
        let gone = Some(ProcessId { pid: me.pid, start_ticks: 1 });
        let state = State { supervisor: gone, run: Some(run.path().into()), boot: boot_id(), ..State::default() };
        assert!(!is_live(&state) && completed(state.clone()) == state, "the runtime had not begun");
        std::fs::write(run.path().join("pid"), me.pid.to_string()).unwrap();
        assert!(is_live(&state));
        let known = completed(state.clone());
        assert_eq!((known.status, known.process), (Status::Running, Some(me)));
        let removed = completed(State { status: Status::Removing, ..state.clone() });
        assert_eq!((removed.status, removed.process), (Status::Removing, Some(me)));
        for other in [
            State { boot: "another".into(), ..state.clone() },
            State { supervisor: Some(me), ..state.clone() },
            State { supervisor: None, ..state.clone() },
        ] {
            assert_eq!(completed(other.clone()), other);
        }
        std::fs::write(run.path().join("pid"), i32::MAX.to_string()).unwrap();
        assert!(!is_live(&state));
        assert_eq!(super::super::seen(state).exit_code, 137, "it has ended meanwhile");
    }

    #[test]
    fn one_that_was_killed_is_ending_before_it_is_gone() {
        assert!(!is_ending(own_process().unwrap()));
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let id = process(child.id() as i32).unwrap();
        assert!(!is_ending(id));
        child.kill().unwrap();
        assert!(is_ending(id), "at once");
        child.wait().unwrap();
        assert!(is_ending(id));
    }
}
