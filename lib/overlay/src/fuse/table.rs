//! Open files and directories by the number the kernel knows them by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Numbered things.
#[derive(Debug)]
pub(crate) struct Table<T> {
    things: RwLock<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { things: RwLock::default(), next: AtomicU64::new(1) }
    }

    pub(crate) fn add(&self, thing: Arc<T>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.things.write().unwrap_or_else(PoisonError::into_inner).insert(number, thing);
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<T>> {
        self.things.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    pub(crate) fn remove(&self, number: u64) -> Option<Arc<T>> {
        self.things.write().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}
