//! `ctr logs`: what a container has written.

use super::{Context, filter};
use crate::format::url;
use cli::failure::{Failure, Outcome};
use engine::life::{self, Asked};
use engine::log::{Entry, Source};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;
use store::Status;

/// Options of `ctr logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "N|all", default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// The container
    container: String,
}

/// How often a log that is followed is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How much is written at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let tail = match args.tail.as_str() {
        "all" => None,
        // docker: what is no number means all, and so does one below zero
        text => text.parse::<usize>().ok(),
    };
    let mut shown = Shown {
        since: moment("since", args.since.as_deref().filter(|text| !text.is_empty()))?,
        until: moment("until", args.until.as_deref().filter(|text| !text.is_empty()))?,
        timestamps: args.timestamps,
        details: args.details,
        out: Vec::new(),
    };
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let mut source = Source::open(&root, &record, &Asked::of(&record)?)?;
    let failed = |e: std::io::Error| Failure::new(format!("read the log of {}: {e}", record.name));
    tail.map_or(Ok(()), |wanted| source.tail(wanted)).map_err(failed)?;

    // docker: the last lines are counted first, and of those the times looked at
    let mut last: VecDeque<Entry> = VecDeque::new();
    while let Some(entry) = source.next_entry().map_err(failed)? {
        match tail {
            None => {
                if shown.show(&entry).is_err() {
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
    if last.iter().try_for_each(|entry| shown.show(entry)).and_then(|()| shown.flush()).is_err() {
        return Ok(0);
    }
    let mut ended = !args.follow;
    while !ended {
        // Looked at before reading: what comes between the two is read in the last round. One supervisor goes on over restarts, so
        // that between two rounds of its process the container is still one that is followed.
        ended = life::state(&root, &record.id).map_or(true, |s| s.status != Status::Running && s.supervisor.is_none());
        ended |= shown.until.is_some_and(|until| Timestamp::now() >= until);
        if ended {
            source.conclude();
        }
        while let Some(entry) = source.next_entry().map_err(failed)? {
            if shown.show(&entry).is_err() {
                return Ok(0);
            }
        }
        if shown.flush().is_err() {
            return Ok(0);
        }
        if !ended {
            source.rest(POLL).map_err(failed)?;
        }
    }
    Ok(0)
}

/// What of a log is shown, and how.
#[derive(Debug)]
struct Shown {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    timestamps: bool,
    details: bool,
    /// What is not yet written to standard output.
    out: Vec<u8>,
}

impl Shown {
    /// Writes an entry where it came from. An error means that nobody reads any more.
    fn show(&mut self, entry: &Entry) -> std::io::Result<()> {
        let time = entry.time.parse::<Timestamp>().ok();
        let holds = |time| self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until);
        if !time.is_none_or(holds) {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(entry.log.len() + 40);
        if self.timestamps {
            // docker: nine digits always
            let time = time.map_or_else(|| entry.time.clone(), |t| t.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string());
            bytes.extend_from_slice(time.as_bytes());
            bytes.push(b' ');
        }
        if self.details {
            let told: Vec<String> = entry.attrs.iter().map(|(k, v)| format!("{}={}", url(k), url(v))).collect();
            bytes.extend_from_slice(told.join(",").as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(entry.log.as_bytes());
        if entry.stream == "stderr" {
            self.flush()?;
            return std::io::stderr().lock().write_all(&bytes);
        }
        self.out.extend_from_slice(&bytes);
        if self.out.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        cli::output::write(&std::mem::take(&mut self.out))
    }
}

/// A moment, as [`filter::moment`] reads it.
fn moment(option: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    text.map(filter::moment).transpose().map_err(|mut failure| {
        failure.message = format!("invalid value for \"{option}\": {}", failure.message);
        failure
    })
}
