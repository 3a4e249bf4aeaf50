//! Networks whose containers hang on a link of the machine, or have one to themselves: by `netwire`, or by the CNI plugin of
//! the same name, on which the same bodies run first.

use crate::lab::{Lab, text};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

const PLUGINS: &str = "/usr/lib/cni";

/// Who attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Cni,
    Netwire,
}

/// A network to be made, for both.
pub(crate) struct Cable {
    /// The driver, and the plugin's type.
    pub(crate) kind: &'static str,
    /// The plugin's own keys.
    pub(crate) plugin: Value,
    /// The words behind `netwire network create -d KIND`.
    pub(crate) options: String,
    /// Subnet, gateway, and the lowest address to give.
    pub(crate) subnets: Vec<(&'static str, &'static str, &'static str)>,
}

/// What a container got.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub(crate) four: IpAddr,
    pub(crate) six: Option<IpAddr>,
    pub(crate) mac: String,
}

impl By {
    /// Both, the reference first; without it only ours, unless it is demanded.
    pub(crate) fn all(kind: &str) -> Vec<Self> {
        let there = Path::new(PLUGINS).join(kind).exists();
        let required = std::env::var("VENEER_REQUIRE").unwrap_or_default();
        let required = required.split(',').any(|r| r == "cni" || r == "all");
        assert!(there || !required, "no CNI plugin {kind} in {PLUGINS}, which VENEER_REQUIRE demands");
        if there { vec![Self::Cni, Self::Netwire] } else { vec![Self::Netwire] }
    }

    /// Makes the network called `name`.
    #[track_caller]
    pub(crate) fn create(self, lab: &Lab, name: &str, cable: &Cable) {
        if self == Self::Cni {
            return;
        }
        let mut line = format!("network create {name} -d {} {}", cable.kind, cable.options);
        for (subnet, gateway, first) in &cable.subnets {
            let bits = if subnet.contains(':') { 120 } else { 28 };
            line += &format!(" --subnet {subnet} --gateway {gateway} --ip-range {first}/{bits}");
        }
        lab.netwire(&line);
    }

    /// Attaches the container `id`, whose namespace has the same name.
    #[track_caller]
    pub(crate) fn attach(self, lab: &Lab, name: &str, cable: &Cable, id: &str) -> Attached {
        let tried = self.try_attach(lab, name, cable, id);
        tried.unwrap_or_else(|why| panic!("{self:?} {id}: {why}"))
    }

