//! config.md, "Process": what the program finds about itself.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    cases!["process":
        cwd,
        cwd_is_absolute,
        environment,
        arguments_as_execvp_takes_them,
        arguments_are_required,
        console_size_without_terminal_is_ignored,
        rlimits,
        rlimit_unknown_is_an_error,
        rlimit_twice_is_an_error,
        capabilities_of_root,
        capabilities_of_a_user,
        capability_unknown_is_a_warning,
        capability_that_cannot_be_granted_is_a_warning,
        no_new_privileges,
        oom_score_adj,
        oom_score_adj_unset_is_left_alone,
        scheduler,
        scheduler_flags,
        scheduler_unknown_is_an_error,
        io_priority,
        io_priority_unknown_is_an_error,
        exec_cpu_affinity,
        user,
        umask,
        hostname,
        domainname,
        personality,
        personality_unknown_is_an_error,
    ]
}

/// The program's word for `script`, its process changed by `change`.
fn says(bench: Bench<'_>, script: &str, change: impl FnOnce(&mut Value)) -> Result<String, String> {
    Container::with(bench, script, |config| change(&mut config["process"]))?.says()
}

fn refused(bench: Bench<'_>, what: &str, change: impl FnOnce(&mut Value)) -> Verdict {
    let container = Container::with(bench, "true", |config| change(&mut config["process"]))?;
    container.create()?.refused().map(drop).map_err(|why| format!("{what}: {why}"))
}

fn same(said: &str, wanted: &str) -> Verdict {
    if said == wanted { Ok(()) } else { Err(format!("it is {said:?}, not {wanted:?}")) }
}

fn cwd(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "pwd; readlink /proc/self/cwd", |process| process["cwd"] = json!("/root"))?;
    same(&said, "/root\n/root\n")
}

fn cwd_is_absolute(bench: Bench<'_>) -> Verdict {
    refused(bench, "root", |process| process["cwd"] = json!("root"))?;
    refused(bench, "missing", |process| drop(process.as_object_mut().and_then(|map| map.remove("cwd"))))
}

fn environment(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "", |process| {
        process["args"] = json!(["/bin/env"]);
        process["env"] = json!(["PATH=/bin", "EMPTY=", "TWO=a=b c"]);
    })?;
    let set: Vec<&str> = said.lines().filter(|line| !line.starts_with("HOME=")).collect();
    check!(set == ["PATH=/bin", "EMPTY=", "TWO=a=b c"], "the environment is {said:?}");
    Ok(())
}

fn arguments_as_execvp_takes_them(bench: Bench<'_>) -> Verdict {
    // Without a slash it is looked for in PATH, with one it is not.
    let in_path = says(bench, "", |process| process["args"] = json!(["echo", "a b", "", "c"]))?;
    same(&in_path, "a b  c\n")?;
    let relative = says(bench, "", |process| {
        process["args"] = json!(["./busybox", "echo", "here"]);
        process["cwd"] = json!("/bin");
    })?;
    same(&relative, "here\n")?;
    let container = Container::with(bench, "", |config| config["process"]["args"] = json!(["no-such-program"]))?;
    container.run()?.refused().map(drop)
}

/// Like `start` without a process: it may be found out before.
fn arguments_are_required(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "", |config| config["process"]["args"] = json!([]))?;
    if container.create()?.succeeded() {
        container.start()?.refused()?;
    }
    Ok(())
}

fn console_size_without_terminal_is_ignored(bench: Bench<'_>) -> Verdict {
    for terminal in [Some(false), None] {
        let said = says(bench, "test -t 1 || echo no terminal", |process| {
            process["consoleSize"] = json!({ "height": 25, "width": 80 });
            if let Some(terminal) = terminal {
                process["terminal"] = json!(terminal);
            }
        })?;
        same(&said, "no terminal\n")?;
    }
    Ok(())
}

fn rlimits(bench: Bench<'_>) -> Verdict {
    let wanted = [
        ("NOFILE", 100, 200),
        ("CORE", 0, 4096),
        ("CPU", 50, 60),
        ("STACK", 1 << 22, 1 << 23),
        ("FSIZE", 1 << 20, 1 << 21),
    ];
    let said = says(bench, "cat /proc/self/limits", |process| {
        let limit = |(name, soft, hard): (&str, u64, u64)| json!({ "type": format!("RLIMIT_{name}"), "soft": soft, "hard": hard });
        process["rlimits"] = json!(wanted.map(limit));
    })?;
    let names = ["Max open files", "Max core file size", "Max cpu time", "Max stack size", "Max file size"];
    for (name, (_, soft, hard)) in names.into_iter().zip(wanted) {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let numbers: Vec<&str> = line.split_whitespace().take(2).collect();
        check!(numbers == [soft.to_string(), hard.to_string()], "{name}: {line}");
    }
    Ok(())
}

