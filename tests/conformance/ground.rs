//! Where the cases run: a mount namespace with a tmpfs for bundles and state, in which the cgroup tree is plainly v1 (or v2).
//!
//! crun refuses a v2 tree that stands beside v1 hierarchies, so that one is covered by an empty tmpfs. Threads started from
//! here are in the namespace too. Groups lie below one folder in each hierarchy, which is removed at the end, also of a failure.

use std::path::{Path, PathBuf};

/// The place.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    group: String,
}

impl Ground {
    /// Runs `body` on new ground.
    pub(crate) fn with<T: Send>(body: impl FnOnce(&Self) -> T + Send) -> T {
        testkit::alone("conformance", "mode=755", |folder| {
            let unified = "/sys/fs/cgroup/unified";
            if Path::new(unified).exists() {
                let options = nix::mount::MsFlags::empty();
                nix::mount::mount(Some("none"), unified, Some("tmpfs"), options, None::<&str>)
                    .expect("a tmpfs over unified");
            }
            let ground =
                Self { folder: folder.to_owned(), group: format!("veneer-conformance-{}", std::process::id()) };
            ground.lay_out_rootfs();
            body(&ground)
        })
    }

    /// The folder, a tmpfs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of the folder in each hierarchy below which all groups lie.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// What is copied for each container.
    fn lay_out_rootfs(&self) {
        testkit::fixture::busybox_rootfs(&self.folder.join("rootfs"));
    }

    /// Makes a root file system: busybox, which is one file for all, and links to it by its applets' names.
    pub(crate) fn rootfs(&self, to: &Path) -> std::io::Result<()> {
        let from = self.folder.join("rootfs/bin");
        for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
            std::fs::create_dir_all(to.join(dir))?;
        }
        std::fs::hard_link(from.join("busybox"), to.join("bin/busybox"))?;
        self.link_applets(to)
    }

    /// The same on another file system, with a busybox of its own.
    pub(crate) fn rootfs_copied(&self, to: &Path) -> std::io::Result<()> {
        for dir in ["bin", "dev", "proc"] {
            std::fs::create_dir_all(to.join(dir))?;
        }
        std::fs::copy(self.folder.join("rootfs/bin/busybox"), to.join("bin/busybox"))?;
        self.link_applets(to)
    }

    fn link_applets(&self, to: &Path) -> std::io::Result<()> {
        let from = self.folder.join("rootfs/bin");
        for applet in std::fs::read_dir(from)? {
            let name = applet?.file_name();
            if name != "busybox" {
                std::os::unix::fs::symlink("busybox", to.join("bin").join(name))?;
            }
        }
        Ok(())
    }

    /// The groups at `group` in all hierarchies (or in the one tree).
    pub(crate) fn groups(group: &str) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let mut tops = vec![top.to_owned()];
        // A link stands for two controllers of one hierarchy.
        let entries = std::fs::read_dir(top).into_iter().flatten().flatten();
        // What is at "unified" is the tmpfs that covers it.
        let entries = entries.filter(|e| e.file_name() != "unified");
        tops.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        tops.into_iter()
            .map(|top| top.join(group.trim_start_matches('/')))
            .filter(|dir| dir.join("cgroup.procs").exists())
            .collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for group in Self::groups(&self.group) {
            remove(&group);
        }
        // A relative path lies below our own groups; who made it does not remove what is above the container's.
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for path in own.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
            for group in Self::groups(&format!("{path}/{}", self.group.trim_start_matches('/'))) {
                remove(&group);
            }
        }
    }
}

/// Removes a group and those below it; the processes in them are gone.
pub(crate) fn remove(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    for _ in 0..50 {
        match std::fs::remove_dir(group) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(std::time::Duration::from_millis(10)),
            _ => return,
        }
    }
}
