//! From `linux.resources` to files and values: pure, for v1 and v2.
//!
//! config.json speaks v1. What v2 counts otherwise is converted as runc and crun do: swap is given without memory, shares
//! become weights, block weights become io weights. `memory.kernel` is left out as runc leaves it out: kernels from 5.16 on
//! have no such limit, and memory of the kernel counts as the group's in any case.

use super::layout::Layout;
use crate::error::{Result, invalid};
use spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// A value to write to a file of a controller's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: String,
    /// Files that would do and what to write to each: the first that this kernel has is taken.
    pub(super) tries: Vec<(String, String)>,
    /// Done without where there is no such file.
    pub(super) optional: bool,
}

/// What to write, in order. An error where the document asks for what v1 or v2 cannot express.
pub(super) fn settings(resources: &LinuxResources, layout: &Layout) -> Result<Vec<Setting>> {
    let mut list = List { settings: Vec::new(), layout };
    if let Some(memory) = resources.memory() {
        list.memory(memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        list.cpu(cpu)?;
    }
    if let Some(limit) = resources.pids().map(|pids| pids.limit()).filter(|limit| *limit != 0) {
        list.put("pids", "pids.max", "pids.max", if limit > 0 { limit.to_string() } else { "max".into() });
    }
    if let Some(block) = resources.block_io() {
        list.block_io(block)?;
    }
    for page in resources.hugepage_limits().iter().flatten() {
        list.huge_pages(page.page_size(), page.limit())?;
    }
    if let Some(network) = resources.network() {
        if let Some(class) = network.class_id().filter(|class| *class != 0) {
            list.put("net_cls", "net_cls.classid", "", class.to_string());
        }
        for priority in network.priorities().iter().flatten() {
            list.put("net_prio", "net_prio.ifpriomap", "", format!("{} {}", priority.name(), priority.priority()));
        }
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        let part = |name: &str, n: Option<u32>| n.map(|n| format!(" {name}={n}")).unwrap_or_default();
        let (handles, objects) = (part("hca_handle", limit.hca_handles()), part("hca_object", limit.hca_objects()));
        if handles.is_empty() && objects.is_empty() {
            return Err(refused("rdma", format!("{device} has neither hcaHandles nor hcaObjects")));
        }
        list.put("rdma", "rdma.max", "rdma.max", format!("{device}{handles}{objects}"));
    }
    list.unified(resources)?;
    Ok(list.settings)
}

struct List<'a> {
    settings: Vec<Setting>,
    layout: &'a Layout,
}

fn refused(what: &'static str, why: String) -> crate::error::Error {
    invalid("linux.resources", what, why)
}

/// A number where -1 means none.
fn unlimited(limit: i64, v2: bool) -> String {
    if limit < 0 && v2 { "max".to_owned() } else { limit.to_string() }
}

