//! Groups, limits, device lists and freezing on this machine's own hierarchies, v1 or v2. Every group is below
//! `/veneer-test-…` and is removed, with what is in it, when its guard goes.

use runtime::cgroup::{Cgroup, ChainLimits, Options};
use runtime::devices::{DeviceList, Rules};
use rustix::process::Signal;
use spec::runtime::LinuxResources;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use testkit::need;

/// A container's groups, removed whatever happens.
struct Held(Cgroup);

impl Held {
    /// Groups named after the test.
    fn new(name: &str, resources: serde_json::Value) -> Self {
        let path = format!("/veneer-test-{}-{name}/id", std::process::id());
        let resources: LinuxResources = serde_json::from_value(resources).expect("resources");
        Self(Cgroup::create(&path, Some(&resources), &Options::default()).expect("create"))
    }

    /// A shell that runs inside. Where v1 lets a thread enter alone one does and starts it, for what a thread starts is where it
    /// is; v2 moves whole processes, so there the shell itself enters.
    fn start(&self, script: &str) -> Child {
        let entrance = self.0.entrance(false).expect("entrance");
        let mut shell = Command::new("sh");
        let enter = match self.0.folders().next() {
            Some(folder) if !self.0.needs_entering() => format!("echo 0 > {}/cgroup.procs\n", folder.display()),
            _ => String::new(),
        };
        shell.args(["-c", &format!("{enter}{script}")]);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !enter.is_empty() {
            return shell.spawn().expect("sh");
        }
        let child = std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                entrance.enter().expect("enter");
                shell.spawn().expect("sh")
            });
            inside.join().expect("started")
        });
        out_of(&self.0);
        child
    }

    fn run(&self, script: &str) -> Output {
        self.start(script).wait_with_output().expect("sh")
    }
}

/// Waits until no thread of ours is in the groups: one that has been joined is there for another moment, and as long as it is, whoever
/// kills what is in the groups kills us.
fn out_of(groups: &Cgroup) {
    let me = std::process::id() as i32;
    eventually("our thread has left", || !groups.processes().expect("processes").contains(&me));
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill_and_remove().expect("kill and remove");
        for folder in self.0.folders() {
            assert!(!folder.exists(), "{} is left", folder.display());
            assert!(!folder.parent().is_some_and(Path::exists), "the parent of {} is left", folder.display());
        }
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The state letter of a process, `None` where there is none.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}

const DOCKER: fn() -> serde_json::Value = || serde_json::json!({ "devices": spec::defaults::device_rules() });

#[test]
fn a_loop_device_made_with_mknod_cannot_be_opened_but_null_can() {
    need!(root);
    let held = Held::new("devices", DOCKER());
    assert_eq!(*held.0.devices(), DeviceList::Enforced);
    let dir = tempfile::tempdir_in("/dev/shm").expect("folder");
    let script = format!(
        "mknod {0}/loop b 7 0 && mknod {0}/null c 1 3 && echo made
         head -c0 {0}/null && echo null opens
         head -c0 {0}/loop || echo loop does not
         mknod {0}/kmsg c 1 11 && head -c0 {0}/kmsg || echo kmsg does not",
        dir.path().display()
    );
    let output = held.run(&script);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out, "made\nnull opens\nloop does not\nkmsg does not\n", "{err}");
    assert!(err.contains("Operation not permitted"), "{err}");
    // Outside it can: the refusal is the list's.
    let outside = Command::new("head").args(["-c0", &format!("{}/kmsg", dir.path().display())]).output().expect("head");
    assert!(outside.status.success(), "{outside:?}");
}

#[test]
fn on_v2_a_program_keeps_the_device_list() {
    need!(root);
    let Some(root) =
        ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter().find(|r| Path::new(r).join("cgroup.procs").exists())
    else {
        return;
    };
    /// A v2 group of this test alone.
    struct Folder(std::path::PathBuf);
    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir(&self.0).expect("rmdir");
        }
    }
    let group = Folder(Path::new(root).join(format!("veneer-test-{}-bpf", std::process::id())));
    std::fs::create_dir(&group.0).expect("mkdir");
    Rules::of(&spec::defaults::device_rules()).expect("rules").attach_v2(&group.0).expect("attach");
    let dir = tempfile::tempdir_in("/dev/shm").expect("folder");
    let script = format!(
        "echo 0 > {group}/cgroup.procs
         mknod {0}/loop b 7 0 && mknod {0}/null c 1 3 && echo made
         head -c0 {0}/null && echo null opens
         head -c0 {0}/loop || echo loop does not",
        dir.path().display(),
        group = group.0.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out, "made\nnull opens\nloop does not\n", "{err}");
}

