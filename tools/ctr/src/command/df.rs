//! `ctr system df`: what takes room.

use super::Context;
use crate::format::{Listing, Template, Value as Shown};
use cli::failure::Outcome;
use cli::human;
use cli::table::Table;
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
/// docker's columns of `--verbose`, each with the member of a row that it shows.
const IMAGES: [(&str, &str); 8] = [
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
    ("SHARED SIZE", "SharedSize"),
    ("UNIQUE SIZE", "UniqueSize"),
    ("CONTAINERS", "Containers"),
];
const CONTAINERS: [(&str, &str); 8] = [
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("LOCAL VOLUMES", "LocalVolumes"),
    ("SIZE", "Size"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("NAMES", "Names"),
];
const CACHE: [(&str, &str); 7] = [
    ("CACHE ID", ""),
    ("CACHE TYPE", ""),
    ("SIZE", ""),
    ("CREATED", ""),
    ("LAST USED", ""),
    ("USAGE", ""),
    ("SHARED", ""),
];
const RAW: &str =
    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";
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
        let free = human::long(self.free_bytes);
        let share = (self.free_bytes * 100).checked_div(self.bytes);
        json!({
            "Type": kind,
            "TotalCount": self.count.to_string(),
            "Active": self.active.to_string(),
            "Size": human::long(self.bytes),
            "Reclaimable": share.map_or(free.clone(), |share| format!("{free} ({share}%)")),
        })
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    if args.verbose {
        return in_detail(&root, args.format.as_deref());
    }
    let (images, containers) = (images(&root)?.0, containers(&root)?);
    let nothing = Sum::default();
    let rows =
        [("Images", &images), ("Containers", &containers), ("Local Volumes", &nothing), ("Build Cache", &nothing)];
    let rows: Vec<Value> = rows.iter().map(|(kind, sum)| sum.row(kind)).collect();
    let listing = Listing { kind: "*formatter.diskUsageImagesContext", standard: STANDARD, headings: &HEADINGS };
    let format = args.format.as_deref().map(|format| if format == "raw" { RAW } else { format });
    super::print(&listing.show(format, &rows)?)
}

/// `--verbose`: what takes how much.
fn in_detail(root: &Root, format: Option<&str>) -> Outcome {
    let images = images(root)?.1;
    let containers = super::ps::measured(root)?;
    if let Some(format) = format.filter(|format| !matches!(*format, "" | "table" | "raw")) {
        let all = json!({ "Images": images, "Containers": containers, "Volumes": [], "BuildCache": [] });
        let whole = Template::parse(if format == "json" { "{{json .}}" } else { format })?;
        return super::print(&(whole.on(&Shown::row("*formatter.diskUsageContext", &all))? + "\n"));
    }
    let table = |columns: &[(&str, &str)], rows: &[Value]| {
        let mut table = Table::new(columns.iter().map(|(heading, _)| *heading));
        for row in rows {
            // of a container only what it wrote itself
            let cell = |name: &str| {
                row[name].as_str().unwrap_or_default().split(" (virtual").next().unwrap_or_default().to_owned()
            };
            table.push(columns.iter().map(|(_, name)| {
                if *name == "Size" { cell(name) } else { row[name].as_str().unwrap_or_default().to_owned() }
            }));
        }
        table.render()
    };
    super::print(&format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: 0B\n\n{}",
        table(&IMAGES, &images),
        table(&CONTAINERS, &containers),
        table(&[("VOLUME NAME", ""), ("LINKS", ""), ("SIZE", "")], &[]),
        table(&CACHE, &[]),
    ))
}

/// Each layer counts once, however many images have it. With a row of docker's for each image.
fn images(root: &Root) -> Result<(Sum, Vec<Value>), cli::Failure> {
    let used: Vec<Digest> = root.users()?.into_iter().filter_map(|user| user.image_id).collect();
    // of each layer its bytes, whether a container uses it, and how many images have it
    let mut layers: HashMap<ChainId, (u64, bool, usize)> = HashMap::new();
    let mut sum = Sum::default();
    let mut parts = HashMap::new();
    for image in root.images()? {
        sum.count += 1;
        let containers = used.iter().filter(|id| **id == image.id).count();
        sum.active += usize::from(containers > 0);
        let chains = root.configuration(&image.id)?.chain_ids()?;
        for chain in &chains {
            let bytes = root.layer(chain)?.map_or(0, |layer| layer.size_bytes);
            let layer = layers.entry(*chain).or_insert((bytes, false, 0));
            (layer.1, layer.2) = (layer.1 | (containers > 0), layer.2 + 1);
        }
        parts.insert(image.id, (chains, containers));
    }
    sum.bytes = layers.values().map(|(bytes, ..)| bytes).sum();
    sum.free_bytes = layers.values().filter(|(_, used, _)| !used).map(|(bytes, ..)| bytes).sum();
    let mut rows = super::images::rows(root)?;
    for (id, row) in &mut rows {
        let Some((chains, containers)) = parts.get(id) else { continue };
        let of = |chain: &ChainId| layers.get(chain).copied().unwrap_or_default();
        let whole: u64 = chains.iter().map(|chain| of(chain).0).sum();
        let shared: u64 = chains.iter().map(of).filter(|(.., images)| *images > 1).map(|(bytes, ..)| bytes).sum();
        row["SharedSize"] = human::size(shared).into();
        row["UniqueSize"] = human::size(whole - shared).into();
        row["Containers"] = containers.to_string().into();
    }
    Ok((sum, rows.into_iter().map(|(_, row)| row).collect()))
}

fn containers(root: &Root) -> Result<Sum, cli::Failure> {
    let mut sum = Sum::default();
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
    }
    Ok(sum)
}
