//! `ctr stats`: what containers use, as a table that is drawn anew, or once.

use super::Context;
use crate::format::Listing;
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::life::list::Listed;
use engine::life::{self, Asked, Site};
use engine::stats::{self, Sample};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use store::{Record, Status};

/// Options of `ctr stats`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// A template, `table TEMPLATE`, or json
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print once and end
    #[arg(long)]
    no_stream: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only these containers, running or not
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Time between two drawings, and between the first two looks.
const INTERVAL: Duration = Duration::from_secs(1);
const FIRST: Duration = Duration::from_millis(500);

const STANDARD: &str =
    r"{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

const HEADINGS: [(&str, &str); 9] = [
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

const LISTING: Listing<'_> = Listing { kind: "*container.statsContext", standard: STANDARD, headings: &HEADINGS };

pub(crate) fn run(mut args: Args, context: &Context) -> Outcome {
    let asked = args.format.filter(|format| !format.is_empty());
    args.format = asked.or_else(|| context.config().text("statsFormat").map(str::to_owned));
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    // A wrong format is told before anything is waited for.
    LISTING.show(args.format.as_deref(), &[])?;
    let terminal = rustix::termios::isatty(std::io::stdout());
    let mut earlier = HashMap::new();
    look(site, &args, &mut earlier)?;
    let mut wait = FIRST;
    loop {
        let next = Instant::now() + wait;
        std::thread::sleep(wait);
        let rows = look(site, &args, &mut earlier)?;
        let text = LISTING.show(args.format.as_deref(), &rows)?;
        let shown = if args.no_stream || !terminal { text } else { frame(&text) };
        match cli::output::write(shown.as_bytes()) {
            Ok(()) if args.no_stream => return Ok(0),
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
            Err(e) => return Err(Failure::new(format!("stdout: {e}"))),
        }
        if rows.is_empty() && !args.containers.is_empty() {
            return Ok(0);
        }
        wait = INTERVAL.saturating_sub(next.elapsed());
    }
}

/// From the top of the screen, each line cleared to its end, and what is below it.
fn frame(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}

/// A look at every container that is asked for, a row each; `earlier` keeps it for the next time.
fn look(site: Site<'_>, args: &Args, earlier: &mut HashMap<String, Sample>) -> Result<Vec<Value>, Failure> {
    let first = earlier.is_empty();
    let mut rows = Vec::new();
    let mut now = HashMap::new();
    for (called, Listed { record, asked, state }) in chosen(site, args, first)? {
        let Some(asked) = asked else { continue };
        let runs = matches!(state.status, Status::Running | Status::Paused);
        if !runs && args.containers.is_empty() && !args.all {
            continue;
        }
        let sample = runs.then(|| stats::sample(site, &record, &asked, &state));
        let used = match &sample {
            None => Some(Used::default()),
            Some(Err(_)) => None,
            Some(Ok(sample)) => Some(Used::between(earlier.get(record.id.as_str()), sample)),
        };
        rows.push(row(&called, &record, used.as_ref(), args.no_trunc));
        if let Some(Ok(sample)) = sample {
            now.insert(record.id.to_string(), sample);
        }
    }
    *earlier = now;
    Ok(rows)
}

/// The containers, each with what it is called by: as it was typed, or its id.
fn chosen(site: Site<'_>, args: &Args, first: bool) -> Result<Vec<(String, Listed)>, Failure> {
    if args.containers.is_empty() {
        let all = life::list::list(site.root, !args.all)?.into_iter();
        return Ok(all.map(|one| (one.record.id.short().to_owned(), one)).collect());
    }
    let mut found = Vec::new();
    for name in &args.containers {
        match site.root.find_container(name) {
            Ok(record) => found.extend(listed(site, record).map(|one| (name.clone(), one))),
            // One that was there and is removed meanwhile is no error.
            Err(e) if first => return Err(e.into()),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// One that was found, with its state; none where it was removed since.
fn listed(site: Site<'_>, record: Record) -> Option<Listed> {
    let state = life::state(site.root, &record.id).ok()?;
    let asked = Asked::of(&record).ok();
    Some(Listed { record: record.apart().0, asked, state })
}

/// What a row shows.
#[derive(Debug, Default)]
struct Used {
    cpu_percent: f64,
    memory: u64,
    memory_limit: u64,
    memory_percent: f64,
    network: (u64, u64),
    block: (u64, u64),
    pids: u64,
}

impl Used {
    fn between(earlier: Option<&Sample>, now: &Sample) -> Self {
        Self {
            cpu_percent: earlier.map_or(0.0, |earlier| now.cpu_percent(earlier)),
            memory: now.memory,
            memory_limit: now.memory_limit,
            memory_percent: now.memory_percent(),
            network: now.network,
            block: now.block,
            pids: now.pids,
        }
    }
}

fn row(called: &str, record: &Record<()>, used: Option<&Used>, no_trunc: bool) -> Value {
    let both = |(one, other): (u64, u64)| format!("{} / {}", human::size(one), human::size(other));
    let shown = |text: &dyn Fn(&Used) -> String| used.map_or_else(|| "--".to_owned(), text);
    json!({
        "Container": called,
        "ID": if no_trunc { record.id.as_str() } else { record.id.short() },
        "Name": record.name,
        "CPUPerc": shown(&|u| format!("{:.2}%", u.cpu_percent)),
        "MemUsage": used.map_or_else(|| "-- / --".to_owned(), |u| format!("{} / {}", binary(u.memory), binary(u.memory_limit))),
        "MemPerc": shown(&|u| format!("{:.2}%", u.memory_percent)),
        "NetIO": shown(&|u| both(u.network)),
        "BlockIO": shown(&|u| both(u.block)),
        "PIDs": shown(&|u| u.pids.to_string()),
    })
}

/// Bytes by powers of 1024 with four digits: `1.172MiB` (go-units, `BytesSize`).
pub(super) fn binary(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v < 9.9995 => 3,
        v if v < 99.995 => 2,
        v if v < 999.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{binary, frame};

    #[test]
    fn sizes_have_four_digits() {
        for (bytes, want) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1_228_800, "1.172MiB"),
            (25_276_985_344, "23.54GiB"),
            (64 << 20, "64MiB"),
        ] {
            assert_eq!(binary(bytes), want);
        }
    }

    #[test]
    fn a_frame_covers_the_one_before() {
        assert_eq!(frame("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
