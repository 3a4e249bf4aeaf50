//! `ctr images`: docker's listing of the store's images. The built-in image `host` is not in the store and not listed.

use super::{Context, pattern};
use crate::format::Listing;
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::images::{Summary, short, summaries};
use serde_json::{Value, json};

/// Options of `ctr images`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all images (there are no intermediate ones to hide)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Only images for which KEY=VALUE holds: dangling=true|false, label=NAME[=VALUE], reference=PATTERN
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format by fields: 'table {{.Repository}}', '{{.ID}}', 'json'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Only show ids
    #[arg(short, long)]
    quiet: bool,
    /// Only images of this repository, with this tag; * and ? stand for any characters
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

const HEADINGS: [(&str, &str); 9] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
    ("Containers", "CONTAINERS"),
];

const NONE: &str = "<none>";
/// docker's word for members one below the other.
const RAW: &str = "raw";

pub(crate) fn run(mut args: Args, context: &Context) -> Outcome {
    let asked = args.format.filter(|format| !format.is_empty());
    let configured = || context.config().text("imagesFormat").filter(|_| !args.quiet).map(str::to_owned);
    args.format = asked.or_else(configured);
    let _ = args.all;
    let filters = super::filter::pairs(&args.filter, "-f, --filter")?;
    let filters = filters.iter().map(|(key, value)| Filter::read(key, value)).collect::<Result<Vec<_>, _>>()?;
    let pattern = args.name.map(Filter::Reference);
    let filters: Vec<Filter> = filters.into_iter().chain(pattern).collect();
    let root = context.store()?;
    let filters = filters.into_iter().map(|filter| filter.settled(&root)).collect::<Result<Vec<_>, _>>()?;
    let mut images = summaries(&root)?;
    // docker: one of several references, all else together
    let (references, others): (Vec<&Filter>, Vec<&Filter>) =
        filters.iter().partition(|filter| matches!(filter, Filter::Reference(_)));
    let named = |image: &Summary| references.is_empty() || references.iter().any(|filter| filter.fits(image));
    images.retain(|image| named(image) && others.iter().all(|filter| filter.fits(image)));
    if args.quiet && matches!(args.format.as_deref(), None | Some("table" | RAW)) {
        let before = if args.format.as_deref() == Some(RAW) { "image_id: " } else { "" };
        let ids = images.iter().map(|i| if args.no_trunc { i.id.to_string() } else { short(&i.id) });
        return super::print(&ids.map(|id| format!("{before}{id}\n")).collect::<String>());
    }
    if args.format.as_deref() == Some(RAW) {
        let digest = if args.digests { "digest: {{.Digest}}\n" } else { "" };
        args.format = Some(format!(
            "repository: {{{{.Repository}}}}\ntag: {{{{.Tag}}}}\n{digest}image_id: {{{{.ID}}}}\n\
             created_at: {{{{.CreatedAt}}}}\nvirtual_size: {{{{.Size}}}}\n"
        ));
    }
    let now = jiff::Timestamp::now();
    let rows: Vec<Value> = images.iter().map(|image| row(image, now, args.no_trunc)).collect();
    let standard = if args.digests {
        r"{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
    } else {
        r"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
    };
    let listing = Listing { kind: "*formatter.imageContext", standard, headings: &HEADINGS };
    super::print(&listing.show(args.format.as_deref(), &rows)?)
}

/// A row for each image there is, with its id, under the first of its names.
pub(super) fn rows(root: &store::Root, no_trunc: bool) -> Result<Vec<(spec::Digest, Value)>, Failure> {
    let now = jiff::Timestamp::now();
    let mut all: Vec<Summary> = Vec::new();
    for image in summaries(root)? {
        match all.iter_mut().find(|other| other.id == image.id) {
            Some(other) if (&image.repository, &image.tag) < (&other.repository, &other.tag) => *other = image,
            Some(_) => {}
            None => all.push(image),
        }
    }
    Ok(all.iter().map(|image| (image.id, row(image, now, no_trunc))).collect())
}

fn row(image: &Summary, now: jiff::Timestamp, no_trunc: bool) -> Value {
    let created = image.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let since = created.map_or("N/A".into(), |at| human::ago(now.as_second() - at.as_second()));
    let at = created.map_or("N/A".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string());
    json!({
        "Repository": image.repository.as_deref().unwrap_or(NONE),
        "Tag": image.tag.as_deref().unwrap_or(NONE),
        "Digest": image.digest,
        "ID": if no_trunc { image.id.to_string() } else { short(&image.id) },
        "CreatedSince": since,
        "CreatedAt": at,
        "Size": human::size(image.size_bytes),
        "VirtualSize": human::long(image.size_bytes),
        "Containers": "N/A",
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
    })
}

