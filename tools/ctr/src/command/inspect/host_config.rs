//! `HostConfig` and `Mounts`: what the machine does for a container, in docker's members.
//!
//! The record's document is read as it is: a container of an older program, whose record lacks a part, shows docker's
//! values for what was not asked for.

use super::network;
use engine::life::Asked;
use serde_json::{Map, Value, json};
use store::Record;

/// Texts of a member of the document, null where there are none.
fn texts(value: &Value) -> Value {
    if value.as_array().is_some_and(|list| !list.is_empty()) { value.clone() } else { Value::Null }
}

/// docker's text for where a namespace comes from.
fn space(value: &Value) -> String {
    match value {
        Value::String(word) if word == "default" => String::new(),
        Value::String(word) if word == "no-map" => "nomap".into(),
        Value::String(word) => word.clone(),
        Value::Object(one) => one.iter().next().map_or_else(String::new, |(kind, inner)| match inner {
            Value::String(name) if kind == "path" => format!("ns:{name}"),
            Value::String(name) => format!("{kind}:{name}"),
            Value::Object(options) => {
                let given = options.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{k}={v}"));
                let given = given.collect::<Vec<_>>().join(",");
                if given.is_empty() { kind.clone() } else { format!("{kind}:{given}") }
            }
            _ => kind.clone(),
        }),
        _ => String::new(),
    }
}

/// docker's names of capabilities: `CAP_` before each, but `ALL`.
fn capabilities(list: &[String]) -> Value {
    let full = |name: &String| {
        let upper = name.to_uppercase();
        if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
    };
    if list.is_empty() { Value::Null } else { json!(list.iter().map(full).collect::<Vec<_>>()) }
}

/// docker's `Mounts`.
pub(super) fn mounts(record: &Record) -> Value {
    let volumes = record.asked["request"]["volumes"].as_array().into_iter().flatten();
    let one = |v: &Value| {
        let read_only = v["read_only"].as_bool().unwrap_or(false);
        let is_tmpfs = v["kind"] == "tmpfs";
        let propagation = v["propagation"].as_str().unwrap_or("rprivate");
        json!({
            "Type": if is_tmpfs { "tmpfs" } else { "bind" },
            "Source": v["source"],
            "Destination": v["target"],
            "Mode": v["mode"].as_str().unwrap_or(if read_only { "ro" } else { "" }),
            "RW": !read_only,
            "Propagation": if is_tmpfs { "" } else { propagation },
        })
    };
    volumes.filter(|v| !is_plain_tmpfs(v)).map(one).collect()
}

/// What `--tmpfs` said: docker shows it in `HostConfig.Tmpfs`, not among the mounts.
fn is_plain_tmpfs(volume: &Value) -> bool {
    volume["kind"] == "tmpfs" && !volume["strict"].as_bool().unwrap_or(false)
}

/// docker's `HostConfig`.
pub(super) fn shown(record: &Record, asked: &Asked) -> Value {
    let request = &asked.request;
    let said = &record.asked["request"];
    let (isolation, manner) = (&said["isolation"], &said["manner"]);
    let security = &isolation["security"];
    let volumes = || said["volumes"].as_array().into_iter().flatten();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let binds: Vec<String> = volumes()
        .filter(|v| v["kind"] != "tmpfs" && !v["strict"].as_bool().unwrap_or(false))
        .map(|v| {
            let mode = v["mode"].as_str().unwrap_or(if v["read_only"] == true { "ro" } else { "" });
            let colon = if mode.is_empty() { "" } else { ":" };
            format!("{}:{}{colon}{mode}", text(&v["source"]), text(&v["target"]))
        })
        .collect();
    let tmpfs: Map<String, Value> =
        volumes().filter(|v| is_plain_tmpfs(v)).map(|v| (text(&v["target"]), v["mode"].clone())).collect();
    let privileged = isolation["privileged"].as_bool().unwrap_or(false);
    let open = privileged || security["open_paths"].as_bool().unwrap_or(false);
    let mut options = security["options"].clone();
    if options.as_array().is_none_or(Vec::is_empty) && request.no_new_privileges {
        options = json!(["no-new-privileges"]);
    }
    let devices = isolation["devices"].as_array().into_iter().flatten().map(
        |d| json!({ "PathOnHost": d["source"], "PathInContainer": d["target"], "CgroupPermissions": d["access"] }),
    );
    let devices: Vec<Value> = devices.collect();
    let own_or = |name: &str| match space(&isolation[name]) {
        said if said.is_empty() => "private".into(),
        said => said,
    };
    let mut shown = json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "ContainerIDFile": said["id_file"].as_str().unwrap_or_default(),
        "LogConfig": { "Type": request.logging.driver.word(), "Config": request.logging.options },
        "RestartPolicy": {
            "Name": request.restart.policy.word(),
            "MaximumRetryCount": request.restart.max_retries,
        },
        "AutoRemove": request.remove,
        "VolumeDriver": "",
        "VolumesFrom": texts(&said["volumes_from"]),
        "ConsoleSize": [0, 0],
        "CapAdd": capabilities(&request.cap_add),
        "CapDrop": capabilities(&request.cap_drop),
        "CgroupnsMode": own_or("cgroup"),
        "GroupAdd": texts(&manner["groups"]),
        "IpcMode": own_or("ipc"),
        "Cgroup": "",
        "Links": null,
        "PidMode": space(&isolation["pid"]),
        "Privileged": privileged,
        "ReadonlyRootfs": request.read_only,
        "SecurityOpt": texts(&options),
        "UTSMode": space(&isolation["uts"]),
        "UsernsMode": space(&isolation["users"]),
        "Runtime": request.programs.runtime.as_deref().map_or("nsrun".into(), |p| p.display().to_string()),
        "Isolation": "",
        "Devices": devices,
        "DeviceCgroupRules": texts(&isolation["device_rules"]),
        "DeviceRequests": null,
        "MaskedPaths": if open { Value::Null } else { json!(spec::defaults::MASKED_PATHS) },
        "ReadonlyPaths": if open { Value::Null } else { json!(spec::defaults::READONLY_PATHS) },
    });
    if let Some(members) = shown.as_object_mut() {
        members.extend(engine::limits::shown::host_config(&request.limits));
    }
    for (name, value) in [("Tmpfs", Value::Object(tmpfs)), ("Sysctls", isolation["sysctls"].clone())] {
        if value.as_object().is_some_and(|members| !members.is_empty()) {
            shown[name] = value;
        }
    }
    if let Some(annotations) = manner["annotations"].as_object().filter(|a| !a.is_empty()) {
        shown["Annotations"] = json!(annotations);
    }
    if request.init {
        shown["Init"] = true.into();
    }
    network::host_config(&mut shown, asked);
    shown
}
