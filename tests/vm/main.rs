//! cgroup v2 alone: what holds on this machine's tree of version 1 (or both) holds there too. The tests of limits, `update`,
//! `events` and groups run once more inside a virtual machine (`tests/lab/vm.sh`), all in one boot, references first as ever.
//!
//! They are those of the targets `runtime` and `conformance` and, in the room itself, `cgroups`: built by `cargo test --workspace`, or by hand with
//! `cargo test --no-run --test runtime --test conformance && cargo test --no-run -p runtime --test cgroups`. The guest sees this machine's files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;
use testkit::{fixture, need};

/// A test executable: the newest of the target's name that has a test called `test`.
fn executable(target: &str, test: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test's path");
    let folder = own.parent().expect("a folder").to_owned();
    let prefix = format!("{target}-");
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(&folder)
        .expect("executables")
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(&prefix) && e.path().extension().is_none())
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    found.sort();
    let has = |path: &Path| {
        let list = Command::new(path).args(["--list", "--exact", test]).output().expect("lists");
        String::from_utf8_lossy(&list.stdout).contains(test)
    };
    let newest = found.into_iter().rev().map(|(_, path)| path).find(|path| has(path));
    newest.unwrap_or_else(|| panic!("no executable of the target {target} in {}: build it first", folder.display()))
}

#[test]
fn what_holds_on_v1_holds_on_v2() {
    need!(root, vm, "runc", "crun", "busybox");
    let runtime = executable("runtime", "limits::who_forks_more_is_refused");
    let room = executable("cgroups", "limits_hold");
    let sentences = executable("conformance", "the_sentences_on_cgroup_v2_hold");
    // Each container copies it, which from a folder of this machine would take most of the guest's time.
    let shared = tempfile::tempdir().expect("folder");
    fixture::busybox_rootfs(&shared.path().join("rootfs"));
    let script = format!(
        "mkdir /tmp/fixtures && tar -C /tmp/fixtures -xf rootfs.tar || exit
         export VENEER_REQUIRE=root,cgroup2,runc,crun,busybox VENEER_FIXTURES=/tmp/fixtures RUST_BACKTRACE=0
         '{room}' --test-threads=2; first=$?
         '{runtime}' limits:: update:: events:: cgroups:: --test-threads=2; second=$?
         '{sentences}' --exact the_sentences_on_cgroup_v2_hold; third=$?
         find /sys/fs/cgroup -name '*veneer*' | sed 's/^/left: /'
         exit $((first | second | third))",
        room = room.display(),
        runtime = runtime.display(),
        sentences = sentences.display(),
    );
    let packed = Command::new("tar").current_dir(shared.path()).args(["-cf", "rootfs.tar", "rootfs"]).status();
    assert!(packed.expect("tar runs").success());
    let vm = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/vm.sh");
    let mut command = Command::new(vm);
    for folder in [Path::new(env!("CARGO_MANIFEST_DIR")), runtime.parent().expect("a folder")] {
        command.arg("-r").arg(folder);
    }
    command.arg("-s").arg(shared.path()).args(["-t", "600", "--", "sh", "-c", &script]).stdin(Stdio::null());
    command.env("VM_CACHE", testkit::gate::vm_cache());
    let output = command.output().expect("vm.sh runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {said}", output.status.code());
    assert_eq!(said.matches("test result: ok.").count(), 3, "{said}");
    assert!(!said.contains("SKIPPED") && !said.contains("left: "), "{said}");
}
