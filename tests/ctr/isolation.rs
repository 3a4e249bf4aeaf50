//! Namespaces and rights, each by what the container sees of it; and docker's words for what cannot be.

use crate::lab::{Lab, sees};
use std::fs;
use testkit::need;

fn lab() -> Lab {
    Lab::with_busybox()
}

#[track_caller]
fn refused(lab: &Lab, options: &[&str], code: i32, words: &str) {
    let said = lab.said([&["run", "--rm", "--network", "none"], options, &["busybox", "true"]].concat());
    assert_eq!((said.code, said.err.lines().next().unwrap_or_default()), (code, words), "{options:?}");
    assert_eq!(lab.ok(["ps", "-aq"]), "", "{options:?}: nothing is left");
}

fn machine(namespace: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{namespace}")).expect("a namespace").display().to_string()
}

#[test]
fn namespaces_of_the_machine() {
    need!(root, overlay, images);
    let lab = lab();
    for (option, namespace) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup")] {
        let look = format!("readlink /proc/self/ns/{namespace}");
        assert_eq!(sees(&lab, &[option, "host"], &look).trim(), machine(namespace), "{option}");
        assert_ne!(sees(&lab, &[], &look).trim(), machine(namespace), "{option}");
    }
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(sees(&lab, &["--uts", "host"], "hostname; cat /etc/hostname"), name.repeat(2));
    assert_eq!(sees(&lab, &["--pid", "host"], &format!("kill -0 {} && echo seen", std::process::id())), "seen\n");
    assert!(sees(&lab, &["--cgroupns", "host"], "cat /proc/self/cgroup").contains("/veneer/"));
    let shared = tempfile::Builder::new().prefix("veneer-shm.").tempfile_in("/dev/shm").expect("a file");
    assert_eq!(
        sees(&lab, &["--ipc", "host"], &format!("ls {}", shared.path().display())).trim(),
        shared.path().to_str().expect("text")
    );
    assert_eq!(sees(&lab, &["--ipc", "none"], "ls -d /dev/shm 2>&1 | grep -c 'No such'"), "1\n");
}

