//! Other limits for a container that runs.

use super::group::read_file;
use super::layout::Layout;
use super::limits::{self, Setting};
use super::{ACCOUNTING, Cgroup, switch_on};
use crate::error::{Result, failed, invalid};
use rustix::fs::CWD;
use spec::runtime::LinuxResources;
use std::path::{Path, PathBuf};

impl Cgroup {
    /// Changes limits (`update`); what is left out stays, and so do device rules. Where a controller was not needed until now its
    /// group is made, and everything in the container moves in.
    pub fn update(&mut self, resources: &LinuxResources) -> Result<()> {
        let layout = Layout::detect()?;
        let resources = self.completed(resources)?;
        let settings = limits::settings(&resources, &layout)?;
        let new: Vec<&str> = settings.iter().map(|s| s.controller.as_str()).filter(|c| *c != "cgroup").collect();
        self.extend(&layout, &new, &settings)
    }

    /// Counts what statistics tell from now on, where it is not counted yet.
    pub fn account(&mut self) -> Result<()> {
        let layout = Layout::detect()?;
        self.extend(&layout, &Self::counted(&layout), &[])
    }

    /// Whether all that statistics tell is counted as far as this machine can.
    pub fn accounts(&self) -> Result<bool> {
        let layout = Layout::detect()?;
        Ok(Self::counted(&layout).into_iter().all(|c| self.group_of(c).is_some()))
    }

    /// The controllers of this machine whose numbers are told.
    fn counted(layout: &Layout) -> Vec<&'static str> {
        // What v2 holds beside v1 is left where it is.
        let here = |c: &&str| layout.with(c).is_some_and(|(_, v2)| v2 == layout.is_v2());
        ACCOUNTING.into_iter().chain(["cpuset", "hugetlb"]).filter(here).collect()
    }

    /// Adds what is missing of `controllers`, writes limits, then moves the processes in: they are never there without.
    fn extend(&mut self, layout: &Layout, controllers: &[&str], settings: &[Setting]) -> Result<()> {
        let place = self.place(layout);
        let first_new = self.groups.len();
        for hierarchy in &layout.v1 {
            let missing = controllers.iter().any(|c| hierarchy.has(c) && self.group_of(c).is_none());
            if let Some(place) = place.as_ref().filter(|_| missing) {
                self.make_v1(hierarchy, &hierarchy.place(place), !settings.is_empty())?;
            }
        }
        if let Some(hierarchy) = &layout.v2
            && let Some(folder) = self.groups.iter().find(|g| g.v2).map(|g| g.path.clone())
        {
            let missing: Vec<&str> =
                controllers.iter().copied().filter(|c| hierarchy.has(c) && self.group_of(c).is_none()).collect();
            match switch_on(&hierarchy.root, &folder, &missing) {
                Ok(()) => self.offer(&missing),
                Err(e) => super::tolerate(&folder, e, !settings.is_empty())?,
            }
        }
        let done = self.write(settings).and_then(|()| self.move_in(first_new));
        if done.is_err() {
            for group in self.groups.drain(first_new..) {
                // Busy where some went in already; then they stay, and `delete` removes by the groups above.
                let _ = group.remove();
            }
        }
        done
    }

    /// The container's path from the root of its hierarchies.
    fn place(&self, layout: &Layout) -> Option<PathBuf> {
        let group = self.groups.iter().find(|g| !g.v2)?;
        let hierarchy = layout.v1.iter().find(|h| group.path.starts_with(&h.root))?;
        group.path.strip_prefix(&hierarchy.root).ok().map(|below| Path::new("/").join(below))
    }

    /// Moves all processes into the v1 groups from the one numbered `first` on, until no fork brings another.
    fn move_in(&self, first: usize) -> Result<()> {
        let Some(new) = self.groups.get(first..).filter(|new| !new.is_empty()) else { return Ok(()) };
        for _ in 0..100 {
            let mut moved = false;
            for group in new {
                let there = group.processes().map_err(|e| failed("list processes of", group.path.display(), e))?;
                for pid in self.processes()?.into_iter().filter(|pid| *pid > 0 && !there.contains(pid)) {
                    match group.write("cgroup.procs", &pid.to_string()) {
                        Ok(()) => moved = true,
                        // It has ended.
                        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                        Err(e) => return Err(failed("move process into", group.path.display(), e)),
                    }
                }
            }
            if !moved {
                return Ok(());
            }
        }
        Ok(())
    }

    /// `resources` with what v2 writes into one file together filled up from what is there: a new period keeps the quota, a
    /// new sum of memory and swap is seen beside the limit there is. With `checkBeforeUpdate` no limit below what is in use.
    fn completed(&self, resources: &LinuxResources) -> Result<LinuxResources> {
        let mut all = resources.clone();
        let v2 = |controller: &str, file: &str| {
            let group = self.groups.iter().find(|g| g.v2 && self.group_of(controller).is_none_or(|own| own.v2))?;
            let text = read_file(CWD, group.path.join(file)).ok()?;
            Some(String::from_utf8_lossy(&text).trim().to_owned())
        };
        if let Some(mut cpu) = all.cpu().clone()
            && cpu.period().is_some_and(|n| n != 0)
            && cpu.quota().is_none_or(|n| n == 0)
            && let Some(quota) = v2("cpu", "cpu.max").and_then(|max| max.split(' ').next()?.parse().ok())
        {
            cpu.set_quota(Some(quota));
            all.set_cpu(Some(cpu));
        }
        if let Some(mut memory) = *all.memory() {
            let asked = |n: Option<i64>| n.filter(|n| *n > 0);
            if asked(memory.swap()).is_some()
                && memory.limit().is_none_or(|n| n == 0)
                && let Some(limit) = v2("memory", "memory.max").and_then(|max| max.parse().ok())
            {
                memory.set_limit(Some(limit));
                all.set_memory(Some(memory));
            }
            if memory.check_before_update() == Some(true)
                && let Some(used) = v2("memory", "memory.current").and_then(|n| n.parse::<i64>().ok())
            {
                for (name, limit) in [("swap", asked(memory.swap())), ("limit", asked(memory.limit()))] {
                    if let Some(limit) = limit.filter(|limit| *limit < used) {
                        let why = format!("{name} {limit} is less than the {used} in use");
                        return Err(invalid("linux.resources", "memory", why));
                    }
                }
            }
        }
        Ok(all)
    }
}
