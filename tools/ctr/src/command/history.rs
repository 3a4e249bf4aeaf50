//! `ctr history`: the steps that made an image, newest first.

use super::Context;
use crate::format::Listing;
use cli::failure::Outcome;
use cli::human;
use engine::images::history::{Step, history};
use serde_json::{Value, json};

/// Options of `ctr history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// The image
    image: String,
}

const HEADINGS: [(&str, &str); 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// Characters of a step's command that are shown.
const COMMAND: usize = 45;

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let steps = history(&context.store()?, &args.image)?;
    if args.quiet && matches!(args.format.as_deref(), None | Some("" | "table")) {
        let ids: String = steps.iter().map(|step| id(step, args.no_trunc) + "\n").collect();
        return super::print(&ids);
    }
    let rows: Vec<Value> = steps.iter().map(|step| row(step, &args)).collect();
    let standard = match args.human {
        true => "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
        false => "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    };
    let listing = Listing { kind: "*image.historyContext", standard, headings: &HEADINGS };
    super::print(&listing.show(args.format.as_deref(), &rows)?)
}

fn id(step: &Step, whole: bool) -> String {
    match (&step.id, whole) {
        (None, _) => "<missing>".into(),
        (Some(id), true) => id.to_string(),
        (Some(id), false) => engine::images::short(id),
    }
}

fn row(step: &Step, args: &Args) -> Value {
    let created = step.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let now = jiff::Timestamp::now().as_second();
    let mut by = step.created_by.replace('\t', " ");
    if !args.no_trunc && by.chars().count() > COMMAND {
        by = by.chars().take(COMMAND - 1).chain(['…']).collect();
    }
    json!({
        "ID": id(step, args.no_trunc),
        "CreatedSince": created.map_or("N/A".into(), |at| human::ago(now - at.as_second())),
        "CreatedAt": created.map_or(String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        "CreatedBy": by,
        "Size": if args.human { human::size(step.size_bytes) } else { step.size_bytes.to_string() },
        "Comment": step.comment,
    })
}
