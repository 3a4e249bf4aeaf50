//! Descriptors that came from who started us, and commands that get some under numbers of their own (`dup2(2)`, `fcntl(2)`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// The first number that is no standard stream.
const FIRST: RawFd = 3;

/// Copies of the descriptors 3 to `count` + 2, close-on-exec; the number of the first that is not there where one is not.
pub fn inherited(count: u16) -> Result<Vec<OwnedFd>, RawFd> {
    let end = FIRST + RawFd::from(count);
    (FIRST..end).map(|number| copy(number, end).map_err(|_| number)).collect()
}

/// A copy of descriptor `number`, whose own number is not below `least`.
fn copy(number: RawFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl has no preconditions for F_DUPFD_CLOEXEC: a number that is no descriptor is EBADF.
    let copied = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, least) };
    if copied < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copied) })
}

/// Starts `command` with `given` as its descriptors 3, 4 and so on.
pub fn spawn(command: &mut Command, given: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let end = FIRST + RawFd::try_from(given.len()).map_err(io::Error::other)?;
    let copies = given.iter().map(|fd| copy(fd.as_raw_fd(), end)).collect::<io::Result<Vec<OwnedFd>>>()?;
    // What the standard library opens to hear of a failed exec must not have one of these numbers: all are taken while it does.
    let mut taken = Vec::new();
    while let Some(first) = copies.first() {
        let fd = copy(first.as_raw_fd(), FIRST)?;
        if fd.as_raw_fd() >= end {
            break;
        }
        taken.push(fd);
    }
    let pairs: Vec<(RawFd, RawFd)> = copies.iter().map(AsRawFd::as_raw_fd).zip(FIRST..).collect();
    let place = move || {
        for (from, to) in &pairs {
            // SAFETY: dup2 takes any numbers; `copies` outlives the spawn, so `from` is the descriptor that was meant.
            if unsafe { libc::dup2(*from, *to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only dup2 is called, which is async-signal-safe and allocates nothing; `pairs` was
    // made before.
    unsafe { command.pre_exec(place) };
    let child = command.spawn();
    drop(taken);
    child
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;
    use std::process::Stdio;

    #[test]
    fn they_have_the_numbers_they_are_to_have() {
        let file = |text: &str| {
            let mut file = std::fs::File::from(memfd_create("", MemfdFlags::CLOEXEC).unwrap());
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            file
        };
        let (one, two) = (file("one"), file("two"));
        let said = |script: &str, given: &[BorrowedFd<'_>]| {
            let mut command = Command::new("sh");
            let mut child = spawn(command.args(["-c", script]).stdout(Stdio::piped()), given).unwrap();
            let mut said = String::new();
            child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(child.wait().unwrap().success());
            said
        };
        assert_eq!(said("cat <&3; cat <&4", &[one.as_fd(), two.as_fd()]), "onetwo");
        // And no more than these two beside what any command of this process has.
        let open = |given: &[BorrowedFd<'_>]| said("ls /proc/self/fd", given).lines().count();
        assert!(open(&[one.as_fd(), two.as_fd()]) <= open(&[]) + 2);
        assert!(spawn(&mut Command::new("/no/such"), &[one.as_fd()]).is_err());
        assert!(inherited(u16::MAX).is_err_and(|number| number >= FIRST));
    }
}
