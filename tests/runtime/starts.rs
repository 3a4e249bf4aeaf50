//! Many starts in a row leave nothing: no mount, no process, no descriptor, no state, no group.
//!
//! `tests/long/starts.sh` does the same a thousand times, and looks at the kernel's memory as well.

use crate::bundle::{Bundle, runtimes, told};
use std::process::Command;
use testkit::need;

/// Runs "$@" $1 times in a mount and pid namespace of its own; what is there before and after, each in a line. Processes get two
/// seconds to end.
const SCRIPT: &str = r#"
n=$1; shift
counts() { set -- /proc/[0-9]*; echo "mounts $(wc -l </proc/self/mountinfo) processes $# fds $(ls /proc/$$/fd | wc -l)"; }
before=$(counts); echo "$before"
i=0; while [ $i -lt "$n" ]; do "$@" >/dev/null </dev/null || exit 1; i=$((i+1)); done
for i in 1 2 3 4 5 6 7 8 9 10; do after=$(counts); [ "$after" = "$before" ] && break; sleep 0.2; done
echo "$after""#;

#[test]
fn fifty_starts_in_a_row_leave_nothing() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let times = if runtime.name == "nsrun" { "50" } else { "5" };
        let bundle = Bundle::new("true", |_| {});
        let mut run = bundle.command(&runtime, "run");
        run.arg("--bundle").arg(bundle.folder()).arg(bundle.id());
        let mut command = Command::new("unshare");
        command.args(["-m", "-p", "-f", "--mount-proc", "--propagation", "private", "sh", "-c", SCRIPT, "sh", times]);
        let (out, err, code) = told(&command.arg(run.get_program()).args(run.get_args()).output().expect("starts"));
        assert_eq!(code, Some(0), "{}: {err}", runtime.name);
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() == 2 && lines[0] == lines[1], "{}: {out}", runtime.name);
        let state = std::fs::read_dir(bundle.folder().join("state")).expect("state").count();
        assert_eq!(state, 0, "{}: state is left", runtime.name);
        if runtime.name == "nsrun" {
            for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("hierarchies") {
                let group = hierarchy.expect("entry").path().join(bundle.id());
                assert!(!group.exists(), "{} is left", group.display());
            }
        }
    }
}

/// What waits for a program that takes its time gives back the memory that it can do without.
#[test]
fn a_long_wait_takes_little_memory() {
    need!(root);
    let line = ["--fork", "--kill-child", "sleep", "1000"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_nsrun")).args(line).spawn().expect("starts");
    let file = format!("/proc/{}/smaps_rollup", child.id());
    let resident_kb = || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.lines().find_map(|l| l.strip_prefix("Rss:"))?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let shrunk = |all: &[u64]| all.last().zip(all.first()).is_some_and(|(now, first)| now * 3 / 2 < *first);
    let mut all = Vec::new();
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        all.extend(resident_kb());
        if shrunk(&all) {
            break;
        }
    }
    child.kill().expect("a child");
    child.wait().expect("a child");
    assert!(shrunk(&all), "kB from one tenth of a second to the next: {all:?}");
}
