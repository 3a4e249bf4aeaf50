//! Capabilities of the calling thread: `capget(2)`, `capset(2)`, and the bounding and ambient sets by `prctl(2)`.
//!
//! Sets are bit masks: bit n is the capability with number n.

use std::io;

/// The three sets `capset(2)` changes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What permission checks look at.
    pub effective: u64,
    /// What effective may be raised to.
    pub permitted: u64,
    /// What survives an execve of a file that has it in its own inheritable set.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64-bit sets, as two halves.
const VERSION_3: u32 = 0x2008_0522;

/// The calling thread's sets.
pub fn get() -> io::Result<Sets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 makes the kernel fill two Data from `data`, which is that large; `header` is read and, on a
    // version mismatch only, written. Both outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Gives the calling thread these sets. Permitted can only shrink (else EPERM); bits the kernel has no name for are ignored.
pub fn set(sets: Sets) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 makes the kernel read two Data from `data`, which is that large; both outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: the options used in this file take integers only; unused arguments are zero as prctl(2) demands.
    let done = unsafe { libc::prctl(option, a, b, 0 as libc::c_ulong, 0 as libc::c_ulong) };
    if done >= 0 { Ok(done) } else { Err(io::Error::last_os_error()) }
}

/// The bounding set; bits above the kernel's last capability are clear.
pub fn bounding() -> u64 {
    let has = |n: u32| prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(n), 0).is_ok_and(|set| set == 1);
    (0..64)
        .take_while(|n| prctl(libc::PR_CAPBSET_READ, *n, 0).is_ok())
        .filter(|n| has(*n as u32))
        .fold(0, |m, n| m | 1 << n)
}

/// Takes one capability out of the bounding set, for good. Needs CAP_SETPCAP (else EPERM).
pub fn drop_bounding(number: u8) -> io::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, number.into(), 0).map(drop)
}

/// Empties the ambient set.
pub fn clear_ambient() -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0).map(drop)
}

/// Adds one capability to the ambient set; it must be permitted and inheritable (else EPERM).
pub fn raise_ambient(number: u8) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, number.into()).map(drop)
}

/// Whether permitted capabilities survive a change of all user ids from 0 to others; execve clears it.
pub fn keep_over_setuid(keep: bool) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0).map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_reads_and_writes_back_its_own_sets() {
        let sets = super::get().expect("capget");
        super::set(sets).expect("capset");
        assert_eq!(super::get().expect("capget"), sets);
        assert_eq!(sets.effective & !sets.permitted, 0);
    }

    #[test]
    fn the_kernel_takes_only_what_it_can_verify() {
        let error = crate::seccomp::set_filter(&[], 0).expect_err("an empty program");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
