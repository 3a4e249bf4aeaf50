//! config-linux.md, "Control groups": where a container's group is, whose it is, and what its device list allows.

use crate::case::{Bench, Case, Tree, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

pub(crate) fn cases() -> Vec<Case> {
    let any = cases!["cgroups":
        the_path_is_from_the_mount_point,
        a_relative_path_leads_to_one_place,
        the_same_path_is_the_same_place,
        without_a_path_there_is_one,
        a_path_that_is_invalid_is_an_error,
        a_group_in_use_is_an_error_or_shared,
        devices_in_the_listed_order,
        devices_by_kind_and_number,
    ];
    let v1 = cases!["cgroups": the_owner_stays_on_v1];
    any.into_iter().chain(v1.into_iter().map(|case| case.on(Tree::V1))).collect()
}

/// The lines of /proc/PID/cgroup that name `word`.
fn places(container: &Container<'_>, word: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid()?)).map_err(|e| e.to_string())?;
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).filter(|path| path.contains(word));
    Ok(paths.map(str::to_owned).collect())
}

fn limited(config: &mut Value) {
    config["linux"]["resources"] = json!({ "pids": { "limit": 100 } });
}

fn the_path_is_from_the_mount_point(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "exec sleep 1000", limited)?;
    container.create()?.ok()?;
    check!(container.limit("pids.max")? == "100", "pids.max is {:?}", container.limit("pids.max")?);
    let places = places(&container, &container.id)?;
    check!(!places.is_empty(), "the process is in no such group");
    check!(places.iter().all(|place| *place == container.group), "it is in {places:?}");
    Ok(())
}

fn a_relative_path_leads_to_one_place(bench: Bench<'_>) -> Verdict {
    let mut container = Container::with(bench, "exec sleep 1000", limited)?;
    let relative = container.group.trim_start_matches('/').to_owned();
    container.config["linux"]["cgroupsPath"] = json!(relative);
    let mut found = Vec::new();
    for _ in 0..2 {
        container.create()?.ok()?;
        let mut at = places(&container, &container.id)?;
        check!(!at.is_empty(), "the process is in no group of that name");
        at.sort();
        at.dedup();
        found.push(at);
        container.call(&["delete", "--force", &container.id])?.ok()?;
    }
    check!(found[0] == found[1], "first {:?}, then {:?}", found[0], found[1]);
    Ok(())
}

/// Two containers by one path, one after the other.
fn the_same_path_is_the_same_place(bench: Bench<'_>) -> Verdict {
    let first = Container::with(bench, "exec sleep 1000", limited)?;
    let mut second = Container::with(bench, "exec sleep 1000", limited)?;
    second.config["linux"]["cgroupsPath"] = json!(first.group);
    first.create()?.ok()?;
    let one = places(&first, &first.id)?;
    first.call(&["delete", "--force", &first.id])?.ok()?;
    second.create()?.ok()?;
    let other = places(&second, &first.id)?;
    check!(!one.is_empty() && one == other, "first {one:?}, then {other:?}");
    Ok(())
}

/// Where is the runtime's to choose; what counts is that the limit holds.
fn without_a_path_there_is_one(bench: Bench<'_>) -> Verdict {
    let mut container = Container::with(bench, "exec sleep 1000", limited)?;
    container.config["linux"].as_object_mut().expect("an object").remove("cgroupsPath");
    container.create()?.ok()?;
    let place = places(&container, &container.id)?.pop().ok_or("the process is in no group of its own")?;
    let file = format!("/sys/fs/cgroup/pids{place}/pids.max");
    let unified = format!("/sys/fs/cgroup{place}/pids.max");
    let text =
        std::fs::read_to_string(file).or_else(|_| std::fs::read_to_string(unified)).map_err(|e| e.to_string())?;
    check!(text.trim() == "100", "pids.max is {text:?}");
    Ok(())
}

