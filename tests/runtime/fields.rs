//! Fields of `process` and `linux` of which a container's first process, and one of `exec`, shows by itself that they are in force.
//!
//! Debian's runc 1.1 and crun 1.8 were made before some of them; there the specification is the reference (config.md and
//! config-linux.md of runtime-spec 1.2, 1.3 where a test says so).

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::{Value, json};
use testkit::need;

fn nsrun() -> Runtime {
    let [.., nsrun] = runtimes();
    nsrun
}

/// What the script says on nsrun, which must have nothing to complain of.
fn says(script: &str, change: impl FnOnce(&mut Value)) -> String {
    let (out, err, code) = told(&Bundle::new(script, change).run(&nsrun()));
    assert_eq!((err.as_str(), code), ("", Some(0)), "{out}");
    out
}

/// How nsrun refuses a configuration: before anything of it runs.
fn refused(change: impl FnOnce(&mut Value)) -> String {
    let (out, err, code) = told(&Bundle::new("echo ran", change).run(&nsrun()));
    assert_eq!((out.as_str(), code), ("", Some(1)), "{err}");
    let file = err.find("config.json: ").map_or(0, |at| at + "config.json: ".len());
    err[file..].trim_end().to_owned()
}

/// A container that sleeps.
fn sleeping(change: impl FnOnce(&mut Value)) -> Bundle {
    let bundle = Bundle::new("while :; do sleep 1; done", change);
    let mut run = bundle.command(&nsrun(), "run");
    run.arg("--detach").arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    let status = run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    assert!(status.expect("starts").success());
    bundle
}

/// `exec --process` of the script, with `more` in the process document.
fn exec(bundle: &Bundle, script: &str, more: Value) -> (String, String, Option<i32>) {
    let mut process = json!({ "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin:/sbin"], "cwd": "/", "user": {} });
    process.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    let file = bundle.folder().join("process.json");
    std::fs::write(&file, process.to_string()).expect("process.json");
    told(&bundle.command(&nsrun(), "exec").arg("--process").arg(&file).arg(bundle.id()).output().expect("starts"))
}

#[test]
fn the_scheduler_is_the_one_asked_for() {
    need!(root, "busybox");
    // Of /proc/PID/sched: policy (SCHED_OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5) and priority (120 + nice, 99 - real-time priority);
    // 40 and 41 of stat are the same for those who have no CONFIG_SCHED_DEBUG.
    let script = "set -- $(sed 's/.*) //' /proc/self/stat); echo ${17} ${38} ${39}";
    for (scheduler, wanted) in [
        (json!({"policy": "SCHED_OTHER", "nice": 7}), "7 0 0\n"),
        (json!({"policy": "SCHED_BATCH", "nice": -3}), "-3 0 3\n"),
        (json!({"policy": "SCHED_IDLE"}), "0 0 5\n"),
        (json!({"policy": "SCHED_FIFO", "priority": 11}), "0 11 1\n"),
        (json!({"policy": "SCHED_RR", "priority": 99}), "0 99 2\n"),
    ] {
        let out = says(script, |config| config["process"]["scheduler"] = scheduler.clone());
        assert_eq!(out, wanted, "{scheduler}");
    }
    let reset = json!({"policy": "SCHED_FIFO", "priority": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let forked = format!("{script}; ({})", script.replace("self", "$(sh -c 'echo $PPID')"));
    let out = says(&forked, |config| config["process"]["scheduler"] = reset);
    // `sed` is a child of the shell already, so what it shows is what is left after a fork.
    assert_eq!(out, "0 0 0\n0 0 0\n");
    let deadline =
        json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 5_000_000, "period": 10_000_000});
    let out = says("read -r stat </proc/self/stat; set -- ${stat##*) }; echo ${39}", |config| {
        config["process"]["scheduler"] = deadline;
    });
    assert_eq!(out, "6\n");
}

