//! config-linux.md, "Namespaces", user namespace mappings and offsets of clocks.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::runtime::until;
use crate::{cases, check};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

/// The types, and their names in /proc.
const TYPES: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases!["namespaces":
        not_named_are_the_runtimes,
        by_path_are_those,
        of_processes_by_path,
        a_path_is_absolute,
        a_path_of_another_type_is_an_error,
        a_type_twice_is_an_error,
        a_type_unknown_is_an_error,
        user_mappings,
        ownership_stays_as_it_is,
        clock_offsets,
    ];
    all.extend(
        TYPES.into_iter().map(|(name, _)| Case::new(format!("namespaces::new_{name}"), move |bench| made(bench, name))),
    );
    all
}

fn link(pid: &str, name: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/ns/{name}");
    let link = std::fs::read_link(&path).map_err(|e| format!("{path}: {e}"))?;
    Ok(link.to_string_lossy().into_owned())
}

fn mapped(config: &mut Value) {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    // A terminal's group has to be mapped.
    config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev/pts");
}

fn made(bench: Bench<'_>, name: &str) -> Verdict {
    let (_, short) = TYPES.into_iter().find(|(full, _)| *full == name).ok_or("an unknown type")?;
    let container = Container::with(bench, "exec sleep 1000", |config| {
        let mut types = vec!["mount", "pid", "ipc", "uts"];
        if !types.contains(&name) {
            types.push(name);
        }
        config["linux"]["namespaces"] = types.into_iter().map(|name| json!({ "type": name })).collect();
        if name == "user" {
            mapped(config);
        }
    })?;
    container.create()?.ok()?;
    let own = link(&container.pid()?.to_string(), short)?;
    check!(own != link("thread-self", short)?, "it is the runtime's: {own}");
    Ok(())
}

fn not_named_are_the_runtimes(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "exec sleep 1000", |config| {
        config["linux"]["namespaces"] = json!([{ "type": "mount" }]);
    })?;
    container.create()?.ok()?;
    let pid = container.pid()?.to_string();
    for (_, short) in TYPES.into_iter().filter(|(name, _)| *name != "mount") {
        let own = link(&pid, short)?;
        check!(own == link("thread-self", short)?, "{short} is not the runtime's");
    }
    container.kill("KILL")?.ok()?;
    // Nothing that takes a mount: what it would be of one in the runtime's own namespace is left open.
    let container = Container::with(bench, "ls /etc/mark; exec sleep 1000", |config| {
        config["linux"]["namespaces"] = json!([{ "type": "pid" }]);
        config["mounts"] = json!([]);
    })?;
    container.put("rootfs/etc/mark", "")?;
    // Debian's runc looks into the container's /proc, which is the folder of that name here.
    if container.create()?.succeeded() {
        check!(link(&container.pid()?.to_string(), "mnt")? == link("thread-self", "mnt")?, "mnt is not the runtime's");
        container.kill("KILL")?.ok()?;
    } else {
        check!(bench.runtime.name == "runc", "without a mount namespace there is no container");
    }
    Ok(())
}

/// A process in namespaces of its own, ended with the case.
struct Other(Child);

impl Other {
    fn new(options: &[&str], program: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(options).args(program).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().map_err(|e| format!("unshare: {e}"))?))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn apart(pid: &str, names: &[&str]) -> Result<(), String> {
    until("the other process has its namespaces", || {
        names.iter().all(|name| matches!((link(pid, name), link("thread-self", name)), (Ok(a), Ok(b)) if a != b))
    })
}

fn by_path_are_those(bench: Bench<'_>) -> Verdict {
    let other = Other::new(&["--net", "--ipc", "--uts"], &["sleep", "1000"])?;
    let pid = other.pid();
    apart(&pid, &["net", "ipc", "uts"])?;
    let container = Container::with(bench, "exec sleep 1000", |config| {
        let path = |name: &str| format!("/proc/{pid}/ns/{name}");
        config["linux"]["namespaces"] = json!([
            { "type": "mount" },
            { "type": "pid" },
            { "type": "network", "path": path("net") },
            { "type": "ipc", "path": path("ipc") },
            { "type": "uts", "path": path("uts") },
        ]);
    })?;
    container.create()?.ok()?;
    let own = container.pid()?.to_string();
    for name in ["net", "ipc", "uts"] {
        check!(link(&own, name)? == link(&pid, name)?, "{name} is {}, not {}", link(&own, name)?, link(&pid, name)?);
    }
    Ok(())
}

