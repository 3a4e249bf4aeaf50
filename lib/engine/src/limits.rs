//! What a container may use of this machine, between what was asked for and what the runtime is told.
//!
//! ```text
//! options ─ request::limits ─ settle ─ the record ─ document ─ config.json: linux.resources, process.rlimits
//!                               │                     └ update: what the runtime's verb reads
//!                             offers: which limits this kernel has
//! ```
//!
//! [`settle`] is docker's examination of resources (moby, `daemon/daemon_unix.go`, `verifyPlatformContainerResources`): what
//! cannot be is refused, what this kernel cannot do is discarded with a warning, both in docker's words. What comes out of it is
//! what the record keeps and what `inspect` shows. [`document`] is pure, so that `--explain` prints what will be.
//!
//! An ordinary user whose group nobody delegated has no limits at all: each is discarded with its warning, and the container
//! runs.

use crate::machine::Machine;
use crate::request::limits::Limits;
use crate::{Error, Kind, Result};

pub mod document;
mod number_list;
pub(crate) mod offers;
pub mod shown;

pub use offers::Offers;

/// docker's least limit of memory.
const LEAST_MEMORY: i64 = 6 << 20;

/// What there is to say about limits that are in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// docker's warnings: what was discarded, and what is dangerous.
    pub warnings: Vec<String>,
    /// What holds less than it seems, and what to do.
    pub hints: Vec<String>,
}

/// For a new container: examines its limits on this machine and puts in what docker puts in. Looks at the machine only where
/// there is a limit at all.
pub fn settle(limits: &mut Limits, machine: &Machine) -> Result<Advice> {
    if *limits == Limits::default() {
        return Ok(Advice::default());
    }
    let offers = Offers::probe(machine);
    let advice = examine(limits, &offers, true)?;
    if limits.shm_size < 0 {
        return Err(refused("SHM size can not be less than 0"));
    }
    if !(-1000..=1000).contains(&limits.oom_score_adj) {
        let wrong = limits.oom_score_adj;
        return Err(refused(format!("Invalid value {wrong}, range for oom score adj is [-1000, 1000]")));
    }
    if limits.memory > 0 && limits.memory_swap == 0 {
        limits.memory_swap = limits.memory.saturating_mul(2);
    }
    for disk in limits.devices_mut() {
        let found = rustix::fs::stat(&*disk.path).map_err(|e| {
            let kind = if e == rustix::io::Errno::NOENT { Kind::CommandNotFound } else { Kind::Request };
            Error::new(kind, "stat", &disk.path).because(std::io::Error::from(e))
        })?;
        disk.device = Some((rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev)));
    }
    Ok(advice)
}

/// docker's sentence, as it stands.
pub(crate) fn refused(sentence: impl std::fmt::Display) -> Error {
    Error::new(Kind::Request, "", sentence)
}

/// Refuses what cannot be and discards what `offers` lacks. `new`: for a new container, not for a change of one.
pub(crate) fn examine(limits: &mut Limits, offers: &Offers, new: bool) -> Result<Advice> {
    let mut advice = Advice::default();
    memory(limits, offers, new, &mut advice)?;
    processors(limits, offers, &mut advice)?;
    sets(limits, offers, &mut advice)?;
    transfers(limits, offers, &mut advice)?;
    if !limits.cgroup_conf.is_empty() && !offers.unified {
        advice.warn("--cgroup-conf names files of cgroup v2, which does not hold this machine's limits. Discarded.");
        limits.cgroup_conf.clear();
    }
    Ok(advice)
}

impl Advice {
    fn warn(&mut self, sentence: &str) {
        self.warnings.push(sentence.to_owned());
    }

    /// Sets `value` back, and says so, where it was asked for but is not offered.
    fn discard<T: Default + PartialEq>(&mut self, offered: bool, value: &mut T, sentence: &str) {
        if !offered && *value != T::default() {
            self.warn(sentence);
            *value = T::default();
        }
    }
}

