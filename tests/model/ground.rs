//! A place for one run: a mount namespace with a tmpfs of its own, lower layers, an upper, and an overlay of them by one
//! driver after the other. All of it ends with the run's thread.

use super::tree::Rules;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which overlay serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Driver {
    /// mount(2), without any program of ours: the reference.
    Reference,
    /// `ovl-mount --driver kernel`
    Kernel,
    /// `ovl-mount --driver fuse`
    Fuse,
}

#[derive(Debug)]
pub(crate) struct Ground {
    dir: PathBuf,
    rules: Rules,
    /// Names of the lower layers, topmost first.
    pub(crate) lowers: Vec<String>,
    /// How many uppers there were before this one.
    generation: u32,
    server: Option<Child>,
}

/// Runs `body` in a mount namespace and tmpfs of its own, given the tmpfs' path.
pub(crate) fn alone<T: Send>(body: impl FnOnce(&Path) -> T + Send) -> T {
    testkit::alone("model", "mode=755", |path| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        body(path)
    })
}

impl Ground {
    pub(crate) fn new(dir: &Path, rules: Rules, layers: usize) -> Self {
        let lowers = (0..layers).map(|number| format!("l{number}")).collect();
        let ground = Self { dir: dir.to_owned(), rules, lowers, generation: 0, server: None };
        for folder in ground.lowers.iter().map(String::as_str).chain(["u0", "w0", "m"]) {
            std::fs::create_dir(dir.join(folder)).expect("a folder");
        }
        ground
    }

    pub(crate) fn layer(&self, number: usize) -> PathBuf {
        self.dir.join(&self.lowers[number])
    }

    /// Where it is mounted.
    pub(crate) fn target(&self) -> PathBuf {
        self.dir.join("m")
    }

    /// The upper becomes the topmost lower layer.
    pub(crate) fn freeze(&mut self) {
        self.lowers.insert(0, format!("u{}", self.generation));
        self.generation += 1;
        for folder in ["u", "w"] {
            let path = self.dir.join(format!("{folder}{}", self.generation));
            std::fs::create_dir(&path).expect("a folder");
            // Whatever the umask of the moment is.
            let mode = rustix::fs::Mode::from_raw_mode(0o755);
            rustix::fs::chmodat(rustix::fs::CWD, &path, mode, rustix::fs::AtFlags::empty()).expect("a mode");
        }
    }

    pub(crate) fn mount(&mut self, driver: Driver) -> Result<(), String> {
        let at = |name: &str| self.dir.join(name).display().to_string();
        let lowers: Vec<String> = self.lowers.iter().map(|name| at(name)).collect();
        let (upper, work) = (at(&format!("u{}", self.generation)), at(&format!("w{}", self.generation)));
        let mut options = format!("lowerdir={},upperdir={upper},workdir={work}", lowers.join(":"));
        if driver == Driver::Reference {
            // What the FUSE driver does by itself.
            options += match (self.rules.root, self.rules.redirects) {
                (true, true) => ",redirect_dir=on,metacopy=on,index=on",
                (true, false) => ",redirect_dir=off,metacopy=off,index=off",
                (false, _) => ",userxattr",
            };
            let done =
                mount(Some("overlay"), &self.target(), Some("overlay"), MsFlags::empty(), Some(options.as_str()));
            return done.map_err(|e| format!("mount -t overlay -o {options}: {e}"));
        }
        if let (Driver::Fuse, Ok(more)) = (driver, std::env::var("VENEER_FUSE_OPTIONS")) {
            options += &format!(",{more}");
        }
        let mut command = Command::new(program());
        command.env_remove("OVL_DRIVER").stdin(Stdio::null()).args(["-o", &options]).arg(self.target());
        if driver == Driver::Kernel {
            let done = command.args(["--driver", "kernel"]).output().map_err(|e| e.to_string())?;
            return done
                .status
                .success()
                .then_some(())
                .ok_or_else(|| String::from_utf8_lossy(&done.stderr).into_owned());
        }
        command.args(["-f", "--json", "--driver", "fuse"]).stdout(Stdio::piped());
        let mut server = command.spawn().map_err(|e| e.to_string())?;
        let mut said = String::new();
        let pipe = server.stdout.take().expect("a pipe");
        let told = BufReader::new(pipe).read_line(&mut said);
        let mounted = told.is_ok_and(|length| length > 0);
        self.server = Some(server);
        if mounted { Ok(()) } else { Err("ovl-mount --driver fuse did not mount".into()) }
    }

    /// Unmounts it; nothing may be open in it. Only for a moment: a program that another thread is about to start holds copies of
    /// all descriptors until it runs.
    pub(crate) fn umount(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while let Err(e) = umount2(&self.target(), MntFlags::empty()) {
            if e != Errno::EBUSY || start.elapsed() > Duration::from_secs(5) {
                return Err(format!("umount: {e}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ended = server.wait().map_err(|e| format!("the server: {e}"))?;
        if ended.success() { Ok(()) } else { Err(format!("the server ended with {ended}")) }
    }
}

/// The program under test; `VENEER_OVL_MOUNT` names another build of it.
fn program() -> std::ffi::OsString {
    std::env::var_os("VENEER_OVL_MOUNT").unwrap_or_else(|| env!("CARGO_BIN_EXE_ovl-mount").into())
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = umount2(&self.target(), MntFlags::MNT_DETACH);
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
