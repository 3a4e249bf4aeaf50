//! A container as a row of docker's listing (docker/cli: `formatter/container.go`, moby: `container/state.go`).

use cli::human;
use engine::life::list::Listed;
use engine::life::{Asked, is_active, size};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use store::{Record, Root, State, Status};

/// Characters of a command and of a mount's source that are shown.
const COMMAND: usize = 20;
const MOUNT: usize = 15;

/// What is measured, which takes a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    None,
    /// What a container has written.
    Written,
    /// And what it is made of.
    All,
}

/// What rows have in common.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    root: &'a Root,
    whole: bool,
    sizes: Sizes,
    /// The ids that images' names lead to now.
    images: HashMap<String, Option<spec::Digest>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(root: &'a Root, whole: bool, sizes: Sizes) -> Self {
        Self { root, whole, sizes, images: HashMap::new() }
    }

    pub(super) fn row(&mut self, one: &Listed) -> Value {
        let Listed { record, asked, state } = one;
        let command = asked.as_ref().map(command_of).unwrap_or_default();
        let network = asked.as_ref().map_or_else(String::new, networks);
        let exposed = asked.as_ref().filter(|_| is_active(state.status));
        let exposed = exposed.map(|a| engine::wiring::exposed(&a.request, &a.defaults.ports)).unwrap_or_default();
        let mounts: Vec<String> = asked
            .iter()
            .flat_map(|a| a.request.volumes.iter())
            .map(|v| self.cut(&v.source.to_string_lossy(), MOUNT))
            .collect();
        let labels = asked.as_ref().map(Asked::labels).unwrap_or_default();
        let listed: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let label: Map<String, Value> = labels.into_iter().map(|(key, value)| (key, value.into())).collect();
        json!({
            "ID": if self.whole { record.id.as_str() } else { record.id.short() },
            "Image": self.image(record),
            "Command": crate::format::quoted(&self.cut(&command, COMMAND)),
            "CreatedAt": made_at(&record.created),
            "RunningFor": since(&record.created).map_or_else(String::new, human::ago),
            "State": state_word(state.status),
            "Status": status(state),
            "Ports": engine::port::display(&super::super::port::bound(state), &exposed),
            "Names": record.name,
            "Networks": network,
            "Mounts": mounts.join(","),
            "LocalVolumes": "0",
            "Labels": listed.join(","),
            "Label": label,
            "Size": self.size(record),
            "Platform": null,
        })
    }

    fn cut(&self, text: &str, width: usize) -> String {
        if self.whole || text.chars().count() <= width {
            return text.to_owned();
        }
        text.chars().take(width - 1).chain(['…']).collect()
    }

    /// The image as it was asked for; its id where that name leads to another one now, or nowhere.
    fn image(&mut self, record: &Record<()>) -> String {
        let Some(id) = record.image_id else { return record.image.clone() };
        let root = self.root;
        let now = self.images.entry(record.image.clone()).or_insert_with_key(|name| {
            let index = root.index().ok()?;
            root.find_image_in(&index, name).ok().map(|image| image.id)
        });
        match now {
            // asked for by its id, or a part of it
            _ if id.hex().starts_with(record.image.trim_start_matches("sha256:")) => record.image.clone(),
            Some(now) if *now == id => record.image.clone(),
            _ if self.whole => id.to_string(),
            _ => id.hex()[..12].to_owned(),
        }
    }

    /// `100kB (virtual 2.08MB)`
    fn size(&self, record: &Record<()>) -> String {
        if self.sizes == Sizes::None {
            return human::size(0);
        }
        let written = size::written(self.root, &record.id);
        let below = if self.sizes == Sizes::All { size::below(self.root, record) } else { 0 };
        match below {
            0 => human::size(written),
            below => format!("{} (virtual {})", human::size(written), human::size(written + below)),
        }
    }
}

