//! The same configuration given to the reference and to ours, each in a machine of its own: results, errors and effects of
//! ADD, CHECK, a second ADD, and DEL twice are the same.
//!
//! Where they are not, the case says so ([`Difference`]) and why. Codes of errors: where the reference says 999, ours may say
//! the specification's own.

use super::effects;
use super::plugins::{Answer, Attachment, Plugins, configuration, dual, ipam, with_previous};
use crate::lab::{Lab, lab};
use serde_json::{Value, json};
use testkit::need;

/// What may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    /// The reference's CHECK fails on what its own ADD made.
    Check,
    /// The reference's DEL fails on what never was; ours has nothing to do and says so.
    Del,
    /// After a failed ADD the reference leaves links behind.
    Undo,
}

struct Case {
    name: &'static str,
    chain: Vec<Value>,
    arguments: &'static str,
    difference: Difference,
}

fn case(name: &'static str, chain: Vec<Value>) -> Case {
    Case { name, chain, arguments: "", difference: Difference::None }
}

fn but(difference: Difference, case: Case) -> Case {
    Case { difference, ..case }
}

fn bridge(more: Value) -> Value {
    configuration("bridge", more)
}

fn gateway() -> Value {
    bridge(json!({"isGateway": true, "ipam": ipam()}))
}

