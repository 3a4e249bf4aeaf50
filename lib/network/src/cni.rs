//! The face of a CNI plugin: one operation on one configuration, as a container runtime asks for it (CNI 1.1, SPEC.md).
//!
//! ```text
//! environment ─ request ─┬─ types that make an interface:   bridge ptp macvlan ipvlan vlan loopback netwire
//! stdin ─ configuration ─┤  types that adjust one:          portmap firewall tuning bandwidth
//!                        └─ types that give addresses:      host-local static    (delegated to: ipam)
//! stdout: a result, an error, or nothing
//! ```
//!
//! - [`request`]: who asks for what: the environment, checked; [`configuration`]: the document from stdin
//! - [`call`]: both together, as the types take them; [`plugin`]: what a type must be able to do
//! - [`place`] and [`message`]: links, addresses and routes of one namespace, with all the settings that the keys of plugins need
//! - [`runner`]: the other way round: networks of ours carried by other people's plugins
//! - [`ipam`]: addresses from whoever the configuration names: in this process where we know the type, else executed
//! - [`inspection`]: what CHECK compares
//!
//! Invariants:
//! - The runtime owns the state: what is made here is named by the network, the container and the interface, so that DEL
//!   finds it with no memory of ours, also when the namespace is gone. Only host-local keeps a store, in the reference's format.
//! - ADD undoes what it made when a later step fails. DEL goes on after a failure and tells the first.
//! - Keys that are not known are ignored, as the reference does; null is as good as absent. A value that cannot be had is
//!   refused by key and value (code 2), never ignored.
//! - Nothing here touches definitions and leases of our own networks, but for the type `netwire`, which is nothing else.

pub mod call;
pub mod configuration;
pub mod inspection;
pub mod ipam;
pub mod message;
pub mod place;
pub mod plugin;
pub mod request;
pub mod runner;

mod bandwidth;
mod bridge;
mod child;
mod firewall;
mod fixed;
mod host_local;
mod loopback;
mod network;
mod portmap;
mod ptp;
mod rules;
mod tuning;

use crate::state::State;
use call::Call;
use request::{Command, Environment, Request};
use serde_json::{Value, json};
use spec::cni::{Failure, Version};
use std::io;

/// What the process prints and how it ends.
#[derive(Debug)]
pub struct Outcome {
    /// For stdout: a result, an error, or nothing.
    pub document: Option<Value>,
    /// Whether it failed: exit status 1.
    pub failed: bool,
}

/// The types that this program is when it is called by their name.
pub fn is_type(name: &str) -> bool {
    plugin::of(name).is_some()
}