#[test]
fn namespaces_of_another_container() {
    need!(root, overlay, images);
    let lab = lab();
    lab.ok([
        "run",
        "-d",
        "--name",
        "first",
        "--network",
        "none",
        "--ipc",
        "shareable",
        "busybox",
        "sh",
        "-c",
        "echo kept >/dev/shm/f; sleep 600",
    ]);
    lab.ok(["run", "-d", "--name", "shut", "--network", "none", "busybox", "sleep", "600"]);
    lab.ok(["create", "--name", "idle", "--network", "none", "busybox", "true"]);
    let options = [
        "--pid",
        "container:first",
        "--ipc",
        "container:first",
        "--uts",
        "container:first",
        "--cgroupns",
        "container:first",
    ];
    let look = "for n in pid ipc uts cgroup; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; done; cat /dev/shm/f; echo back >/dev/shm/g";
    let seen = sees(&lab, &options, look);
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 9, "{seen}");
    for pair in lines[..8].chunks(2) {
        assert_eq!(pair[0], pair[1], "{seen}");
    }
    assert_eq!(lines[8], "kept");
    assert_eq!(lab.ok(["exec", "first", "cat", "/dev/shm/g"]), "back\n");
    let id = lab.field("shut", "{{.Id}}");
    let words = format!(
        "ctr: can't join IPC of container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
    );
    let said = |options: &[&str]| {
        let said = lab.said([&["run", "--rm", "--network", "none"], options, &["busybox", "true"]].concat());
        (said.code, said.err.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(said(&["--ipc", "container:shut"]), (125, words));
    assert_eq!(said(&["--pid", "container:nope"]), (125, "ctr: No such container: nope".into()));
    let id = lab.field("idle", "{{.Id}}");
    assert_eq!(
        said(&["--pid", "container:idle"]),
        (125, format!("ctr: cannot join PID of a non running container: {id}"))
    );
}

#[test]
fn privileged_has_everything_this_machine_can_give() {
    need!(root, overlay, images);
    let lab = lab();
    let own = fs::read_to_string("/proc/self/status").expect("status");
    let bounding = own.lines().find_map(|l| l.strip_prefix("CapBnd:")).expect("a set").trim().to_owned();
    let look = "grep -E 'CapBnd|CapEff|Seccomp:' /proc/self/status | cut -f2; ls -d /dev/full /proc/keys; \
        mkdir /tmp/m && mount -t tmpfs none /tmp/m && echo mounted; cat /proc/sys/kernel/printk_ratelimit >/tmp/n && cat /tmp/n >/proc/sys/kernel/printk_ratelimit && echo written; \
        grep -c ' /sys .*\\brw\\b' /proc/self/mountinfo";
    let seen = sees(&lab, &["--privileged", "--cap-drop", "all"], look);
    assert_eq!(seen, format!("{bounding}\n{bounding}\n0\n/dev/full\n/proc/keys\nmounted\nwritten\n1\n"));
    let devices = |text: String| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let inside =
        devices(sees(&lab, &["--privileged"], "find /dev -type c -o -type b | grep -v -E '/(pts|shm|mqueue)/'"));
    let few = devices(sees(&lab, &[], "find /dev -type c -o -type b"));
    for path in ["/dev/kmsg", "/dev/loop-control", "/dev/net/tun", "/dev/fuse"]
        .iter()
        .filter(|p| std::path::Path::new(p).exists())
    {
        assert!(inside.contains(*path) && !few.contains(*path), "{path}: {inside:?}");
    }
    // a user has nothing of it in force, but may get it
    let seen = sees(&lab, &["--privileged", "-u", "1:1"], "grep -E 'CapEff|CapBnd' /proc/self/status | cut -f2");
    assert_eq!(seen, format!("0000000000000000\n{bounding}\n"));
}

#[test]
fn devices_and_what_may_be_done_with_them() {
    need!(root, overlay, fuse, images);
    let lab = lab();
    let open = "exec 3</dev/x && echo read; (exec 4>/dev/x) 2>/dev/null && echo write; :";
    assert_eq!(sees(&lab, &["--device", "/dev/fuse:/dev/x"], open), "read\nwrite\n");
    assert_eq!(sees(&lab, &["--device", "/dev/fuse:/dev/x:r"], open), "read\n");
    let look = "mknod /f c 10 229; (exec 3<>/f) 2>/dev/null && echo opened; :";
    assert_eq!(sees(&lab, &[], look), "");
    assert_eq!(sees(&lab, &["--device-cgroup-rule", "c 10:229 rwm"], look), "opened\n");
    assert_eq!(sees(&lab, &["--device-cgroup-rule", "a *:* rwm"], look), "opened\n");
    for (options, code, words) in [
        (
            ["--device", "/dev/nope"],
            127,
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory",
        ),
        (
            ["--device", "/etc/passwd"],
            125,
            "error gathering device information while adding custom device \"/etc/passwd\": not a device node",
        ),
        (["--device", "fuse"], 125, "fuse is not an absolute path"),
        (["--device", "/dev/fuse:/dev/x:rx"], 125, "bad mode specified: rx"),
        (
            ["--device-cgroup-rule", "foo"],
            125,
            "invalid argument \"foo\" for \"--device-cgroup-rule\" flag: invalid device cgroup format 'foo'",
        ),
    ] {
        refused(&lab, &options, code, &format!("ctr: {words}"));
    }
}

#[test]
fn security_options() {
    need!(root, overlay, images);
    let lab = lab();
    let status = |field: &str| format!("grep {field}: /proc/self/status | cut -f2");
    assert_eq!(sees(&lab, &["--security-opt", "no-new-privileges:false"], &status("NoNewPrivs")), "0\n");
    assert_eq!(sees(&lab, &["--security-opt", "no-new-privileges"], &status("NoNewPrivs")), "1\n");
    assert_eq!(sees(&lab, &["--security-opt", "seccomp=unconfined"], &status("Seccomp")), "0\n");
    let profile = lab.path().join("profile.json");
    fs::write(
        &profile,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#,
    )
    .expect("written");
    let option = format!("seccomp={}", profile.display());
    assert_eq!(
        sees(&lab, &["--security-opt", &option], "mkdir /x 2>&1; touch /y && echo touched"),
        "mkdir: can't create directory '/x': Operation not permitted\ntouched\n"
    );
    let masked = "ls /proc/keys >/dev/null && wc -c </proc/keys; read n </proc/sys/kernel/printk_ratelimit; (echo $n >/proc/sys/kernel/printk_ratelimit) 2>/dev/null && echo written; :";
    assert_eq!(sees(&lab, &[], masked), "0\n");
    assert_ne!(sees(&lab, &["--security-opt", "systempaths=unconfined"], masked), "0\n");
    let hidden = "ls /var | wc -l";
    assert_eq!(sees(&lab, &["--security-opt", "mask=/var"], hidden), "0\n");
    for ignored in ["apparmor=nope", "label=disable", "label=type:x"] {
        assert_eq!(sees(&lab, &["--security-opt", ignored], "echo runs"), "runs\n");
    }
    fs::write(&profile, "{").expect("written");
    let half = format!(
        "ctr: compacting json for seccomp profile ({}) failed: unexpected end of JSON input",
        profile.display()
    );
    for (option, words) in [
        ("foo", "ctr: Invalid --security-opt: \"foo\""),
        ("foo=bar", "ctr: invalid --security-opt 2: \"foo=bar\""),
        (
            "seccomp=/no/such",
            "ctr: opening seccomp profile (/no/such) failed: open /no/such: no such file or directory",
        ),
        (&option, &half),
    ] {
        refused(&lab, &["--security-opt", option], 125, words);
    }
}

#[test]
fn sysctls_of_the_containers_namespaces() {
    need!(root, overlay, images);
    let lab = lab();
    let own = fs::read_to_string("/proc/sys/kernel/shmmax").expect("a number");
    let options =
        ["--sysctl", "kernel.shmmax=12345", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "fs.mqueue.msg_max=20"];
    let look = "cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/msg_max";
    assert_eq!(sees(&lab, &options, look), "12345\n1\n20\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmax").expect("a number"), own);
    refused(
        &lab,
        &["--sysctl", "vm.swappiness=1"],
        125,
        "ctr: invalid argument \"vm.swappiness=1\" for \"--sysctl\" flag: sysctl 'vm.swappiness=1' is not allowed",
    );
    let said = lab.said([
        "run",
        "--rm",
        "--network",
        "none",
        "--ipc",
        "host",
        "--sysctl",
        "kernel.shmmax=5",
        "busybox",
        "true",
    ]);
    assert_eq!(said.code, 125, "{said:?}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmax").expect("a number"), own, "the machine's is not touched");
}

