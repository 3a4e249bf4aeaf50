//! Where output is kept: drivers, rotation, what is told besides, and what a killed supervisor leaves of it.

use crate::lab::{Lab, SOON};
use std::path::PathBuf;
use testkit::need;

fn folder(lab: &Lab) -> PathBuf {
    lab.root().join("containers").join(lab.field("box", "{{.Id}}"))
}

fn run(lab: &Lab, options: &[&str], script: &str) {
    lab.ok([&["run", "--name", "box"], options, &["host", "sh", "-c", script]].concat());
}

/// The numbers in the log, which have to be a row without a gap or a repetition.
#[track_caller]
fn row(lab: &Lab) -> std::ops::Range<u64> {
    let text = lab.ok(["logs", "box"]);
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().expect("a whole line")).collect();
    let (first, next) = (numbers.first().copied().unwrap_or(0), numbers.last().map_or(0, |last| last + 1));
    assert_eq!(numbers, (first..next).collect::<Vec<_>>());
    first..next
}

#[test]
fn rotated_logs_are_read_whole() {
    need!(root, overlay);
    for driver in ["json-file", "local"] {
        for compress in ["false", "true"] {
            let lab = Lab::new();
            let compress = format!("compress={compress}");
            let options = [
                "--log-driver",
                driver,
                "--log-opt",
                "max-size=16k",
                "--log-opt",
                "max-file=1000",
                "--log-opt",
                &compress,
            ];
            run(&lab, &options, "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done");
            assert_eq!(row(&lab), 0..5000, "{driver} {compress}");
            let kept = if driver == "local" { folder(&lab).join("local-logs") } else { folder(&lab) };
            let names = || {
                let entries = std::fs::read_dir(&kept).expect("a folder").flatten();
                let names = entries.filter_map(|e| e.file_name().into_string().ok());
                names.filter(|name| name.contains("log.")).collect::<Vec<_>>()
            };
            assert!(names().len() > 4, "{:?}", names());
            if compress.ends_with("true") {
                assert!(
                    Lab::within(SOON, || names().iter().filter(|name| name.ends_with(".gz")).count() > 2),
                    "{:?}",
                    names()
                );
                assert_eq!(row(&lab), 0..5000, "compressed");
            }
        }
    }
}

#[test]
fn a_log_does_not_grow_beyond_its_bounds() {
    need!(root, overlay);
    let lab = Lab::new();
    run(
        &lab,
        &["--log-opt", "max-size=8k", "--log-opt", "max-file=2"],
        "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done",
    );
    let kept = row(&lab);
    assert!(kept.end == 3000 && kept.start > 2000, "{kept:?}");
}

#[test]
fn a_supervisor_killed_while_it_rotates_loses_and_doubles_no_line() {
    need!(root, overlay);
    for compress in ["false", "true"] {
        let lab = Lab::new();
        let compress = format!("compress={compress}");
        let options = ["-d", "--log-opt", "max-size=4k", "--log-opt", "max-file=2000", "--log-opt", &compress];
        run(&lab, &options, "i=0; while :; do echo $i; i=$((i+1)); done");
        assert!(Lab::within(SOON, || folder(&lab)
            .join(format!("{}-json.log.5", lab.field("box", "{{.Id}}")))
            .exists()
            || folder(&lab).join(format!("{}-json.log.5.gz", lab.field("box", "{{.Id}}"))).exists()));
        lab.kill_supervisor("box");
        let kept = row(&lab);
        assert!(kept.start == 0 && kept.end > 200, "{kept:?}");
        lab.ok(["rm", "-f", "box"]);
    }
}

#[test]
fn none_keeps_nothing_and_says_so() {
    need!(root, overlay);
    let lab = Lab::new();
    let said = lab.said(["run", "--name", "box", "--log-driver", "none", "host", "echo", "seen"]);
    assert_eq!((said.out.as_str(), said.code), ("seen\n", 0), "who is attached sees it");
    let said = lab.said(["logs", "box"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("configured logging driver does not support reading"), "{said:?}");
    let names: Vec<_> = std::fs::read_dir(folder(&lab)).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("-json.log")), "{names:?}");
}