fn bridges() -> Vec<Case> {
    let mac = json!({"isGateway": true, "ipam": ipam(), "runtimeConfig": {"mac": "02:11:22:33:44:55"}});
    let small = json!({"type": "host-local", "dataDir": "/run/cni-store", "ranges": [[{"subnet": "10.5.0.0/31"}]]});
    let fixed = json!({"type": "static", "addresses": [{"address": "10.7.0.5/24", "gateway": "10.7.0.9"},
        {"address": "fd07::5/64"}], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.44.0.0/16", "gw": "10.7.0.3"}]});
    let arguments =
        Case { arguments: "IgnoreUnknown=1;MAC=02:11:22:33:44:56;IP=10.5.0.77", ..case("arguments", vec![gateway()]) };
    let unknown = Case { arguments: "FOO=1", ..case("unknown arguments", vec![gateway()]) };
    vec![
        but(Difference::Check, case("layer two", vec![bridge(json!({}))])),
        case("gateway", vec![gateway()]),
        case("no gateway", vec![bridge(json!({"ipam": ipam()}))]),
        case("both families", vec![bridge(json!({"isGateway": true, "ipam": dual()}))]),
        case(
            "default gateway",
            vec![bridge(json!({"isDefaultGateway": true, "ipam": {"type": "host-local",
            "dataDir": "/run/cni-store", "subnet": "10.6.0.0/16", "rangeStart": "10.6.3.1", "rangeEnd": "10.6.3.9",
            "gateway": "10.6.0.7"}}))],
        ),
        case(
            "mtu and hairpin",
            vec![bridge(json!({"isGateway": true, "mtu": 1400, "hairpinMode": true, "ipam": ipam()}))],
        ),
        case("promiscuous", vec![bridge(json!({"isGateway": true, "promiscMode": true, "ipam": ipam()}))]),
        case("masquerading", vec![bridge(json!({"isGateway": true, "ipMasq": true, "ipam": dual()}))]),
        case("hardware address", vec![bridge(mac)]),
        case("fixed addresses", vec![bridge(json!({"isGateway": true, "ipam": fixed}))]),
        case("names", vec![bridge(json!({"dns": {"nameservers": ["192.0.2.1"], "domain": "x"}, "ipam": ipam()}))]),
        arguments,
        unknown,
        case("hairpin and promiscuous", vec![bridge(json!({"hairpinMode": true, "promiscMode": true}))]),
        case("no such tag", vec![bridge(json!({"vlan": 5000}))]),
        but(Difference::Undo, case("too small", vec![bridge(json!({"isGateway": true, "ipam": small}))])),
        but(Difference::Undo, case("nobody gives addresses", vec![bridge(json!({"ipam": {"type": "nobody"}}))])),
    ]
}

fn versions() -> Vec<Case> {
    let of = |version: &str, ipam: Value| {
        vec![configuration("bridge", json!({"cniVersion": version, "isGateway": true, "ipam": ipam}))]
    };
    let mut nameless = gateway();
    nameless["name"] = json!("");
    let mut strange = gateway();
    strange["name"] = json!("a/b");
    let mut unsaid = gateway();
    unsaid.as_object_mut().expect("an object").remove("cniVersion");
    vec![
        case("0.1.0", of("0.1.0", ipam())),
        case("0.2.0", of("0.2.0", dual())),
        case("0.3.0", of("0.3.0", ipam())),
        case("0.3.1", of("0.3.1", dual())),
        case("0.4.0", of("0.4.0", dual())),
        case("no version", vec![unsaid]),
        case("no such version", of("3.0.0", ipam())),
        but(
            Difference::Undo,
            case("nothing to say in 0.1.0", vec![configuration("bridge", json!({"cniVersion": "0.1.0"}))]),
        ),
        case("no name", vec![nameless]),
        case("no name at all", vec![strange]),
    ]
}

fn links() -> Vec<Case> {
    let macvlan = |more: Value| vec![configuration("macvlan", more)];
    vec![
        case("ptp", vec![configuration("ptp", json!({"ipam": ipam()}))]),
        case(
            "ptp of both families",
            vec![configuration("ptp", json!({"ipMasq": true, "mtu": 1300, "ipam": dual(), "dns": {"domain": "d"}}))],
        ),
        case("ptp without addresses", vec![configuration("ptp", json!({}))]),
        case("macvlan", macvlan(json!({"master": "up0", "ipam": dual()}))),
        case(
            "macvlan private",
            macvlan(
                json!({"master": "up0", "mode": "private", "mtu": 1400, "mac": "02:11:00:00:00:09", "ipam": ipam()}),
            ),
        ),
        case("macvlan layer two", macvlan(json!({"master": "up0", "mode": "vepa"}))),
        case("macvlan on the default route", macvlan(json!({"ipam": ipam()}))),
        case("macvlan of no mode", macvlan(json!({"master": "up0", "mode": "x"}))),
        but(Difference::Del, case("macvlan too large", macvlan(json!({"master": "up0", "mtu": 9000})))),
        but(Difference::Del, case("macvlan on nothing", macvlan(json!({"master": "nothing"})))),
        but(
            Difference::Del,
            case("vlan without master", vec![configuration("vlan", json!({"vlanId": 5, "ipam": ipam()}))]),
        ),
        case("loopback", vec![configuration("loopback", json!({}))]),
    ]
}

fn chained() -> Vec<Case> {
    let with = |kind: &str, more: Value| vec![gateway(), configuration(kind, more)];
    let ports = json!({"runtimeConfig": {"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"}]}});
    let tuned = json!({"sysctl": {"net.core.somaxconn": "77"}, "mac": "02:11:00:00:00:77", "mtu": 1300, "promisc": true,
        "allmulti": true, "dataDir": "/run/cni-tuning"});
    let rates = json!({"runtimeConfig": {"bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 800_000,
        "egressRate": 4_000_000, "egressBurst": 400_000}}});
    let port = |host: i64, container: i64| json!({"runtimeConfig": {"portMappings": [{"hostPort": host, "containerPort": container, "protocol": "tcp"}]}});
    vec![
        but(Difference::Check, case("portmap", with("portmap", ports))),
        case("portmap of nothing", with("portmap", json!({}))),
        case("portmap of no port", with("portmap", port(0, 80))),
        case("portmap to no port", with("portmap", port(80, -1))),
        case("portmap alone", vec![configuration("portmap", port(8080, 80))]),
        case("tuning", with("tuning", tuned)),
        case("tuning of nothing", with("tuning", json!({}))),
        case("tuning of the machine", with("tuning", json!({"sysctl": {"kernel.hostname": "x"}}))),
        case("tuning alone", vec![configuration("tuning", json!({"mtu": 1400}))]),
        case("bandwidth", with("bandwidth", rates)),
        case("bandwidth without burst", with("bandwidth", json!({"ingressRate": 5}))),
        case("firewall", with("firewall", json!({}))),
        case("firewall of a bridge", with("firewall", json!({"ingressPolicy": "same-bridge"}))),
        case("firewall of no policy", with("firewall", json!({"ingressPolicy": "x"}))),
    ]
}

