//! How the schedulers treat the calling thread: processor (`sched_setattr(2)`) and disk (`ioprio_set(2)`).

use std::io;
use std::time::Duration;

/// `struct sched_attr` as of Linux 3.14.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// A policy with all that belongs to it; what a policy has no use for is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// 1 to 99, of the real-time policies.
    pub priority: u32,
    /// Nanoseconds within each period, of SCHED_DEADLINE.
    pub runtime_ns: u64,
    /// Nanoseconds from the begin of a period, of SCHED_DEADLINE.
    pub deadline_ns: u64,
    /// Nanoseconds, of SCHED_DEADLINE.
    pub period_ns: u64,
}

/// Puts the calling thread, and what it forks from now on, under `policy`.
pub fn set_policy(policy: &Policy) -> io::Result<()> {
    // The clamps of utilisation came with Linux 5.3 and make the structure longer; an older kernel takes the longer one too, as long
    // as the end of it is zero.
    #[repr(C)]
    struct Longer {
        attributes: Attributes,
        utilisation: [u32; 2],
    }
    let longer = Longer {
        attributes: Attributes {
            size: size_of::<Longer>() as u32,
            policy: policy.policy,
            flags: policy.flags,
            nice: policy.nice,
            priority: policy.priority,
            runtime: policy.runtime_ns,
            deadline: policy.deadline_ns,
            period: policy.period_ns,
        },
        utilisation: [0, 0],
    };
    // SAFETY: the kernel reads `size` bytes from `longer`, which outlives the call; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const longer, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts what the calling thread reads and writes into `class` (`IOPRIO_CLASS_*`) with `level` 0 to 7; children inherit it.
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const WHO_PROCESS: i32 = 1;
    const CLASS_SHIFT: u32 = 13;
    let value = class << CLASS_SHIFT | level;
    // SAFETY: takes no pointers; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for the processor in turns of `slice` (100 µs to 100 ms): no more of it, but sooner after waking (Linux 6.12,
/// kernel/sched/fair.c, "PREEMPT_SHORT"). Niceness stays, and so does a thread of another policy than the usual one as it
/// is. Older kernels take no notice.
pub fn ask_for_short_turns(slice: Duration) -> io::Result<()> {
    // SAFETY: takes no pointers.
    if unsafe { libc::sched_getscheduler(0) } != libc::SCHED_OTHER {
        return Ok(());
    }
    // SAFETY: takes no pointers; -1 is a niceness too, so failure shows as one; it cannot fail for the calling thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice,
        priority: 0,
        runtime: u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX),
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` bytes from `attributes`, which outlives the call; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