#[test]
fn a_scheduler_that_cannot_be_is_refused_by_name() {
    need!(root, "busybox");
    let of = |scheduler: Value| refused(|config| config["process"]["scheduler"] = scheduler);
    assert_eq!(of(json!({"policy": "SCHED_RR"})), "process.scheduler priority: must be 1 to 99");
    let error = of(json!({"policy": "SCHED_ISO"}));
    assert!(error.starts_with("nsrun: set process.scheduler SCHED_ISO: invalid argument"), "{error}");
    let error = of(json!({"policy": "SCHED_SOMETIMES"}));
    assert!(error.starts_with("process.scheduler.policy: unknown variant `SCHED_SOMETIMES`"), "{error}");
    let error = of(json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}));
    // Only where the kernel has no clamps.
    assert!(error.contains("process.scheduler SCHED_OTHER") && error.contains("CONFIG_UCLAMP_TASK"), "{error}");
}

#[test]
fn the_io_priority_is_inherited_by_all_of_the_container() {
    need!(root, "busybox");
    let script = "ionice; sh -c 'ionice -p $$'";
    for (class, shown) in [
        ("IOPRIO_CLASS_RT", "realtime: prio 3"),
        ("IOPRIO_CLASS_BE", "best-effort: prio 3"),
        ("IOPRIO_CLASS_IDLE", "idle"),
    ] {
        let out = says(script, |config| config["process"]["ioPriority"] = json!({"class": class, "priority": 3}));
        assert_eq!(out, format!("{shown}\n{shown}\n"));
    }
    let error = refused(|config| config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 8}));
    assert_eq!(error, "process.ioPriority 8: must be 0 to 7");
}

#[test]
fn the_personality_is_taken_by_all_processes() {
    need!(root, "crun", "busybox");
    // runc 1.1 ignores the field.
    for runtime in runtimes().into_iter().filter(|r| r.name != "runc") {
        for (domain, machine) in [("LINUX", std::env::consts::ARCH), ("LINUX32", "i686")] {
            let bundle = Bundle::new("uname -m", |config| config["linux"]["personality"] = json!({ "domain": domain }));
            let (out, err, _) = told(&bundle.run(&runtime));
            if domain == "LINUX" || cfg!(target_arch = "x86_64") {
                assert_eq!(out.trim_end(), machine, "{} {domain}: {err}", runtime.name);
            }
        }
    }
    let bundle = sleeping(|config| config["linux"]["personality"] = json!({ "domain": "LINUX32" }));
    assert_eq!(exec(&bundle, "cat /proc/self/personality", json!({})).0, "00000008\n");
    let error = refused(|config| config["linux"]["personality"] = json!({ "domain": "LINUX", "flags": ["X"] }));
    assert_eq!(error, "linux.personality.flags X: is no flag: the specification has none");
}

#[test]
fn pages_come_from_the_memory_nodes_of_the_policy() {
    need!(root, "busybox");
    // runtime-spec 1.3; runc has it from 1.4, crun from 1.24.
    let script = "grep -c ' bind[^ ]*:0 ' /proc/self/numa_maps >/dev/null && sed -n '1s/^[^ ]* \\([^ ]*\\).*/\\1/p' /proc/self/numa_maps";
    for (policy, shown) in [
        (json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), "bind=static:0"),
    ] {
        let out = says(script, |config| config["linux"]["memoryPolicy"] = policy.clone());
        assert_eq!(out.trim_end(), shown, "{policy}");
    }
    let first = "sed -n '1s/^[^ ]* \\([^ ]*\\).*/\\1/p' /proc/self/numa_maps";
    for (policy, shown) in [
        (json!({"mode": "MPOL_DEFAULT"}), "default"),
        (json!({"mode": "MPOL_LOCAL"}), "local"),
        (json!({"mode": "MPOL_PREFERRED", "nodes": "0"}), "prefer:0"),
        (json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}), "prefer (many):0"),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}), "interleave=relative:0"),
    ] {
        let out = says(first, |config| config["linux"]["memoryPolicy"] = policy.clone());
        assert_eq!(out.trim_end(), shown.split(' ').next().unwrap_or_default(), "{policy}");
    }
    let bundle = sleeping(|config| config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"}));
    assert_eq!(exec(&bundle, first, json!({})).0, "bind:0\n");
    let of = |policy: Value| refused(|config| config["linux"]["memoryPolicy"] = policy);
    assert_eq!(of(json!({"mode": "MPOL_BIND"})), "linux.memoryPolicy MPOL_BIND: needs nodes");
    let error = of(json!({"mode": "MPOL_BIND", "nodes": "1000"}));
    assert!(error.starts_with("nsrun: set linux.memoryPolicy MPOL_BIND 1000: invalid argument"), "{error}");
}

