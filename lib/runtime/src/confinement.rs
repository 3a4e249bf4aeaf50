//! Which cgroup a container gets: `linux.cgroupsPath`, `/veneer/ID` without one, none at all where the caller wants none.

use crate::cgroup::{Cgroup, Entrance, Layout, Options, PARENT, View, delegate};
use crate::devices::DeviceList;
use crate::error::{Kind, Result};
use spec::runtime::Spec;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How the caller wants cgroups made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manager {
    /// As folders.
    #[default]
    Folders,
    /// As folders, but the path is written as for systemd: `slice:prefix:name`.
    SystemdPaths,
    /// Not at all.
    Disabled,
}

/// The cgroup of a new container and the way into it.
#[derive(Debug)]
pub(crate) struct Confinement {
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) entrance: Option<Entrance>,
    /// The v2 group for the first process to start in, by which it spares the wait of entering.
    pub(crate) directory: Option<OwnedFd>,
    /// The trees it was made in.
    layout: Option<Layout>,
}

impl Confinement {
    /// Makes the cgroup that `spec` asks for. With `accounting` it counts what engines read. With `direct` the first process is
    /// started in its v2 group, else it enters that too.
    pub(crate) fn create(spec: &Spec, id: &str, manager: Manager, accounting: bool, direct: bool) -> Result<Self> {
        if manager == Manager::Disabled {
            return Ok(Self { cgroup: None, entrance: None, directory: None, layout: None });
        }
        let path = path_of(spec, id, manager);
        let resources = spec.linux().as_ref().and_then(|l| l.resources().as_ref());
        let shown =
            |mount: &spec::runtime::Mount| mount.typ().as_deref().is_some_and(|kind| kind.starts_with("cgroup"));
        let everywhere = accounting && spec.mounts().iter().flatten().any(shown);
        let options = Options { accounting, everywhere, ..Options::default() };
        let layout = Layout::detect()?;
        let cgroup = Cgroup::create_in(&layout, Path::new(&path), resources, &options)?;
        let ways = cgroup.entrance(direct).and_then(|entrance| {
            let directory = if direct { cgroup.directory()? } else { None };
            Ok((entrance, directory))
        });
        let mut made = Self { cgroup: Some(cgroup), entrance: None, directory: None, layout: Some(layout) };
        if let (Some(cgroup), Some(uid)) = (&made.cgroup, delegate::owner(spec)) {
            delegate::give(cgroup, uid).inspect_err(|_| made.remove())?;
        }
        match ways {
            Ok((entrance, directory)) => {
                (made.entrance, made.directory) = (Some(entrance), directory);
            }
            // A group that can be made but not entered (a delegated v2 tree without its root) is as good as none.
            Err(e) if resources.is_none() && e.raw_os_error() == Some(libc::EACCES) => {
                made.remove();
                made.cgroup = None;
            }
            Err(e) => {
                made.remove();
                return Err(e);
            }
        }
        Ok(made)
    }

    /// Whether a device list is in force, so that CAP_MKNOD may be given.
    pub(crate) fn devices_listed(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|c| *c.devices() == DeviceList::Enforced)
    }

    /// What the container sees of it.
    pub(crate) fn view(&self) -> View {
        let made = self.cgroup.as_ref().zip(self.layout.as_ref());
        made.map_or_else(View::load_own, |(cgroup, layout)| cgroup.view(layout))
    }

    /// Removes it again.
    pub(crate) fn remove(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill_and_remove();
        }
    }
}

/// Where the groups of a container are.
fn path_of(spec: &Spec, id: &str, manager: Manager) -> String {
    let asked = spec.linux().as_ref().and_then(|l| l.cgroups_path().as_ref()).and_then(|p| p.to_str());
    match asked.filter(|path| !path.is_empty()) {
        None => format!("/{PARENT}/{id}"),
        Some(path) if manager == Manager::SystemdPaths => expand(path),
        Some(path) => path.to_owned(),
    }
}

/// How long the first process of a maker that was killed may take to notice.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Removes what a maker that was killed may have made before it wrote that down: groups with nobody in them. Who is still in there
/// after a while is not this container's, which had no time to become anything.
pub(crate) fn remove_leftover(spec: &Spec, id: &str) -> Result<()> {
    for manager in [Manager::Folders, Manager::SystemdPaths] {
        let cgroup = Cgroup::leftover(&path_of(spec, id, manager))?;
        let deadline = Instant::now() + LAST_BREATH;
        while !cgroup.processes()?.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if cgroup.processes()?.is_empty() {
            cgroup.remove()?;
        }
    }
    Ok(())
}

/// `slice:prefix:name` as the path systemd would give it (systemd.slice(5)): `a-b.slice` lies in `a.slice`.
fn expand(path: &str) -> String {
    let parts: Vec<&str> = path.split(':').collect();
    let [slice, prefix, name] = parts.as_slice() else { return path.to_owned() };
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let mut full = String::new();
    if slice != "-.slice" {
        let stem = slice.strip_suffix(".slice").unwrap_or(slice);
        let mut so_far = String::new();
        for part in stem.split('-') {
            if !so_far.is_empty() {
                so_far.push('-');
            }
            so_far.push_str(part);
            full.push_str(&format!("/{so_far}.slice"));
        }
    }
    let unit = if name.ends_with(".slice") {
        (*name).to_owned()
    } else if prefix.is_empty() {
        format!("{name}.scope")
    } else {
        format!("{prefix}-{name}.scope")
    };
    format!("{full}/{unit}")
}

/// Whether the group that was written down is frozen.
pub(crate) fn is_frozen(cgroup: Option<&Cgroup>) -> bool {
    cgroup.is_some_and(Cgroup::is_frozen)
}

/// Signals every process in it; false where there is no group.
pub(crate) fn signal_all(cgroup: Option<&Cgroup>, signal: i32) -> Result<bool> {
    let Some(cgroup) = cgroup.filter(|c| !c.is_none()) else { return Ok(false) };
    cgroup.signal(signal).map(|()| true)
}

/// Removes it, ending what still runs there.
pub(crate) fn remove(cgroup: Option<&Cgroup>) -> Result<()> {
    match cgroup.map(Cgroup::kill_and_remove) {
        // The tree it was in is not there any more, or not for us.
        Some(Err(e)) if e.kind == Kind::Failed && matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EROFS)) => {
            Ok(())
        }
        Some(done) => done,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn paths_for_systemd_become_folders() {
        assert_eq!(expand("system.slice:docker:abc"), "/system.slice/docker-abc.scope");
        assert_eq!(expand("a-b.slice::x"), "/a.slice/a-b.slice/x.scope");
        assert_eq!(expand("-.slice:p:x.slice"), "/x.slice");
        assert_eq!(expand(":p:x"), "/system.slice/p-x.scope");
        assert_eq!(expand("/plain/path"), "/plain/path");
    }
}
