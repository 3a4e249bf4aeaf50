//! What a container may use of the machine: docker's resource options as data, and how docker reads their values.
//!
//! Zero means what it means to docker: nothing was said. Values are read here and nowhere else, in docker's grammar and with
//! docker's words for what is wrong (docker/go-units, docker/cli `opts`); whether this machine can do it is
//! [`crate::limits`]'s question.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod value;

pub use spec::size::in_1024 as size;
pub use value::{cpus, number, small};

/// What it may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// `--memory`, in bytes.
    pub memory: i64,
    /// `--memory-swap`: memory and swap together, in bytes; -1 is no limit. With a memory limit alone it is twice that.
    pub memory_swap: i64,
    /// `--memory-reservation`, in bytes: what it is left with when memory becomes scarce.
    pub memory_reservation: i64,
    /// `--memory-swappiness`, 0 to 100; none leaves the kernel's.
    pub memory_swappiness: Option<i64>,
    /// `--kernel-memory`, in bytes: no kernel has such a limit any more.
    pub kernel_memory: i64,
    /// `--oom-kill-disable`
    pub oom_kill_disable: bool,
    /// `--oom-score-adj`
    pub oom_score_adj: i64,
    /// `--cpus`, in billionths of a processor.
    pub nano_cpus: i64,
    /// `--cpu-period`, in microseconds.
    pub cpu_period: i64,
    /// `--cpu-quota`, in microseconds a period; -1 is no limit.
    pub cpu_quota: i64,
    /// `--cpu-shares`: its weight against others.
    pub cpu_shares: i64,
    /// `--cpu-rt-period`, in microseconds.
    pub cpu_rt_period: i64,
    /// `--cpu-rt-runtime`, in microseconds a period.
    pub cpu_rt_runtime: i64,
    /// `--cpuset-cpus`: the processors it may use, `0-2,4`.
    pub cpuset_cpus: String,
    /// `--cpuset-mems`: the memory nodes it may use.
    pub cpuset_mems: String,
    /// `--pids-limit`: processes and threads; below 1 is no limit.
    pub pids: Option<i64>,
    /// `--blkio-weight`, 10 to 1000.
    pub blkio_weight: u16,
    /// `--blkio-weight-device`
    pub blkio_weight_device: Vec<DeviceLimit>,
    /// `--device-read-bps`
    pub read_bps: Vec<DeviceLimit>,
    /// `--device-write-bps`
    pub write_bps: Vec<DeviceLimit>,
    /// `--device-read-iops`
    pub read_iops: Vec<DeviceLimit>,
    /// `--device-write-iops`
    pub write_iops: Vec<DeviceLimit>,
    /// `--ulimit`, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `--shm-size`, in bytes; 0 is docker's 64 MiB.
    pub shm_size: i64,
    /// `--cgroup-parent`: the group its group lies in.
    pub cgroup_parent: String,
    /// podman's `--cgroup-conf`: files of cgroup v2 and what to write to them.
    pub cgroup_conf: BTreeMap<String, String>,
}

/// A number for one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// Its node, `/dev/sda`.
    pub path: String,
    /// Weight, bytes or transfers a second.
    pub value: u64,
    /// Major and minor number, once the node was looked at.
    #[serde(default)]
    pub device: Option<(u32, u32)>,
}

impl DeviceLimit {
    /// Reads `PATH:RATE`, where the rate is bytes a second: `/dev/sda:1mb`.
    pub fn parse_bps(text: &str) -> Result<Self, String> {
        let (path, rate) = split(text)?;
        match size(rate) {
            Ok(rate) if rate >= 0 => Ok(Self::new(path, rate.unsigned_abs())),
            _ => Err(format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
            )),
        }
    }

    /// Reads `PATH:RATE`, where the rate is transfers a second.
    pub fn parse_iops(text: &str) -> Result<Self, String> {
        let (path, rate) = split(text)?;
        rate.parse().map(|rate| Self::new(path, rate)).map_err(|_| {
            format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"
            )
        })
    }

    /// Reads `PATH:WEIGHT`.
    pub fn parse_weight(text: &str) -> Result<Self, String> {
        let (path, weight) = split(text)?;
        let good = weight.parse::<u16>().ok().filter(|w| *w == 0 || (10..=1000).contains(w));
        good.map(|weight| Self::new(path, weight.into())).ok_or_else(|| format!("invalid weight for device: {text}"))
    }

    fn new(path: &str, value: u64) -> Self {
        Self { path: path.to_owned(), value, device: None }
    }
}

