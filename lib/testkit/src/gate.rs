//! Capability gates. A test that needs more than Rust and a C compiler starts with `need!(root, fuse)`: where that is not
//! to be had it says why on stderr and returns; with the name in `VENEER_REQUIRE` (comma separated, or `all`) it fails
//! instead, so that a machine that should have it cannot skip silently. `all,-cgroup2` is all but that one: a machine has
//! one kind of cgroup tree or the other.

use std::path::{Path, PathBuf};

/// Returns from the test, saying why, unless this machine has all that is named:
///
/// - `root`: run by root; `user`: there is an ordinary user with id ranges to act as ([`user`](crate::user))
/// - `fuse`: `/dev/fuse` can be opened; `overlay`: the kernel has its overlay; `userns`: user namespaces are on
/// - `netns`: a network namespace with veth and bridge links can be made; `loop`: loop devices; `disk`: temporary files lie on one
/// - `cgroup1`, `cgroup2`: the tree that holds the controllers
/// - `vm`: a virtual machine can be started (`tests/lab/vm.sh`)
/// - `images`: the images of [`fixture`](crate::fixture) are there or can be made
/// - `libseccomp`: its headers, for the C programs of tests that compare with it
/// - a program as a string: it is in PATH (`need!(root, "crun")`)
#[macro_export]
macro_rules! need {
    ($($what:tt),+ $(,)?) => {
        $( if !$crate::gate::have($crate::need!(@name $what), ::std::module_path!()) { return; } )+
    };
    (@name $what:ident) => { ::std::stringify!($what) };
    (@name $what:literal) => { $what };
}

/// Whether this machine has `what`; see [`need!`](crate::need). Fails where it does not and `VENEER_REQUIRE` names it.
pub fn have(what: &str, test: &str) -> bool {
    let Err(reason) = probe(what) else { return true };
    assert!(
        !requires(&std::env::var("VENEER_REQUIRE").unwrap_or_default(), what),
        "{test} needs {what}, which VENEER_REQUIRE demands: {reason}"
    );
    // Tests have no tool to print through; the harness shows this with --nocapture and on failure.
    let line = format!("SKIPPED {test}: needs {what}: {reason}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    false
}

/// Whether the list `required` demands `what`.
fn requires(required: &str, what: &str) -> bool {
    let mut entries = required.split(',').map(str::trim);
    entries.clone().any(|e| e == what || e == "all") && !entries.any(|e| e.strip_prefix('-') == Some(what))
}

fn probe(what: &str) -> Result<(), String> {
    match what {
        "root" => nix::unistd::geteuid().is_root().then_some(()).ok_or_else(|| "not run as root".into()),
        "fuse" => match std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
            Ok(_) => Ok(()),
            Err(e) => Err(format!("/dev/fuse: {e}")),
        },
        "overlay" => {
            let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
            known.contains("\toverlay\n").then_some(()).ok_or_else(|| "no overlay in /proc/filesystems".into())
        }
        "userns" => {
            let max = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
            (max.trim() != "0" && !max.is_empty()).then_some(()).ok_or_else(|| "user namespaces are off".into())
        }
        "libseccomp" => {
            let there = Path::new("/usr/include/seccomp.h").exists();
            there.then_some(()).ok_or_else(|| "no /usr/include/seccomp.h".into())
        }
        "user" => crate::user::ensure(),
        "images" => crate::fixture::images_possible(),
        "netns" => probe_netns(),
        "disk" => disk(Path::new("/tmp")).map(|_| ()).ok_or_else(|| "/tmp is on no disk".into()),
        "loop" => exists("/dev/loop-control"),
        "cgroup1" => exists("/sys/fs/cgroup/memory/cgroup.procs"),
        "cgroup2" => {
            let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
            let some = controllers.split_whitespace().any(|c| c == "pids");
            some.then_some(()).ok_or_else(|| "no pids controller in /sys/fs/cgroup/cgroup.controllers".into())
        }
        "vm" => vm_possible(),
        program => find_program(program).map(|_| ()).ok_or_else(|| format!("no program {program} in PATH")),
    }
}

fn exists(path: &str) -> Result<(), String> {
    Path::new(path).exists().then_some(()).ok_or_else(|| format!("no {path}"))
}

/// The disk that `folder` lies on, as a node, where there is one.
pub fn disk(folder: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let about = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name))
}

/// Where `tests/lab/vm.sh` keeps its kernel: below cargo's target folder.
pub fn vm_cache() -> PathBuf {
    crate::fixture::target_folder().join("vm")
}

fn vm_possible() -> Result<(), String> {
    if std::env::consts::ARCH != "x86_64" {
        return Err("tests/lab/vm.sh knows x86_64 only".into());
    }
    for program in ["qemu-system-x86_64", "busybox", "cpio", "depmod", "modprobe"] {
        find_program(program).ok_or_else(|| format!("no program {program} in PATH"))?;
    }
    let kernel = vm_cache().join("k/boot").exists() || find_program("apt-get").is_some();
    kernel.then_some(()).ok_or_else(|| "no kernel, and no apt-get to fetch one".into())
}

/// Tries it, in namespaces that are gone when the probe has ended.
fn probe_netns() -> Result<(), String> {
    let script = "ip link add b0 type bridge && ip link add v0 type veth peer name v1 && ip link set v0 master b0";
    let out = std::process::Command::new("unshare")
        .args(["-n", "-m", "sh", "-c", script])
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| format!("unshare: {e}"))?;
    let why = || String::from_utf8_lossy(&out.stderr).trim().to_owned();
    if out.status.success() { Ok(()) } else { Err(why()) }
}

/// The program `name` in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file));
    found.or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|file| is_executable(file)))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::requires;

    #[test]
    fn all_means_all_but_what_is_taken_out() {
        assert!(requires("root,fuse", "fuse") && !requires("root,fuse", "overlay") && !requires("", "root"));
        assert!(
            requires("all", "crun") && requires("all, -cgroup2", "cgroup1") && !requires("all,-cgroup2", "cgroup2")
        );
    }
}
