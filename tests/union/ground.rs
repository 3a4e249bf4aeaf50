//! A place for one test: a mount namespace with a tmpfs of its own, two lower layers, an upper, and an overlay of them by
//! the driver under test. All of it ends with the test's thread.

use crate::view::{differences, view_with_numbers};
use nix::mount::{MntFlags, umount2};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which overlay serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// mount(2), without any program of ours: the reference.
    Kernel,
    /// `ovl-mount --driver fuse`
    Fuse,
    /// fuse-overlayfs: the reference for what only it and ours have.
    FuseOverlayfs,
}

/// The kernel's overlay with all that it can: what the FUSE driver does without being asked.
pub(crate) const FULL: &str = "metacopy=on,redirect_dir=on,index=on";

/// Layers `low` and `high` (over it), upper `u`, work folder `w`, mount point `m`.
pub(crate) struct Ground {
    pub(crate) dir: PathBuf,
    pub(crate) driver: Driver,
    /// What both drivers are given with `-o`.
    pub(crate) options: String,
    /// What the kernel alone is given.
    pub(crate) kernel: &'static str,
}

/// Whether these tests were started again by [`rootless`](crate::rootless), for a user who is root of a namespace alone.
pub(crate) fn in_a_user_namespace() -> bool {
    std::env::var_os("VENEER_UNION_USER").is_some()
}

/// Runs `test` in a mount namespace and tmpfs of its own, given the tmpfs' path.
pub(crate) fn alone(test: impl FnOnce(&Path) + Send) {
    testkit::alone("union", "mode=755", test);
}

/// Runs `test` on each driver, the reference first, and that with all it can: `layers` fills the lower layers, then `test`
/// sees the overlay.
pub(crate) fn on_each(layers: impl Fn(&Ground) + Sync, test: impl Fn(&Ground) + Sync) {
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let ground = Ground::in_full(dir, driver);
            layers(&ground);
            ground.mount();
            test(&ground);
        });
    }
}

/// What `look` tells of each driver must be equal; given is what the kernel's overlay is mounted with.
pub(crate) fn alike<T: PartialEq + std::fmt::Debug + Send>(
    layers: impl Fn(&Ground) + Sync,
    look: impl Fn(&Ground) -> T + Sync,
) {
    let told = std::sync::Mutex::new(Vec::new());
    on_each(layers, |g| told.lock().expect("no other").push(look(g)));
    let mut told = told.into_inner().expect("no other");
    let (ours, kernels) = (told.pop().expect("two"), told.pop().expect("two"));
    if ours != kernels {
        let (ours, kernels) = (format!("{ours:#?}"), format!("{kernels:#?}"));
        let pairs = ours.lines().zip(kernels.lines()).filter(|(ours, kernels)| ours != kernels);
        let told: Vec<_> = pairs.take(30).map(|(o, k)| format!("ours  {}\nkernel{}", o.trim(), k.trim())).collect();
        panic!("not as with the kernel's overlay:\n{}", told.join("\n"));
    }
}

/// For what the kernel's overlay has not: fuse-overlayfs, where it is installed, then ours. `options` follow the layers.
pub(crate) fn on_each_in_user_space(options: &str, layers: impl Fn(&Ground) + Sync, test: impl Fn(&Ground) + Sync) {
    for driver in [Driver::FuseOverlayfs, Driver::Fuse] {
        if driver == Driver::FuseOverlayfs && !testkit::gate::have("fuse-overlayfs", "its own options") {
            continue;
        }
        alone(|dir| {
            let mut ground = Ground::new(dir, driver);
            ground.options.push_str(options);
            layers(&ground);
            ground.mount();
            test(&ground);
        });
    }
}

/// `change` made by one driver, `test` by the other on what was left, both ways, after the kernel by itself: what shows, with
/// all numbers and times, must be the same before and after the driver was changed.
pub(crate) fn by_one_then_the_other(
    layers: impl Fn(&Ground) + Sync,
    change: impl Fn(&Ground) + Sync,
    test: impl Fn(&Ground) + Sync,
) {
    use Driver::{Fuse, Kernel};
    for drivers in [(Kernel, Kernel), (Kernel, Fuse), (Fuse, Fuse), (Fuse, Kernel)] {
        alone(|dir| {
            let mut ground = Ground::in_full(dir, drivers.0);
            layers(&ground);
            ground.mount();
            change(&ground);
            let before = view_with_numbers(&ground.dir.join("m"));
            ground.umount();
            ground.driver = drivers.1;
            ground.mount();
            let told = differences(&before, &view_with_numbers(&ground.dir.join("m")));
            assert!(told.is_empty(), "{drivers:?}: what shows has changed:\n{}", told.join("\n"));
            test(&ground);
            let before = view_with_numbers(&ground.dir.join("m"));
            ground.remount();
            let told = differences(&before, &view_with_numbers(&ground.dir.join("m")));
            assert!(told.is_empty(), "{drivers:?}: after a remount:\n{}", told.join("\n"));
        });
    }
}

