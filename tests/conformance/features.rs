//! features.md and features-linux.md: what `features` prints, held against what the runtime then does.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    cases!["features":
        versions_are_accepted,
        maximum_is_not_below_minimum,
        nothing_the_specification_does_not_know,
        null_is_not_an_empty_value,
        it_is_the_same_whatever_the_machine_offers,
        hooks_are_supported,
        mount_options_are_recognized,
        mount_options_are_not_those_of_file_systems,
        annotations_are_strings,
        namespaces_are_recognized,
        capabilities_are_recognized,
        seccomp_actions_are_recognized,
        seccomp_operators_are_recognized,
        seccomp_architectures_are_recognized,
        seccomp_known_flags_are_recognized,
        seccomp_supported_flags_are_supported,
        idmap_is_said_where_mappings_are_parsed,
    ]
}

fn features(container: &Container<'_>) -> Result<Value, String> {
    let said = container.call(&["features"])?.ok()?;
    serde_json::from_str(&said).map_err(|e| format!("features is not JSON: {e}"))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A container, and the list at `pointer` of its runtime's features.
fn listed<'a>(bench: Bench<'a>, pointer: &str) -> Result<(Container<'a>, Vec<String>), String> {
    let container = Container::new(bench, "true")?;
    let all = features(&container)?;
    let list = strings(all.pointer(pointer).unwrap_or(&Value::Null));
    Ok((container, list))
}

/// The container is made with the configuration as it is now, and taken away again.
fn accepted(container: &Container<'_>, what: &str) -> Verdict {
    container.create()?.ok().map_err(|why| format!("{what}: {why}"))?;
    container.call(&["delete", "--force", &container.id])?.ok().map(drop)
}

fn versions_are_accepted(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let all = features(&container)?;
    for key in ["ociVersionMin", "ociVersionMax"] {
        let version = all[key].as_str().ok_or_else(|| format!("no {key}"))?;
        container.config["ociVersion"] = json!(version);
        accepted(&container, version)?;
    }
    Ok(())
}

fn maximum_is_not_below_minimum(bench: Bench<'_>) -> Verdict {
    let all = features(&Container::new(bench, "true")?)?;
    let numbers = |key: &str| -> Vec<u32> {
        let text = all[key].as_str().unwrap_or_default();
        text.split(['.', '-', '+']).take(3).filter_map(|n| n.parse().ok()).collect()
    };
    let (min, max) = (numbers("ociVersionMin"), numbers("ociVersionMax"));
    check!(min.len() == 3 && max.len() == 3 && max >= min, "from {min:?} to {max:?}");
    Ok(())
}

const TOP: &[&str] = &[
    "ociVersionMin",
    "ociVersionMax",
    "hooks",
    "mountOptions",
    "linux",
    "annotations",
    "potentiallyUnsafeConfigAnnotations",
];
const LINUX: &[(&str, &[&str])] = &[
    ("namespaces", &[]),
    ("capabilities", &[]),
    ("cgroup", &["v1", "v2", "systemd", "systemdUser", "rdma"]),
    ("seccomp", &["enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"]),
    ("apparmor", &["enabled"]),
    ("selinux", &["enabled"]),
    ("intelRdt", &["enabled"]),
    ("mountExtensions", &["idmap"]),
];

fn nothing_the_specification_does_not_know(bench: Bench<'_>) -> Verdict {
    let all = features(&Container::new(bench, "true")?)?;
    let strange = |object: &Value, known: &[&str]| -> Vec<String> {
        object
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k.clone())
            .filter(|k| !known.contains(&k.as_str()))
            .collect()
    };
    let mut found = strange(&all, TOP);
    let mut linux: Vec<&str> = LINUX.iter().map(|(key, _)| *key).collect();
    if all["ociVersionMax"].as_str().is_some_and(|version| version.starts_with("1.3")) {
        // It is 1.3 then that says what may be there.
        linux.extend(["netDevices", "memoryPolicy"]);
    }
    found.extend(strange(&all["linux"], &linux));
    for (key, known) in LINUX {
        found.extend(strange(&all["linux"][*key], known));
    }
    check!(found.is_empty(), "there are {found:?}");
    Ok(())
}