impl List<'_> {
    fn v2(&self, controller: &str) -> bool {
        self.layout.with(controller).map_or(self.layout.is_v2(), |(_, v2)| v2)
    }

    fn put(&mut self, controller: &str, v1: &str, v2: &str, value: String) {
        let file = if self.v2(controller) { v2 } else { v1 };
        self.put_first(controller, &[(file, value)], false);
    }

    fn put_first(&mut self, controller: &str, tries: &[(&str, String)], optional: bool) {
        let tries = tries.iter().map(|(file, value)| ((*file).to_owned(), value.clone())).collect();
        self.settings.push(Setting { controller: controller.to_owned(), tries, optional });
    }

    fn memory(&mut self, memory: &LinuxMemory) -> Result<()> {
        let limit = memory.limit().filter(|n| *n != 0);
        let swap = memory.swap().filter(|n| *n != 0);
        if let (Some(limit), Some(swap)) = (limit, swap)
            && swap > 0
            && swap < limit
        {
            return Err(refused(
                "memory",
                format!("swap {swap}, which counts memory and swap, is less than limit {limit}"),
            ));
        }
        if let Some(swappiness) = memory.swappiness().filter(|n| *n > 100) {
            return Err(refused("memory", format!("swappiness {swappiness} is not between 0 and 100")));
        }
        if self.v2("memory") { self.memory_v2(memory, limit, swap) } else { self.memory_v1(memory, limit, swap) }
    }

    fn memory_v2(&mut self, memory: &LinuxMemory, limit: Option<i64>, swap: Option<i64>) -> Result<()> {
        // Swap first: where both shrink, memory could not be moved out otherwise.
        let more = match (limit, swap) {
            (_, Some(swap)) if swap < 0 => Some("max".to_owned()),
            (Some(limit), Some(swap)) if limit > 0 => Some((swap - limit).to_string()),
            (_, Some(_)) => return Err(refused("memory", "swap needs a limit".to_owned())),
            // No limit at all was meant.
            (Some(limit), None) if limit < 0 => Some("max".to_owned()),
            _ => None,
        };
        if let Some(more) = more {
            // A kernel without swap has none to limit, and as much as it has for those without a limit.
            let optional = more == "max" || more == "0";
            self.put_first("memory", &[("memory.swap.max", more)], optional);
        }
        if let Some(limit) = limit {
            self.put("memory", "", "memory.max", unlimited(limit, true));
        }
        if let Some(low) = memory.reservation().filter(|n| *n != 0) {
            self.put("memory", "", "memory.low", unlimited(low, true));
        }
        if memory.swappiness().is_some() {
            return Err(refused("memory", "swappiness does not exist in cgroup v2".to_owned()));
        }
        if memory.disable_oom_killer() == Some(true) {
            return Err(refused("memory", "disableOOMKiller does not exist in cgroup v2".to_owned()));
        }
        if memory.kernel_tcp().is_some_and(|n| n != 0) {
            return Err(refused("memory", "kernelTCP does not exist in cgroup v2".to_owned()));
        }
        Ok(())
    }

    fn memory_v1(&mut self, memory: &LinuxMemory, limit: Option<i64>, swap: Option<i64>) -> Result<()> {
        if memory.use_hierarchy() == Some(true) {
            // Since kernel 5.11 it is so always, and says so.
            self.put_first("memory", &[("memory.use_hierarchy", "1".to_owned())], true);
        }
        if let (Some(-1), None) = (limit, swap) {
            // No limit at all was meant; a kernel without this file does not count swap.
            self.put_first("memory", &[("memory.memsw.limit_in_bytes", "-1".to_owned())], true);
        }
        for (file, value) in [
            ("memory.limit_in_bytes", limit),
            ("memory.memsw.limit_in_bytes", swap),
            ("memory.soft_limit_in_bytes", memory.reservation().filter(|n| *n != 0)),
            ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp().filter(|n| *n != 0)),
        ] {
            if let Some(value) = value {
                self.put("memory", file, "", value.to_string());
            }
        }
        if let Some(swappiness) = memory.swappiness() {
            self.put("memory", "memory.swappiness", "", swappiness.to_string());
        }
        if memory.disable_oom_killer() == Some(true) {
            self.put("memory", "memory.oom_control", "", "1".to_owned());
        }
        Ok(())
    }

    fn cpu(&mut self, cpu: &LinuxCpu) -> Result<()> {
        let v2 = self.v2("cpu");
        if let Some(shares) = cpu.shares().filter(|n| *n != 0) {
            if !v2 && !(2..=262_144).contains(&shares) {
                return Err(refused("cpu", format!("shares {shares} is not between 2 and 262144")));
            }
            self.put("cpu", "cpu.shares", "cpu.weight", if v2 { weight_of_shares(shares) } else { shares }.to_string());
        }
        let (quota, period) = (cpu.quota().filter(|n| *n != 0), cpu.period().filter(|n| *n != 0));
        if v2 {
            if quota.is_some() || period.is_some() {
                let quota = quota.filter(|n| *n > 0).map_or_else(|| "max".to_owned(), |n| n.to_string());
                let period = period.map(|n| format!(" {n}")).unwrap_or_default();
                self.put("cpu", "", "cpu.max", format!("{quota}{period}"));
            }
        } else {
            if let Some(period) = period {
                self.put("cpu", "cpu.cfs_period_us", "", period.to_string());
            }
            if let Some(quota) = quota {
                self.put("cpu", "cpu.cfs_quota_us", "", quota.to_string());
            }
        }
        if let Some(burst) = cpu.burst() {
            self.put("cpu", "cpu.cfs_burst_us", "cpu.max.burst", burst.to_string());
        }
        if let Some(idle) = cpu.idle() {
            self.put("cpu", "cpu.idle", "cpu.idle", idle.to_string());
        }
        let realtime = [
            ("cpu.rt_period_us", cpu.realtime_period().filter(|n| *n != 0).map(|n| n.to_string())),
            ("cpu.rt_runtime_us", cpu.realtime_runtime().filter(|n| *n != 0).map(|n| n.to_string())),
        ];
        for (file, value) in realtime {
            match value {
                Some(_) if v2 => return Err(refused("cpu", "real-time limits do not exist in cgroup v2".to_owned())),
                Some(value) => self.put("cpu", file, "", value),
                None => {}
            }
        }
        for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
            if let Some(value) = value.as_ref().filter(|v| !v.is_empty()) {
                self.put("cpuset", file, file, value.clone());
            }
        }
        Ok(())
    }

    /// The limit, and that of reservations where the kernel counts them (5.7).
    fn huge_pages(&mut self, size: &str, limit: i64) -> Result<()> {
        if size.is_empty() || !size.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(refused("hugepageLimits", format!("{size:?} is no page size")));
        }
        let v2 = self.v2("hugetlb");
        let end = if v2 { "max" } else { "limit_in_bytes" };
        for (middle, optional) in [("", false), (".rsvd", true)] {
            let file = format!("hugetlb.{size}{middle}.{end}");
            self.put_first("hugetlb", &[(file.as_str(), unlimited(limit, v2))], optional);
        }
        Ok(())
    }

    fn block_io(&mut self, block: &LinuxBlockIo) -> Result<()> {
        let v2 = self.layout.with("blkio").is_none() && self.layout.is_v2();
        let controller = if v2 { "io" } else { "blkio" };
        let in_range = |weight: u16| {
            let good = (10..=1000).contains(&weight);
            good.then_some(weight)
                .ok_or_else(|| refused("blockIO", format!("weight {weight} is not between 10 and 1000")))
        };
        // The scheduler bfq keeps v1's scale; without it v2 weighs by the controller's own cost model.
        if let Some(weight) = block.weight().filter(|w| *w != 0) {
            let plain = in_range(weight)?.to_string();
            let converted = format!("default {}", weight_of_block_weight(weight));
            let files: [(&str, String); 2] = if v2 {
                [("io.bfq.weight", plain), ("io.weight", converted)]
            } else {
                [("blkio.weight", plain.clone()), ("blkio.bfq.weight", plain)]
            };
            self.put_first(controller, &files, false);
        }
        let leaf = |weight: Option<u16>| match weight.filter(|w| *w != 0) {
            Some(_) if v2 => Err(refused("blockIO", "leafWeight does not exist in cgroup v2".to_owned())),
            Some(weight) => in_range(weight).map(Some),
            None => Ok(None),
        };
        if let Some(weight) = leaf(block.leaf_weight())? {
            self.put("blkio", "blkio.leaf_weight", "", weight.to_string());
        }
        for device in block.weight_device().iter().flatten() {
            let number = format!("{}:{}", device.major(), device.minor());
            if let Some(weight) = device.weight().filter(|w| *w != 0) {
                let plain = format!("{number} {}", in_range(weight)?);
                let converted = format!("{number} {}", weight_of_block_weight(weight));
                let files: [(&str, String); 2] = if v2 {
                    [("io.bfq.weight", plain), ("io.weight", converted)]
                } else {
                    [("blkio.weight_device", plain.clone()), ("blkio.bfq.weight_device", plain)]
                };
                self.put_first(controller, &files, false);
            }
            if let Some(weight) = leaf(device.leaf_weight())? {
                self.put("blkio", "blkio.leaf_weight_device", "", format!("{number} {weight}"));
            }
        }
        let throttles: [(&Option<Vec<LinuxThrottleDevice>>, &str, &str); 4] = [
            (block.throttle_read_bps_device(), "blkio.throttle.read_bps_device", "rbps"),
            (block.throttle_write_bps_device(), "blkio.throttle.write_bps_device", "wbps"),
            (block.throttle_read_iops_device(), "blkio.throttle.read_iops_device", "riops"),
            (block.throttle_write_iops_device(), "blkio.throttle.write_iops_device", "wiops"),
        ];
        for (devices, v1_file, v2_key) in throttles {
            for device in devices.iter().flatten() {
                let number = format!("{}:{}", device.major(), device.minor());
                let value = match (v2, device.rate()) {
                    (true, 0) => format!("{number} {v2_key}=max"),
                    (true, rate) => format!("{number} {v2_key}={rate}"),
                    (false, rate) => format!("{number} {rate}"),
                };
                let file = if v2 { "io.max" } else { v1_file };
                self.put_first(controller, &[(file, value)], false);
            }
        }
        Ok(())
    }

    /// Files of v2 by their own names, behind everything else: what they say wins.
    fn unified(&mut self, resources: &LinuxResources) -> Result<()> {
        let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
        unified.sort();
        for (file, value) in unified {
            let Some((controller, _)) = file.split_once('.').filter(|_| !file.contains('/')) else {
                return Err(refused("unified", format!("{file} is no file of a controller")));
            };
            if !self.layout.is_v2() {
                return Err(refused("unified", format!("{file} is of cgroup v2, which this machine does not use")));
            }
            if matches!(file.as_str(), "cgroup.procs" | "cgroup.threads" | "cgroup.kill" | "cgroup.freeze") {
                return Err(refused("unified", format!("{file} is no limit")));
            }
            for line in value.lines() {
                self.put(controller, "", file, line.to_owned());
            }
        }
        Ok(())
    }
}

