//! `ctr diff`: what a container changed, in docker's letters.

use super::Context;
use cli::failure::Outcome;
use std::path::PathBuf;

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
    // What the runtime mounts on is there in the writable layer only because something was mounted on it.
    let fixed = ["/proc", "/sys", "/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].map(PathBuf::from);
    let volumes = asked.request.volumes.iter().map(|v| PathBuf::from(&v.target));
    let hidden: Vec<PathBuf> = fixed.into_iter().chain(volumes).collect();
    let upper = root.container_layer(&record.id).join("diff");
    let changes = engine::diff::compare(&upper, &record.layers, &hidden)?;
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
