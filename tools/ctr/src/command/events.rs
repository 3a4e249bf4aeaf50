//! `ctr events`: what happened to containers and images, and what happens from now on.

use super::{Context, filter};
use crate::format::{Template, Value as Row};
use cli::failure::{Failure, Outcome};
use engine::events::Told;
use engine::events::follow::Reader;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// Options of `ctr events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those for which it holds: container=, event=, image=, label=, type=, …
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format by fields: '{{.Action}} {{.Actor.ID}}', 'json'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Those since TIME too
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those until TIME, and no longer than that
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let filters = filter::pairs(&args.filter, "-f, --filter")?;
    let template = match args.format.as_deref() {
        None | Some("") => Shown::Line,
        Some("json" | "{{json .}}") => Shown::Json,
        Some(format) => Shown::Template(read(format)?),
    };
    let moment = |text: &Option<String>| text.as_deref().map(filter::moment).transpose();
    let (since, until) = (moment(&args.since)?, moment(&args.until)?);
    if let (Some(from), Some(to)) = (since, until)
        && from > to
    {
        let (from, to) = (from.as_second(), to.as_second());
        return Err(Failure::new(format!("`since` time ({from}) cannot be after `until` time ({to})")));
    }
    let root = context.store()?;
    // docker: with --until alone everything that is known is shown first
    let from = match (since, until) {
        (Some(since), _) => since.as_nanosecond(),
        (None, Some(_)) => i128::MIN,
        (None, None) => Timestamp::now().as_nanosecond(),
    };
    let to = until.map_or(i128::MAX, Timestamp::as_nanosecond);
    let mut reader = Reader::new(&root);
    loop {
        // Looked at before reading: what comes between the two is read in the last round.
        let last = Timestamp::now().as_nanosecond() >= to;
        let told = reader.read();
        let wanted = told.iter().filter(|t| (from..=to).contains(&t.time_nano) && holds(&filters, t));
        for one in wanted {
            if cli::output::write(template.show(one)?.as_bytes()).is_err() {
                return Ok(0);
            }
        }
        if last {
            return Ok(0);
        }
        std::thread::sleep(POLL);
    }
}

/// Go's name of an event.
const MESSAGE: &str = "*events.Message";

/// Reads a template, and tries it on nothing, as docker does before it asks for events.
fn read(format: &str) -> Result<Template, Failure> {
    let wrong = |failure: Failure| {
        let message = failure.message.replacen("template parsing error:", "Error parsing format:", 1);
        Failure { message, code: crate::format::BAD_TEMPLATE, ..failure }
    };
    let template = Template::parse(format).map_err(wrong)?;
    template.on(&Row::row(MESSAGE, &fields(&Told::default()))).map_err(wrong)?;
    Ok(template)
}

/// How an event is shown.
#[derive(Debug)]
enum Shown {
    Line,
    Json,
    Template(Template),
}

impl Shown {
    fn show(&self, told: &Told) -> Result<String, Failure> {
        match self {
            Self::Line => Ok(line(told)),
            Self::Json => Ok(format!("{}\n", told.line)),
            Self::Template(template) => Ok(template.on(&Row::row(MESSAGE, &fields(told)))? + "\n"),
        }
    }
}

/// `2026-11-22T00:34:57.465653629Z container restart ID (image=busybox, name=web)`
fn line(told: &Told) -> String {
    let attributes: Vec<String> = told.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let more = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    format!("{} {} {} {}{more}\n", stamp(told.time_nano), told.kind, told.action, told.actor.id)
}

/// RFC 3339 with all nine digits, where the user is.
pub(crate) fn stamp(nanos: i128) -> String {
    let seconds = nanos.div_euclid(1_000_000_000) as i64;
    let zone = cli::local_zone(seconds).map_or(0, |zone| zone.offset_seconds);
    let shown = Timestamp::from_second(seconds + zone).map(|t| t.strftime("%Y-%m-%dT%H:%M:%S").to_string());
    let suffix = match zone {
        0 => "Z".to_owned(),
        east => format!("{}{:02}:{:02}", if east < 0 { '-' } else { '+' }, east.abs() / 3600, east.abs() / 60 % 60),
    };
    format!("{}.{:09}{suffix}", shown.unwrap_or_default(), nanos.rem_euclid(1_000_000_000))
}

