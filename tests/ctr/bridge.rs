//! The network `bridge`, with packets, in a network namespace of the test's own.

use crate::lab::{Lab, Said};
use std::process::{Command, Stdio};
use testkit::{fixture, need};

/// What is waited for in there: a server's page, and that no veth is left, whose going nobody waits for.
const WAITS: &str = "
    page() { for i in $(seq 300); do busybox wget -q -O - $1 2>/dev/null && return; sleep 0.1; done; return 1; }
    veths() { for i in $(seq 300); do ip -br link | grep -q veth || break; sleep 0.1; done; ip -br link | grep -c veth || :; }
";

/// What `script` prints; `$ctr` is ours.
pub(crate) fn in_own_network(lab: &Lab, script: &str) -> Said {
    let mut command = Command::new("unshare");
    let script = format!("ip link set lo up; ctr={}; {WAITS} {script}", env!("CARGO_BIN_EXE_ctr"));
    command.args(["-n", "-m", "sh", "-euc", &script]).stdin(Stdio::null());
    lab.environment(&mut command);
    command.output().expect("unshare runs").into()
}

#[test]
fn containers_reach_each_other_and_the_gateway() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        $ctr run -d --name server busybox sh -c 'mkdir /www; echo page >/www/index.html; httpd -f -h /www' >/dev/null
        address=$($ctr inspect -f '{{.NetworkSettings.IPAddress}}' server); echo $address
        page http://$address/ >/dev/null
        $ctr exec server cat /etc/hosts | grep -c \"^$address\"
        $ctr run --rm busybox sh -c \"wget -q -O - http://$address/; ping -c 1 -W 30 172.17.0.1 >/dev/null && echo gateway; ip route | grep -c default\"
        $ctr run --rm --network none busybox sh -c \"ping -c 1 -W 1 $address >/dev/null 2>&1 || echo cut off\"
        $ctr rm -f server
        nft list tables | grep -c veneer
    ";
    let said = in_own_network(&lab, script);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out, "172.17.0.2\n1\npage\ngateway\n1\ncut off\nserver\n1\n", "{said:?}");
}

#[test]
fn an_address_is_free_again_when_its_container_has_gone() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "for i in 1 2 3; do $ctr run --rm busybox sh -c \"ip -4 addr show eth0 | grep -o '172[.0-9]*' | head -n 1\"; done; veths";
    let said = in_own_network(&lab, script);
    let mut lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.pop(), Some("0"), "no link is left: {said:?}");
    assert_eq!(lines.len(), 3, "{said:?}");
    assert!(lines.iter().all(|l| l.starts_with("172.17.0.")), "{said:?}");
}
