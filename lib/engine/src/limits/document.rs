//! Limits as the runtime-spec has them: `linux.resources`, `process.rlimits`, `process.oomScoreAdj`. Pure.

use crate::machine::{Cgroups, Machine};
use crate::request::limits::{DeviceLimit, Limits};
use serde_json::{Map, Value, json};

/// The period that `--cpus` is a part of, in microseconds: the kernel's own.
const PERIOD: i64 = 100_000;

/// Puts limits into a `config.json`.
pub fn apply(config: &mut Value, limits: &Limits) {
    if let Value::Object(members) = resources(limits) {
        for (name, value) in members {
            config["linux"]["resources"][name] = value;
        }
    }
    if !limits.ulimits.is_empty() {
        let one = |n: i64| if n < 0 { u64::MAX } else { n.unsigned_abs() };
        let rlimit = |name: &String| format!("RLIMIT_{}", name.to_uppercase());
        let list = limits
            .ulimits
            .iter()
            .map(|(name, limit)| json!({ "type": rlimit(name), "soft": one(limit.soft), "hard": one(limit.hard) }));
        config["process"]["rlimits"] = list.collect();
    }
    if limits.oom_score_adj != 0 {
        config["process"]["oomScoreAdj"] = json!(limits.oom_score_adj);
    }
}

/// `linux.resources` without devices: only what was asked for.
pub fn resources(limits: &Limits) -> Value {
    let some = |n: i64| (n != 0).then_some(json!(n));
    let text = |t: &String| (!t.is_empty()).then_some(json!(t));
    let (period, quota) = match limits.nano_cpus {
        0 => (limits.cpu_period, limits.cpu_quota),
        nano => (PERIOD, nano * PERIOD / 1_000_000_000),
    };
    object([
        (
            "memory",
            part([
                ("limit", some(limits.memory)),
                // Without the one there is nothing to add the other to.
                ("swap", some(limits.memory_swap).filter(|_| limits.memory != 0)),
                ("reservation", some(limits.memory_reservation)),
                ("swappiness", limits.memory_swappiness.map(Value::from)),
                ("disableOOMKiller", limits.oom_kill_disable.then_some(json!(true))),
            ]),
        ),
        (
            "cpu",
            part([
                ("shares", some(limits.cpu_shares)),
                ("period", some(period)),
                ("quota", some(quota)),
                ("realtimePeriod", some(limits.cpu_rt_period)),
                ("realtimeRuntime", some(limits.cpu_rt_runtime)),
                ("cpus", text(&limits.cpuset_cpus)),
                ("mems", text(&limits.cpuset_mems)),
            ]),
        ),
        ("pids", limits.pids.map(|n| json!({ "limit": if n > 0 { n } else { -1 } }))),
        (
            "blockIO",
            part([
                ("weight", some(limits.blkio_weight.into())),
                ("weightDevice", disks(&limits.blkio_weight_device, "weight")),
                ("throttleReadBpsDevice", disks(&limits.read_bps, "rate")),
                ("throttleWriteBpsDevice", disks(&limits.write_bps, "rate")),
                ("throttleReadIOPSDevice", disks(&limits.read_iops, "rate")),
                ("throttleWriteIOPSDevice", disks(&limits.write_iops, "rate")),
            ]),
        ),
        ("unified", (!limits.cgroup_conf.is_empty()).then(|| json!(limits.cgroup_conf))),
    ])
}

/// `linux.cgroupsPath`: below `--cgroup-parent`, else below a folder of ours; none for an ordinary user without a delegated group.
pub fn cgroups_path(limits: &Limits, machine: &Machine, id: &str) -> Option<String> {
    let parent = parent(limits);
    match (machine.rootless, machine.cgroups) {
        (false, _) => Some(format!("/{parent}/{id}")),
        // Without a slash at its beginning the path lies beside our own group.
        (true, Cgroups::V2) if machine.delegated => Some(format!("{parent}/{id}")),
        (true, _) => None,
    }
}

