//! `events`: runc's command line and runc's JSON, a line an event.

use clap::Args as ClapArgs;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use runtime::events::Event;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, ClapArgs)]
pub(crate) struct Events {
    pub(crate) id: String,
    /// Time between statistics
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// Print statistics once
    #[arg(long)]
    stats: bool,
}

/// Prints events of a container until it ends.
pub(crate) fn run(root: &Path, events: &Events) -> Outcome {
    let id = &events.id;
    if events.stats {
        let statistics = runtime::events::statistics(root, id)?;
        write(&json!({ "type": "stats", "id": id, "data": statistics }))?;
        return Ok(exit::DONE);
    }
    let mut outcome = Ok(exit::DONE);
    runtime::events::watch(root, id, events.interval, |event| {
        let line = match event {
            Event::Statistics(statistics) => json!({ "type": "stats", "id": id, "data": statistics }),
            Event::Oom => json!({ "type": "oom", "id": id }),
        };
        match write(&line) {
            Ok(true) => ControlFlow::Continue(()),
            // Nobody listens any more.
            Ok(false) => ControlFlow::Break(()),
            Err(failure) => {
                outcome = Err(failure);
                ControlFlow::Break(())
            }
        }
    })?;
    outcome
}

fn write(line: &serde_json::Value) -> Result<bool, Failure> {
    match output::write(format!("{line}\n").as_bytes()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::new(format!("write to stdout: {e}"))),
    }
}

/// A time as Go writes it: `500ms`, `1.5s`, `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let span = spec::duration::parse(text).map_err(|_| format!("{text:?} is no duration such as 500ms or 1m30s"))?;
    match u64::try_from(span) {
        Ok(nanoseconds @ 1..) => Ok(Duration::from_nanos(nanoseconds)),
        _ => Err("duration interval must be greater than 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, ms) in [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "0s", "5", "s", "5x", "1..5s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
