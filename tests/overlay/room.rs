//! A place for one test: a mount namespace of its own with a tmpfs in it. Whatever a test mounts or leaves running in there
//! is gone with the test's thread, also when it fails.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Both drivers: what a test says of an overlay holds for each.
pub(crate) const DRIVERS: [&str; 2] = ["kernel", "fuse"];

/// How long something that happens "at once" may take on a loaded machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

/// A tmpfs with two layers `low` and `high`, an upper `u`, a work folder `w` and a mount point `m`.
pub(crate) struct Room {
    pub(crate) dir: PathBuf,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `test` in a room.
pub(crate) fn room(test: impl FnOnce(&Room) + Send) {
    let dir = tempfile::Builder::new().prefix("veneer-overlay.").tempdir_in("/tmp").expect("a temporary folder");
    let path = dir.path().canonicalize().expect("its path");
    // A thread has a mount namespace of its own, and what it starts inherits that.
    let done = std::thread::scope(|scope| {
        let body = || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("private");
            mount(Some("room"), &path, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("a tmpfs");
            let room = Room { dir: path };
            for folder in ["low", "high", "u", "w", "m"] {
                room.folder(folder);
            }
            room.file("low/both", "low");
            room.file("low/below", "low");
            room.file("high/both", "high");
            test(&room);
        };
        scope.spawn(body).join()
    });
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `test` in a room of its own for each driver.
pub(crate) fn with_each_driver(test: impl Fn(&Room, &str) + Sync) {
    for driver in DRIVERS {
        room(|room| test(room, driver));
    }
}

impl Room {
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> PathBuf {
        std::fs::create_dir_all(self.path(&name)).expect("a folder");
        self.path(name)
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// What is in a file; panics where there is none.
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(crate) fn has(&self, name: impl AsRef<Path>) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// A command that will run in the room's folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).stdin(Stdio::null()).env_remove("OVL_DRIVER");
        command
    }

    /// `ovl-mount` with `args`.
    pub(crate) fn ovl_mount(&self, args: &[&str]) -> Said {
        self.command(OVL_MOUNT).args(args).output().expect("ovl-mount runs").into()
    }

    /// The same, and it must say nothing and end well.
    #[track_caller]
    pub(crate) fn mounts(&self, args: &[&str]) {
        let said = self.ovl_mount(args);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""), "{args:?}");
    }

    /// What a shell says to `script`; `$OVL` is ovl-mount.
    pub(crate) fn sh(&self, script: &str) -> Said {
        self.command("sh").args(["-c", script]).env("OVL", OVL_MOUNT).output().expect("sh runs").into()
    }

    /// What is mounted below the room, each as the fields of /proc/self/mountinfo that follow the mount point.
    pub(crate) fn mounted(&self, name: &str) -> Vec<String> {
        let point = format!(" {} ", self.path(name).display());
        mount_table().lines().filter_map(|line| line.split_once(&point).map(|(_, rest)| rest.to_owned())).collect()
    }

    /// Unmounts what is at `name`; it must not be in use. What other tests are just starting has copies of our descriptors until
    /// it executes, so a moment of being busy is none.
    pub(crate) fn umount(&self, name: &str) {
        let mut result = Ok(());
        eventually("unmounted", AT_ONCE * 2, || {
            result = nix::mount::umount(&self.path(name));
            result != Err(nix::Error::EBUSY)
        });
        result.unwrap_or_else(|e| panic!("umount {name}: {e}"));
    }
}

pub(crate) const OVL_MOUNT: &str = env!("CARGO_BIN_EXE_ovl-mount");

/// This thread's mounts: /proc/self is the process's first thread, which is in another namespace.
fn mount_table() -> String {
    std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo")
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Waits until `done` is true, for at most `at_most`.
#[track_caller]
pub(crate) fn eventually(what: &str, at_most: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < at_most, "not within {at_most:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process is there and is more than an entry that nobody has collected.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