impl Ground {
    pub(crate) fn new(dir: &Path, driver: Driver) -> Self {
        for folder in ["low", "high", "u", "w", "m"] {
            std::fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        let options = "lowerdir=high:low,upperdir=u,workdir=w".to_owned();
        Self { dir: dir.to_owned(), driver, options, kernel: "" }
    }

    /// The same with all that the kernel's overlay can.
    pub(crate) fn in_full(dir: &Path, driver: Driver) -> Self {
        let mut ground = Self::new(dir, driver);
        // With marks in user.* the kernel has neither redirects nor copies without data.
        ground.kernel = if in_a_user_namespace() { "" } else { FULL };
        ground
    }

    /// Mounts the overlay at `m`.
    pub(crate) fn mount(&self) {
        if let Err(why) = self.try_mount() {
            panic!("{:?}: {why}", self.driver);
        }
    }

    /// The same; what the mount program said where it failed.
    pub(crate) fn try_mount(&self) -> Result<(), String> {
        let mut options = self.options.clone();
        if in_a_user_namespace() && self.driver != Driver::FuseOverlayfs {
            options.push_str(",userxattr");
        }
        let mut command = match self.driver {
            Driver::Kernel => {
                let mut command = Command::new("mount");
                command.args(["-t", "overlay", "overlay", "-o", &options]);
                if !self.kernel.is_empty() {
                    command.args(["-o", self.kernel]);
                }
                command
            }
            Driver::Fuse => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_ovl-mount"));
                command.args(["--driver", "fuse", "-o", &options]);
                command
            }
            Driver::FuseOverlayfs => {
                let mut command = Command::new("fuse-overlayfs");
                command.args(["-o", &options]);
                command
            }
        };
        let done = command.arg("m").current_dir(&self.dir).stdin(Stdio::null()).output().expect("a mount program");
        done.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// Unmounts it; nothing may be open in it. A program that a test beside this one is about to start holds a copy of each
    /// of our descriptors for a moment.
    pub(crate) fn umount(&self) {
        let start = std::time::Instant::now();
        loop {
            match umount2(&self.dir.join("m"), MntFlags::empty()) {
                Ok(()) => return,
                Err(nix::errno::Errno::EBUSY) if start.elapsed().as_secs() < 2 => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Err(e) => panic!("{:?}: umount: {e}", self.driver),
            }
        }
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
        self.mark(name, "opaque").is_some_and(|value| value == b"y")
    }

    /// The mark `trusted.overlay.MARK` (without root `user.overlay.MARK`) of an entry of the upper layer.
    pub(crate) fn mark(&self, name: &str, mark: &str) -> Option<Vec<u8>> {
        let mut value = [0_u8; 512];
        let family = if in_a_user_namespace() { "user" } else { "trusted" };
        let got = rustix::fs::lgetxattr(self.u(name), format!("{family}.overlay.{mark}"), &mut value);
        got.ok().map(|length| value[..length].to_vec())
    }

    /// Sets an extended attribute in a layer (`low/a`).
    pub(crate) fn set_xattr(&self, name: &str, xattr: &str, value: &[u8]) {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(self.dir.join(name), xattr, value, flags)
            .unwrap_or_else(|e| panic!("{name}: {xattr}: {e}"));
    }

    /// Makes a device, fifo or socket in a layer.
    pub(crate) fn put_node(&self, name: &str, kind: rustix::fs::FileType, device: u64) {
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(rustix::fs::CWD, self.dir.join(name), kind, mode, device)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// Sets a time long gone on an entry of a layer, so that it can be seen whether it stays.
    pub(crate) fn set_old(&self, name: &str) {
        let time = rustix::fs::Timespec { tv_sec: 500_000_000, tv_nsec: 123_456_789 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, self.dir.join(name), &times, flags).expect("times");
    }

    /// The inode number of an entry of the merged tree.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.m(name).symlink_metadata().unwrap_or_else(|e| panic!("{:?}: {name}: {e}", self.driver)).ino()
    }
}

/// Says under which driver a test failed.
impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let line = format!("{:?} served {}\n", self.driver, self.dir.display());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
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
