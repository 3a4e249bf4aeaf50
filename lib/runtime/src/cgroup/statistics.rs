//! What a container has used, read from its groups: the document that `runc events` prints, member by member, so that who
//! reads the one reads the other (opencontainers/runc, types/events.go).
//!
//! Times are in nanoseconds, sizes in bytes. v2 counts swap without memory; here, as in v1 and in runc, it is the sum. What a
//! kernel does not tell is zero or left out.

use super::{Cgroup, Group};
use crate::numbers;
use serde::Serialize;
use std::collections::BTreeMap;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are the documentation: each is a member of runc's document")]
pub struct Statistics {
    pub cpu: Cpu,
    pub cpuset: Cpuset,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: Blkio,
    pub hugetlb: BTreeMap<String, Huge>,
    pub intel_rdt: Nothing,
    pub network_interfaces: Option<()>,
}

/// An empty document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Nothing {}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Used.
    pub usage: CpuUsage,
    /// Held back by the quota.
    pub throttling: Throttling,
    /// Stalls (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Processor time used, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// What the quota did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The processors and memory nodes it may use (v1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: Counter,
    pub swap: Counter,
    pub kernel: Counter,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Counter,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A counter with a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Counter {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Processes and threads; a limit of 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block transfers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<Transfer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Transfers of one device and direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Transfer {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Huge {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// How much was waited for something (v2, Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some processes waited.
    pub some: Stall,
    /// All of them did.
    pub full: Stall,
}

/// Shares of the last seconds in percent, and all of it in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named after runc's members")]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Cgroup {
    /// What has been used up to now.
    pub fn statistics(&self) -> Statistics {
        let v2 = self.groups.iter().find(|g| g.v2);
        let reader = |controller: &str| Reader(self.group_of(controller).or(v2));
        let is_v2 = |controller: &str| self.group_of(controller).or(v2).is_some_and(|g| g.v2);
        let memory = reader("memory");
        let pids = reader("pids");
        Statistics {
            cpu: if is_v2("cpuacct") { reader("cpu").cpu_v2() } else { cpu_v1(&reader("cpu"), &reader("cpuacct")) },
            cpuset: if is_v2("cpuset") { Cpuset::default() } else { reader("cpuset").cpuset() },
            memory: if is_v2("memory") { memory.memory_v2() } else { memory.memory_v1() },
            pids: Pids { current: pids.number("pids.current"), limit: pids.number("pids.max") },
            blkio: if is_v2("blkio") { reader("io").io_v2() } else { reader("blkio").blkio_v1() },
            hugetlb: reader("hugetlb").huge(is_v2("hugetlb")),
            intel_rdt: Nothing {},
            network_interfaces: None,
        }
    }
}

/// The files of one group; of none, where there is none.
struct Reader<'a>(Option<&'a Group>);

