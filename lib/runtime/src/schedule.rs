//! When the container's process runs, and where: `process.scheduler` (sched_setattr(2)), `process.ioPriority` (ioprio_set(2)) and
//! `process.execCPUAffinity` (sched_setaffinity(2)).
//!
//! [`check`] is the parent's part, before anything exists; [`apply`] the process's own, while it still has its privileges. What
//! nobody asked for costs no system call, and stays as the caller had it.

use crate::error::{Result, failed, invalid};
use crate::numbers;
use rustix::thread::CpuSet;
use spec::runtime::{IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};
use sys::schedule::Policy;

/// Fails on what no kernel would take.
pub(crate) fn check(process: &Process) -> Result<()> {
    if let Some(scheduler) = process.scheduler() {
        check_scheduler(scheduler)?;
    }
    if let Some(priority) = process.io_priority()
        && !(0..=7).contains(&priority.priority())
    {
        return Err(invalid("process.ioPriority", priority.priority(), "must be 0 to 7"));
    }
    if let Some(affinity) = process.exec_cpu_affinity() {
        for list in [affinity.initial(), affinity.cpu_affinity_final()].into_iter().flatten() {
            processors(list)?;
        }
    }
    Ok(())
}

fn check_scheduler(scheduler: &Scheduler) -> Result<()> {
    use LinuxSchedulerPolicy as P;
    let refused = |field: &str, why: &str| Err(invalid("process.scheduler", field, why));
    if !(-20..=19).contains(&scheduler.nice().unwrap_or(0)) {
        return refused("nice", "must be -20 to 19");
    }
    let real_time = matches!(scheduler.policy(), P::SchedFifo | P::SchedRr);
    match scheduler.priority().unwrap_or(0) {
        1..=99 if real_time => {}
        0 if !real_time => {}
        _ if real_time => return refused("priority", "must be 1 to 99"),
        _ => return refused("priority", "is for SCHED_FIFO and SCHED_RR only"),
    }
    let times = [scheduler.runtime(), scheduler.deadline(), scheduler.period()];
    if *scheduler.policy() != P::SchedDeadline && times.iter().any(|t| t.is_some_and(|ns| ns != 0)) {
        return refused("runtime, deadline, period", "are for SCHED_DEADLINE only");
    }
    Ok(())
}

/// Puts this process under the scheduler and the I/O priority that are asked for.
pub(crate) fn apply(process: &Process) -> Result<()> {
    if let Some(scheduler) = process.scheduler() {
        sys::schedule::set_policy(&policy(scheduler)).map_err(|e| {
            let errno = e.raw_os_error();
            let error = failed("set process.scheduler", scheduler.policy(), e);
            match errno {
                Some(libc::EPERM) => {
                    error.hint("it takes CAP_SYS_NICE, and SCHED_DEADLINE all processors of the machine")
                }
                Some(libc::EOPNOTSUPP) => error.hint("this kernel was built without CONFIG_UCLAMP_TASK"),
                Some(libc::EINVAL) if *scheduler.policy() == LinuxSchedulerPolicy::SchedIso => {
                    error.hint("no kernel has SCHED_ISO: the number is reserved, the policy was never merged")
                }
                _ => error,
            }
        })?;
    }
    if let Some(priority) = process.io_priority() {
        let (class, level) = io_class(priority);
        sys::schedule::set_io_priority(class, level)
            .map_err(|e| failed("set process.ioPriority", format!("{} {level}", priority.class()), e))?;
    }
    Ok(())
}

