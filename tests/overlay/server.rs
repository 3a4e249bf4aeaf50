//! A server among its users: asked by `status`, told by signals, heard in its journal, replaced when it died.

use crate::lifecycle::{Running, serve, started};
use crate::room::{AT_ONCE, OVL_MOUNT, Room, alive, eventually, room};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Stdio;
use testkit::need;

const OPTIONS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

fn asked(room: &Room, target: &str) -> serde_json::Value {
    let said = room.ovl_mount(&["status", "--json", target]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    serde_json::from_str(&said.out).expect("JSON")
}

fn tell(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("kill");
}

/// contract O11
#[test]
fn status_says_what_is_served_and_how() {
    need!(root, fuse);
    room(|room| {
        let said = room.ovl_mount(&[
            "--driver",
            "fuse",
            "--control",
            "socket",
            "-o",
            &format!("{OPTIONS},noatime,timeout=5"),
            "m",
        ]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let path = |name: &str| room.path(name).display().to_string();
        let status = asked(room, "m");
        assert_eq!(status["mount_point"], path("m").as_str());
        assert_eq!(status["driver"], "fuse");
        assert_eq!(status["lower"], serde_json::json!([path("high"), path("low")]));
        assert_eq!((&status["upper"], &status["work"]), (&path("u").into(), &path("w").into()));
        assert_eq!(status["options"], serde_json::json!(["noatime", "timeout=5"]));
        assert_eq!((&status["read_only"], &status["log"]), (&false.into(), &serde_json::json!([])));
        let nodes = status["statistics"]["nodes"].as_u64().expect("a number");
        for name in 0..20 {
            room.file(format!("m/file-{name}"), "");
        }
        assert!(asked(room, "m")["statistics"]["nodes"].as_u64() >= Some(nodes + 20));
        room.file("m/both", "written");
        assert_eq!(asked(room, "m")["statistics"]["copy_ups"], 1);
        // The socket says the same; what the mount's own table adds is not known there.
        assert_eq!(asked(room, "socket")["pid"], status["pid"]);
        let text = room.ovl_mount(&["status", "m"]).out;
        assert!(text.starts_with(&format!("mount point  {}\ndriver       fuse\n", path("m"))), "{text}");
        room.umount("m");
        eventually("the socket goes", AT_ONCE, || !room.has("socket"));
        let said = room.ovl_mount(&["status", "m"]);
        let hint = "hint: name a mount point, or the socket of --control\n";
        assert_eq!((said.code, said.err), (1, format!("ovl-mount: status of m: nothing is mounted there\n{hint}")));
    });
}

#[test]
fn status_of_the_kernels_overlay_is_what_its_table_says() {
    need!(root, overlay);
    room(|room| {
        room.mounts(&["--driver", "kernel", "-o", &format!("{OPTIONS},ro"), "m"]);
        let status = asked(room, "m");
        assert_eq!((&status["driver"], &status["read_only"]), (&"kernel".into(), &true.into()));
        let upper = format!("upperdir={}", room.path("u").display());
        assert!(status["options"].as_array().expect("options").contains(&upper.into()), "{status}");
    });
}

/// contract O10
///
/// As fuse-overlayfs does; there only a line on stderr is to be had.
#[test]
fn a_signal_prints_statistics() {
    need!(root, fuse);
    room(|room| {
        let mut command = room.command(OVL_MOUNT);
        command.args(["-f", "--driver", "fuse", "-o", OPTIONS, "m"]).stdout(Stdio::null());
        command.stderr(std::fs::File::create(room.path("said")).expect("a file"));
        let mut child = Running(command.spawn().expect("ovl-mount runs"));
        eventually("the mount", AT_ONCE * 5, || room.has("m/both"));
        child.signal(Signal::SIGUSR1);
        eventually("a line", AT_ONCE, || room.read("said").contains(" nodes "));
        let said = room.read("said");
        assert!(said.starts_with("ovl-mount: ") && said.contains("requests (") && said.contains("lookup "), "{said}");
        tell(asked(room, "m")["pid"].as_i64().expect("a pid") as i32, Signal::SIGUSR1);
        eventually("another", AT_ONCE, || room.read("said").lines().count() == 2);
        assert_eq!(asked(room, "m")["log"].as_array().map(Vec::len), Some(2));
        child.signal(Signal::SIGTERM);
        assert_eq!(child.ends(), Some(0));
        assert!(room.mounted("m").is_empty());
    });
}

#[test]
fn in_the_background_words_go_into_a_file() {
    need!(root, fuse);
    room(|room| {
        room.file("journal", "before\n");
        room.mounts(&["--driver", "fuse", "--log", "journal", "-o", OPTIONS, "m"]);
        tell(asked(room, "m")["pid"].as_i64().expect("a pid") as i32, Signal::SIGUSR1);
        eventually("a line", AT_ONCE, || room.read("journal").lines().count() == 2);
        let text = room.read("journal");
        let line = text.strip_prefix("before\n20").expect("it is added to");
        assert!(line.get(17..20) == Some("Z b") && line.contains(" nodes 1,"), "{line}");
        room.umount("m");
        let said = room.ovl_mount(&["--driver", "fuse", "--log", "no/where", "-o", OPTIONS, "m"]);
        assert_eq!((said.code, said.err.as_str()), (1, "ovl-mount: log no/where: no such file or directory\n"));
    });
}

/// contract O10
///
/// In every namespace that shows it, though the server is in none of them.
#[test]
fn a_server_that_is_told_to_end_takes_the_mount_along() {
    need!(root, fuse);
    room(|room| {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let server = serve(room);
            room.folder("elsewhere");
            let script = "mount --bind m elsewhere && touch ready && exec sleep 600";
            let mut command = room.command("unshare");
            command.args(["-m", "--propagation", "private", "sh", "-c", script]);
            let other = Running(command.spawn().expect("unshare runs"));
            eventually("the other namespace", AT_ONCE * 3, || room.has("ready"));
            room.file("m/written", "whole");
            tell(server, signal);
            eventually("the server ends", AT_ONCE * 4, || !alive(server));
            assert!(room.mounted("m").is_empty());
            let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", other.0.id())).expect("its mounts");
            assert!(!table.contains("fuse.ovl-mount") || !table.contains(&room.dir.display().to_string()), "{table}");
            assert_eq!(room.read("u/written"), "whole");
            std::fs::remove_file(room.path("ready")).expect("removed");
        }
    });
}

#[test]
fn who_has_files_open_does_not_keep_a_server_that_is_told_to_end() {
    need!(root, fuse);
    room(|room| {
        let server = serve(room);
        let open = std::fs::File::open(room.path("m/both")).expect("a file");
        tell(server, Signal::SIGTERM);
        eventually("it is out of sight", AT_ONCE, || room.mounted("m").is_empty());
        eventually("the server ends", AT_ONCE * 4, || !alive(server));
        drop(open);
        // The upper is free again.
        room.mounts(&["--driver", "fuse", "-o", OPTIONS, "m"]);
    });
}

#[test]
fn a_dead_servers_mount_is_replaced_when_asked() {
    need!(root, fuse);
    room(|room| {
        let server = serve(room);
        room.file("m/new", "new");
        tell(server, Signal::SIGKILL);
        eventually("the server ends", AT_ONCE, || !alive(server));
        let said = room.ovl_mount(&["status", "m"]);
        assert_eq!(said.code, 1);
        assert!(
            said.err.starts_with("ovl-mount: status of m: no server answers\nhint: its server is dead"),
            "{}",
            said.err
        );
        let said = room.ovl_mount(&["--replace", "-v", "--driver", "fuse", "-o", OPTIONS, "m"]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.err.starts_with("ovl-mount: took away a mount whose server was dead: m\n"), "{}", said.err);
        assert_eq!((room.read("m/new").as_str(), room.mounted("m").len()), ("new", 1));
        // One that is alive stays: the new one is mounted over it.
        room.folder("u2");
        let said = room.ovl_mount(&["--replace", "--driver", "fuse", "-o", "lowerdir=low,upperdir=u2,workdir=w2", "m"]);
        assert_eq!((said.code, room.mounted("m").len()), (0, 2), "{}", said.err);
    });
}

/// contract O11
///
/// Only its own user and root.
#[test]
fn strangers_are_told_nothing() {
    need!(root, fuse, user, "setpriv");
    room(|room| {
        let mut running = started(room, &["-f", "--driver", "fuse", "-o", OPTIONS, "m"], "m/both");
        let (user, nobody) = (testkit::user::NAME, "nobody");
        let binary = room.path("ovl-mount");
        testkit::program_of(OVL_MOUNT.as_ref(), &binary);
        for name in [user, nobody] {
            let said = room.sh(&format!("setpriv --reuid {name} --clear-groups ./ovl-mount status m"));
            let expected = "ovl-mount: permission denied\nhint: ask as the user who mounted it, or as root\n";
            assert_eq!((said.code, said.err.as_str()), (1, expected));
        }
        running.signal(Signal::SIGTERM);
        assert_eq!(running.ends(), Some(0));
    });
}