/// v1 shares (2 to 262144, usually 1024) as v2 weight (1 to 10000, usually 100): the curve through both ends and the middle
/// that runc 1.3.2 and crun 1.23 agreed on; the line they used before gave 39 for 1024.
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

/// v1 block weight (10 to 1000) as v2 io weight (1 to 10000): the line through both ends.
fn weight_of_block_weight(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Hierarchy, Layout};
    use super::{Setting, settings, weight_of_block_weight, weight_of_shares};
    use spec::runtime::LinuxResources;

    fn hierarchy(controllers: &[&str]) -> Hierarchy {
        let controllers = controllers.iter().map(|c| (*c).to_owned()).collect();
        Hierarchy { controllers, root: "/c".into(), own: "/".into() }
    }

    fn v1() -> Layout {
        Layout { v1: ["cpu", "cpuset", "memory", "pids", "blkio"].map(|c| hierarchy(&[c])).into(), ..Layout::default() }
    }

    fn v2() -> Layout {
        Layout { v2: Some(hierarchy(&["cpu", "cpuset", "memory", "pids", "io"])), ..Layout::default() }
    }

    fn written(document: serde_json::Value, layout: &Layout) -> Vec<String> {
        let resources: LinuxResources = serde_json::from_value(document).expect("resources");
        let line = |s: Setting| {
            let tries: Vec<String> = s.tries.iter().map(|(file, value)| format!("{file} {value}")).collect();
            format!("{} {}{}", s.controller, tries.join(" or "), if s.optional { " if there" } else { "" })
        };
        settings(&resources, layout).expect("settings").into_iter().map(line).collect()
    }

    #[test]
    fn the_common_limits_in_both_tongues() {
        let limits = serde_json::json!({
            "memory": { "limit": 67108864, "swap": 134217728, "reservation": 33554432 },
            "cpu": { "shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1" },
            "pids": { "limit": 64 },
            "blockIO": { "weight": 500, "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1048576 }] },
        });
        assert_eq!(
            written(limits.clone(), &v1()),
            [
                "memory memory.limit_in_bytes 67108864",
                "memory memory.memsw.limit_in_bytes 134217728",
                "memory memory.soft_limit_in_bytes 33554432",
                "cpu cpu.shares 1024",
                "cpu cpu.cfs_period_us 100000",
                "cpu cpu.cfs_quota_us 50000",
                "cpuset cpuset.cpus 0-1",
                "pids pids.max 64",
                "blkio blkio.weight 500 or blkio.bfq.weight 500",
                "blkio blkio.throttle.read_bps_device 8:0 1048576",
            ]
        );
        assert_eq!(
            written(limits, &v2()),
            [
                "memory memory.swap.max 67108864",
                "memory memory.max 67108864",
                "memory memory.low 33554432",
                "cpu cpu.weight 100",
                "cpu cpu.max 50000 100000",
                "cpuset cpuset.cpus 0-1",
                "pids pids.max 64",
                "io io.bfq.weight 500 or io.weight default 4950",
                "io io.max 8:0 rbps=1048576",
            ]
        );
    }

    #[test]
    fn minus_one_is_no_limit_and_zero_is_not_asked_for() {
        let none = serde_json::json!({ "memory": { "limit": -1, "swap": -1 }, "pids": { "limit": -1 }, "cpu": { "quota": -1 } });
        let files = written(none, &v2());
        assert_eq!(
            files,
            ["memory memory.swap.max max if there", "memory memory.max max", "cpu cpu.max max", "pids pids.max max"]
        );
        let zero = serde_json::json!({ "memory": { "limit": 0 }, "pids": { "limit": 0 }, "cpu": { "shares": 0 } });
        assert!(written(zero, &v1()).is_empty());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let said = |document: serde_json::Value, layout: &Layout| {
            let resources: LinuxResources = serde_json::from_value(document).expect("resources");
            settings(&resources, layout).expect_err("refused").to_string()
        };
        let swap = serde_json::json!({ "memory": { "limit": 200, "swap": 100 } });
        assert!(said(swap, &v1()).ends_with("is less than limit 200"));
        let unified = serde_json::json!({ "unified": { "memory.high": "1" } });
        assert!(said(unified, &v1()).contains("memory.high is of cgroup v2"));
        let climbing = serde_json::json!({ "unified": { "../memory.max": "1" } });
        assert!(said(climbing, &v2()).contains("no file of a controller"));
        let weight = serde_json::json!({ "blockIO": { "weight": 5 } });
        assert!(said(weight, &v1()).contains("weight 5 is not between 10 and 1000"));
        for (resources, words) in [
            (serde_json::json!({ "memory": { "swappiness": 10 } }), "swappiness does not exist in cgroup v2"),
            (serde_json::json!({ "memory": { "disableOOMKiller": true } }), "disableOOMKiller does not exist"),
            (serde_json::json!({ "memory": { "swap": 10 } }), "swap needs a limit"),
            (serde_json::json!({ "cpu": { "realtimeRuntime": 10 } }), "real-time limits do not exist"),
            (serde_json::json!({ "blockIO": { "leafWeight": 10 } }), "leafWeight does not exist"),
            (serde_json::json!({ "unified": { "cgroup.kill": "1" } }), "cgroup.kill is no limit"),
            (serde_json::json!({ "rdma": { "mlx5_1": {} } }), "neither hcaHandles nor hcaObjects"),
            (serde_json::json!({ "hugepageLimits": [{ "pageSize": "../2MB", "limit": 1 }] }), "is no page size"),
        ] {
            assert!(said(resources, &v2()).contains(words), "{words}");
        }
        let shares = serde_json::json!({ "cpu": { "shares": 1 } });
        assert!(said(shares, &v1()).contains("shares 1 is not between 2 and 262144"));
    }

    #[test]
    fn pages_and_adapters() {
        let resources = serde_json::json!({
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4194304 }],
            "rdma": { "mlx5_1": { "hcaHandles": 3, "hcaObjects": 10 } },
            "unified": { "memory.high": "1000000", "cgroup.max.depth": "2" },
        });
        assert_eq!(
            written(resources, &v2()),
            [
                "hugetlb hugetlb.2MB.max 4194304",
                "hugetlb hugetlb.2MB.rsvd.max 4194304 if there",
                "rdma rdma.max mlx5_1 hca_handle=3 hca_object=10",
                "cgroup cgroup.max.depth 2",
                "memory memory.high 1000000",
            ]
        );
    }

    #[test]
    fn weights_keep_their_ends_and_their_middle() {
        assert_eq!([2, 1024, 262_144].map(weight_of_shares), [1, 100, 10_000]);
        assert_eq!([10, 1000].map(weight_of_block_weight), [1, 10_000]);
    }
}
