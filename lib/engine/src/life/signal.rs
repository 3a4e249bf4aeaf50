//! Signals, freezing and thawing: the OCI runtime's `kill`, `pause` and `resume`, and names of signals as docker takes them.

use super::{Asked, Site, conflict, not_running};
use crate::tools::Tools;
use crate::{Error, Kind, Result, events, execute};
use nix::sys::signal::Signal;
use store::{Record, State, Status};

/// The first and the last of the real-time signals, as programs know them (signal(7): the C library keeps two for itself).
const REAL_TIME: (i32, i32) = (34, 64);

/// A signal as docker reads it: a number, or a name with or without `SIG`, in any case; also `RTMIN+3` and `RTMAX-3`.
pub fn parse(text: &str) -> Result<i32> {
    let wrong = || {
        Error::new(Kind::Request, "", format!("Invalid signal: {text}"))
            .hint("by name (TERM, SIGUSR1) or by number; kill -l lists them")
    };
    if let Ok(number) = text.parse::<i32>() {
        return if number > 0 { Ok(number) } else { Err(wrong()) };
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char, most: i32| match rest {
        "" => Some(0),
        _ => rest.strip_prefix(sign)?.parse().ok().filter(|n| (1..=most).contains(n)),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+', 15).map(|n: i32| REAL_TIME.0 + n).ok_or_else(wrong);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-', 14).map(|n: i32| REAL_TIME.1 - n).ok_or_else(wrong);
    }
    let name = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        other => other,
    };
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| wrong())
}

/// The signal that asks this container to end: `--stop-signal`, the image's, or TERM.
pub fn to_stop(asked: &Asked) -> i32 {
    parse(&asked.request.stop.signal(&asked.defaults)).unwrap_or(Signal::SIGTERM as i32)
}

/// How long it is given to end, in seconds: `--stop-timeout`; negative means for ever.
pub fn seconds(asked: &Asked) -> Option<i64> {
    asked.request.stop.timeout_s
}

/// `ctr kill`: sends the container's process a signal.
pub fn kill(site: Site<'_>, record: &Record, name: &str, signal: i32) -> Result<()> {
    let cannot = |why: &str| conflict(format!("Cannot kill container: {name}: {why}"));
    if signal > REAL_TIME.1 {
        return Err(cannot(&format!("The linux daemon does not support signal {signal}")).hint("kill -l lists them"));
    }
    let asked = Asked::of(record)?;
    let mut now = State::default();
    // docker: one that is killed by hand is not started again; but where a container has a signal to be stopped by, other
    // signals than that may mean anything.
    let ends = signal == Signal::SIGKILL as i32
        || (asked.request.stop.signal.is_none() && asked.defaults.stop_signal.as_deref().is_none_or(str::is_empty))
        || signal == to_stop(&asked);
    let update = |state: &mut State| {
        now = super::seen(state.clone());
        if super::is_active(now.status) && ends {
            state.stopped_by_hand = true;
        }
    };
    site.root.update_container(&record.id, update).map_err(crate::error::store)?;
    match now.status {
        Status::Restarting => {
            return Err(cannot(&format!("Container {} is restarting, wait until the container is running", record.id))
                .hint(format!("ctr stop {name} stops it for good")));
        }
        Status::Running | Status::Paused => {}
        _ => {
            return Err(cannot(&format!("Container {} is not running", record.id)).hint("ctr ps lists those that are"));
        }
    }
    events::container(site.root, record, "kill", &[("signal", &signal.to_string())]);
    send(site, record, &signal.to_string())?;
    if now.status == Status::Paused && ends {
        // The signal may have ended it already.
        let _ = thaw(site, record);
    }
    Ok(())
}

/// Sends the container's process a signal by the OCI runtime. If we are killed the signal has been sent by then or never will be: the
/// next command finds a process that is ending, or one that stays.
pub(super) fn send(site: Site<'_>, record: &Record, signal: &str) -> Result<()> {
    let mut command = command(site, record, &["kill", record.id.as_str(), signal])?;
    sys::daemon::end_with_us(&mut command);
    execute::run(command, "runtime kill").map(drop)
}

