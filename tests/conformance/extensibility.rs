//! config.md, "Annotations", "Extensibility", "Valid values"; and properties that are REQUIRED and missing.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::{Value, json};

/// The object that lacks it, the property, and the configuration that would have it whole.
const REQUIRED: &[(&str, &str, &str)] = &[
    ("version", "", "ociVersion"),
    ("root_path", "/root", "path"),
    ("rlimit_type", "/process/rlimits/0", "type"),
    ("rlimit_soft", "/process/rlimits/0", "soft"),
    ("rlimit_hard", "/process/rlimits/0", "hard"),
    ("scheduler_policy", "/process/scheduler", "policy"),
    ("hook_path", "/hooks/createRuntime/0", "path"),
    ("namespace_type", "/linux/namespaces/1", "type"),
    ("mapping_size", "/linux/uidMappings/0", "size"),
    ("device_type", "/linux/devices/0", "type"),
    ("device_path", "/linux/devices/0", "path"),
    ("throttle_major", "/linux/resources/blockIO/throttleReadBpsDevice/0", "major"),
    ("throttle_rate", "/linux/resources/blockIO/throttleReadBpsDevice/0", "rate"),
    ("seccomp_names", "/linux/seccomp/syscalls/0", "names"),
    ("seccomp_action", "/linux/seccomp/syscalls/0", "action"),
    ("seccomp_index", "/linux/seccomp/syscalls/0/args/0", "index"),
    ("seccomp_value", "/linux/seccomp/syscalls/0/args/0", "value"),
    ("seccomp_op", "/linux/seccomp/syscalls/0/args/0", "op"),
    ("personality_domain", "/linux/personality", "domain"),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases!["extensibility":
        unknown_properties_are_ignored,
        unknown_annotations_are_ignored,
        annotations_are_strings,
        annotation_values_may_be_empty,
        values_of_another_type_are_an_error,
        stop_signal_of_the_image_changes_no_kill,
    ];
    let one = |(name, object, property): &(&'static str, &'static str, &'static str)| {
        let (name, object, property) = (*name, *object, *property);
        Case::new(format!("required::{name}"), move |bench| required(bench, object, property))
    };
    all.extend(REQUIRED.iter().map(one));
    all
}

/// Fills in what has `object`, whole, so that nothing but the property will be missing.
fn complete(config: &mut Value, object: &str) {
    if object.starts_with("/process/rlimits") {
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 100 }]);
    } else if object.starts_with("/process/scheduler") {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 1 });
    } else if object.starts_with("/hooks") {
        config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/true" }] });
    } else if object.starts_with("/linux/uidMappings") {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev/pts");
    } else if object.starts_with("/linux/devices") {
        config["linux"]["devices"] = json!([{ "path": "/dev/one", "type": "c", "major": 1, "minor": 3 }]);
    } else if object.starts_with("/linux/resources/blockIO") {
        // 1:0 is the first RAM disk; whether there is one does not matter to what is parsed before.
        let entry = json!([{ "major": 1, "minor": 0, "rate": 1_000_000 }]);
        config["linux"]["resources"] = json!({ "blockIO": { "throttleReadBpsDevice": entry } });
    } else if object.starts_with("/linux/seccomp") {
        let args = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
        let rule = json!({ "names": ["mkdirat"], "action": "SCMP_ACT_ERRNO", "args": args });
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    } else if object.starts_with("/linux/personality") {
        config["linux"]["personality"] = json!({ "domain": "LINUX" });
    }
}

fn required(bench: Bench<'_>, object: &str, property: &str) -> Verdict {
    let mut container = Container::with(bench, "true", |config| complete(config, object))?;
    let owner = container.config.pointer_mut(object).and_then(Value::as_object_mut).ok_or("no such object")?;
    owner.remove(property).ok_or("no such property")?;
    container.create()?.refused().map(drop)
}

fn unknown_properties_are_ignored(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "echo ran", |config| {
        let strange = json!({ "deep": [1, null, "x"] });
        for pointer in ["", "/process", "/process/user", "/root", "/mounts/0", "/linux", "/linux/namespaces/0"] {
            config.pointer_mut(pointer).expect("an object")["org.example.unknown"] = strange.clone();
        }
        config["linux"]["resources"] = json!({ "org.example.unknown": strange, "pids": { "limit": 100 } });
    })?;
    check!(container.says()? == "ran\n", "it did not run");
    Ok(())
}

fn unknown_annotations_are_ignored(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "echo ran", |config| {
        config["annotations"] = json!({ "org.example.unknown": "1", "org.opencontainers.unknown": "2", "plain": "3" });
    })?;
    check!(container.says()? == "ran\n", "it did not run");
    Ok(())
}

fn annotations_are_strings(bench: Bench<'_>) -> Verdict {
    for bad in
        [json!({ "org.example.one": 1 }), json!(["org.example.one"]), json!({ "org.example.one": { "deep": "x" } })]
    {
        let container = Container::with(bench, "true", |config| config["annotations"] = bad.clone())?;
        container.create()?.refused().map_err(|why| format!("{bad}: {why}"))?;
    }
    Ok(())
}

fn annotation_values_may_be_empty(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| config["annotations"] = json!({ "org.example.one": "" }))?;
    container.create()?.ok()?;
    check!(container.state()?["annotations"]["org.example.one"] == "", "it is gone");
    Ok(())
}

fn values_of_another_type_are_an_error(bench: Bench<'_>) -> Verdict {
    for (pointer, property, bad) in [
        ("/process", "args", json!("a string")),
        ("/process", "cwd", json!(5)),
        ("/process/user", "uid", json!("root")),
        ("/process/user", "uid", json!(-1)),
        ("/root", "readonly", json!("yes")),
        ("/linux", "namespaces", json!({ "type": "pid" })),
        ("", "mounts", json!("none")),
        ("", "hostname", json!(7)),
    ] {
        let mut container = Container::new(bench, "true")?;
        container.config.pointer_mut(pointer).ok_or("no such object")?[property] = bad.clone();
        container.create()?.refused().map_err(|why| format!("{pointer}/{property} {bad}: {why}"))?;
    }
    Ok(())
}

/// The annotation tells callers which signal to send; `kill` sends the one it is given.
fn stop_signal_of_the_image_changes_no_kill(bench: Bench<'_>) -> Verdict {
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 0' TERM; echo started; while :; do sleep 0.05; done";
    let container = Container::with(bench, script, |config| {
        config["annotations"] = json!({ "org.opencontainers.image.stopSignal": "SIGUSR1" });
    })?;
    container.launch()?;
    container.until_it_says("started")?;
    container.kill("TERM")?.ok()?;
    container.until_it_says("term")?;
    check!(!container.output().contains("usr1"), "it said {:?}", container.output());
    Ok(())
}
