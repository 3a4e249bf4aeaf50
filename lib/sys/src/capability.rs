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

fn bounds(number: u32) -> io::Result<bool> {
    prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0).map(|set| set == 1)
}

/// The bounding set; bits above the kernel's last capability are clear.
pub fn bounding() -> u64 {
    (0..64).map_while(|n| bounds(n).ok().map(|set| u64::from(set) << n)).fold(0, |all, bit| all | bit)
}

/// As much of the bounding set as is in `wanted`: a call for each of those only.
pub fn bounding_within(wanted: u64) -> u64 {
    (0..64).filter(|n| wanted & 1 << n != 0 && bounds(*n).unwrap_or(false)).fold(0, |all, n| all | 1 << n)
}

/// Takes everything but `kept` out of the bounding set, for good. Needs CAP_SETPCAP (else EPERM) where anything is to be taken out; the
/// capability that could not be comes with the error.
pub fn keep_bounding(kept: u64) -> Result<(), (u8, io::Error)> {
    for number in (0..64_u8).filter(|n| kept & 1 << n == 0) {
        match drop_bounding(number) {
            Ok(()) => {}
            // Behind the kernel's last one.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
            // Without CAP_SETPCAP what is gone already is no failure.
            Err(_) if bounds(number.into()).is_ok_and(|set| !set) => {}
            Err(e) => return Err((number, e)),
        }
    }
    Ok(())
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
