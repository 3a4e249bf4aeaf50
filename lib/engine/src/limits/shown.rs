//! Limits as docker's `inspect` shows them: members of `HostConfig`.

use crate::request::limits::{DeviceLimit, Limits};
use serde_json::{Map, Value, json};

/// The members, with docker's values for what was not asked for.
pub fn host_config(limits: &Limits) -> Map<String, Value> {
    let disks = |list: &[DeviceLimit], name: &str| {
        let one = |disk: &DeviceLimit| json!({ "Path": disk.path, name: disk.value });
        list.iter().map(one).collect::<Vec<Value>>()
    };
    let ulimits: Vec<Value> =
        limits.ulimits.iter().map(|(name, l)| json!({ "Name": name, "Hard": l.hard, "Soft": l.soft })).collect();
    let members = json!({
        "ShmSize": super::document::shm_size(limits),
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": limits.cgroup_parent,
        "BlkioWeight": limits.blkio_weight,
        "BlkioWeightDevice": disks(&limits.blkio_weight_device, "Weight"),
        "BlkioDeviceReadBps": disks(&limits.read_bps, "Rate"),
        "BlkioDeviceWriteBps": disks(&limits.write_bps, "Rate"),
        "BlkioDeviceReadIOps": disks(&limits.read_iops, "Rate"),
        "BlkioDeviceWriteIOps": disks(&limits.write_iops, "Rate"),
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": limits.cpu_rt_period,
        "CpuRealtimeRuntime": limits.cpu_rt_runtime,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "OomScoreAdj": limits.oom_score_adj,
        "PidsLimit": limits.pids,
        "Ulimits": ulimits,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
