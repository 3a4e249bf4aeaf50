//! Who wires: `netwire`, or the CNI plugins `bridge` and `host-local`, on which the same bodies run first.

use crate::lab::{Lab, address, text};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

const PLUGINS: &str = "/usr/lib/cni";

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiring {
    Netwire,
    Cni,
}

/// What a container got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wired {
    pub(crate) address: IpAddr,
    pub(crate) gateway: IpAddr,
}

impl Wiring {
    /// Both, the reference first; without it only ours, after saying so.
    pub(crate) fn all() -> Vec<Self> {
        let there = Path::new(PLUGINS).join("bridge").exists();
        let required = std::env::var("VENEER_REQUIRE").unwrap_or_default();
        let required = required.split(',').any(|r| r == "cni" || r == "all");
        assert!(there || !required, "no CNI plugins in {PLUGINS}, which VENEER_REQUIRE demands");
        if there { vec![Self::Cni, Self::Netwire] } else { vec![Self::Netwire] }
    }

    /// Attaches the container `name`, whose namespace has the same name.
    #[track_caller]
    pub(crate) fn attach(self, lab: &Lab, name: &str) -> Wired {
        match self {
            Self::Netwire => {
                let attached = lab.attach(&format!("--network bridge --netns {name} --id {name}"));
                let gateway = attached["gateway"].as_str().and_then(|g| g.parse().ok()).expect("a gateway");
                Wired { address: address(&attached), gateway }
            }
            Self::Cni => {
                lab.sh(&format!("ip -n {name} link set lo up"));
                let result: serde_json::Value = serde_json::from_str(&cni("ADD", name)).expect("JSON");
                let ip = &result["ips"][0];
                let part = |value: &serde_json::Value| value.as_str()?.split('/').next()?.parse().ok();
                Wired {
                    address: part(&ip["address"]).expect("an address"),
                    gateway: part(&ip["gateway"]).expect("a gateway"),
                }
            }
        }
    }

    /// Detaches it.
    #[track_caller]
    pub(crate) fn detach(self, lab: &Lab, name: &str) {
        match self {
            Self::Netwire => drop(lab.netwire(&format!("detach --network bridge --id {name}"))),
            Self::Cni => drop(cni("DEL", name)),
        }
    }
}

#[track_caller]
fn cni(verb: &str, name: &str) -> String {
    use std::io::Write;
    const CONFIG: &str = r#"{"cniVersion":"0.4.0","name":"bridge","type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,
        "ipam":{"type":"host-local","dataDir":"/run/cni","ranges":[[{"subnet":"172.17.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}}"#;
    let mut child = Command::new(format!("{PLUGINS}/bridge"))
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", name)
        .env("CNI_NETNS", format!("/run/netns/{name}"))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", PLUGINS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin runs");
    child.stdin.take().expect("its stdin").write_all(CONFIG.as_bytes()).expect("its configuration");
    let out = child.wait_with_output().expect("the plugin ends");
    let (stdout, stderr) = text(&out);
    assert!(out.status.success(), "CNI {verb} {name}: {stdout}{stderr}");
    stdout
}
