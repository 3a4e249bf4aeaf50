//! The threads that serve: as few at the device as will do, more when those are held up.
//!
//! ```text
//!             ┌──────────── at the device ────────────┐
//!  parked ──> │ try ─> poll a little ─> sleep in read │ ──> handler ──> answer ──┐
//!    ^        └───────────────────────────────────────┘                          │
//!    └── somebody else is there already <─────────────────────────────────────────┘
//! ```
//!
//! Nearly all of a request's time is waking a thread, so the one that has just answered goes straight back and polls
//! ([`crate::poller`]). Only one is at the device as a rule: a second one asleep in read(2) would be woken by the kernel for
//! every request, also for those that the polling one meets first. So the others are parked, on a lock that costs nothing.
//!
//! What that takes from concurrency comes back in two ways. A worker that finds requests waiting several times running
//! calls another. And the warden, a thread that ticks while requests come and sleeps otherwise, sends one whenever requests
//! wait and nobody was at the device for a whole tick: every worker is held up in a handler, by a slow disk or by a request
//! that waits for another one. Workers that were parked for long end.

use crate::desk::Desk;
use crate::device::{Came, Channel};
use crate::filesystem::Filesystem;
use crate::poller::{Met, Poller};
use crate::session::Settings;
use crate::statistics::Statistics;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the warden looks while requests come.
const TICK: Duration = Duration::from_millis(2);
/// After so many ticks without a request it sleeps.
const QUIET_TICKS: u32 = 4;
/// How long what a stall taught is remembered, in ticks.
const MEMORY_TICKS: u32 = 250;
/// Requests found waiting, one after the other, that call another worker.
const BACKLOG: u32 = 8;
/// A worker that was parked for so long ends, while more than two are left.
const USELESS: Duration = Duration::from_secs(10);
const FEWEST: usize = 2;

/// A worker runs for microseconds, and somebody waits for it: on a busy machine it should run soon, not long.
const TURN: Duration = Duration::from_micros(100);

