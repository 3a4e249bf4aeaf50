//! `ctr ps`: docker's listing of containers.

use super::Context;
use crate::format;
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::life::{self, Asked};
use serde_json::{Value, json};
use store::{Record, State, Status};

/// Options of `ctr ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Only the newest
    #[arg(short, long)]
    latest: bool,
    /// Only the newest N
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Only show ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// Only containers for which KEY=VALUE holds: name, id, status, ancestor, exited
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format by fields: 'table {{.Names}}', '{{.ID}}', 'json'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const HEADINGS: [(&str, &str); 11] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Mounts", "MOUNTS"),
];

/// Characters of a command that are shown.
const COMMAND: usize = 20;

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let root = context.store()?;
    let limit = if args.latest { Some(1) } else { args.last };
    let all = args.all || limit.is_some() || filters.iter().any(|f| matches!(f.key, Key::Status | Key::Exited));
    let mut rows: Vec<(Record, State)> = Vec::new();
    for record in root.containers()? {
        // One that is being removed right now is not worth a word.
        let Ok(state) = life::state(&root, &record.id) else { continue };
        if (all || state.status == Status::Running) && filters.iter().all(|f| f.fits(&record, &state)) {
            rows.push((record, state));
        }
    }
    rows.truncate(limit.unwrap_or(usize::MAX));
    if args.quiet && args.format.is_none() {
        let id = |r: &Record| if args.no_trunc { r.id.to_string() } else { r.id.short().to_owned() };
        return super::print(&rows.iter().map(|(r, _)| format!("{}\n", id(r))).collect::<String>());
    }
    let rows: Vec<Value> = rows.iter().map(|(r, s)| row(r, s, args.no_trunc)).collect();
    let standard = r"{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
    super::print(&format::list(args.format.as_deref(), standard, &HEADINGS, &rows)?)
}

fn row(record: &Record, state: &State, no_trunc: bool) -> Value {
    let asked = Asked::of(record).ok();
    let command = asked.as_ref().map(command_of).unwrap_or_default();
    let cut = command.chars().count() > COMMAND && !no_trunc;
    let shown: String = if cut { command.chars().take(COMMAND - 1).chain(['…']).collect() } else { command };
    let network = asked.as_ref().map_or_else(String::new, networks);
    let exposed = asked.as_ref().filter(|_| state.status == Status::Running);
    let exposed = exposed.map(|a| engine::wiring::exposed(&a.request, &a.defaults.ports)).unwrap_or_default();
    let mounts: Vec<String> =
        asked.iter().flat_map(|a| a.request.volumes.iter()).map(|v| v.source.to_string_lossy().into_owned()).collect();
    json!({
        "ID": if no_trunc { record.id.as_str() } else { record.id.short() },
        "Image": record.image,
        "Command": format!("\"{shown}\""),
        "CreatedAt": stamp(&record.created).map_or_else(String::new, |t| t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()),
        "RunningFor": since(&record.created).map_or_else(String::new, human::ago),
        "State": state_word(state.status),
        "Status": status(state),
        "Ports": engine::port::display(&super::port::bound(state), &exposed),
        "Names": record.name,
        "Networks": network,
        "Mounts": mounts.join(","),
        "Labels": "",
    })
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

/// The command line that runs in it.
fn command_of(asked: &Asked) -> String {
    let (entrypoint, command) = engine::process::words(&asked.request, &asked.defaults);
    [&*entrypoint, command].concat().join(" ")
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
    let ago = |time: &Option<String>| time.as_deref().and_then(since);
    match state.status {
        Status::Created => "Created".into(),
        Status::Running => format!("Up {}", ago(&state.started).map_or_else(String::new, human::duration)),
        Status::Paused => format!("Up {} (Paused)", ago(&state.started).map_or_else(String::new, human::duration)),
        Status::Restarting => {
            let since = ago(&state.finished).map_or_else(String::new, human::ago);
            format!("Restarting ({}) {since}", state.exit_code)
        }
        Status::Removing => "Removal In Progress".into(),
        Status::Dead => "Dead".into(),
        Status::Exited => {
            format!("Exited ({}) {}", state.exit_code, ago(&state.finished).map_or_else(String::new, human::ago))
                .trim_end()
                .to_owned()
        }
    }
}

fn stamp(time: &str) -> Option<jiff::Timestamp> {
    time.parse().ok()
}

fn since(time: &str) -> Option<i64> {
    Some(jiff::Timestamp::now().as_second() - stamp(time)?.as_second())
}

/// Which containers are shown.
#[derive(Debug)]
struct Filter {
    key: Key,
    value: String,
}

#[derive(Debug, PartialEq)]
enum Key {
    Name,
    Id,
    Status,
    Ancestor,
    Exited,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(format!("invalid filter {text:?}"))
                .hint("want name=, id=, status=, ancestor= or exited=")
                .code(cli::exit::OURS)
        };
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let key = match key {
            "name" => Key::Name,
            "id" => Key::Id,
            "status" => Key::Status,
            "ancestor" => Key::Ancestor,
            "exited" => Key::Exited,
            _ => return Err(wrong()),
        };
        Ok(Self { key, value: value.to_owned() })
    }

    fn fits(&self, record: &Record, state: &State) -> bool {
        match self.key {
            Key::Name => record.name.contains(self.value.trim_start_matches('/')),
            Key::Id => record.id.as_str().starts_with(&self.value),
            Key::Status => state_word(state.status) == self.value,
            Key::Ancestor => {
                record.image == self.value || record.image_id.is_some_and(|id| id.hex().starts_with(&self.value))
            }
            Key::Exited => state.status == Status::Exited && state.exit_code.to_string() == self.value,
        }
    }
}
