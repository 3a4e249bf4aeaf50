//! `ctr` as an ordinary user.

use crate::lab::Said;
use testkit::{fixture, need};

struct User {
    home: tempfile::TempDir,
}

impl User {
    fn ctr(&self, args: &[&str]) -> Said {
        let home = self.home.path().display();
        let script = format!("VENEER_ROOT={home}/root VENEER_RUN={home}/run exec \"$@\"");
        let mut command = testkit::user::command("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_ctr")]).args(args);
        command.output().expect("it runs").into()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let ids = self.ctr(&["ps", "-aq"]).out;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.ctr(&[&["rm", "-f"], &*ids].concat());
        }
    }
}

fn user() -> User {
    User { home: testkit::user::scratch() }
}

#[test]
fn the_main_job_without_root() {
    need!(root, user, fuse);
    let user = user();
    let script = "echo hello from $(hostname); touch /etc/veneer-was-here; ls -l /etc/veneer-was-here; id -u";
    let said = user.ctr(&["run", "--rm", "host", "sh", "-c", script]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("hello from ") && said.out.ends_with("\n0\n"), "{said:?}");
    assert!(said.out.contains(" root root "), "owners are root's: {said:?}");
    assert!(!std::path::Path::new("/etc/veneer-was-here").exists());
    let refused = user.ctr(&["run", "--rm", "--driver", "kernel", "host", "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.err.starts_with("ctr: driver kernel: the kernel does not take / as a lower layer"), "{refused:?}");
}

#[test]
fn debian_without_root() {
    need!(root, user, overlay, fuse, images);
    let user = user();
    let loaded = user.ctr(&["load", "-q", "-i", &fixture::debian_oci_gzip().to_string_lossy()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    for driver in ["kernel", "fuse"] {
        let script = "apt list --installed 2>/dev/null | wc -l; stat -c %U /etc/passwd /var/mail; chown games /root && stat -c %U /root";
        let said = user.ctr(&["run", "--rm", "--network", "none", "--driver", driver, "debian:12", "sh", "-c", script]);
        assert_eq!(said.code, 0, "{driver}: {said:?}");
        let lines: Vec<&str> = said.out.lines().collect();
        assert!(lines[0].parse::<u32>().is_ok_and(|n| n > 50), "{driver}: {said:?}");
        assert_eq!(lines[1..], ["root", "root", "games"], "{driver}: {said:?}");
    }
}

#[test]
fn the_life_of_a_container_without_root() {
    need!(root, user, fuse);
    let user = user();
    let said = user.ctr(&["run", "-d", "--name", "web", "host", "sh", "-c", "echo up; touch /etc/new; sleep 100"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(user.ctr(&["exec", "web", "sh", "-c", "ls /etc/new; id -u; exit 3"]).code, 3);
    assert_eq!(user.ctr(&["logs", "web"]).out, "up\n");
    assert_eq!(user.ctr(&["diff", "web"]).out, "C /etc\nA /etc/new\n");
    let stopped = user.ctr(&["stop", "-t", "1", "web"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert!(user.ctr(&["ps", "-a"]).out.contains("Exited (137)"));
    assert_eq!(user.ctr(&["rm", "web"]).code, 0);
}
