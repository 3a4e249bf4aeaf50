//! The OCI bundle: `config.json` (runtime-spec 1.2) and the three files every container has for itself.
//!
//! The values are docker's (moby, `daemon/pkg/oci/defaults.go`); what a user namespace does not allow is left out or bound
//! from the machine, each with its reason.

use crate::machine::Cgroups;
use crate::plan::{self, Inputs};
use crate::request::{HOST, Network};
use crate::text::{Name, Text};
use crate::{Error, Kind, Result, limits, resolver};
use serde_json::{Value, json};
use spec::runtime::Capability;

/// `config.json`, with values still to be filled in.
pub fn config(inputs: &Inputs<'_>) -> Result<Text> {
    let request = inputs.request;
    let process = inputs.process;
    let capabilities = capabilities(inputs)?;
    let names: Vec<String> = capabilities.iter().map(|c| spec::capability::name(*c)).collect();
    let identity = &process.identity;
    // docker: only root keeps its capabilities over execve; others get the bounding set alone
    let effective: &[String] = if identity.uid == 0 { &names } else { &[] };
    let machine = inputs.machine;
    let masked: Vec<&str> =
        spec::defaults::MASKED_PATHS.into_iter().chain(machine.hidden.iter().map(String::as_str)).collect();
    let seccomp = machine.abi.map(|abi| spec::seccomp::default_profile(&capabilities, abi, machine.kernel));
    let mut config = json!({
        // nothing below is newer, and older runtimes refuse what they do not know
        "ociVersion": "1.0.2",
        "process": {
            "terminal": request.tty,
            "user": { "uid": identity.uid, "gid": identity.gid, "additionalGids": identity.groups },
            "args": clean(&process.argv),
            "env": clean(&process.env),
            "cwd": Text::plain(&process.cwd).marked(),
            "capabilities": { "bounding": names, "effective": effective, "permitted": effective },
            "noNewPrivileges": request.no_new_privileges,
        },
        "root": { "path": Text::tmp("root").marked(), "readonly": request.read_only },
        "hostname": Text::plain(&plan::hostname(inputs.id, inputs.request, inputs.machine, inputs.shared)).marked(),
        "mounts": mounts(inputs),
        "linux": {
            "namespaces": namespaces(inputs),
            "maskedPaths": masked,
            "readonlyPaths": spec::defaults::READONLY_PATHS,
            "resources": { "devices": spec::defaults::device_rules() },
            "seccomp": seccomp,
        },
    });
    limits::document::apply(&mut config, &request.limits);
    if let Some(path) = limits::document::cgroups_path(&request.limits, machine, inputs.id.as_str()) {
        config["linux"]["cgroupsPath"] = json!(Text::plain(&path).marked());
    }
    if request.init {
        config["annotations"] = json!({ "dev.veneer.init": "true" });
    }
    let text = serde_json::to_string_pretty(&config)
        .map_err(|e| Error::new(Kind::Failed, "write", "config.json").because(e))?;
    Ok(Text::from_marked(text))
}

/// Files of the container's own: why, where, what.
pub fn files(inputs: &Inputs<'_>) -> Vec<(&'static str, Text, Text)> {
    let hostname = plan::hostname(inputs.id, inputs.request, inputs.machine, inputs.shared);
    let machine = inputs.machine;
    let newline = Text::plain("\n");
    let (hosts, resolv_conf) = match plan::network(inputs.request) {
        // Those of the container whose network it is: nothing of its own.
        Network::Container(_) => {
            return vec![("its host name", Text::tmp("hostname"), Text::plain(&format!("{hostname}\n")))];
        }
        Network::Host => {
            let resolver = resolver::of_machine(&machine.resolv_conf, inputs.request);
            (Text::plain(&machine.hosts).then(&added_hosts(inputs)), Text::plain(&resolver))
        }
        Network::Named(_) => {
            let hosts = Text::plain(resolver::LOCAL).then(&added_hosts(inputs)).then(&Text::value(Name::Hosts));
            (hosts.then(&newline), Text::value(Name::Resolver).then(&newline))
        }
        Network::None | Network::Default => {
            let hosts = Text::plain(resolver::LOCAL).then(&added_hosts(inputs));
            (hosts, Text::plain(&resolver::of_none(inputs.request)))
        }
    };
    vec![
        ("its host name, names and name servers", Text::tmp("hostname"), Text::plain(&format!("{hostname}\n"))),
        ("", Text::tmp("hosts"), hosts),
        ("", Text::tmp("resolv.conf"), resolv_conf),
    ]
}

