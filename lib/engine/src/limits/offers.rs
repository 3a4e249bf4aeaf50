//! Which limits this kernel has and lets us set: the files that are there in the roots of its hierarchies.
//!
//! v1: the same files docker looks for (moby, `pkg/sysinfo`). v2: the controllers of the root, for an ordinary user those of the
//! group its containers' groups would lie in, if it is delegated. Weights of transfers are there only where something weighs:
//! the scheduler bfq on a disk, or io.cost.

use crate::machine::{Cgroups, Machine};
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// What can be limited.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// Memory at all.
    pub memory: bool,
    /// Memory and swap together.
    pub swap: bool,
    /// What is left when memory becomes scarce.
    pub reservation: bool,
    /// How readily it is swapped out (v1).
    pub swappiness: bool,
    /// Whether the kernel can be told not to kill (v1).
    pub oom_control: bool,
    /// Processes and threads.
    pub pids: bool,
    /// Weights of processor time.
    pub shares: bool,
    /// Processor time a period.
    pub quota: bool,
    /// Real-time processor time (v1).
    pub realtime: bool,
    /// Processors and memory nodes there are.
    pub sets: Option<(String, String)>,
    /// Weights of transfers.
    pub weight: bool,
    /// Rates of transfers.
    pub throttle: bool,
    /// Whether limits are cgroup v2's.
    pub unified: bool,
    /// How many processors there are.
    pub processors: i64,
}

impl Offers {
    /// Looks.
    pub fn probe(machine: &Machine) -> Self {
        let mut offers = match (machine.cgroups, machine.rootless) {
            (Cgroups::V2, false) => Self::unified(Path::new(ROOT)),
            (Cgroups::V2, true) if machine.delegated => {
                delegated().map(|group| Self::unified(&group)).unwrap_or_default()
            }
            (Cgroups::V1, false) => Self::separate(Path::new(ROOT)),
            _ => Self::default(),
        };
        // Those of the machine, as docker counts them: our own affinity does not bind a container.
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        let count = super::number_list::parse(&online).map_or(0, |list| list.len());
        offers.processors = i64::try_from(count).unwrap_or(1).max(1);
        offers
    }

    fn separate(root: &Path) -> Self {
        let has = |controller: &str, file: &str| root.join(controller).join(file).exists();
        let read = |file: &str| {
            let text = std::fs::read_to_string(root.join("cpuset").join(file)).ok()?;
            Some(text.trim().to_owned())
        };
        Self {
            memory: has("memory", "memory.limit_in_bytes"),
            swap: has("memory", "memory.memsw.limit_in_bytes"),
            reservation: has("memory", "memory.soft_limit_in_bytes"),
            swappiness: has("memory", "memory.swappiness"),
            oom_control: has("memory", "memory.oom_control"),
            pids: has("pids", "cgroup.procs"),
            shares: has("cpu", "cpu.shares"),
            quota: has("cpu", "cpu.cfs_quota_us"),
            realtime: has("cpu", "cpu.rt_runtime_us"),
            sets: read("cpuset.cpus").zip(read("cpuset.mems")),
            weight: has("blkio", "blkio.weight")
                || (has("blkio", "blkio.bfq.io_service_bytes") && bfq_schedules_a_disk()),
            throttle: has("blkio", "blkio.throttle.read_bps_device"),
            unified: false,
            processors: 1,
        }
    }

    fn unified(group: &Path) -> Self {
        let listed = std::fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
        let has = |controller: &str| listed.split_whitespace().any(|c| c == controller);
        let read = |file: &str| Some(std::fs::read_to_string(group.join(file)).ok()?.trim().to_owned());
        let sets = read("cpuset.cpus.effective").zip(read("cpuset.mems.effective"));
        Self {
            memory: has("memory"),
            swap: has("memory") && Path::new("/proc/swaps").exists(),
            reservation: has("memory"),
            pids: has("pids"),
            shares: has("cpu"),
            quota: has("cpu"),
            sets: sets.filter(|_| has("cpuset")),
            weight: has("io") && (Path::new(ROOT).join("io.cost.qos").exists() || bfq_schedules_a_disk()),
            throttle: has("io"),
            unified: !listed.is_empty(),
            ..Self::default()
        }
    }
}

/// The group that the groups of an ordinary user's containers lie in, where it is theirs: the one above our own, for processes
/// are in that one and it passes no controllers on.
pub(crate) fn delegated() -> Option<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let above = Path::new(ROOT).join(Path::new(own).parent()?);
    let ours = |file: &str| rustix::fs::access(above.join(file), rustix::fs::Access::WRITE_OK).is_ok();
    (ours("") && ours("cgroup.procs") && ours("cgroup.subtree_control")).then_some(above)
}

/// Whether some disk is in the hands of bfq, the scheduler that knows weights.
fn bfq_schedules_a_disk() -> bool {
    let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks
        .map(|disk| std::fs::read_to_string(disk.path().join("queue/scheduler")).unwrap_or_default())
        .any(|schedulers| schedulers.contains("[bfq]"))
}
