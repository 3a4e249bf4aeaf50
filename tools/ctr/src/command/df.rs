//! `ctr system df`: what takes room.

use super::Context;
use crate::format::shape::{ANY, Layout, Shape, of};
use crate::format::{CONTAINER, Listing, Template, Value as Shown};
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

/// Go's names of what `--verbose` shows, and its members one below the other.
const IMAGE: &str = "*formatter.imageContext";
static USAGE: Shape = Shape::Struct(&PARTS);
static PARTS: Layout = Layout {
    name: "formatter.diskUsageContext",
    fields: &[of("Images", ROWS), of("Containers", ROWS), of("Volumes", ROWS), of("BuildCache", ROWS)],
};
/// Rows know themselves what they are.
const ROWS: &Shape = &Shape::List(ROW);
const ROW: &Shape = &Shape::Pointer(ANY);
const MEMBERS: &str = "{{range .Images}}type: Image\nrepository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n\
    created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n\n{{end -}}\n{{range .Containers}}type: Container\n\
    container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\n\
    status: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\nsize: {{.Size}}\n\n\
    {{end -}}\n";

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
    let format = args.format.as_deref().filter(|format| !format.is_empty());
    if args.verbose {
        return in_detail(&root, format);
    }
    let (images, containers) = (Images::of(&root)?.sum, containers(&root)?);
    let nothing = Sum::default();
    let rows =
        [("Images", &images), ("Containers", &containers), ("Local Volumes", &nothing), ("Build Cache", &nothing)];
    let rows: Vec<Value> = rows.iter().map(|(kind, sum)| sum.row(kind)).collect();
    let listing = Listing { kind: "*formatter.diskUsageImagesContext", standard: STANDARD, headings: &HEADINGS };
    let format = format.map(|format| if format == "raw" { RAW } else { format });
    super::print(&listing.show(format, &rows)?)
}

/// `--verbose`: what takes how much. docker shortens only in tables, and tells of a container what it wrote itself.
fn in_detail(root: &Root, format: Option<&str>) -> Outcome {
    let format = format.unwrap_or("table");
    let template = format.strip_prefix("table");
    let whole = template.is_none();
    let (images, containers) = (Images::of(root)?.rows(root, whole)?, super::ps::written(root, whole)?);
    if template == Some("") {
        let table = |columns: &[(&str, &str)], rows: &[Value]| {
            let mut table = Table::new(columns.iter().map(|(heading, _)| *heading));
            for row in rows {
                table.push(columns.iter().map(|(_, name)| row[name].as_str().unwrap_or_default()));
            }
            table.render()
        };
        return super::print(&format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: 0B\n\n{}",
            table(&IMAGES, &images),
            table(&CONTAINERS, &containers),
            table(&[("VOLUME NAME", ""), ("LINKS", ""), ("SIZE", "")], &[]),
            table(&CACHE, &[]),
        ));
    }
    let list = |kind, rows: &[Value]| Shown::List(ROW, Some(rows.iter().map(|row| Shown::row(kind, row)).collect()));
    let all = [list(IMAGE, &images), list(CONTAINER, &containers), list("", &[]), list("", &[])];
    let source = match template.unwrap_or(format) {
        "json" => "{{json .}}",
        "raw" => MEMBERS,
        other => other,
    };
    let all = Shown::Pointer(&USAGE, Some(Box::new(Shown::Struct(&PARTS, all.into()))));
    Template::of_listing(source)?.print("", &all, "")
}

/// What images take.
#[derive(Debug, Default)]
struct Images {
    sum: Sum,
    of: HashMap<Digest, Share>,
}

/// What one image takes.
#[derive(Debug)]
struct Share {
    /// In layers that other images have too.
    shared_bytes: u64,
    /// In others.
    own_bytes: u64,
    containers: usize,
}

impl Images {
    /// Each layer counts once, however many images have it.
    fn of(root: &Root) -> Result<Self, cli::Failure> {
        let used: Vec<Digest> = root.users()?.into_iter().filter_map(|user| user.image_id).collect();
        // of each layer its bytes, whether a container uses it, and how many images have it
        let mut layers: HashMap<ChainId, (u64, bool, usize)> = HashMap::new();
        let mut all = Self::default();
        let mut parts = Vec::new();
        for image in root.images()? {
            all.sum.count += 1;
            let containers = used.iter().filter(|id| **id == image.id).count();
            all.sum.active += usize::from(containers > 0);
            let chains = root.configuration(&image.id)?.chain_ids()?;
            for chain in &chains {
                let bytes = root.layer(chain)?.map_or(0, |layer| layer.size_bytes);
                let layer = layers.entry(*chain).or_insert((bytes, false, 0));
                (layer.1, layer.2) = (layer.1 | (containers > 0), layer.2 + 1);
            }
            parts.push((image.id, chains, containers));
        }
        all.sum.bytes = layers.values().map(|(bytes, ..)| bytes).sum();
        all.sum.free_bytes = layers.values().filter(|(_, used, _)| !used).map(|(bytes, ..)| bytes).sum();
        for (id, chains, containers) in parts {
            let of = |chain: &ChainId| layers.get(chain).copied().unwrap_or_default();
            let (shared, own): (Vec<_>, Vec<_>) = chains.iter().map(of).partition(|(.., images)| *images > 1);
            let sum = |layers: Vec<(u64, bool, usize)>| layers.into_iter().map(|(bytes, ..)| bytes).sum();
            all.of.insert(id, Share { shared_bytes: sum(shared), own_bytes: sum(own), containers });
        }
        Ok(all)
    }

    /// A row an image, under the first of its names.
    fn rows(&self, root: &Root, whole: bool) -> Result<Vec<Value>, cli::Failure> {
        let mut rows = super::images::rows(root, whole)?;
        for (id, row) in &mut rows {
            let Some(share) = self.of.get(id) else { continue };
            // docker does not look for one here
            row["Digest"] = "".into();
            row["SharedSize"] = human::long(share.shared_bytes).into();
            row["UniqueSize"] = human::long(share.own_bytes).into();
            row["Containers"] = share.containers.to_string().into();
        }
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
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
