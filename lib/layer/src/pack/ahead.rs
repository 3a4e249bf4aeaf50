//! Files that come next are asked for before it is their turn, so that a disk has several requests at a time.
//!
//! A few threads open what is ahead in the directory and tell the kernel that it will be read (`posix_fadvise(2)`, WILLNEED). That
//! helps only where something has to come from a disk: after [`TRIAL`] files for which nothing had to, they rest, and are woken when the
//! walk itself had to wait for a disk (`getrusage(2)`, ru_inblock of its thread). All of it may fail and nothing is lost.

use super::ladder::Names;
use crate::queue::{Receiver, Sender, bounded};
use nix::sys::resource::{UsageWho, getrusage};
use rustix::fs::{Advice, FileType, Mode, OFlags};
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

/// How many threads there are.
const THREADS: usize = 4;
/// How many names of a directory are asked for before it is their turn.
const NAMES: usize = 32;
/// After how many files without a read from disk it stops; and how often the walk looks whether it had to wait.
const TRIAL: u64 = 256;
/// No more of a file than this: the kernel reads on by itself.
const BYTES: u64 = 1 << 20;

struct Job {
    dir: Arc<OwnedFd>,
    name: CString,
}

/// What asks for files that come next.
pub(super) struct Ahead {
    to_do: Sender<Job>,
    /// Files asked for since the last one that came from a disk.
    in_vain: Arc<AtomicU64>,
    steps: u64,
    /// Blocks that the walk has read from disk itself.
    waited: i64,
}

/// How far a directory has been asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    dir: Option<Arc<OwnedFd>>,
    names: usize,
}

impl Ahead {
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Self {
        let (to_do, jobs) = bounded(2 * NAMES);
        let in_vain = Arc::new(AtomicU64::new(0));
        for _ in 0..THREADS {
            let (jobs, in_vain) = (jobs.clone(), Arc::clone(&in_vain));
            scope.spawn(move || work(&jobs, &in_vain));
        }
        Self { to_do, in_vain, steps: 0, waited: blocks_read() }
    }

    /// Asks for what comes next in `dir`.
    pub(super) fn ask(&mut self, dir: BorrowedFd<'_>, names: &Names, asked: &mut Asked) {
        self.steps += 1;
        if self.in_vain.load(Ordering::Relaxed) > TRIAL {
            if self.steps.is_multiple_of(TRIAL) {
                let now = blocks_read();
                if now != self.waited {
                    self.in_vain.store(0, Ordering::Relaxed);
                }
                self.waited = now;
            }
            return;
        }
        for (at, name, told) in names.ahead(asked.names, NAMES) {
            asked.names = at + 1;
            if !matches!(told, FileType::RegularFile | FileType::Directory) {
                continue;
            }
            let dir = match &asked.dir {
                Some(dir) => Arc::clone(dir),
                None => match dir.try_clone_to_owned() {
                    Ok(own) => Arc::clone(asked.dir.insert(Arc::new(own))),
                    Err(_) => return,
                },
            };
            if self.to_do.try_send(Job { dir, name: name.to_owned() }).is_err() {
                return;
            }
        }
    }
}

fn work(jobs: &Receiver<Job>, in_vain: &AtomicU64) {
    let mut read = blocks_read();
    for Job { dir, name } in jobs {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(&dir, &name, flags, Mode::empty()) {
            let _ = rustix::fs::fadvise(&fd, 0, std::num::NonZeroU64::new(BYTES), Advice::WillNeed);
        }
        let now = blocks_read();
        if now == read {
            in_vain.fetch_add(1, Ordering::Relaxed);
        } else {
            in_vain.store(0, Ordering::Relaxed);
            read = now;
        }
    }
}

/// How much this thread has had to read from disk.
fn blocks_read() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.block_reads())
}
