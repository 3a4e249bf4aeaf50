//! `ctr ps --filter`: docker's keys and what each means (moby: `daemon/list.go`). Values of one key are alternatives, but for
//! labels, which all have to be there; keys all have to hold. Names are patterns anywhere in the text, ids beginnings.

use crate::command::filter::{invalid, label, pairs, unknown};
use cli::failure::Failure;
use engine::life::list::Listed;
use engine::life::{Asked, prune};
use engine::port::{self, Bound};
use engine::request::truth;
use regex_lite::Regex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::{Record, Root, State, Status};

const KEYS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// Filters as they were written: what each key's values are.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    values: BTreeMap<String, Vec<String>>,
    /// Containers that `before` and `since` name: when they were made.
    before: Option<String>,
    since: Option<String>,
    /// Containers whose ids begin as `id` says, each by a beginning that no other has.
    ids: Vec<spec::ContainerId>,
    /// What `ancestor` names: ids and layers.
    images: Vec<(spec::Digest, Vec<PathBuf>)>,
}

impl Filters {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut filters = Self::default();
        for (key, value) in pairs(texts, "-f, --filter")? {
            filters.values.entry(key).or_default().push(value);
        }
        if let Some(key) = filters.values.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(unknown(key).hint(format!("there are {}", KEYS.join(", "))));
        }
        for value in filters.all("status") {
            if !STATES.contains(&value.as_str()) {
                return Err(invalid("status", value).hint(format!("there are {}", STATES.join(", "))));
            }
        }
        for value in filters.all("health") {
            if !HEALTH.contains(&value.as_str()) {
                return Err(Failure::new(format!("Unrecognised filter value for health: {value}"))
                    .hint(format!("there are {}", HEALTH.join(", "))));
            }
        }
        for value in filters.all("exited") {
            if value.parse::<i64>().is_err() {
                return Err(Failure::new(format!("strconv.Atoi: parsing \"{value}\": invalid syntax"))
                    .hint("an exit code: --filter exited=0"));
            }
        }
        for value in filters.all("is-task") {
            if truth(value).is_none() {
                return Err(Failure::new(format!("Invalid filter 'is-task=[{value}]'")).hint("true or false"));
            }
        }
        for key in ["publish", "expose"] {
            for value in filters.all(key) {
                ports(key, value)?;
            }
        }
        Ok(filters)
    }

    /// Looks up the containers and images that are named.
    pub(crate) fn resolve(mut self, root: &Root) -> Result<Self, Failure> {
        let made = |name: &String| {
            let record = root.find_container(name).map_err(|e| match e.kind {
                store::Kind::NotFound => {
                    Failure::new(format!("no such container {name}")).hint("ctr ps -a lists those there are")
                }
                _ => e.into(),
            })?;
            Ok::<_, Failure>(record.created)
        };
        if !self.all("id").is_empty() {
            let all = root.container_ids()?;
            let begins = |start: &&String| all.iter().filter(|id| id.as_str().starts_with(start.as_str())).count() == 1;
            let starts: Vec<&String> = self.all("id").iter().filter(begins).collect();
            let meant = |id: &spec::ContainerId| starts.iter().any(|start| id.as_str().starts_with(start.as_str()));
            self.ids = all.iter().filter(|id| meant(id)).cloned().collect();
        }
        self.before = self.all("before").last().map(made).transpose()?;
        self.since = self.all("since").last().map(made).transpose()?;
        let find = |name: &String| {
            let image = engine::images::resolve(root, name).ok()?;
            Some((image.id, image.layers))
        };
        self.images = self.all("ancestor").iter().filter_map(find).collect();
        Ok(self)
    }

    /// docker: who asks for a state means all containers.
    pub(crate) fn wants_all(&self) -> bool {
        self.values.contains_key("status")
    }

    fn all(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a container is shown.
    pub(crate) fn fits(&self, one: &Listed) -> bool {
        let Listed { record, asked, state } = one;
        let own = ["id", "name", "status", "exited", "before", "since", "health", "is-task", "isolation", "ancestor"];
        if !own.iter().all(|key| self.all(key).is_empty() || self.holds(key, record, state)) {
            return false;
        }
        let more = ["label", "volume", "network", "publish", "expose"];
        if more.iter().all(|key| self.all(key).is_empty()) {
            return true;
        }
        let Some(asked) = asked else { return false };
        more.iter().all(|key| self.all(key).is_empty() || self.holds_of_request(key, asked, state))
    }

    fn any(&self, key: &str, text: &str) -> bool {
        let matches = |value: &String| value == text || Regex::new(value).is_ok_and(|pattern| pattern.is_match(text));
        self.all(key).iter().any(matches)
    }

    fn holds(&self, key: &str, record: &Record<()>, state: &State) -> bool {
        match key {
            "id" => self.ids.contains(&record.id),
            "name" => self.any(key, &record.name) || self.any(key, &format!("/{}", record.name)),
            "status" => self.any(key, super::state_word(state.status)),
            "exited" => {
                let ended = !engine::life::is_active(state.status) && state.started.is_some();
                ended && self.all(key).iter().any(|code| code.parse() == Ok(i64::from(state.exit_code)))
            }
            "before" => self.before.as_ref().is_some_and(|made| record.created < *made),
            "since" => self.since.as_ref().is_some_and(|made| record.created > *made),
            "health" => {
                let word = state.health.as_ref().and_then(|health| health["Status"].as_str());
                self.all(key).iter().any(|value| value == word.unwrap_or("none"))
            }
            // there are no tasks, and one kind of isolation
            "is-task" => self.all(key).iter().any(|value| truth(value) == Some(false)),
            "isolation" => true,
            _ => {
                let of = |(id, layers): &(spec::Digest, Vec<PathBuf>)| {
                    record.image_id == Some(*id) || (!layers.is_empty() && record.layers.starts_with(layers))
                };
                self.all(key).contains(&record.image) || self.images.iter().any(of)
            }
        }
    }

    fn holds_of_request(&self, key: &str, asked: &Asked, state: &State) -> bool {
        match key {
            "label" => {
                let wanted: Vec<_> = self.all(key).iter().map(|text| label(text)).collect();
                prune::has_all(&asked.labels(), &wanted)
            }
            "volume" => self.all(key).iter().any(|value| {
                asked.request.volumes.iter().any(|v| v.target == *value || v.source.as_os_str() == value.as_str())
            }),
            "network" => {
                let wired = state.wires.iter().flat_map(|wire| [&wire["network"], &wire["network_id"]]);
                let wired: Vec<&str> = wired.filter_map(|text| text.as_str()).collect();
                let asked = match engine::plan::network(&asked.request) {
                    engine::request::Network::None => vec!["none".to_owned()],
                    engine::request::Network::Host => vec!["host".to_owned()],
                    _ => engine::wiring::endpoints(&asked.request).into_iter().map(|e| e.network).collect(),
                };
                self.all(key).iter().any(|value| wired.contains(&value.as_str()) || asked.contains(value))
            }
            "publish" => {
                let bound = crate::command::port::bound(state);
                self.ports(key).any(|(range, protocol)| {
                    bound.iter().any(|b: &Bound| range.contains(&b.host_port) && b.protocol == protocol)
                })
            }
            _ => {
                let exposed = if state.status == Status::Created {
                    Vec::new()
                } else {
                    engine::wiring::exposed(&asked.request, &asked.defaults.ports)
                };
                self.ports(key)
                    .any(|(range, protocol)| exposed.iter().any(|e| range.contains(&e.port) && e.protocol == protocol))
            }
        }
    }

    fn ports<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (std::ops::RangeInclusive<u16>, String)> + 'a {
        self.all(key).iter().filter_map(move |value| ports(key, value).ok())
    }
}

