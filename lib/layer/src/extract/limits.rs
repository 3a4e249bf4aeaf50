//! How much a run may write, counted over all its layers.

use super::Limits;
use crate::error::{Fault, Kind};
use std::sync::atomic::{AtomicU64, Ordering};

/// What has been written so far.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    bytes: AtomicU64,
    entries: AtomicU64,
}

impl Allowance {
    /// One more entry, or a directory that none names.
    pub(super) fn entry(&self, limits: Limits, name: &[u8]) -> Result<(), Fault> {
        let Some(limit) = limits.files else { return Ok(()) };
        if self.entries.fetch_add(1, Ordering::Relaxed) < limit {
            return Ok(());
        }
        Err(Fault::entry(Kind::Limit, name, format_args!("more than the {limit} files that are allowed"))
            .hint("allow more with --max-files, if you trust this image"))
    }

    /// So many more bytes of content.
    pub(super) fn bytes(&self, limits: Limits, count: u64, name: &[u8]) -> Result<(), Fault> {
        let Some(limit) = limits.bytes else { return Ok(()) };
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        if before.checked_add(count).is_some_and(|sum| sum <= limit) {
            return Ok(());
        }
        Err(Fault::entry(
            Kind::Limit,
            name,
            format_args!("takes the content beyond the {limit} bytes that are allowed"),
        )
        .hint("allow more with --max-size, if you trust this image"))
    }
}
