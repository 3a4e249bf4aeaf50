//! Networks of ours carried by other people's CNI plugins: attach, detach, publish and unpublish by executing the programs of
//! a folder (`netwire --cni-path`), as a runtime does (SPEC.md, section 3).
//!
//! The network stays ours: its definition becomes a chain of configurations ([`chain`]). What was added is written down with its
//! result, a file an attachment, so that DEL, and a change of ports, can give it back to the plugins:
//!
//! ```text
//! LEASES/.cni/NETWORK/CONTAINER@INTERFACE.json      the chain as it was executed, and the result of its last plugin
//! LEASES/.cni/.store/                               addresses, as host-local keeps them
//! ```
//!
//! ADD in order; when one fails, what was added is deleted in reverse. DEL goes on after a failure and gives every one. The
//! file is there before the first ADD and goes after the last DEL.

pub mod chain;
mod record;

use super::ipam;
use crate::attach::{Attachment, Wish};
use crate::definition::Definition;
use crate::error::{Error, Kind, Result, failed};
use crate::mac::Mac;
use crate::namespace::{Namespace, Reference};
use crate::naming;
use crate::network;
use crate::occupancy::{Occupancy, Occupant};
use crate::publish::{Outcome, Published};
use crate::state::{self, State};
use chain::Mapping;
use record::{Record, keep, load, outer};
use serde_json::Value;
use spec::cni::{Cidr, Failure, Success, Version};
use spec::published::Published as Spec;
use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ATTACH: &str = "attach to network";
const EXECUTE: &str = "execute CNI plugin";

/// Who carries networks: the programs in these folders.
#[derive(Debug, Clone)]
pub struct Runner<'a> {
    /// Where definitions and leases are.
    pub state: &'a State,
    /// The folders.
    pub path: &'a [String],
}

