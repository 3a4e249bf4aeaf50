//! The root file system as a container sees it: mounts, devices, masked and read-only paths, and images that try to lead out.

use crate::bundle::{Bundle, runtimes, told};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use testkit::need;

/// What docker asks for.
fn like_docker(config: &mut Value) {
    config["hostname"] = json!("boxed");
    config["mounts"] = json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    ]);
    config["linux"]["maskedPaths"] =
        json!(["/proc/timer_list", "/proc/acpi", "/sys/firmware", "/proc/keys", "/no/such"]);
    config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/bus", "/no/such"]);
}

/// On every runtime the script says `wanted`.
fn all_say(script: &str, change: impl Fn(&mut Value), wanted: &str) {
    for runtime in runtimes() {
        let (out, err, _) = told(&Bundle::new(script, &change).run(&runtime));
        assert_eq!(out, wanted, "{}: {err}", runtime.name);
    }
}

#[test]
fn mounts_have_the_options_they_were_given() {
    need!(root, "runc", "crun", "busybox");
    let script = "while read -r a b c root point options rest; do case $point in /proc|/dev|/dev/pts|/sys|/dev/mqueue|/dev/shm) \
                  echo $point $options;; esac; done </proc/self/mountinfo | sort";
    all_say(
        script,
        like_docker,
        "/dev rw,nosuid\n/dev/mqueue rw,nosuid,nodev,noexec,relatime\n/dev/pts rw,nosuid,noexec,relatime\n\
         /dev/shm rw,nosuid,nodev,noexec,relatime\n/proc rw,nosuid,nodev,noexec,relatime\n/sys ro,nosuid,nodev,noexec,relatime\n",
    );
}

#[test]
fn dev_holds_the_devices_and_links_of_the_specification() {
    need!(root, "runc", "crun", "busybox");
    let script = "cd /dev; for f in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' $f; done; \
                  for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done";
    let device = |name: &str, numbers: &str| format!("{name} character special file {numbers} 666\n");
    let wanted = [
        device("null", "1:3"),
        device("zero", "1:5"),
        device("full", "1:7"),
        device("random", "1:8"),
        device("urandom", "1:9"),
        device("tty", "5:0"),
    ]
    .concat()
        + "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\n";
    all_say(script, like_docker, &wanted);
}

