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
    pub(super) fn measures(&self, context: &Context) -> bool {
        // all members, as JSON
        let whole = |text: &str| {
            text.trim_start().strip_prefix('.').is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        };
        let asks = |format: String| format.contains(".Size") || format.split("json ").skip(1).any(whole);
        self.size || !self.quiet && self.custom(context).is_some_and(asks)
    }

    /// The format that was asked for or else configured.
    fn custom(&self, context: &Context) -> Option<String> {
        let asked = self.format.clone().filter(|format| !format.is_empty());
        asked.or_else(|| context.config().text("psFormat").map(str::to_owned))
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

/// docker's word for members one below the other, and what it stands for.
const RAW: &str = "raw";
const MEMBERS: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n\
    state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\n\
    ports: {{- pad .Ports 1 0}}\n";

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let filters = Filters::parse(&args.filter)?;
    let custom = args.custom(context);
    let custom = custom.as_deref();
    if args.quiet && args.format.as_deref().is_some_and(|format| !format.is_empty()) {
        cli::output::err_line("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
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
    if args.quiet {
        let before = if custom == Some(RAW) { "container_id: " } else { "" };
        let id = |r: &Record<()>| if args.no_trunc { r.id.to_string() } else { r.id.short().to_owned() };
        return super::print(&shown.iter().map(|one| format!("{before}{}\n", id(&one.record))).collect::<String>());
    }
    let sizes = if args.measures(context) { row::Sizes::All } else { row::Sizes::None };
    let rows: Vec<Value> = list::in_parts(&shown, |shown| {
        let mut rows = row::Rows::new(&root, args.no_trunc, sizes);
        shown.iter().map(|one| rows.row(one)).collect()
    });
    let mut standard =
        String::from("{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}");
    if args.size {
        standard.push_str("\t{{.Size}}");
    }
    let mut members = MEMBERS.to_owned();
    if args.size {
        members.push_str("size: {{.Size}}\n");
    }
    let custom = if custom == Some(RAW) { Some(members.as_str()) } else { custom };
    super::print(&format::list(custom, &standard, &HEADINGS, &rows)?)
}

/// A row for each container there is, with what it has written.
pub(super) fn written(root: &store::Root, whole: bool) -> Result<Vec<Value>, Failure> {
    let all = list::list(root, false)?;
    let mut rows = row::Rows::new(root, whole, row::Sizes::Written);
    Ok(all.iter().map(|one| rows.row(one)).collect())
}

/// docker tries a template on nothing before it asks for containers, and has other words then.
fn check(format: &str) -> Result<(), Failure> {
    let other = |why: &'static str| {
        move |failure: Failure| Failure {
            message: failure.message.replacen("template parsing error:", why, 1),
            ..failure
        }
    };
    let template = format::Template::parse(format).map_err(other("failed to parse template:"))?;
    let mut nothing: serde_json::Map<String, Value> =
        HEADINGS.iter().map(|(field, _)| ((*field).to_owned(), "".into())).collect();
    nothing.insert("Label".into(), serde_json::json!({}));
    let row = format::Value::row(format::CONTAINER, &Value::Object(nothing));
    template.on(&row).map_err(other("failed to execute template:")).map(drop)
}