/// `80`, `80/udp`, `80-90`.
fn ports(key: &str, value: &str) -> Result<(std::ops::RangeInclusive<u16>, String), Failure> {
    if value.contains(':') {
        return Err(Failure::new(format!("filter for '{key}' should not contain ':': {value}")));
    }
    port::parse_range(value).map_err(|why| {
        Failure::new(format!("error while looking up for {key} {value}: {why}"))
            .hint("a port, or a range: 80, 80-90/udp")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, state: &State) -> Listed {
        let asked = serde_json::json!({ "request": { "labels": { "a": "b", "c": "" } }, "defaults": {} });
        let record = Record {
            id: spec::ContainerId::from_random([0xab; 32]),
            name: name.into(),
            created: "2026-01-02T00:00:00Z".into(),
            image: "busybox".into(),
            image_id: None,
            layers: vec!["/x".into()],
            asked: (),
        };
        Listed { record, asked: serde_json::from_value(asked).ok(), state: state.clone() }
    }

    fn fits(filters: &[&str], state: &State) -> Result<bool, String> {
        let texts: Vec<String> = filters.iter().map(|f| (*f).to_owned()).collect();
        Filters::parse(&texts).map(|filters| filters.fits(&listed("web", state))).map_err(|failure| failure.message)
    }

    #[test]
    fn which_are_shown() {
        let created = State::default();
        let exited = State {
            status: Status::Exited,
            exit_code: 3,
            started: Some("2026-01-02T00:00:00Z".into()),
            ..State::default()
        };
        for (filters, state, want) in [
            (&["name=we"][..], &created, true),
            (&["name=^/web$"], &created, true),
            (&["name=^web$", "name=x"], &created, true),
            (&["name=["], &created, false),
            (&["isolation=process"], &created, true),
            (&["", "name=web"], &created, true),
            (&["status=created"], &created, true),
            (&["status=exited", "status=running"], &exited, true),
            (&["exited=3"], &exited, true),
            (&["exited=3"], &created, false),
            (&["label=a"], &created, true),
            (&["label=a=b", "label=c"], &created, true),
            (&["label=a=b", "label=d"], &created, false),
            (&["health=none"], &created, true),
            (&["is-task=true"], &created, false),
            (&["is-task=0"], &created, true),
            (&["network=bridge"], &created, true),
            (&["network=none"], &created, false),
            (&["ancestor=busybox", "volume=/x"], &created, false),
        ] {
            assert_eq!(fits(filters, state), Ok(want), "{filters:?}");
        }
    }

    #[test]
    fn what_is_wrong_in_dockers_words() {
        for (filter, want) in [
            ("foo=1", "Invalid filter 'foo'"),
            ("status=up", "Invalid filter 'status=up'"),
            ("exited=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
            ("health=x", "Unrecognised filter value for health: x"),
            ("is-task=maybe", "Invalid filter 'is-task=[maybe]'"),
            ("publish=x", "error while looking up for publish x: strconv.ParseUint: parsing \"x\": invalid syntax"),
            ("bar", "invalid argument \"bar\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"),
        ] {
            assert_eq!(fits(&[filter], &State::default()), Err(want.to_owned()));
        }
    }
}
