//! Several pieces of work at a time, the largest first, so that the last to end is a short one. The first that fails stops the
//! others.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Does `each` of the `work`, `jobs` at a time in threads, largest `size` first; what came of them, in the order of `work`. After an
/// error none is begun, and the flag that those going on were given is true: they are to give up. The error is the first one.
pub fn largest_first<W: Sync, T: Send, E: Send>(
    work: &[W],
    size: impl Fn(&W) -> u64,
    jobs: NonZeroUsize,
    each: impl Fn(&W, &AtomicBool) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let mut order: Vec<usize> = (0..work.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(size(&work[*at])));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new((Vec::<(usize, T)>::with_capacity(work.len()), None::<E>));
    let turn = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let result = each(&work[at], &stop);
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match result {
                Ok(value) => done.0.push((at, value)),
                Err(error) => {
                    // Under the lock, and before the flag is up: those that stop because of it come later and say less.
                    done.1.get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.get().min(work.len()) {
            scope.spawn(turn);
        }
        turn();
    });
    let (mut done, error) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_the_largest_and_gives_what_came_in_order() {
        for jobs in [1, 3, 9] {
            let begun = Mutex::new(Vec::new());
            let jobs = NonZeroUsize::new(jobs).unwrap();
            let done: Result<Vec<u64>, ()> = largest_first(
                &[3, 9, 1, 7],
                |n| *n,
                jobs,
                |n, _| {
                    begun.lock().unwrap().push(*n);
                    Ok(n * 10)
                },
            );
            assert_eq!(done.unwrap(), [30, 90, 10, 70]);
            if jobs.get() == 1 {
                assert_eq!(*begun.lock().unwrap(), [9, 7, 3, 1]);
            }
        }
        assert_eq!(largest_first(&[], |n: &u64| *n, NonZeroUsize::MIN, |n, _| Err::<u64, _>(*n)), Ok(vec![]));
    }

    #[test]
    fn the_first_error_stops_the_others_and_is_the_one_that_is_told() {
        let begun = AtomicUsize::new(0);
        let done: Result<Vec<()>, &str> = largest_first(
            &[1_u64; 100],
            |n| *n,
            NonZeroUsize::new(4).unwrap(),
            |_, stop| {
                if begun.fetch_add(1, Ordering::Relaxed) == 2 {
                    return Err("why");
                }
                while !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                Err("stopped")
            },
        );
        assert_eq!(done, Err("why"));
        // The fourth may come too late to begin; nobody begins a second one.
        assert!((3..=4).contains(&begun.load(Ordering::Relaxed)));
    }
}
