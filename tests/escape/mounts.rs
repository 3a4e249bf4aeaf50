//! Symbolic links in the way of mounts: raced (CVE-2021-30465), and where the runtime itself trusts what it finds (CVE-2019-19921,
//! /dev).

use crate::lab::{Tried, bundle, container, done, run_command, stopped_by};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::need;

const SECRET: &str = "the machine's own";

/// As many containers as are started while somebody races; without the defence the first few fall.
const ROUNDS: usize = 25;

fn bind(source: &Path, destination: &str) -> serde_json::Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": ["bind"] })
}

/// Runs `body` while a thread swaps two names as fast as it can.
fn swapping<T>(one: &Path, other: &Path, body: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
            }
        });
        let result = body();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// Two containers share the volume `one`; a process in the first swaps `one/x`, on which the second is to have the volume `two`,
/// with a link to the folder in which the machine keeps the volumes. Followed, the mount covers that folder, so that the source of
/// the next mount is what the attacker put into `two`: a link to the machine's root, here to a decoy of it.
#[test]
fn cve_2021_30465_a_mount_point_is_swapped_with_a_link() {
    need!(root, "busybox");
    stopped_by("MountPoint", |build| {
        let machine = tempfile::tempdir().expect("folder");
        std::fs::write(machine.path().join("secret"), SECRET).expect("secret");
        let volumes: PathBuf = machine.path().join("volumes");
        for folder in ["one/x", "two"] {
            std::fs::create_dir_all(volumes.join(folder)).expect("folder");
        }
        symlink(&volumes, volumes.join("one/y")).expect("link");
        symlink(machine.path(), volumes.join("two/two")).expect("link");
        let mut said = String::new();
        swapping(&volumes.join("one/x"), &volumes.join("one/y"), || {
            for _ in 0..ROUNDS {
                let bundle = bundle("cat /two/secret", |_, config| {
                    let mounts = config["mounts"].as_array_mut().expect("mounts");
                    mounts.push(bind(&volumes.join("one"), "/one"));
                    mounts.push(bind(&volumes.join("two"), "/one/x"));
                    mounts.push(bind(&volumes.join("two"), "/two"));
                });
                let tried = Tried::by_word(&done(run_command(&container(build, &bundle))), SECRET);
                if tried.escaped {
                    return tried;
                }
                said = tried.said;
            }
            Tried { escaped: false, said: said.clone() }
        })
    });
}

/// The image's /proc is a link, and leads elsewhere once a volume is mounted over the folder it goes through: procfs is at one
/// place, and what is masked and made read-only at another.
#[test]
fn cve_2019_19921_proc_is_a_link_in_the_image() {
    need!(root, "busybox");
    stopped_by("PlainDirectory", |build| {
        let script = "head -c1 /real/keys | wc -c; exec 9>>/real/sys/kernel/core_pattern && echo could be written";
        let bundle = bundle(script, |folder, config| {
            let rootfs = folder.join("rootfs");
            let _ = std::fs::remove_dir_all(rootfs.join("proc"));
            symlink("/switch/p", rootfs.join("proc")).expect("link");
            for inside in ["switch", "real", "fake/sys/kernel"] {
                std::fs::create_dir_all(rootfs.join(inside)).expect("folder");
            }
            std::fs::write(rootfs.join("fake/keys"), "").expect("file");
            symlink("/real", rootfs.join("switch/p")).expect("link");
            let volume = folder.join("volume");
            std::fs::create_dir(&volume).expect("folder");
            symlink("/fake", volume.join("p")).expect("link");
            config["mounts"].as_array_mut().expect("mounts").push(bind(&volume, "/switch"));
            config["linux"]["maskedPaths"] = json!(["/proc/keys"]);
            config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
        });
        Tried::by_word(&done(run_command(&container(build, &bundle))), "could be written")
    });
}

/// The image's /dev is a link: nodes are made on the disk of the machine, in a volume, instead of in the container's tmpfs.
#[test]
fn escape_dev_is_a_link_in_the_image() {
    need!(root, "busybox");
    stopped_by("PlainDirectory", |build| {
        let volume = tempfile::tempdir().expect("folder");
        std::fs::create_dir(volume.path().join("d")).expect("folder");
        let bundle = bundle("true", |folder, config| {
            let rootfs = folder.join("rootfs");
            let _ = std::fs::remove_dir_all(rootfs.join("dev"));
            symlink("/switch/d", rootfs.join("dev")).expect("link");
            for inside in ["switch", "real"] {
                std::fs::create_dir(rootfs.join(inside)).expect("folder");
            }
            symlink("/real", rootfs.join("switch/d")).expect("link");
            let switch = folder.join("volume");
            std::fs::create_dir(&switch).expect("folder");
            symlink("/volume/d", switch.join("d")).expect("link");
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.extend([bind(&switch, "/switch"), bind(volume.path(), "/volume")]);
        });
        let tried = Tried::by_word(&done(run_command(&container(build, &bundle))), "never said");
        let made = std::fs::symlink_metadata(volume.path().join("d/null"));
        Tried { escaped: made.is_ok_and(|m| m.file_type().is_char_device()), said: tried.said }
    });
}

/// The same in a sandbox from a folder, which has no volumes: the link alone is refused, and followed without the defence.
#[test]
fn escape_dev_and_proc_are_links_in_a_sandbox() {
    need!(root, "busybox");
    for name in ["dev", "proc"] {
        stopped_by("PlainDirectory", |build| {
            let bundle = bundle("", |folder, _| {
                let rootfs = folder.join("rootfs");
                let _ = std::fs::remove_dir_all(rootfs.join(name));
                symlink("/elsewhere", rootfs.join(name)).expect("link");
                std::fs::create_dir(rootfs.join("elsewhere")).expect("folder");
            });
            let mut sandbox = build.command();
            sandbox.args(["--unshare-all", "--rootfs"]).arg(bundle.path().join("rootfs"));
            sandbox.args([
                "--",
                "/bin/sh",
                "-c",
                "grep -q elsewhere /elsewhere/self/mounts /proc/self/mounts && echo mounted elsewhere",
            ]);
            Tried::by_word(&done(sandbox), "mounted elsewhere")
        });
    }
}