fn rlimit_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    for name in ["RLIMIT_NOSUCH", "NOFILE", ""] {
        refused(bench, name, |process| process["rlimits"] = json!([{ "type": name, "soft": 1, "hard": 1 }]))?;
    }
    Ok(())
}

fn rlimit_twice_is_an_error(bench: Bench<'_>) -> Verdict {
    let limit = json!({ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 });
    refused(bench, "twice", |process| process["rlimits"] = json!([limit, limit]))
}

const CHOWN: u64 = 1;
const DAC_OVERRIDE: u64 = 1 << 1;
const KILL: u64 = 1 << 5;

/// Checks the lines `Cap...:` of a status.
fn check_sets(status: &str, wanted: &[(&str, u64)]) -> Verdict {
    for (name, bits) in wanted {
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap_or_default();
        let is = u64::from_str_radix(line.trim(), 16).map_err(|e| format!("{name}: {line:?}: {e}"))?;
        check!(is == *bits, "{name} is {is:#x}, not {bits:#x}");
    }
    Ok(())
}

fn capabilities_of_root(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "cat /proc/self/status", |process| {
        let caps = json!(["CAP_CHOWN", "CAP_KILL"]);
        process["capabilities"] = json!({ "bounding": caps, "permitted": caps, "effective": caps });
    })?;
    check_sets(&said, &[("CapBnd", CHOWN | KILL), ("CapPrm", CHOWN | KILL), ("CapEff", CHOWN | KILL), ("CapAmb", 0)])
}

/// Of another user's sets execve leaves the ambient, the inheritable and the bounding one.
fn capabilities_of_a_user(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "cat /proc/self/status", |process| {
        process["user"] = json!({ "uid": 1000, "gid": 1000 });
        process["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"],
            "ambient": ["CAP_KILL"],
        });
    })?;
    let wanted = [
        ("CapBnd", CHOWN | DAC_OVERRIDE | KILL),
        ("CapInh", CHOWN | KILL),
        ("CapAmb", KILL),
        ("CapPrm", KILL),
        ("CapEff", KILL),
    ];
    check_sets(&said, &wanted)
}

fn capability_unknown_is_a_warning(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "cat /proc/self/status", |process| {
        let caps = json!(["CAP_KILL", "CAP_NO_SUCH_THING"]);
        process["capabilities"] = json!({ "bounding": caps, "permitted": caps, "effective": caps });
    })?;
    check_sets(&said, &[("CapBnd", KILL), ("CapPrm", KILL)])
}

/// The runtime is started without CAP_CHOWN.
fn capability_that_cannot_be_granted_is_a_warning(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "cat /proc/self/status", |config| {
        let caps = json!(["CAP_KILL", "CAP_SYS_RESOURCE"]);
        config["process"]["capabilities"] = json!({ "bounding": caps, "permitted": caps, "effective": caps });
    })?;
    container.write()?;
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "--", bench.runtime.program(), "--root"]);
    command.arg(container.folder().join("state")).arg("run").arg("--bundle").arg(container.folder()).arg(&container.id);
    let said = bench.runtime.run(container.folder(), command)?.ok()?;
    check_sets(&said, &[("CapBnd", KILL), ("CapPrm", KILL)])
}

fn no_new_privileges(bench: Bench<'_>) -> Verdict {
    for (set, wanted) in [(true, "1"), (false, "0")] {
        let said = says(bench, "grep NoNewPrivs /proc/self/status", |process| process["noNewPrivileges"] = json!(set))?;
        same(said.trim(), &format!("NoNewPrivs:\t{wanted}"))?;
    }
    Ok(())
}

fn oom_score_adj(bench: Bench<'_>) -> Verdict {
    same(&says(bench, "cat /proc/self/oom_score_adj", |process| process["oomScoreAdj"] = json!(567))?, "567\n")
}

fn oom_score_adj_unset_is_left_alone(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "cat /proc/self/oom_score_adj")?;
    container.write()?;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo 321 > /proc/self/oom_score_adj; exec \"$0\" --root \"$1\" run --bundle \"$2\" \"$3\""]);
    command
        .arg(bench.runtime.program())
        .arg(container.folder().join("state"))
        .arg(container.folder())
        .arg(&container.id);
    same(&bench.runtime.run(container.folder(), command)?.ok()?, "321\n")
}

/// Niceness and policy (fields 19 and 41 of stat).
const SCHEDULING: &str = "set -- $(cat /proc/self/stat); echo ${19} ${41}";

