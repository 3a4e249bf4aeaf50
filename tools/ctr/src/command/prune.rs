//! `ctr container prune`: removes all containers that do not run.

use super::Context;
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::life::Site;
use engine::life::prune::{self, Which};
use std::io::BufRead;

/// Options of `ctr container prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those for which it holds: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let which = which(&args.filter)?;
    if !args.force && !confirmed("This will remove all stopped containers.")? {
        return Ok(0);
    }
    let (told, freed_bytes) = containers(&which, context)?;
    let gap = if told.is_empty() { "" } else { "\n" };
    super::print(&format!("{told}{gap}Total reclaimed space: {}\n", human::size(freed_bytes)))
}

/// Removes them; what is told of it, and how many bytes that freed.
pub(crate) fn containers(which: &Which, context: &Context) -> Result<(String, u64), Failure> {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    engine::life::settle(&root, &place, &own)?;
    let pruned = prune::prune(site, which)?;
    let mut told = String::new();
    if !pruned.removed.is_empty() {
        told = format!("Deleted Containers:\n{}\n", pruned.removed.join("\n"));
    }
    Ok((told, pruned.freed_bytes))
}

/// Asks as docker does, on standard output; only `y` means yes.
pub(crate) fn confirmed(warning: &str) -> Result<bool, Failure> {
    asked(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))
}

/// Asks with these words.
pub(crate) fn asked(words: &str) -> Result<bool, Failure> {
    super::print(words)?;
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    Ok(line.trim().eq_ignore_ascii_case("y"))
}

/// Reads the filters that prunings have.
pub(crate) fn which(filters: &[String]) -> Result<Which, Failure> {
    let mut which = Which::default();
    for filter in filters.iter().filter(|filter| !filter.is_empty()) {
        let (key, value) = filter.split_once('=').ok_or_else(|| super::filter::malformed(filter, "--filter"))?;
        let label = || super::filter::label(value);
        match key.trim().to_lowercase().as_str() {
            "until" => which.until = Some(super::filter::moment(value)?),
            "label" => which.labels.push(label()),
            "label!" => which.not_labels.push(label()),
            _ => return Err(super::filter::unknown(key).hint("until=, label= and label!= are known")),
        }
    }
    Ok(which)
}
