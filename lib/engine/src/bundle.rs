//! The OCI bundle: `config.json` (runtime-spec 1.2) and the three files every container has for itself.
//!
//! The values are docker's (moby, `daemon/pkg/oci/defaults.go`); what a user namespace does not allow is left out or bound
//! from the machine, each with its reason.

mod devices;
mod manner;
mod mounts;
mod rights;
mod spaces;

pub(crate) use mounts::overlays;
pub(crate) use spaces::{layer_options, namespace_files, owner, release};

use crate::plan::{self, Inputs};
use crate::request::Network;
use crate::text::{Name, Text};
use crate::{Error, Kind, Result, limits, resolver};
use serde_json::{Value, json};

/// `config.json`, with values still to be filled in.
pub fn config(inputs: &Inputs<'_>) -> Result<Text> {
    let request = inputs.request;
    let process = inputs.process;
    let rights = rights::of(inputs)?;
    let names: Vec<String> = rights.capabilities.iter().map(|c| spec::capability::name(*c)).collect();
    let identity = &process.identity;
    // docker: only root keeps its capabilities over execve; others get the bounding set alone
    let effective: &[String] = if identity.uid == 0 { &names } else { &[] };
    let machine = inputs.machine;
    let mut config = json!({
        // nothing below is newer, and older runtimes refuse what they do not know
        "ociVersion": "1.0.2",
        "process": {
            "terminal": request.tty,
            "user": { "uid": identity.uid, "gid": identity.gid, "additionalGids": groups(inputs) },
            "args": clean(&process.argv),
            "env": clean(&process.env),
            "cwd": Text::plain(&process.cwd).marked(),
            "capabilities": { "bounding": names, "effective": effective, "permitted": effective },
            "noNewPrivileges": request.no_new_privileges,
        },
        "root": { "path": plan::root(request).marked(), "readonly": request.read_only },
        "mounts": mounts::of(inputs)?,
        "linux": {
            "namespaces": spaces::of(inputs)?,
            "maskedPaths": rights.masked,
            "readonlyPaths": rights.read_only,
            "resources": { "devices": devices::rules(inputs)? },
            "seccomp": rights.seccomp,
        },
    });
    if request.isolation.uts.is_own() {
        let hostname = plan::hostname(inputs.id, request, machine, inputs.shared);
        config["hostname"] = json!(Text::plain(&hostname).marked());
    }
    spaces::apply(&mut config, inputs)?;
    devices::apply(&mut config, inputs)?;
    manner::apply(&mut config, inputs);
    limits::document::apply(&mut config, &request.limits);
    if let Some(path) = limits::document::cgroups_path(&request.limits, machine, inputs.id.as_str()) {
        config["linux"]["cgroupsPath"] = json!(Text::plain(&path).marked());
    }
    // docker's containers read in their groups what they use, and `update` may limit them later.
    config["annotations"]["dev.veneer.accounting"] = json!("true");
    if request.init {
        config["annotations"]["dev.veneer.init"] = json!("true");
    }
    let text = serde_json::to_string_pretty(&config)
        .map_err(|e| Error::new(Kind::Failed, "write", "config.json").because(e))?;
    Ok(Text::from_marked(text))
}

/// A user namespace of one id has no additional groups.
fn groups(inputs: &Inputs<'_>) -> Vec<u32> {
    let has_groups = !inputs.machine.rootless || inputs.machine.has_id_ranges;
    if has_groups { inputs.process.identity.all_groups() } else { inputs.process.identity.groups.clone() }
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

/// Words from outside, which cannot name a value of the plan.
fn clean(words: &[String]) -> Vec<String> {
    words.iter().map(|word| Text::plain(word).marked().to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}