#[test]
fn exec_runs_on_the_processors_it_is_told_to() {
    need!(root, "busybox");
    let bundle = sleeping(|config| {
        // Of the first process it is none of the business (runtime-spec "Linux Process").
        config["process"]["execCPUAffinity"] = json!({ "final": "0" });
    });
    let allowed = "sed -n 's/Cpus_allowed_list:[[:space:]]*//p' /proc/self/status";
    let all = exec(&bundle, allowed, json!({})).0;
    assert_eq!(exec(&bundle, allowed, json!({"execCPUAffinity": {"initial": "", "final": "0"}})).0, "0\n");
    assert_eq!(exec(&bundle, allowed, json!({"execCPUAffinity": {"initial": "0"}})).0, "0\n");
    let first = std::fs::read_to_string(format!("/proc/{}/status", pid(&bundle))).expect("status");
    let first = first.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).expect("a list").trim().to_owned();
    assert_eq!(first, all.trim_end());
    // The configuration's counts for a program without a document of its own.
    let (out, _, _) =
        told(&bundle.command(&nsrun(), "exec").args([bundle.id(), "sh", "-c", allowed]).output().expect("starts"));
    assert_eq!(out, "0\n");
    let (_, err, code) = exec(&bundle, allowed, json!({"execCPUAffinity": {"final": "1000"}}));
    assert!(err.starts_with("nsrun: set process.execCPUAffinity 1000: invalid argument"), "{err}");
    assert_eq!(code, Some(255));
}

fn pid(bundle: &Bundle) -> i64 {
    let (out, _, _) = told(&bundle.command(&nsrun(), "state").arg(bundle.id()).output().expect("starts"));
    serde_json::from_str::<Value>(&out).expect("JSON")["pid"].as_i64().expect("a pid")
}

#[test]
fn every_limit_is_set_and_none_twice() {
    need!(root, "runc", "crun", "busybox");
    // All that getrlimit(2) names, in the order and the words of /proc/PID/limits.
    let limits = [
        ("CPU", "Max cpu time"),
        ("FSIZE", "Max file size"),
        ("DATA", "Max data size"),
        ("STACK", "Max stack size"),
        ("CORE", "Max core file size"),
        ("RSS", "Max resident set"),
        ("NPROC", "Max processes"),
        ("NOFILE", "Max open files"),
        ("MEMLOCK", "Max locked memory"),
        ("AS", "Max address space"),
        ("LOCKS", "Max file locks"),
        ("SIGPENDING", "Max pending signals"),
        ("MSGQUEUE", "Max msgqueue size"),
        ("NICE", "Max nice priority"),
        ("RTPRIO", "Max realtime priority"),
        ("RTTIME", "Max realtime timeout"),
    ];
    // Hard limits that are zero cannot be raised by whoever lacks CAP_SYS_RESOURCE.
    let here = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let zero = |words: &str| {
        here.lines().any(|l| l.starts_with(words) && l[words.len()..].split_whitespace().nth(1) == Some("0"))
    };
    let value = |at: usize, words: &str| if zero(words) { 0 } else { 10_000_000 + at };
    for runtime in runtimes() {
        let bundle = Bundle::new("cat /proc/self/limits", |config| {
            let of = |(at, (name, words)): (usize, &(&str, &str))| json!({ "type": format!("RLIMIT_{name}"), "soft": if zero(words) { 0 } else { value(at, words) - 1 }, "hard": value(at, words) });
            // Files cannot be more than the machine's own limit says, processes not more than this user's.
            let small = |l: &mut Value| {
                if l["type"] == "RLIMIT_NOFILE" || l["type"] == "RLIMIT_SIGPENDING" || l["type"] == "RLIMIT_NPROC" {
                    (l["soft"], l["hard"]) = (json!(998), json!(999));
                } else if l["type"] == "RLIMIT_MEMLOCK" || l["type"] == "RLIMIT_MSGQUEUE" {
                    (l["soft"], l["hard"]) = (json!(4096), json!(8192));
                } else if l["type"] == "RLIMIT_AS" || l["type"] == "RLIMIT_DATA" || l["type"] == "RLIMIT_STACK" {
                    (l["soft"], l["hard"]) = (json!(1_i64 << 32), json!(1_i64 << 33));
                }
            };
            let mut all: Vec<Value> = limits.iter().enumerate().map(of).collect();
            all.iter_mut().for_each(small);
            config["process"]["rlimits"] = json!(all);
        });
        let (out, err, code) = told(&bundle.run(&runtime));
        assert_eq!(code, Some(0), "{}: {err}", runtime.name);
        let asked: Value =
            serde_json::from_slice(&std::fs::read(bundle.folder().join("config.json")).expect("config")).expect("JSON");
        for (at, (name, words)) in limits.iter().enumerate() {
            let line = out.lines().find(|l| l.starts_with(words)).unwrap_or_else(|| panic!("{words} in {out}"));
            let shown: Vec<&str> = line[words.len()..].split_whitespace().take(2).collect();
            let asked = &asked["process"]["rlimits"][at];
            assert_eq!(shown, [asked["soft"].to_string(), asked["hard"].to_string()], "{} {name}", runtime.name);
        }
    }
    let one = json!({ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 });
    let error = refused(|config| config["process"]["rlimits"] = json!([one, one]));
    assert_eq!(error, "process.rlimits RLIMIT_CORE: is listed twice");
    let error =
        refused(|config| config["process"]["rlimits"] = json!([{ "type": "RLIMIT_HOPE", "soft": 0, "hard": 0 }]));
    assert!(error.starts_with("process.rlimits.0.type: unknown variant `RLIMIT_HOPE`"), "{error}");
}