fn memory(limits: &mut Limits, offers: &Offers, new: bool, advice: &mut Advice) -> Result<()> {
    if limits.memory_swappiness == Some(-1) {
        limits.memory_swappiness = None;
    }
    if limits.memory != 0 && limits.memory < LEAST_MEMORY {
        return Err(refused("Minimum memory limit allowed is 6MB"));
    }
    if limits.memory > 0 && !offers.memory {
        advice.warn(
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        );
        (limits.memory, limits.memory_swap) = (0, -1);
    }
    if limits.memory > 0 && limits.memory_swap != -1 && !offers.swap {
        advice.warn(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        );
        limits.memory_swap = -1;
    }
    if limits.memory > 0 && limits.memory_swap > 0 && limits.memory_swap < limits.memory {
        return Err(refused("Minimum memoryswap limit should be larger than memory limit, see usage"));
    }
    if limits.memory == 0 && limits.memory_swap > 0 && new {
        return Err(refused("You should always set the Memory limit when using Memoryswap limit, see usage"));
    }
    advice.discard(
        offers.swappiness,
        &mut limits.memory_swappiness,
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    );
    if let Some(wrong) = limits.memory_swappiness.filter(|n| !(0..=100).contains(n)) {
        return Err(refused(format!("Invalid value: {wrong}, valid memory swappiness range is 0-100")));
    }
    advice.discard(
        offers.reservation,
        &mut limits.memory_reservation,
        "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
    );
    if limits.memory_reservation > 0 && limits.memory_reservation < LEAST_MEMORY {
        return Err(refused("Minimum memory reservation allowed is 6MB"));
    }
    if limits.memory > 0 && limits.memory_reservation > 0 && limits.memory < limits.memory_reservation {
        return Err(refused("Minimum memory limit can not be less than memory reservation limit, see usage"));
    }
    advice.discard(
        false,
        &mut limits.kernel_memory,
        "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    );
    advice.discard(
        offers.oom_control,
        &mut limits.oom_kill_disable,
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    );
    if limits.oom_kill_disable && limits.memory == 0 {
        advice.warn(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
        );
    }
    if limits.pids.is_some() && !offers.pids {
        if limits.pids.is_some_and(|n| n > 0) {
            advice.warn(
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            );
        }
        limits.pids = None;
    }
    Ok(())
}

fn processors(limits: &mut Limits, offers: &Offers, advice: &mut Advice) -> Result<()> {
    if limits.nano_cpus > 0 && limits.cpu_period > 0 {
        return Err(refused("Conflicting options: Nano CPUs and CPU Period cannot both be set"));
    }
    if limits.nano_cpus > 0 && limits.cpu_quota > 0 {
        return Err(refused("Conflicting options: Nano CPUs and CPU Quota cannot both be set"));
    }
    let all = offers.processors;
    if limits.nano_cpus < 0 || limits.nano_cpus > all.saturating_mul(1_000_000_000) {
        return Err(refused(format!("Range of CPUs is from 0.01 to {all}.00, as there are only {all} CPUs available")));
    }
    // docker refuses here; without root every other limit is discarded, and so is this one.
    advice.discard(
        offers.quota,
        &mut limits.nano_cpus,
        "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. NanoCPUs discarded.",
    );
    advice.discard(
        offers.shares,
        &mut limits.cpu_shares,
        "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
    );
    // runc's limits and words
    match limits.cpu_shares {
        0 | 2..=262_144 => {}
        ..2 => return Err(refused("the minimum allowed cpu-shares is 2")),
        _ => return Err(refused("the maximum allowed cpu-shares is 262144")),
    }
    let mut both = (limits.cpu_period, limits.cpu_quota);
    advice.discard(
        offers.quota,
        &mut both,
        "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    );
    (limits.cpu_period, limits.cpu_quota) = both;
    if limits.cpu_period != 0 && !(1000..=1_000_000).contains(&limits.cpu_period) {
        return Err(refused("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"));
    }
    if limits.cpu_quota > 0 && limits.cpu_quota < 1000 {
        return Err(refused("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    let mut both = (limits.cpu_rt_period, limits.cpu_rt_runtime);
    advice.discard(offers.realtime, &mut both, "Your kernel does not support CPU real-time scheduler. Discarded.");
    (limits.cpu_rt_period, limits.cpu_rt_runtime) = both;
    if limits.cpu_rt_period != 0 && limits.cpu_rt_runtime > limits.cpu_rt_period {
        return Err(refused("cpu real-time runtime cannot be higher than cpu real-time period"));
    }
    Ok(())
}

fn sets(limits: &mut Limits, offers: &Offers, advice: &mut Advice) -> Result<()> {
    let mut both = (std::mem::take(&mut limits.cpuset_cpus), std::mem::take(&mut limits.cpuset_mems));
    advice.discard(
        offers.sets.is_some(),
        &mut both,
        "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
    );
    (limits.cpuset_cpus, limits.cpuset_mems) = both;
    let (cpus, mems) = offers.sets.clone().unwrap_or_default();
    for (asked, there, what, name) in [
        (&limits.cpuset_cpus, &cpus, "CPUs", "cpuset cpus"),
        (&limits.cpuset_mems, &mems, "memory nodes", "cpuset mems"),
    ] {
        if asked.is_empty() {
            continue;
        }
        let wrong = |why| refused(format!("Invalid value {asked} for {name}: {why}"));
        let wanted = number_list::parse(asked).map_err(wrong)?;
        let present = number_list::parse(there).unwrap_or_default();
        if !wanted.is_subset(&present) {
            return Err(refused(format!("Requested {what} are not available - requested {asked}, available: {there}")));
        }
    }
    Ok(())
}

fn transfers(limits: &mut Limits, offers: &Offers, advice: &mut Advice) -> Result<()> {
    advice.discard(
        offers.weight,
        &mut limits.blkio_weight,
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    );
    if limits.blkio_weight > 0 && !(10..=1000).contains(&limits.blkio_weight) {
        return Err(refused("Range of blkio weight is from 10 to 1000"));
    }
    advice.discard(
        offers.weight,
        &mut limits.blkio_weight_device,
        "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
    );
    for (list, sentence) in [
        (
            &mut limits.read_bps,
            "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
        ),
        (
            &mut limits.write_bps,
            "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.",
        ),
        (
            &mut limits.read_iops,
            "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.",
        ),
        (
            &mut limits.write_iops,
            "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.",
        ),
    ] {
        advice.discard(offers.throttle, list, sentence);
    }
    let written = !limits.write_bps.is_empty() || !limits.write_iops.is_empty();
    if written && !offers.unified {
        advice.hints.push(
            "with cgroup v1 the kernel holds back direct writes alone; what goes through the page cache it writes later, for nobody".into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Offers {
        Offers {
            memory: true,
            swap: true,
            reservation: true,
            swappiness: true,
            oom_control: true,
            pids: true,
            shares: true,
            quota: true,
            realtime: true,
            sets: Some(("0-1".into(), "0".into())),
            weight: true,
            throttle: true,
            unified: false,
            processors: 2,
        }
    }

    #[track_caller]
    fn why(limits: Limits) -> String {
        examine(&mut limits.clone(), &all(), true).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_in_dockers_words() {
        let of = Limits::default;
        let memory = 8 << 20;
        for (limits, sentence) in [
            (Limits { memory: 1, ..of() }, "Minimum memory limit allowed is 6MB"),
            (
                Limits { memory, memory_swap: 1, ..of() },
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                Limits { memory_swap: 1, ..of() },
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                Limits { memory_swappiness: Some(101), ..of() },
                "Invalid value: 101, valid memory swappiness range is 0-100",
            ),
            (Limits { memory_reservation: 5, ..of() }, "Minimum memory reservation allowed is 6MB"),
            (
                Limits { memory, memory_reservation: memory + 1, ..of() },
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ),
            (
                Limits { nano_cpus: 1, cpu_period: 1, ..of() },
                "Conflicting options: Nano CPUs and CPU Period cannot both be set",
            ),
            (
                Limits { nano_cpus: 1, cpu_quota: 1, ..of() },
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ),
            (
                Limits { nano_cpus: 3_000_000_000, ..of() },
                "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                Limits { cpu_period: 10, ..of() },
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ),
            (Limits { cpu_quota: 10, ..of() }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
            (
                Limits { cpuset_cpus: "1-2".into(), ..of() },
                "Requested CPUs are not available - requested 1-2, available: 0-1",
            ),
            (Limits { cpuset_mems: "x".into(), ..of() }, "Invalid value x for cpuset mems: invalid format: x"),
            (Limits { blkio_weight: 5, ..of() }, "Range of blkio weight is from 10 to 1000"),
        ] {
            assert_eq!(why(limits), sentence);
        }
    }

    #[test]
    fn what_the_kernel_lacks_is_discarded_with_a_warning_each() {
        let disk = crate::request::limits::DeviceLimit::parse_bps("/dev/sda:1").unwrap();
        let mut limits = Limits {
            memory: 8 << 20,
            memory_reservation: 8 << 20,
            memory_swappiness: Some(5),
            kernel_memory: 1,
            oom_kill_disable: true,
            pids: Some(5),
            nano_cpus: 1,
            cpu_shares: 5,
            cpuset_cpus: "0".into(),
            blkio_weight: 50,
            blkio_weight_device: vec![disk.clone()],
            read_bps: vec![disk.clone()],
            write_bps: vec![disk.clone()],
            read_iops: vec![disk.clone()],
            write_iops: vec![disk],
            ..Limits::default()
        };
        let none = Offers { processors: 2, ..Offers::default() };
        let advice = examine(&mut limits, &none, true).unwrap();
        assert_eq!(advice.warnings.len(), 15, "{:#?}", advice.warnings);
        assert!(advice.warnings.iter().all(|w| w.starts_with("Your kernel does not support")));
        assert_eq!(limits, Limits { memory_swap: -1, ..Limits::default() });
    }
}
