//! What podman has and docker has not: `exists`, images that are mounted, `--replace`, `--preserve-fds`; and docker's `system prune`,
//! with what it leaves.

use crate::lab::{Lab, SOON};
use std::os::fd::OwnedFd;
use std::path::Path;
use testkit::{fixture, need};

#[test]
fn a_name_is_taken_over_also_from_one_that_runs() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let first = lab.ok(["run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000"]);
    assert_eq!(lab.said(["run", "--replace", "--name", "box", "--network", "none", "nosuch", "true"]).code, 125);
    assert_eq!(lab.field("box", "{{.State.Status}}"), "running", "nothing goes for an image that is not there");
    assert_eq!(lab.ok(["run", "--replace", "--name", "box", "--network", "none", "busybox", "echo", "new"]), "new\n");
    assert_eq!(lab.said(["container", "exists", first.trim()]).code, 1);
    assert_eq!(lab.ok(["ps", "-a", "--format", "{{.Names}} {{.State}}"]), "box exited\n");
    let said = lab.said(["create", "--replace", "busybox"]);
    assert_eq!((said.code, said.err.as_str()), (125, "ctr: cannot replace container without --name being set\n"));
}

#[test]
fn ids_that_begin_like_a_name_are_in_nobodys_way() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let id = lab.ok(["create", "--name", "one", "--network", "none", "busybox"]).trim().to_owned();
    // another one whose id begins alike
    let other = format!("{}{}", &id[..63], if id.ends_with('0') { "1" } else { "0" });
    let folder = |id: &str| lab.root().join("containers").join(id);
    let config = std::fs::read_to_string(folder(&id).join("config.json")).expect("a record");
    std::fs::create_dir(folder(&other)).expect("made");
    std::fs::copy(folder(&id).join("state"), folder(&other).join("state")).expect("copied");
    let config = config.replace(&id, &other).replace("\"name\":\"one\"", "\"name\":\"two\"");
    std::fs::write(folder(&other).join("config.json"), config).expect("written");
    assert!(lab.said(["inspect", &id[..12]]).code != 0, "it means both");
    lab.ok(["create", "--replace", "--name", &id[..12], "--network", "none", "busybox"]);
    let names = lab.ok(["ps", "-a", "--format", "{{.Names}}"]);
    assert!(names.lines().count() == 3 && names.contains("one\n") && names.contains("two\n"), "{names}");
}

#[test]
fn whether_there_is_one_is_told_by_the_exit_code_alone() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok(["create", "--name", "box", "busybox"]);
    for (words, code) in [
        (["container", "exists", "box"], 0),
        (["container", "exists", "busybox"], 1),
        (["image", "exists", "busybox"], 0),
        (["image", "exists", "BAD NAME"], 1),
    ] {
        let said = lab.said(words);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (code, "", ""), "{words:?}");
    }
    assert_eq!(lab.said(["image", "exists"]).code, 125);
    // that it cannot be known is another answer
    let other = lab.path().join("other");
    std::fs::create_dir(&other).expect("made");
    std::fs::write(other.join("file"), "no store").expect("written");
    let other = other.to_string_lossy();
    for kind in ["container", "image", "secret"] {
        assert_eq!(lab.said([kind, "exists", "box"]).code, i32::from(kind != "container"), "{kind}");
        let said = lab.said(["--root", &other, kind, "exists", "box"]);
        assert_eq!(said.code, 125, "{said:?}");
        assert!(said.err.contains("not a store"), "{said:?}");
    }
}