/// What is absent or null says nothing; what is there is of its type.
fn null_is_not_an_empty_value(bench: Bench<'_>) -> Verdict {
    let all = features(&Container::new(bench, "true")?)?;
    for pointer in ["/hooks", "/mountOptions", "/linux/namespaces", "/linux/capabilities", "/linux/seccomp/actions"] {
        let value = all.pointer(pointer).unwrap_or(&Value::Null);
        check!(
            value.is_null() || value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            "{pointer}: {value}"
        );
    }
    for pointer in ["/linux/cgroup/v1", "/linux/cgroup/v2", "/linux/seccomp/enabled", "/linux/apparmor/enabled"] {
        let value = all.pointer(pointer).unwrap_or(&Value::Null);
        check!(value.is_null() || value.is_boolean(), "{pointer}: {value}");
    }
    Ok(())
}

/// Asked where no cgroup tree, no /proc/PID of its own and no capability is to be had.
fn it_is_the_same_whatever_the_machine_offers(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    let here = container.call(&["features"])?.ok()?;
    let mut command = std::process::Command::new("unshare");
    command.args([
        "--mount",
        "--uts",
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
        bench.runtime.program(),
        "features",
    ]);
    let there = bench.runtime.run(container.folder(), command)?.ok()?;
    check!(here == there, "without capabilities it is {there}");
    Ok(())
}

fn hooks_are_supported(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/hooks")?;
    check!(!list.is_empty(), "none are listed");
    let log = container.put("log", "")?;
    container.put("rootfs/log", "")?;
    let outside = container.program("hook", &format!("echo $1 >> {}", log.display()))?;
    container.program("rootfs/bin/hook", "echo $1 >> /log")?;
    let bound = json!({ "destination": "/log", "type": "none", "source": log, "options": ["bind"] });
    container.config["mounts"].as_array_mut().expect("mounts").push(bound);
    container.config["hooks"] = json!({});
    for stage in &list {
        let path = if stage == "startContainer" { "/bin/hook" } else { &outside };
        container.config["hooks"][stage] = json!([{ "path": path, "args": ["hook", stage] }]);
    }
    container.launch()?;
    container.stopped()?;
    container.delete()?.ok()?;
    let ran = container.read("log");
    let missing: Vec<&String> = list.iter().filter(|stage| !ran.lines().any(|line| line == *stage)).collect();
    check!(missing.is_empty(), "{missing:?} did not run");
    Ok(())
}

fn mount_options_are_recognized(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/mountOptions")?;
    check!(!list.is_empty(), "none are listed");
    std::fs::create_dir(container.folder().join("volume")).map_err(|e| e.to_string())?;
    let plain = container.config["mounts"].clone();
    let entry = |number: usize, option: &str| {
        let place = format!("/mnt/{number}");
        let bound = json!({ "destination": place, "type": "none", "source": "volume", "options": ["rbind", option] });
        match option {
            // Those ask for a mount that is there, or for mappings.
            "remount" => json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["remount"] }),
            "idmap" | "ridmap" => {
                let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
                let mut bound = bound;
                bound["uidMappings"] = map.clone();
                bound["gidMappings"] = map;
                bound
            }
            "bind" | "rbind" => {
                json!({ "destination": place, "type": "none", "source": "volume", "options": [option] })
            }
            // A kernel may be built without ("including options that might not be supported by the host").
            "mand" | "acl" | "noacl" => bound,
            _ if option.starts_with('r') && !["ro", "rw", "relatime"].contains(&option) => bound,
            _ => json!({ "destination": place, "type": "tmpfs", "source": "tmpfs", "options": [option] }),
        }
    };
    let mut all = plain.clone();
    all.as_array_mut().expect("mounts").extend(list.iter().enumerate().map(|(n, option)| entry(n, option)));
    container.config["mounts"] = all;
    if container.create()?.succeeded() {
        return Ok(());
    }
    // One by one, to say which.
    let mut refused = Vec::new();
    for (number, option) in list.iter().enumerate() {
        let mut mounts = plain.clone();
        mounts.as_array_mut().expect("mounts").push(entry(number, option));
        container.config["mounts"] = mounts;
        if let Err(why) = accepted(&container, option) {
            refused.push(why);
        }
    }
    check!(refused.is_empty(), "{}", refused.join("; "));
    Ok(())
}

fn mount_options_are_not_those_of_file_systems(bench: Bench<'_>) -> Verdict {
    let (_container, list) = listed(bench, "/mountOptions")?;
    let data = [
        "size",
        "mode",
        "uid",
        "gid",
        "nr_inodes",
        "lowerdir",
        "upperdir",
        "workdir",
        "newinstance",
        "ptmxmode",
        "data",
    ];
    let found: Vec<&String> = list.iter().filter(|o| o.contains('=') || data.contains(&o.as_str())).collect();
    check!(found.is_empty(), "there are {found:?}");
    Ok(())
}

