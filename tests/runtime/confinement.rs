//! What confines a container, seen from inside: capabilities, seccomp, devices, limits.

use crate::bundle::{Bundle, runtimes, told};
use serde_json::json;
use testkit::need;

#[test]
fn a_container_has_the_capabilities_it_was_given_and_no_other() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let (out, err, code) = told(&Bundle::new("grep ^Cap /proc/self/status", |_| {}).run(&runtime));
        // CHOWN 0, DAC_OVERRIDE 1, KILL 5, MKNOD 27.
        let given = "0000000008000023";
        let none = "0000000000000000";
        let expected =
            format!("CapInh:\t{none}\nCapPrm:\t{given}\nCapEff:\t{given}\nCapBnd:\t{given}\nCapAmb:\t{none}\n");
        assert_eq!((out, code), (expected, Some(0)), "{}: {err}", runtime.name);
    }
}

#[test]
fn an_ordinary_user_keeps_capabilities_only_as_ambient_ones() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("grep -E '^Cap(Eff|Amb)' /proc/self/status; id -u", |config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
            config["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
            config["process"]["capabilities"]["ambient"] = json!(["CAP_KILL"]);
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "CapEff:\t0000000000000020\nCapAmb:\t0000000000000020\n1000\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn no_capabilities_member_means_none() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("grep -E '^Cap(Prm|Bnd)' /proc/self/status", |config| {
            config["process"]["capabilities"] = json!({});
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "CapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn seccomp_answers_what_the_profile_says() {
    need!(root, "runc", "crun", "busybox");
    for quiet in [false, true] {
        for runtime in runtimes() {
            let script =
                "mkdir /tmp/a; ln -s a /tmp/b; hostname other; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status";
            let bundle = Bundle::new(script, |config| {
                config["process"]["noNewPrivileges"] = json!(quiet);
                config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                    { "names": ["mkdir", "mkdirat", "a_call_of_the_future"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
                    { "names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ERRNO" } ] });
            });
            let (out, err, _) = told(&bundle.run(&runtime));
            assert!(err.contains("/tmp/a': No space left on device"), "{}: {err}", runtime.name);
            assert!(err.contains("/tmp/b: Operation not permitted"), "{}: {err}", runtime.name);
            let status = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(quiet));
            assert_eq!(out, status, "{}: {err}", runtime.name);
        }
    }
}

#[test]
fn a_device_that_is_not_listed_can_be_made_but_not_opened() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let script = "mknod /dev/sneaky b 7 0 && echo made; head -c0 /dev/sneaky || echo closed; head -c0 /dev/null && echo null opens
            mknod /dev/again c 1 3 && head -c0 /dev/again && echo again opens";
        let (out, err, _) = told(&Bundle::new(script, |_| {}).run(&runtime));
        assert_eq!(out, "made\nclosed\nnull opens\nagain opens\n", "{}: {err}", runtime.name);
        assert!(err.contains("Operation not permitted"), "{}: {err}", runtime.name);
    }
}

#[test]
fn limits_hold_inside() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("head -c 100m /dev/zero | tail -c 100m | wc -c", |config| {
            config["linux"]["resources"]["memory"] = json!({ "limit": 33554432, "swap": 33554432 });
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        // which of the processes the kernel ends is its choice; that all the bytes came through is what may not be
        assert!(matches!(out.trim(), "" | "0"), "{}: {out} {err}", runtime.name);
        let bundle = Bundle::new("for n in 1 2 3 4 5 6; do sleep 1 & done", |config| {
            config["linux"]["resources"]["pids"] = json!({ "limit": 4 });
        });
        let (_, err, code) = told(&bundle.run(&runtime));
        assert!(err.contains("fork") && code != Some(0), "{}: {err}", runtime.name);
    }
}

#[test]
fn what_cannot_be_confined_as_asked_does_not_start() {
    need!(root, "runc", "crun", "busybox");
    let cases = [
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOTIFY" })),
        ("/linux/resources/memory", json!({ "limit": 33554432, "swap": 1048576 })),
    ];
    for (place, value) in cases {
        for runtime in runtimes() {
            let bundle = Bundle::new("echo started", |config| {
                let (parent, member) = place.rsplit_once('/').expect("a pointer");
                config.pointer_mut(parent).expect("a place")[member] = value.clone();
            });
            let (out, err, code) = told(&bundle.run(&runtime));
            assert!(out.is_empty() && code != Some(0) && !err.is_empty(), "{} {place}: {out} {err}", runtime.name);
        }
    }
}
