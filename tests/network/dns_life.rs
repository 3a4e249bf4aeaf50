//! A name server's life: it comes with the first container, follows what changes, survives what happens, and goes.

use crate::dns_client::{A, Client};
use crate::lab::{Lab, lab};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::need;

const SERVER: &str = "10.9.0.1";

fn server() -> IpAddr {
    SERVER.parse().expect("an address")
}

fn network(lab: &Lab) {
    lab.netwire("network create web --subnet 10.9.0.0/24");
    lab.container("c1");
    lab.attach("--network web --netns c1 --id c1 --name db");
}

/// The server's process, if it runs.
fn process(lab: &Lab) -> Option<i32> {
    let status: serde_json::Value =
        serde_json::from_str(&lab.netwire("dns status --network web --json")).expect("JSON");
    assert_eq!(status["running"].as_bool(), Some(!status["pid"].is_null()));
    status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

/// Whether it lives; nobody may have taken note of its end yet.
fn is_there(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits until the process is gone; on a busy machine long.
#[track_caller]
fn await_end(process: i32) {
    let until = Instant::now() + Duration::from_secs(60);
    while is_there(process) {
        assert!(Instant::now() < until, "process {process} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kill(process: i32) {
    let pid = rustix::process::Pid::from_raw(process).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}

#[test]
fn it_comes_with_the_first_container_and_goes_after_the_last() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        assert_eq!(process(lab), None);
        for name in ["c1", "c2"] {
            lab.container(name);
            lab.attach(&format!("--network web --netns {name} --id {name}"));
        }
        let first = process(lab).expect("a server");
        lab.netwire("detach --network web --id c1");
        assert_eq!(process(lab), Some(first));
        // The last one dies without a word, and takes its names with it.
        lab.sh("ip netns del c2");
        await_end(first);
        assert_eq!(process(lab), None);
        lab.attach("--network web --netns c1 --id c1");
        let second = process(lab).expect("a server");
        assert_eq!(lab.asks("c1", SERVER, "c2", A), "NXDOMAIN");
        lab.netwire("detach --network web --id c1");
        lab.netwire("network rm web");
        await_end(second);
        let left = lab.sh("ls /run/state/networks/run");
        assert!(!left.contains(".dns"), "{left}");
    });
}

#[test]
fn it_has_no_rights_and_holds_nothing() {
    need!(root, "ip");
    lab(|lab| {
        // What who attaches has open and mounted is not the server's: a pipe of theirs would never end.
        lab.sh("mkdir /run/busy; mount -t tmpfs none /run/busy");
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.container("c1");
        let attach = format!(
            "{} --state /run/state attach --network web --netns c1 --id c1 7>&1 8>/run/busy/file",
            env!("CARGO_BIN_EXE_netwire")
        );
        let printed = lab.sh(&attach);
        assert!(printed.contains("\"dns\":[\"10.9.0.1\"]"), "{printed}");
        let process = process(lab).expect("a server");
        lab.asks("c1", SERVER, "c1", A);
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
        for line in
            ["CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"]
        {
            assert!(status.contains(line), "{line} is not in: {status}");
        }
        let mounts = std::fs::read_to_string(format!("/proc/{process}/mountinfo")).expect("its mounts");
        assert!(!mounts.contains("/run/busy"), "{mounts}");
        assert!(mounts.lines().all(|line| line.contains(" ro,")), "{mounts}");
        lab.sh("umount /run/busy");
        // Idle means idle: once it has done what there was to do nothing wakes it up.
        let switches = || {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
            let line = status.lines().find(|line| line.starts_with("voluntary")).map(str::to_owned);
            line.expect("a count")
        };
        let idle = || {
            let before = switches();
            std::thread::sleep(Duration::from_secs(1));
            switches() == before
        };
        assert!((0..20).any(|_| idle()), "{}", switches());
    });
}

#[test]
fn killed_it_comes_back_with_the_next_attach() {
    need!(root, "ip");
    lab(|lab| {
        network(lab);
        let first = process(lab).expect("a server");
        kill(first);
        await_end(first);
        assert_eq!(process(lab), None);
        lab.container("c2");
        lab.attach("--network web --netns c2 --id c2");
        assert_ne!(process(lab).expect("a server"), first);
        assert_eq!(lab.asks("c2", SERVER, "db", A), "NOERROR 10.9.0.2");
        let second = process(lab).expect("a server");
        kill(second);
        await_end(second);
        let printed: serde_json::Value = serde_json::from_str(&lab.netwire("dns serve --network web")).expect("JSON");
        assert_eq!(printed["addresses"], serde_json::json!([SERVER]));
        assert_eq!(lab.asks("c2", SERVER, "db", A), "NOERROR 10.9.0.2");
        lab.netwire("dns stop --network web");
        lab.netwire("dns stop --network web");
        assert_eq!(process(lab), None);
    });
}

#[test]
fn in_front_it_serves_until_it_is_told_to_end() {
    need!(root, "ip");
    lab(|lab| {
        network(lab);
        lab.refused("dns serve --network web -f", 1, "it runs already as process", "netwire dns stop --network web");
        lab.netwire("dns stop --network web");
        let mut front = lab.command("dns serve --network web -f").stdout(Stdio::piped()).spawn().expect("runs");
        let mut line = String::new();
        let stdout = front.stdout.take().expect("its stdout");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
        assert!(line.contains("\"running\":true"), "{line}");
        assert_eq!(lab.asks("c1", SERVER, "db", A), "NOERROR 10.9.0.2");
        lab.netwire("dns stop --network web");
        assert!(front.wait().expect("its end").success());
        // It stays while nobody is there, and through a bridge that is made anew.
        let mut front = lab.command("dns serve --network web -f").stdout(Stdio::null()).spawn().expect("runs");
        lab.netwire("detach --network web --id c1");
        let bridge = lab.links().into_iter().find(|name| name.starts_with("vn-")).expect("a bridge");
        lab.sh(&format!("ip link del {bridge}"));
        std::thread::sleep(Duration::from_secs(6));
        lab.attach("--network web --netns c1 --id c1 --name again");
        assert_eq!(lab.asks("c1", SERVER, "again", A), "NOERROR 10.9.0.2");
        assert_eq!(process(lab), i32::try_from(front.id()).ok());
        lab.netwire("detach --network web --id c1");
        lab.netwire("network rm web");
        assert!(front.wait().expect("its end").success());
        lab.refused("dns serve --network bridge", 1, "created without names", "--disable-dns");
        lab.refused("dns serve --network none-such", 1, "no such network", "network ls");
        lab.netwire("network create quiet --disable-dns --subnet 10.10.0.0/24");
        lab.container("c2");
        let attached = lab.attach("--network quiet --netns c2 --id c2");
        assert_eq!(attached["dns"], serde_json::json!([]));
    });
}

#[test]
fn a_port_that_is_taken_is_said_and_no_reason_to_fail() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.container("c1");
        let taken = lab.within("", || std::net::UdpSocket::bind("0.0.0.0:53")).expect("a socket");
        let out = lab.command("attach --network web --netns c1 --id c1").output().expect("netwire runs");
        let (stdout, stderr) = crate::lab::text(&out);
        assert!(out.status.success() && stdout.contains("\"dns\":[]"), "{stdout}{stderr}");
        assert!(stderr.contains("port 53 of 10.9.0.1 is taken"), "{stderr}");
        drop(taken);
        let attached = lab.attach("--network web --netns c1 --id c1");
        assert_eq!(attached["dns"], serde_json::json!([SERVER]));
    });
}