/// Whether a request waits to be read.
fn is_pending(device: BorrowedFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&device, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Everything the threads share.
#[derive(Debug)]
pub(crate) struct Pool<F> {
    pub(crate) filesystem: F,
    pub(crate) statistics: Arc<Statistics>,
    device: Arc<OwnedFd>,
    settings: Settings,
    /// Workers at the device.
    present: AtomicUsize,
    /// How many may stay there when there is nothing to do: one, more after stalls.
    wanted: AtomicUsize,
    served: AtomicU64,
    /// The warden is awake.
    watched: AtomicBool,
    over: AtomicBool,
    staff: Mutex<Staff>,
    parking: Condvar,
    warden: Condvar,
}

#[derive(Debug, Default)]
struct Staff {
    threads: usize,
    parked: usize,
    /// Parked workers that were called and have not come yet.
    called: usize,
    handles: Vec<JoinHandle<()>>,
    failure: Option<io::Error>,
}

enum Next {
    Request(usize, Came),
    Park,
    Over,
}

impl<F: Filesystem> Pool<F> {
    pub(crate) fn new(filesystem: F, statistics: Arc<Statistics>, device: Arc<OwnedFd>, settings: Settings) -> Self {
        Self {
            filesystem,
            statistics,
            device,
            settings,
            present: AtomicUsize::new(0),
            wanted: AtomicUsize::new(1),
            served: AtomicU64::new(0),
            watched: AtomicBool::new(true),
            over: AtomicBool::new(false),
            staff: Mutex::default(),
            parking: Condvar::new(),
            warden: Condvar::new(),
        }
    }

    fn staff(&self) -> MutexGuard<'_, Staff> {
        self.staff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until the connection ends.
    pub(crate) fn run(self: &Arc<Self>) -> io::Result<()> {
        if self.settings.most_threads > 1 {
            let pool = self.clone();
            let warden = std::thread::Builder::new().name("warden".into()).stack_size(64 << 10);
            let handle = warden.spawn(move || pool.watch())?;
            self.staff().handles.push(handle);
        }
        // All work is done by threads of the pool: what the calling thread did to itself before does not matter.
        self.call();
        if self.staff().threads == 0 {
            return Err(io::Error::other("no thread to serve"));
        }
        loop {
            let Some(handle) = self.staff().handles.pop() else { break };
            let _ = handle.join();
        }
        self.staff().failure.take().map_or(Ok(()), Err)
    }

    /// A worker's life.
    fn work(self: &Arc<Self>) {
        if let Err(e) = sys::schedule::ask_for_short_turns(TURN) {
            log::debug!("no short turns on the processor: {e}");
        }
        let channel = Channel::further(&self.device, self.settings.proc.as_ref().map(AsFd::as_fd));
        let mut desk = Desk::new();
        let mut poller = Poller::new(self.settings.poll);
        let mut backlog = 0;
        loop {
            match self.next(&channel, &mut desk, &mut poller, &mut backlog) {
                Next::Request(length, came) => {
                    desk.serve(&self.filesystem, &self.statistics, &channel, length, came);
                    self.served.fetch_add(1, Relaxed);
                }
                Next::Park if self.park() => {}
                Next::Park | Next::Over => break,
            }
        }
        let mut staff = self.staff();
        staff.threads -= 1;
        self.statistics.threads.store(staff.threads as u64, Relaxed);
    }

    fn next(&self, channel: &Channel, desk: &mut Desk, poller: &mut Poller, backlog: &mut u32) -> Next {
        let mut present = self.present.fetch_add(1, Ordering::AcqRel) + 1;
        let next = loop {
            match channel.poll(desk.input()) {
                Ok((length, came)) => {
                    *backlog += 1;
                    if *backlog >= BACKLOG {
                        *backlog = 0;
                        self.help(present);
                    }
                    break Next::Request(length, came);
                }
                Err(Errno::AGAIN) => *backlog = 0,
                Err(e) if self.ends(e) => break Next::Over,
                Err(_) => continue,
            }
            let wanted = self.wanted.load(Relaxed);
            let leave = |p: usize| (p > wanted).then(|| p - 1);
            if self.present.fetch_update(Ordering::AcqRel, Ordering::Acquire, leave).is_ok() {
                return Next::Park;
            }
            if present == 1 {
                match poller.poll(|| channel.poll(desk.input())) {
                    Met::Request(length, came) => {
                        self.statistics.poll_hits.fetch_add(1, Relaxed);
                        break Next::Request(length, came);
                    }
                    Met::Nothing => {
                        self.statistics.poll_misses.fetch_add(1, Relaxed);
                    }
                    Met::NotTried => {}
                    Met::Failed(e) if self.ends(e) => break Next::Over,
                    Met::Failed(_) => continue,
                }
            }
            self.statistics.sleeps.fetch_add(1, Relaxed);
            match channel.wait(desk.input()) {
                Ok(length) => {
                    self.alert();
                    break Next::Request(length, Came::Awaited);
                }
                Err(e) if self.ends(e) => break Next::Over,
                Err(_) => present = self.present.load(Ordering::Acquire),
            }
        };
        self.present.fetch_sub(1, Ordering::AcqRel);
        next
    }

    /// Whether this ends the session; other errors concern one request, whose caller has gone.
    fn ends(&self, errno: Errno) -> bool {
        let ends = match errno {
            Errno::INTR | Errno::AGAIN | Errno::NOENT => self.over.load(Ordering::Acquire),
            // Unmounted; by force (umount -f, or an abort in fusectl).
            Errno::NODEV | Errno::CONNABORTED => true,
            other => {
                self.staff().failure.get_or_insert(other.into());
                true
            }
        };
        if ends && !self.over.swap(true, Ordering::AcqRel) {
            let _staff = self.staff();
            self.parking.notify_all();
            self.warden.notify_all();
        }
        ends
    }

    /// Waits until called; `false` when there is no use for this worker any more.
    fn park(&self) -> bool {
        let mut staff = self.staff();
        staff.parked += 1;
        loop {
            if self.over.load(Ordering::Acquire) {
                staff.parked -= 1;
                return false;
            }
            if staff.called > 0 {
                staff.called -= 1;
                staff.parked -= 1;
                return true;
            }
            if staff.threads <= FEWEST {
                staff = self.parking.wait(staff).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (back, waited) = self.parking.wait_timeout(staff, USELESS).unwrap_or_else(PoisonError::into_inner);
            staff = back;
            if waited.timed_out() && staff.called == 0 && staff.threads > FEWEST {
                staff.parked -= 1;
                return false;
            }
        }
    }

    /// Another worker is to come to the device: a parked one, or a new one.
    fn call(self: &Arc<Self>) {
        let mut staff = self.staff();
        if staff.parked > staff.called {
            staff.called += 1;
            self.parking.notify_one();
        } else if staff.threads < self.settings.most_threads && !self.over.load(Ordering::Acquire) {
            let pool = self.clone();
            match std::thread::Builder::new().name("fuse".into()).spawn(move || pool.work()) {
                Ok(handle) => {
                    staff.handles.retain(|h| !h.is_finished());
                    staff.handles.push(handle);
                    staff.threads += 1;
                    self.statistics.threads.store(staff.threads as u64, Relaxed);
                    self.statistics.most_threads.fetch_max(staff.threads as u64, Relaxed);
                }
                Err(e) => log::warn!("no further thread to serve: {e}"),
            }
        }
    }

    /// Requests are waiting: wakes one parked worker, if nobody else is at the device.
    fn help(&self, present: usize) {
        if present > 1 {
            return;
        }
        let mut staff = self.staff();
        if staff.parked > staff.called && staff.threads - staff.parked + staff.called < self.settings.processors {
            staff.called += 1;
            self.parking.notify_one();
        }
    }

    /// A request came after a pause: the warden is to look.
    fn alert(&self) {
        if !self.watched.load(Relaxed) && !self.watched.swap(true, Ordering::AcqRel) {
            let _staff = self.staff();
            self.warden.notify_one();
        }
    }

    /// The warden's life.
    fn watch(self: &Arc<Self>) {
        let (mut before, mut quiet, mut memory) = (0, 0, 0);
        let mut staff = self.staff();
        while !self.over.load(Ordering::Acquire) {
            if !self.watched.load(Ordering::Acquire) {
                staff = self.warden.wait(staff).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            staff = self.warden.wait_timeout(staff, TICK).unwrap_or_else(PoisonError::into_inner).0;
            let served = self.served.load(Relaxed);
            let present = self.present.load(Ordering::Acquire);
            let still = served == before;
            before = served;
            if still && present == 0 && is_pending(self.device.as_fd()) {
                self.statistics.stalls.fetch_add(1, Relaxed);
                (quiet, memory) = (0, MEMORY_TICKS);
                let wanted = self.wanted.load(Relaxed);
                self.wanted.store((wanted + 1).min(4), Relaxed);
                drop(staff);
                self.call();
                staff = self.staff();
                continue;
            }
            memory = u32::saturating_sub(memory, 1);
            if memory == 0 {
                self.wanted.store(1, Relaxed);
            }
            quiet = if still { quiet + 1 } else { 0 };
            if quiet >= QUIET_TICKS {
                quiet = 0;
                self.wanted.store(1, Relaxed);
                self.watched.store(false, Ordering::Release);
                // Somebody took a request in between and saw the warden awake: look again.
                if self.present.load(Ordering::Acquire) == 0 || self.served.load(Relaxed) != served {
                    self.watched.store(true, Ordering::Release);
                }
            }
        }
    }
}
