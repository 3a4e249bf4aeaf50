//! Listings: rows by `--format`, which is a template, `table TEMPLATE`, `table`, `json`, or nothing.

use super::{Template, Value, json};
use cli::failure::Failure;
use cli::table;
use serde_json::Value as Json;

/// A listing of one kind of thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    /// Go's name of docker's type behind a row, which error texts tell: `*formatter.ContainerContext`.
    pub(crate) kind: &'static str,
    /// The template of the plain table, columns apart by `\t`.
    pub(crate) standard: &'a str,
    /// What a field is called at the head of a column.
    pub(crate) headings: &'a [(&'a str, &'a str)],
}

impl Listing<'_> {
    /// The whole text for `rows`; a format that is empty is none, as in docker. A row's member `Label`, a map, is what `.Label "key"` looks into.
    pub(crate) fn show(&self, format: Option<&str>, rows: &[Json]) -> Result<String, Failure> {
        let format = format.filter(|format| !format.is_empty()).unwrap_or("table");
        if format == "json" {
            let line = |row| json::compact(&Value::row(self.kind, row)) + "\n";
            return Ok(rows.iter().map(line).collect());
        }
        let (is_table, source) = match format.strip_prefix("table") {
            Some("") => (true, self.standard),
            Some(rest) => (true, rest),
            None => (false, format),
        };
        let template = Template::of_listing(source)?;
        let mut text = String::new();
        if is_table {
            text = template.on(&Value::headings(self.headings)).unwrap_or_default() + "\n";
        }
        for row in rows {
            text += &template.on(&Value::row(self.kind, row))?;
            text.push('\n');
        }
        Ok(if is_table { table::align(&text) } else { text })
    }
}

/// Go's name of a row of containers.
pub(crate) const CONTAINER: &str = "*formatter.ContainerContext";

/// A listing of containers' kind.
pub(crate) fn list(
    format: Option<&str>,
    standard: &str,
    headings: &[(&str, &str)],
    rows: &[Json],
) -> Result<String, Failure> {
    Listing { kind: CONTAINER, standard, headings }.show(format, rows)
}
