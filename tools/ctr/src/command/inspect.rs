//! `ctr inspect`: everything that is known of containers and images, as docker's JSON and in docker's order.

use super::Context;
use crate::format::{BAD_TEMPLATE, Template, Value, json as text, shape::Shape};
use cli::failure::{Failure, Outcome};
use serde_json::Value as Json;
use store::Root;

mod container;
mod host_config;
mod network;
mod shapes;

/// Options of `ctr inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    pub(super) size: bool,
    /// Only inspect objects of the given type: container or image
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// What kinds of things there are to inspect, in docker's words.
const KINDS: [&str; 10] =
    ["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];

/// `ctr container inspect`.
pub(crate) fn containers(mut args: Args, context: &Context) -> Outcome {
    args.kind = Some("container".into());
    run(args, context)
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let kind = args.kind.as_deref();
    if let Some(other) = kind.filter(|kind| !KINDS.contains(kind)) {
        let known: Vec<String> = KINDS.iter().map(|kind| format!("\"{kind}\"")).collect();
        let what = if other.is_empty() { "type is empty".into() } else { format!("unknown type: {other:?}") };
        return Err(Failure::new(format!("{what}: must be one of {}", known.join(", "))));
    }
    let root = context.store()?;
    show(args.format.as_deref(), &args.names, |name| match kind {
        None => match container::find(&root, context, name, args.size) {
            // docker: what can be no image's name is nobody's
            Err(None) => image(&root, name).map_err(|e| {
                e.filter(|_| name.parse::<spec::Reference>().is_ok()).unwrap_or_else(|| no_such("object", name))
            }),
            found => found.map_err(|e| e.unwrap_or_else(|| no_such("object", name))),
        },
        Some("container") => container::find(&root, context, name, args.size)
            .map_err(|e| e.unwrap_or_else(|| no_such("container", name))),
        Some("image") => image(&root, name).map_err(|e| e.unwrap_or_else(|| no_image(name))),
        Some("network") => Err(Failure::new(format!("network {name} not found"))
            .hint("netwire network inspect shows the networks there are")),
        Some("volume") => Err(Failure::new(format!("get {name}: no such volume"))),
        Some(other) => Err(Failure::new(format!("{other} {name} not found"))),
    })
}

/// Shows what `find` gives for each name: docker's rule for all commands that inspect. What is not found is told after
/// what was.
pub(crate) fn show(
    format: Option<&str>,
    names: &[String],
    find: impl Fn(&str) -> Result<(Json, &'static Shape), Failure>,
) -> Outcome {
    let template = match format {
        None | Some("") => None,
        Some("json") => Some(None),
        Some(text) => Some(Some(Template::parse(text).map_err(|f| f.code(BAD_TEMPLATE))?)),
    };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    let mut printed = String::new();
    for name in names {
        let (json, shape) = match find(name) {
            Ok(found) => found,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        match &template {
            None => found.push(text::ordered(&json, shape, Some(1))),
            Some(None) => found.push(text::ordered(&json, shape, None)),
            Some(Some(template)) => match template.render_shaped(&Value::shaped(shape, &json), &json) {
                Ok(text) => printed += &(text + "\n"),
                Err(failure) => failures.push(failure),
            },
        }
    }
    let all = match template {
        None if found.is_empty() => "[]\n".into(),
        None => format!("[\n    {}\n]\n", found.join(",\n    ")),
        Some(None) => format!("[{}]\n", found.join(",")),
        Some(Some(_)) if printed.is_empty() => "\n".into(),
        Some(Some(_)) => printed,
    };
    super::print(&all)?;
    let last = failures.pop();
    failures.iter().for_each(|failure| failure.report("ctr"));
    last.map_or(Ok(0), Err)
}

fn no_such(what: &str, name: &str) -> Failure {
    Failure::new(format!("No such {what}: {name}")).hint("ctr ps -a and ctr images list what there is")
}

/// docker: the daemon's words in the client's.
pub(crate) fn no_image(name: &str) -> Failure {
    let tagged = if name.rsplit('/').next().is_some_and(|last| last.contains([':', '@'])) { "" } else { ":latest" };
    Failure::new(format!("no such image: {name}: No such image: {name}{tagged}"))
        .hint("ctr images lists those there are")
}

/// An image with its shape; none where there is no such image.
pub(crate) fn image(root: &Root, name: &str) -> Result<(Json, &'static Shape), Option<Failure>> {
    match engine::images::inspect_json(root, name) {
        Ok(json) => Ok((json, &shapes::IMAGE)),
        Err(e) if e.kind == store::Kind::NotFound => Err(None),
        Err(e) => Err(Some(e.into())),
    }
}
