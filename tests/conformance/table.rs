//! sentences.tsv: each normative sentence of the specification, and what is done about it.
//!
//! Seven columns: number; document; section; level (`property` for a field that `create` has to apply); the sentence, shortened;
//! the cases, by commas, or `none: why`; a note. A note that begins with `newer` says since when the sentence stands, where that
//! is after the references were made; one that begins with `departs` says what both of them do instead. Cases named with `vm: `
//! need the one tree of cgroup v2.

use std::collections::{BTreeMap, BTreeSet};

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its number, for messages.
    pub(crate) number: &'static str,
    /// What covers it.
    pub(crate) cover: Cover,
    /// Whether the references need not follow it.
    pub(crate) beyond_references: bool,
}

/// What is done about a sentence.
#[derive(Debug)]
pub(crate) enum Cover {
    /// These cases.
    Cases(Vec<&'static str>),
    /// There is none, with the reason.
    None(&'static str),
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let lines = include_str!("sentences.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &'static str) -> Row {
    let fields: Vec<&str> = line.split('\t').collect();
    let [number, _document, _section, _level, sentence, cover, note] = fields[..] else {
        panic!("sentences.tsv: seven columns, not {}: {line}", fields.len());
    };
    assert!(!sentence.is_empty() && !cover.is_empty(), "sentences.tsv: nothing covers {number}");
    let cover = match cover.strip_prefix("none: ") {
        Some(why) => Cover::None(why),
        None => Cover::Cases(cover.split(',').map(|name| name.trim().trim_start_matches("vm: ")).collect()),
    };
    Row { number, cover, beyond_references: note.starts_with("newer") || note.starts_with("departs") }
}

/// The cases that need not hold on any reference: all their rows say so.
pub(crate) fn beyond_references() -> BTreeSet<&'static str> {
    let mut all: BTreeMap<&str, bool> = BTreeMap::new();
    for row in rows() {
        if let Cover::Cases(cases) = &row.cover {
            for case in cases {
                *all.entry(case).or_insert(true) &= row.beyond_references;
            }
        }
    }
    all.into_iter().filter_map(|(case, beyond)| beyond.then_some(case)).collect()
}

/// What does not fit between the table and the cases, a line each.
pub(crate) fn misfits(cases: &BTreeSet<String>) -> Vec<String> {
    let mut misfits = Vec::new();
    let (mut named, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for row in rows() {
        if !numbers.insert(row.number) {
            misfits.push(format!("{} is there twice", row.number));
        }
        match row.cover {
            Cover::None(why) if why.len() < 10 => misfits.push(format!("{}: {why:?} is no reason", row.number)),
            Cover::None(_) => {}
            Cover::Cases(names) => {
                for name in names {
                    if !cases.contains(name) {
                        misfits.push(format!("{}: there is no case {name}", row.number));
                    }
                    named.insert(name);
                }
            }
        }
    }
    let unnamed = cases.iter().filter(|case| !named.contains(case.as_str()));
    misfits.extend(unnamed.map(|case| format!("no sentence for the case {case}")));
    misfits
}
