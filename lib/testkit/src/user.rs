//! An ordinary user to test rootless work with: `veneer-test`, with ranges in `/etc/subuid` and `/etc/subgid`, made by the gate
//! `user` where it is missing (that needs root and stays on the machine, as an installed package would).
//!
//! The user's commands run through `tests/lab/asuser.sh`, in a mount namespace where `/dev/fuse` and `/dev/net/tun` are open to
//! users, cgroups are plain version 1 or 2, and the project's folder and the target folder can be reached.

use rustix::fs::FlockOperation;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The user's name.
pub const NAME: &str = "veneer-test";

/// A command that runs as the user, in a fresh login's environment (HOME, XDG_RUNTIME_DIR, PATH). The test starts with
/// `need!(user)`.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(crate::project().join("tests/lab/asuser.sh"));
    command.arg(NAME).arg(program).stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", crate::fixture::target_folder()).env("VENEER_FIXTURES", crate::fixture::folder());
    command
}

/// A temporary folder that belongs to the user.
pub fn scratch() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("veneer-user.").tempdir_in("/tmp").expect("a temporary folder");
    let done = run("chown", &[OsStr::new(NAME), dir.path().as_os_str()]).expect("chown runs");
    assert!(done.status.success(), "chown {NAME}: {}", String::from_utf8_lossy(&done.stderr));
    dir
}

/// Makes sure that the user is there; the gate `user`.
pub(crate) fn ensure() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("acting as another user needs root".into());
    }
    for program in ["unshare", "setpriv", "useradd", "newuidmap", "newgidmap"] {
        crate::gate::find_program(program).ok_or_else(|| format!("no program {program} in PATH"))?;
    }
    let lock = File::create("/run/lock/veneer-test.lock").map_err(|e| format!("/run/lock/veneer-test.lock: {e}"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|e| format!("flock: {e}"))?;
    if !listed("/etc/passwd") {
        succeed("useradd", &["--create-home", "--shell", "/bin/sh", NAME])?;
    }
    if !listed("/etc/subuid") {
        succeed("usermod", &["--add-subuids", "589824-655359", NAME])?;
    }
    if !listed("/etc/subgid") {
        succeed("usermod", &["--add-subgids", "589824-655359", NAME])?;
    }
    Ok(())
}

fn listed(file: impl AsRef<Path>) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().any(|line| line.split(':').next() == Some(NAME))
}

fn succeed(program: &str, args: &[&str]) -> Result<(), String> {
    let out = run(program, args).map_err(|e| format!("{program}: {e}"))?;
    let failed = || format!("{program}: {}", String::from_utf8_lossy(&out.stderr).trim());
    if out.status.success() { Ok(()) } else { Err(failed()) }
}

fn run(program: &str, args: &[impl AsRef<OsStr>]) -> std::io::Result<Output> {
    let path = crate::gate::find_program(program).unwrap_or_else(|| program.into());
    Command::new(path).args(args).stdin(Stdio::null()).output()
}
