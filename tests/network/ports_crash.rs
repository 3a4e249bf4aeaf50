//! `kill -9` at every system call of `publish` and `unpublish` that changes something; the same command again, or the
//! container's detach, makes everything whole.

use crate::crash::killed_at;
use crate::lab::{Lab, lab};
use crate::publishing::{at, attach, tcp};
use crate::wiring::Wiring;
use testkit::need;

const PORTS: &str = "8080:80 127.0.0.1:8081:80 0.0.0.0:8082:82/udp 9000-9003:1-4";

fn prepared(lab: &Lab) -> String {
    lab.outside();
    for name in ["c1", "c2"] {
        lab.container(name);
        attach(Wiring::Netwire, lab, name, &[]);
    }
    lab.netwire("publish --id c2 8090:80 198.51.100.1:8081:80");
    lab.ruleset()
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
fn publish_killed_anywhere_is_finished_by_publish() {
    need!(root, "ip", "strace", "nft");
    let mut points = 0;
    for n in 1..200 {
        let mut through = false;
        lab(|lab| {
            let before = prepared(lab);
            through = !killed_at(lab, n, &format!("publish --id c1 {PORTS}"));
            lab.netwire(&format!("publish --id c1 {PORTS}"));
            assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_some(), "killed at {n}");
            assert!(tcp(lab, "", at("127.0.0.1:8081"), "c1", 80).is_some(), "killed at {n}");
            assert_eq!(lab.netwire("publish --list --id c1").lines().count(), 7, "killed at {n}");
            lab.netwire("unpublish --id c1");
            assert_eq!(lines(&lab.ruleset()), lines(&before), "killed at {n}");
        });
        if through {
            points = n - 1;
            break;
        }
    }
    assert!(points >= 6, "only {points} points");
}

#[test]
fn publish_killed_anywhere_is_undone_by_detach() {
    need!(root, "ip", "strace", "nft");
    for n in 1..200 {
        let mut through = false;
        lab(|lab| {
            let before = prepared(lab);
            // Refused in the end: 8090 is another's, which must keep it.
            let line =
                if n % 2 == 0 { format!("publish --id c1 {PORTS}") } else { format!("publish --id c1 {PORTS} 8090:1") };
            through = !killed_at(lab, n, &line);
            lab.netwire("detach --network bridge --id c1");
            assert_eq!(lines(&lab.ruleset()), lines(&before), "killed at {n}");
            assert_eq!(lab.netwire("publish --list").lines().count(), 2, "killed at {n}");
            assert!(tcp(lab, "outside", at("198.51.100.1:8090"), "c2", 80).is_some(), "killed at {n}");
        });
        if through && n % 2 == 0 {
            return;
        }
    }
    panic!("it never came through");
}

#[test]
fn unpublish_killed_anywhere_is_finished_by_unpublish() {
    need!(root, "ip", "strace", "nft");
    for n in 1..200 {
        let mut through = false;
        lab(|lab| {
            let before = prepared(lab);
            lab.netwire(&format!("publish --id c1 {PORTS}"));
            through = !killed_at(lab, n, "unpublish --id c1");
            lab.netwire("unpublish --id c1");
            assert_eq!(lines(&lab.ruleset()), lines(&before), "killed at {n}");
            assert_eq!(lab.netwire("publish --list --id c1"), "", "killed at {n}");
        });
        if through {
            return;
        }
    }
    panic!("it never came through");
}