#[test]
fn what_is_told_besides() {
    need!(root, overlay);
    let lab = Lab::new();
    let options = [
        "--log-opt",
        "tag={{.Name}}/{{.ID}}",
        "--log-opt",
        "labels=a,b",
        "--log-opt",
        "env=E",
        "-e",
        "E=1",
        "-e",
        "F=2",
    ];
    run(&lab, &[&options[..], &["--label", "a=x", "--label", "c=y"]].concat(), "echo out");
    let id = lab.field("box", "{{.Id}}");
    let line = std::fs::read_to_string(folder(&lab).join(format!("{id}-json.log"))).expect("a log");
    let entry: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(entry["attrs"], serde_json::json!({"E": "1", "a": "x", "tag": format!("box/{}", &id[..12])}));
    assert_eq!((&entry["log"], &entry["stream"]), (&"out\n".into(), &"stdout".into()));
}

/// A journal of the test's own, in a mount namespace: `journald` listens where it always does.
const JOURNAL: &str = r#"
mkdir -p /run/systemd /run/log /var/log/journal
for folder in /run/systemd /run/log /var/log/journal; do mount -t tmpfs none $folder || exit 99; done
/lib/systemd/systemd-journald 2> /dev/null & journald=$!
trap 'kill $journald; wait $journald' EXIT
tries=0; until [ -S /run/systemd/journal/socket ]; do sleep 0.1; tries=$((tries + 1)); [ $tries -lt 600 ] || exit 98; done
ctr() { "$CTR" "$@"; }
until_() { tries=0; until eval "$1"; do sleep 0.1; tries=$((tries + 1)); [ $tries -lt 600 ] || { echo "never: $1"; exit 97; }; done; }
ctr run --name box --log-driver journald --log-opt tag=mine --label l=x --log-opt labels=l host \
    bash -c 'echo out; echo err >&2; printf "two\nlines\n"; exit 3' > /dev/null 2>&1
echo "code $?"
until_ '[ $(journalctl -q -o cat CONTAINER_NAME=box | wc -l) = 4 ]'
journalctl -q -o cat CONTAINER_NAME=box CONTAINER_TAG=mine L=x _TRANSPORT=journal PRIORITY=3
ctr logs box 2>&1 | sort
echo "tail $(ctr logs --tail 2 box 2>&1 | wc -l) $(ctr logs -n 0 box 2>&1)"
# one that is followed: what comes is shown as it comes, and nobody asks again and again for it
mkdir "$PLACE/bin" && printf '#!/bin/sh\necho asked >> %s/asked\nexec %s "$@"\n' "$PLACE" "$(command -v journalctl)" > "$PLACE/bin/journalctl"
chmod 755 "$PLACE/bin/journalctl"
ctr run -d --name on --log-driver journald host bash -c 'for i in 1 2 3; do echo $i; sleep 0.3; done; sleep 1000' > /dev/null
PATH=$PLACE/bin:$PATH ctr logs -f on > "$PLACE/followed" & follower=$!
until_ '[ $(wc -l < "$PLACE/followed") = 3 ]'
sleep 2
echo "asked $(wc -l < "$PLACE/asked")"
ctr stop -t 0 on > /dev/null; wait $follower
cat "$PLACE/followed"
ctr rm -f box on > /dev/null
"#;

#[test]
fn a_journal_has_it_all_and_gives_it_back() {
    need!(root, overlay, "unshare", "journalctl");
    let lab = Lab::new();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", JOURNAL]).stdin(std::process::Stdio::null()).env("CTR", env!("CARGO_BIN_EXE_ctr"));
    command.env("PLACE", lab.path());
    lab.environment(&mut command);
    let said = crate::lab::Said::from(command.output().expect("unshare"));
    assert_eq!(said.out, "code 3\nerr\nerr\nlines\nout\ntwo\ntail 2 \nasked 3\n1\n2\n3\n", "{said:?}");
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_machine_without_a_journal_refuses_it() {
    need!(root, overlay, "unshare");
    let lab = Lab::new();
    let script = r#"mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && exec "$CTR" run --log-driver journald host true"#;
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).stdin(std::process::Stdio::null()).env("CTR", env!("CARGO_BIN_EXE_ctr"));
    lab.environment(&mut command);
    let said = crate::lab::Said::from(command.output().expect("unshare"));
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.err.contains("failed to initialize logging driver: journald is not enabled on this host"), "{said:?}");
    assert_eq!(lab.ok(["ps", "-aq"]), "", "nothing half made");
}
