//! Bandwidth as a library function, on a veth pair between two namespaces of the test's own.

use network::bandwidth::{self, Bandwidth, Limit};
use network::link::{self, Link};
use network::namespace::{Namespace, Reference};
use network::socket::Socket;
use nix::sched::{CloneFlags, unshare};
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::need;

/// What the sender offers a second, at most; far above every limit here.
const DATAGRAM_BYTES: usize = 1000;
const TRAFFIC: Duration = Duration::from_millis(700);

fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).status().expect("ip runs");
    assert!(done.success(), "ip {line}");
}

/// Bytes a second that come through from `from` to `to`, in order of the namespaces here and there.
fn throughput(here: &Namespace, there: &Namespace, to: &str) -> f64 {
    let server = there.within(|| UdpSocket::bind("0.0.0.0:7000")).expect("entered").expect("a server");
    server.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let client = here.within(|| UdpSocket::bind("0.0.0.0:0")).expect("entered").expect("a client");
    client.connect((to, 7000)).expect("a way");
    std::thread::scope(|scope| {
        let counting = scope.spawn(move || {
            let (mut bytes, mut buffer) = (0, [0; 2048]);
            let started = Instant::now();
            while started.elapsed() < TRAFFIC {
                bytes += server.recv(&mut buffer).unwrap_or(0);
            }
            bytes as f64 / started.elapsed().as_secs_f64()
        });
        let started = Instant::now();
        while started.elapsed() < TRAFFIC {
            // A full queue is what is looked for.
            let _ = client.send(&[0; DATAGRAM_BYTES]);
        }
        counting.join().expect("counted")
    })
}

#[test]
fn each_direction_has_its_own_limit() {
    need!(root, "ip");
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        let here = Namespace::own().expect("own");
        let there = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            let own = Namespace::own().expect("own");
            let tid = nix::unistd::gettid();
            let held = Namespace::open(&Reference::Path(format!("/proc/{tid}/ns/net").into())).expect("opened");
            ip("link add inner type veth peer name outer");
            drop(own);
            held
        });
        let there = there.join().expect("made");
        let fd = {
            use std::os::fd::AsRawFd as _;
            std::os::fd::AsFd::as_fd(&here).as_raw_fd()
        };
        let own = format!("/proc/{}/fd/{fd}", std::process::id());
        there
            .within(|| {
                ip(&format!("link set outer netns {own}"));
                ip("addr add 10.7.0.2/24 dev inner");
                ip("link set inner up");
                ip("link set lo up")
            })
            .expect("inside");
        ip("addr add 10.7.0.1/24 dev outer");
        ip("link set outer up");
        let mut socket = Socket::open_route().expect("a socket");
        let names = |socket: &mut Socket| -> Vec<String> {
            let all = socket.dump(&link::dump()).expect("sent").expect("links");
            all.iter().filter_map(Link::read).map(|link| link.name).filter(|name| name.starts_with("ifb")).collect()
        };
        let free = (throughput(&here, &there, "10.7.0.2"), throughput(&there, &here, "10.7.0.1"));

        let limit = |rate_bits| Some(Limit { rate_bits, burst_bits: Some(20_000 * 8) });
        let both = Bandwidth { inward: limit(2_000_000), outward: limit(4_000_000) };
        for _ in 0..2 {
            bandwidth::apply(&mut socket, "outer", &both).expect("applied");
        }
        let limited = (throughput(&here, &there, "10.7.0.2"), throughput(&there, &here, "10.7.0.1"));
        // 250 and 500 kB/s, with the burst in the first second.
        assert!((100_000.0..400_000.0).contains(&limited.0), "{limited:?}");
        assert!((250_000.0..700_000.0).contains(&limited.1), "{limited:?}");
        assert!(free.0 > 4.0 * limited.0 && free.1 > 4.0 * limited.1, "{free:?} {limited:?}");
        let (inward, outward) = bandwidth::read(&mut socket, "outer").expect("read");
        assert_eq!((inward.map(|b| b.rate_bytes), outward.map(|b| b.rate_bytes)), (Some(250_000), Some(500_000)));
        assert_eq!(names(&mut socket), [bandwidth::ifb_name("outer")]);
        assert_eq!(bandwidth::sweep(&mut socket).expect("swept"), Vec::<String>::new());

        // What is not limited any more is as it was.
        bandwidth::apply(&mut socket, "outer", &Bandwidth { outward: None, ..both }).expect("applied");
        assert_eq!(names(&mut socket), Vec::<String>::new());
        bandwidth::apply(&mut socket, "outer", &both).expect("applied");
        bandwidth::remove(&mut socket, "outer").expect("removed");
        bandwidth::remove(&mut socket, "outer").expect("removed again");
        assert_eq!(bandwidth::read(&mut socket, "outer").expect("read"), (None, None));

        // The link goes with the other namespace, the ifb is swept.
        bandwidth::apply(&mut socket, "outer", &both).expect("applied");
        ip("link del outer");
        assert_eq!(bandwidth::sweep(&mut socket).expect("swept"), [bandwidth::ifb_name("outer")]);
        assert_eq!(names(&mut socket), Vec::<String>::new());
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
