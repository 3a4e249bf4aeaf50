//! A union over the layers of the image `debian:12`, with a fresh upper, and scripts that run in it by `chroot`.
//!
//! ```text
//!   DIR/layers/<chain id>/   the image, unpacked once for all tests of this process
//!   DIR/own/                 the top layer: what a test brings along
//!   DIR/{u,w,m}              upper, work folder, mount point
//! ```
//!
//! Everything runs in `unshare -n -m -p`: when the script has ended, its programs, its mounts and the server have too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use testkit::fixture;

/// The drivers, the reference first.
pub(crate) const DRIVERS: [&str; 2] = ["kernel", "fuse"];

/// A place with the image's layers and an upper that is empty.
pub(crate) struct Image {
    dir: tempfile::TempDir,
    layers: Arc<Layers>,
    tools: Option<Arc<Image>>,
}

/// A function for scripts: apt-get, which says something only when it fails.
pub(crate) const INSTALL: &str = "
install() { apt-get -qq -o Dpkg::Options::=--force-unsafe-io \"$@\" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }; }
";

/// The unpacked layers, lowest first; removed with the last image that uses them.
struct Layers {
    _dir: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

/// What tests that run at one time share: made by the first, dropped by the last.
fn shared<T>(place: &Mutex<Weak<T>>, make: impl FnOnce() -> T) -> Arc<T> {
    let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    place.upgrade().unwrap_or_else(|| {
        let made = Arc::new(make());
        *place = Arc::downgrade(&made);
        made
    })
}

fn layers() -> Arc<Layers> {
    static LAYERS: Mutex<Weak<Layers>> = Mutex::new(Weak::new());
    shared(&LAYERS, || {
        let dir = scratch();
        let out = Command::new(env!("CARGO_BIN_EXE_unpack"))
            .arg("-C")
            .arg(dir.path())
            .arg(fixture::debian_oci_gzip())
            .stdin(Stdio::null())
            .output()
            .expect("unpack runs");
        assert!(out.status.success(), "unpack: {}", String::from_utf8_lossy(&out.stderr));
        let paths = String::from_utf8(out.stdout).expect("paths").lines().map(|line| dir.path().join(line)).collect();
        Layers { _dir: dir, paths }
    })
}

/// On a disk, not in memory: where containers lie.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("veneer-work.").tempdir_in("/var/tmp").expect("a temporary folder")
}

impl Image {
    pub(crate) fn new() -> Self {
        let image = Self { dir: scratch(), layers: layers(), tools: None };
        for folder in ["own", "u", "w", "m"] {
            std::fs::create_dir(image.dir.path().join(folder)).expect("a folder");
        }
        image
    }

    /// The image with git and a C compiler in a layer of its own, which the kernel's overlay wrote once for all tests.
    pub(crate) fn with_tools() -> Self {
        static TOOLS: Mutex<Weak<Image>> = Mutex::new(Weak::new());
        let tools = shared(&TOOLS, || {
            let image = Self::new();
            let script = format!("{INSTALL}install install -y --no-install-recommends /packages/*.deb");
            image.run("kernel", &[(&fixture::packages(), "/packages")], &script);
            image
        });
        let mut image = Self::new();
        image.tools = Some(tools);
        image
    }

    /// The layer on top of the image's: filled before [`Image::run`].
    pub(crate) fn own(&self) -> PathBuf {
        self.dir.path().join("own")
    }

    /// Mounts by `driver` and runs `script` in there. What it printed; it must succeed. `binds` are folders of this machine
    /// and where they are shown inside.
    pub(crate) fn run(&self, driver: &str, binds: &[(&Path, &str)], script: &str) -> String {
        let lowers = self.layers.paths.iter().rev().map(|path| path.display().to_string());
        let tops = std::iter::once(self.own()).chain(self.tools.iter().map(|tools| tools.dir.path().join("u")));
        let lowers: Vec<String> = tops.map(|path| path.display().to_string()).chain(lowers).collect();
        let options = format!("lowerdir={},upperdir=u,workdir=w", lowers.join(":"));
        let binds: String = binds
            .iter()
            .map(|(from, to)| format!("mkdir -p m{to}; mount --rbind {} m{to}\n", from.display()))
            .collect();
        let outer = format!(
            "exec 3>&1 >&2\n\
             {mount} --driver {driver} -o {options} m\n\
             mount -t proc proc m/proc; mount -t tmpfs tmpfs m/tmp; mount -t tmpfs dev m/dev\n\
             for node in null zero full random urandom tty; do cp -a /dev/$node m/dev/; done\n\
             ln -s /proc/self/fd m/dev/fd\n\
             {binds}\
             chroot m env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
             HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive sh -euc \"$1\" >&3 3>&-\n\
             umount -R m/proc m/tmp m/dev; umount -R m",
            mount = env!("CARGO_BIN_EXE_ovl-mount"),
        );
        let out = Command::new("unshare")
            .args([
                "-n",
                "-m",
                "-p",
                "-f",
                "--kill-child",
                "--propagation",
                "private",
                "sh",
                "-euc",
                &outer,
                "sh",
                script,
            ])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("unshare runs");
        let said = String::from_utf8_lossy(&out.stderr);
        let end: String = said.chars().skip(said.chars().count().saturating_sub(3000)).collect();
        assert!(out.status.success(), "{driver}: {}\n{end}", String::from_utf8_lossy(&out.stdout));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

/// What both drivers print for `script`, each in an image of its own that `make` has made ready.
pub(crate) fn alike(make: impl Fn() -> Image, binds: &[(&Path, &str)], script: &str) -> String {
    let said = DRIVERS.map(|driver| {
        let (image, start) = (make(), std::time::Instant::now());
        let said = image.run(driver, binds, script);
        let line = format!("{driver}: {:.1} s\n", start.elapsed().as_secs_f32());
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        said
    });
    let [kernel, fuse] = &said;
    let differ: Vec<_> = kernel.lines().zip(fuse.lines()).filter(|(k, f)| k != f).take(20).collect();
    assert!(kernel == fuse, "the kernel's overlay, ours: {differ:#?} ({} and {} bytes)", kernel.len(), fuse.len());
    fuse.clone()
}

/// A script's lines that list the whole tree: type, mode, owner, size, link target. Without what has the time in it.
pub(crate) const LIST: &str = "
find / -xdev \\( -path /var/log -o -path /var/cache -o -path '/var/lib/dpkg/*-old' -o -path /var/lib/apt \\) -prune -o \
  \\( -type f -printf '%p f %m %U:%G %s\\n' -o -type d -printf '%p d %m %U:%G\\n' -o -printf '%p %y %m %U:%G %l\\n' \\) | sort
";