fn policy(scheduler: &Scheduler) -> Policy {
    use LinuxSchedulerFlag as F;
    use LinuxSchedulerPolicy as P;
    let policy = match scheduler.policy() {
        P::SchedOther => libc::SCHED_OTHER,
        P::SchedFifo => libc::SCHED_FIFO,
        P::SchedRr => libc::SCHED_RR,
        P::SchedBatch => libc::SCHED_BATCH,
        P::SchedIso => 4,
        P::SchedIdle => libc::SCHED_IDLE,
        P::SchedDeadline => libc::SCHED_DEADLINE,
    };
    // <linux/sched.h>
    let flags = scheduler.flags().iter().flatten().map(|flag| match flag {
        F::SchedResetOnFork => 0x01,
        F::SchedFlagReclaim => 0x02,
        F::SchedFlagDLOverrun => 0x04,
        F::SchedFlagKeepPolicy => 0x08,
        F::SchedFlagKeepParams => 0x10,
        F::SchedFlagUtilClampMin => 0x20,
        F::SchedFlagUtilClampMax => 0x40,
    });
    Policy {
        policy: policy as u32,
        flags: flags.fold(0, |all, flag| all | flag),
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(scheduler.priority().unwrap_or(0)).unwrap_or(0),
        runtime_ns: scheduler.runtime().unwrap_or(0),
        deadline_ns: scheduler.deadline().unwrap_or(0),
        period_ns: scheduler.period().unwrap_or(0),
    }
}

/// Class and level as <linux/ioprio.h> numbers them.
fn io_class(priority: &LinuxIOPriority) -> (u32, u32) {
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    (class, u32::try_from(priority.priority()).unwrap_or(0))
}

/// Moves `exec`'s helper to the processors it is to be on before it enters the container's cgroup.
pub(crate) fn before_group(process: &Process) -> Result<()> {
    move_to(process.exec_cpu_affinity().as_ref().and_then(|a| a.initial().as_deref()))
}

/// Moves it to those the program is to be on, once it is there.
pub(crate) fn in_group(process: &Process) -> Result<()> {
    move_to(process.exec_cpu_affinity().as_ref().and_then(|a| a.cpu_affinity_final().as_deref()))
}

fn move_to(list: Option<&str>) -> Result<()> {
    let Some(list) = list else { return Ok(()) };
    rustix::thread::sched_setaffinity(None, &processors(list)?).map_err(|e| {
        failed("set process.execCPUAffinity", list, e).hint("the cgroup may allow none of these processors")
    })
}

fn processors(list: &str) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    let numbers = numbers::parse(list, CpuSet::MAX_CPU);
    for number in numbers.map_err(|why| invalid("process.execCPUAffinity", format!("{list:?}"), why))? {
        set.set(number);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::{check, policy};
    use spec::runtime::Process;

    fn process(more: serde_json::Value) -> Process {
        let mut all = serde_json::json!({"user": {}, "cwd": "/", "args": ["a"]});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        super::super::bundle::document::read(all.to_string().as_bytes()).unwrap().document
    }

    #[test]
    fn values_out_of_range_are_named() {
        let refused = |more| check(&process(more)).unwrap_err().to_string();
        let scheduler = |of: serde_json::Value| serde_json::json!({ "scheduler": of });
        assert_eq!(
            refused(scheduler(serde_json::json!({"policy": "SCHED_OTHER", "nice": 20}))),
            "process.scheduler nice: must be -20 to 19"
        );
        assert_eq!(
            refused(scheduler(serde_json::json!({"policy": "SCHED_OTHER", "priority": 5}))),
            "process.scheduler priority: is for SCHED_FIFO and SCHED_RR only"
        );
        assert_eq!(
            refused(scheduler(serde_json::json!({"policy": "SCHED_FIFO"}))),
            "process.scheduler priority: must be 1 to 99"
        );
        assert_eq!(
            refused(serde_json::json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}})),
            "process.ioPriority 8: must be 0 to 7"
        );
        assert_eq!(
            refused(serde_json::json!({"execCPUAffinity": {"final": "0-4096"}})),
            "process.execCPUAffinity \"0-4096\": 4096 is more than 1023"
        );
    }

    #[test]
    fn flags_by_the_specifications_names() {
        let names = [
            "RESET_ON_FORK",
            "RECLAIM",
            "DL_OVERRUN",
            "KEEP_POLICY",
            "KEEP_PARAMS",
            "UTIL_CLAMP_MIN",
            "UTIL_CLAMP_MAX",
        ];
        for (at, name) in names.iter().enumerate() {
            let scheduler = serde_json::json!({"policy": "SCHED_BATCH", "flags": [format!("SCHED_FLAG_{name}")]});
            let process = process(serde_json::json!({ "scheduler": scheduler }));
            assert_eq!(policy(process.scheduler().as_ref().unwrap()).flags, 1 << at, "{name}");
        }
    }
}