/// `--add-host`. The word `host-gateway` is an address of the machine's that the container reaches.
fn added_hosts(inputs: &Inputs<'_>) -> Text {
    let machine = match (plan::network(inputs.request), inputs.machine.rootless) {
        (Network::Named(_), false) => Text::value(Name::Gateway),
        // What carries an ordinary user's packets has no gateway that would be the machine.
        (Network::Named(_), true) => Text::plain(&inputs.machine.outbound),
        _ => Text::plain("127.0.0.1"),
    };
    inputs.request.wiring.hosts.iter().fold(Text::default(), |text, (name, address)| {
        let address = if address == resolver::HOST_GATEWAY { machine.clone() } else { Text::plain(address) };
        text.then(&address).then(&Text::plain(&format!("\t{name}\n")))
    })
}

fn capabilities(inputs: &Inputs<'_>) -> Result<Vec<Capability>> {
    let parse = |text: &String| {
        spec::capability::from_name(text).ok_or_else(|| {
            Error::new(Kind::Request, "capability", text)
                .because("unknown")
                .hint("capabilities(7) lists them; ALL means every one")
        })
    };
    let all = |text: &String| text.eq_ignore_ascii_case("all");
    let (add, drop) = (&inputs.request.cap_add, &inputs.request.cap_drop);
    let mut set: Vec<Capability> = match (add.iter().any(all), drop.iter().any(all)) {
        (true, _) => spec::capability::ALL.to_vec(),
        (false, true) => Vec::new(),
        (false, false) => spec::capability::DEFAULT.to_vec(),
    };
    for name in drop.iter().filter(|t| !all(t)) {
        let dropped = parse(name)?;
        set.retain(|c| *c != dropped);
    }
    for name in add.iter().filter(|t| !all(t)) {
        let added = parse(name)?;
        if !set.contains(&added) {
            set.push(added);
        }
    }
    Ok(set)
}

fn namespaces(inputs: &Inputs<'_>) -> Vec<Value> {
    let mut list: Vec<Value> = ["pid", "mount", "ipc", "uts", "cgroup"].map(|kind| json!({ "type": kind })).into();
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
    list
}

fn mounts(inputs: &Inputs<'_>) -> Vec<Value> {
    let machine = inputs.machine;
    let own_network = plan::network(inputs.request) != Network::Host;
    let mut list = Vec::new();
    for default in spec::defaults::mounts(limits::document::shm_size(&inputs.request.limits)) {
        let mut default = json!(default);
        match default["destination"].as_str() {
            // sysfs shows the network namespace it is mounted in, so who does not own that may only bind it
            Some("/sys") if machine.rootless && !own_network => {
                list.push(mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]));
                continue;
            }
            // a user namespace may not mount the version 1 hierarchies
            Some("/sys/fs/cgroup") => match machine.cgroups {
                Cgroups::None => continue,
                Cgroups::V1 if machine.rootless => continue,
                _ => {}
            },
            // without gid 5 in the id map the kernel refuses the option
            Some("/dev/pts") if !machine.has_id_ranges => {
                if let Some(options) = default["options"].as_array_mut() {
                    options.retain(|o| o != "gid=5");
                }
            }
            _ => {}
        }
        list.push(default);
    }
    for file in ["hostname", "hosts", "resolv.conf"] {
        let source = match inputs.shared {
            Some(shared) if file != "hostname" => Text::plain(&shared.folder.join(file).to_string_lossy()),
            _ => Text::tmp(file),
        };
        list.push(mount(&format!("/etc/{file}"), "bind", source.marked(), &["rbind", "rprivate"]));
    }
    if inputs.request.image == HOST {
        // Below these lies the container's own writable layer: met through the overlay it would answer ELOOP.
        let covered = machine.covered.iter().map(|p| Text::plain(&p.to_string_lossy()));
        for path in covered.chain(inputs.writable.in_tmp.then(|| Text::value(Name::Tmp))) {
            list.push(mount(path.marked(), "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec", "ro", "mode=755"]));
        }
    }
    let mut volumes: Vec<_> = inputs.request.volumes.iter().collect();
    volumes.sort_by_key(|v| v.target.split('/').count());
    for volume in volumes {
        let access = if volume.read_only { "ro" } else { "rw" };
        let source = volume.source.to_string_lossy();
        let target = Text::plain(&volume.target);
        list.push(mount(target.marked(), "bind", Text::plain(&source).marked(), &["rbind", "rprivate", access]));
    }
    list
}

/// Words from outside, which cannot name a value of the plan.
fn clean(words: &[String]) -> Vec<String> {
    words.iter().map(|word| Text::plain(word).marked().to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}
