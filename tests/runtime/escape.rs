//! Known ways out of a container, each tried.

use crate::bundle::{Bundle, runtimes, told};
use serde_json::json;
use std::process::{Command, Stdio};
use testkit::need;

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// CVE-2019-5736: what the container can reach of the runtime cannot be written.
#[test]
fn the_runtimes_own_file_cannot_be_written_through_proc() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("true", |_| {});
    let mut create = bundle.command(&nsrun, "create");
    create.arg("--bundle").arg(bundle.folder()).arg("--pid-file").arg(bundle.folder().join("pid")).arg(bundle.id());
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("starts").success());
    let pid = std::fs::read_to_string(bundle.folder().join("pid")).expect("pid");
    let writable = |path: &str| {
        let flags = rustix::fs::statvfs(path).expect("statvfs").f_flag;
        !flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)
    };
    // While it runs the kernel says "text file busy" to writers; it is the mount that counts once it has ended.
    assert!(!writable(&format!("/proc/{}/exe", pid.trim())), "the machine's file can be reached and written");
}

/// CVE-2024-21626: descriptors of the runtime and of its caller are of no use inside, also as working directory.
#[test]
fn no_descriptor_leaks_and_no_working_directory_lies_outside() {
    need!(root, "busybox");
    let bundle = Bundle::new("ls /proc/self/fd | tr '\\n' ' '", |_| {});
    let line = "exec 7</ 8</etc; exec \"$0\" --root \"$1/state\" run --bundle \"$1\" \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", line, NSRUN]).arg(bundle.folder()).arg(bundle.id()).stdin(Stdio::null());
    // 3 is the folder that ls itself reads.
    assert_eq!(told(&command.output().expect("starts")).0, "0 1 2 3 ");

    for cwd in ["/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/cwd", "/proc/1/root"] {
        let bundle = Bundle::new("pwd; ls", |config| config["process"]["cwd"] = json!(cwd));
        let mut command = Command::new("sh");
        command.args(["-c", line, NSRUN]).arg(bundle.folder()).arg(bundle.id()).stdin(Stdio::null());
        let (out, err, code) = told(&command.output().expect("starts"));
        assert!(code == Some(1) && out.is_empty(), "{cwd}: {out}{err}");
    }
}

/// CVE-2025-31133 and CVE-2025-52565: a /dev/null or /dev/console of the image's making is not what gets used.
#[test]
fn devices_of_the_image_are_not_trusted() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    let bundle = Bundle::new("cat /proc/keys | wc -c; stat -c %F /proc/keys", |config| {
        config["mounts"].as_array_mut().expect("mounts").remove(1);
        config["linux"]["maskedPaths"] = json!(["/proc/keys"]);
    });
    let dev = bundle.folder().join("rootfs/dev");
    let _ = std::fs::remove_dir_all(&dev);
    std::fs::create_dir_all(&dev).expect("dev");
    std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", dev.join("null")).expect("link");
    std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", dev.join("console")).expect("link");
    // A file that is there and is not the device is an error (runtime-spec "Devices").
    let (out, err, _) = told(&bundle.run(&nsrun));
    assert!(out.is_empty() && err.contains("make device /dev/null: file exists"), "{out}{err}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern"), before);
}

/// A hostile image cannot make the runtime's writes to /proc go elsewhere: they never touch the container's own (CVE-2019-19921).
#[test]
fn limits_are_set_though_the_container_has_no_proc() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("ulimit -n; ls /proc", |config| {
        config["mounts"] = json!([]);
        config["process"]["oomScoreAdj"] = json!(500);
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 64 }]);
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    });
    let (out, err, code) = told(&bundle.run(&nsrun));
    assert_eq!((out.trim(), code), ("64", Some(0)), "{err}");
}