/// What was answered and what is there, step by step.
fn protocol(lab: &Lab, plugins: Plugins, case: &Case) -> Vec<(&'static str, Vec<String>)> {
    lab.sh("echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
         ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
         ip addr add 198.51.100.1/24 dev up0; ip route add default via 198.51.100.2; ip netns add c1");
    let attachment = Attachment { arguments: case.arguments, ..Attachment::of("c1") };
    let mut steps = Vec::new();
    let added = plugins.add(&attachment, &case.chain);
    steps.push((
        "ADD",
        vec![match &added {
            Ok(result) => effects::plain(&result.to_string()),
            Err(answer) => failure(answer),
        }],
    ));
    steps.push(("effects of ADD", effects::of(lab)));
    let result = added.clone().unwrap_or(Value::Null);
    if added.is_ok() {
        let checks = case.chain.iter().map(|c| plugins.call("CHECK", &attachment, &with_previous(c, &result)));
        steps.push(("CHECK", checks.map(|answer| failure(&answer)).collect()));
        let again = plugins.call("ADD", &attachment, &case.chain[0]);
        // `lo` is there already, and set up once more.
        steps.push(("ADD again", vec![again.code.to_string()]));
        steps.push(("effects of ADD again", effects::of(lab)));
    }
    for (step, after) in [("DEL", "effects of DEL"), ("DEL again", "effects of DEL again")] {
        let answers = plugins.del(&attachment, &case.chain, &result);
        steps.push((step, answers.iter().map(failure).collect()));
        steps.push((after, effects::of(lab)));
    }
    steps
}

/// Exit status and code; one that the specification has where the reference has none of its own counts as that.
fn failure(answer: &Answer) -> String {
    let code = answer.document["code"].as_u64().unwrap_or_default();
    let own = if [2, 3, 5, 6, 7].contains(&code) { 999 } else { code };
    format!("exit {} code {own}", answer.code)
}

fn compare(cases: Vec<Case>) {
    if !Plugins::are_here() {
        return;
    }
    let mut differ = String::new();
    for case in cases {
        let mut theirs = Vec::new();
        let mut ours = Vec::new();
        lab(|lab| theirs = protocol(lab, Plugins::Theirs, &case));
        lab(|lab| ours = protocol(lab, Plugins::Ours, &case));
        for ((step, theirs), (_, ours)) in theirs.iter().zip(&ours) {
            let allowed = match case.difference {
                Difference::None => false,
                Difference::Check => *step == "CHECK",
                Difference::Del => step.starts_with("DEL"),
                Difference::Undo => step.starts_with("effects"),
            };
            if theirs == ours || allowed {
                continue;
            }
            let lines = |title: &str, these: &[String], others: &[String]| -> String {
                these.iter().filter(|l| !others.contains(l)).map(|l| format!("  {title} {l}\n")).collect()
            };
            differ +=
                &format!("{}, {step}:\n{}{}", case.name, lines("theirs", theirs, ours), lines("ours  ", ours, theirs));
        }
        assert_eq!(theirs.len(), ours.len(), "{}: {theirs:?}\n{ours:?}", case.name);
    }
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn bridges_are_the_same() {
    need!(root, "ip");
    compare(bridges());
}

#[test]
fn results_are_the_same_in_all_versions() {
    need!(root, "ip");
    compare(versions());
}

#[test]
fn other_links_are_the_same() {
    need!(root, "ip");
    compare(links());
}

#[test]
fn chained_plugins_are_the_same() {
    need!(root, "ip", "iptables", "tc");
    compare(chained());
}