#[test]
fn capabilities_come_in_five_sets_and_what_cannot_be_given_is_told() {
    need!(root, "runc", "crun", "busybox");
    let script = "sed -n 's/^Cap\\(...\\):[[:space:]]*/\\1 /p' /proc/self/status";
    // CHOWN 0, KILL 5, NET_BIND_SERVICE 10
    for runtime in runtimes() {
        let bundle = Bundle::new(script, |config| {
            config["process"]["user"] = json!({ "uid": 7, "gid": 7 });
            config["process"]["noNewPrivileges"] = json!(true);
            config["process"]["capabilities"] = json!({
                "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
                "permitted": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
                "effective": ["CAP_NET_BIND_SERVICE"],
                "inheritable": ["CAP_NET_BIND_SERVICE", "CAP_KILL"],
                "ambient": ["CAP_NET_BIND_SERVICE"],
            });
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        // execve leaves a user who is not root what is ambient.
        let wanted = "Inh 0000000000000420\nPrm 0000000000000400\nEff 0000000000000400\nBnd 0000000000000421\nAmb 0000000000000400\n";
        assert_eq!(out, wanted, "{}: {err}", runtime.name);
    }
    let bundle = Bundle::new(script, |config| {
        config["process"]["capabilities"] =
            json!({ "bounding": ["CAP_KILL", "CAP_OF_TOMORROW"], "ambient": ["CAP_KILL"] });
    });
    let (out, err, code) = told(&bundle.run(&nsrun()));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.ends_with("Bnd 0000000000000020\nAmb 0000000000000000\n"), "{out}");
    // Ambient without inheritable and permitted is none (capabilities(7)): `runc spec` writes it so, and nobody is warned of it.
    assert_eq!(
        err,
        "nsrun: warning: process.capabilities CAP_OF_TOMORROW: is left out: this runtime knows no capability of that name\n"
    );
    let bundle = sleeping(|_| {});
    let (out, err, code) = exec(&bundle, script, json!({ "capabilities": { "bounding": ["CAP_CHOWN", "CAP_X"] } }));
    assert!(out.contains("Bnd 0000000000000001\n"), "{out}");
    assert_eq!(code, Some(0));
    assert!(err.contains("CAP_X: is left out"), "{err}");
}

#[test]
fn warnings_go_to_the_log_where_there_is_one() {
    need!(root, "busybox");
    let bundle = Bundle::new("echo ran", |config| config["windows"] = json!({ "layerFolders": [] }));
    let log = bundle.folder().join("log");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nsrun"));
    command.arg("--root").arg(bundle.folder().join("state")).arg("--log").arg(&log).args([
        "--log-format",
        "json",
        "run",
    ]);
    let (out, err, _) = told(&command.arg("--bundle").arg(bundle.folder()).arg(bundle.id()).output().expect("starts"));
    assert_eq!((out.as_str(), err.as_str()), ("ran\n", ""));
    let line: Value = serde_json::from_str(std::fs::read_to_string(&log).expect("log").trim_end()).expect("JSON");
    assert_eq!(
        (&line["level"], &line["msg"]),
        (&json!("warning"), &json!("windows: is ignored: it is for another platform"))
    );
}

#[test]
fn umask_groups_and_scores_are_as_said() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("umask; id -G; cat /proc/self/oom_score_adj", |config| {
            config["process"]["user"] = json!({ "uid": 0, "gid": 0, "umask": 0o077, "additionalGids": [5, 4_000_000] });
            config["process"]["oomScoreAdj"] = json!(321);
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "0077\n0 5 4000000\n321\n", "{}: {err}", runtime.name);
    }
    let bundle = sleeping(|config| config["process"]["oomScoreAdj"] = json!(100));
    let document = json!({ "user": { "uid": 3, "gid": 4, "umask": 0o007, "additionalGids": [5] }, "oomScoreAdj": 200 });
    assert_eq!(exec(&bundle, "umask; id -G; cat /proc/self/oom_score_adj", document).0, "0007\n4 5\n200\n");
}