fn scheduler(bench: Bench<'_>) -> Verdict {
    let batch =
        says(bench, SCHEDULING, |process| process["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 7 }))?;
    same(&batch, "7 3\n")?;
    let other = says(bench, SCHEDULING, |process| process["scheduler"] = json!({ "policy": "SCHED_OTHER" }))?;
    same(&other, "0 0\n")?;
    let idle = says(bench, SCHEDULING, |process| process["scheduler"] = json!({ "policy": "SCHED_IDLE" }))?;
    // Of one that is idle the kernel leaves the niceness as it was (kernel/sched/syscalls.c, `__setscheduler_params`).
    check!(idle.ends_with(" 5\n"), "it is {idle:?}");
    Ok(())
}

/// With RESET_ON_FORK the children of a process that comes first do not.
fn scheduler_flags(bench: Bench<'_>) -> Verdict {
    let script = "set -- $(cat /proc/$$/stat); own=${19}; set -- $(cat /proc/self/stat); echo $own ${19}";
    let said = says(bench, script, |process| {
        process["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"] });
    })?;
    same(&said, "-5 0\n")
}

fn scheduler_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, "policy", |process| process["scheduler"] = json!({ "policy": "SCHED_NOSUCH" }))?;
    let flags = json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"] });
    refused(bench, "flags", |process| process["scheduler"] = flags)
}

fn io_priority(bench: Bench<'_>) -> Verdict {
    for (class, level, word) in [("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"), ("IOPRIO_CLASS_IDLE", 0, "idle")] {
        let said = says(bench, "ionice -p $$", |process| {
            process["ioPriority"] = json!({ "class": class, "priority": level })
        })?;
        check!(said.starts_with(word), "{class}: it is {said:?}");
    }
    Ok(())
}

fn io_priority_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, "class", |process| {
        process["ioPriority"] = json!({ "class": "IOPRIO_CLASS_NOSUCH", "priority": 0 })
    })?;
    refused(bench, "class", |process| process["ioPriority"] = json!({ "priority": 0 }))?;
    refused(bench, "priority", |process| process["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }))
}

/// It is about processes executed later; "not applicable to the container's init process".
fn exec_cpu_affinity(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "exec sleep 1000")?;
    container.launch()?;
    let run = |affinity: Value| {
        let mut process = container.config["process"].clone();
        process["args"] = json!(["grep", "Cpus_allowed_list", "/proc/self/status"]);
        process["execCPUAffinity"] = affinity;
        let file = container.put("process.json", &process.to_string())?;
        container.call(&["exec", "--process", &file.to_string_lossy(), &container.id])?.ok()
    };
    let bare = run(Value::Null)?;
    same(run(json!({ "final": "0" }))?.trim(), "Cpus_allowed_list:\t0")?;
    // Without "final" the kernel decides, which gives a process that changes its cpuset the whole of it.
    let initial = run(json!({ "initial": "0" }))?;
    check!(initial == bare || initial.trim() == "Cpus_allowed_list:\t0", "with initial alone it is {initial:?}");
    Ok(())
}

fn user(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "id -u; id -g; id -G", |process| {
        process["user"] = json!({ "uid": 1001, "gid": 1002, "additionalGids": [5, 6] });
    })?;
    same(&said, "1001\n1002\n1002 5 6\n")
}

fn umask(bench: Bench<'_>) -> Verdict {
    same(&says(bench, "umask", |process| process["user"]["umask"] = json!(0o27))?, "0027\n")
}

fn hostname(bench: Bench<'_>) -> Verdict {
    let said = Container::with(bench, "hostname", |config| config["hostname"] = json!("mrsdalloway"))?.says()?;
    same(&said, "mrsdalloway\n")
}

fn domainname(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "cat /proc/sys/kernel/domainname", |config| {
        config["domainname"] = json!("foobarbaz.test");
    })?;
    same(&container.says()?, "foobarbaz.test\n")
}

fn personality(bench: Bench<'_>) -> Verdict {
    let machine = |domain: &str| {
        let container = Container::with(bench, "uname -m", |config| {
            config["linux"]["personality"] = json!({ "domain": domain });
        })?;
        container.says()
    };
    let plain = machine("LINUX")?;
    let narrow = machine("LINUX32")?;
    check!(plain.trim() == std::env::consts::ARCH, "LINUX: {plain:?}");
    check!(["i686", "armv8l"].contains(&narrow.trim()), "LINUX32: {narrow:?}");
    Ok(())
}

fn personality_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| {
        config["linux"]["personality"] = json!({ "domain": "SOLARIS" });
    })?;
    container.create()?.refused().map(drop)
}
