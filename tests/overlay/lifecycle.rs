//! How overlays and their servers end, and what a server holds while it lives.

use crate::room::{AT_ONCE, OVL_MOUNT, Room, alive, eventually, room, with_each_driver};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Stdio};
use testkit::need;

const OPTIONS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

/// Ends a child also when the test fails.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("kill");
    }

    /// Its exit code, once it has ended.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("ovl-mount ends", AT_ONCE * 5, || {
            status = self.0.try_wait().expect("wait");
            status.is_some()
        });
        status.and_then(|s| s.code())
    }
}

/// Starts `ovl-mount` and waits until `name` is there.
#[track_caller]
pub(crate) fn started(room: &Room, args: &[&str], name: &str) -> Running {
    let mut command = room.command(OVL_MOUNT);
    let child =
        Running(command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ovl-mount runs"));
    eventually(name, AT_ONCE * 5, || room.has(name));
    child
}

/// The process id of the server of an overlay on `m`.
pub(crate) fn serve(room: &Room) -> i32 {
    let said = room.ovl_mount(&["--driver", "fuse", "--json", "-o", OPTIONS, "m"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let told: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    told["pid"].as_i64().expect("a pid") as i32
}

/// The file system that something is on.
fn device(path: &std::path::Path) -> u64 {
    std::os::unix::fs::MetadataExt::dev(&path.metadata().expect("it is there"))
}

fn children(pid: u32) -> Vec<(i32, String)> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    list.split_whitespace().map(|pid| (pid.parse().expect("a pid"), name(pid))).collect()
}

/// contract O7
#[test]
fn killing_all_in_the_namespace_takes_the_server_and_the_mount_along() {
    need!(root, fuse);
    room(|room| {
        let script = "touch started; exec sleep 600";
        let child = started(room, &["--driver", "fuse", "-o", OPTIONS, "--", "sh", "-c", script], "u/started");
        let below = children(child.0.id());
        let (server, command): (Vec<_>, Vec<_>) = below.into_iter().partition(|(_, name)| name == "ovl-mount");
        let ([(server, _)], [(command, _)]) = (server.as_slice(), command.as_slice()) else {
            panic!("a server and a command expected below {}", child.0.id());
        };
        child.signal(Signal::SIGKILL);
        kill(Pid::from_raw(*command), Signal::SIGKILL).expect("kill");
        eventually("the server ends", AT_ONCE, || !alive(*server));
        assert!(room.mounted("u.merged").is_empty());
    });
}

/// contract O7
#[test]
fn an_unmount_ends_the_server() {
    need!(root, fuse);
    room(|room| {
        let server = serve(room);
        assert!(alive(server));
        room.umount("m");
        eventually("the server ends", AT_ONCE, || !alive(server));
    });
}

/// contract O8
#[test]
fn a_server_holds_its_layers_and_nothing_else() {
    need!(root, fuse);
    room(|room| {
        room.folder("disk");
        nix::mount::mount(Some("disk"), &room.path("disk"), Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
            .expect("a disk");
        let held = std::fs::File::create(room.path("disk/held")).expect("a file");
        // A descriptor that crosses exec, as a careless caller leaves it.
        let said = room.sh(&format!(
            "exec 9<disk/held; cd disk; $OVL --driver fuse --json -o {} ../m",
            OPTIONS.replace("=", "=../").replace(":", ":../")
        ));
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let told: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let server = told["pid"].as_i64().expect("a pid");
        drop(held);
        room.umount("disk");
        let mounts = std::fs::read_to_string(format!("/proc/{server}/mountinfo")).expect("its mounts");
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        assert!(mounts.contains(" / / ro,nosuid,"), "{mounts}");
        let layers = device(&room.dir);
        for entry in std::fs::read_dir(format!("/proc/{server}/fd")).expect("its descriptors") {
            let link = entry.expect("an entry").path();
            let to = std::fs::read_link(&link).expect("a link").display().to_string();
            // Signals and questions come in by descriptors that hold nothing; /proc is where to look at the end.
            let fine = ["/dev/fuse", "/dev/null", "/proc", "anon_inode:[signalfd]"].contains(&to.as_str())
                || to.starts_with("pipe:")
                || to.starts_with("socket:");
            let own = to == format!("/proc/{server}/fd");
            assert!(fine || own || device(&link) == layers, "the server holds {to}");
        }
        for link in ["cwd", "root"] {
            assert_eq!(std::fs::read_link(format!("/proc/{server}/{link}")).expect("a link").as_os_str(), "/");
        }
    });
}

#[test]
fn a_killed_server_leaves_a_mount_that_says_so_and_can_be_unmounted() {
    need!(root, fuse);
    room(|room| {
        let server = serve(room);
        kill(Pid::from_raw(server), Signal::SIGKILL).expect("kill");
        eventually("the server ends", AT_ONCE, || !alive(server));
        let error = std::fs::metadata(room.path("m/both")).expect_err("nobody answers");
        assert!(matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)), "{error}");
        let said = room.ovl_mount(&["--driver", "fuse", "-o", OPTIONS, "m"]);
        assert_eq!(said.code, 1);
        let hint = "hint: its server is gone: umount -l m, or --replace\n";
        assert!(said.err.starts_with("ovl-mount: mount point m: ") && said.err.ends_with(hint), "{}", said.err);
        room.umount("m");
    });
}

/// contract O5
#[test]
fn in_front_it_stays_until_unmounted_or_told_to_end() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let args = ["-f", "--driver", driver, "-o", OPTIONS, "m"];
        let mut child = started(room, &args, "m/both");
        room.umount("m");
        assert_eq!(child.ends(), Some(0));
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let mut child = started(room, &args, "m/both");
            child.signal(signal);
            assert_eq!(child.ends(), Some(0));
            assert!(room.mounted("m").is_empty());
        }
    });
}

/// contract O3
#[test]
fn what_is_sent_to_it_reaches_the_command_and_nothing_stays_mounted() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let script = "trap 'echo told >told; exit 9' TERM; touch started; while :; do sleep 0.05; done";
        let mut child = started(room, &["--driver", driver, "-o", OPTIONS, "--", "sh", "-c", script], "u/started");
        child.signal(Signal::SIGTERM);
        assert_eq!(child.ends(), Some(9));
        assert_eq!(room.read("u/told"), "told\n");
        assert!(room.mounted("u.merged").is_empty() && !room.has("u.merged"));
    });
}

/// What a command leaves running keeps using the overlay; ovl-mount does not wait for it.
#[test]
fn a_command_that_leaves_something_running() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let script = "(sleep 0.5; echo late >late) >/dev/null 2>&1 & echo now";
        let said = room.ovl_mount(&["--driver", driver, "-o", OPTIONS, "--", "sh", "-c", script]);
        assert_eq!((said.code, said.out.as_str()), (0, "now\n"), "{}", said.err);
        eventually("the late file", AT_ONCE * 3, || room.has("u/late"));
    });
}
