//! Limits for a command of the chain loader: a group for as long as the command runs.
//!
//! The process that stays behind makes the group and removes it; the child goes in, once it is there and while it has one
//! thread. A cgroup namespace shows that group as its root only where it is made behind [`ChainGroup::enter`].

use super::layout::Layout;
use super::{Cgroup, Entrance, Options, PARENT, View};
use crate::error::{Result, failed, invalid};
use serde_json::json;
use spec::runtime::LinuxResources;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What the command may use; nothing said is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainLimits {
    /// Memory, and memory with swap, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processors, in thousandths: 1500 is one and a half.
    pub millicpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl ChainLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `swap`: whether this kernel counts swap, so that it can be kept out.
    fn resources(&self, swap: bool) -> Result<LinuxResources> {
        let number = |name: &'static str, n: u64| {
            let fits = i64::try_from(n).ok().filter(|n| *n > 0);
            fits.ok_or_else(|| invalid(name, n, "is no limit that the kernel could hold"))
        };
        let mut document = json!({});
        if let Some(bytes) = self.memory_bytes {
            let limit = number("--memory", bytes)?;
            document["memory"] =
                if swap { json!({ "limit": limit, "swap": limit }) } else { json!({ "limit": limit }) };
        }
        if let Some(milli) = self.millicpus {
            let quota = number("--cpus", milli.saturating_mul(100))?;
            document["cpu"] = json!({ "period": 100_000, "quota": quota });
        }
        if let Some(pids) = self.pids {
            document["pids"] = json!({ "limit": number("--pids", pids)? });
        }
        serde_json::from_value(document).map_err(|e| invalid("limits", "", e.to_string()))
    }
}

/// The group of one command. Dropped by the process that made it, it ends what is still in it and is removed.
#[derive(Debug)]
pub struct ChainGroup {
    cgroup: Cgroup,
    layout: Layout,
    entrance: Entrance,
    /// Made here, not found.
    ours: bool,
    maker: u32,
}

/// Makes a group with `limits` at `path` (absolute from the root of each hierarchy; without one below `/veneer`). A `path` that
/// exists is joined as it is, and takes no limits from us. To be called before the fork.
pub fn for_chain(path: Option<&Path>, limits: &ChainLimits) -> Result<ChainGroup> {
    let layout = Layout::detect()?;
    let maker = std::process::id();
    let own = format!("/{PARENT}/nsrun-{maker}");
    let path = path.unwrap_or(Path::new(&own));
    let found = Cgroup::found(&layout, path);
    let ours = found.is_none();
    let cgroup = if ours {
        // Without limits it is there to be counted.
        let options = Options { accounting: limits.is_empty(), container: false, ..Options::default() };
        Cgroup::create_in(&layout, path, Some(&limits.resources(counts_swap(&layout))?), &options)?
    } else if limits.is_empty() {
        found
    } else {
        return Err(invalid("--cgroup", path.display(), "the group exists: its limits are not ours to change")
            .hint("name a group that does not exist, or leave the limits out"));
    };
    if cgroup.is_none() {
        return Err(invalid("--cgroup", path.display(), "there is no cgroup tree in which to make it")
            .hint("be root, or name a path in a tree that was delegated to this user"));
    }
    match cgroup.entrance(false) {
        Ok(entrance) => Ok(ChainGroup { cgroup, layout, entrance, ours, maker }),
        Err(e) => {
            if ours {
                let _ = cgroup.remove();
            }
            Err(e)
        }
    }
}

/// Whether the kernel limits swap: v2 says so by having the file, or has no swap at all and does without.
fn counts_swap(layout: &Layout) -> bool {
    match layout.with("memory") {
        Some((hierarchy, false)) => rustix::fs::stat(hierarchy.root.join("memory.memsw.limit_in_bytes")).is_ok(),
        _ => true,
    }
}

impl ChainGroup {
    /// Moves the calling process, which must have one thread, in.
    pub fn enter(&self) -> Result<()> {
        let name = self.cgroup.folders().next().map(|f| f.display().to_string()).unwrap_or_default();
        self.entrance.enter().map_err(|e| failed("enter cgroup", name, e))
    }

    /// What a root file system of the command's own shows of it.
    pub(crate) fn view(&self) -> View {
        self.cgroup.view(&self.layout)
    }

    /// The v2 folder for `CLONE_INTO_CGROUP`, which spares the wait of [`ChainGroup::enter`]; `None` where there are v1 groups.
    pub fn directory(&self) -> Result<Option<OwnedFd>> {
        if self.cgroup.needs_entering() { Ok(None) } else { self.cgroup.directory() }
    }

    /// Ends what is still in it and removes it, if it was made here.
    pub fn remove(mut self) -> Result<()> {
        let ours = std::mem::replace(&mut self.ours, false);
        if ours { self.cgroup.kill_and_remove() } else { Ok(()) }
    }
}

impl Drop for ChainGroup {
    fn drop(&mut self) {
        // A forked copy of the guard is not the guard.
        if self.ours && self.maker == std::process::id() {
            let _ = self.cgroup.kill_and_remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ChainLimits;

    #[test]
    fn limits_become_resources() {
        let limits = ChainLimits { memory_bytes: Some(1 << 20), millicpus: Some(1500), pids: Some(7) };
        let resources = limits.resources(true).unwrap();
        let cpu = resources.cpu().as_ref().unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
        let memory = resources.memory().as_ref().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(1 << 20), Some(1 << 20)));
        assert_eq!(resources.pids().unwrap().limit(), 7);
        let none = ChainLimits { pids: Some(0), ..ChainLimits::default() };
        assert_eq!(none.resources(true).unwrap_err().to_string(), "--pids 0: is no limit that the kernel could hold");
        assert!(ChainLimits::default().is_empty());
    }
}