impl Reader<'_> {
    fn text(&self, file: &str) -> String {
        self.0.and_then(|g| g.read(file).ok()).unwrap_or_default()
    }

    /// A file of one number; `max` and what is not there are 0.
    fn number(&self, file: &str) -> u64 {
        self.text(file).trim().parse().unwrap_or(0)
    }

    /// The same, where `max` is all there could be.
    fn limit(&self, file: &str) -> u64 {
        let text = self.text(file);
        if text.trim() == "max" { u64::MAX } else { text.trim().parse().unwrap_or(0) }
    }

    /// A file of names and numbers.
    fn table(&self, file: &str) -> BTreeMap<String, u64> {
        table(&self.text(file))
    }

    fn pressure(&self, file: &str) -> Option<Pressure> {
        pressure(&self.text(file))
    }

    fn cpu_v2(&self) -> Cpu {
        let stat = self.table("cpu.stat");
        let of = |name: &str| stat.get(name).copied().unwrap_or(0);
        let usage = CpuUsage {
            total: of("usage_usec") * 1000,
            kernel: of("system_usec") * 1000,
            user: of("user_usec") * 1000,
            ..CpuUsage::default()
        };
        let throttling = Throttling {
            periods: of("nr_periods"),
            throttled_periods: of("nr_throttled"),
            throttled_time: of("throttled_usec") * 1000,
        };
        Cpu { usage, throttling, psi: self.pressure("cpu.pressure") }
    }

    fn cpuset(&self) -> Cpuset {
        let level = self.text("cpuset.sched_relax_domain_level");
        Cpuset {
            cpus: list(&self.text("cpuset.cpus")),
            cpu_exclusive: self.number("cpuset.cpu_exclusive"),
            mems: list(&self.text("cpuset.mems")),
            mem_hardwall: self.number("cpuset.mem_hardwall"),
            mem_exclusive: self.number("cpuset.mem_exclusive"),
            memory_migrate: self.number("cpuset.memory_migrate"),
            memory_spread_page: self.number("cpuset.memory_spread_page"),
            memory_spread_slab: self.number("cpuset.memory_spread_slab"),
            memory_pressure: self.number("cpuset.memory_pressure"),
            sched_load_balance: self.number("cpuset.sched_load_balance"),
            sched_relax_domain_level: level.trim().parse().unwrap_or(0),
        }
    }

    fn memory_v1(&self) -> Memory {
        let counter = |name: &str| Counter {
            limit: self.number(&format!("memory.{name}limit_in_bytes")),
            usage: self.number(&format!("memory.{name}usage_in_bytes")),
            max: self.number(&format!("memory.{name}max_usage_in_bytes")),
            failcnt: self.number(&format!("memory.{name}failcnt")),
        };
        let raw = self.table("memory.stat");
        Memory {
            cache: raw.get("cache").copied().unwrap_or(0),
            usage: counter(""),
            swap: counter("memsw."),
            kernel: counter("kmem."),
            kernel_tcp: counter("kmem.tcp."),
            raw,
            psi: None,
        }
    }

    fn memory_v2(&self) -> Memory {
        let counter = |name: &str| Counter {
            limit: self.limit(&format!("memory.{name}max")),
            usage: self.number(&format!("memory.{name}current")),
            max: self.number(&format!("memory.{name}peak")),
            failcnt: 0,
        };
        let (mut usage, mut swap) = (counter(""), counter("swap."));
        usage.failcnt = self.table("memory.events").get("max").copied().unwrap_or(0);
        swap.usage += usage.usage;
        swap.limit = if swap.limit == u64::MAX { u64::MAX } else { swap.limit.saturating_add(usage.limit) };
        let raw = self.table("memory.stat");
        Memory {
            cache: raw.get("file").copied().unwrap_or(0),
            usage,
            swap,
            raw,
            psi: self.pressure("memory.pressure"),
            ..Memory::default()
        }
    }

    fn blkio_v1(&self) -> Blkio {
        let read = |names: [&str; 2]| {
            let texts = names.map(|name| transfers(&self.text(name)));
            texts.into_iter().find(|t| !t.is_empty()).unwrap_or_default()
        };
        Blkio {
            io_service_bytes_recursive: read([
                "blkio.bfq.io_service_bytes_recursive",
                "blkio.throttle.io_service_bytes_recursive",
            ]),
            io_serviced_recursive: read(["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"]),
            psi: None,
        }
    }

    fn io_v2(&self) -> Blkio {
        let mut all = Blkio { psi: self.pressure("io.pressure"), ..Blkio::default() };
        for line in self.text("io.stat").lines() {
            let mut words = line.split_ascii_whitespace();
            let Some((major, minor)) = words.next().and_then(device) else { continue };
            for (name, value) in words.filter_map(|word| word.split_once('=')) {
                let value = value.parse().unwrap_or(0);
                let one = |op: &str| Transfer { major, minor, op: op.to_owned(), value };
                match name {
                    "rbytes" => all.io_service_bytes_recursive.push(one("Read")),
                    "wbytes" => all.io_service_bytes_recursive.push(one("Write")),
                    "rios" => all.io_serviced_recursive.push(one("Read")),
                    "wios" => all.io_serviced_recursive.push(one("Write")),
                    _ => {}
                }
            }
        }
        all
    }

    fn huge(&self, v2: bool) -> BTreeMap<String, Huge> {
        let Some(group) = self.0 else { return BTreeMap::new() };
        let (used, after) = if v2 { ("current", ".current") } else { ("usage_in_bytes", ".usage_in_bytes") };
        let mut all = BTreeMap::new();
        for name in super::group::names_in(&group.path).unwrap_or_default() {
            let Some(size) = name.strip_prefix("hugetlb.").and_then(|n| n.strip_suffix(after)) else { continue };
            if size.contains('.') {
                continue;
            }
            // Reservations count where the kernel counts them: they are what a mapping fails by.
            let reserved = format!("hugetlb.{size}.rsvd.{used}");
            let kind = if group.read(&reserved).is_ok() { format!("{size}.rsvd") } else { size.to_owned() };
            let file = |end: &str| format!("hugetlb.{kind}.{end}");
            let failed = if v2 {
                self.table(&format!("hugetlb.{size}.events")).get("max").copied().unwrap_or(0)
            } else {
                self.number(&file("failcnt"))
            };
            let max = if v2 { 0 } else { self.number(&file("max_usage_in_bytes")) };
            all.insert(size.to_owned(), Huge { usage: self.number(&file(used)), max, failcnt: failed });
        }
        all
    }
}

