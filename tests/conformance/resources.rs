//! config-linux.md, "Control groups": the limits, one property a case, as the files of cgroup v1 show them.
//!
//! Controllers that this kernel has in no hierarchy of v1 (hugetlb, net_cls, net_prio, rdma) cannot be shown to be set; that
//! asking for them is an error can.

use crate::case::{Bench, Case, Tree, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::{Value, json};
use std::path::Path;

/// Name, what stands in `linux.resources`, and the file with what stands in it then.
type Limit = (&'static str, fn() -> Value, &'static [(&'static str, &'static str)]);

const LIMITS: &[Limit] = &[
    ("memory_limit", || json!({ "memory": { "limit": 67_108_864 } }), &[("memory.limit_in_bytes", "67108864")]),
    (
        "memory_reservation",
        || json!({ "memory": { "reservation": 33_554_432 } }),
        &[("memory.soft_limit_in_bytes", "33554432")],
    ),
    (
        "memory_swap",
        || json!({ "memory": { "limit": 67_108_864, "swap": 134_217_728 } }),
        &[("memory.limit_in_bytes", "67108864"), ("memory.memsw.limit_in_bytes", "134217728")],
    ),
    (
        "memory_unlimited",
        || json!({ "memory": { "limit": -1, "swap": -1 } }),
        &[("memory.limit_in_bytes", "9223372036854771712")],
    ),
    (
        "memory_kernel_tcp",
        || json!({ "memory": { "kernelTCP": 16_777_216 } }),
        &[("memory.kmem.tcp.limit_in_bytes", "16777216")],
    ),
    ("memory_swappiness", || json!({ "memory": { "swappiness": 17 } }), &[("memory.swappiness", "17")]),
    ("memory_use_hierarchy", || json!({ "memory": { "useHierarchy": true } }), &[("memory.use_hierarchy", "1")]),
    ("cpu_shares", || json!({ "cpu": { "shares": 512 } }), &[("cpu.shares", "512")]),
    (
        "cpu_quota_and_period",
        || json!({ "cpu": { "quota": 40_000, "period": 80_000 } }),
        &[("cpu.cfs_quota_us", "40000"), ("cpu.cfs_period_us", "80000")],
    ),
    (
        "cpu_burst",
        || json!({ "cpu": { "quota": 40_000, "burst": 20_000 } }),
        &[("cpu.cfs_quota_us", "40000"), ("cpu.cfs_burst_us", "20000")],
    ),
    ("cpu_idle", || json!({ "cpu": { "idle": 1 } }), &[("cpu.idle", "1")]),
    (
        "cpu_cpus_and_mems",
        || json!({ "cpu": { "cpus": "0", "mems": "0" } }),
        &[("cpuset.cpus", "0"), ("cpuset.mems", "0")],
    ),
    ("pids_limit", || json!({ "pids": { "limit": 77 } }), &[("pids.max", "77")]),
];

pub(crate) fn cases() -> Vec<Case> {
    let one = |(name, resources, files): &Limit| {
        let (resources, files) = (*resources, *files);
        Case::new(format!("resources::{name}"), move |bench| set(bench, &resources(), files)).on(Tree::V1)
    };
    let v1 = cases!["resources":
        memory_oom_killer_off,
        memory_swap_below_limit_is_an_error,
        memory_swappiness_above_100_is_an_error,
        cpu_realtime_is_set_or_an_error,
        cpu_burst_above_quota_is_an_error,
        cpus_that_are_none_are_an_error,
        block_io_throttle,
        a_controller_that_is_missing_is_an_error,
        a_limit_below_usage_is_refused,
        unified_without_cgroup_v2_is_an_error,
    ];
    LIMITS.iter().map(one).chain(v1.into_iter().map(|case| case.on(Tree::V1))).collect()
}

fn limited<'a>(bench: Bench<'a>, resources: &Value) -> Result<Container<'a>, String> {
    Container::with(bench, "exec sleep 1000", |config| config["linux"]["resources"] = resources.clone())
}

fn set(bench: Bench<'_>, resources: &Value, files: &[(&str, &str)]) -> Verdict {
    let container = limited(bench, resources)?;
    container.create()?.ok()?;
    for (file, wanted) in files {
        let is = container.limit(file)?;
        check!(is == *wanted, "{file} is {is}, not {wanted}");
    }
    Ok(())
}

fn refused(bench: Bench<'_>, resources: &Value) -> Verdict {
    limited(bench, resources)?.create()?.refused().map(drop).map_err(|why| format!("{resources}: {why}"))
}

