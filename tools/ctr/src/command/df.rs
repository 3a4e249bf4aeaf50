//! `ctr system df`: what takes room.

use super::Context;
use crate::format::Listing;
use cli::failure::Outcome;
use cli::human;
use engine::life;
use serde_json::{Value, json};
use spec::{ChainId, Digest};
use std::collections::HashMap;
use store::{Root, Status};

/// Options of `ctr system df`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

const HEADINGS: [(&str, &str); 5] =
    [("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")];
const STANDARD: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";

/// One kind of thing.
#[derive(Debug, Default)]
struct Sum {
    count: usize,
    active: usize,
    bytes: u64,
    free_bytes: u64,
}

impl Sum {
    fn row(&self, kind: &str) -> Value {
        let free = human::size(self.free_bytes);
        let share = (self.free_bytes * 100).checked_div(self.bytes);
        json!({
            "Type": kind,
            "TotalCount": self.count.to_string(),
            "Active": self.active.to_string(),
            "Size": human::size(self.bytes),
            "Reclaimable": share.map_or(free.clone(), |share| format!("{free} ({share}%)")),
        })
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let mut details = Vec::new();
    let images = images(&root, &mut details)?;
    let containers = containers(&root, &mut details)?;
    if args.verbose && args.format.is_none() {
        return super::print(&details.concat());
    }
    let nothing = Sum::default();
    let rows =
        [("Images", &images), ("Containers", &containers), ("Local Volumes", &nothing), ("Build Cache", &nothing)];
    let rows: Vec<Value> = rows.iter().map(|(kind, sum)| sum.row(kind)).collect();
    let listing = Listing { kind: "*formatter.diskUsageContext", standard: STANDARD, headings: &HEADINGS };
    super::print(&listing.show(args.format.as_deref(), &rows)?)
}

/// Each layer counts once, however many images have it.
fn images(root: &Root, details: &mut Vec<String>) -> Result<Sum, cli::Failure> {
    let used: Vec<Digest> = root.users()?.into_iter().filter_map(|user| user.image_id).collect();
    let mut layers: HashMap<ChainId, (u64, bool)> = HashMap::new();
    let mut sum = Sum::default();
    let mut table = cli::table::Table::new(["REPOSITORY", "TAG", "IMAGE ID", "SIZE", "CONTAINERS"]);
    for image in root.images()? {
        sum.count += 1;
        let containers = used.iter().filter(|id| **id == image.id).count();
        sum.active += usize::from(containers > 0);
        let mut whole = 0;
        for chain in root.configuration(&image.id)?.chain_ids()? {
            let bytes = root.layer(&chain)?.map_or(0, |layer| layer.size_bytes);
            whole += bytes;
            layers.entry(chain).or_insert((bytes, false)).1 |= containers > 0;
        }
        let name = image
            .names
            .first()
            .map(|(name, _)| (name.familiar_repository(), name.tag().unwrap_or_default().to_owned()));
        let (repository, tag) = name.unwrap_or_else(|| ("<none>".into(), "<none>".into()));
        table.push([repository, tag, engine::images::short(&image.id), human::size(whole), containers.to_string()]);
    }
    sum.bytes = layers.values().map(|(bytes, _)| bytes).sum();
    sum.free_bytes = layers.values().filter(|(_, used)| !used).map(|(bytes, _)| bytes).sum();
    details.push(format!("Images space usage:\n\n{}", table.render()));
    Ok(sum)
}

fn containers(root: &Root, details: &mut Vec<String>) -> Result<Sum, cli::Failure> {
    let mut sum = Sum::default();
    let mut table = cli::table::Table::new(["CONTAINER ID", "IMAGE", "SIZE", "STATUS", "NAMES"]);
    for record in root.containers()? {
        let Ok(state) = life::state(root, &record.id) else { continue };
        let bytes = life::size::written(root, &record.id);
        let active = matches!(state.status, Status::Running | Status::Paused | Status::Restarting);
        sum.count += 1;
        sum.bytes += bytes;
        if active {
            sum.active += 1;
        } else {
            sum.free_bytes += bytes;
        }
        let status = super::ps::state_word(state.status).to_owned();
        table.push([
            record.id.short().to_owned(),
            record.image.clone(),
            human::size(bytes),
            status,
            record.name.clone(),
        ]);
    }
    details.push(format!("\nContainers space usage:\n\n{}", table.render()));
    Ok(sum)
}
