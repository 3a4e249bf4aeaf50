//! Whether whoever lists directories also looks at the files in them.
//!
//! READDIRPLUS tells of each entry what a look-up would: right for `ls -l` and tar, which ask for all of it, and most of the
//! work of a `find` that wants names only. The kernel asks for it at the start of every directory and cannot know. So now and
//! then, after many directories, a small one is answered with the names of its files alone. If no file in it was looked up by
//! the time the next directory is listed, names are what is wanted, until a file is looked up somewhere; if one was, the next
//! try comes later than the last. Directories are always told of in full: they are descended into.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

/// Listings in full before the first try, and most before a later one.
const FIRST_TRY: i32 = 16;
const LATEST_TRY: i32 = 1024;
/// Entries of a directory it is tried on at most: so many look-ups a wrong guess costs.
const SMALL: usize = 48;

/// What was learned.
#[derive(Debug)]
pub(super) struct Habit {
    /// Listings in full until the next try; negative: names alone.
    left: AtomicI32,
    /// How many there were before this one.
    between: AtomicI32,
    /// The directory it is being tried on.
    tried: AtomicU64,
}

impl Default for Habit {
    fn default() -> Self {
        Self { left: AtomicI32::new(FIRST_TRY), between: AtomicI32::new(FIRST_TRY), tried: AtomicU64::new(0) }
    }
}

impl Habit {
    /// The directory `node` with so many entries is to be listed; whether names of files are enough.
    pub(super) fn listing(&self, node: u64, entries: usize) -> bool {
        let left = self.left.load(Relaxed);
        if left < 0 {
            return true;
        }
        let tried = self.tried.load(Relaxed);
        if tried != 0 {
            if tried == node {
                return true;
            }
            // No file was looked up since.
            self.tried.store(0, Relaxed);
            self.left.store(-1, Relaxed);
            self.between.store(FIRST_TRY, Relaxed);
            return true;
        }
        if left > 0 {
            self.left.store(left - 1, Relaxed);
            return false;
        }
        // Few entries that are no files prove nothing.
        if !(6..=SMALL).contains(&entries) {
            return false;
        }
        self.tried.store(node, Relaxed);
        true
    }

    /// A file was looked up by its name.
    pub(super) fn asked(&self) {
        if self.left.load(Relaxed) < 0 || self.tried.load(Relaxed) != 0 {
            self.tried.store(0, Relaxed);
            let between = self.between.load(Relaxed).saturating_mul(2).min(LATEST_TRY);
            self.between.store(between, Relaxed);
            self.left.store(between, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_names_gets_names_after_a_while() {
        let habit = Habit::default();
        let lean = (0..100).filter(|node| habit.listing(*node + 10, 20)).count();
        assert!(lean > 80, "{lean}");
    }

    #[test]
    fn who_looks_at_files_gets_them_told() {
        let habit = Habit::default();
        let mut lean = 0;
        for node in 10..500 {
            if habit.listing(node, 20) {
                lean += 1;
                habit.asked();
            }
        }
        assert!(lean < 6, "{lean}");
    }

    #[test]
    fn it_is_not_tried_on_large_directories() {
        let habit = Habit::default();
        assert!((0..100).all(|node| !habit.listing(node + 10, 1000)));
    }
}
