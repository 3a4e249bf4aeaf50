//! config.md, "POSIX-platform Hooks", and their place in the lifecycle of runtime.md.
//!
//! Hooks of the runtime's namespace are scripts in the bundle, outside the root file system; what they find they write beside it.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check, state};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ALL: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Says in which namespaces a process is.
const WHERE: &str = "readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts; readlink /proc/self/ns/ipc";

pub(crate) fn cases() -> Vec<Case> {
    cases!["hooks":
        prestart_in_runtime_namespace,
        prestart_failure_ends_create,
        prestart_before_pivot_root,
        create_runtime_in_runtime_namespace,
        create_runtime_failure_ends_create,
        create_runtime_before_pivot_root,
        create_container_in_container_namespace,
        create_container_failure_ends_create,
        create_container_before_pivot_root,
        start_container_in_container_namespace,
        start_container_before_the_program,
        start_container_failure_ends_start,
        poststart_in_runtime_namespace,
        poststart_between_program_and_return,
        poststart_failure_is_a_warning,
        poststop_in_runtime_namespace,
        poststop_between_deletion_and_return,
        poststop_failure_is_a_warning,
        poststop_after_a_hook_that_failed,
        in_the_listed_order,
        stages_up_to_the_program_in_order,
        state_on_stdin,
        status_before_the_program,
        status_after_the_program,
        path_is_absolute,
        arguments_and_environment,
        timeout_aborts,
        timeout_is_positive,
    ]
}

/// Runs a container with one hook at `stage` to its end; gives what the hook wrote to `$LOG`.
fn found(bench: Bench<'_>, stage: &str, script: &str) -> Result<String, String> {
    let mut container = Container::new(bench, "exec sleep 1000")?;
    let log = container.folder().join("log");
    let hook = container.program("hook", &format!("LOG={}\n{script}", log.display()))?;
    container.config["hooks"] = json!({ stage: [{ "path": hook }] });
    container.create()?.ok()?;
    let after_create = container.read("log");
    container.start()?.ok()?;
    let after_start = container.read("log");
    container.kill("KILL")?.ok()?;
    container.stopped()?;
    container.delete()?.ok()?;
    let after_delete = container.read("log");
    let (said, when) = match stage {
        "prestart" | "createRuntime" | "createContainer" => (after_create, "create"),
        "poststart" => {
            check_empty(&after_create, "create")?;
            (after_start, "start")
        }
        _ => {
            check_empty(&after_start, "start")?;
            (after_delete, "delete")
        }
    };
    if said.is_empty() { Err(format!("the hook did not run before {when} returned")) } else { Ok(said) }
}

fn check_empty(log: &str, when: &str) -> Verdict {
    if log.is_empty() { Ok(()) } else { Err(format!("the hook ran in {when} already")) }
}

fn own_namespaces() -> String {
    let of = |name: &str| std::fs::read_link(format!("/proc/thread-self/ns/{name}")).unwrap_or_default();
    ["mnt", "uts", "ipc"].map(|name| format!("{}\n", of(name).display())).concat()
}

fn in_runtime_namespace(bench: Bench<'_>, stage: &str) -> Verdict {
    let said = found(bench, stage, &format!("{{ {WHERE}; }} > $LOG"))?;
    check!(said == own_namespaces(), "the hook is in {said:?}, the runtime in {:?}", own_namespaces());
    Ok(())
}

fn prestart_in_runtime_namespace(bench: Bench<'_>) -> Verdict {
    in_runtime_namespace(bench, "prestart")
}

fn create_runtime_in_runtime_namespace(bench: Bench<'_>) -> Verdict {
    in_runtime_namespace(bench, "createRuntime")
}

fn poststart_in_runtime_namespace(bench: Bench<'_>) -> Verdict {
    in_runtime_namespace(bench, "poststart")
}

fn poststop_in_runtime_namespace(bench: Bench<'_>) -> Verdict {
    in_runtime_namespace(bench, "poststop")
}

/// The path is the runtime's (the bundle is not in the container), the namespaces are the container's.
fn create_container_in_container_namespace(bench: Bench<'_>) -> Verdict {
    let said = found(bench, "createContainer", &format!("{{ {WHERE}; }} > $LOG"))?;
    let pairs = said.lines().zip(own_namespaces().lines().map(str::to_owned).collect::<Vec<_>>());
    for (hook, runtime) in pairs {
        check!(hook != runtime, "the hook is in the runtime's {runtime}");
    }
    Ok(())
}

