//! Where the words of a server go: to stderr while somebody sits in front of it, into a file when one is named, and the last of
//! them always into memory, for `ovl-mount status`.
//!
//! It is the `log` crate's logger of this process. A server is a fork of the program that started it, so [`install`] before the
//! fork is enough. Before the server is silenced its words reach the starter's stderr. Nothing here may fail or block for long:
//! what cannot be written is dropped.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// So many lines are kept.
const KEPT: usize = 64;
/// A longer line is cut.
const LONGEST: usize = 1000;

/// Where lines go, beside into memory.
#[derive(Debug)]
enum Sink {
    /// Behind this name and a colon.
    Stderr(&'static str),
    /// With the time before each.
    File(OwnedFd),
    Nowhere,
}

#[derive(Debug)]
struct Journal {
    sink: Mutex<Sink>,
    last: Mutex<VecDeque<String>>,
}

static JOURNAL: Journal = Journal { sink: Mutex::new(Sink::Nowhere), last: Mutex::new(VecDeque::new()) };

/// Makes it this process's logger, for `level` and what is graver; lines go to stderr, behind `name: `.
pub fn install(name: &'static str, level: LevelFilter) {
    *JOURNAL.sink.lock().unwrap_or_else(PoisonError::into_inner) = Sink::Stderr(name);
    // Installed twice is installed.
    let _ = log::set_logger(&JOURNAL);
    log::set_max_level(level);
}

/// From now on lines go to `file`.
pub fn write_to(file: OwnedFd) {
    *JOURNAL.sink.lock().unwrap_or_else(PoisonError::into_inner) = Sink::File(file);
}

/// From now on lines are only kept, where they went to stderr.
pub fn silence() {
    let mut sink = JOURNAL.sink.lock().unwrap_or_else(PoisonError::into_inner);
    if let Sink::Stderr(_) = *sink {
        *sink = Sink::Nowhere;
    }
}

/// The last lines, oldest first, each with its time.
pub fn last_lines() -> Vec<String> {
    JOURNAL.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Says something that was asked for, whatever the level.
pub fn say(text: impl fmt::Display) {
    JOURNAL.write(None, &text.to_string());
}

impl Journal {
    fn write(&self, level: Option<Level>, text: &str) {
        let line: String =
            text.chars().take(LONGEST).map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        let mark = match level {
            Some(Level::Error) => "error: ",
            Some(Level::Warn) => "warning: ",
            Some(Level::Debug | Level::Trace) => "debug: ",
            Some(Level::Info) | None => "",
        };
        let stamped = format!("{} {mark}{line}", clock(SystemTime::now()));
        match &*self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Stderr(name) => write(rustix::stdio::stderr(), &format!("{name}: {mark}{line}\n")),
            Sink::File(file) => write(file.as_fd(), &format!("{stamped}\n")),
            Sink::Nowhere => {}
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= KEPT {
            last.pop_front();
        }
        last.push_back(stamped);
    }
}

fn write(to: impl AsFd, text: &str) {
    let mut rest = text.as_bytes();
    while let Ok(written @ 1..) = rustix::io::retry_on_intr(|| rustix::io::write(&to, rest)) {
        rest = rest.get(written..).unwrap_or_default();
    }
}

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.write(Some(record.level()), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// A point in time as `2026-11-21T10:56:34Z`.
fn clock(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // A calendar in which the year begins in March, so that leap days come last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_258_594, "2026-11-21T10:56:34Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(clock(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn the_last_lines_are_kept_and_only_those() {
        let journal = Journal { sink: Mutex::new(Sink::Nowhere), last: Mutex::default() };
        for number in 0..KEPT + 5 {
            journal.write(Some(Level::Warn), &format!("line {number}\r"));
        }
        let last = journal.last.lock().unwrap();
        assert_eq!(last.len(), KEPT);
        assert!(last.back().is_some_and(|l| l.ends_with(&format!("Z warning: line {} ", KEPT + 4))), "{last:?}");
        assert!(last.front().is_some_and(|l| l.ends_with("line 5 ")), "{last:?}");
    }
}
