//! `ctr top`: the processes of a container.

use super::Context;
use cli::failure::Outcome;
use engine::life::{Site, top};

/// Options of `ctr top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    container: String,
    /// Options of ps(1) [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ps OPTIONS")]
    options: Vec<String>,
}

/// docker's table here: at least so many characters a column, and so many blanks between two.
const LEAST: usize = 20;
const GAP: usize = 3;

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    let listing = top::top(site, &root.find_container(&args.container)?, &args.options)?;
    let rows = || std::iter::once(&listing.titles).chain(&listing.rows);
    let widest = |column: usize| rows().filter_map(|row| Some(row.get(column)?.chars().count() + GAP)).max();
    let widths: Vec<usize> = (0..listing.titles.len()).map(|column| widest(column).unwrap_or(0).max(LEAST)).collect();
    let mut text = String::new();
    for row in rows() {
        let (last, before) = row.split_last().map_or(("", &row[..]), |(last, before)| (last, before));
        for (cell, width) in before.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.push_str(last);
        text.push('\n');
    }
    super::print(&text)
}