/// The container's process has its namespaces, its mounts are there, and it still sees them where they were made.
fn before_pivot_root(bench: Bench<'_>, stage: &str) -> Verdict {
    let script = "pid=$(sed 's/.*\"pid\":[ ]*\\([0-9]*\\).*/\\1/' | grep -o '^[0-9]*')
        readlink /proc/$pid/ns/uts > $LOG; cat /proc/$pid/mountinfo >> $LOG";
    let script = match stage {
        // There the pid is as seen in the container.
        "createContainer" => "readlink /proc/self/ns/uts > $LOG; cat /proc/self/mountinfo >> $LOG",
        _ => script,
    };
    let said = found(bench, stage, script)?;
    let uts = own_namespaces().lines().nth(1).unwrap_or_default().to_owned();
    check!(!said.starts_with(&uts), "no namespaces are made yet");
    check!(said.contains("/rootfs/proc "), "the mounts are not made, or the root is changed already: {said}");
    Ok(())
}

fn prestart_before_pivot_root(bench: Bench<'_>) -> Verdict {
    before_pivot_root(bench, "prestart")
}

fn create_runtime_before_pivot_root(bench: Bench<'_>) -> Verdict {
    before_pivot_root(bench, "createRuntime")
}

fn create_container_before_pivot_root(bench: Bench<'_>) -> Verdict {
    before_pivot_root(bench, "createContainer")
}

fn failure_ends_create(bench: Bench<'_>, stage: &str) -> Verdict {
    let mut container = Container::new(bench, "echo ran > /root/ran")?;
    let hook = container.program("hook", "exit 7")?;
    container.config["hooks"] = json!({ stage: [{ "path": hook }] });
    container.create()?.refused()?;
    check!(!container.call(&["state", &container.id])?.succeeded(), "the container is there");
    check!(container.groups().is_empty(), "groups are left: {:?}", container.groups());
    check!(!container.inside("/root/ran").exists(), "the program ran");
    Ok(())
}

fn prestart_failure_ends_create(bench: Bench<'_>) -> Verdict {
    failure_ends_create(bench, "prestart")
}

fn create_runtime_failure_ends_create(bench: Bench<'_>) -> Verdict {
    failure_ends_create(bench, "createRuntime")
}

fn create_container_failure_ends_create(bench: Bench<'_>) -> Verdict {
    failure_ends_create(bench, "createContainer")
}

/// The path is the container's: the script is in its root file system.
fn start_container_in_container_namespace(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, WHERE)?;
    container.program("rootfs/bin/hook", &format!("{{ {WHERE}; }} > /root/log"))?;
    container.config["hooks"] = json!({ "startContainer": [{ "path": "/bin/hook" }] });
    container.create()?.ok()?;
    check!(!container.inside("/root/log").exists(), "the hook ran in create");
    container.start()?.ok()?;
    container.stopped()?;
    let said = container.read("rootfs/root/log");
    check!(!said.is_empty(), "the hook did not run");
    check!(said == container.output(), "the hook is in {said:?}, the program in {:?}", container.output());
    Ok(())
}

fn start_container_before_the_program(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "cat /root/log")?;
    container.program("rootfs/bin/hook", "sleep 0.2; echo before > /root/log")?;
    container.config["hooks"] = json!({ "startContainer": [{ "path": "/bin/hook" }] });
    container.launch()?;
    container.stopped()?;
    check!(container.output() == "before\n", "the program found {:?}", container.output());
    Ok(())
}

/// Whether `start` itself tells of it the specification leaves open ("does not mandate how, or even if").
fn start_container_failure_ends_start(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "echo ran > /root/ran; exec sleep 1000")?;
    container.program("rootfs/bin/hook", "exit 7")?;
    container.config["hooks"] = json!({ "startContainer": [{ "path": "/bin/hook" }] });
    container.create()?.ok()?;
    let _ = container.start()?;
    container.stopped().or_else(|why| if why.contains("failed") { Ok(()) } else { Err(why) })?;
    check!(!container.inside("/root/ran").exists(), "the program ran");
    Ok(())
}

fn poststart_between_program_and_return(bench: Bench<'_>) -> Verdict {
    let script = "pid=$(sed 's/.*\"pid\":[ ]*\\([0-9]*\\).*/\\1/' | grep -o '^[0-9]*')
        tr '\\0' ' ' < /proc/$pid/cmdline > $LOG";
    let said = found(bench, "poststart", script)?;
    check!(said.starts_with("/bin/sh") || said.starts_with("sleep"), "the process is still {said:?}");
    Ok(())
}

fn poststart_failure_is_a_warning(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "exec sleep 1000")?;
    let failing = container.program("failing", "exit 7")?;
    let log = container.folder().join("log");
    let next = container.program("next", &format!("echo ran > {}", log.display()))?;
    container.config["hooks"] = json!({ "poststart": [{ "path": failing }, { "path": next }] });
    container.launch()?;
    check!(container.read("log") == "ran\n", "the next hook did not run");
    check!(container.status()? == "running", "it is {}", container.status()?);
    Ok(())
}

