//! docs/unpack.md names every option there is, and no other.

use crate::bench::Bench;
use std::collections::BTreeSet;

#[test]
fn the_reference_has_every_option() {
    let bench = Bench::new();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/unpack.md")).unwrap();
    let (_, table) = document.split_once("<!-- options: begin -->").unwrap();
    let (table, _) = table.split_once("<!-- options: end -->").unwrap();
    let rows: String =
        table.lines().filter_map(|l| l.strip_prefix("| `")?.split(" |").next()).collect::<Vec<_>>().join(" ");
    let help = bench.sh("$UNPACK --help");
    // Only where an option stands at the start, or is another's alias: the rest speaks of tar's.
    let own = |line: &&str| line.trim_start().starts_with('-') || line.contains("[alias");
    let listed: String = help.lines().filter(own).map(|l| format!("{l}\n")).collect();
    let missing: Vec<String> = options(&listed).difference(&options(&rows)).cloned().collect();
    assert!(missing.is_empty(), "not in docs/unpack.md: {missing:?}");
    let unknown: Vec<String> = options(&rows).difference(&options(&listed)).cloned().collect();
    assert!(unknown.is_empty(), "only in docs/unpack.md: {unknown:?}");
    for verb in ["pack", "verify"] {
        assert!(help.contains(&format!("unpack {verb} [OPTIONS]")), "{help}");
        assert!(bench.sh(&format!("$UNPACK {verb} --help")).contains(&format!("unpack {verb}")));
    }
}

/// The long options in a text.
fn options(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.len() > 3 && word.starts_with("--") && word.as_bytes()[2].is_ascii_lowercase())
        .map(str::to_owned)
        .collect()
}