fn split(text: &str) -> Result<(&str, &str), String> {
    let (path, value) =
        text.split_once(':').filter(|(path, _)| !path.is_empty()).ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// A limit of getrlimit(2); -1 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What is in force.
    pub soft: i64,
    /// What a process may raise it to.
    pub hard: i64,
}

/// The limits that have a name; docker leaves `as` out.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Ulimit {
    /// Reads `NAME=SOFT[:HARD]` and gives the name too.
    pub fn parse(text: &str) -> Result<(String, Self), String> {
        let (name, values) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
        if !ULIMITS.contains(&name) {
            return Err(format!("invalid ulimit type: {name}"));
        }
        let parts: Vec<&str> = values.split(':').collect();
        let (soft, hard) = match parts.as_slice() {
            [both] => (*both, *both),
            [soft, hard] => (*soft, *hard),
            _ => {
                return Err(format!(
                    "too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
                ));
            }
        };
        let (hard, soft) = (number(hard)?, number(soft)?);
        let more = "ulimit soft limit must be less than or equal to hard limit";
        match () {
            () if hard != -1 && soft == -1 => Err(format!("{more}: soft: -1 (unlimited), hard: {hard}")),
            () if hard != -1 && soft > hard => Err(format!("{more}: {soft} > {hard}")),
            () => Ok((name.to_owned(), Self { soft, hard })),
        }
    }
}

impl Limits {
    /// Every disk that something was said of.
    pub fn devices_mut(&mut self) -> impl Iterator<Item = &mut DeviceLimit> {
        let rates = [&mut self.read_bps, &mut self.write_bps, &mut self.read_iops, &mut self.write_iops];
        self.blkio_weight_device.iter_mut().chain(rates.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_in_dockers_words() {
        let disk = |value| DeviceLimit { path: "/dev/sda".into(), value, device: None };
        assert_eq!(DeviceLimit::parse_bps("/dev/sda:1mb"), Ok(disk(1 << 20)));
        assert_eq!(DeviceLimit::parse_iops("/dev/sda:100"), Ok(disk(100)));
        assert_eq!(DeviceLimit::parse_weight("/dev/sda:10"), Ok(disk(10)));
        assert_eq!(DeviceLimit::parse_bps("/dev/sda").unwrap_err(), "bad format: /dev/sda");
        assert_eq!(DeviceLimit::parse_bps("sda:1mb").unwrap_err(), "bad format for device path: sda:1mb");
        assert!(
            DeviceLimit::parse_bps("/dev/sda:-1").unwrap_err().starts_with("invalid rate for device: /dev/sda:-1.")
        );
        assert!(DeviceLimit::parse_iops("/dev/sda:1m").unwrap_err().ends_with("Number must be a positive integer"));
        assert_eq!(DeviceLimit::parse_weight("/dev/sda:5").unwrap_err(), "invalid weight for device: /dev/sda:5");
    }

    #[test]
    fn ulimits_in_dockers_words() {
        assert_eq!(Ulimit::parse("nofile=20:40"), Ok(("nofile".into(), Ulimit { soft: 20, hard: 40 })));
        assert_eq!(Ulimit::parse("core=-1"), Ok(("core".into(), Ulimit { soft: -1, hard: -1 })));
        for (text, why) in [
            ("nofile", "invalid ulimit argument: nofile"),
            ("files=1", "invalid ulimit type: files"),
            ("nofile=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`"),
            ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            (
                "nofile=-1:1",
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 1",
            ),
        ] {
            assert_eq!(Ulimit::parse(text).unwrap_err(), why);
        }
    }
}