impl Runner<'_> {
    /// Attaches.
    pub fn attach(&self, wish: &Wish) -> Result<Attachment> {
        let definition = network::find(self.state, &wish.network)?;
        let namespace = Namespace::open(&wish.namespace)?;
        let _lock = self.state.lock_network(&wish.network)?;
        let wish = &*self.named(wish, &definition, &namespace)?;
        let file = self.file(&wish.network, &wish.container, &wish.interface);
        if let Some(record) = load(&file)? {
            // Of a container of this name that died, or an attach that was killed.
            self.take_down(&record, &file).map_err(first)?;
        }
        let store = self.folder().join(".store");
        let ports = chain::mappings(&definition.published(&wish.ports))?;
        let chain = chain::of(&definition, wish, &store, &ports, |kind| ipam::find(self.path, kind).is_some())?;
        let version = self.version(chain.first().and_then(|c| c["type"].as_str()).unwrap_or_default())?;
        let mut record = Record {
            container: wish.container.clone(),
            interface: wish.interface.clone(),
            namespace: namespace.identity().path.clone(),
            number: Some(namespace.identity().inode),
            caller: Some(Namespace::own()?.identity().inode),
            version,
            chain,
            result: Value::Null,
            ports,
        };
        keep(&file, &record)?;
        for at in 0..record.chain.len() {
            match self.call("ADD", &record, &record.chain[at]) {
                Ok(result) => record.result = result,
                Err(e) => {
                    let added = Record { chain: record.chain[..=at].to_vec(), ..record.clone() };
                    let _ = self.take_down(&added, &file);
                    return Err(e);
                }
            }
        }
        keep(&file, &record)?;
        let read = Success::read(&record.result, version);
        let result = read.map_err(|why| Error::new(Kind::Invalid, ATTACH, &wish.network).because(why))?;
        attachment(&definition, &record, &result)
    }

    /// Detaches the container's interface, or all that it has on the network. That there is none is fine.
    pub fn detach(
        &self,
        network: &str,
        container: &str,
        interface: Option<&str>,
    ) -> std::result::Result<(), Vec<Error>> {
        let _lock = self.state.lock_network(network).map_err(|e| vec![e])?;
        let mut failures = Vec::new();
        for file in self.files(network, Some(container)) {
            match load(&file) {
                Ok(Some(record)) if interface.is_none_or(|name| record.interface == name) => {
                    failures.extend(self.take_down(&record, &file).err().unwrap_or_default());
                }
                Ok(_) => {}
                Err(e) => failures.push(e),
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    /// Publishes ports of an attachment beside those it has; the plugin is told all of them anew.
    pub fn publish(&self, network: Option<&str>, container: &str, specs: &[Spec]) -> Result<Outcome> {
        let network = self.network_of(network, container)?;
        let mut ports = chain::mappings(&network::find(self.state, &network)?.published(specs))?;
        let shown = ports.clone();
        self.change_ports(&network, container, |present| {
            ports.retain(|port| !present.contains(port));
            present.append(&mut ports);
        })?;
        Ok(Outcome {
            ports: shown.iter().flat_map(|port| port.published(&network, container)).collect(),
            warnings: Vec::new(),
        })
    }

    /// Takes ports away, or all. That there are none is fine.
    pub fn unpublish(&self, network: Option<&str>, container: &str, specs: Option<&[Spec]>) -> Result<()> {
        let networks: Vec<String> = match network {
            Some(name) => vec![name.to_owned()],
            None => self.networks().into_iter().filter(|n| !self.files(n, Some(container)).is_empty()).collect(),
        };
        for network in networks {
            let definition = match specs {
                Some(_) => Definition::load(self.state, &network)?,
                None => None,
            };
            let on = |specs| definition.as_ref().map_or_else(|| <[Spec]>::to_vec(specs), |it| it.published(specs));
            let gone = specs.map(|specs| chain::mappings(&on(specs))).transpose()?;
            self.change_ports(&network, container, |present| {
                present.retain(|port| gone.as_ref().is_some_and(|gone| !gone.contains(port)));
            })?;
        }
        Ok(())
    }

    /// Who is attached in `namespace` by plugins: to `network`, or to any. Whoever died without a word is left out where
    /// another namespace has the number.
    pub fn occupancy(&self, namespace: &Reference, network: Option<&str>) -> Result<Occupancy> {
        Occupancy::among(namespace, network, |number| {
            let mut all = Vec::new();
            for (network, record) in self.records(network, None)? {
                let identity = record.identity();
                if Some(identity.inode) == number && record.is_dead(&Namespace::open(namespace)?)? {
                    continue;
                }
                all.push(Occupant { network, container: record.container, namespace: identity });
            }
            Ok(all)
        })
    }

    /// The ports that plugins lead to `container`, or to any, on `network` or on any.
    pub fn published(&self, network: Option<&str>, container: Option<&str>) -> Result<Vec<Published>> {
        let records = self.records(network, container)?;
        let of = |(network, record): &(String, Record)| -> Vec<Published> {
            record.ports.iter().flat_map(|port| port.published(network, &record.container)).collect()
        };
        Ok(records.iter().flat_map(of).collect())
    }

    /// The attachments of `container`, or of all, each with its network: `network`, or any.
    fn records(&self, network: Option<&str>, container: Option<&str>) -> Result<Vec<(String, Record)>> {
        let mut all = Vec::new();
        for network in self.networks().into_iter().filter(|name| network.is_none_or(|wanted| name == wanted)) {
            for file in self.files(&network, container) {
                all.extend(load(&file)?.map(|record| (network.clone(), record)));
            }
        }
        Ok(all)
    }

    /// The wish with the interface's name, where it has none: the one that the container has on this network already, or the
    /// first that is free.
    fn named<'a>(&self, wish: &'a Wish, definition: &Definition, inside: &Namespace) -> Result<Cow<'a, Wish>> {
        if !wish.interface.is_empty() {
            return Ok(Cow::Borrowed(wish));
        }
        let prefix = definition.interface_prefix();
        let number = Some(inside.identity().inode);
        let records = self.records(Some(&wish.network), Some(&wish.container))?;
        let here = records.iter().filter(|(_, record)| record.number == number).map(|(_, record)| &*record.interface);
        let interface = match naming::lowest(prefix, here) {
            Some(known) => known.to_owned(),
            None => naming::free(prefix, &mut inside.route_socket()?)?,
        };
        Ok(Cow::Owned(Wish { interface, ..wish.clone() }))
    }

    fn change_ports(&self, network: &str, container: &str, change: impl FnOnce(&mut Vec<Mapping>)) -> Result<()> {
        let _lock = self.state.lock_network(network)?;
        let Some(file) = self.files(network, Some(container)).into_iter().next() else { return Ok(()) };
        let Some(mut record) = load(&file)? else { return Ok(()) };
        let before = record.ports.clone();
        change(&mut record.ports);
        if record.ports == before {
            return Ok(());
        }
        let is_portmap = |c: &Value| c["type"] == "portmap";
        if let Some(at) = record.chain.iter().position(is_portmap) {
            self.call("DEL", &record, &record.chain[at])?;
            record.chain.remove(at);
        }
        if !record.ports.is_empty() {
            let portmap = chain::portmap(network, &record.ports);
            record.chain.push(portmap.clone());
            // Before ADD, so that DEL will be called whatever happens.
            keep(&file, &record)?;
            let added = self.call("ADD", &record, &portmap);
            if let Err(e) = added {
                let _ = self.call("DEL", &record, &portmap);
                record.chain.pop();
                record.ports = Vec::new();
                if !before.is_empty() {
                    let former = chain::portmap(network, &before);
                    if self.call("ADD", &record, &former).is_ok() {
                        (record.chain, record.ports) = ([record.chain.clone(), vec![former]].concat(), before);
                    }
                }
                keep(&file, &record)?;
                return Err(e);
            }
        }
        keep(&file, &record)
    }

    /// DEL of the whole chain in reverse; the file goes when all of it succeeded.
    fn take_down(&self, record: &Record, file: &Path) -> std::result::Result<(), Vec<Error>> {
        let failures: Vec<Error> =
            record.chain.iter().rev().filter_map(|c| self.call("DEL", record, c).err()).collect();
        if !failures.is_empty() {
            return Err(failures);
        }
        state::remove(file).map_err(|e| vec![e])
    }

    /// The highest version that the plugin called `kind` and we speak.
    fn version(&self, kind: &str) -> Result<Version> {
        let answer = self.execute("VERSION", kind, None, br#"{"cniVersion":"1.0.0"}"#)?;
        let spoken = answer["supportedVersions"].as_array().cloned().unwrap_or_default();
        let ours = Version::ALL.into_iter().rev().find(|v| spoken.iter().any(|s| s == v.name()));
        ours.ok_or_else(|| Error::new(Kind::Unsupported, EXECUTE, kind).because("it speaks no version that we do"))
    }

    fn call(&self, verb: &str, record: &Record, configuration: &Value) -> Result<Value> {
        let mut whole = configuration.clone();
        whole["cniVersion"] = record.version.name().into();
        if !record.result.is_null() {
            whole["prevResult"] = record.result.clone();
        }
        let kind = configuration["type"].as_str().unwrap_or_default();
        self.execute(verb, kind, Some(record), whole.to_string().as_bytes())
    }

    fn execute(&self, verb: &str, kind: &str, record: Option<&Record>, input: &[u8]) -> Result<Value> {
        let path = self.path.join(":");
        let missing = || {
            Error::new(Kind::NotFound, EXECUTE, kind)
                .because(format!("it is not in {path}"))
                .hint("install the CNI plugins, or name another folder with --cni-path")
        };
        let program = ipam::find(self.path, kind).ok_or_else(missing)?;
        let wrong = |e: std::io::Error| failed(EXECUTE, program.display(), e);
        let mut command = Command::new(&program);
        command.env("CNI_COMMAND", verb).env("CNI_PATH", &path).env_remove("CNI_ARGS");
        if let Some(record) = record {
            command
                .env("CNI_CONTAINERID", &record.container)
                .env("CNI_NETNS", &record.namespace)
                .env("CNI_IFNAME", &record.interface);
        }
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = piped.spawn().map_err(wrong)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read its configuration says by its exit status what it thinks of that.
            let _ = stdin.write_all(input);
        }
        let out = child.wait_with_output().map_err(wrong)?;
        let said = |why: String| Error::new(Kind::System, EXECUTE, format!("{kind} {verb}")).because(why);
        if !out.status.success() {
            let failure = serde_json::from_slice::<Failure>(&out.stdout);
            return Err(said(failure.map_or_else(|_| out.status.to_string(), |failure| failure.to_string())));
        }
        if out.stdout.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&out.stdout).map_err(|e| said(format!("its answer cannot be read: {e}")))
    }

    fn folder(&self) -> PathBuf {
        self.state.lease_path("x").with_file_name(".cni")
    }

    fn file(&self, network: &str, container: &str, interface: &str) -> PathBuf {
        self.folder().join(network).join(format!("{container}@{interface}.json"))
    }

    /// The files of a container's attachments to `network`, by interface; or of everyone's.
    fn files(&self, network: &str, container: Option<&str>) -> Vec<PathBuf> {
        let folder = self.folder().join(network);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let prefix = container.map_or_else(String::new, |container| format!("{container}@"));
        let of = |name: &str| name.starts_with(&prefix) && name.ends_with(".json");
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| of(name));
        let mut files: Vec<PathBuf> = names.map(|name| folder.join(name)).collect();
        files.sort();
        files
    }

    fn networks(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    fn network_of(&self, network: Option<&str>, container: &str) -> Result<String> {
        let known = |name: &String| !self.files(name, Some(container)).is_empty();
        let found = match network {
            Some(name) => Some(name.to_owned()).filter(known),
            None => self.networks().into_iter().find(known),
        };
        found.ok_or_else(|| {
            Error::new(Kind::NotFound, "publish", container)
                .because("it is on no network that CNI plugins carry")
                .hint("netwire --cni-path DIR attach comes first")
        })
    }
}

