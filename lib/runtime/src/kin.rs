//! Which processes are a container's where no cgroup tells: its first one, all in the pid namespace that was made for it, and all that descend
//! from these. In a pid namespace that was there before, the machine's or another container's, only descent counts.
//!
//! It is a snapshot of /proc (proc(5)): who forks while it is taken may be missing, and who was put into the container's other
//! namespaces alone is not found.

use crate::error::{Result, failed};
use crate::file;
use rustix::fs::{Dir, Mode, OFlags, stat};
use std::collections::BTreeSet;

/// The pids of the container whose first process is `first`, in order; `apart` where its pid namespace was made for it.
pub(crate) fn of(first: i32, apart: bool) -> Result<Vec<i32>> {
    let fail = |e: rustix::io::Errno| failed("list", "/proc", e);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc_dir = rustix::fs::open("/proc", flags, Mode::empty()).map_err(fail)?;
    let mut parents = Vec::new();
    for entry in Dir::read_from(&proc_dir).map_err(fail)? {
        let pid = entry.map_err(fail)?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        // what has ended meanwhile is nobody's
        let stat = pid.and_then(|pid| file::read_text(format!("/proc/{pid}/stat")).ok());
        parents.extend(pid.zip(stat.as_deref().and_then(parent_in)));
    }
    let inside = if apart { space(&first.to_string()) } else { None };
    Ok(family(first, &parents, |pid| inside.is_some() && space(&pid.to_string()) == inside))
}

/// The parent that /proc/PID/stat names: the second field behind the command in parentheses.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What tells a process's pid namespace from others; none where we may not look.
fn space(process: &str) -> Option<(u64, u64)> {
    stat(format!("/proc/{process}/ns/pid")).ok().map(|found| (found.st_dev, found.st_ino))
}

/// `first`, those that are `inside`, and all that descend from them, by what is known of (process, parent).
fn family(first: i32, parents: &[(i32, i32)], inside: impl Fn(i32) -> bool) -> Vec<i32> {
    let mut found: BTreeSet<i32> = parents.iter().map(|(pid, _)| *pid).filter(|pid| inside(*pid)).collect();
    found.insert(first);
    loop {
        let before = found.len();
        for (pid, parent) in parents {
            if found.contains(parent) {
                found.insert(*pid);
            }
        }
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_and_who_joined() {
        // 20 joined the namespace from outside and has a child; 9 is a grandchild with a number before its parent's
        let parents = [(1, 0), (5, 1), (9, 12), (12, 5), (20, 1), (21, 20), (30, 1)];
        assert_eq!(family(5, &parents, |pid| [5, 20].contains(&pid)), [5, 9, 12, 20, 21]);
        assert_eq!(family(5, &parents, |_| false), [5, 9, 12]);
        assert_eq!(parent_in("7 (a) b) S 3 7 7"), Some(3));
    }

    #[test]
    fn a_child_of_ours_is_found_by_descent() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let found = of(child.id() as i32, false).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [child.id() as i32]);
    }
}