/// A pid namespace needs a first process that lives.
fn of_processes_by_path(bench: Bench<'_>) -> Verdict {
    let other = Other::new(&["--pid", "--fork", "--kill-child"], &["sleep", "1000"])?;
    let outer = other.pid();
    let children = format!("/proc/{outer}/task/{outer}/children");
    until("the other process has a child", || {
        !std::fs::read_to_string(&children).unwrap_or_default().trim().is_empty()
    })?;
    let inner = std::fs::read_to_string(&children).map_err(|e| e.to_string())?.trim().to_owned();
    let container = Container::with(bench, "exec sleep 1000", |config| {
        config["linux"]["namespaces"] =
            json!([{ "type": "mount" }, { "type": "pid", "path": format!("/proc/{inner}/ns/pid") }]);
    })?;
    container.create()?.ok()?;
    let own = link(&container.pid()?.to_string(), "pid")?;
    check!(own == link(&inner, "pid")?, "it is in {own}, not {}", link(&inner, "pid")?);
    container.kill("KILL")?.ok()?;
    Ok(())
}

fn refused(bench: Bench<'_>, namespaces: &Value) -> Verdict {
    let container = Container::with(bench, "true", |config| config["linux"]["namespaces"] = namespaces.clone())?;
    container.create()?.refused().map(drop).map_err(|why| format!("{namespaces}: {why}"))
}

fn a_path_is_absolute(bench: Bench<'_>) -> Verdict {
    // It leads somewhere: /proc/self/ns/uts from the bundle's folder.
    let up = "../".repeat(10);
    refused(bench, &json!([{ "type": "mount" }, { "type": "uts", "path": format!("{up}proc/1/ns/uts") }]))
}

fn a_path_of_another_type_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!([{ "type": "mount" }, { "type": "uts", "path": "/proc/1/ns/net" }]))?;
    refused(bench, &json!([{ "type": "mount" }, { "type": "network", "path": "/etc/passwd" }]))?;
    refused(bench, &json!([{ "type": "mount" }, { "type": "ipc", "path": "/no/such/file" }]))
}

fn a_type_twice_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!([{ "type": "mount" }, { "type": "uts" }, { "type": "uts" }]))
}

fn a_type_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!([{ "type": "mount" }, { "type": "weather" }]))
}

fn user_mappings(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "cat /proc/self/uid_map /proc/self/gid_map", |config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        mapped(config);
        config["linux"]["uidMappings"] = json!([
            { "containerID": 0, "hostID": 100_000, "size": 10 },
            { "containerID": 20, "hostID": 200_000, "size": 5 },
        ]);
    })?;
    let said = container.says()?;
    let numbers: Vec<&str> = said.split_whitespace().collect();
    check!(numbers == ["0", "100000", "10", "20", "200000", "5", "0", "100000", "1000"], "the maps are {said}");
    Ok(())
}

fn ownership_stays_as_it_is(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        mapped(config);
    })?;
    container.put("rootfs/etc/file", "")?;
    container.says()?;
    for path in ["/", "/etc/file", "/bin", "/bin/busybox"] {
        let owner = std::fs::metadata(container.inside(path)).map_err(|e| format!("{path}: {e}"))?.uid();
        check!(owner == 0, "{path} belongs to {owner} now");
    }
    Ok(())
}

fn clock_offsets(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "cat /proc/uptime; cat /proc/self/timens_offsets", |config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] =
            json!({ "boottime": { "secs": 1_000_000, "nanosecs": 5 }, "monotonic": { "secs": 2_000_000 } });
    })?;
    let said = container.says()?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let outside = std::fs::read_to_string("/proc/uptime").map_err(|e| e.to_string())?;
    let seconds = |text: &str| text.split('.').next().and_then(|s| s.parse::<i64>().ok()).unwrap_or_default();
    let apart = seconds(words.first().copied().unwrap_or_default()) - seconds(&outside);
    check!((apart - 1_000_000).abs() < 100, "inside it is {apart} s later: {said}");
    check!(words.windows(3).any(|w| w == ["monotonic", "2000000", "0"]), "offsets: {said}");
    check!(words.windows(3).any(|w| w == ["boottime", "1000000", "5"]), "offsets: {said}");
    Ok(())
}