fn cpu_v1(cpu: &Reader<'_>, account: &Reader<'_>) -> Cpu {
    let stat = cpu.table("cpu.stat");
    let of = |name: &str| stat.get(name).copied().unwrap_or(0);
    let throttling = Throttling {
        periods: of("nr_periods"),
        throttled_periods: of("nr_throttled"),
        throttled_time: of("throttled_time"),
    };
    let ticks = account.table("cpuacct.stat");
    // Ticks that programs see are a hundredth of a second on every architecture (USER_HZ).
    let time = |name: &str| ticks.get(name).map_or(0, |ticks| ticks * 10_000_000);
    let mut usage = CpuUsage {
        total: account.number("cpuacct.usage"),
        percpu: account.text("cpuacct.usage_percpu").split_ascii_whitespace().flat_map(str::parse).collect(),
        kernel: time("system"),
        user: time("user"),
        ..CpuUsage::default()
    };
    for line in account.text("cpuacct.usage_all").lines().skip(1) {
        let mut numbers = line.split_ascii_whitespace().skip(1).flat_map(str::parse);
        if let (Some(user), Some(kernel)) = (numbers.next(), numbers.next()) {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
    Cpu { usage, throttling, psi: None }
}

fn table(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `8:0 Read 4096` a line; the sum at the end has no device.
fn transfers(text: &str) -> Vec<Transfer> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (device_word, op, value) = match words.as_slice() {
            [device, op, value] => (device, *op, value),
            [device, value] => (device, "", value),
            _ => return None,
        };
        let (major, minor) = device(device_word)?;
        Some(Transfer { major, minor, op: op.to_owned(), value: value.parse().ok()? })
    };
    text.lines().filter_map(line).collect()
}

/// A list of numbers and ranges; of a group that has none, nothing.
fn list(text: &str) -> Vec<u16> {
    let numbers = numbers::parse(text, usize::from(u16::MAX) + 1).unwrap_or_default();
    numbers.into_iter().filter_map(|number| u16::try_from(number).ok()).collect()
}

fn pressure(text: &str) -> Option<Pressure> {
    let mut all = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let stall = match words.next()? {
            "some" => &mut all.some,
            "full" => &mut all.full,
            _ => continue,
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "avg10" => stall.avg10 = value.parse().ok()?,
                "avg60" => stall.avg60 = value.parse().ok()?,
                "avg300" => stall.avg300 = value.parse().ok()?,
                "total" => stall.total = value.parse().ok()?,
                _ => {}
            }
        }
    }
    (!text.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::{Statistics, list, pressure, transfers};

    #[test]
    fn files_as_the_kernel_writes_them() {
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert!(list("\n").is_empty());
        let read = transfers("8:0 Read 4096\n8:0 Write 0\nTotal 4096\n");
        assert_eq!((read.len(), read[0].major, read[0].op.as_str(), read[0].value), (2, 8, "Read", 4096));
        let text = "some avg10=1.50 avg60=0.00 avg300=0.25 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        let all = pressure(text).unwrap();
        assert_eq!((all.some.avg10, all.some.avg300, all.some.total, all.full.total), (1.5, 0.25, 77, 5));
        assert_eq!(pressure(""), None);
    }

    #[test]
    fn what_is_zero_is_left_out_where_runc_leaves_it_out() {
        let shown = serde_json::to_value(Statistics::default()).unwrap();
        assert_eq!(shown["cpu"], serde_json::json!({ "usage": { "kernel": 0, "user": 0 }, "throttling": {} }));
        assert_eq!(shown["memory"]["kernelTCP"], serde_json::json!({ "limit": 0, "failcnt": 0 }));
        assert_eq!(shown["pids"], serde_json::json!({}));
        assert_eq!(shown["network_interfaces"], serde_json::Value::Null);
    }
}
