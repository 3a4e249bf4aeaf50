//! Published ports, with packets, in a network namespace of the test's own.

use crate::bridge::in_own_network;
use crate::lab::Lab;
use testkit::{fixture, need};

const SERVER: &str = "sh -c 'mkdir /www; echo page >/www/index.html; exec httpd -f -h /www'";

#[test]
fn a_port_of_the_machine_leads_into_the_container() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = format!(
        "
        $ctr run -d --name web -p 8080:80 -p 127.0.0.1:8053:53/udp -P --expose 99 busybox {SERVER} >/dev/null
        page http://127.0.0.1:8080/; page http://172.17.0.1:8080/
        $ctr port web | grep -v ^99; $ctr port web 80; $ctr port web 53/udp
        $ctr port web 81 || echo code $?
        $ctr ps --format '{{{{.Ports}}}}' | sed 's/:[0-9]*->99/:N->99/'
        $ctr inspect -f '{{{{json .HostConfig.PortBindings}}}}' web
        $ctr run --rm -p 8080:80 busybox true || echo code $?
        $ctr rm -f web >/dev/null
        $ctr netwire publish --list; busybox wget -q -O - http://127.0.0.1:8080/ 2>/dev/null || echo closed
        "
    );
    let said = in_own_network(&lab, &script);
    assert_eq!(said.code, 0, "{said:?}");
    let expected = "page\npage\n80/tcp -> 0.0.0.0:8080\n53/udp -> 127.0.0.1:8053\n0.0.0.0:8080\n127.0.0.1:8053\ncode 1\n\
        127.0.0.1:8053->53/udp, 0.0.0.0:8080->80/tcp, 0.0.0.0:N->99/tcp\n\
        {\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8053\"}],\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}\n";
    let mut lines: Vec<&str> = said.out.lines().collect();
    lines[2..4].sort_unstable_by(|a, b| b.cmp(a));
    let seen = lines.join("\n");
    assert!(seen.starts_with(expected), "{seen}\n{expected}");
    assert!(seen.ends_with("code 125\nclosed"), "{seen}");
    assert!(said.err.contains("No public port '81' published for web"), "{said:?}");
    assert!(said.err.contains("0.0.0.0:8080/tcp: port is already allocated"), "{said:?}");
}

#[test]
fn nothing_is_left_of_what_was_killed() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = "
        $ctr run -d --name web -p 8080:80 busybox sleep 100 >/dev/null
        kill -9 $($ctr inspect -f '{{.State.SupervisorPid}} {{.State.Pid}}' web)
        for i in $(seq 300); do $ctr rm web 2>/dev/null && break; sleep 0.1; done
        $ctr netwire publish --list; $ctr netwire network inspect bridge | grep -o '\"containers\":\\[\\]'
        veths
    ";
    let said = in_own_network(&lab, script);
    assert_eq!((said.code, said.out.as_str()), (0, "web\n\"containers\":[]\n0\n"), "{said:?}");
}

#[test]
fn a_network_takes_one_call_of_netwire() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let count = lab.path().join("calls");
    let wrapper = lab.path().join("netwire");
    let text = format!("#!/bin/sh\necho \"$1\" >>{}\nexec {} \"$@\"\n", count.display(), env!("CARGO_BIN_EXE_netwire"));
    testkit::program(&wrapper, &text);
    let script = format!(
        "$ctr run --rm --netwire {} -p 8080:80 -p 8081-8085:81-85/udp --add-host a:host-gateway busybox true; cat {}",
        wrapper.display(),
        count.display()
    );
    let said = in_own_network(&lab, &script);
    assert_eq!((said.code, said.out.as_str()), (0, "attach\ndetach\n"), "{said:?}");
}