#[test]
fn a_damaged_book_leaves_the_last_good_one() {
    need!(root, "ip");
    lab(|lab| {
        network(lab);
        let book = "/run/state/networks/run/web.json";
        let good = std::fs::read(book).expect("the book");
        assert_eq!(lab.asks("c1", SERVER, "db", A), "NOERROR 10.9.0.2");
        std::fs::write(book, "{\"boot\":").expect("damaged in place");
        assert_eq!(lab.asks("c1", SERVER, "db", A), "NOERROR 10.9.0.2");
        std::fs::write("/run/half", &good[..good.len() / 2]).expect("written");
        std::fs::rename("/run/half", book).expect("damaged by rename");
        assert_eq!(lab.asks("c1", SERVER, "db", A), "NOERROR 10.9.0.2");
        let renamed = String::from_utf8(good).expect("text").replace("\"db\"", "\"other\"");
        std::fs::write("/run/whole", renamed).expect("written");
        std::fs::rename("/run/whole", book).expect("mended");
        assert_eq!(lab.asks("c1", SERVER, "other", A), "NOERROR 10.9.0.2");
        assert_eq!(lab.asks("c1", SERVER, "db", A), "NXDOMAIN");
        std::fs::remove_file(book).expect("removed");
        assert_eq!(lab.asks("c1", SERVER, "other", A), "NXDOMAIN");
    });
}