#[test]
fn an_image_is_mounted_to_be_read_and_stays_while_it_is() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let at = lab.ok(["image", "mount", "busybox"]);
    let at = Path::new(at.trim());
    assert!(at.join("bin/busybox").exists());
    assert!(std::fs::write(at.join("written"), "x").is_err());
    assert_eq!(lab.ok(["image", "mount"]), format!("busybox:latest  {}\n", at.display()));
    let refused = lab.said(["rmi", "busybox"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("is mounted") && at.join("bin").exists(), "{refused:?}");
    assert_eq!(lab.ok(["run", "--rm", "--network", "none", "busybox", "echo", "it runs"]), "it runs\n");
    assert_eq!(lab.ok(["image", "unmount", "busybox"]).trim().len(), 64);
    assert!(!at.exists());
    assert_eq!(lab.ok(["image", "unmount", "busybox"]), "", "podman: one that is not mounted is passed over");
    // nothing is mounted where there is one that is not there
    assert_eq!(lab.said(["image", "mount", "busybox", "nosuch"]).code, 125);
    assert_eq!(lab.ok(["image", "mount"]), "");
    lab.ok(["rmi", "busybox"]);
}

#[test]
fn an_image_that_several_mount_at_once_is_mounted_once() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let each =
        || lab.ctr(["image", "mount", "busybox"]).stdout(std::process::Stdio::piped()).spawn().expect("ctr runs");
    let all: Vec<_> = (0..6).map(|_| each()).collect();
    for one in all {
        assert!(one.wait_with_output().expect("it ends").status.success());
    }
    let at = lab.ok(["image", "mount", "busybox"]);
    lab.ok(["image", "unmount", "busybox"]);
    assert!(!Path::new(at.trim()).exists());
    assert_eq!(lab.mounts(), [""; 0]);
}

#[test]
fn other_users_of_the_machine_reach_no_file_of_a_mounted_image() {
    use std::os::unix::fs::PermissionsExt;
    need!(root, overlay, images);
    let lab = Lab::with_busybox();
    let mounts = lab.root().join("mounts");
    let mode = || std::fs::metadata(&mounts).expect("a folder").permissions().mode() & 0o777;
    lab.ok(["image", "mount", "busybox"]);
    assert_eq!(mode(), 0o700, "as every folder of the store");
    lab.ok(["image", "unmount", "busybox"]);
    // one that was made open
    std::fs::set_permissions(&mounts, PermissionsExt::from_mode(0o755)).expect("changed");
    lab.ok(["image", "mount", "busybox"]);
    assert_eq!(mode(), 0o700);
    lab.ok(["image", "unmount", "busybox"]);
}

#[test]
fn an_image_is_mounted_while_others_use_it() {
    use nix::fcntl::{Flock, FlockArg};
    need!(root, overlay, images);
    let lab = Lab::with_busybox();
    // as whoever makes a container of it
    let folder = std::fs::File::open(lab.root().join("image")).expect("a folder");
    let used = Flock::lock(folder, FlockArg::LockShared).map_err(|(_, e)| e).expect("a lock");
    let mut mount = lab.ctr(["image", "mount", "busybox"]).spawn().expect("ctr runs");
    let done = Lab::within(SOON, || mount.try_wait().expect("a child").is_some());
    drop(used);
    assert!(mount.wait().expect("it ends").success() && done, "it waited for them");
    lab.ok(["image", "unmount", "busybox"]);
}

#[test]
fn what_a_killed_mount_of_an_image_left_goes() {
    need!(root, overlay, images);
    let lab = Lab::with_busybox();
    let mounts = lab.root().join("mounts");
    let at = std::path::PathBuf::from(lab.ok(["image", "mount", "busybox"]).trim());
    lab.ok(["image", "unmount", "busybox"]);
    let left = || {
        std::fs::create_dir(&at).expect("made");
        std::fs::create_dir(at.with_extension("empty")).expect("made");
    };
    let none = || std::fs::read_dir(&mounts).expect("a folder").count() == 0;
    left();
    assert_eq!(lab.ok(["image", "unmount", "busybox"]), "", "it is not mounted");
    assert!(none());
    left();
    lab.ok(["rmi", "busybox"]);
    assert!(none());
}

