//! A place for one drill: a mount namespace with a disk of its own, and an overlay on it by the driver under test. All of it
//! ends with the test's thread.

use nix::mount::{MsFlags, mount, umount2};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Which overlay serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// mount(2), without any program of ours: the reference.
    Kernel,
    /// `ovl-mount --driver fuse`
    Fuse,
}

/// What the layers lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Tmpfs,
    /// In a loop device over a file in a tmpfs.
    Ext4,
}

/// An overlay: lower layers, upper `u`, work folder `w`, mount point `m`, all in `dir`.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    pub(crate) dir: PathBuf,
    pub(crate) driver: Driver,
    /// Uppermost first, from `dir`.
    pub(crate) lowers: Vec<String>,
    pub(crate) upper: String,
    pub(crate) work: String,
    pub(crate) point: String,
}

/// Runs `test` in a mount namespace of its own with an empty disk in it, given the disk's path.
pub(crate) fn alone(disk: Disk, size_mib: u64, test: impl FnOnce(&Path) + Send) {
    testkit::alone("drill", "mode=755,nr_inodes=0", |path| {
        let root = path.join("disk");
        std::fs::create_dir(&root).expect("a folder");
        make_disk(disk, size_mib, &root);
        test(&root);
    });
}

/// Mounts an empty disk of this size on `point`; an image for it lies beside `point`.
pub(crate) fn make_disk(disk: Disk, size_mib: u64, point: &Path) {
    match disk {
        Disk::Tmpfs => {
            let options = format!("mode=755,nr_inodes=0,size={size_mib}m");
            mount(Some("disk"), point, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).expect("a tmpfs");
        }
        Disk::Ext4 => {
            let image = point.with_extension("image");
            let file = std::fs::File::create(&image).expect("an image");
            file.set_len(size_mib << 20).expect("its size");
            run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
            run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(point));
            std::fs::remove_dir(point.join("lost+found")).expect("an empty lost+found");
        }
    }
}

/// Runs a command that must end well.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

impl Overlay {
    /// Of layer `low` in `dir`; folders that are missing are made.
    pub(crate) fn new(dir: &Path, driver: Driver) -> Self {
        let own = |name: &str| name.to_owned();
        let it = Self {
            dir: dir.to_owned(),
            driver,
            lowers: vec![own("low")],
            upper: own("u"),
            work: own("w"),
            point: own("m"),
        };
        for folder in ["low", "u", "w", "m"] {
            std::fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        it
    }

    /// The same folders by another driver.
    pub(crate) fn by(&self, driver: Driver) -> Self {
        Self { driver, ..self.clone() }
    }

    fn options(&self) -> String {
        let layers = format!("lowerdir={},upperdir={},workdir={}", self.lowers.join(":"), self.upper, self.work);
        match self.driver {
            Driver::Kernel => format!("metacopy=on,redirect_dir=on,{layers}"),
            Driver::Fuse => layers,
        }
    }

    /// Mounts it; the process id of its server, where it has one.
    #[track_caller]
    pub(crate) fn mount(&self) -> Option<i32> {
        let mut command = match self.driver {
            Driver::Kernel => {
                let mut command = Command::new("mount");
                command.args(["-t", "overlay", "overlay"]);
                command
            }
            Driver::Fuse => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_ovl-mount"));
                command.args(["--driver", "fuse", "--json"]);
                command
            }
        };
        let said = run(command.current_dir(&self.dir).arg("-o").arg(self.options()).arg(&self.point));
        (self.driver == Driver::Fuse).then(|| {
            let told: serde_json::Value = serde_json::from_str(&said).expect("JSON");
            told["pid"].as_i64().expect("a pid") as i32
        })
    }

    /// Unmounts it; nothing may be open in it. A program that a test beside this one is about to start holds everything for
    /// a moment, so busy is not yet an answer.
    #[track_caller]
    pub(crate) fn umount(&self) {
        let start = Instant::now();
        loop {
            match umount2(&self.m(""), nix::mount::MntFlags::empty()) {
                Ok(()) => return,
                Err(nix::Error::EBUSY) if start.elapsed() < Duration::from_secs(5) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => panic!("{:?}: umount: {e}", self.driver),
            }
        }
    }

    /// A path in the merged tree.
    pub(crate) fn m(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(&self.point).join(name)
    }
}

/// Waits until `done`, for at most `limit`.
#[track_caller]
pub(crate) fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process is there and is more than an entry that nobody has collected.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Ends a server that the test itself has started, when dropped; one that has ended by itself is left alone.
#[derive(Debug)]
pub(crate) struct Server(pub(crate) i32);

impl Drop for Server {
    fn drop(&mut self) {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.0)).unwrap_or_default();
        if name.trim() == "ovl-mount" {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0), nix::sys::signal::Signal::SIGKILL);
        }
    }
}