/// Asks for `db` without a pause until told to stop; every question must be answered, and rightly. How many there were.
fn stream(over: &AtomicBool) -> usize {
    let mut client = Client::of(server());
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        let answer = client.ask("db", A, None);
        assert_eq!(answer.expect("no answer is lost"), "NOERROR 10.9.0.2", "after {count}");
        count += 1;
    }
    count
}

/// Runs `body` while two clients in `c1` ask all the time.
fn while_asked(lab: &Lab, body: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..2).map(|_| scope.spawn(|| lab.within("c1", || stream(&over)))).collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        over.store(true, Ordering::Relaxed);
        let counts = streams.into_iter().map(|stream| stream.join().expect("all were answered")).sum();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        counts
    })
}

#[test]
fn no_question_is_lost_and_none_answered_wrongly_while_containers_come_and_go() {
    need!(root, "ip");
    lab(|lab| {
        network(lab);
        for n in 0..4 {
            lab.container(&format!("n{n}"));
        }
        let asked = while_asked(lab, || {
            for round in 0..10 {
                for n in 0..4 {
                    let id = format!("n{n}");
                    let attached = lab.attach(&format!("--network web --netns {id} --id {id} --name r{round}{id}"));
                    let address = crate::lab::address(&attached);
                    // What was attached is known when attach returns, and what was detached is not.
                    assert_eq!(lab.asks("c1", SERVER, &format!("r{round}{id}"), A), format!("NOERROR {address}"));
                }
                for n in 0..4 {
                    lab.netwire(&format!("detach --network web --id n{n}"));
                    assert_eq!(lab.asks("c1", SERVER, &format!("r{round}n{n}"), A), "NXDOMAIN");
                }
            }
        });
        assert!(asked > 200, "{asked} questions");
    });
}

#[test]
fn the_program_is_replaced_without_a_lost_question() {
    need!(root, "ip");
    lab(|lab| {
        network(lab);
        let first = process(lab).expect("a server");
        let asked = while_asked(lab, || {
            let mut last = first;
            for round in 0..4 {
                // Another file is another build.
                let newer = format!("/run/netwire{round}");
                std::fs::copy(env!("CARGO_BIN_EXE_netwire"), &newer).expect("copied");
                let attach = ["--state", "/run/state", "attach", "--network", "web", "--netns", "c1", "--id", "c1"];
                let run = || Command::new(&newer).args(attach).args(["--name", "db"]).output();
                // A program that another test starts just now may hold the file for a moment as it was written.
                let mut tried = run();
                for _ in 0..200 {
                    if !tried.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ExecutableFileBusy) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                    tried = run();
                }
                let out = tried.expect("netwire runs");
                assert!(out.status.success(), "{out:?}");
                let next = process(lab).expect("a server");
                assert_ne!(next, last);
                await_end(last);
                last = next;
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        assert!(asked > 20, "{asked} questions");
    });
}

#[test]
fn many_who_attach_at_once_start_one() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        let names: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
        names.iter().for_each(|name| lab.container(name));
        let mut attaching: Vec<_> = names
            .iter()
            .map(|name| {
                let line = format!("attach --network web --netns {name} --id {name}");
                lab.command(&line).stdout(Stdio::null()).spawn().expect("netwire runs")
            })
            .collect();
        attaching.iter_mut().for_each(|child| assert!(child.wait().expect("its end").success()));
        for name in &names {
            assert!(lab.asks("c0", SERVER, name, A).starts_with("NOERROR 10.9.0."), "{name}");
        }
        let mine = std::fs::read_link("/proc/thread-self/ns/net").expect("our namespace");
        let here = |entry: std::fs::DirEntry| {
            let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
            let same = std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == mine);
            (same && cmdline.contains(" dns serve ")).then_some(cmdline)
        };
        let servers: Vec<String> = std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(here).collect();
        assert_eq!(servers.len(), 1, "{servers:?}");
    });
}

