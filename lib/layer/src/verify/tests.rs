//! What is remembered and said, without a directory.

use super::paths::{Findings, Paths};
use super::*;

#[test]
fn a_later_entry_of_the_same_name_counts() {
    let mut findings = Findings::default();
    findings.change(b"a", "mode", "0600", "0644");
    findings.change(b"a", "content", "", "");
    findings.add(b"a/b", Difference::Missing);
    findings.add(b"a.c", Difference::Missing);
    findings.add(b"", Difference::Changed(Vec::new()));
    findings.forget(b"a", true);
    findings.add(b"new\nline", Difference::Extra);
    let lines: Vec<String> = findings.sorted().iter().map(Differs::to_string).collect();
    assert_eq!(lines, ["changed .: ", "missing a.c", "extra new\\nline"]);
}

#[test]
fn changes_of_one_path_are_one_line() {
    let mut findings = Findings::default();
    findings.change(b"a", "mode", "0600", "0644");
    findings.change(b"a", "content", "", "");
    assert_eq!(findings.sorted()[0].to_string(), "changed a: mode 0600 (layer: 0644), content");
}

#[test]
fn more_differences_than_are_kept_are_counted() {
    let mut findings = Findings::default();
    for n in 0..DIFFERENCES_KEPT + 5 {
        findings.add(n.to_string().as_bytes(), Difference::Extra);
    }
    assert_eq!(findings.more, 5);
    let mut paths = Paths::default();
    assert!(paths.insert(b"a") && !paths.insert(b"a") && paths.has(b"a") && !paths.has(b"b"));
}