#[test]
fn labels_without_their_security_module_are_refused_not_forgotten() {
    need!(root, "runc", "busybox");
    if std::path::Path::new("/sys/fs/selinux/enforce").exists()
        || std::path::Path::new("/sys/kernel/security/apparmor").exists()
    {
        return;
    }
    for field in ["apparmorProfile", "selinuxLabel"] {
        for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
            let bundle = Bundle::new("echo ran", |config| config["process"][field] = json!("a-label"));
            let (out, err, code) = told(&bundle.run(&runtime));
            assert!(out.is_empty() && code != Some(0), "{} {field}: {err}", runtime.name);
        }
    }
    let error = refused(|config| config["process"]["apparmorProfile"] = json!("a-profile"));
    assert!(error.starts_with("nsrun: apply process.apparmorProfile a-profile: "), "{error}");
    let error = refused(|config| config["linux"]["mountLabel"] = json!("a:b:c:d"));
    assert_eq!(error, "linux.mountLabel a:b:c:d: SELinux is not enabled on this machine");
}

#[test]
fn what_contradicts_itself_is_refused_before_anything_exists() {
    need!(root, "busybox");
    let cases: [(&str, Value, &str); 12] = [
        ("/ociVersion", json!("1.0"), "ociVersion \"1.0\": is no version this runtime knows (1.0.0 to 1.3.0)"),
        (
            "/linux/timeOffsets",
            json!({"monotonic": {"secs": 1}}),
            "linux.timeOffsets: needs a time namespace in linux.namespaces",
        ),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
            "linux.uidMappings: needs a user namespace in linux.namespaces",
        ),
        ("/linux/maskedPaths", json!(["proc"]), "linux.maskedPaths \"proc\": must be an absolute path"),
        ("/linux/readonlyPaths", json!(["proc"]), "linux.readonlyPaths \"proc\": must be an absolute path"),
        (
            "/linux/intelRdt",
            json!({"closID": "a"}),
            "linux.intelRdt: is not done by this runtime\nhint: a createRuntime hook can write the container's pid to the tasks file of a resctrl group",
        ),
        ("/linux/netDevices", json!({"a/b": {}}), "linux.netDevices \"a/b\": is no name a network device can have"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}),
            "linux.seccomp.listenerMetadata: must not be set without listenerPath",
        ),
        ("/annotations", json!({"": "x"}), "annotations: one has an empty key"),
        ("/hooks", json!({"prestart": [{"path": "true"}]}), "hooks.prestart \"true\": must be an absolute path"),
        (
            "/hooks",
            json!({"poststop": [{"path": "/bin/true", "timeout": 0}]}),
            "hooks.poststop /bin/true: its timeout must be greater than zero",
        ),
        ("/process/cwd", json!("tmp"), "process.cwd \"tmp\": must be an absolute path"),
    ];
    for (field, value, wanted) in cases {
        let error = refused(|config| {
            let (above, name) = field.rsplit_once('/').expect("a path");
            config.pointer_mut(above).expect(above)[name] = value;
        });
        assert_eq!(error, wanted);
    }
}