#[test]
fn what_cannot_be_is_said_in_dockers_words() {
    need!(root, overlay, images);
    let lab = lab();
    for (options, words) in [
        (["--pid", "foo"], "--pid: invalid PID mode"),
        (["--ipc", "foo"], "Invalid IPC mode: foo"),
        (["--uts", "foo"], "--uts: invalid UTS mode"),
        (["--userns", "foo"], "--userns: invalid USER mode"),
        (["--cgroupns", "foo"], "--cgroupns: invalid CGROUP mode"),
        (["--userns", "keep-id"], "keep-id is only supported in rootless mode"),
        (["--cap-drop", "foo"], "invalid CapDrop: unknown capability: \"CAP_FOO\""),
        (["--group-add", "foo"], "Unable to find group foo: no matching entries in group file"),
        (["-u", "4294967296"], "uids and gids must be in range 0-2147483647"),
        (["-w", "foo"], "the working directory 'foo' is invalid, it needs to be an absolute path"),
        (["--isolation", "hyperv"], "Invalid isolation: \"hyperv\" - linux only supports 'default'"),
        (["--gpus", "all"], "could not select device driver \"\" with capabilities: [[gpu]]"),
    ] {
        refused(&lab, &options, 125, &format!("ctr: {words}"));
    }
    refused(&lab, &["--uts", "host", "-h", "x"], 125, "ctr: conflicting options: hostname and the UTS mode");
}

#[test]
fn how_a_process_begins() {
    need!(root, overlay, images);
    let lab = lab();
    assert_eq!(sees(&lab, &["--group-add", "55", "--group-add", "root", "-u", "7:8"], "id -G"), "8 0 55\n");
    assert_eq!(sees(&lab, &["--umask", "0077"], "umask; touch /x; stat -c %a /x"), "0077\n600\n");
    assert_eq!(sees(&lab, &["--domainname", "example.test"], "cat /proc/sys/kernel/domainname"), "example.test\n");
    assert_eq!(
        sees(&lab, &["--personality", "LINUX32"], "uname -m"),
        if cfg!(target_arch = "x86_64") { "i686\n" } else { "armv8l\n" }
    );
    let file = lab.path().join("env");
    fs::write(&file, "A=1\n#no\n\n  B=2\nVENEER_NOT_SET\n").expect("written");
    let options = ["--env-file", file.to_str().expect("text"), "-e", "B=3", "-e", "PATH", "--unsetenv", "HOSTNAME"];
    assert_eq!(sees(&lab, &options, "env | grep -E '^(A|B|VENEER|HOSTNAME)' | sort"), "A=1\nB=3\n");
    fs::write(&file, "A B=1\n").expect("written");
    refused(
        &lab,
        &["--env-file", file.to_str().expect("text")],
        125,
        &format!("ctr: invalid env file ({}): variable 'A B' contains whitespaces", file.display()),
    );
    refused(
        &lab,
        &["-e", "=x"],
        125,
        "ctr: invalid argument \"=x\" for \"-e, --env\" flag: invalid environment variable: =x",
    );
    let read_only = "touch /x 2>/dev/null || echo sealed; touch /tmp/x 2>/dev/null && echo open; :";
    assert_eq!(sees(&lab, &["--read-only"], read_only), "sealed\n");
    assert_eq!(sees(&lab, &["--read-only", "--read-only-tmpfs"], read_only), "sealed\nopen\n");
}
