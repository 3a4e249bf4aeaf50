//! The outer namespace a test lives in, the containers within, and their packets.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// How long a packet may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_millis(700);

/// Returns from a test that only the virtual machine's kernel can show: `tests/vm` runs it there.
macro_rules! guest {
    () => {
        if std::env::var_os("VENEER_GUEST").is_none() {
            return;
        }
    };
}
pub(crate) use guest;

/// The outer namespace of one test. Made by [`lab`].
pub(crate) struct Lab {
    /// Where `VENEER_ROOT` points.
    pub(crate) root: PathBuf,
}

/// Runs `body` on a thread in network and mount namespaces of its own.
pub(crate) fn lab(body: impl FnOnce(&Lab) + Send) {
    let ended = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces of our own");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
            mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("an empty /run");
            std::fs::create_dir("/run/netns").expect("/run/netns");
            let lab = Lab { root: "/run/state".into() };
            lab.sh("ip link set lo up");
            // A namespace begins with the machine's IPv4 settings, so whether that forwards would show in here.
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("no forwarding");
            body(&lab);
        });
        inside.join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

impl Lab {
    /// `netwire` with words split at spaces.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netwire"));
        command.args(line.split_whitespace()).env("VENEER_ROOT", &self.root).env_remove("VENEER_RUN");
        command
    }

    /// Runs `netwire`, which must succeed in silence, and gives its stdout.
    #[track_caller]
    pub(crate) fn netwire(&self, line: &str) -> String {
        let out = self.command(line).output().expect("netwire runs");
        let (stdout, stderr) = text(&out);
        assert!(out.status.success() && stderr.is_empty(), "netwire {line}: {}\n{stdout}{stderr}", out.status);
        if line.starts_with("detach") {
            self.settled();
        }
        stdout
    }

    /// Waits until the kernel has deleted what was detached; nobody else waits for that.
    #[track_caller]
    pub(crate) fn settled(&self) {
        let leaving = || self.sh("cat /run/state/networks/run/*.json 2>/dev/null || :").contains("\"leaving\"");
        for _ in 0..1000 {
            if !leaving() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("what was detached is still there");
    }

    /// Runs `netwire`, which must fail with `code`, print nothing on stdout, and say `message` and (where not empty) `hint`.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str, code: i32, message: &str, hint: &str) {
        let out = self.command(line).output().expect("netwire runs");
        refusal(&out, code, message, hint);
    }

    /// Attaches and gives what was printed.
    #[track_caller]
    pub(crate) fn attach(&self, line: &str) -> serde_json::Value {
        let out = self.netwire(&format!("attach {line}"));
        assert_eq!(out.matches('\n').count(), 1, "one line: {out}");
        serde_json::from_str(&out).expect("JSON")
    }

    /// `network inspect`
    #[track_caller]
    pub(crate) fn inspect(&self, network: &str) -> serde_json::Value {
        serde_json::from_str(&self.netwire(&format!("network inspect {network}"))).expect("JSON")
    }

    /// Runs a shell command here, which must succeed, and gives its stdout.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let out = Command::new("sh").args(["-ec", script]).output().expect("sh runs");
        let (stdout, stderr) = text(&out);
        assert!(out.status.success(), "{script}: {}\n{stdout}{stderr}", out.status);
        stdout
    }

    /// Makes a container's namespace called `name`.
    #[track_caller]
    pub(crate) fn container(&self, name: &str) {
        self.sh(&format!("ip netns add {name}"));
    }

    /// Makes the outside world: a namespace `outside` at 198.51.100.2, linked to ours at 198.51.100.1, which knows of no
    /// container network.
    pub(crate) fn outside(&self) {
        self.sh(
            "ip netns add outside; ip link add uplink type veth peer name eth0 netns outside
             ip addr add 198.51.100.1/24 dev uplink; ip link set uplink up; ip route add default via 198.51.100.2
             ip -n outside addr add 198.51.100.2/24 dev eth0; ip -n outside link set eth0 up; ip -n outside link set lo up",
        );
    }

    /// Gives the outside world IPv6 too: `2001:db8::2`, and us `2001:db8::1`.
    pub(crate) fn outside_v6(&self) {
        self.sh("ip addr add 2001:db8::1/64 dev uplink nodad; ip -n outside addr add 2001:db8::2/64 dev eth0 nodad
             ip route add default via 2001:db8::2");
    }

    /// Runs `work` on a thread in the namespace called `name`, or here for an empty name.
    pub(crate) fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                enter(name);
                work()
            });
            inside.join().expect("the work is done")
        })
    }

    /// Names of the links here, without `lo`.
    pub(crate) fn links(&self) -> Vec<String> {
        let listed = self.sh("ip -o link show");
        let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
        listed.lines().filter_map(name).filter(|name| name != "lo").collect()
    }

    /// What the kernel counted in the namespace called `namespace`, or here for an empty name: `name` of the lines of `group`
    /// in /proc/net/snmp.
    #[track_caller]
    pub(crate) fn counter(&self, namespace: &str, group: &str, name: &str) -> u64 {
        let text = self.within(namespace, || std::fs::read_to_string("/proc/thread-self/net/snmp")).expect("counters");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(": "));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        let found = names.split(' ').zip(values.split(' ')).find(|(found, _)| *found == name);
        found.and_then(|(_, value)| value.parse().ok()).expect("a count")
    }

    /// The whole rule set.
    pub(crate) fn ruleset(&self) -> String {
        self.sh("nft list ruleset")
    }

    /// One echo request from `from` to `to`.
    #[track_caller]
    pub(crate) fn ping(&self, from: &str, to: IpAddr) {
        self.sh(&format!("nsenter --net=/run/netns/{from} busybox ping -c 1 -W 5 {to}"));
    }

    /// Connects from `from` to `to` in `server` and sends data both ways; gives the address the server saw.
    #[track_caller]
    pub(crate) fn connect(&self, from: &str, server: &str, to: IpAddr) -> IpAddr {
        let listener = self.within(server, || TcpListener::bind(anywhere(to)));
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        std::thread::scope(|scope| {
            let serving = scope.spawn(move || {
                // A client that never comes must not keep the test from ending.
                rustix::net::sockopt::set_socket_timeout(
                    &listener,
                    rustix::net::sockopt::Timeout::Recv,
                    Some(PATIENCE * 2),
                )
                .expect("a timeout");
                let (mut stream, peer) = listener.accept().expect("a connection");
                let mut got = [0; 4];
                stream.read_exact(&mut got).expect("data");
                stream.write_all(&got).expect("data back");
                peer.ip()
            });
            self.within(from, || {
                let mut stream =
                    TcpStream::connect_timeout(&SocketAddr::new(to, port), PATIENCE).expect("a way to the server");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                stream.write_all(b"ping").expect("data");
                let mut got = [0; 4];
                stream.read_exact(&mut got).expect("data back");
                assert_eq!(&got, b"ping");
            });
            serving.join().expect("the server is done")
        })
    }

    /// Whether a connection from `from` to `to` in `server` is let through.
    pub(crate) fn reaches(&self, from: &str, server: &str, to: IpAddr) -> bool {
        let listener = self.within(server, || TcpListener::bind(anywhere(to)));
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        self.within(from, || TcpStream::connect_timeout(&SocketAddr::new(to, port), SILENCE).is_ok())
    }
}

