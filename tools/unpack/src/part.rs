//! `--include` and `--exclude`, as every verb has them: only part of a layer.

use cli::Failure;
use layer::select::Select;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// As typed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PartArgs {
    /// Only what fits PATTERN, from the layer's root on, and all below it (as tar -x --wildcards PATTERN); can be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<OsString>,

    /// Nothing that fits PATTERN, from the layer's root or any slash on, nor what is below it (as tar --exclude); can be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
}

impl PartArgs {
    pub(crate) fn select(&self) -> Result<Select, Failure> {
        let bytes = |patterns: &[OsString]| patterns.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
        for (option, patterns) in [("--include", &self.include), ("--exclude", &self.exclude)] {
            if patterns.iter().any(|p| p.is_empty()) {
                return Err(Failure::usage(format_args!("{option}: an empty pattern fits nothing")));
            }
        }
        Ok(Select::new(&bytes(&self.include), &bytes(&self.exclude)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pattern_is_refused() {
        let part = |include: &[&str], exclude: &[&str]| {
            let words = |of: &[&str]| of.iter().map(OsString::from).collect();
            PartArgs { include: words(include), exclude: words(exclude) }.select().map_err(|f| f.message)
        };
        assert!(part(&[], &[]).is_ok_and(|select| select.is_everything()));
        assert_eq!(part(&["a", ""], &[]).unwrap_err(), "--include: an empty pattern fits nothing");
        assert_eq!(part(&["a"], &[""]).unwrap_err(), "--exclude: an empty pattern fits nothing");
    }
}
