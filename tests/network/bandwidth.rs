//! Limits of a container's interface, by what comes through. Bounds are wide: buckets are exact, machines that run tests are not.

use crate::lab::{Lab, address, lab};
use crate::publishing::bound;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use testkit::need;

const TRAFFIC: Duration = Duration::from_millis(800);

/// Bytes a second that come through from `from` to `to` in `server`; far more is sent than any limit here lets through.
pub(crate) fn throughput(lab: &Lab, from: &str, server: &str, to: IpAddr) -> f64 {
    let receiver = lab.within(server, || bound(|| UdpSocket::bind("0.0.0.0:7000")));
    receiver.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let sender = lab.within(from, || UdpSocket::bind("0.0.0.0:0")).expect("a client");
    sender.connect(SocketAddr::new(to, 7000)).expect("a way");
    std::thread::scope(|scope| {
        let counting = scope.spawn(move || {
            let (mut bytes, mut buffer) = (0, [0; 2048]);
            let started = Instant::now();
            while started.elapsed() < TRAFFIC {
                bytes += receiver.recv(&mut buffer).unwrap_or(0);
            }
            bytes as f64 / started.elapsed().as_secs_f64()
        });
        let started = Instant::now();
        while started.elapsed() < TRAFFIC {
            let _ = sender.send(&[0; 1000]);
        }
        counting.join().expect("counted")
    })
}

#[test]
fn each_direction_has_its_own_limit() {
    need!(root, "ip", "busybox");
    for driver in ["bridge", "ptp"] {
        lab(|lab| {
            lab.netwire(&format!("network create slow -d {driver} --subnet 10.80.0.0/24"));
            lab.container("c1");
            let limits = "--rate-in 2mbit --burst-in 20k --rate-out 4mbit --burst-out 20k";
            let line = format!("--network slow --netns c1 --id c1 {limits}");
            let one = address(&lab.attach(&line));
            lab.attach(&line);
            let gateway: IpAddr = [10, 80, 0, 1].into();
            let (inward, outward) = (throughput(lab, "", "c1", one), throughput(lab, "c1", "", gateway));
            // 250 and 500 kB a second, and the burst.
            assert!((80_000.0..420_000.0).contains(&inward), "{driver}: {inward}");
            assert!((160_000.0..800_000.0).contains(&outward), "{driver}: {outward}");
            // A queue that is full makes nobody wait long: 20 kB at 250 kB a second, and what may wait behind.
            let ping = format!("nsenter --net=/run/netns/c1 busybox ping -c 1 -W 5 {gateway}");
            let waited_ms = lab.sh(&format!("{ping} | sed -n 's/.* time=\\([0-9]*\\).*/\\1/p'"));
            assert!(waited_ms.trim().parse::<u32>().is_ok_and(|ms| ms < 1000), "{waited_ms} ms");
            // Attached anew without limits it has none.
            lab.attach("--network slow --netns c1 --id c1");
            let free = (throughput(lab, "", "c1", one), throughput(lab, "c1", "", gateway));
            assert!(free.0 > 3.0 * inward && free.1 > 3.0 * outward, "{driver}: {inward} {outward} {free:?}");
            assert_eq!(ifbs(lab), 0);
        });
    }
}

#[test]
fn no_ifb_stays_behind() {
    need!(root, "ip");
    lab(|lab| {
        let attach = |id: &str, more: &str| {
            lab.container(id);
            lab.attach(&format!("--network bridge --netns {id} --id {id} --rate-out 4mbit {more}"))
        };
        attach("c1", "");
        assert_eq!(ifbs(lab), 1);
        lab.netwire("detach --network bridge --id c1");
        assert_eq!(ifbs(lab), 0);
        // A container that dies without a word: its link goes with its namespace, the ifb with the lease.
        attach("c2", "--ip 172.17.0.9");
        lab.sh("ip netns del c2; while ip -o link show type veth | grep -q veth; do sleep 0.05; done");
        assert_eq!(ifbs(lab), 1);
        attach("c3", "--ip 172.17.0.9");
        assert_eq!(ifbs(lab), 1);
        lab.netwire("detach --network bridge --id c3");
        assert_eq!(ifbs(lab), 0);
        attach("c4", "");
        lab.sh("ip netns del c4; while ip -o link show type veth | grep -q veth; do sleep 0.05; done");
        lab.netwire("network rm bridge");
        assert_eq!(lab.links(), Vec::<String>::new());
    });
}

#[test]
fn what_has_no_end_outside_is_refused() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.netwire("network create street -d macvlan -o parent=uplink --subnet 198.51.100.0/24");
        lab.container("c1");
        let line = "attach --network street --netns c1 --id c1 --rate-in 1mbit";
        lab.refused(line, 1, "driver macvlan has no end outside", "bridge or ptp");
        lab.refused("attach --network x --netns c1 --id c1 --rate-in fast", 2, "`fast` is no rate", "");
    });
}

#[test]
fn links_are_as_those_made_by_hand() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        lab.container("c2");
        lab.attach("--network bridge --netns c1 --id c1");
        lab.sh("ip link add byhand type bridge; ip link set byhand up
             ip link add vethbyhand type veth peer name eth0 netns c2; ip link set vethbyhand master byhand up
             ip -n c2 link set eth0 up");
        // Not how many queues there is room for: of those by hand too the kernel uses one (veth_init_queues).
        let shape = |links: &str| -> Vec<String> {
            let text = lab.sh(&format!("ip {links} -j -d link show"));
            let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
            let keys = [
                "mtu",
                "qdisc",
                "txqlen",
                "gso_max_size",
                "gso_max_segs",
                "tso_max_size",
                "tso_max_segs",
                "gro_max_size",
                "promiscuity",
                "min_mtu",
                "max_mtu",
            ];
            let of = |link: &serde_json::Value| keys.map(|key| format!("{key} {}", link[key])).join(", ");
            let mut shapes: Vec<String> = all.iter().filter(|l| l["ifname"] != "lo").map(of).collect();
            shapes.sort();
            shapes
        };
        assert_eq!(shape("-n c1"), shape("-n c2"));
        let outside = shape("");
        assert_eq!(outside.len(), 4, "{outside:?}");
        assert_eq!((&outside[0], &outside[2]), (&outside[1], &outside[3]), "two bridges, two outer ends");
    });
}

fn ifbs(lab: &Lab) -> usize {
    lab.sh("ip -o link show type ifb").lines().count()
}
