//! `ctr diff`: what a container changed, in docker's letters.

use super::Context;
use cli::failure::Outcome;

/// Options of `ctr diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The container
    container: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let asked = engine::life::Asked::of(&record)?;
    let changes = engine::diff::of(&root, &record, &asked)?;
    let mut text = String::new();
    for (path, change) in changes {
        let path = path.display().to_string();
        if args.json {
            let line = serde_json::json!({ "change": change.letter().to_string(), "path": path });
            text.push_str(&format!("{line}\n"));
        } else {
            text.push_str(&format!("{} {path}\n", change.letter()));
        }
    }
    super::print(&text)
}