/// The networks it is on, as docker joins them; one that has another container's has none of its own.
fn networks(asked: &Asked) -> String {
    use engine::request::Network;
    match engine::plan::network(&asked.request) {
        Network::Named(_) => {
            let names = engine::wiring::endpoints(&asked.request).into_iter().map(|e| e.network);
            names.collect::<Vec<_>>().join(",")
        }
        Network::Host => "host".into(),
        Network::Container(_) => String::new(),
        Network::None | Network::Default => "none".into(),
    }
}

/// The command line that runs in it; docker puts an argument with a blank in it in quotes.
fn command_of(asked: &Asked) -> String {
    let (entrypoint, command) = engine::process::words(&asked.request, &asked.defaults);
    let words = [&*entrypoint, command].concat();
    let quoted = words.iter().enumerate().map(|(at, word)| match at > 0 && word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// docker's word for a state.
pub(crate) fn state_word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Restarting => "restarting",
        Status::Removing => "removing",
        Status::Exited => "exited",
        Status::Dead => "dead",
    }
}

/// docker's sentence for a state.
fn status(state: &State) -> String {
    let ago = |time: &Option<String>| time.as_deref().and_then(since).map_or_else(String::new, human::ago);
    let up = || state.started.as_deref().and_then(since).map_or_else(String::new, human::duration);
    let health = || match state.health.as_ref().and_then(|health| health["Status"].as_str()) {
        None | Some("none") => String::new(),
        Some("starting") => " (health: starting)".into(),
        Some(word) => format!(" ({word})"),
    };
    match state.status {
        Status::Created => "Created".into(),
        Status::Running => format!("Up {}{}", up(), health()),
        Status::Paused => format!("Up {} (Paused)", up()),
        Status::Restarting => format!("Restarting ({}) {}", state.exit_code, ago(&state.finished)),
        Status::Removing => "Removal In Progress".into(),
        Status::Dead => "Dead".into(),
        Status::Exited => format!("Exited ({}) {}", state.exit_code, ago(&state.finished)).trim_end().to_owned(),
    }
}

/// `2026-11-22 00:34:58 +0000 UTC`, where the user is.
fn made_at(time: &str) -> String {
    let Some(stamp) = time.parse::<jiff::Timestamp>().ok() else { return String::new() };
    let seconds = stamp.as_second();
    let Some((clock, zone)) = cli::local_time(seconds).zip(cli::local_zone(seconds)) else { return String::new() };
    let sign = if zone.offset_seconds < 0 { '-' } else { '+' };
    let minutes = zone.offset_seconds.abs() / 60;
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{:02}{:02} {}",
        clock.year,
        clock.month,
        clock.day,
        clock.hour,
        clock.minute,
        clock.second,
        minutes / 60,
        minutes % 60,
        zone.name
    )
}

fn since(time: &str) -> Option<i64> {
    let stamp: jiff::Timestamp = time.parse().ok()?;
    Some(jiff::Timestamp::now().as_second() - stamp.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_for_states() {
        let now = jiff::Timestamp::now().to_string();
        let state = |status| State {
            status,
            exit_code: 137,
            started: Some(now.clone()),
            finished: Some(now.clone()),
            ..State::default()
        };
        for (given, want) in [
            (State::default(), "Created"),
            (state(Status::Running), "Up Less than a second"),
            (
                State { health: Some(json!({ "Status": "starting" })), ..state(Status::Running) },
                "Up Less than a second (health: starting)",
            ),
            (
                State { health: Some(json!({ "Status": "healthy" })), ..state(Status::Running) },
                "Up Less than a second (healthy)",
            ),
            (state(Status::Paused), "Up Less than a second (Paused)"),
            (state(Status::Restarting), "Restarting (137) Less than a second ago"),
            (state(Status::Removing), "Removal In Progress"),
            (state(Status::Dead), "Dead"),
            (state(Status::Exited), "Exited (137) Less than a second ago"),
            (State { finished: None, ..state(Status::Exited) }, "Exited (137)"),
        ] {
            assert_eq!(status(&given), want);
        }
    }
}