fn annotations_are_strings(bench: Bench<'_>) -> Verdict {
    let all = features(&Container::new(bench, "true")?)?;
    for (key, value) in all["annotations"].as_object().into_iter().flatten() {
        check!(!key.is_empty() && value.is_string(), "{key:?}: {value}");
    }
    Ok(())
}

fn namespaces_are_recognized(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/linux/namespaces")?;
    check!(!list.is_empty(), "none are listed");
    container.config["linux"]["namespaces"] = list.iter().map(|name| json!({ "type": name })).collect();
    if list.iter().any(|name| name == "user") {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
        container.config["linux"]["uidMappings"] = map.clone();
        container.config["linux"]["gidMappings"] = map;
        container.config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev/pts");
    }
    accepted(&container, "all of them")
}

fn capabilities_are_recognized(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/linux/capabilities")?;
    check!(list.len() > 30, "only {} are listed", list.len());
    container.config["process"]["capabilities"] = json!({ "bounding": list });
    container.create()?.ok().map(drop)
}

fn with_profile(container: &mut Container<'_>, profile: Value) -> Verdict {
    container.config["linux"]["seccomp"] = profile.clone();
    accepted(container, &profile.to_string())
}

fn rule(action: &str) -> Value {
    json!({ "names": ["mkdirat"], "action": action })
}

fn seccomp_actions_are_recognized(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/linux/seccomp/actions")?;
    check!(!list.is_empty(), "none are listed");
    // Whoever asks for notification has to listen; that is looked at with seccomp.
    for action in list.iter().filter(|action| *action != "SCMP_ACT_NOTIFY") {
        // Neither reference takes a rule that does what happens anyway.
        let default = if action == "SCMP_ACT_ALLOW" { "SCMP_ACT_LOG" } else { "SCMP_ACT_ALLOW" };
        with_profile(&mut container, json!({ "defaultAction": default, "syscalls": [rule(action)] }))?;
    }
    Ok(())
}

fn seccomp_operators_are_recognized(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/linux/seccomp/operators")?;
    check!(!list.is_empty(), "none are listed");
    let with = |op: &String| json!({ "names": ["mkdirat"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 2, "value": 1, "valueTwo": 1, "op": op }] });
    with_profile(
        &mut container,
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": list.iter().map(with).collect::<Vec<_>>() }),
    )
}

fn seccomp_architectures_are_recognized(bench: Bench<'_>) -> Verdict {
    let (mut container, list) = listed(bench, "/linux/seccomp/archs")?;
    check!(!list.is_empty(), "none are listed");
    // libseccomp takes those of the other byte order in a filter of their own only.
    let little = |name: &&String| {
        !["MIPS", "MIPS64", "MIPS64N32", "PPC", "PPC64", "S390", "S390X", "PARISC", "PARISC64", "M68K", "SHEB"]
            .iter()
            .any(|big| name.strip_prefix("SCMP_ARCH_") == Some(big))
    };
    let list: Vec<&String> = list.iter().filter(little).collect();
    let profile =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": list, "syscalls": [rule("SCMP_ACT_ERRNO")] });
    with_profile(&mut container, profile)
}

fn flags(bench: Bench<'_>, pointer: &str) -> Verdict {
    let (mut container, list) = listed(bench, pointer)?;
    // WAIT_KILLABLE_RECV goes with a listener only.
    for flag in list.iter().filter(|flag| !flag.ends_with("WAIT_KILLABLE_RECV")) {
        let profile =
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": [rule("SCMP_ACT_ERRNO")] });
        with_profile(&mut container, profile)?;
    }
    Ok(())
}

fn seccomp_known_flags_are_recognized(bench: Bench<'_>) -> Verdict {
    flags(bench, "/linux/seccomp/knownFlags")
}

fn seccomp_supported_flags_are_supported(bench: Bench<'_>) -> Verdict {
    flags(bench, "/linux/seccomp/supportedFlags")
}

fn idmap_is_said_where_mappings_are_parsed(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    let said = features(&container)?["linux"]["mountExtensions"]["idmap"]["enabled"] == true;
    std::fs::create_dir(container.folder().join("volume")).map_err(|e| e.to_string())?;
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    container.config["mounts"].as_array_mut().expect("mounts").push(json!({
        "destination": "/mnt", "type": "none", "source": "volume", "options": ["bind", "idmap"],
        "uidMappings": map, "gidMappings": map,
    }));
    let parsed = container.create()?.succeeded();
    check!(said == parsed, "it says {said}, and that is {parsed}");
    Ok(())
}
