//! `ctr ps`: docker's listing of containers.

use super::Context;
use crate::format;
use cli::failure::{Failure, Outcome};
use engine::life::list;
use filter::Filters;
use serde_json::Value;
use store::Record;

pub(crate) mod filter;
mod row;

pub(crate) use row::state_word;

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
    #[arg(short = 'n', long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    last: i64,
    /// Only show ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// With what they have written, and what they are made of
    #[arg(short, long)]
    size: bool,
    /// Only those for which KEY=VALUE holds: ancestor, before, exited, expose, health, id, label, name, network, publish,
    /// since, status, volume
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format by fields: 'table {{.Names}}', '{{.ID}}', 'json'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Args {
    /// Whether sizes are asked for: then trees are walked.
    pub(super) fn measures(&self) -> bool {
        self.size || self.format.as_deref().is_some_and(|format| format.contains(".Size"))
    }
}

const HEADINGS: [(&str, &str); 15] = [
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let filters = Filters::parse(&args.filter)?;
    let custom = args.format.as_deref().filter(|format| !format.is_empty());
    custom.map(check).transpose()?;
    let root = context.store()?;
    let filters = filters.resolve(&root)?;
    let limit = if args.latest && args.last < 0 { 1 } else { args.last };
    let all = args.all || limit > 0 || filters.wants_all();
    let mut shown = list::list(&root, !all)?;
    shown.retain(|one| filters.fits(one));
    if let Ok(limit @ 1..) = usize::try_from(limit) {
        shown.truncate(limit);
    }
    if args.quiet && !matches!(custom, Some(format) if format.starts_with("table")) {
        if custom.is_some() {
            cli::output::err_line("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        let id = |r: &Record<()>| if args.no_trunc { r.id.to_string() } else { r.id.short().to_owned() };
        return super::print(&shown.iter().map(|one| format!("{}\n", id(&one.record))).collect::<String>());
    }
    let rows: Vec<Value> = list::in_parts(&shown, |shown| {
        let mut rows = row::Rows::new(&root, args.no_trunc, args.measures());
        shown.iter().map(|one| rows.row(one)).collect()
    });
    let mut standard =
        String::from("{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}");
    if args.size {
        standard.push_str("\t{{.Size}}");
    }
    if args.quiet {
        standard = "{{.ID}}".into();
    }
    super::print(&format::list(custom, &standard, &HEADINGS, &rows)?)
}

/// docker tries a template on nothing before it asks for containers, and has other words then.
fn check(format: &str) -> Result<(), Failure> {
    let other = |why: &'static str| {
        move |failure: Failure| Failure {
            message: failure.message.replacen("template parsing error:", why, 1),
            ..failure
        }
    };
    format::Template::parse(format).map_err(other("failed to parse template:"))?;
    let mut nothing: serde_json::Map<String, Value> =
        HEADINGS.iter().map(|(field, _)| ((*field).to_owned(), "".into())).collect();
    nothing.insert("Label".into(), serde_json::json!({}));
    let row = [Value::Object(nothing)];
    format::list(Some(format), "", &HEADINGS, &row).map_err(other("failed to execute template:")).map(drop)
}