    /// The same, or what was said against it.
    pub(crate) fn try_attach(self, lab: &Lab, name: &str, cable: &Cable, id: &str) -> Result<Attached, String> {
        let strip = |text: &str| text.split('/').next()?.parse::<IpAddr>().ok();
        let (addresses, mac): (Vec<IpAddr>, Value) = match self {
            Self::Cni => {
                lab.sh(&format!("ip -n {id} link set lo up"));
                let result: Value = serde_json::from_str(&plugin(name, cable, "ADD", id)?).expect("JSON");
                let of = |ip: &Value| strip(ip["address"].as_str()?);
                let inside = result["interfaces"].as_array().expect("interfaces").iter().find(|i| i["sandbox"] != "");
                (
                    result["ips"].as_array().expect("addresses").iter().filter_map(of).collect(),
                    inside.map(|i| i["mac"].clone()).unwrap_or_default(),
                )
            }
            Self::Netwire => {
                let out = lab.command(&format!("attach --network {name} --netns {id} --id {id}")).output();
                let out = out.expect("netwire runs");
                let (stdout, stderr) = text(&out);
                if !out.status.success() {
                    return Err(stderr);
                }
                let result: Value = serde_json::from_str(&stdout).expect("JSON");
                let of = |ip: &Value| strip(ip.as_str()?);
                (
                    result["addresses"].as_array().expect("addresses").iter().filter_map(of).collect(),
                    result["mac"].clone(),
                )
            }
        };
        Ok(Attached {
            four: *addresses.iter().find(|a| a.is_ipv4()).expect("an address"),
            six: addresses.iter().copied().find(IpAddr::is_ipv6),
            mac: mac.as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Detaches it; twice.
    #[track_caller]
    pub(crate) fn detach(self, lab: &Lab, name: &str, cable: &Cable, id: &str) {
        for _ in 0..2 {
            match self {
                Self::Netwire => drop(lab.netwire(&format!("detach --network {name} --id {id}"))),
                Self::Cni => drop(plugin(name, cable, "DEL", id).expect("deleted")),
            }
        }
    }
}

fn plugin(name: &str, cable: &Cable, verb: &str, id: &str) -> Result<String, String> {
    use std::io::Write;
    let range = |(subnet, gateway, first): &(&str, &str, &str)| json!([{"subnet": subnet, "gateway": gateway, "rangeStart": first}]);
    let ranges: Vec<Value> = cable.subnets.iter().map(range).collect();
    let everywhere =
        |(subnet, ..): &(&str, &str, &str)| json!({"dst": if subnet.contains(':') { "::/0" } else { "0.0.0.0/0" }});
    let routes: Vec<Value> = cable.subnets.iter().map(everywhere).collect();
    let mut config = json!({
        "cniVersion": "1.0.0", "name": name, "type": cable.kind,
        "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": ranges, "routes": routes},
    });
    for (key, value) in cable.plugin.as_object().expect("an object") {
        config[key] = value.clone();
    }
    let mut child = Command::new(format!("{PLUGINS}/{}", cable.kind))
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", id)
        .env("CNI_NETNS", format!("/run/netns/{id}"))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", PLUGINS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin runs");
    child.stdin.take().expect("its stdin").write_all(config.to_string().as_bytes()).expect("its configuration");
    let out = child.wait_with_output().expect("the plugin ends");
    let (stdout, stderr) = text(&out);
    if out.status.success() { Ok(stdout) } else { Err(format!("{stdout}{stderr}")) }
}

/// The cable: `uplink` here at 198.51.100.1 and fd00:51::1 leads to the namespace `lan`, a switch with an address of its own,
/// 198.51.100.2 and fd00:51::2.
pub(crate) fn lan(lab: &Lab) {
    lab.sh("ip netns add lan; ip link add uplink type veth peer name eth0 netns lan
         ip addr add 198.51.100.1/24 dev uplink; ip addr add fd00:51::1/64 dev uplink nodad; ip link set uplink up
         ip route add default via 198.51.100.2
         ip -n lan link add br0 type bridge; ip -n lan link set eth0 master br0 up; ip -n lan link set lo up
         ip -n lan addr add 198.51.100.2/24 dev br0; ip -n lan addr add fd00:51::2/64 dev br0 nodad
         ip -n lan link set br0 up");
}

/// Whether the switch sends a packet back by the port it came in (802.1Qbg, reflective relay).
pub(crate) fn reflect(lab: &Lab, on: bool) {
    lab.sh(&format!("ip -n lan link set eth0 type bridge_slave hairpin {}", if on { "on" } else { "off" }));
}

/// The subnets of [`lan`].
pub(crate) fn subnets() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![("198.51.100.0/24", "198.51.100.2", "198.51.100.16"), ("fd00:51::/64", "fd00:51::2", "fd00:51::100")]
}

/// Whether `to` answers an echo request from `from`.
pub(crate) fn answers(lab: &Lab, from: &str, to: IpAddr) -> bool {
    let six = if to.is_ipv6() { "-6" } else { "-4" };
    let within = if from.is_empty() { String::new() } else { format!("nsenter --net=/run/netns/{from} ") };
    // A second question goes out where the first one only taught a switch who is where.
    lab.sh(&format!("{within}busybox ping {six} -c 2 -i 0.2 -W 1 {to} >/dev/null && echo yes || echo no")).trim()
        == "yes"
}

/// That `a` and `b` answer each other by both families, or by none.
#[track_caller]
pub(crate) fn neighbours(lab: &Lab, a: (&str, &Attached), b: (&str, &Attached), wanted: bool) {
    let pairs = [(a.0, b.1), (b.0, a.1)];
    let ways: Vec<_> =
        pairs.iter().flat_map(|(from, to)| std::iter::once(to.four).chain(to.six).map(|at| (*from, at))).collect();
    // The plugins' links answer by IPv6 only when they have tried their own address for a second.
    let tries = if wanted { 3 } else { 1 };
    let ask = |from: &str, at: IpAddr| (0..tries).any(|_| answers(lab, from, at));
    // Together, since each silence takes its time.
    std::thread::scope(|scope| {
        let asked: Vec<_> = ways.iter().map(|(from, at)| scope.spawn(|| ask(from, *at))).collect();
        for ((from, at), asked) in ways.iter().zip(asked) {
            assert_eq!(asked.join().expect("asked"), wanted, "{from} to {at}");
        }
    });
}