#[test]
fn descriptors_reach_the_container_under_their_numbers() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut shell = std::process::Command::new("sh");
    let ctr = env!("CARGO_BIN_EXE_ctr");
    let run = format!("exec {ctr} run --rm --network none --preserve-fds 2 busybox sh -c");
    shell.args(["-c", &format!("{run} 'cat <&3; echo over >&4; exec 4>&-; ls /proc/self/fd | wc -l' 3<$0 4>&1 >&2")]);
    std::fs::write(lab.path().join("file"), "given\n").expect("a file");
    shell.arg(lab.path().join("file")).stdout(OwnedFd::from(writer));
    lab.environment(&mut shell);
    let said = shell.output().expect("sh runs");
    drop(shell);
    let over = std::io::read_to_string(reader).expect("the pipe ends with the container");
    // 0, 1, 2, 3 and that of ls
    assert_eq!((over.as_str(), &*String::from_utf8_lossy(&said.stderr)), ("over\n", "given\n5\n"));
    let refused = lab.said(["run", "--rm", "--preserve-fds", "1", "busybox", "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.err.starts_with("ctr: file descriptor 3 is not available"), "{refused:?}");
}

#[test]
fn descriptors_reach_other_processes_of_a_container_too() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok(["run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000"]);
    let (given, over) = (lab.path().join("given"), lab.path().join("over"));
    for how in ["", "-t", "-d"] {
        std::fs::write(&given, "given\n").expect("a file");
        std::fs::write(&over, "").expect("a file");
        let ctr = env!("CARGO_BIN_EXE_ctr");
        let inside = "'read line <&3; echo over $line >&4; exec 4>&-; ls /proc/self/fd | wc -l >&5'";
        let line = format!("{ctr} exec {how} --preserve-fds 3 box sh -c {inside} 3<$0 4>>$1 5>>$1");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line]).arg(&given).arg(&over).stdin(std::process::Stdio::null());
        lab.environment(&mut shell);
        let said: crate::lab::Said = shell.output().expect("sh runs").into();
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{how}: {said:?}");
        // 0, 1, 2, 3, 5 and that of ls: nothing else came along
        let whole = || std::fs::read_to_string(&over).expect("a file") == "over given\n6\n";
        assert!(Lab::within(SOON, whole), "{how}: {:?}", std::fs::read_to_string(&over));
    }
    let said = lab.said(["exec", "--preserve-fds", "1", "box", "true"]);
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.err.starts_with("ctr: file descriptor 3 is not available - the preserve-fds option"), "{said:?}");
}

#[test]
fn what_nobody_needs_goes() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok(["run", "-d", "--name", "runs", "--network", "none", "busybox", "sleep", "1000"]);
    let old = lab.ok(["create", "--name", "old", "busybox"]);
    for _ in 0..2 {
        lab.ok(["commit", "-m", "x", "old", "made"]);
    }
    let asked = lab.fed(b"n\n", &["system", "prune"]);
    let words = "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  - all dangling images\n\nAre you sure you want to continue? [y/N] ";
    assert_eq!((asked.code, asked.out.as_str()), (0, words));
    let kept = lab.ok(["system", "prune", "-f", "--filter", "label=nosuch"]);
    assert_eq!(kept, "Total reclaimed space: 0B\n");
    let told = lab.ok(["system", "prune", "-f"]);
    let begin = format!("Deleted Containers:\n{}\n\nDeleted Images:\ndeleted: sha256:", old.trim());
    assert!(told.starts_with(&begin) && told.contains("\n\nTotal reclaimed space: "), "{told}");
    assert_eq!(lab.ok(["ps", "-a", "--format", "{{.Names}}"]), "runs\n");
    let told = lab.fed(b"y\n", &["system", "prune", "--all", "--volumes"]).out;
    assert!(told.contains("without at least one container") && told.contains("\nuntagged: made:latest\n"), "{told}");
    assert_eq!(lab.ok(["images", "--format", "{{.Repository}}"]), "busybox\n");
    let refused = lab.said(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    assert_eq!(refused.code, 1, "{refused:?}");
}
