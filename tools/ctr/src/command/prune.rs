//! `ctr container prune`: removes all containers that do not run.

use super::{Context, filter};
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::life::Site;
use engine::life::prune::{self, Which};
use std::collections::BTreeSet;
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
    read(&filter::pairs(filters, "--filter")?)
}

/// The same of filters as [`filter::pairs`] gives them.
pub(crate) fn read(filters: &[(String, String)]) -> Result<Which, Failure> {
    let all = |wanted: &'static str| filters.iter().filter(move |(key, _)| key == wanted).map(|(_, value)| value);
    if let Some((key, _)) = filters.iter().find(|(key, _)| !matches!(key.as_str(), "until" | "label" | "label!")) {
        return Err(filter::unknown(key).hint("until=, label= and label!= are known"));
    }
    // docker: the same moment twice is one
    let until: BTreeSet<&String> = all("until").collect();
    if until.len() > 1 {
        return Err(Failure::new("more than one until filter specified")
            .hint("the earliest says it all: what was made before that was made before the others"));
    }
    let until = until.first().map(|moment| filter::moment(moment)).transpose()?;
    let labels = |key| all(key).map(|text| filter::label(text)).collect();
    Ok(Which { until, labels: labels("label"), not_labels: labels("label!") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_prunings() {
        let of = |texts: &[&str]| which(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let read = of(&["until=1700000000", "label=a=b", "label=c", "label!=d", ""]).unwrap();
        assert_eq!(read.until.map(|t| t.as_second()), Some(1_700_000_000));
        assert_eq!((read.labels.len(), read.not_labels), (2, vec![("d".to_owned(), None)]));
        assert!(of(&["until=5", "until=5"]).is_ok());
        for (texts, want) in [
            (&["until=5", "until=6"][..], "more than one until filter specified"),
            (&["until=x", "until=6"], "more than one until filter specified"),
            (&["until=5", "until=6", "nosuch=x"], "Invalid filter 'nosuch'"),
            (&["until=x"], "failed to parse value as time or duration: \"x\""),
        ] {
            assert_eq!(of(texts).unwrap_err().message, want, "{texts:?}");
        }
    }
}
