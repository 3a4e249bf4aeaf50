//! The runtime specification, sentence by sentence (version 1.2.1): each case runs on crun, runc and `nsrun`.
//!
//! sentences.tsv lists every MUST and SHOULD that binds a runtime, with the case that shows it or why there is none; [`table`]
//! compares it with the cases. A case is one function ([`case`]) that makes a [`container`] with the runtime it is given and looks
//! at what came of it. It fails the suite when it fails on `nsrun`, and when it fails on both references though the sentence is
//! no newer than they: then the case is wrong.
//!
//! `VENEER_CASES=word` runs those cases only whose name has the word in it.

mod bundle;
mod case;
mod cgroups;
mod container;
mod devices;
mod extensibility;
mod features;
mod ground;
mod hooks;
mod lifecycle;
mod mounts;
mod namespaces;
mod options;
mod process;
mod resources;
mod runtime;
mod runtime_linux;
mod seccomp;
mod state;
mod table;
mod terminal;
mod unified;

use case::{Case, Tree};
use ground::Ground;
use std::collections::BTreeSet;
use testkit::need;

fn all() -> Vec<Case> {
    let chapters = [
        lifecycle::cases(),
        state::cases(),
        runtime_linux::cases(),
        bundle::cases(),
        hooks::cases(),
        process::cases(),
        terminal::cases(),
        mounts::cases(),
        options::cases(),
        namespaces::cases(),
        devices::cases(),
        cgroups::cases(),
        resources::cases(),
        unified::cases(),
        seccomp::cases(),
        features::cases(),
        extensibility::cases(),
    ];
    chapters.into_iter().flatten().collect()
}

#[test]
fn every_sentence_has_its_case() {
    let cases = all();
    let names: BTreeSet<String> = cases.iter().map(|case| case.name.clone()).collect();
    assert_eq!(names.len(), cases.len(), "a name is given twice");
    let misfits = table::misfits(&names);
    assert!(misfits.is_empty(), "sentences.tsv and the cases differ:\n{}", misfits.join("\n"));
}

#[test]
fn the_sentences_hold() {
    need!(root, "crun", "runc", "busybox");
    let v1 = std::path::Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists();
    hold(|tree| tree == Tree::Any || (v1 && tree == Tree::V1));
}

/// What needs cgroup v2: in a virtual machine where this machine has none.
#[test]
fn the_sentences_on_cgroup_v2_hold() {
    need!(root, cgroup2, "crun", "runc", "busybox");
    hold(|tree| tree == Tree::V2);
}

fn hold(wanted: impl Fn(Tree) -> bool) {
    let word = std::env::var("VENEER_CASES").unwrap_or_default();
    let cases: Vec<Case> = all().into_iter().filter(|case| wanted(case.tree) && case.name.contains(&word)).collect();
    let beyond = table::beyond_references();
    let references = ["crun", "runc"];
    let doubtful = |case: &Case, outcome: &case::Outcome| {
        let fails = |name| outcome.get(name).is_some_and(|verdict| verdict.is_err());
        references.into_iter().all(fails) && !beyond.contains(case.name.as_str())
    };
    let outcomes = Ground::with(|ground| {
        let mut outcomes = case::run_all(ground, &cases);
        for (case, outcome) in cases.iter().zip(&mut outcomes).filter(|(case, outcome)| doubtful(case, outcome)) {
            // One of them may have failed by chance.
            let again = case::run_all(ground, std::slice::from_ref(case)).pop().unwrap_or_default();
            outcome.extend(again.into_iter().filter(|(name, _)| references.contains(name)));
        }
        outcomes
    });
    let mut wrong = Vec::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        if let Some(Err(why)) = outcome.get("nsrun") {
            wrong.push(format!("{}: nsrun: {why}", case.name));
        }
        if doubtful(case, &outcome) {
            wrong.push(format!(
                "{}: fails on both references, so it is wrong (or newer: say so in the table)",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
