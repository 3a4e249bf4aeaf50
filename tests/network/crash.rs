//! `kill -9` at every point: strace delivers it at the n-th system call that changes something, for n = 1, 2, … until the
//! program comes through. Afterwards the same command, given again, must heal it.

use crate::lab::{Lab, lab};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use testkit::need;

/// Runs `netwire LINE`, killed at the `n`-th of the calls that change something. Whether it was.
pub(crate) fn killed_at(lab: &Lab, n: usize, line: &str) -> bool {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/run/trace", "-e", "trace=sendto,rename,write,unlink"])
        .args(["-e", &format!("inject=sendto,rename,write,unlink:signal=KILL:when={n}")])
        .arg(env!("CARGO_BIN_EXE_netwire"))
        .args(line.split_whitespace())
        .env("VENEER_ROOT", &lab.root)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("strace runs");
    status.signal() == Some(libc::SIGKILL) || status.code() == Some(128 + libc::SIGKILL)
}

const ATTACH: &str = "attach --network bridge --netns c1 --id c1";
const DETACH: &str = "detach --network bridge --id c1";

#[test]
fn attach_killed_anywhere_is_healed_by_attach() {
    need!(root, "ip", "busybox", "strace", "nft");
    let mut points = 0;
    for n in 1..100 {
        let mut through = false;
        lab(|lab| {
            lab.container("c1");
            lab.container("c2");
            through = !killed_at(lab, n, ATTACH);
            // Another container is not in its way, whatever was left.
            lab.attach("--network bridge --netns c2 --id c2");
            lab.attach(&ATTACH["attach ".len()..]);
            lab.ping("c1", [172, 17, 0, 1].into());
            lab.ping("c2", [172, 17, 0, 1].into());
            assert_eq!(lab.links().len(), 3, "killed at {n}: {:?}", lab.links());
            assert_eq!(lab.inspect("bridge")["containers"].as_array().map(Vec::len), Some(2), "killed at {n}");
            lab.netwire("detach --network bridge --id c2");
            lab.netwire(DETACH);
            lab.netwire("network rm bridge");
            assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "killed at {n}");
        });
        if through {
            points = n - 1;
            break;
        }
    }
    assert!(points > 8, "only {points} points");
}

#[test]
fn attach_killed_anywhere_is_cleaned_up_by_detach() {
    need!(root, "ip", "strace", "nft");
    for n in 1..100 {
        let mut through = false;
        lab(|lab| {
            lab.container("c1");
            through = !killed_at(lab, n, ATTACH);
            lab.netwire(DETACH);
            lab.netwire("network rm bridge");
            assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "killed at {n}");
        });
        if through {
            return;
        }
    }
    panic!("it never came through");
}

#[test]
fn detach_and_removal_killed_anywhere_go_on_when_repeated() {
    need!(root, "ip", "strace", "nft");
    for line in [DETACH, "network rm bridge"] {
        for n in 1..100 {
            let mut through = false;
            lab(|lab| {
                lab.container("c1");
                lab.attach(&ATTACH["attach ".len()..]);
                if line != DETACH {
                    lab.netwire(DETACH);
                }
                through = !killed_at(lab, n, line);
                lab.netwire(DETACH);
                lab.netwire("network rm bridge");
                assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "{line} killed at {n}");
            });
            if through {
                break;
            }
            assert!(n < 99, "{line} never came through");
        }
    }
}
