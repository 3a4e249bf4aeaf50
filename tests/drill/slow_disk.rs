//! A lower layer whose disk does not answer: whoever waits for it does so alone. And layers that contain the mount itself.

use crate::field::{Disk, Driver, Overlay, alive, alone, eventually};
use crate::worker::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::need;

/// More than any server has threads.
const BLOCKED: usize = 40;
/// What waits for nobody is done by then, however loaded the machine.
const LIMIT: Duration = Duration::from_secs(10);

/// A process that does not run until this is dropped.
struct Stopped(i32);

impl Stopped {
    fn new(pid: i32) -> Self {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("kill");
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        eventually("the server stops", LIMIT, || state().contains(") T "));
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGCONT);
    }
}

fn sh(dir: &Path, script: &str) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(&mut command)
}

#[track_caller]
fn ends_well(mut running: Running, what: &str) -> String {
    let Some(status) = running.ends_within(LIMIT) else { panic!("{what}: hangs: {}", running.stuck_at()) };
    let read = |from: Option<&mut dyn std::io::Read>| {
        let mut text = String::new();
        from.map(|from| from.read_to_string(&mut text)).transpose().expect("what it said");
        text
    };
    let errors = read(running.0.stderr.as_mut().map(|e| e as &mut dyn std::io::Read));
    assert!(status.success(), "{what}: {status}: {errors}");
    read(running.0.stdout.as_mut().map(|o| o as &mut dyn std::io::Read))
}

fn others_go_on(driver: Driver) {
    alone(Disk::Tmpfs, 256, |dir| {
        std::fs::create_dir(dir.join("other")).expect("a folder");
        let slow = Overlay::new(&dir.join("other"), Driver::Fuse);
        std::fs::create_dir(dir.join("other/low/far")).expect("a folder");
        for number in 0..BLOCKED {
            std::fs::write(dir.join(format!("other/low/far/f{number}")), "far").expect("a file");
        }
        let disk = slow.mount().expect("a server");
        let mut overlay = Overlay::new(dir, driver);
        std::fs::create_dir(dir.join("low/near")).expect("a folder");
        for number in 0..20 {
            std::fs::write(dir.join(format!("low/near/f{number}")), "near").expect("a file");
        }
        overlay.lowers.push("other/m".to_owned());
        overlay.mount();
        // Merged folders are made of all their layers when first looked at.
        ends_well(sh(dir, "ls m m/near m/far && stat m/near m/far"), "looking at the folders");

        let mut blocked = Vec::new();
        let stopped = Stopped::new(disk);
        blocked.extend((0..BLOCKED).map(|number| sh(dir, &format!("exec cat m/far/f{number}"))));
        std::thread::sleep(Duration::from_millis(300));
        let waiting = blocked.iter_mut().filter_map(|b| b.0.try_wait().expect("wait").is_none().then_some(())).count();
        assert_eq!(waiting, BLOCKED, "the disk does not answer, so nobody can have read it");
        for (script, says) in [
            ("cat m/near/f1", "near"),
            ("ls m/near | wc -l", "20\n"),
            ("stat -c %s m/near/f2", "4\n"),
            ("echo new >m/near/new && cat m/near/new", "new\n"),
            ("echo more >>m/near/f3 && cat m/near/f3", "nearmore\n"),
            ("chmod 600 m/near/f4 && stat -c %a m/near/f4", "600\n"),
            ("mv m/near/f5 m/near/moved && rm m/near/f6 && ls m/near | wc -l", "20\n"),
            ("mkdir m/near/folder && ln m/near/f7 m/near/folder/link && find m/near | wc -l", "23\n"),
        ] {
            assert_eq!(ends_well(sh(dir, script), script), says, "{driver:?}: {script}");
        }
        drop(stopped);
        for reader in blocked {
            assert_eq!(ends_well(reader, "a reader of the disk that answers again"), "far");
        }
        overlay.umount();
        slow.umount();
    });
}

#[test]
fn who_waits_for_a_disk_waits_alone_in_the_kernels_overlay() {
    need!(root, fuse, overlay);
    others_go_on(Driver::Kernel);
}

#[test]
fn who_waits_for_a_disk_waits_alone_in_ours() {
    need!(root, fuse);
    others_go_on(Driver::Fuse);
}

/// The mount is below its own layer, and so is the upper.
#[test]
fn many_at_once_in_a_mount_of_the_machine_over_itself() {
    need!(root, fuse);
    alone(Disk::Tmpfs, 256, |dir| {
        let mut overlay = Overlay::new(dir, Driver::Fuse);
        overlay.lowers = vec!["/".to_owned()];
        let server = overlay.mount().expect("a server");
        let own = format!("m{0}/m m{0}/m{0}/m/etc m{0}/u", dir.display());
        let readers: Vec<Running> = (0..8)
            .map(|number| {
                let script = format!(
                    "for round in 1 2 3; do
                         ls {own} >/dev/null 2>&1
                         find m/etc m/bin/ -xdev | head -n 500 | xargs stat >/dev/null
                         cat m/etc/passwd m/etc/group >/dev/null
                         echo {number} >m/etc/veneer-{number} && chmod 640 m/etc/passwd
                         mkdir -p m{0}/m/{number} 2>/dev/null
                     done; cat m/etc/veneer-{number}",
                    dir.display()
                );
                sh(dir, &script)
            })
            .collect();
        for (number, reader) in readers.into_iter().enumerate() {
            assert_eq!(ends_well(reader, "one of many"), format!("{number}\n"));
        }
        assert!(!Path::new("/etc/veneer-0").exists());
        overlay.umount();
        eventually("the server ends", LIMIT, || !alive(server));
    });
}