/// Which images are shown.
#[derive(Debug, PartialEq)]
enum Filter {
    Dangling(bool),
    Label(String, Option<String>),
    Reference(String),
    /// Made before that moment, or the image of that name.
    Before(Option<jiff::Timestamp>, String),
    /// Made after it.
    Since(Option<jiff::Timestamp>, String),
}

impl Filter {
    fn read(key: &str, value: &str) -> Result<Self, Failure> {
        Ok(match (key, value) {
            ("dangling", "true" | "1") => Self::Dangling(true),
            ("dangling", "false" | "0") => Self::Dangling(false),
            ("dangling", other) => return Err(super::filter::invalid("dangling", &format!("[{other}]"))),
            ("label", text) => {
                let (name, value) = super::filter::label(text);
                Self::Label(name, value)
            }
            ("reference", pattern) if !pattern::is_pattern(pattern) => {
                return Err(
                    Failure::new("syntax error in pattern").hint("* ? and [a-z] stand for others, \\ takes that away")
                );
            }
            ("reference", pattern) => Self::Reference(pattern.into()),
            ("until", time) => Self::Before(Some(super::filter::moment(time)?), String::new()),
            ("before", image) => Self::Before(None, image.into()),
            ("since", image) => Self::Since(None, image.into()),
            _ => {
                return Err(
                    super::filter::unknown(key).hint("before, dangling, label, reference, since and until are known")
                );
            }
        })
    }

    /// The same with the moments of the images it names.
    fn settled(self, root: &store::Root) -> Result<Self, Failure> {
        let moment = |name: &str| -> Result<Option<jiff::Timestamp>, Failure> {
            let image = root.find_image(name)?;
            let created = root.configuration(&image.id)?.parsed.created().clone();
            Ok(created.and_then(|text| text.parse().ok()))
        };
        Ok(match self {
            Self::Before(None, name) => Self::Before(moment(&name)?, name),
            Self::Since(None, name) => Self::Since(moment(&name)?, name),
            other => other,
        })
    }

    fn fits(&self, image: &Summary) -> bool {
        match self {
            Self::Dangling(wanted) => image.repository.is_none() == *wanted,
            Self::Label(name, value) => match image.labels.get(name) {
                Some(found) => value.as_deref().is_none_or(|v| found.as_str() == Some(v)),
                None => false,
            },
            Self::Before(moment, _) => created(image).zip(*moment).is_some_and(|(at, limit)| at < limit),
            Self::Since(moment, _) => created(image).zip(*moment).is_some_and(|(at, limit)| at > limit),
            Self::Reference(pattern) => match (&image.repository, &image.tag) {
                (Some(repository), Some(tag)) => named(pattern, repository, tag),
                _ => false,
            },
        }
    }
}

fn created(image: &Summary) -> Option<jiff::Timestamp> {
    image.created.as_deref()?.parse().ok()
}

/// Whether `repository:tag`, in the form people write, is meant by `pattern`.
fn named(pattern: &str, repository: &str, tag: &str) -> bool {
    let familiar = pattern.parse::<spec::Reference>().map(|name| name.familiar());
    let pattern = familiar.as_deref().unwrap_or(pattern);
    pattern::matches(pattern, repository) || pattern::matches(pattern, &format!("{repository}:{tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_names() {
        for (pattern, fits) in [
            ("debian", true),
            ("debian:12", true),
            ("docker.io/library/debian", true),
            ("deb*", true),
            ("*:12", true),
            ("d?bian", true),
            ("debian:13", false),
            ("deb", false),
            ("x/*", false),
        ] {
            assert_eq!(named(pattern, "debian", "12"), fits, "{pattern}");
        }
        assert!(named("localhost/*", "localhost/app", "1"));
        assert!(!named("*", "localhost/app", "1"));
    }

    #[test]
    fn filters_are_read() {
        assert_eq!(Filter::read("label", "a=b=c").unwrap(), Filter::Label("a".into(), Some("b=c".into())));
        assert_eq!(Filter::read("since", "x").unwrap(), Filter::Since(None, "x".into()));
        assert!(Filter::read("nosuch", "x").is_err());
    }
}
