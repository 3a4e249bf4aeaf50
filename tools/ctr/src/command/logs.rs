//! `ctr logs`: what a container has written.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::life::{self, Asked};
use engine::log::{Entry, Source};
use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;
use store::Status;

/// Options of `ctr logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what comes until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N|all", default_value = "all")]
    tail: String,
    /// With the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Only what was written at or after TIME (RFC 3339, or seconds since 1970)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was written before TIME
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The container
    container: String,
}

/// How often a log that is followed is looked at.
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let tail = match args.tail.as_str() {
        "all" => None,
        // docker: what is no number means all
        text => text.parse::<usize>().ok(),
    };
    let window = Window { since: moment(args.since.as_deref())?, until: moment(args.until.as_deref())? };
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let mut source = Source::open(&root, &record, &Asked::of(&record)?)?;
    let mut read = || source.next_entry().map_err(|e| Failure::new(format!("read the log of {}: {e}", record.name)));

    let mut last: VecDeque<Entry> = VecDeque::new();
    while let Some(entry) = read()? {
        if !window.holds(&entry) {
            continue;
        }
        match tail {
            None => {
                if !show(&entry, args.timestamps) {
                    return Ok(0);
                }
            }
            Some(limit) => {
                last.push_back(entry);
                if last.len() > limit {
                    last.pop_front();
                }
            }
        }
    }
    if !last.iter().all(|entry| show(entry, args.timestamps)) {
        return Ok(0);
    }
    let mut ended = !args.follow;
    while !ended {
        // Looked at before reading: what comes between the two is read in the last round.
        ended = life::state(&root, &record.id).map_or(true, |s| s.status != Status::Running && s.supervisor.is_none());
        while let Some(entry) = read()? {
            if window.holds(&entry) && !show(&entry, args.timestamps) {
                return Ok(0);
            }
        }
        if !ended {
            std::thread::sleep(POLL);
        }
    }
    Ok(0)
}

/// Writes an entry where it came from; whether somebody still reads.
fn show(entry: &Entry, timestamps: bool) -> bool {
    let mut bytes = Vec::with_capacity(entry.log.len() + 40);
    if timestamps {
        bytes.extend_from_slice(entry.time.as_bytes());
        bytes.push(b' ');
    }
    bytes.extend_from_slice(entry.log.as_bytes());
    match entry.stream.as_str() {
        "stderr" => std::io::stderr().lock().write_all(&bytes).is_ok(),
        _ => cli::output::write(&bytes).is_ok(),
    }
}

#[derive(Debug)]
struct Window {
    since: Option<jiff::Timestamp>,
    until: Option<jiff::Timestamp>,
}

impl Window {
    fn holds(&self, entry: &Entry) -> bool {
        let Ok(time) = entry.time.parse::<jiff::Timestamp>() else { return true };
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

/// A moment: RFC 3339, seconds since 1970, or a span back from now as docker has it (`10m`, `1h30m`).
fn moment(text: Option<&str>) -> Result<Option<jiff::Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let seconds = || jiff::Timestamp::from_second(text.parse().ok()?).ok();
    let span = || {
        let span: jiff::Span = text.parse().ok()?;
        jiff::Timestamp::now().checked_sub(span).ok()
    };
    let time = text.parse().ok().or_else(seconds).or_else(span);
    time.map(Some).ok_or_else(|| {
        Failure::new(format!("invalid time {text:?}"))
            .hint("want RFC 3339 (2026-01-31T12:00:00Z), seconds since 1970, or a span (10m)")
            .code(cli::exit::OURS)
    })
}
