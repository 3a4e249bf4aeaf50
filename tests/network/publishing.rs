//! Who publishes ports: `netwire`, or the CNI plugins `bridge` and `portmap`, on which the same bodies run first. And
//! exchanges with what is published.

use crate::lab::{Lab, address, text};
use crate::wiring::Wiring;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long an answer may take before there is none.
const PATIENCE: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(2);

/// Attaches the container `name` to the default network with `ports` published, each `[IP:]HOST:INSIDE[/PROTOCOL]`.
#[track_caller]
pub(crate) fn attach(wiring: Wiring, lab: &Lab, name: &str, ports: &[&str]) -> IpAddr {
    match wiring {
        Wiring::Netwire => {
            let ports: String = ports.iter().map(|port| format!(" -p {port}")).collect();
            address(&lab.attach(&format!("--network bridge --netns {name} --id {name}{ports}")))
        }
        Wiring::Cni => cni(lab, name, ports),
    }
}

/// Whether bridged frames pass the packet rules in this lab, both ways round; once where the kernel cannot.
pub(crate) fn with_and_without_bridged_rules(lab: &Lab) -> Vec<&'static str> {
    let there = lab.sh("test -e /proc/sys/net/bridge/bridge-nf-call-iptables && echo yes || true");
    if there.is_empty() { vec!["true"] } else { vec![&BRIDGED[0], &BRIDGED[1]] }
}

static BRIDGED: [&str; 2] = [
    "sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
    "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0",
];

/// Bridged frames do not pass the packet rules.
pub(crate) fn unbridge(lab: &Lab) {
    lab.sh(with_and_without_bridged_rules(lab).last().expect("one"));
}

fn cni(lab: &Lab, name: &str, ports: &[&str]) -> IpAddr {
    lab.sh(&format!("ip -n {name} link set lo up"));
    let bridge = serde_json::json!({"cniVersion": "0.4.0", "name": "bridge", "type": "bridge", "bridge": "cni0",
        "isGateway": true, "ipMasq": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "172.17.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}});
    let result = run(name, "bridge", &bridge);
    let mapping = |port: &&str| {
        let (rest, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let parts: Vec<&str> = rest.split(':').collect();
        let number = |text: &str| text.parse::<u16>().expect("a port");
        match parts[..] {
            [host, inside] => {
                serde_json::json!({"hostPort": number(host), "containerPort": number(inside), "protocol": protocol})
            }
            [ip, host, inside] => serde_json::json!({"hostIP": ip, "hostPort": number(host),
                "containerPort": number(inside), "protocol": protocol}),
            _ => panic!("{port}"),
        }
    };
    let portmap = serde_json::json!({"cniVersion": "0.4.0", "name": "bridge", "type": "portmap", "snat": true,
        "capabilities": {"portMappings": true}, "prevResult": result,
        "runtimeConfig": {"portMappings": ports.iter().map(mapping).collect::<Vec<_>>()}});
    run(name, "portmap", &portmap);
    let address = result["ips"][0]["address"].as_str().and_then(|a| a.split('/').next()?.parse().ok());
    address.expect("an address")
}

fn run(name: &str, plugin: &str, config: &serde_json::Value) -> serde_json::Value {
    let mut child = Command::new(format!("/usr/lib/cni/{plugin}"))
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", name)
        .env("CNI_NETNS", format!("/run/netns/{name}"))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/usr/lib/cni")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin runs");
    child.stdin.take().expect("its stdin").write_all(config.to_string().as_bytes()).expect("its configuration");
    let out = child.wait_with_output().expect("the plugin ends");
    let (stdout, stderr) = text(&out);
    assert!(out.status.success(), "{plugin} {name}: {stdout}{stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

/// Sends data both ways between a client in `from`, which connects to `to`, and a server in `server` at `inside`. Gives the
/// address the server saw, if the client's data came there.
pub(crate) fn tcp(lab: &Lab, from: &str, to: SocketAddr, server: &str, inside: u16) -> Option<IpAddr> {
    let listener = lab.within(server, || bound(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, inside))));
    listener.set_nonblocking(true).expect("no waiting");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            loop {
                match listener.accept() {
                    Ok((mut stream, peer)) => {
                        stream.set_nonblocking(false).expect("waiting");
                        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                        let mut got = [0; 4];
                        let done = stream.read_exact(&mut got).and_then(|()| stream.write_all(&got));
                        return done.ok().map(|()| peer.ip().to_canonical());
                    }
                    Err(_) if over.load(Ordering::Relaxed) => return None,
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        });
        let client = || {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"ping")?;
            stream.read_exact(&mut [0; 4])
        };
        let answered: std::io::Result<()> = lab.within(from, client);
        over.store(true, Ordering::Relaxed);
        serving.join().expect("the server is done").filter(|_| answered.is_ok())
    })
}

/// Binds; again for a while, since a process that another test just started has our sockets open until it runs its program.
pub(crate) fn bound<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    for _ in 0..500 {
        match bind() {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => std::thread::sleep(PAUSE),
            bound => return bound.expect("bound"),
        }
    }
    panic!("the port stays in use")
}

/// A datagram there and one back, as [`tcp`].
pub(crate) fn udp(lab: &Lab, from: &str, to: SocketAddr, server: &str, inside: u16) -> Option<IpAddr> {
    let client = lab.within(from, || UdpSocket::bind((any(to), 0))).expect("a client");
    udp_by(&client, lab, to, server, inside)
}

/// The same from a socket that there is.
pub(crate) fn udp_by(client: &UdpSocket, lab: &Lab, to: SocketAddr, server: &str, inside: u16) -> Option<IpAddr> {
    let server = lab.within(server, || bound(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, inside))));
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.send_to(b"ping", to).ok()?;
    let mut got = [0; 8];
    let (length, peer) = server.recv_from(&mut got).ok()?;
    server.send_to(&got[..length], peer).ok()?;
    let (back, sender) = client.recv_from(&mut got).ok()?;
    assert_eq!((back, sender), (4, to), "the answer comes from where the question went");
    Some(peer.ip().to_canonical())
}

/// The unspecified address of the same family.
pub(crate) fn any(of: SocketAddr) -> IpAddr {
    if of.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// `text` as an address with a port.
#[track_caller]
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is an address with a port"))
}