/// `kill -9` of an attach at each point of starting a server: whatever was left, the next attach has one that answers.
#[test]
fn an_attach_killed_anywhere_leaves_no_second_server_and_the_next_has_one() {
    need!(root, "ip", "strace");
    for n in 1..20 {
        let mut through = false;
        lab(|lab| {
            lab.netwire("network create web --subnet 10.9.0.0/24");
            for name in ["c1", "c2"] {
                lab.container(name);
            }
            let calls = "openat,flock,bind,listen,clone,vfork,clone3,pwrite64,ftruncate,fcntl";
            let status = Command::new("strace")
                .args(["-qq", "-o", "/run/trace", "-P", &record(lab), "-e", &format!("trace={calls}")])
                .args(["-e", &format!("inject={calls}:signal=KILL:when={n}"), env!("CARGO_BIN_EXE_netwire")])
                .args("attach --network web --netns c1 --id c1".split(' '))
                .env("VENEER_ROOT", &lab.root)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("strace runs");
            through = status.success();
            lab.attach("--network web --netns c2 --id c2");
            assert_eq!(lab.asks("c2", SERVER, "c2", A).split(' ').next(), Some("NOERROR"), "killed at {n}");
            assert!(process(lab).is_some(), "killed at {n}");
        });
        if through {
            assert!(n > 3, "only {n} points");
            return;
        }
    }
    panic!("it never came through");
}

/// Where the server's record will be.
fn record(lab: &Lab) -> String {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata("/proc/thread-self/ns/net").expect("our namespace").ino();
    lab.root.join(format!("networks/run/web.{inode}.dns")).display().to_string()
}

/// Another name is known when `rename` has returned, on every network of the container, and no packet of it is lost.
#[test]
fn a_container_gets_another_name_without_losing_a_packet() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.netwire("network create back --subnet 10.10.0.0/24");
        for name in ["c1", "c2"] {
            lab.container(name);
            lab.attach(&format!("--network web --netns {name} --id {name} --name n{name} --alias a{name}"));
            lab.attach(&format!("--network back --netns {name} --id {name} --name n{name} --ifname eth1"));
        }
        let inside = || lab.sh("ip -n c1 -o link; ip -n c1 -4 -o addr; ip -n c1 route; ip -o link show type veth");
        let before = inside();
        let pings = std::process::Command::new("nsenter")
            .args(["--net=/run/netns/c2", "busybox", "ping", "-c", "100", "-i", "0.01", "-W", "2", "10.9.0.2"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ping runs");
        for round in 0..5 {
            let told = lab.netwire(&format!("rename --id c1 other{round}"));
            assert_eq!(told.lines().count(), 2, "{told}");
            for (server, address) in [("10.9.0.1", "10.9.0.2"), ("10.10.0.1", "10.10.0.2")] {
                assert_eq!(lab.asks("c2", server, &format!("other{round}"), A), format!("NOERROR {address}"));
            }
            assert_eq!(lab.asks("c2", SERVER, "nc1", A), "NXDOMAIN");
            assert_eq!(lab.asks("c2", SERVER, "ac1", A), "NOERROR 10.9.0.2", "it keeps its other names");
        }
        let out = pings.wait_with_output().expect("ping ends");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains("100 packets received"), "{said}");
        assert_eq!(inside(), before, "nothing was made anew");
        lab.netwire("rename --id c1 --network back --alias b1 --alias b2 last");
        assert_eq!(lab.asks("c2", "10.10.0.1", "b2", A), "NOERROR 10.10.0.2");
        assert_eq!(lab.asks("c2", "10.10.0.1", "last", A), "NOERROR 10.10.0.2");
        // Nobody's name, and no name.
        assert_eq!(lab.netwire("rename --id nobody x"), "");
        lab.refused(
            "rename --id c1 --network bach x",
            1,
            "find network bach: no such network",
            "network ls lists them",
        );
        lab.refused("rename --id c1 a..b", 2, "`a..b` is no name", "");
    });
}
