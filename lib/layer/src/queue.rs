//! Queues between threads: whoever waits at one sleeps at once.
//!
//! The channels of the standard library, and of crossbeam whose code that is, spin and call `sched_yield(2)` some times before they
//! sleep. On a machine that others keep busy that is dear: who yields gives up the rest of a turn and stands behind all others, each
//! time a queue is empty or full for a moment, and a pass through a layer is a chain of such moments. Who sleeps is woken as soon as
//! there is something, and has not used up its share.
//!
//! Values come out in the order they went in. A queue is closed when all ends of the other side are dropped: then nothing more goes
//! in, but what is in still comes out. What nobody can take out any more is dropped with the last [`Receiver`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Nothing came: the other side has gone, or there is nothing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nothing;

struct Shared<T> {
    state: Mutex<State<T>>,
    room: usize,
    filled: Condvar,
    emptied: Condvar,
}

struct State<T> {
    values: VecDeque<T>,
    senders: usize,
    receivers: usize,
    /// How many sleep until there is something, and until there is room: nobody is woken for nothing.
    takers: usize,
    givers: usize,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end where values go in.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The end where they come out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// A queue with room for so many.
pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { values: VecDeque::new(), senders: 1, receivers: 1, takers: 0, givers: 0 };
    let shared = Shared { state: Mutex::new(state), room, filled: Condvar::new(), emptied: Condvar::new() };
    let shared = Arc::new(shared);
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// A queue where nobody waits for room.
pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

impl<T> Sender<T> {
    /// Puts a value in, as soon as there is room; gives it back where nobody takes it any more.
    pub(crate) fn send(&self, value: T) -> Result<(), T> {
        self.put(value, true)
    }

    /// The same, but gives it back too where there is no room now.
    pub(crate) fn try_send(&self, value: T) -> Result<(), T> {
        self.put(value, false)
    }

    /// Whether all that went in has come out.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.state().values.is_empty()
    }

    fn put(&self, value: T, waits: bool) -> Result<(), T> {
        let mut state = self.0.state();
        loop {
            if state.receivers == 0 {
                return Err(value);
            }
            if state.values.len() < self.0.room {
                break;
            }
            if !waits {
                return Err(value);
            }
            state.givers += 1;
            state = self.0.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.givers -= 1;
        }
        state.values.push_back(value);
        let awaited = state.takers > 0;
        drop(state);
        if awaited {
            self.0.filled.notify_one();
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// The next value, as soon as there is one.
    pub(crate) fn recv(&self) -> Result<T, Nothing> {
        self.take(None)
    }

    /// The same, if it comes within that time.
    pub(crate) fn recv_timeout(&self, within: Duration) -> Result<T, Nothing> {
        self.take(Some(Instant::now() + within))
    }

    /// The next value, if it is there.
    pub(crate) fn try_recv(&self) -> Result<T, Nothing> {
        let mut state = self.0.state();
        let value = state.values.pop_front().ok_or(Nothing)?;
        self.taken(state);
        Ok(value)
    }

    fn take(&self, until: Option<Instant>) -> Result<T, Nothing> {
        let mut state = self.0.state();
        loop {
            if let Some(value) = state.values.pop_front() {
                self.taken(state);
                return Ok(value);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if state.senders == 0 || left.is_some_and(|left| left.is_zero()) {
                return Err(Nothing);
            }
            state.takers += 1;
            state = match left {
                None => self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.0.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            state.takers -= 1;
        }
    }

    /// There is room for one more.
    fn taken(&self, state: MutexGuard<'_, State<T>>) {
        let awaited = state.givers > 0;
        drop(state);
        if awaited {
            self.0.emptied.notify_one();
        }
    }

    /// How many are in it.
    pub(crate) fn len(&self) -> usize {
        self.0.state().values.len()
    }

    /// Whether none is.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All that comes, until the other side has gone.
impl<T> Iterator for Receiver<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T> Iterator for &Receiver<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state().receivers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.filled.notify_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.receivers -= 1;
        if state.receivers == 0 {
            let left = std::mem::take(&mut state.values);
            self.0.emptied.notify_all();
            // They may hold ends of this queue themselves.
            drop(state);
            drop(left);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_out_once_and_in_order() {
        for room in [1, 2, 7, usize::MAX] {
            let (to, from) = bounded(room);
            let got = std::thread::scope(|scope| {
                scope.spawn(move || (0..5_000).for_each(|n| to.send(n).unwrap()));
                scope.spawn(move || from.collect::<Vec<_>>()).join().unwrap()
            });
            assert!(got.into_iter().eq(0..5_000), "room for {room}");
        }
    }

    #[test]
    fn many_give_and_many_take() {
        let (to, from) = bounded(3);
        let sum: u64 = std::thread::scope(|scope| {
            for part in 0..4 {
                let to = to.clone();
                scope.spawn(move || (0..2_000).for_each(|n| to.send(part * 2_000 + n).unwrap()));
            }
            drop(to);
            let takers: Vec<_> =
                (0..3).map(|_| from.clone()).map(|from| scope.spawn(move || from.sum::<u64>())).collect();
            drop(from);
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(sum, (0..8_000).sum::<u64>());
    }

    #[test]
    fn closed_from_either_side() {
        let (to, from) = bounded(2);
        assert_eq!((to.try_send(1), to.try_send(2), to.try_send(3), from.len()), (Ok(()), Ok(()), Err(3), 2));
        // Who waits for room hears that there will be none.
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| to.send(4));
            while from.0.state().givers == 0 {
                std::thread::yield_now();
            }
            drop(from);
            assert_eq!(waits.join().unwrap(), Err(4));
        });
        assert_eq!(to.send(5), Err(5));

        let (to, from) = bounded(2);
        to.send(1).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| (from.recv(), from.recv()));
            while from.0.state().takers == 0 {
                std::thread::yield_now();
            }
            drop(to);
            assert_eq!(waits.join().unwrap(), (Ok(1), Err(Nothing)));
        });
        assert_eq!((from.try_recv(), from.recv_timeout(Duration::from_secs(60))), (Err(Nothing), Err(Nothing)));
    }

    #[test]
    fn who_waits_for_a_time_only_gets_nothing_then() {
        let (to, from) = bounded::<u8>(1);
        assert_eq!(from.recv_timeout(Duration::from_millis(1)), Err(Nothing));
        to.send(7).unwrap();
        assert_eq!(from.recv_timeout(Duration::ZERO), Ok(7));
        assert!(from.is_empty());
    }

    #[test]
    fn what_nobody_takes_is_dropped_with_the_last_who_could() {
        let value = Arc::new(());
        let (to, from) = unbounded();
        let other = from.clone();
        to.send(Arc::clone(&value)).unwrap();
        drop(from);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(other);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
