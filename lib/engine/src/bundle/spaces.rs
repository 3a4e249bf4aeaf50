//! Namespaces: which are the container's own, which it joins, and whose ids it has.

use crate::plan::{self, Command, Inputs};
use crate::request::Network;
use crate::request::isolation::{Maps, Run, Space, Users};
use crate::text::Text;
use crate::tools::Tool;
use crate::{Result, userns};
use serde_json::{Value, json};

pub(super) fn of(inputs: &Inputs<'_>) -> Result<Vec<Value>> {
    let isolation = &inputs.request.isolation;
    let joined = &inputs.around.joined;
    let mut list = vec![json!({ "type": "mount" })];
    for (kind, file, space, pid) in [
        ("pid", "pid", &isolation.pid, joined.pid),
        ("ipc", "ipc", &isolation.ipc, joined.ipc),
        ("uts", "uts", &isolation.uts, joined.uts),
        ("cgroup", "cgroup", &isolation.cgroup, joined.cgroup),
    ] {
        match space {
            Space::Host => {}
            Space::Container(_) => list.push(process_of(kind, file, pid)),
            Space::Path(path) => list.push(json!({ "type": kind, "path": Text::plain(path).marked() })),
            Space::Default | Space::Private | Space::None | Space::Shareable => list.push(json!({ "type": kind })),
        }
    }
    match &isolation.users {
        Users::Container(_) => list.push(process_of("user", "user", joined.users)),
        Users::Path(path) => list.push(json!({ "type": "user", "path": Text::plain(path).marked() })),
        _ if userns::maps(inputs.request, inputs.machine)?.is_empty() => {}
        _ if is_made_before(inputs) => list.push(json!({ "type": "user", "path": Text::tmp("users").marked() })),
        _ => list.push(json!({ "type": "user" })),
    }
    match plan::network(inputs.request) {
        Network::Host => {}
        Network::Container(_) => {
            // None only where nobody looked, and then there is nothing to join.
            let path = inputs.shared.map_or_else(String::new, |shared| format!("/proc/{}/ns/net", shared.pid));
            list.push(json!({ "type": "network", "path": Text::plain(&path).marked() }));
        }
        Network::Named(_) => list.push(json!({ "type": "network", "path": Text::tmp("net").marked() })),
        Network::None | Network::Default => list.push(json!({ "type": "network" })),
    }
    Ok(list)
}

fn process_of(kind: &str, file: &str, pid: Option<i32>) -> Value {
    let path = pid.map_or_else(String::new, |pid| format!("/proc/{pid}/ns/{file}"));
    json!({ "type": kind, "path": Text::plain(&path).marked() })
}

/// Whether the user namespace is there before the container: a network namespace has to belong to it, and that is wired before.
fn is_made_before(inputs: &Inputs<'_>) -> bool {
    matches!(plan::network(inputs.request), Network::Named(_))
}

/// Ids of a new user namespace, sysctls, and how mounts travel.
pub(super) fn apply(config: &mut Value, inputs: &Inputs<'_>) -> Result<()> {
    let request = inputs.request;
    let maps = userns::maps(request, inputs.machine)?;
    let is_joined = matches!(request.isolation.users, Users::Container(_));
    if !maps.is_empty() && !is_joined && !is_made_before(inputs) {
        let list = |runs: &[Run]| {
            let one = |run: &Run| json!({ "containerID": run.inside, "hostID": run.outside, "size": run.length });
            runs.iter().map(one).collect::<Vec<_>>()
        };
        config["linux"]["uidMappings"] = json!(list(&maps.users));
        config["linux"]["gidMappings"] = json!(list(&maps.groups));
    }
    let mut sysctls = request.isolation.sysctls.clone();
    if let Some(name) = &request.manner.domainname {
        // `domainname` of the specification is younger than the runtimes that people have; as a sysctl, docker's way, only the
        // machine's root may write it.
        match request.programs.runtime {
            Some(_) => drop(sysctls.insert("kernel.domainname".into(), name.clone())),
            None => config["domainname"] = json!(Text::plain(name).marked()),
        }
    }
    if !sysctls.is_empty() {
        let clean = sysctls
            .iter()
            .map(|(key, value)| (Text::plain(key).marked().to_owned(), json!(Text::plain(value).marked())));
        config["linux"]["sysctl"] = Value::Object(clean.collect());
    }
    let travels = |kind: &str| {
        request.volumes.iter().any(|v| v.propagation.as_deref().is_some_and(|p| p.trim_start_matches('r') == kind))
    };
    if travels("shared") {
        config["linux"]["rootfsPropagation"] = json!("rshared");
    } else if travels("slave") {
        config["linux"]["rootfsPropagation"] = json!("rslave");
    }
    Ok(())
}

/// The options of `nsrun` that make the container's user namespace, kept by a file, together with its network namespace: the files
/// and the options. None where it has none of its own.
pub(crate) fn namespace_files(inputs: &Inputs<'_>) -> Result<Option<(Text, Vec<Text>)>> {
    let maps = userns::maps(inputs.request, inputs.machine)?;
    if let Users::Container(_) = inputs.request.isolation.users {
        return Ok(None);
    }
    if maps.is_empty() {
        return Ok(None);
    }
    let file = Text::tmp("users");
    let mut words = vec![Text::plain("--user=").then(&file)];
    for (option, runs) in [("--map-users", &maps.users), ("--map-groups", &maps.groups)] {
        for run in runs {
            words.push(format!("{option}={}:{}:{}", run.inside, run.outside, run.length).into());
        }
    }
    Ok(Some((file, words)))
}

/// The overlay's options that show the layers' owners by `maps`.
pub(crate) fn layer_options(maps: &Maps) -> String {
    let list = |runs: &[Run]| {
        runs.iter().map(|r| format!("{}:{}:{}", r.inside, r.outside, r.length)).collect::<Vec<_>>().join(":")
    };
    if maps.is_empty() {
        return String::new();
    }
    format!(",uidmapping={},gidmapping={}", list(&maps.users), list(&maps.groups))
}

/// User and group `uid` and `gid` of the container as they are outside of it; none where nothing is shifted, or they are nobody there.
pub(crate) fn owner(inputs: &Inputs<'_>, uid: u32, gid: u32) -> Result<Option<(u32, u32)>> {
    let maps = userns::maps(inputs.request, inputs.machine)?;
    if maps.is_empty() {
        return Ok(None);
    }
    let outside = |runs: &[Run], id: u32| {
        let run = runs.iter().find(|run| id.checked_sub(run.inside).is_some_and(|at| at < run.length));
        run.map(|run| run.outside + (id - run.inside))
    };
    Ok(outside(&maps.users, uid).zip(outside(&maps.groups, gid)))
}

/// What takes a kept namespace away.
pub(crate) fn release(file: &Text) -> Command {
    Command::new(Tool::Umount, [file.clone()])
}
