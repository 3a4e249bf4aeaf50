//! docs/unpack.md names every option there is, and no other; each sentence of the contract is named by a test.

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

#[test]
fn every_sentence_of_the_contract_has_a_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let contracts = std::fs::read_to_string(root.join("docs/contracts.md")).unwrap();
    let sentences = contracts.lines().filter_map(|l| l.strip_prefix("- **U")?.split("**").next()?.parse::<u32>().ok());
    let mut named = BTreeSet::new();
    let folders = ["tests/layer", "lib/layer/src/pipeline"].map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    for file in folders.into_iter().flatten() {
        let path = file.unwrap().path();
        let text = if path.is_file() { std::fs::read_to_string(path).unwrap() } else { String::new() };
        for line in text.lines().filter(|l| l.trim_start().starts_with("//") && l.contains("ontract ")) {
            let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
            let number = |word: &&str| word.strip_prefix('U').and_then(|n| n.parse::<u32>().ok());
            named.extend(words.iter().filter_map(number));
            for range in words.windows(3).filter(|w| w[1] == "to") {
                if let (Some(from), Some(to)) = (number(&range[0]), number(&range[2])) {
                    named.extend(from..=to);
                }
            }
        }
    }
    let unnamed: Vec<u32> = sentences.filter(|n| !named.contains(n)).collect();
    assert!(unnamed.is_empty(), "no test says `contract U…` of {unnamed:?}");
}
