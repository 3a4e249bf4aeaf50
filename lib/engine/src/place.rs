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

/// The folder for run state.
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
            return Self { run };
        }
        let uid = rustix::process::getuid().as_raw();
        let (base, usual) = match (uid, var("XDG_RUNTIME_DIR")) {
            (0, _) => (PathBuf::from("/run/veneer"), Some(PathBuf::from("/var/lib/veneer"))),
            (_, Some(dir)) => (dir.join("veneer"), None),
            (uid, None) => (PathBuf::from(format!("/tmp/veneer-{uid}")), None),
        };
        let usual =
            usual.or_else(|| Some(var("XDG_DATA_HOME").or(Some(var("HOME")?.join(".local/share")))?.join("veneer")));
        if usual.as_deref() == Some(state_root) {
            return Self { run: base };
        }
        use std::os::unix::ffi::OsStrExt;
        let digest = spec::Digest::of(state_root.as_os_str().as_bytes()).hex();
        Self { run: base.join(format!("at-{}", &digest[..12])) }
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