/// Does what `environment` asks for. `called` is the type whose name the program was called by, if it was. `input` gives stdin.
pub fn run(
    state: &State,
    called: Option<&str>,
    environment: &Environment,
    input: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Outcome {
    let mut version = Version::NEWEST;
    match serve(state, called, environment, input, &mut version) {
        Ok(document) => Outcome { document, failed: false },
        Err(failure) => {
            let document = serde_json::to_value(Failure { version, ..failure }).ok();
            Outcome { document, failed: true }
        }
    }
}

fn serve(
    state: &State,
    called: Option<&str>,
    environment: &Environment,
    input: impl FnOnce() -> io::Result<Vec<u8>>,
    version: &mut Version,
) -> Result<Option<Value>, Failure> {
    let request = Request::of(environment)?;
    let bytes =
        input().map_err(|e| Failure::new(spec::cni::failure::code::IO, format!("error reading from stdin: {e}")));
    if request.command == Command::Version {
        return Ok(Some(supported(&bytes.unwrap_or_default())));
    }
    let call = Call::new(state, called, request, &bytes?, version)?;
    let plugin = call.plugin()?;
    match call.request.command {
        Command::Add => {
            let result = plugin.add(&call)?;
            let written = result.write(call.version);
            let written = written.map_err(|why| {
                // The caller will never hear of it, so it must not be there.
                let _ = plugin.del(&call);
                Failure::new(spec::cni::failure::code::INTERNAL, why)
            })?;
            return Ok(Some(written));
        }
        Command::Del => plugin.del(&call)?,
        Command::Check => plugin.check(&call)?,
        Command::Status => plugin.status(&call)?,
        Command::Gc => plugin.gc(&call, &call.attachments()?)?,
        Command::Version => {}
    }
    Ok(None)
}

/// The answer to VERSION; the version that was asked with is given back.
fn supported(input: &[u8]) -> Value {
    let asked = serde_json::from_slice::<Value>(input).ok();
    let asked = asked.and_then(|value| Some(value.get("cniVersion")?.as_str()?.to_owned()));
    json!({
        "cniVersion": asked.unwrap_or_else(|| Version::NEWEST.name().to_owned()),
        "supportedVersions": Version::ALL.map(Version::name),
    })
}

#[cfg(test)]
mod tests {
    use super::{Environment, run};
    use crate::state::State;
    use serde_json::{Value, json};

    fn outcome(variables: &[(&str, &str)], input: &str) -> (bool, Value) {
        let state = State::new("/nonexistent".into(), "/nonexistent".into());
        let environment = Environment::of(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        });
        let outcome = run(&state, None, &environment, || Ok(input.into()));
        (outcome.failed, outcome.document.unwrap_or(Value::Null))
    }

    #[test]
    fn version_gives_back_what_asked() {
        let (failed, answer) = outcome(&[("CNI_COMMAND", "VERSION")], r#"{"cniVersion":"0.4.0"}"#);
        assert!(!failed);
        assert_eq!(answer["cniVersion"], "0.4.0");
        assert_eq!(answer["supportedVersions"], json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
        assert_eq!(outcome(&[("CNI_COMMAND", "VERSION")], "").1["cniVersion"], "1.1.0");
    }

    #[test]
    fn failures_have_their_codes() {
        let add = [
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "c"),
            ("CNI_NETNS", "/nonexistent/netns"),
            ("CNI_IFNAME", "eth0"),
        ];
        let code = |variables: &[(&str, &str)], input: &str| {
            let (failed, answer) = outcome(variables, input);
            assert!(failed && !answer["msg"].as_str().unwrap_or_default().is_empty(), "{answer}");
            (answer["code"].as_u64().unwrap_or_default(), answer["cniVersion"].as_str().unwrap_or_default().to_owned())
        };
        let newest = "1.1.0".to_owned();
        assert_eq!(code(&[("CNI_COMMAND", "FLY")], "{}"), (4, newest.clone()));
        assert_eq!(code(&add[..1], "{}"), (4, newest.clone()));
        assert_eq!(code(&add, "{"), (6, newest.clone()));
        assert_eq!(code(&add, r#"{"cniVersion":"1.0.0","type":"bridge"}"#), (7, "1.0.0".into()));
        assert_eq!(code(&add, r#"{"cniVersion":"1.0.0","name":"a/b","type":"bridge"}"#), (7, "1.0.0".into()));
        assert_eq!(code(&add, r#"{"cniVersion":"9.0.0","name":"n","type":"bridge"}"#), (1, newest));
        assert_eq!(code(&add, r#"{"cniVersion":"1.0.0","name":"n","type":"warp"}"#), (7, "1.0.0".into()));
        assert_eq!(code(&add, r#"{"cniVersion":"1.0.0","name":"n","type":"bridge"}"#), (3, "1.0.0".into()));
        let check: Vec<_> = add.iter().map(|(k, v)| (*k, if *k == "CNI_COMMAND" { "CHECK" } else { v })).collect();
        assert_eq!(code(&check, r#"{"cniVersion":"0.3.1","name":"n","type":"bridge"}"#), (1, "0.3.1".into()));
        let status = [("CNI_COMMAND", "STATUS")];
        assert_eq!(code(&status, r#"{"cniVersion":"1.0.0","name":"n","type":"bridge"}"#), (1, "1.0.0".into()));
        assert_eq!(code(&[("CNI_COMMAND", "GC")], r#"{"cniVersion":"1.1.0","name":"n","type":"bridge"}"#).0, 4);
    }
}
