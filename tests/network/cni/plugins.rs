//! Who is called: the reference's programs, or links to `netwire` under the same names.

use crate::lab::Lab;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const REFERENCE: &str = "/usr/lib/cni";
const LINKS: &str = "/run/cni-plugins";
const TYPES: [&str; 12] = [
    "bridge",
    "ptp",
    "macvlan",
    "ipvlan",
    "vlan",
    "loopback",
    "portmap",
    "firewall",
    "tuning",
    "bandwidth",
    "host-local",
    "static",
];

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugins {
    Theirs,
    Ours,
}

/// What a plugin answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) document: Value,
}

/// One attachment.
#[derive(Debug, Clone)]
pub(super) struct Attachment<'a> {
    pub(super) container: &'a str,
    pub(super) interface: &'a str,
    pub(super) arguments: &'a str,
}

impl Attachment<'_> {
    /// The interface `eth0` of the container `name`, whose namespace is called so.
    pub(super) fn of(name: &str) -> Attachment<'_> {
        Attachment { container: name, interface: "eth0", arguments: "" }
    }
}

impl Plugins {
    /// Whether the reference is here; a skip that is not allowed fails.
    pub(super) fn are_here() -> bool {
        let there = Path::new(REFERENCE).join("bridge").exists();
        let required = std::env::var("VENEER_REQUIRE").unwrap_or_default();
        let required = required.split(',').any(|r| r == "cni" || r == "all");
        assert!(there || !required, "no CNI plugins in {REFERENCE}, which VENEER_REQUIRE demands");
        there
    }

    /// The reference first, where it is here.
    pub(super) fn all() -> Vec<Self> {
        if Self::are_here() { vec![Self::Theirs, Self::Ours] } else { vec![Self::Ours] }
    }

    /// The folder with the plugins.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Theirs => REFERENCE,
            Self::Ours => {
                if !Path::new(LINKS).exists() {
                    std::fs::create_dir(LINKS).expect("a folder");
                    for name in TYPES {
                        let link = Path::new(LINKS).join(name);
                        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_netwire"), link).expect("a link");
                    }
                }
                LINKS
            }
        }
    }

    /// Calls the plugin that `configuration` names.
    pub(super) fn call(self, verb: &str, attachment: &Attachment<'_>, configuration: &Value) -> Answer {
        let kind = configuration["type"].as_str().expect("a type");
        let mut command = Command::new(format!("{}/{kind}", self.folder()));
        command
            .env("CNI_CONTAINERID", attachment.container)
            .env("CNI_NETNS", format!("/run/netns/{}", attachment.container))
            .env("CNI_IFNAME", attachment.interface)
            .env("CNI_ARGS", attachment.arguments)
            .env("CNI_PATH", self.folder());
        execute(command, verb, configuration.to_string().as_bytes())
    }

    /// ADD of a whole chain; the result, or the first failure.
    pub(super) fn add(self, attachment: &Attachment<'_>, chain: &[Value]) -> Result<Value, Answer> {
        let mut result = Value::Null;
        for configuration in chain {
            let answer = self.call("ADD", attachment, &with_previous(configuration, &result));
            if answer.code != 0 {
                return Err(answer);
            }
            result = answer.document;
        }
        Ok(result)
    }

    /// DEL of a whole chain, last plugin first.
    pub(super) fn del(self, attachment: &Attachment<'_>, chain: &[Value], result: &Value) -> Vec<Answer> {
        chain.iter().rev().map(|c| self.call("DEL", attachment, &with_previous(c, result))).collect()
    }

    /// ADD of a chain that must succeed.
    #[track_caller]
    pub(super) fn attach(self, lab: &Lab, name: &str, chain: &[Value]) -> Value {
        lab.sh(&format!("[ -e /run/netns/{name} ] || {{ ip netns add {name}; ip -n {name} link set lo up; }}"));
        match self.add(&Attachment::of(name), chain) {
            Ok(result) => result,
            Err(answer) => panic!("{self:?} ADD {name}: {answer:?}"),
        }
    }

    /// DEL of a chain that must succeed.
    #[track_caller]
    pub(super) fn detach(self, name: &str, chain: &[Value], result: &Value) {
        for answer in self.del(&Attachment::of(name), chain, result) {
            assert_eq!((answer.code, &answer.document), (0, &Value::Null), "{self:?} DEL {name}");
        }
    }
}

/// `configuration` with the result of the plugins before.
pub(super) fn with_previous(configuration: &Value, result: &Value) -> Value {
    let mut whole = configuration.clone();
    if !result.is_null() {
        whole["prevResult"] = result.clone();
    }
    whole
}

/// Runs `command` as a plugin with `input`; its environment but for `CNI_COMMAND` is the caller's affair.
pub(crate) fn execute(mut command: Command, verb: &str, input: &[u8]) -> Answer {
    let mut child = command
        .env("CNI_COMMAND", verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin runs");
    // One that looks at its environment first may have ended.
    let _ = child.stdin.take().expect("its stdin").write_all(input);
    let out = child.wait_with_output().expect("the plugin ends");
    let stdout = String::from_utf8(out.stdout).expect("text");
    let document = match stdout.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{verb}: {e}: {text}")),
    };
    Answer { code: out.status.code().unwrap_or(-1), document }
}

/// A configuration of the network `net`: `more` and what each has.
pub(super) fn configuration(kind: &str, more: Value) -> Value {
    let mut whole = json!({"cniVersion": "1.0.0", "name": "net", "type": kind});
    for (key, value) in more.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    whole
}

/// Addresses of 10.5.0.0/24 and a default route.
pub(super) fn ipam() -> Value {
    json!({"type": "host-local", "dataDir": "/run/cni-store", "ranges": [[{"subnet": "10.5.0.0/24"}]],
           "routes": [{"dst": "0.0.0.0/0"}]})
}

/// Addresses of both families.
pub(super) fn dual() -> Value {
    json!({"type": "host-local", "dataDir": "/run/cni-store",
           "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd05::/64"}]],
           "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]})
}

/// The container's address in `result`: the first of IPv4.
#[track_caller]
pub(super) fn address(result: &Value) -> std::net::IpAddr {
    let all = result["ips"].as_array().expect("addresses");
    let plain = |ip: &Value| ip["address"].as_str()?.split('/').next()?.parse::<std::net::IpAddr>().ok();
    all.iter().filter_map(plain).find(std::net::IpAddr::is_ipv4).expect("an address of IPv4")
}
