//! `ctr stats`: what is shown is what is used.

use crate::lab::Lab;
use nix::pty::{Winsize, openpty};
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};
use testkit::need;

/// A percentage as it is printed.
fn percent(text: &str) -> f64 {
    text.trim().trim_end_matches('%').parse().unwrap_or_else(|_| panic!("{text:?}"))
}

#[test]
fn numbers_are_what_is_used() {
    need!(root, overlay);
    let lab = Lab::new();
    let hog = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo up; sleep 1000 & sleep 1000 & while :; do :; done";
    lab.ok(["run", "-d", "--name", "busy", "-m", "64m", "--cpus", "0.5", "host", "sh", "-c", hog]);
    let id = lab.ok(["run", "-d", "--name", "idle", "host", "sleep", "1000"]);
    lab.ok(["create", "--name", "still", "host", "true"]);
    assert!(Lab::within(Duration::from_secs(60), || lab.ok(["logs", "busy"]) == "up\n"));
    let line =
        lab.ok(["stats", "--no-stream", "--format", "{{.CPUPerc}}|{{.MemUsage}}|{{.MemPerc}}|{{.PIDs}}", "busy"]);
    let cells: Vec<&str> = line.trim().split('|').collect();
    // A busy machine gives it less, its quota never more.
    assert!(percent(cells[0]) > 2.0 && percent(cells[0]) < 75.0, "{line}");
    assert!(cells[1].ends_with(" / 64MiB") && cells[1].contains("MiB /"), "{line}");
    assert!(percent(cells[2]) > 25.0 && percent(cells[2]) < 60.0, "{line}");
    assert_eq!(cells[3], "3", "{line}");

    let table = lab.ok(["stats", "--no-stream"]);
    let head = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT";
    assert!(table.starts_with(head), "{table}");
    assert!(table.contains("idle") && table.contains("busy") && !table.contains("still"), "{table}");
    let all = lab.ok(["stats", "-a", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.MemUsage}}"]);
    assert!(all.contains(&format!("{} idle ", id.trim())) && all.contains(" still 0B / 0B\n"), "{all}");
    let line = lab.ok(["stats", "--no-stream", "--format", "json", "idle"]);
    let value: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!((&value["Name"], &value["Container"], &value["PIDs"]), (&"idle".into(), &"idle".into(), &"1".into()));
    assert_eq!(value["NetIO"], "0B / 0B");
    let said = lab.said(["stats", "--no-stream", "nobody"]);
    assert_eq!((said.code, said.err.lines().next()), (1, Some("ctr: No such container: nobody")), "{said:?}");
    let said = lab.said(["stats", "--no-stream", "--format", "{{.Nope}}", "idle"]);
    assert_ne!(said.code, 0, "{said:?}");
}

#[test]
fn the_table_is_drawn_again_over_itself() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["run", "-d", "--name", "first", "host", "sleep", "1000"]);
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).expect("a terminal");
    let mut command = lab.ctr(["stats"]);
    let mut child = command.stdout(Stdio::from(pty.slave)).stderr(Stdio::null()).spawn().expect("ctr runs");
    drop(command);
    rustix::io::ioctl_fionbio(&pty.master, true).expect("non-blocking");
    let mut terminal = std::fs::File::from(pty.master);
    let mut seen = String::new();
    let mut until = |done: &dyn Fn(&str) -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        while !done(&seen) && Instant::now() < end {
            let mut bytes = [0; 4096];
            match terminal.read(&mut bytes) {
                Ok(n) if n > 0 => seen.push_str(&String::from_utf8_lossy(&bytes[..n])),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        (done(&seen), seen.clone())
    };
    let frames = |seen: &str| seen.matches("\x1b[H").count();
    let (good, seen_now) = until(&|seen| frames(seen) >= 2 && seen.contains("first"));
    assert!(good, "{seen_now:?}");
    // Who comes and goes meanwhile is shown and shown no more.
    lab.ok(["run", "-d", "--name", "second", "host", "sleep", "1000"]);
    let (good, seen_now) = until(&|seen| seen.contains("second"));
    assert!(good, "{seen_now:?}");
    lab.ok(["rm", "-f", "second"]);
    let gone = |seen: &str| {
        let whole: Vec<&str> = seen.split("\x1b[H").collect();
        whole.len() > 2 && !whole[whole.len() - 2].contains("second") && whole[whole.len() - 2].contains("first")
    };
    let (good, seen_now) = until(&gone);
    let _ = child.kill();
    let _ = child.wait();
    assert!(good, "{seen_now:?}");
    assert!(seen_now.contains("\x1b[K") && seen_now.contains("\x1b[J"), "{seen_now:?}");
}
