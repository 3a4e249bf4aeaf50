//! How the scheduler treats the calling thread (`sched_setattr(2)`).

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
