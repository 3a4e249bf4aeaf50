//! What the tools are fed with: images from real Debian content, made on demand by `tests/images/make.sh`.
//!
//! They lie in `$VENEER_FIXTURES`, or else in `fixtures/` of cargo's target folder, and are made once: the first test that asks
//! holds a lock while the script runs, the others wait. They are read-only for tests; copy what you change. A test that asks
//! for an image starts with `need!(images)`, for the rootfs with `need!("busybox")`, for the package with `need!("dpkg-deb")`.

use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The image `busybox:latest`, one layer, as an OCI layout (gzip).
pub fn busybox_oci() -> PathBuf {
    made("busybox").join("oci-gzip")
}

/// The image `busybox:latest` as an OCI layout (zstd).
pub fn busybox_oci_zstd() -> PathBuf {
    made("busybox").join("oci-zstd")
}

/// The image `busybox:latest` as a docker-archive.
pub fn busybox_docker_archive() -> PathBuf {
    made("busybox").join("docker.tar")
}

/// The image `debian:12` as an OCI layout (gzip): minbase and three layers, the last one with 100 whiteouts and an opaque directory
/// (`/usr/share/common-licenses`).
pub fn debian_oci_gzip() -> PathBuf {
    made("debian").join("oci-gzip")
}

/// The image `debian:12` as an OCI layout (zstd).
pub fn debian_oci_zstd() -> PathBuf {
    made("debian").join("oci-zstd")
}

/// The image `debian:12` as a docker-archive.
pub fn debian_docker_archive() -> PathBuf {
    made("debian").join("docker.tar")
}

/// The package `veneer-hello`, to be installed inside a container: `/usr/bin/veneer-hello` prints `hello from veneer`.
pub fn deb() -> PathBuf {
    made("deb")
}

/// A folder of the packages that `debian:12` lacks for git and a C compiler, to be installed without a network. The test starts
/// with `need!(images)`.
pub fn packages() -> PathBuf {
    made("debian");
    made("packages")
}

/// Fills `dir` (made if need be) with a root file system of its own: static busybox and its applets.
pub fn busybox_rootfs(dir: &Path) -> PathBuf {
    let from = made("rootfs");
    std::fs::create_dir_all(dir).expect("a folder for the root file system");
    let done = Command::new("cp").arg("-a").arg(from.join(".")).arg(dir).status().expect("cp runs");
    assert!(done.success(), "cp -a {} {}", from.display(), dir.display());
    dir.to_owned()
}

/// Where the fixtures lie.
pub fn folder() -> PathBuf {
    match std::env::var_os("VENEER_FIXTURES") {
        Some(dir) => dir.into(),
        None => target_folder().join("fixtures"),
    }
}

/// Cargo's target folder: the one above this test that cargo has tagged.
pub(crate) fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let tagged = test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    tagged.unwrap_or_else(|| panic!("{} is not below a target folder", test.display())).to_owned()
}

fn path_of(what: &str) -> PathBuf {
    folder().join(if what == "deb" { "veneer-hello.deb" } else { what })
}

/// The fixture `what`, made now if it is not there.
fn made(what: &str) -> PathBuf {
    let path = path_of(what);
    if path.exists() {
        return path;
    }
    let dir = folder();
    std::fs::create_dir_all(&dir).expect("a folder for fixtures");
    let lock = File::create(dir.join(format!(".lock-{what}"))).expect("a lock file");
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("flock");
    if !path.exists() {
        let out = Command::new(script()).arg(&dir).arg(what).stdin(Stdio::null()).output().expect("make.sh runs");
        assert!(out.status.success(), "make.sh {what}: {}", String::from_utf8_lossy(&out.stderr));
    }
    path
}

fn script() -> PathBuf {
    crate::project().join("tests/images/make.sh")
}

/// Whether the images are there or can be made here; the gate `images`.
pub(crate) fn images_possible() -> Result<(), String> {
    if ["busybox", "debian", "packages"].iter().all(|what| path_of(what).exists()) {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("making images needs root".into());
    }
    let programs = ["apt-get", "debootstrap", "buildah", "skopeo", "busybox", "unshare"];
    let missing: Vec<&str> = programs.into_iter().filter(|p| crate::gate::find_program(p).is_none()).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("making images needs {}", missing.join(", "))) }
}