/// The group that groups of containers lie in, without slashes around it.
pub(crate) fn parent(limits: &Limits) -> &str {
    Some(limits.cgroup_parent.trim_matches('/')).filter(|p| !p.is_empty()).unwrap_or("veneer")
}

/// The size of `/dev/shm` in bytes.
pub fn shm_size(limits: &Limits) -> u64 {
    if limits.shm_size > 0 { limits.shm_size.unsigned_abs() } else { spec::defaults::SHM_SIZE_BYTES }
}

fn disks(list: &[DeviceLimit], name: &str) -> Option<Value> {
    let one = |disk: &DeviceLimit| {
        let (major, minor) = disk.device?;
        Some(json!({ "major": major, "minor": minor, name: disk.value }))
    };
    (!list.is_empty()).then(|| list.iter().filter_map(one).collect())
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let some = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(some.collect::<Map<_, _>>())
}

/// An object, if anything is in it.
fn part<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    Some(object(members)).filter(|value| value.as_object().is_some_and(|members| !members.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::limits::Ulimit;

    #[test]
    fn only_what_was_asked_for() {
        assert_eq!(resources(&Limits::default()), json!({}));
        let mut config = json!({ "linux": { "resources": { "devices": [] } }, "process": {} });
        let before = config.clone();
        apply(&mut config, &Limits::default());
        assert_eq!(config, before);
    }

    #[test]
    fn all_of_it() {
        let disk = |value| vec![DeviceLimit { path: "/dev/sda".into(), value, device: Some((8, 0)) }];
        let limits = Limits {
            memory: 8 << 20,
            memory_swap: -1,
            memory_swappiness: Some(0),
            oom_kill_disable: true,
            nano_cpus: 1_500_000_000,
            cpuset_cpus: "0".into(),
            pids: Some(0),
            blkio_weight: 20,
            write_iops: disk(7),
            blkio_weight_device: disk(30),
            oom_score_adj: 5,
            ulimits: [("nofile".to_owned(), Ulimit { soft: 5, hard: -1 })].into(),
            cgroup_conf: [("memory.high".to_owned(), "9".to_owned())].into(),
            ..Limits::default()
        };
        let mut config = json!({ "linux": { "resources": { "devices": [] } } });
        apply(&mut config, &limits);
        let want = json!({
            "devices": [],
            "memory": { "limit": 8 << 20, "swap": -1, "swappiness": 0, "disableOOMKiller": true },
            "cpu": { "period": 100_000, "quota": 150_000, "cpus": "0" },
            "pids": { "limit": -1 },
            "blockIO": {
                "weight": 20,
                "weightDevice": [{ "major": 8, "minor": 0, "weight": 30 }],
                "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 7 }],
            },
            "unified": { "memory.high": "9" },
        });
        assert_eq!(config["linux"]["resources"], want);
        assert_eq!(config["process"]["rlimits"], json!([{ "type": "RLIMIT_NOFILE", "soft": 5, "hard": u64::MAX }]));
        assert_eq!(config["process"]["oomScoreAdj"], json!(5));
        let document: spec::runtime::LinuxResources =
            serde_json::from_value(want).expect("as the specification has it");
        assert_eq!(document.pids().map(|p| p.limit()), Some(-1));
    }

    #[test]
    fn groups() {
        let machine = Machine::default();
        let path = |parent: &str| {
            let limits = Limits { cgroup_parent: parent.into(), ..Limits::default() };
            cgroups_path(&limits, &machine, "id")
        };
        assert_eq!(path("").as_deref(), Some("/veneer/id"));
        assert_eq!(path("/a/b/").as_deref(), Some("/a/b/id"));
        assert_eq!(cgroups_path(&Limits::default(), &Machine { rootless: true, ..machine.clone() }, "id"), None);
    }
}