/// Every address of the family of `to`, and a port that is free.
fn anywhere(to: IpAddr) -> SocketAddr {
    let all: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(all, 0)
}

fn enter(name: &str) {
    if !name.is_empty() {
        let file = File::open(format!("/run/netns/{name}")).expect("the namespace");
        setns(file, CloneFlags::CLONE_NEWNET).expect("the namespace entered");
    }
}

/// That `out` is a refusal as [`Lab::refused`] says.
#[track_caller]
pub(crate) fn refusal(out: &Output, code: i32, message: &str, hint: &str) {
    let (stdout, stderr) = text(out);
    assert_eq!(out.status.code(), Some(code), "{stdout}{stderr}");
    assert_eq!(stdout, "", "a failure prints no data");
    let mut lines = stderr.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("netwire: ") && first.contains(message), "`{message}` is not in: {stderr}");
    let second = lines.next().unwrap_or_default();
    assert!(hint.is_empty() || (second.starts_with("hint: ") && second.contains(hint)), "`{hint}` is not in: {stderr}");
    assert_eq!(lines.next(), None, "at most two lines: {stderr}");
}

/// stdout and stderr.
pub(crate) fn text(out: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

/// The first address in `attached`, without the prefix.
#[track_caller]
pub(crate) fn address(attached: &serde_json::Value) -> IpAddr {
    nth_address(attached, 0)
}

/// The `n`-th address in `attached`, without the prefix.
#[track_caller]
pub(crate) fn nth_address(attached: &serde_json::Value, n: usize) -> IpAddr {
    let with_prefix = attached["addresses"][n].as_str().expect("an address");
    with_prefix.split('/').next().and_then(|a| a.parse().ok()).expect("an address")
}
