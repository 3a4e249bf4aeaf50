//! docs/semantics.md and the tests it names: `module::test` in backquotes behind `Tests:`, the module being a file below
//! `tests/`, and above a test the heading that names it, `/// semantics: hard links`.

use crate::source::{File, root, rust_files};
use std::collections::{BTreeMap, BTreeSet};

/// Names of tests by heading, in lower case.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("docs/semantics.md")).expect("docs/semantics.md");
    let mut named = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (heading, body) = section.split_once('\n').expect("text below a heading");
        let tests = body.split("\nTests: ").skip(1).flat_map(|list| list.split('`').skip(1).step_by(2));
        let tests: BTreeSet<String> = tests.filter(|name| name.contains("::")).map(str::to_owned).collect();
        named.insert(heading.to_lowercase(), tests);
    }
    named
}

/// The tests of a file as `module::test`, each with the lines of documentation above it.
fn tests_of(file: &File) -> Vec<(String, String)> {
    let module = file.name().trim_end_matches(".rs");
    let mut found = Vec::new();
    let mut words = String::new();
    let mut is_test = false;
    for line in file.text.lines() {
        if let Some(comment) = line.strip_prefix("///") {
            words += comment;
            words.push('\n');
        } else if line == "#[test]" {
            is_test = true;
        } else if !line.starts_with("#[") {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = rest.split('(').next().unwrap_or(rest);
                found.push((format!("{module}::{name}"), words.clone()));
            }
            is_test = false;
            words.clear();
        }
    }
    found
}

#[test]
fn semantics_name_tests_that_exist_and_all_tests_of_the_union() {
    let named = named();
    let all: BTreeSet<&String> = named.values().flatten().collect();
    let mut there = BTreeSet::new();
    let mut findings = Vec::new();
    for file in rust_files().iter().filter(|f| f.path.starts_with("tests/")) {
        for (test, words) in tests_of(file) {
            if file.path.starts_with("tests/union/") && !all.contains(&test) {
                findings.push(format!("{}: docs/semantics.md does not name {test}; add it to a paragraph", file.path));
            }
            for heading in words.lines().filter_map(|line| line.trim().strip_prefix("semantics: ")) {
                if !named.get(heading).is_some_and(|tests| tests.contains(&test)) {
                    findings.push(format!("{}: {test} is not named below `{heading}` of docs/semantics.md", file.path));
                }
            }
            there.insert(test);
        }
    }
    let missing = all.into_iter().filter(|test| !there.contains(*test));
    findings.extend(missing.map(|test| format!("docs/semantics.md: there is no test {test}")));
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