fn first(failures: Vec<Error>) -> Error {
    failures.into_iter().next().unwrap_or_else(|| Error::new(Kind::System, "detach", "").because("it failed"))
}

/// What the result is in our own words.
fn attachment(definition: &Definition, record: &Record, result: &Success) -> Result<Attachment> {
    let lacking = |what: &str| {
        Error::new(Kind::Invalid, ATTACH, &definition.name).because(format!("the plugins' result names no {what}"))
    };
    let inner = result.interfaces.iter().find(|i| !i.sandbox.is_empty() && i.name == record.interface);
    let inner = inner.ok_or_else(|| lacking("interface inside"))?;
    let outer = outer(result, Some(&definition.bridge)).unwrap_or_default().to_owned();
    let mut addresses: Vec<Cidr> = result.ips.iter().map(|ip| ip.address).collect();
    addresses.sort_by_key(|cidr| cidr.address.is_ipv6());
    let gateways: Vec<IpAddr> =
        result.ips.iter().filter(|_| !definition.internal).filter_map(|ip| ip.gateway).collect();
    let mac: Mac = inner.mac.parse().map_err(|why: String| lacking("hardware address").hint(why))?;
    let mtu = Some(inner.mtu).filter(|mtu| *mtu > 0).or(definition.mtu).unwrap_or(1500);
    let ports: Vec<Published> =
        record.ports.iter().flat_map(|port| port.published(&definition.name, &record.container)).collect();
    Ok(Attachment {
        network: definition.name.clone(),
        network_id: definition.id.clone(),
        driver: definition.driver,
        interface: record.interface.clone(),
        host_interface: outer,
        bridge: definition.bridge.clone(),
        mac,
        addresses: addresses.iter().map(Cidr::to_string).collect(),
        gateway: gateways.first().copied(),
        gateways,
        mtu,
        dns: result.dns.nameservers.iter().filter_map(|server| server.parse().ok()).collect(),
        ports,
        warnings: Vec::new(),
    })
}