fn runtime(site: Site<'_>, record: &Record, words: &[&str], name: &str) -> Result<Vec<u8>> {
    execute::run(command(site, record, words)?, name)
}

fn command(site: Site<'_>, record: &Record, words: &[&str]) -> Result<std::process::Command> {
    let tools = Tools::new(&Asked::of(record)?.request.programs, site.own.to_owned());
    let mut command = execute::runtime(&tools, &site.place.runtime());
    command.args(words);
    Ok(command)
}

/// Whether the container's process is frozen, as the runtime has it (runtime-spec, "State"); `None` where it cannot tell.
fn is_frozen(site: Site<'_>, record: &Record) -> Option<bool> {
    let told = runtime(site, record, &["state", record.id.as_str()], "runtime state").ok()?;
    let told: serde_json::Value = serde_json::from_slice(&told).ok()?;
    match told["status"].as_str()? {
        "paused" => Some(true),
        "running" => Some(false),
        _ => None,
    }
}

/// `ctr pause`: freezes all processes of the container. It is written down before it is so: the runtime ends its work also
/// when we are killed, and who is written down as frozen can always be thawed.
pub fn pause(site: Site<'_>, record: &Record) -> Result<()> {
    let id = &record.id;
    let now = super::state(site.root, id)?;
    match now.status {
        Status::Running if now.started.is_some() => {}
        Status::Paused => {
            return Err(conflict(format!("Container {id} is already paused"))
                .hint(format!("ctr unpause {} lets it go on", record.name)));
        }
        Status::Restarting => {
            return Err(conflict(format!("Container {id} is restarting, wait until the container is running")));
        }
        _ => return Err(not_running(id)),
    }
    settle_status(site, record, Status::Running, Status::Paused)?;
    if let Err(e) = runtime(site, record, &["pause", id.as_str()], "runtime pause") {
        if is_frozen(site, record) != Some(true) {
            settle_status(site, record, Status::Paused, Status::Running)?;
        }
        return Err(conflict(format!("Cannot pause container {id}: {e}")));
    }
    events::container(site.root, record, "pause", &[]);
    Ok(())
}

/// `ctr unpause`: lets them go on.
pub fn unpause(site: Site<'_>, record: &Record) -> Result<()> {
    let id = &record.id;
    let status = super::state(site.root, id)?.status;
    // Another program may have frozen it.
    if status != Status::Paused && !(status == Status::Running && is_frozen(site, record) == Some(true)) {
        return Err(conflict(format!("Container {id} is not paused")).hint("ctr ps --filter status=paused lists those"));
    }
    thaw(site, record).map_err(|e| conflict(format!("Cannot unpause container {id}: {e}")))
}

/// Lets a frozen container go on, and tells.
pub(super) fn thaw(site: Site<'_>, record: &Record) -> Result<()> {
    if let Err(e) = runtime(site, record, &["resume", record.id.as_str()], "runtime resume") {
        // Whoever was to freeze it was killed before.
        if is_frozen(site, record) != Some(false) {
            return Err(e);
        }
    }
    settle_status(site, record, Status::Paused, Status::Running)?;
    events::container(site.root, record, "unpause", &[]);
    Ok(())
}

/// Changes `from` to `to`; where the container ended meanwhile, it has ended.
fn settle_status(site: Site<'_>, record: &Record, from: Status, to: Status) -> Result<()> {
    let update = |state: &mut State| {
        if state.status == from {
            state.status = to;
        }
    };
    site.root.update_container(&record.id, update).map(drop).map_err(crate::error::store)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals_by_name_and_number() {
        for (text, want) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigusr1", 10),
            ("9", 9),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("CLD", 17),
            ("POLL", 29),
            ("99", 99),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
        for text in ["FOO", "0", "-1", "RTMIN+16", "RTMAX-15", "SIG", ""] {
            assert_eq!(parse(text).unwrap_err().to_string(), format!("Invalid signal: {text}"));
        }
    }
}
