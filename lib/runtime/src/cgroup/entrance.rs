//! The way into a container's groups.
//!
//! A program that joins later may find the v2 group closed (EBUSY): once the container has made groups of its own below and
//! passes controllers on to them, no process may be in the group itself ("no internal processes",
//! Documentation/admin-guide/cgroup-v2.rst). It then goes where the container's first process went, as with runc and crun.

use super::Cgroup;
use super::group::{Group, entrance_of, read_file};
use super::layout::{Layout, inside};
use crate::error::{Result, failed, invalid};
use rustix::fs::CWD;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The files to write to, opened while the right to is there.
#[derive(Debug)]
pub struct Entrance(Vec<Way>);

#[derive(Debug)]
struct Way {
    file: OwnedFd,
    /// Where to go when that is closed.
    otherwise: Option<OwnedFd>,
}

impl Entrance {
    /// Moves the calling thread, which must be its process's only one, in.
    pub fn enter(&self) -> io::Result<()> {
        for way in &self.0 {
            let go = |file: &OwnedFd| rustix::io::retry_on_intr(|| rustix::io::write(file, b"0")).map(drop);
            match (go(&way.file), &way.otherwise) {
                (Err(rustix::io::Errno::BUSY | rustix::io::Errno::OPNOTSUPP), Some(other)) => go(other)?,
                (done, _) => done?,
            }
        }
        Ok(())
    }
}

impl Cgroup {
    /// Opens the way in; with `started_in_v2` leaves the v2 group out.
    pub fn entrance(&self, started_in_v2: bool) -> Result<Entrance> {
        let groups = self.groups.iter().filter(|group| !(started_in_v2 && group.v2));
        let open = |group: &Group| {
            let file = group.entrance().map_err(|e| failed("open group", group.path.display(), e))?;
            Ok(Way { file, otherwise: None })
        };
        groups.map(open).collect::<Result<Vec<_>>>().map(Entrance)
    }

    /// Opens the way in for a program that joins the process `first`: into the container's groups, or those below them that
    /// `--cgroup [CONTROLLER[,CONTROLLER]:]PATH` names, which must exist.
    pub fn entrance_beside(&self, first: i32, asked: &[String]) -> Result<Entrance> {
        let asked: Vec<Asked<'_>> = asked.iter().map(|text| Asked::of(text)).collect();
        if let Some(wrong) = asked.iter().find(|a| !self.groups.iter().any(|g| a.is_for(g))) {
            return Err(invalid("--cgroup", wrong.path, "the container has no group of that controller"));
        }
        let open = |group: &Group| {
            if let Some(asked) = asked.iter().rev().find(|a| a.is_for(group)) {
                let folder = group.path.join(inside(Path::new(asked.path)));
                let file = entrance_of(&folder, group.v2).map_err(|e| failed("open group", folder.display(), e))?;
                return Ok(Way { file, otherwise: None });
            }
            let file = group.entrance().map_err(|e| failed("open group", group.path.display(), e))?;
            Ok(Way { file, otherwise: if group.v2 { beside(first) } else { None } })
        };
        self.groups.iter().map(open).collect::<Result<Vec<_>>>().map(Entrance)
    }
}

/// The way into the v2 group in which a process is; `None` where that is not to be seen.
fn beside(pid: i32) -> Option<OwnedFd> {
    let own = read_file(CWD, format!("/proc/{pid}/cgroup")).ok()?;
    let own = String::from_utf8_lossy(&own).into_owned();
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let hierarchy = Layout::detect().ok()?.v2?;
    entrance_of(&hierarchy.shown(Path::new(path)), true).ok()
}

/// One `--cgroup`.
#[derive(Debug)]
struct Asked<'a> {
    controllers: Vec<&'a str>,
    path: &'a str,
}

impl<'a> Asked<'a> {
    fn of(text: &'a str) -> Self {
        match text.split_once(':') {
            Some((controllers, path)) => Self { controllers: controllers.split(',').collect(), path },
            None => Self { controllers: Vec::new(), path: text },
        }
    }

    fn is_for(&self, group: &Group) -> bool {
        self.controllers.is_empty() || self.controllers.iter().any(|c| group.has(c) || (c.is_empty() && group.v2))
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Group};

    #[test]
    fn controllers_before_the_colon() {
        let group = |controllers: &[&str], v2| Group {
            controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
            v2,
            path: "/c".into(),
            made: Vec::new(),
        };
        let (cpu, whole) = (group(&["cpu", "cpuacct"], false), group(&["memory"], true));
        let all = Asked::of("a/b");
        assert!(all.path == "a/b" && all.is_for(&cpu) && all.is_for(&whole));
        let some = Asked::of("pids,cpuacct:/a");
        assert!(some.path == "/a" && some.is_for(&cpu) && !some.is_for(&whole));
        assert!(Asked::of(":/a").is_for(&whole));
    }
}
