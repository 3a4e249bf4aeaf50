//! Whether, and for how long, to look for the next request before going to sleep.
//!
//! A thread asleep in read(2) has to be woken, mostly on another processor that is asleep as well: many times what the request
//! itself costs. A caller that has got its answer nearly always asks again within microseconds. So whoever answered looks
//! again and again, giving way each time to whoever wants the processor. It learns whether that pays: when nothing comes a few
//! times running it looks only now and then, and when it was put aside for longer than a look takes, the processors are wanted
//! by others and it does not look at all for a while. A mount that nobody uses costs nothing.

use crate::device::Came;
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// What came of polling.
pub(crate) enum Met {
    Request(usize, Came),
    Nothing,
    NotTried,
    Failed(Errno),
}

/// Put aside for so long: somebody else had the processor.
const PUT_ASIDE: Duration = Duration::from_micros(250);
/// Best and worst opinion of polling.
const TRUST: i32 = 8;
/// Sleeps without polling, once it did not pay.
const PAUSE: u32 = 32;

/// A worker's experience with polling.
#[derive(Debug)]
pub(crate) struct Poller {
    budget: Duration,
    trust: i32,
    pause: u32,
}

impl Poller {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, trust: TRUST / 2, pause: 0 }
    }

    /// Looks for a request by `look` until the budget is spent.
    pub(crate) fn poll(&mut self, mut look: impl FnMut() -> Result<(usize, Came), Errno>) -> Met {
        if self.budget.is_zero() {
            return Met::NotTried;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return Met::NotTried;
        }
        let start = Instant::now();
        let mut last = start;
        loop {
            std::thread::yield_now();
            match look() {
                Ok((length, came)) => {
                    self.trust = (self.trust + 1).min(TRUST);
                    return Met::Request(length, came);
                }
                Err(Errno::AGAIN) => {}
                Err(e) => return Met::Failed(e),
            }
            let now = Instant::now();
            let aside = now.duration_since(last) > PUT_ASIDE;
            if aside || now.duration_since(start) > self.budget {
                self.trust -= if aside { 2 } else { 1 };
                if self.trust <= 0 {
                    (self.trust, self.pause) = (1, PAUSE);
                }
                return Met::Nothing;
            }
            last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Result<(usize, Came), Errno> {
        Err(Errno::AGAIN)
    }

    #[test]
    fn what_never_pays_is_given_up_and_tried_again_later() {
        let mut poller = Poller::new(Duration::from_micros(1));
        let tries = |poller: &mut Poller, n| (0..n).filter(|_| !matches!(poller.poll(nothing), Met::NotTried)).count();
        assert!(tries(&mut poller, 10) < 10);
        assert!(tries(&mut poller, 1000) < 60);
        assert!(tries(&mut poller, 1000) > 10);
    }

    #[test]
    fn what_pays_goes_on() {
        let mut poller = Poller::new(Duration::from_secs(1));
        for _ in 0..100 {
            assert!(matches!(poller.poll(|| Ok((1, Came::Polled))), Met::Request(1, Came::Polled)));
        }
    }

    #[test]
    fn no_budget_no_polling() {
        assert!(matches!(Poller::new(Duration::ZERO).poll(nothing), Met::NotTried));
    }
}
