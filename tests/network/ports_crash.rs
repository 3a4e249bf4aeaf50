//! `kill -9` at any point of `publish` and `unpublish`: the same command again, or the container's detach, makes everything
//! whole.

use crate::killed::{Victim, sweep};
use crate::lab::Lab;
use crate::publishing::{at, attach, tcp};
use crate::wiring::Wiring;
use testkit::need;

const PORTS: &str = "8080:80 127.0.0.1:8081:80 0.0.0.0:8082:82/udp 9000-9003:1-4";

fn prepared(lab: &Lab) {
    lab.outside();
    for name in ["c1", "c2"] {
        lab.container(name);
        attach(Wiring::Netwire, lab, name, &[]);
    }
    lab.netwire("publish --id c2 8090:80 198.51.100.1:8081:80");
    std::fs::write("/run/rules", lab.ruleset()).expect("written");
}

/// Only the other container's ports are there, and lead to it.
#[track_caller]
fn as_prepared(lab: &Lab, what: &str) {
    assert_eq!(lines(&lab.ruleset()), lines(&std::fs::read_to_string("/run/rules").expect("read")), "{what}");
    assert_eq!(lab.netwire("publish --list").lines().count(), 2, "{what}");
    assert!(tcp(lab, "outside", at("198.51.100.1:8090"), "c2", 80).is_some(), "{what}");
}

/// The rule set, line by line without order, since elements are shown in that of a hash.
fn lines(rules: &str) -> Vec<String> {
    let words =
        |line: &str| line.trim().trim_start_matches("elements = { ").trim_end_matches([',', '}', ' ']).to_owned();
    let mut lines: Vec<String> = rules.lines().map(words).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines
}

#[test]
fn publish_is_finished_by_publish() {
    need!(root, "ip", "strace", "nft");
    sweep(&Victim::of(&format!("publish --id c1 {PORTS}")), prepared, |lab, what| {
        lab.netwire(&format!("publish --id c1 {PORTS}"));
        assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_some(), "{what}");
        assert!(tcp(lab, "", at("127.0.0.1:8081"), "c1", 80).is_some(), "{what}");
        assert_eq!(lab.netwire("publish --list --id c1").lines().count(), 7, "{what}");
        lab.netwire("unpublish --id c1");
        as_prepared(lab, what);
    });
}

#[test]
fn publish_is_undone_by_detach() {
    need!(root, "ip", "strace", "nft");
    sweep(&Victim::of(&format!("publish --id c1 {PORTS}")), prepared, |lab, what| {
        // Refused, since 8090 is another's, which must keep it.
        let _ = lab.command("publish --id c1 8090:1").output();
        lab.netwire("detach --network bridge --id c1");
        as_prepared(lab, what);
    });
}

#[test]
fn unpublish_is_finished_by_unpublish() {
    need!(root, "ip", "strace", "nft");
    let prepare = |lab: &Lab| {
        prepared(lab);
        lab.netwire(&format!("publish --id c1 {PORTS}"));
    };
    sweep(&Victim::of("unpublish --id c1"), prepare, |lab, what| {
        lab.netwire("unpublish --id c1");
        as_prepared(lab, what);
        assert_eq!(lab.netwire("publish --list --id c1"), "", "{what}");
    });
}
