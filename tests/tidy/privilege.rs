//! docs/privilege.md and the tests of tests/escape: each test is named there with the defence that it shows to be needed, and each
//! name there is a test. And the build without defences stays out of the product.

use crate::source::{files, root, rust_files};
use std::collections::BTreeSet;

/// The test functions of tests/escape, as `module::test`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in rust_files().iter().filter(|f| f.path.starts_with("tests/escape/")) {
        let lines: Vec<&str> = file.text.lines().collect();
        for pair in lines.windows(2) {
            if pair[0] == "#[test]"
                && let Some(name) = pair[1].strip_prefix("fn ").and_then(|l| l.split('(').next())
            {
                found.insert(format!("{}::{name}", file.name().trim_end_matches(".rs")));
            }
        }
    }
    found
}

#[test]
fn every_test_of_an_escape_is_named_in_the_chapter_on_privilege() {
    let text = std::fs::read_to_string(root().join("docs/privilege.md")).expect("docs/privilege.md");
    let section = text.split("\n## Known escapes").nth(1).expect("a section on known escapes");
    let section = section.split("\n## ").next().unwrap_or(section);
    let named: BTreeSet<String> = section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|w| w.contains("::cve") || w.contains("::escape"))
        .map(str::to_owned)
        .collect();
    let tests = tests();
    let missing = named.difference(&tests).map(|t| format!("docs/privilege.md: `{t}` is no test of tests/escape"));
    let unnamed = tests.difference(&named).map(|t| format!("tests/escape: {t} is not named in docs/privilege.md"));
    crate::none(missing.chain(unnamed).collect());
}

#[test]
fn nothing_that_is_shipped_is_built_without_defences() {
    let allowed = ["lib/runtime/Cargo.toml", "tests/escape/weak/Cargo.toml"];
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.name() == "Cargo.toml" && !allowed.contains(&f.path.as_str())) {
        for (at, line) in file.text.lines().enumerate() {
            if line.contains("weak\"") || line.contains("all-features") {
                findings.push(format!("{}:{}: `{line}`: only tests/escape/weak turns that on", file.path, at + 1));
            }
        }
    }
    let of_runtime = std::fs::read_to_string(root().join("lib/runtime/Cargo.toml")).expect("lib/runtime/Cargo.toml");
    if of_runtime.contains("default = [") {
        findings.push("lib/runtime/Cargo.toml: features on by default; name them where they are wanted".to_owned());
    }
    crate::none(findings);
}
