//! Capability gates. A test that needs more than Rust and a C compiler starts with `need!(root, fuse)`: where that is not
//! to be had it says why on stderr and returns; with the name in `VENEER_REQUIRE` (comma separated, or `all`) it fails
//! instead, so that a machine that should have it cannot skip silently.

use std::path::{Path, PathBuf};

/// Returns from the test, saying why, unless this machine has all that is named: `root`, `fuse`, `overlay`, `userns`,
/// or a program as a string (`need!(root, "crun")`).
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
    let required = std::env::var("VENEER_REQUIRE").unwrap_or_default();
    let listed = required.split(',').any(|r| r == what || r == "all");
    assert!(!listed, "{test} needs {what}, which VENEER_REQUIRE demands: {reason}");
    // Tests have no tool to print through; the harness shows this with --nocapture and on failure.
    let line = format!("SKIPPED {test}: needs {what}: {reason}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    false
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
        program => find_program(program).map(|_| ()).ok_or_else(|| format!("no program {program} in PATH")),
    }
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
