//! A place for one test: a mount namespace with a tmpfs of its own, two lower layers, an upper, and an overlay of them by
//! the driver under test. All of it ends with the test's thread.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which overlay serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// mount(2), without any program of ours: the reference.
    Kernel,
    /// `ovl-mount --driver fuse`
    Fuse,
}

/// Layers `low` and `high` (over it), upper `u`, work folder `w`, mount point `m`.
pub(crate) struct Ground {
    pub(crate) dir: PathBuf,
    pub(crate) driver: Driver,
}

/// Runs `test` in a mount namespace and tmpfs of its own, given the tmpfs' path.
pub(crate) fn alone(test: impl FnOnce(&Path) + Send) {
    let dir = tempfile::Builder::new().prefix("veneer-union.").tempdir_in("/tmp").expect("a temporary folder");
    let path = dir.path().canonicalize().expect("its path");
    let done = std::thread::scope(|scope| {
        let body = || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
            mount(Some("ground"), &path, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("a tmpfs");
            test(&path);
        };
        scope.spawn(body).join()
    });
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `test` on each driver, the reference first: `layers` fills the lower layers, then `test` sees the overlay.
pub(crate) fn on_each(layers: impl Fn(&Ground) + Sync, test: impl Fn(&Ground) + Sync) {
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let ground = Ground::new(dir, driver);
            layers(&ground);
            ground.mount();
            test(&ground);
        });
    }
}

impl Ground {
    pub(crate) fn new(dir: &Path, driver: Driver) -> Self {
        for folder in ["low", "high", "u", "w", "m"] {
            std::fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        Self { dir: dir.to_owned(), driver }
    }

    /// Mounts the overlay at `m`.
    pub(crate) fn mount(&self) {
        let options = "lowerdir=high:low,upperdir=u,workdir=w";
        let mut command = match self.driver {
            Driver::Kernel => {
                let mut command = Command::new("mount");
                command.args(["-t", "overlay", "overlay", "-o", options, "m"]);
                command
            }
            Driver::Fuse => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_ovl-mount"));
                command.args(["--driver", "fuse", "-o", options, "m"]);
                command
            }
        };
        let done = command.current_dir(&self.dir).stdin(Stdio::null()).output().expect("a mount program");
        assert!(done.status.success(), "{:?}: {}", self.driver, String::from_utf8_lossy(&done.stderr));
    }

    /// Unmounts it; nothing may be open in it.
    pub(crate) fn umount(&self) {
        umount2(&self.dir.join("m"), MntFlags::empty()).unwrap_or_else(|e| panic!("{:?}: umount: {e}", self.driver));
    }

    /// Unmounts and mounts again: what was written is what is found.
    pub(crate) fn remount(&self) {
        self.umount();
        self.mount();
    }

    /// The path of `name` in the merged tree.
    pub(crate) fn m(&self, name: &str) -> PathBuf {
        self.dir.join("m").join(name)
    }

    /// The path of `name` in the upper layer.
    pub(crate) fn u(&self, name: &str) -> PathBuf {
        self.dir.join("u").join(name)
    }

    /// Writes a file of a layer (`low/a`), with the folders above it.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }

    /// Makes a folder of a layer.
    pub(crate) fn put_folder(&self, name: &str) {
        std::fs::create_dir_all(self.dir.join(name)).expect("folders");
    }

    /// What is in a file of the merged tree.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.m(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{:?}: {}: {e}", self.driver, path.display()))
    }

    /// Whether the merged tree has `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.m(name).symlink_metadata().is_ok()
    }

    /// The names in a directory of the merged tree, in order.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.m(name)).expect("a listing");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Whether the upper layer has a whiteout under `name`.
    pub(crate) fn is_whiteout(&self, name: &str) -> bool {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        self.u(name).symlink_metadata().is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
    }

    /// Whether the upper layer's directory `name` is opaque.
    pub(crate) fn is_opaque(&self, name: &str) -> bool {
        let mut value = [0_u8; 8];
        let got = rustix::fs::lgetxattr(self.u(name), "trusted.overlay.opaque", &mut value);
        got.is_ok_and(|length| value[..length] == *b"y")
    }
}

/// The error number of an operation that must fail.
#[track_caller]
pub(crate) fn errno<T>(result: std::io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("it worked"),
        Err(e) => e.raw_os_error().unwrap_or(0),
    }
}
