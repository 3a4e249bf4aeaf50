//! What a plugin did to a machine, in a form that can be compared: names that are chosen freely and hardware addresses taken
//! out.

use crate::lab::Lab;
use serde_json::{Value, json};

/// Links, addresses, routes and settings, here and in the container `c1`; a line each.
pub(super) fn of(lab: &Lab) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, ip) in [("here", "ip"), ("inside", "ip -n c1")] {
        for link in list(lab, &format!("{ip} -j -d addr")) {
            lines.push(format!("{place} {}", describe(&link)));
        }
        for family in ["-4", "-6"] {
            for route in list(lab, &format!("{ip} {family} -j route")) {
                let to = route["dst"].as_str().unwrap_or_default();
                if !to.starts_with("fe80") && !to.starts_with("ff00") {
                    let keys = ["dst", "gateway", "dev", "scope", "metric", "prefsrc", "protocol"];
                    lines.push(plain(&format!("{place} route {}", pick(&route, &keys))));
                }
            }
        }
    }
    let settings = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
        ip netns exec c1 sysctl net.core.somaxconn net.ipv4.conf.eth0.rp_filter net.ipv4.conf.eth0.arp_notify 2>&1 || :
        tc qdisc | sed -n 's/ limit .*//; s/ lat .*//; /tbf/p'
        (cd /run/cni-store/net 2>/dev/null && head -n 9 * 2>/dev/null) || :";
    lines.extend(lab.sh(settings).lines().map(plain));
    lines
}

fn list(lab: &Lab, command: &str) -> Vec<Value> {
    serde_json::from_str(&lab.sh(&format!("{command} || echo '[]'"))).unwrap_or_default()
}

fn pick(value: &Value, keys: &[&str]) -> Value {
    keys.iter().map(|key| ((*key).to_owned(), value[*key].clone())).collect()
}

fn describe(link: &Value) -> String {
    let details = &link["linkinfo"];
    let addresses = link["addr_info"].as_array().into_iter().flatten();
    let own = addresses.filter(|a| !a["local"].as_str().is_some_and(|local| local.starts_with("fe80")));
    let mut flags: Vec<String> =
        link["flags"].as_array().into_iter().flatten().filter_map(|f| f.as_str().map(str::to_owned)).collect();
    // A carrier is seen when the kernel comes to look at it.
    flags.retain(|flag| !["LOWER_UP", "NO-CARRIER"].contains(&flag.as_str()));
    flags.sort();
    let whole = json!({
        "name": link["ifname"], "mtu": link["mtu"], "flags": flags, "kind": details["info_kind"],
        "promiscuity": link["promiscuity"],
        "mode": details["info_data"]["mode"], "tag": details["info_data"]["id"],
        "port": pick(&details["info_slave_data"], &["hairpin", "isolated"]),
        "addresses": own.map(|a| pick(a, &["local", "prefixlen", "broadcast", "scope"])).collect::<Vec<_>>(),
    });
    let mac = link["address"].as_str().filter(|mac| mac.starts_with("02:11:")).unwrap_or_default();
    plain(&format!("{whole} {mac}"))
}

/// `text` without what is chosen freely: the names of pairs and queues, hardware addresses but those that begin with 02:11.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let hex = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit());
        let is_mac =
            word.len() == 17 && word.matches(':').count() == 5 && word.split(':').all(|b| b.len() == 2 && hex(b));
        if is_mac && !word.starts_with("02:11:") && word != "00:00:00:00:00:00" {
            out.push_str("MAC");
        } else if word.strip_prefix("veth").is_some_and(hex) {
            out.push_str("VETH");
        } else if word.strip_prefix("ifb").or_else(|| word.strip_prefix("bwp")).is_some_and(hex) {
            out.push_str("QUEUE");
        } else {
            out.push_str(word);
        }
        word.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == ':' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

#[test]
fn what_is_chosen_freely_is_taken_out() {
    let text = r#"{"name":"veth1a2b","mac":"0e:bb:19:d5:84:95","own":"02:11:00:00:00:01"} bwp12 vethernet"#;
    assert_eq!(plain(text), r#"{"name":"VETH","mac":"MAC","own":"02:11:00:00:00:01"} QUEUE vethernet"#);
}
