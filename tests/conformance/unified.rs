//! config-linux.md on cgroup v2: `unified`, conversion of limits made for v1, and whose the group is.

use crate::case::{Bench, Case, Tree, Verdict};
use crate::container::Container;
use crate::resources::disk;
use crate::{cases, check};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    let v2 = cases!["unified":
        controllers_are_enabled,
        files_the_runtime_does_not_know_are_written,
        a_controller_that_is_not_there_is_an_error,
        limits_made_for_v1_are_converted,
        limits_that_cannot_be_converted_are_an_error,
        block_io_throttle,
        hugepage_limits,
        check_before_update,
        owner_is_the_user_where_the_group_is_writable,
        owner_stays_where_the_group_is_read_only,
        owner_stays_without_a_cgroup_namespace,
    ];
    v2.into_iter().map(|case| case.on(Tree::V2)).collect()
}

fn limited<'a>(bench: Bench<'a>, resources: &Value) -> Result<Container<'a>, String> {
    Container::with(bench, "exec sleep 1000", |config| config["linux"]["resources"] = resources.clone())
}

fn controllers_are_enabled(bench: Bench<'_>) -> Verdict {
    let container = limited(bench, &json!({ "unified": { "memory.high": "67108864", "pids.max": "50" } }))?;
    container.create()?.ok()?;
    let controllers = container.limit("cgroup.controllers")?;
    for name in ["memory", "pids"] {
        check!(controllers.split_whitespace().any(|c| c == name), "{name} is not enabled: {controllers}");
    }
    let is = (container.limit("memory.high")?, container.limit("pids.max")?);
    check!(is == ("67108864".to_owned(), "50".to_owned()), "it is {is:?}");
    Ok(())
}

fn files_the_runtime_does_not_know_are_written(bench: Bench<'_>) -> Verdict {
    let container = limited(bench, &json!({ "unified": { "cgroup.max.depth": "7", "memory.oom.group": "1" } }))?;
    container.create()?.ok()?;
    let is = (container.limit("cgroup.max.depth")?, container.limit("memory.oom.group")?);
    check!(is == ("7".to_owned(), "1".to_owned()), "it is {is:?}");
    Ok(())
}

fn a_controller_that_is_not_there_is_an_error(bench: Bench<'_>) -> Verdict {
    limited(bench, &json!({ "unified": { "nosuchcontroller.max": "1" } }))?.create()?.refused().map(drop)
}

fn limits_made_for_v1_are_converted(bench: Bench<'_>) -> Verdict {
    let container = limited(
        bench,
        &json!({
            "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728 },
            "cpu": { "shares": 1024, "quota": 40_000, "period": 80_000, "cpus": "0" },
            "pids": { "limit": 77 },
        }),
    )?;
    container.create()?.ok()?;
    let wanted = [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "67108864"),
        ("cpu.max", "40000 80000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "77"),
    ];
    for (file, value) in wanted {
        let is = container.limit(file)?;
        check!(is == value, "{file} is {is}, not {value}");
    }
    let weight = container.limit("cpu.weight")?;
    check!(weight == "39" || weight == "100", "cpu.weight is {weight}");
    Ok(())
}

fn limits_that_cannot_be_converted_are_an_error(bench: Bench<'_>) -> Verdict {
    // There swap is a limit of its own: one below memory's cannot be said.
    limited(bench, &json!({ "memory": { "limit": 67_108_864, "swap": 33_554_432 } }))?.create()?.refused().map(drop)
}

fn block_io_throttle(bench: Bench<'_>) -> Verdict {
    let Some((major, minor)) = disk() else { return Ok(()) };
    let entry = |rate: u32| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let throttles = json!({
        "throttleReadBpsDevice": entry(1_048_576),
        "throttleWriteBpsDevice": entry(2_097_152),
        "throttleReadIOPSDevice": entry(300),
        "throttleWriteIOPSDevice": entry(400),
    });
    let container = limited(bench, &json!({ "blockIO": throttles }))?;
    container.create()?.ok()?;
    let is = container.limit("io.max")?;
    check!(is == format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=300 wiops=400"), "io.max is {is}");
    Ok(())
}

fn hugepage_limits(bench: Bench<'_>) -> Verdict {
    let container = limited(bench, &json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }] }))?;
    container.create()?.ok()?;
    for file in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
        let is = container.limit(file)?;
        check!(is == "4194304", "{file} is {is}");
    }
    Ok(())
}

fn check_before_update(bench: Bench<'_>) -> Verdict {
    let mut container = limited(bench, &json!({ "memory": { "limit": 134_217_728 } }))?;
    let script = "dd if=/dev/zero of=/dev/block-of-memory bs=1M count=32 2>/dev/null; echo full; exec sleep 1000";
    container.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    container.launch()?;
    container.until_it_says("full")?;
    let resources = json!({ "memory": { "limit": 4_194_304, "checkBeforeUpdate": true } });
    let file = container.put("resources.json", &resources.to_string())?;
    container.call(&["update", "--resources", &file.to_string_lossy(), &container.id])?.refused()?;
    check!(container.status()? == "running", "it is {} then", container.status()?);
    let is = container.limit("memory.max")?;
    check!(is == "134217728", "memory.max is {is} then");
    Ok(())
}

/// The owners of the group's folder and files, after `create` by a configuration for user 1234.
fn owners(bench: Bench<'_>, own_namespace: bool, options: &Value) -> Result<Vec<(String, u32)>, String> {
    let container = Container::with(bench, "exec sleep 1000", |config| {
        config["process"]["user"] = json!({ "uid": 1234, "gid": 1234 });
        if own_namespace {
            config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "cgroup" }));
        }
        config["mounts"].as_array_mut().expect("mounts").push(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options,
        }));
    })?;
    container.create()?.ok()?;
    let group = container.groups().pop().ok_or("it has no group")?;
    let owner = |path: &Path| path.metadata().map(|m| m.uid()).map_err(|e| format!("{}: {e}", path.display()));
    let mut owners = vec![(".".to_owned(), owner(&group)?)];
    for entry in std::fs::read_dir(&group).map_err(|e| e.to_string())?.flatten() {
        owners.push((entry.file_name().to_string_lossy().into_owned(), owner(&entry.path())?));
    }
    Ok(owners)
}

/// The kernel's list of what may be given away, or the specification's.
fn delegated() -> Vec<String> {
    let list = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let list = list.unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
    list.lines().map(str::to_owned).chain([".".to_owned()]).collect()
}

/// Files of the list that are not there are no error.
fn owner_is_the_user_where_the_group_is_writable(bench: Bench<'_>) -> Verdict {
    let delegated = delegated();
    for (name, owner) in owners(bench, true, &json!(["rw", "nosuid"]))? {
        let wanted = if delegated.contains(&name) { 1234 } else { 0 };
        check!(owner == wanted, "{name} belongs to {owner}, not {wanted}");
    }
    Ok(())
}

fn all_stay(owners: Vec<(String, u32)>) -> Verdict {
    match owners.into_iter().find(|(_, owner)| *owner != 0) {
        Some((name, owner)) => Err(format!("{name} belongs to {owner}")),
        None => Ok(()),
    }
}

fn owner_stays_where_the_group_is_read_only(bench: Bench<'_>) -> Verdict {
    all_stay(owners(bench, true, &json!(["ro", "nosuid"]))?)
}

fn owner_stays_without_a_cgroup_namespace(bench: Bench<'_>) -> Verdict {
    all_stay(owners(bench, false, &json!(["rw", "nosuid"]))?)
}