#[test]
fn limits_hold() {
    need!(root);
    let few = Held::new("pids", serde_json::json!({ "pids": { "limit": 3 } }));
    let little = Held::new("memory", serde_json::json!({ "memory": { "limit": 33554432, "swap": 33554432 } }));
    let output = few.run("for n in 1 2 3; do sleep 1 > /dev/null 2>&1 & done");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("fork") && !output.status.success(), "{err}");
    // tail keeps all of what it is asked for.
    let output = little.run("head -c 200m /dev/zero | tail -c 200m | wc -c");
    assert_ne!(String::from_utf8_lossy(&output.stdout).trim(), "209715200");
}

#[test]
fn limits_are_where_the_kernel_shows_them() {
    need!(root);
    let cpu = serde_json::json!({ "shares": 512, "quota": 50000, "period": 100000, "cpus": "0" });
    let held = Held::new("shown", serde_json::json!({ "cpu": cpu, "pids": { "limit": 20 } }));
    let expected: &[(&str, &str, &str)] = if held.0.needs_entering() {
        &[("cpu", "cpu.shares", "512"), ("cpu", "cpu.cfs_quota_us", "50000"), ("cpuset", "cpuset.cpus", "0")]
    } else {
        &[("cpu", "cpu.weight", "59"), ("cpu", "cpu.max", "50000 100000"), ("cpuset", "cpuset.cpus", "0")]
    };
    for (controller, file, value) in expected.iter().chain(&[("pids", "pids.max", "20")]) {
        assert_eq!(held.0.read(controller, file).expect("read").trim(), *value, "{file}");
    }
    let mut child = held.start("exec sleep 60");
    eventually("it is inside", || held.0.processes().expect("processes").contains(&(child.id() as i32)));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
fn limits_of_a_running_container_change_both_ways() {
    need!(root);
    let mut held = Held::new("update", serde_json::json!({ "memory": { "limit": 67108864, "swap": 67108864 } }));
    let mut update = |limit: i64| {
        let resources = serde_json::json!({ "memory": { "limit": limit, "swap": limit } });
        held.0.update(&serde_json::from_value(resources).expect("resources")).expect("update");
        let file = if held.0.needs_entering() { "memory.limit_in_bytes" } else { "memory.max" };
        held.0.read("memory", file).expect("read").trim().to_owned()
    };
    assert_eq!(update(134_217_728), "134217728");
    assert_eq!(update(33_554_432), "33554432");
}

#[test]
fn freezing_stops_all_and_killing_a_frozen_one_ends_it() {
    need!(root);
    let held = Held::new("freeze", DOCKER());
    let mut child = held.start("sleep 60 & while :; do :; done");
    eventually("two processes", || held.0.processes().expect("processes").len() == 2);
    held.0.freeze().expect("freeze");
    assert!(held.0.is_frozen());
    // Frozen by v1 it counts as waiting for a disk, by v2 as asleep.
    assert!(matches!(state(child.id()), Some('D' | 'S')));
    held.0.thaw().expect("thaw");
    eventually("runs again", || state(child.id()) == Some('R'));
    held.0.freeze().expect("freeze");
    held.0.kill_and_remove().expect("kill and remove");
    assert_eq!(child.wait().expect("wait").signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn a_cgroup_is_found_again_from_what_was_stored() {
    need!(root);
    let held = Held::new("stored", DOCKER());
    let stored = serde_json::to_string(&held.0).expect("serialises");
    let found: Cgroup = serde_json::from_str(&stored).expect("parses");
    assert_eq!(serde_json::to_string(&found).expect("serialises"), stored);
    found.kill_and_remove().expect("remove");
    found.kill_and_remove().expect("removing what is gone is no error");
}

#[test]
fn groups_made_inside_go_with_it() {
    need!(root);
    let held = Held::new("nested", DOCKER());
    let folder = held.0.folder("freezer").or_else(|| held.0.folders().next()).expect("a group").to_owned();
    std::fs::create_dir_all(folder.join("a/b")).expect("mkdir");
    let mut child = held.start("exec sleep 60");
    std::fs::write(folder.join("a/b/cgroup.procs"), child.id().to_string()).expect("move");
    assert!(held.0.processes().expect("processes").contains(&(child.id() as i32)));
    held.0.kill_and_remove().expect("kill and remove");
    assert_eq!(child.wait().expect("wait").signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn a_group_with_processes_is_not_taken_over() {
    need!(root);
    let held = Held::new("taken", DOCKER());
    let mut child = held.start("exec sleep 60");
    eventually("it is inside", || !held.0.processes().expect("processes").is_empty());
    let path = format!("/veneer-test-{}-taken/id", std::process::id());
    let error = Cgroup::create(&path, None, &Options::default()).expect_err("taken");
    assert!(error.to_string().ends_with("the group exists and has processes in it"), "{error}");
    assert_eq!(held.0.processes().expect("processes"), [child.id() as i32]);
    child.kill().expect("kill");
    child.wait().expect("wait");
}

/// Two that make groups below one parent that is not there yet: who comes second finds it without processors.
#[test]
fn a_parent_somebody_is_still_making_is_in_nobodys_way() {
    need!(root);
    let parent = format!("/veneer-test-{}-shared", std::process::id());
    let folder = Path::new("/sys/fs/cgroup/cpuset").join(&parent[1..]);
    let half_made = Path::new("/sys/fs/cgroup/cpuset/cpuset.cpus").exists().then(|| HalfMade::new(folder));
    let options = Options { accounting: true, everywhere: true, ..Options::default() };
    let held = Cgroup::create(&format!("{parent}/id"), None, &options).expect("create");
    // By a thread alone where that can be: on v2 it would take all of us along, and there is nothing to wait for.
    let entered = std::thread::scope(|scope| {
        let enter = || if held.needs_entering() { held.entrance(false).expect("entrance").enter() } else { Ok(()) };
        scope.spawn(enter).join().expect("it ends")
    });
    out_of(&held);
    held.kill_and_remove().expect("remove");
    drop(half_made);
    entered.expect("entered");
}

/// A group of cpuset without processors, as it is for a moment when somebody makes it.
struct HalfMade(std::path::PathBuf);

impl HalfMade {
    fn new(folder: std::path::PathBuf) -> Self {
        std::fs::create_dir(&folder).expect("mkdir");
        Self(folder)
    }
}

impl Drop for HalfMade {
    fn drop(&mut self) {
        let gone = std::fs::remove_dir(&self.0);
        assert!(gone.is_ok() || std::thread::panicking(), "rmdir: {gone:?}");
    }
}

#[test]
fn a_limit_without_its_controller_is_an_error_that_names_it() {
    need!(root);
    // Mounted on no machine of today: neither v1 with its other controllers nor v2 has it.
    let resources = serde_json::json!({ "network": { "classID": 7 } });
    let resources: LinuxResources = serde_json::from_value(resources).expect("resources");
    let path = format!("/veneer-test-{}-net/id", std::process::id());
    let Err(error) = Cgroup::create(&path, Some(&resources), &Options::default()) else { return };
    assert_eq!(error.to_string(), "set limit net_cls: no cgroup controller net_cls here");
    assert!(!Path::new("/sys/fs/cgroup/devices").join(&path[1..]).exists(), "nothing is left");
}

#[test]
fn a_limit_that_comes_late_has_its_group_made_and_everything_moved_in() {
    need!(root);
    let mut held = Held::new("late", DOCKER());
    let script = "sleep 60 & sleep 60 & while :; do (exit 3); done";
    let mut child = held.start(script);
    eventually("three processes", || held.0.processes().expect("processes").len() >= 3);
    let resources = serde_json::json!({ "pids": { "limit": 9 } });
    held.0.update(&serde_json::from_value(resources).expect("resources")).expect("update");
    assert_eq!(held.0.read("pids", "pids.max").expect("read").trim(), "9");
    let count = || held.0.read("pids", "pids.current").expect("read").trim().parse::<u32>().expect("a number");
    eventually("all are counted", || count() >= 3);
    held.0.account().expect("account");
    assert!(held.0.accounts().expect("accounts"));
    held.0.kill_and_remove().expect("kill and remove");
    child.wait().expect("wait");
}

#[test]
fn a_chain_has_a_group_while_it_runs() {
    need!(root);
    let path = format!("/veneer-test-{}-chain/a", std::process::id());
    let limits = ChainLimits { pids: Some(5), memory_bytes: Some(64 << 20), millicpus: Some(500) };
    let group = runtime::cgroup::for_chain(Some(Path::new(&path)), &limits).expect("made");
    let found = || {
        let folders = ["memory", "unified", ""].map(|h| format!("/sys/fs/cgroup/{h}{path}"));
        folders.into_iter().any(|folder| Path::new(&folder).exists())
    };
    assert!(found());
    let again = runtime::cgroup::for_chain(Some(Path::new(&path)), &limits).expect_err("it exists");
    assert!(again.to_string().ends_with("the group exists: its limits are not ours to change"), "{again}");
    // Joined as it is, it is not removed by who joined it.
    drop(runtime::cgroup::for_chain(Some(Path::new(&path)), &ChainLimits::default()).expect("joined"));
    assert!(found());
    if group.directory().expect("directory").is_none() {
        let shown = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                group.enter().expect("enter");
                let output = Command::new("cat").arg("/proc/self/cgroup").output().expect("cat");
                String::from_utf8(output.stdout).expect("text")
            });
            inside.join().expect("joined")
        });
        assert!(shown.lines().any(|line| line.contains("memory") && line.ends_with(&path)), "{shown}");
    }
    group.remove().expect("removed");
    assert!(!found());
}
