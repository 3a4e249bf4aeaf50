//! Limits limit: each is shown by what a program in the container cannot do, not by a file that says so. On v1 here, on v2 in
//! `tests/vm`.

use crate::bundle::{Bundle, runtimes, told};
use crate::tree::{exec, is_v2, limited, on_each, read, said, start, until};
use serde_json::json;
use testkit::{need, user};

#[test]
fn who_takes_more_memory_is_killed() {
    need!(root, "runc", "crun", "busybox");
    // tail keeps what it is asked for; a swap limit as large as the memory limit leaves no swap. Whom the kernel kills first
    // is its own choice: mostly tail, and then wc counts nothing, now and then the shell, and then nothing is said at all.
    let hog = "head -c 100m /dev/zero | tail -c 100m | wc -c";
    for runtime in on_each() {
        let bundle = Bundle::new(hog, |config| {
            limited(config, &json!({ "memory": { "limit": 33_554_432, "swap": 33_554_432 } }));
        });
        let (out, err, code) = told(&bundle.run(&runtime));
        let killed = out.trim() == "0" || (out.is_empty() && code == Some(137));
        assert!(killed, "{}: {out:?} {code:?} {err}", runtime.name);
    }
}

#[test]
fn who_forks_more_is_refused() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("for n in 1 2 3 4 5 6; do sleep 5 & done; echo all", |config| {
            limited(config, &json!({ "pids": { "limit": 4 } }));
        });
        let (out, err, code) = told(&bundle.run(&runtime));
        assert!(err.contains("can't fork") && out.is_empty() && code != Some(0), "{}: {out} {err}", runtime.name);
    }
}

#[test]
fn who_computes_more_is_held_back() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("while :; do :; done", |config| {
            limited(config, &json!({ "cpu": { "quota": 10_000, "period": 100_000, "shares": 512 } }));
        });
        let pid = start(&bundle, &runtime);
        let throttled = || {
            let stat = read(pid, "cpu", "cpu.stat", "cpu.stat");
            let count = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).expect("a count").to_owned();
            count.parse::<u64>().expect("a number")
        };
        until("it is held back", || throttled() > 2);
        // 512 of v1's 1024 as the curve of runc 1.3.2 and crun 1.23 has it; these two here may be older.
        let weight = read(pid, "cpu", "cpu.shares", "cpu.weight");
        assert!(weight == if is_v2() { "59" } else { "512" } || runtime.name != "nsrun", "{weight}");
    }
}

#[test]
fn who_may_use_one_processor_sees_one() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("nproc; grep Cpus_allowed_list /proc/self/status", |config| {
            limited(config, &json!({ "cpu": { "cpus": "0", "mems": "0" } }));
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "1\nCpus_allowed_list:\t0\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn who_makes_a_device_node_cannot_open_it() {
    need!(root, "runc", "crun", "busybox");
    let script = "mknod /dev/kmsg2 c 1 11 && mknod /dev/zero2 c 1 5 && mknod /dev/loop b 7 0 && echo made
        head -c1 /dev/zero2 | wc -c; head -c0 /dev/kmsg2 || echo no; head -c0 /dev/loop || echo no";
    for runtime in on_each() {
        let bundle = Bundle::new(script, |config| {
            config["linux"]["resources"]["devices"] = json!([{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "access": "m" },
                    { "allow": true, "type": "b", "access": "m" }]);
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "made\n1\nno\nno\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn transfers_are_limited_where_the_kernel_shows_it() {
    need!(root, "runc", "crun", "busybox");
    // A disk of this machine: the first that is none of memory.
    let disk = std::fs::read_dir("/sys/block").expect("disks").flatten().find_map(|disk| {
        let name = disk.file_name().into_string().ok()?;
        (!name.starts_with("loop") && !name.starts_with("ram") && !name.starts_with("zram"))
            .then(|| std::fs::read_to_string(disk.path().join("dev")).ok())?
    });
    let Some(disk) = disk else { return };
    let (major, minor) = disk.trim().split_once(':').expect("a number");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let rate = json!([{ "major": number(major), "minor": number(minor), "rate": 1_048_576 }]);
    for runtime in on_each() {
        let bundle = Bundle::new("sleep 1000", |config| {
            let block = json!({ "throttleReadBpsDevice": rate, "throttleWriteIOPSDevice": rate });
            limited(config, &json!({ "blockIO": block }));
        });
        let pid = start(&bundle, &runtime);
        let shown = read(pid, "blkio", "blkio.throttle.read_bps_device", "io.max");
        assert!(shown.starts_with(disk.trim()) && shown.contains("1048576"), "{}: {shown}", runtime.name);
        let shown = read(pid, "blkio", "blkio.throttle.write_iops_device", "io.max");
        assert!(shown.starts_with(disk.trim()) && shown.contains("1048576"), "{}: {shown}", runtime.name);
    }
}

#[test]
fn huge_pages_are_limited_where_the_kernel_counts_them() {
    need!(root, cgroup2, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("sleep 1000", |config| {
        limited(config, &json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }] }));
    });
    let pid = start(&bundle, &nsrun);
    assert_eq!(read(pid, "hugetlb", "", "hugetlb.2MB.max"), "4194304");
    assert_eq!(read(pid, "hugetlb", "", "hugetlb.2MB.rsvd.max"), "4194304");
}

#[test]
fn files_of_v2_by_their_own_names() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("for n in 1 2 3 4 5 6; do sleep 5 & done; echo all", |config| {
            limited(config, &json!({ "unified": { "pids.max": "4", "memory.high": "100000000" } }));
        });
        let (out, err, code) = told(&bundle.run(&runtime));
        assert!(out.is_empty() && code != Some(0), "{}: {out} {err}", runtime.name);
        match (is_v2(), runtime.name) {
            (true, _) => assert!(err.contains("can't fork"), "{}: {err}", runtime.name),
            (false, "nsrun") => {
                let words = "linux.resources unified: memory.high is of cgroup v2, which this machine does not use";
                assert!(err.contains(words), "{err}");
            }
            _ => {}
        }
    }
}