fn poststop_between_deletion_and_return(bench: Bench<'_>) -> Verdict {
    let mut container = Container::with(bench, "true", |config| {
        config["linux"]["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    })?;
    container.create()?.ok()?;
    let group = container.groups().pop().ok_or("it has no group")?;
    container.call(&["delete", "--force", &container.id])?.ok()?;
    let log = container.folder().join("log");
    let script = format!("test -e {} && echo there > {log} || echo gone > {log}", group.display(), log = log.display());
    let hook = container.program("hook", &script)?;
    container.config["hooks"] = json!({ "poststop": [{ "path": hook }] });
    container.launch()?;
    container.stopped()?;
    check!(container.read("log").is_empty(), "the hook ran before delete");
    container.delete()?.ok()?;
    check!(container.read("log") == "gone\n", "its group is {:?} when the hook runs", container.read("log"));
    Ok(())
}

fn poststop_failure_is_a_warning(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let failing = container.program("failing", "exit 7")?;
    let log = container.folder().join("log");
    let next = container.program("next", &format!("echo ran > {}", log.display()))?;
    container.config["hooks"] = json!({ "poststop": [{ "path": failing }, { "path": next }] });
    container.launch()?;
    container.stopped()?;
    container.delete()?.ok()?;
    check!(container.read("log") == "ran\n", "the next hook did not run");
    check!(!container.call(&["state", &container.id])?.succeeded(), "the container is there");
    Ok(())
}

/// "Continue the lifecycle at step 12": destroy it, then the hooks `poststop`.
fn poststop_after_a_hook_that_failed(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let failing = container.program("failing", "exit 7")?;
    let log = container.folder().join("log");
    let next = container.program("next", &format!("echo ran > {}", log.display()))?;
    container.config["hooks"] = json!({ "createRuntime": [{ "path": failing }], "poststop": [{ "path": next }] });
    container.create()?.refused()?;
    check!(container.read("log") == "ran\n", "the hook poststop did not run");
    Ok(())
}

/// Runs a container with two hooks at each stage, all of them saying to one file what `$1` is.
fn order(bench: Bench<'_>) -> Result<Vec<String>, String> {
    let mut container = Container::new(bench, "echo started; exec sleep 1000")?;
    let log = container.put("log", "")?;
    container.put("rootfs/log", "")?;
    // One file under two names: outside and, for startContainer, inside.
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({ "destination": "/log", "type": "none", "source": log, "options": ["bind"] }));
    let outside = container.program("hook", &format!("echo $1 >> {}", log.display()))?;
    container.program("rootfs/bin/hook", "echo $1 >> /log")?;
    container.config["hooks"] = at_all_stages(|stage| {
        let path = if stage == "startContainer" { "/bin/hook" } else { &outside };
        json!([1, 2].map(|n| json!({ "path": path, "args": ["hook", format!("{stage} {n}")] })))
    });
    container.launch()?;
    container.until_it_says("started")?;
    container.kill("KILL")?.ok()?;
    container.stopped()?;
    container.delete()?.ok()?;
    Ok(container.read("log").lines().map(str::to_owned).collect())
}

fn at_all_stages(hooks: impl Fn(&str) -> Value) -> Value {
    Value::Object(ALL.iter().map(|stage| ((*stage).to_owned(), hooks(stage))).collect())
}

fn in_the_listed_order(bench: Bench<'_>) -> Verdict {
    let ran = order(bench)?;
    for stage in ALL {
        let of_stage: Vec<&str> = ran.iter().filter_map(|line| line.strip_prefix(stage)).collect();
        check!(of_stage == [" 1", " 2"], "{stage}: they ran as {ran:?}");
    }
    Ok(())
}

fn stages_up_to_the_program_in_order(bench: Bench<'_>) -> Verdict {
    let ran = order(bench)?;
    let stages: Vec<&str> =
        ran.iter().filter_map(|line| line.split(' ').next()).filter(|s| !s.starts_with("post")).collect();
    let wanted: Vec<&str> = ALL[..4].iter().flat_map(|stage| [*stage, *stage]).collect();
    check!(stages == wanted, "they ran as {ran:?}");
    Ok(())
}

/// The document each hook got.
type Documents = Vec<(&'static str, Value)>;

/// What the hooks got, and the container's pid.
fn documents(bench: Bench<'_>) -> Result<(Documents, i32), String> {
    let mut container = Container::new(bench, "echo started; exec sleep 1000")?;
    let outside = container.program("hook", &format!("cat > {}/$1.json", container.folder().display()))?;
    container.program("rootfs/bin/hook", "cat > /root/$1.json")?;
    container.config["hooks"] = at_all_stages(|stage| {
        let path = if stage == "startContainer" { "/bin/hook" } else { &outside };
        json!([{ "path": path, "args": ["hook", stage] }])
    });
    container.config["annotations"] = json!({ "org.example.one": container.id.as_str() });
    container.launch()?;
    container.until_it_says("started")?;
    let pid = container.pid()?;
    container.kill("KILL")?.ok()?;
    container.stopped()?;
    container.delete()?.ok()?;
    let document = |stage: &'static str| {
        let file =
            if stage == "startContainer" { format!("rootfs/root/{stage}.json") } else { format!("{stage}.json") };
        let text = container.read(&file);
        let said: Value = serde_json::from_str(&text).map_err(|e| format!("{stage} got {text:?}: {e}"))?;
        check_document(&said, &container.id).map_err(|why| format!("{stage}: {why}"))?;
        Ok((stage, said))
    };
    Ok((ALL.into_iter().map(document).collect::<Result<_, String>>()?, pid))
}

fn check_document(said: &Value, id: &str) -> Verdict {
    // A runtime may have states of its own; those of the specification are looked at by stage.
    let mut plain = said.clone();
    plain["status"] = json!("running");
    state::adheres(&plain)?;
    check!(said["id"] == id && said["annotations"]["org.example.one"] == id, "it is {said}");
    Ok(())
}

fn state_on_stdin(bench: Bench<'_>) -> Verdict {
    let (documents, pid) = documents(bench)?;
    for (stage, said) in
        documents.iter().filter(|(stage, _)| ["prestart", "createRuntime", "poststart"].contains(stage))
    {
        check!(said["pid"] == pid, "{stage}: pid is {}, not {pid}", said["pid"]);
    }
    Ok(())
}

fn status_is(bench: Bench<'_>, allowed: &[(&str, &[&str])]) -> Verdict {
    for (stage, said) in documents(bench)?.0 {
        let status = said["status"].as_str().unwrap_or_default();
        if let Some((_, allowed)) = allowed.iter().find(|(name, _)| *name == stage) {
            check!(allowed.contains(&status), "{stage}: status is {status:?}, not {}", allowed.join(" or "));
        }
    }
    Ok(())
}

fn status_before_the_program(bench: Bench<'_>) -> Verdict {
    let making = ["creating", "created"].as_slice();
    let create = ["prestart", "createRuntime", "createContainer"].map(|stage| (stage, making));
    status_is(bench, &create)?;
    status_is(bench, &[("startContainer", &["created"])])
}

fn status_after_the_program(bench: Bench<'_>) -> Verdict {
    status_is(bench, &[("poststart", &["running"]), ("poststop", &["stopped"])])
}

fn path_is_absolute(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    container.program("hook", "exit 0")?;
    for stage in ["prestart", "createRuntime", "createContainer"] {
        container.config["hooks"] = json!({ stage: [{ "path": "hook" }] });
        container.create()?.refused().map_err(|why| format!("{stage}: {why}"))?;
    }
    Ok(())
}

fn arguments_and_environment(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let log = container.folder().join("log");
    let hook = container.program("hook", &format!("{{ echo $# \"$1\" \"$2\"; env; }} > {}", log.display()))?;
    let entry = json!({ "path": hook, "args": ["own name", "a b", ""], "env": ["ONE=1", "TWO=zwei und drei"] });
    container.config["hooks"] = json!({ "createRuntime": [entry] });
    container.create()?.ok()?;
    let said = container.read("log");
    check!(said.starts_with("2 a b \n"), "arguments: {said:?}");
    // A shell may add PWD and the like; what the runtime was called with may not be there.
    check!(said.contains("\nONE=1\n") && said.contains("TWO=zwei und drei\n"), "environment: {said:?}");
    check!(!said.contains("CARGO"), "the runtime's own environment came along: {said:?}");
    Ok(())
}

fn timeout_aborts(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let hook = container.program("hook", "exec sleep 20")?;
    container.config["hooks"] = json!({ "createRuntime": [{ "path": hook, "timeout": 1 }] });
    let before = Instant::now();
    container.create()?.refused()?;
    check!(before.elapsed() < Duration::from_secs(15), "it took {:?}", before.elapsed());
    Ok(())
}

fn timeout_is_positive(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let hook = container.program("hook", "exit 0")?;
    for timeout in [0, -1] {
        container.config["hooks"] = json!({ "createRuntime": [{ "path": hook, "timeout": timeout }] });
        container.create()?.refused().map_err(|why| format!("{timeout}: {why}"))?;
    }
    Ok(())
}