#[test]
fn a_listed_device_is_made_with_its_mode_and_owner() {
    need!(root, "runc", "crun", "busybox");
    let listed = |config: &mut Value| {
        like_docker(config);
        let device = json!({ "path": "/dev/sub/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8 });
        config["linux"]["devices"] = json!([device, { "path": "/dev/pipe", "type": "p", "fileMode": 0o600 }]);
    };
    let wanted = "character special file 1:3 640 7:8\nfifo 0:0 600 0:0\n";
    all_say("stat -c '%F %t:%T %a %u:%g' /dev/sub/mine /dev/pipe", listed, wanted);
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_cannot_be_written() {
    need!(root, "runc", "crun", "busybox");
    let script = "cat /proc/timer_list /proc/keys | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | grep -c .; \
                  echo x 2>/dev/null >/proc/sys/kernel/domainname || echo refused; touch /sys/firmware/x 2>/dev/null || echo refused";
    all_say(script, like_docker, "0\n0\nrefused\nrefused\n");
}

#[test]
fn a_read_only_root_can_be_mounted_over_but_not_written() {
    need!(root, "runc", "crun", "busybox");
    let script = "touch /x 2>/dev/null || echo refused; touch /tmp/x && echo written; mkdir /dev/x && echo made";
    all_say(script, |config| config["root"]["readonly"] = json!(true), "refused\nwritten\nmade\n");
}

#[test]
fn bind_mounts_take_their_flags_and_make_their_mount_points() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let source = tempfile::tempdir().expect("source");
        std::fs::write(source.path().join("file"), "content\n").expect("file");
        let file = source.path().join("file");
        let script = "cat /a/b/file /c/d; touch /a/b/new 2>/dev/null || echo read-only; echo more >>/c/d; cat /c/d";
        let bundle = Bundle::new(script, |config| {
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.push(json!({ "destination": "/a/b", "type": "bind", "source": source.path(), "options": ["rbind", "ro", "nosuid"] }));
            mounts.push(
                json!({ "destination": "/c/d", "type": "none", "source": file, "options": ["bind", "rprivate"] }),
            );
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "content\ncontent\nread-only\ncontent\nmore\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn host_name_limits_umask_and_groups_are_set() {
    need!(root, "runc", "crun", "busybox");
    let set = |config: &mut Value| {
        like_docker(config);
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
        config["process"]["user"] = json!({ "uid": 5, "gid": 6, "umask": 0o027, "additionalGids": [7, 8] });
        config["process"]["cwd"] = json!("/made/here");
    };
    let script = "hostname; ulimit -Sn; ulimit -Hn; umask; id -u; id -g; id -G; pwd";
    all_say(script, set, "boxed\n100\n200\n0027\n5\n6\n6 7 8\n/made/here\n");
}

#[test]
fn a_parameter_of_the_machine_is_refused() {
    need!(root, "runc", "crun", "busybox");
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    for runtime in runtimes() {
        let bundle =
            Bundle::new("echo ran", |config| config["linux"]["sysctl"] = json!({ "kernel.core_pattern": "|/x" }));
        let (out, _, code) = told(&bundle.run(&runtime));
        assert!(out.is_empty() && code != Some(0), "{}", runtime.name);
    }
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern"), before);
    all_say(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni",
        |config| config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel.shmmni": "17" }),
        "1\n17\n",
    );
}

#[test]
fn loopback_is_up_in_a_new_network_namespace() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let (out, err, _) = told(&Bundle::new("ip -o link show lo", |_| {}).run(&nsrun));
    assert!(out.contains("LOOPBACK,UP"), "{out}{err}");
}

#[test]
fn links_of_the_image_never_lead_a_mount_out() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let outside = tempfile::tempdir().expect("outside");
    let source = tempfile::tempdir().expect("source");
    std::fs::write(source.path().join("inside"), "").expect("inside");
    for target in [
        outside.path().to_path_buf(),
        std::path::Path::new("../../../../..").join(outside.path().strip_prefix("/").expect("absolute")),
    ] {
        let bundle = Bundle::new("ls /link/x", |config| {
            let mount =
                json!({ "destination": "/link/x", "type": "bind", "source": source.path(), "options": ["rbind"] });
            config["mounts"].as_array_mut().expect("mounts").push(mount);
        });
        symlink(&target, bundle.folder().join("rootfs/link")).expect("link");
        let (out, err, _) = told(&bundle.run(&nsrun));
        assert_eq!(out, "inside\n", "{err}");
        assert_eq!(std::fs::read_dir(outside.path()).expect("outside").count(), 0, "something was made outside");
    }
}

#[test]
fn proc_sys_and_dev_must_be_ordinary_folders() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    for name in ["proc", "sys", "dev"] {
        let bundle = Bundle::new("echo ran", like_docker);
        let place = bundle.folder().join("rootfs").join(name);
        let _ = std::fs::remove_dir_all(&place);
        symlink("/tmp", &place).expect("link");
        let (out, err, code) = told(&bundle.run(&nsrun));
        assert_eq!((out.as_str(), code), ("", Some(1)), "{name}");
        assert_eq!(err, format!("nsrun: mount /{name}: must be an ordinary directory in the root file system\n"));
    }
}

#[test]
fn tmpcopyup_shows_what_it_covers() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("cat /etc/kept; echo new >/etc/other; ls /etc/other", |config| {
            let mount = json!({ "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] });
            config["mounts"].as_array_mut().expect("mounts").push(mount);
        });
        std::fs::create_dir_all(bundle.folder().join("rootfs/etc")).expect("etc");
        std::fs::write(bundle.folder().join("rootfs/etc/kept"), "kept\n").expect("kept");
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "kept\n/etc/other\n", "{}: {err}", runtime.name);
        assert!(!bundle.folder().join("rootfs/etc/other").exists(), "{}", runtime.name);
    }
}