/// The members as templates name them.
fn fields(told: &Told) -> Value {
    json!({
        "Status": told.status,
        "ID": told.id,
        "From": told.from,
        "Type": told.kind,
        "Action": told.action,
        "Actor": { "ID": told.actor.id, "Attributes": told.actor.attributes },
        "Scope": told.scope,
        "Time": (told.time_nano / 1_000_000_000) as i64,
        "TimeNano": told.time_nano as i64,
    })
}

/// Whether an event is one of those that a filter means; docker: `daemon/events/filter.go`. Keys that nothing here has are taken by
/// every event, as docker takes them.
fn fits((key, value): &(String, String), told: &Told) -> bool {
    let value = value.as_str();
    let attribute = |name: &str| told.actor.attributes.get(name).map(String::as_str);
    let named =
        |kind: &str| told.kind == kind && (told.actor.id.starts_with(value) || attribute("name") == Some(value));
    match key.as_str() {
        "event" => told.action == value || told.action.split_once(':').is_some_and(|(action, _)| action == value),
        "type" => told.kind == value,
        "container" => named("container") || (told.kind == "network" && attribute("container") == Some(value)),
        "volume" | "network" | "plugin" | "daemon" | "service" | "node" | "secret" | "config" => named(key),
        "image" => {
            let image = if told.kind == "image" { attribute("name") } else { attribute("image") };
            let bare = |name: &str| name.parse::<spec::Reference>().is_ok_and(|r| r.familiar_repository() == value);
            told.actor.id == value || image.is_some_and(|image| image == value || bare(image))
        }
        "label" => match value.split_once('=') {
            Some((key, value)) => attribute(key) == Some(value),
            None => attribute(value).is_some(),
        },
        "scope" => value == "local",
        _ => true,
    }
}

/// docker: one of the values of each key; but labels all.
fn holds(filters: &[(String, String)], told: &Told) -> bool {
    filters.iter().all(|filter| {
        let (key, _) = filter;
        fits(filter, told) || (key != "label" && filters.iter().any(|other| other.0 == *key && fits(other, told)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docker tries a template on an event of which nothing is known: its times are numbers all the same.
    #[test]
    fn templates_are_tried_on_nothing() {
        for format in ["{{if gt .TimeNano 5}}late{{end}}", "{{eq .Time 0}}", "{{.Actor.Attributes.name}}{{.Status}}"] {
            read(format).unwrap_or_else(|failure| panic!("{format}: {failure:?}"));
        }
        let failure = read("{{.Nosuch}}").unwrap_err();
        assert_eq!(failure.code, 64, "{failure:?}");
        let told = Told { time_nano: 1_700_000_000_000_000_001, from: "busybox".into(), ..Told::default() };
        let text = read("{{.Time}} {{.TimeNano}} {{.From}}").unwrap().on(&Row::row(MESSAGE, &fields(&told))).unwrap();
        assert_eq!(text, "1700000000 1700000000000000001 busybox");
    }

    #[test]
    fn lines_and_filters() {
        let attributes =
            [("image", "localhost:5000/app:1"), ("name", "web"), ("a", "b")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let told = Told {
            kind: "container".into(),
            action: "exec_create: sh".into(),
            actor: engine::events::Actor { id: "1234".into(), attributes: attributes.into() },
            time_nano: 1_700_000_000_000_000_001,
            ..Told::default()
        };
        let text = line(&told);
        assert!(
            text.ends_with(" container exec_create: sh 1234 (a=b, image=localhost:5000/app:1, name=web)\n"),
            "{text}"
        );
        assert!(text.contains(":20.000000001"), "{text}");
        for (filters, want) in [
            (&["container=web"][..], true),
            (&["container=12"], true),
            (&["container=db"], false),
            (&["container=db", "container=web"], true),
            (&["event=exec_create"], true),
            (&["event=start", "type=container"], false),
            (&["image=localhost:5000/app"], true),
            (&["image=localhost"], false),
            (&["image=localhost:5000/app:1", "label=a=b", "label=a"], true),
            (&["label=a=b", "label=c"], false),
            (&["type=image"], false),
        ] {
            let read: Vec<String> = filters.iter().map(|f| (*f).to_owned()).collect();
            let read = filter::pairs(&read, "--filter").expect("filters");
            assert_eq!(holds(&read, &told), want, "{filters:?}");
        }
    }
}
