//! Others' programs in the place of ours: the same `ctr run`, the same container.

use crate::lab::{Lab, Said};
use std::process::{Command, Stdio};
use testkit::{fixture, need};

/// `ctr ARGS` where crun takes the machine's cgroups: it refuses an empty version 2 tree beside version 1.
fn on_plain_cgroups(lab: &Lab, args: &[&str]) -> Said {
    let script = "[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_ctr")]).args(args).stdin(Stdio::null());
    lab.environment(&mut command);
    command.output().expect("it runs").into()
}

/// runc and crun make the folder of all our containers in every hierarchy, and leave it there.
struct CgroupFolders;

impl Drop for CgroupFolders {
    fn drop(&mut self) {
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            // only one that is empty goes
            let _ = std::fs::remove_dir(hierarchy.path().join("veneer"));
        }
        let _ = std::fs::remove_dir("/sys/fs/cgroup/veneer");
    }
}

fn runs_a_container(runtime: &str) {
    let _folders = CgroupFolders;
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    for image in ["host", "busybox"] {
        let run = |args: &[&str]| {
            on_plain_cgroups(&lab, &[&["run", "--rm", "--network", "none", "--runtime", runtime, image], args].concat())
        };
        let said = run(&["sh", "-c", "echo pid $$; grep CapBnd /proc/self/status; ls /sys/class/net; exit 3"]);
        assert_eq!((said.out.as_str(), said.code), ("pid 1\nCapBnd:\t00000000a80425fb\nlo\n", 3), "{said:?}");
        assert_eq!(run(&["no-such-program"]).code, 127);
    }
    let said =
        on_plain_cgroups(&lab, &["run", "-d", "--name", "swapped", "--runtime", runtime, "host", "sleep", "100"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = on_plain_cgroups(&lab, &["exec", "swapped", "sh", "-c", "cat /proc/1/cmdline; exit 2"]);
    assert_eq!((said.out.replace('\0', " ").trim(), said.code), ("sleep 100", 2), "{said:?}");
    let said = on_plain_cgroups(
        &lab,
        &["exec", "-u", "12:34", "-w", "/tmp", "-e", "A=b", "swapped", "sh", "-c", "id -u; pwd; echo $A"],
    );
    assert_eq!((said.out.as_str(), said.code), ("12\n/tmp\nb\n", 0), "{said:?}");
    for (program, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        assert_eq!(on_plain_cgroups(&lab, &["exec", "swapped", program]).code, code, "{program}");
    }
    assert_eq!(on_plain_cgroups(&lab, &["rm", "-f", "swapped"]).code, 0);
    on_a_terminal(&lab, runtime);
}

/// The runtime's terminal is served by `ctr`, size and all.
fn on_a_terminal(lab: &Lab, runtime: &str) {
    let base = ["run", "--rm", "--network", "none", "--runtime", runtime];
    let script = "echo ready; read -r line; until stty size | grep \"33 77\"; do sleep 0.1; done; tty; exit 5";
    let hide = "[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified; exec \"$@\"";
    let terminal = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/terminal.py");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", hide, "sh", terminal, "33", "77", "go\\n", env!("CARGO_BIN_EXE_ctr")]);
    command.args(&base[..]).args(["-it", "busybox", "sh", "-c", script]).stdin(Stdio::null());
    lab.environment(&mut command);
    let said = Said::from(command.output().expect("it runs"));
    assert_eq!((said.out.as_str(), said.code), ("ready\ngo\n33 77\n/dev/pts/0\n", 5), "{said:?}");
}

#[test]
fn crun_runs_our_containers() {
    need!(root, overlay, images, "crun", "python3");
    runs_a_container("crun");
}

#[test]
fn runc_runs_our_containers() {
    need!(root, overlay, images, "runc", "python3");
    runs_a_container("runc");
}

#[test]
fn fuse_overlayfs_lays_our_layers() {
    need!(root, fuse, images, "fuse-overlayfs");
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let said = lab.said([
        "run",
        "--rm",
        "--network",
        "none",
        "--mount-program",
        "fuse-overlayfs",
        "busybox",
        "sh",
        "-c",
        "echo x >/etc/x; cat /etc/x; grep ' / / ' /proc/self/mountinfo",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("x\n") && said.out.contains("fuse.fuse-overlayfs"), "{said:?}");
}

#[test]
fn cni_plugins_wire_our_containers() {
    need!(root, overlay, netns, images, "iptables");
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        VENEER_CNI_PATH=/usr/lib/cni; export VENEER_CNI_PATH
        $ctr run -d --name web busybox sh -c 'mkdir /www; echo page >/www/index.html; exec httpd -f -h /www' >/dev/null
        unset VENEER_CNI_PATH
        address=$($ctr inspect -f '{{.NetworkSettings.IPAddress}}' web)
        page http://$address/; $ctr rm -f web; veths
    ";
    let said = crate::bridge::in_own_network(&lab, script);
    assert_eq!((said.code, said.out.as_str()), (0, "page\nweb\n0\n"), "{said:?}");
}
