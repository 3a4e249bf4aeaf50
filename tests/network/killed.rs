//! `kill -9` at any point of a run of `netwire`.
//!
//! A first run under strace lists its system calls. A process that is killed when it is about to do the n-th of them has done
//! all before and none after, so those points are all there are; and of the points between which nothing is changed that
//! outlives the process ([`HARMLESS`]) one stands for all. At each of them, in a world of its own, strace kills the run, and
//! what is there afterwards must be healed as the test says.
//!
//! In CI each sweep takes `VENEER_ROUNDS` (6) of its points, by `VENEER_SEED`; with `VENEER_LONG` it takes all.

use crate::lab::{Lab, lab};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use testkit::dice::{number, seed};

/// Calls that change nothing outside the process.
const HARMLESS: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "execve",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "getuid",
    "inotify_add_watch",
    "inotify_init1",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "pidfd_open",
    "poll",
    "ppoll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "set_robust_list",
    "set_tid_address",
    "setsockopt",
    "sigaltstack",
    "socket",
    "stat",
    "statfs",
    "statx",
    "sysinfo",
    "uname",
    "wait4",
    "waitid",
];
/// Calls whose name does not say whether they change anything: the line does.
const CREATING: &str = "O_CREAT";
const ROUNDS: usize = 6;

/// What is run and killed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Victim<'a> {
    /// The words behind `netwire`.
    pub(crate) line: &'a str,
    /// What is in its environment beside the lab's.
    pub(crate) environment: Vec<(&'a str, String)>,
    /// What it reads.
    pub(crate) input: String,
}

impl<'a> Victim<'a> {
    /// `netwire LINE`
    pub(crate) fn of(line: &'a str) -> Self {
        Self { line, ..Self::default() }
    }
}

/// When it is about to do the `nth` call of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    call: String,
    nth: usize,
}

/// Kills `victim` at its points, each time after `prepare` in a lab of its own; `verify` heals and looks. It is also called on
/// what a whole run leaves.
#[track_caller]
pub(crate) fn sweep(victim: &Victim<'_>, prepare: impl Fn(&Lab) + Sync, verify: impl Fn(&Lab, &str) + Sync) {
    let mut points = Vec::new();
    lab(|lab| {
        prepare(lab);
        points = self::points(lab, victim);
        verify(lab, "not killed");
    });
    let seed = seed();
    let chosen = choose(&points, seed);
    let mut reached = 0;
    for point in &chosen {
        let what = format!(
            "killed at {} {} of `{}`; VENEER_SEED={seed}, or VENEER_LONG=1 for all",
            point.call, point.nth, victim.line
        );
        lab(|lab| {
            let _told = Told(&what);
            prepare(lab);
            let status = traced(lab, victim, &["-e", &format!("trace={}", point.call), "-e", &point.inject()]);
            let killed = status.signal() == Some(libc::SIGKILL);
            // Where nothing is waited for some calls are made only at times.
            assert!(killed || status.success(), "{what}: {status}");
            reached += usize::from(killed);
            verify(lab, &what);
        });
    }
    // Where something is waited for, the more calls are made the slower the machine was in the first run.
    assert!(reached * 2 >= chosen.len(), "only {reached} of {} points of `{}` were reached", chosen.len(), victim.line);
}

/// Says which point it was when a test fails there.
struct Told<'a>(&'a str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{}", self.0);
        }
    }
}

impl Point {
    fn inject(&self) -> String {
        format!("inject={}:signal=KILL:when={}", self.call, self.nth)
    }
}

/// The points of a whole run.
#[track_caller]
fn points(lab: &Lab, victim: &Victim<'_>) -> Vec<Point> {
    let status = traced(lab, victim, &[]);
    assert!(status.success(), "{victim:?}: {status}");
    let trace = std::fs::read("/run/trace").expect("a trace");
    let points = read(&String::from_utf8_lossy(&trace));
    assert!(points.len() > 3, "{victim:?}: {points:?}");
    points
}

/// The points in what strace wrote.
fn read(trace: &str) -> Vec<Point> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        // What the kernel does once more by itself, when another process has the lock it wants, counts as one.
        if call.starts_with(['+', '-', '<']) || line.contains("ERESTART") {
            continue;
        }
        let nth = counts.entry(call).or_default();
        *nth += 1;
        let harmless = HARMLESS.contains(&call) || (call == "openat" && !line.contains(CREATING));
        if !harmless {
            points.push(Point { call: call.to_owned(), nth: *nth });
        }
    }
    points
}

/// Runs `victim` under strace: its first process and thread, which is the one that changes anything.
fn traced(lab: &Lab, victim: &Victim<'_>, options: &[&str]) -> ExitStatus {
    let mut child = Command::new("strace")
        .args(["-qq", "-o", "/run/trace"])
        .args(options)
        .arg(env!("CARGO_BIN_EXE_netwire"))
        .args(victim.line.split_whitespace())
        .env("VENEER_ROOT", &lab.root)
        .env_remove("VENEER_RUN")
        .envs(victim.environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace runs");
    let _ = child.stdin.take().expect("its stdin").write_all(victim.input.as_bytes());
    child.wait().expect("strace ends")
}

/// All of `points`, or some that lie far apart, the first of them by `seed`.
fn choose(points: &[Point], seed: u64) -> Vec<Point> {
    let rounds = number("VENEER_ROUNDS").map_or(ROUNDS, |rounds| rounds.max(1) as usize);
    if std::env::var_os("VENEER_LONG").is_some() || points.len() <= rounds {
        return points.to_vec();
    }
    let step = points.len().div_ceil(rounds);
    points.iter().skip(seed as usize % step).step_by(step).cloned().collect()
}

#[test]
fn what_changes_something_is_a_point() {
    let trace = "execve(\"/x\", [\"x\"], 0x1 /* 37 vars */) = 0\nopenat(AT_FDCWD, \"/a\", O_RDONLY) = 3\n\
        openat(AT_FDCWD, \"/b\", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 5\nsendto(4, \"(\", 1) = 1\nread(3, \"\") = 0\n\
        sendto(4, \"x\", 1) = 1\nexit_group(0) = ?\n+++ exited with 0 +++\n";
    let points: Vec<String> = read(trace).into_iter().map(|point| format!("{} {}", point.call, point.nth)).collect();
    assert_eq!(points, ["openat 2", "sendto 1", "sendto 2", "exit_group 1"]);
}