#[test]
fn what_this_tree_cannot_do_is_said_and_nothing_is_left() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let mut cases = vec![
        (json!({ "memory": { "limit": 1000, "swap": 10 } }), "swap 10, which counts memory and swap, is less"),
        (json!({ "network": { "classID": 5 } }), "no cgroup controller net_cls here"),
        (json!({ "cpu": { "cpus": "4000" } }), "set limit"),
        (json!({ "blockIO": { "weight": 7 } }), "weight 7 is not between 10 and 1000"),
    ];
    if is_v2() {
        cases.push((json!({ "memory": { "swappiness": 5 } }), "swappiness does not exist in cgroup v2"));
        cases.push((json!({ "unified": { "nosuch.max": "1" } }), "no cgroup controller nosuch here"));
        cases.push((json!({ "cpu": { "realtimeRuntime": 5 } }), "real-time limits do not exist in cgroup v2"));
    }
    for (resources, words) in cases {
        let bundle = Bundle::new("true", |config| limited(config, &resources));
        let (_, err, code) = told(&bundle.run(&nsrun));
        assert!(err.contains(words) && code == Some(1), "{resources}: {err}");
    }
}

#[test]
fn without_a_delegated_group_only_limits_are_an_error() {
    need!(user, "busybox");
    let [.., nsrun] = runtimes();
    for limits in [false, true] {
        let folder = user::scratch();
        testkit::fixture::busybox_rootfs(&folder.path().join("rootfs"));
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": { "args": ["/bin/echo", "ran"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
            "root": { "path": "rootfs" },
            "linux": {
                "namespaces": [{ "type": "pid" }, { "type": "mount" }],
                "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            },
        });
        if limits {
            config["linux"]["resources"]["pids"] = json!({ "limit": 7 });
        }
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("config.json");
        let done = std::process::Command::new("chown").args(["-R", user::NAME]).arg(folder.path()).status();
        assert!(done.expect("chown").success());
        let (d, program) = (folder.path().display(), env!("CARGO_BIN_EXE_nsrun"));
        let line = format!("{program} --user --map-root-user --mount -- {program} --root {d}/state run --bundle {d} c");
        let (out, err, code) = told(&user::command("sh").args(["-c", &line]).output().expect("starts"));
        if limits {
            assert!(err.contains("limits need root, or a cgroup delegated to this user"), "{} {err}", nsrun.name);
            assert_eq!(code, Some(1));
        } else {
            assert_eq!((out.as_str(), code), ("ran\n", Some(0)), "{err}");
        }
    }
}

#[test]
fn a_program_that_joins_is_under_the_limits_too() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("echo up; sleep 1000", |config| limited(config, &json!({ "pids": { "limit": 3 } })));
        start(&bundle, &runtime);
        until("it is up", || said(&bundle) == "up\n");
        let (out, err, _) = exec(&bundle, &runtime, &["sh", "-c", "sleep 5 & sleep 5 & sleep 5 & echo all"]);
        assert!(out.is_empty(), "{}: {out} {err}", runtime.name);
    }
}
