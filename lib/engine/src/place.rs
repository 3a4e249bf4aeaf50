//! Where run state lives: sockets, bundles and mount points of running containers. All of it may be lost at a reboot.
//!
//! ```text
//! <run>/<short id>/        the folder `$tmp` of the container's plan: root, bundle, net, hosts, …
//! <run>/<short id>/attach  the supervisor's socket
//! <run>/runtime/           the OCI runtime's own state (its --root)
//! ```

use crate::{Error, Kind, Result};
use spec::ContainerId;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The folder for run state: an absolute path without links, since it is compared with what the kernel calls it, and used by
/// processes that work elsewhere.
#[derive(Debug, Clone)]
pub struct Place {
    run: PathBuf,
}

impl Place {
    /// `$VENEER_RUN`, else `/run/veneer` for root, `$XDG_RUNTIME_DIR/veneer` or `/tmp/veneer-UID` for others; for a state
    /// root that is not the default one a folder of its own in there, so that two stores never meet.
    pub fn choose(state_root: &Path) -> Self {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(run) = var("VENEER_RUN") {
            return Self { run: real(&run) };
        }
        let uid = rustix::process::getuid().as_raw();
        let (base, usual) = match (uid, var("XDG_RUNTIME_DIR")) {
            (0, _) => (PathBuf::from("/run/veneer"), Some(PathBuf::from("/var/lib/veneer"))),
            (_, Some(dir)) => (dir.join("veneer"), None),
            (uid, None) => (PathBuf::from(format!("/tmp/veneer-{uid}")), None),
        };
        let usual =
            usual.or_else(|| Some(var("XDG_DATA_HOME").or(Some(var("HOME")?.join(".local/share")))?.join("veneer")));
        let state_root = real(state_root);
        if usual.is_some_and(|usual| real(&usual) == state_root) {
            return Self { run: real(&base) };
        }
        use std::os::unix::ffi::OsStrExt;
        let digest = spec::Digest::of(state_root.as_os_str().as_bytes()).hex();
        Self { run: real(&base).join(format!("at-{}", &digest[..12])) }
    }

    /// Run state in `run`.
    pub fn at(run: PathBuf) -> Self {
        Self { run }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.run
    }

    /// The folder of one container.
    pub fn of(&self, id: &ContainerId) -> PathBuf {
        self.run.join(id.short())
    }

    /// The OCI runtime's `--root`.
    pub fn runtime(&self) -> PathBuf {
        self.run.join("runtime")
    }

    /// Makes the folder, for us alone, and refuses one that somebody else made.
    pub fn ensure(&self) -> Result<()> {
        let fail = |e: std::io::Error| {
            Error::new(Kind::Failed, "make", self.run.display()).because(e).hint("VENEER_RUN names another place")
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.run).map_err(fail)?;
        let owner = std::fs::symlink_metadata(&self.run).map_err(fail)?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(Error::new(Kind::Failed, "use", self.run.display())
                .because(format!("it belongs to user {owner}"))
                .hint("VENEER_RUN names another place"));
        }
        Ok(())
    }
}

/// `path` from the root on and without links, as far as it is there.
pub(crate) fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find_map(|there| {
        let rest = absolute.strip_prefix(there).ok()?;
        let real = there.canonicalize().ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    found.unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_real_as_far_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let real_folder = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        assert_eq!(real(&folder.path().join("link/a/b")), real_folder.join("a/b"));
        assert_eq!(real(&folder.path().join("link")), real_folder);
        assert_eq!(real(Path::new("/no/such/folder")), Path::new("/no/such/folder"));
        assert_eq!(
            real(Path::new("no-such")),
            std::env::current_dir().unwrap().canonicalize().unwrap().join("no-such")
        );
    }
}