/// An absolute path that leads above the mount point is none, or is taken to stay below it.
fn a_path_that_is_invalid_is_an_error(bench: Bench<'_>) -> Verdict {
    let mut container = Container::with(bench, "exec sleep 1000", limited)?;
    let group = container.group.clone();
    container.config["linux"]["cgroupsPath"] = json!(format!("/../../..{group}"));
    if container.create()?.succeeded() {
        let places = places(&container, &container.id)?;
        check!(places.iter().all(|place| *place == group), "it is in {places:?}");
    }
    check!(!std::path::Path::new(&group).exists(), "{group} was made in the root folder");
    Ok(())
}

/// Whether a second container may use a group that has processes is the runtime's to decide. If it may, both are there;
/// if not, it is an error that leaves the first alone.
fn a_group_in_use_is_an_error_or_shared(bench: Bench<'_>) -> Verdict {
    let first = Container::with(bench, "exec sleep 1000", limited)?;
    let mut second = Container::with(bench, "exec sleep 1000", limited)?;
    second.config["linux"]["cgroupsPath"] = json!(first.group);
    first.launch()?;
    let shared = second.create()?.succeeded();
    check!(first.status()? == "running", "the first is {}", first.status()?);
    if shared {
        check!(!places(&second, &first.id)?.is_empty(), "the second is elsewhere");
    } else {
        check!(!second.call(&["state", &second.id])?.succeeded(), "the second is there all the same");
    }
    Ok(())
}

fn the_owner_stays_on_v1(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "exec sleep 1000", |config| {
        limited(config);
        config["process"]["user"] = json!({ "uid": 1234, "gid": 1234 });
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "cgroup" }));
        let mount =
            json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid"] });
        config["mounts"].as_array_mut().expect("mounts").push(mount);
    })?;
    container.create()?.ok()?;
    for group in container.groups() {
        for path in [group.clone(), group.join("cgroup.procs")] {
            let owner = std::fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?.uid();
            check!(owner == 0, "{} belongs to {owner}", path.display());
        }
    }
    Ok(())
}

/// Opens devices and says which it may: `name` or `no name`.
const OPEN: &str = "for d in null zero full; do if true < /dev/$d; then echo $d; else echo no $d; fi; done 2>/dev/null";

fn devices_in_the_listed_order(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, OPEN)?;
    let all = json!({ "allow": true, "type": "a", "access": "rwm" });
    let none = json!({ "allow": false, "access": "rwm" });
    let this = json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" });
    let not_this = json!({ "allow": false, "type": "c", "major": 1, "minor": 3, "access": "rwm" });
    container.config["linux"]["resources"] = json!({ "devices": [all, none, this] });
    let said = container.says()?;
    check!(said.starts_with("null\n"), "all, none, null: {said:?}");
    container.config["linux"]["resources"] = json!({ "devices": [none, all, not_this] });
    let said = container.says()?;
    check!(said.ends_with("zero\nfull\n"), "none, all, not null: {said:?}");
    Ok(())
}

fn devices_by_kind_and_number(bench: Bench<'_>) -> Verdict {
    // 10:200 is /dev/net/tun, 10:235 autofs: neither is supplied by default; loop0 is a block device.
    let script = "for d in a b c; do mknod /dev/$d $(cat /root/$d) 2>/dev/null && echo $d; done; true";
    let mut container = Container::with(bench, script, |config| {
        let caps = json!(["CAP_MKNOD"]);
        config["process"]["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
        config["linux"]["resources"] = json!({ "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 10, "minor": 235, "access": "m" },
            { "allow": true, "type": "b", "major": 7, "access": "m" },
        ] });
    })?;
    container.put("rootfs/root/a", "c 10 235")?;
    container.put("rootfs/root/b", "b 7 33")?;
    container.put("rootfs/root/c", "b 8 0")?;
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/dev/pts");
    let said = container.says()?;
    // References that allow mknod for every device by default make the third one too.
    check!(said.starts_with("a\nb\n"), "made were {said:?}");
    Ok(())
}