fn memory_oom_killer_off(bench: Bench<'_>) -> Verdict {
    let container = limited(bench, &json!({ "memory": { "limit": 67_108_864, "disableOOMKiller": true } }))?;
    container.create()?.ok()?;
    let is = container.limit("memory.oom_control")?;
    check!(is.starts_with("oom_kill_disable 1\n"), "memory.oom_control is {is:?}");
    Ok(())
}

fn memory_swap_below_limit_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "memory": { "limit": 67_108_864, "swap": 33_554_432 } }))
}

fn memory_swappiness_above_100_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "memory": { "swappiness": 1000 } }))
}

/// A kernel without groups for the real-time scheduler, or one that has given all time away, lets nobody set it.
fn cpu_realtime_is_set_or_an_error(bench: Bench<'_>) -> Verdict {
    let container = limited(bench, &json!({ "cpu": { "realtimePeriod": 900_000, "realtimeRuntime": 1000 } }))?;
    if container.create()?.succeeded() {
        let is = (container.limit("cpu.rt_period_us")?, container.limit("cpu.rt_runtime_us")?);
        check!(is == ("900000".to_owned(), "1000".to_owned()), "it is {is:?}");
    }
    Ok(())
}

fn cpu_burst_above_quota_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "cpu": { "quota": 20_000, "burst": 40_000 } }))
}

fn cpus_that_are_none_are_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "cpu": { "cpus": "4000" } }))?;
    refused(bench, &json!({ "cpu": { "mems": "nowhere" } }))
}

/// The number of a disk this machine has.
pub(crate) fn disk() -> Option<(i64, i64)> {
    let mut disks = std::fs::read_dir("/sys/block").ok()?.flatten();
    let text = disks.find_map(|disk| std::fs::read_to_string(disk.path().join("dev")).ok())?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn block_io_throttle(bench: Bench<'_>) -> Verdict {
    let Some((major, minor)) = disk() else { return Ok(()) };
    let entry = |rate: u32| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let container = limited(
        bench,
        &json!({ "blockIO": {
            "throttleReadBpsDevice": entry(1_048_576),
            "throttleWriteBpsDevice": entry(2_097_152),
            "throttleReadIOPSDevice": entry(300),
            "throttleWriteIOPSDevice": entry(400),
        } }),
    )?;
    container.create()?.ok()?;
    for (file, rate) in [("read_bps", "1048576"), ("write_bps", "2097152"), ("read_iops", "300"), ("write_iops", "400")]
    {
        let is = container.limit(&format!("blkio.throttle.{file}_device"))?;
        check!(is == format!("{major}:{minor} {rate}"), "{file} is {is:?}");
    }
    Ok(())
}

fn a_controller_that_is_missing_is_an_error(bench: Bench<'_>) -> Verdict {
    let missing = |name: &str| !Path::new("/sys/fs/cgroup").join(name).exists();
    if missing("hugetlb") {
        refused(bench, &json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 209_715_200 }] }))?;
    }
    if missing("net_cls") && missing("net_cls,net_prio") {
        refused(bench, &json!({ "network": { "classID": 1_048_577 } }))?;
    }
    if missing("net_prio") && missing("net_cls,net_prio") {
        refused(bench, &json!({ "network": { "priorities": [{ "name": "lo", "priority": 5 }] } }))?;
    }
    if missing("rdma") {
        refused(bench, &json!({ "rdma": { "mlx5_1": { "hcaHandles": 3 } } }))?;
    }
    Ok(())
}

/// What checkBeforeUpdate asks for the kernel does by itself here.
fn a_limit_below_usage_is_refused(bench: Bench<'_>) -> Verdict {
    let mut container = limited(bench, &json!({ "memory": { "limit": 134_217_728 } }))?;
    let script = "dd if=/dev/zero of=/dev/block-of-memory bs=1M count=32 2>/dev/null; echo full; exec sleep 1000";
    container.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    container.launch()?;
    container.until_it_says("full")?;
    let resources = json!({ "memory": { "limit": 4_194_304, "checkBeforeUpdate": true } });
    let file = container.put("resources.json", &resources.to_string())?;
    container.call(&["update", "--resources", &file.to_string_lossy(), &container.id])?.refused()?;
    let is = container.limit("memory.limit_in_bytes")?;
    check!(is == "134217728", "memory.limit_in_bytes is {is} then");
    Ok(())
}

fn unified_without_cgroup_v2_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "unified": { "memory.max": "67108864" } }))
}
