//! `ctr cp` and `ctr export`: docker's table of what goes where, and that no name leads out of a container.

use crate::lab::{Lab, SOON};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::{fixture, need};

/// One that runs and one that was never started.
fn containers(lab: &Lab) -> [&'static str; 2] {
    lab.load(&fixture::busybox_oci());
    lab.ok(["run", "-d", "--network", "none", "--name", "runs", "busybox", "sleep", "1000"]);
    lab.ok(["create", "--network", "none", "--name", "waits", "busybox", "true"]);
    ["runs", "waits"]
}

/// What is below `path` of a container, as `tar -t` lists it.
fn listed(lab: &Lab, container: &str, path: &str) -> String {
    let out = lab.ctr(["cp", &format!("{container}:{path}"), "-"]).output().expect("ctr runs");
    assert!(out.status.success(), "{out:?}");
    let file = lab.path().join("listed.tar");
    std::fs::write(&file, out.stdout).expect("written");
    let list = Command::new("tar").arg("-tf").arg(&file).output().expect("tar").stdout;
    String::from_utf8_lossy(&list).lines().collect::<Vec<_>>().join(" ")
}

fn text_of(lab: &Lab, container: &str, path: &str) -> String {
    let to = lab.path().join("fetched");
    let _ = std::fs::remove_file(&to);
    lab.ok(["cp", "-L", &format!("{container}:{path}"), &to.display().to_string()]);
    std::fs::read_to_string(to).expect("a file")
}

#[test]
fn what_goes_where() {
    need!(root, overlay, images);
    let lab = Lab::new();
    let here = lab.path().join("here");
    std::fs::create_dir_all(here.join("folder/sub")).expect("folders");
    std::fs::write(here.join("folder/sub/x"), "in").expect("a file");
    std::fs::write(here.join("file"), "mine").expect("a file");
    symlink("file", here.join("link")).expect("a link");
    for name in containers(&lab) {
        let at = |path: &str| format!("{name}:{path}");
        let from = |path: &str| here.join(path).display().to_string();
        let ok = |args: [&str; 2]| assert_eq!(lab.ok(["cp", args[0], args[1]]), "");
        let refused = |args: [&str; 2], text: &str| {
            let said = lab.said(["cp", args[0], args[1]]);
            assert_eq!((said.code, said.err.lines().next()), (1, Some(&*format!("ctr: {text}"))), "{args:?}");
        };
        // a file
        ok([&from("file"), &at("/made")]);
        ok([&from("file"), &at("/tmp")]);
        ok([&from("file"), &at("/tmp/")]);
        ok([&from("file"), &at("/etc/group")]);
        for path in ["/made", "/tmp/file", "/etc/group"] {
            assert_eq!(text_of(&lab, name, path), "mine", "{name}:{path}");
        }
        refused([&from("file"), &at("/none/")], "no such directory");
        refused(
            [&from("file"), &at("/no/such/place")],
            &format!("Could not find the file /no/such in container {name}"),
        );
        refused([&from("file"), &at("/made/")], "no such directory");
        // a folder
        ok([&from("folder"), &at("/new")]);
        assert_eq!(listed(&lab, name, "/new"), "new/ new/sub/ new/sub/x");
        ok([&from("folder"), &at("/new")]);
        assert_eq!(listed(&lab, name, "/new"), "new/ new/folder/ new/folder/sub/ new/folder/sub/x new/sub/ new/sub/x");
        ok([&from("folder/."), &at("/tmp")]);
        assert_eq!(listed(&lab, name, "/tmp/sub"), "sub/ sub/x");
        assert_eq!(listed(&lab, name, "/tmp/."), "./ ./file ./sub/ ./sub/x");
        refused([&from("folder"), &at("/made")], "cannot copy directory");
        // out
        let got = from(&format!("got-{name}"));
        ok([&at("/new"), &got]);
        assert_eq!(std::fs::read_to_string(Path::new(&got).join("folder/sub/x")).expect("a file"), "in");
        refused([&at("/nosuch"), "."], &format!("Could not find the file /nosuch in container {name}"));
        refused([&at("/new"), &from("file")], "cannot copy directory");
        refused(
            [&at("/made"), &from("no/place")],
            &format!("invalid output path: directory {:?} does not exist", from("no")),
        );
        refused([&from("absent"), &at("/")], &format!("lstat {}: no such file or directory", from("absent")));
        // links
        ok([&from("link"), &at("/as-link")]);
        assert_eq!(lab.ok(["cp", "-L", &from("link"), &at("/as-file")]), "");
        let back = from(&format!("back-{name}"));
        ok([&at("/as-link"), &back]);
        assert_eq!(std::fs::read_link(&back).expect("a link"), Path::new("file"));
        assert_eq!(text_of(&lab, name, "/as-file"), "mine");
        // a tar
        let tar = Command::new("tar").arg("-cC").arg(&here).arg("folder").output().expect("tar").stdout;
        assert_eq!(lab.fed(&tar, &["cp", "-", &at("/home")]).code, 0);
        assert_eq!(listed(&lab, name, "/home/folder"), "folder/ folder/sub/ folder/sub/x");
        let said = lab.fed(&tar, &["cp", "-", &at("/made")]);
        assert_eq!(said.err, format!("ctr: destination \"{name}:/made\" must be a directory\n"));
    }
    let said = lab.said(["cp", "runs:/a", "waits:/a"]);
    assert_eq!(said.err.lines().next(), Some("ctr: copying between containers is not supported"));
    assert_eq!(lab.said(["cp", "a", "b"]).err, "ctr: must specify at least one container source\n");
}

#[test]
fn modes_times_and_owners_come_along() {
    need!(root, overlay, images);
    let lab = Lab::new();
    for name in containers(&lab) {
        let from = lab.path().join(format!("from-{name}"));
        std::fs::write(&from, "x").expect("a file");
        for (program, what) in [("chown", "7:8"), ("chmod", "4750"), ("touch", "-d2001-02-03T04:05:06")] {
            assert!(Command::new(program).arg(what).arg(&from).status().is_ok_and(|s| s.success()));
        }
        let to = lab.path().join(format!("to-{name}"));
        lab.ok(["cp", &from.display().to_string(), &format!("{name}:/f")]);
        lab.ok(["cp", "-a", &format!("{name}:/f"), &to.display().to_string()]);
        let facts =
            |path: &Path| std::fs::metadata(path).map(|m| (m.mode(), m.uid(), m.gid(), m.mtime())).expect("there");
        assert_eq!(facts(&to), facts(&from), "{name}");
        let mine = lab.path().join(format!("mine-{name}"));
        lab.ok(["cp", &format!("{name}:/f"), &mine.display().to_string()]);
        assert_eq!((facts(&mine).1, facts(&mine).2), (0, 0), "without -a it is whoever's fetched it");
    }
}

/// Links in an image lead to paths of this machine; met by `cp` they lead to the container's.
#[test]
fn a_link_never_leads_out() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let outside = lab.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("secret"), "the machine's").expect("a file");
    let script = format!(
        "mkdir -p /in{0}; echo inside >/in{0}/secret; ln -s {0} /away; ln -s ../../../../../..{0} /up; ln -s {0}/secret /file; mkdir -p {0}; echo ours >{0}/secret; touch /ready; sleep 1000",
        outside.display()
    );
    lab.ok(["run", "-d", "--network", "none", "--name", "runs", "busybox", "sh", "-c", &script]);
    assert!(Lab::within(SOON, || lab.said(["exec", "runs", "test", "-e", "/ready"]).code == 0));
    for state in ["running", "stopped"] {
        if state == "stopped" {
            lab.ok(["kill", "runs"]);
            lab.ok(["wait", "runs"]);
        }
        for path in ["/away/secret", "/up/secret", "/file"] {
            assert_eq!(text_of(&lab, "runs", path), "ours\n", "{state}: {path}");
        }
        let mine = lab.path().join("mine");
        std::fs::write(&mine, "new").expect("a file");
        for path in ["/away/secret", "/up/secret", "/file", "/away/other"] {
            lab.ok(["cp", &mine.display().to_string(), &format!("runs:{path}")]);
        }
        assert_eq!(std::fs::read_to_string(outside.join("secret")).expect("it is there"), "the machine's", "{state}");
        assert!(!outside.join("other").exists(), "{state}");
        lab.ok(["cp", &mine.display().to_string(), "runs:/up/secret"]);
        std::fs::write(&mine, "ours\n").expect("a file");
        lab.ok(["cp", &mine.display().to_string(), "runs:/file"]);
    }
}

/// CVE-2018-15664: a folder is exchanged for a link to one of the machine's while it is copied to and from.
#[test]
fn exchanging_a_folder_for_a_link_meanwhile_leads_nowhere_else() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let outside = lab.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("w00t"), "the machine's").expect("a file");
    let out = outside.display();
    let script = format!(
        "mkdir -p /stash /totally_safe_path{out} {out}; echo inside >/stash/w00t; echo inside >{out}/w00t; ln -s {out} /evil; \
         touch /ready; while :; do mv /stash /path; mv /path /stash; mv /evil /path; mv /path /evil; done"
    );
    lab.ok(["run", "-d", "--network", "none", "--name", "evil", "busybox", "sh", "-c", &script]);
    assert!(Lab::within(SOON, || lab.said(["exec", "evil", "test", "-e", "/ready"]).code == 0));
    let mine = lab.path().join("w00t");
    std::fs::write(&mine, "from outside").expect("a file");
    let failed = AtomicBool::new(false);
    let (mut read, mut written) = (0, 0);
    for turn in 0..60 {
        let to = lab.path().join(format!("got-{turn}"));
        if lab.said(["cp", "evil:/path/w00t", &to.display().to_string()]).code == 0 {
            let text = std::fs::read_to_string(&to).unwrap_or_default();
            failed.fetch_or(text.contains("machine"), Ordering::Relaxed);
            read += 1;
        }
        written += usize::from(lab.said(["cp", &mine.display().to_string(), "evil:/path/w00t"]).code == 0);
    }
    assert!(!failed.load(Ordering::Relaxed), "a file of the machine was read");
    assert_eq!(std::fs::read_to_string(outside.join("w00t")).expect("it is there"), "the machine's");
    assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 1, "something was written on the machine");
    assert!(read + written > 0, "the race was never met");
}

#[test]
fn an_export_is_the_whole_tree() {
    need!(root, overlay, fuse, images);
    for driver in ["kernel", "fuse"] {
        let lab = Lab::new();
        lab.load(&fixture::busybox_oci());
        let run = ["run", "-d", "--network", "none", "--driver", driver, "--name", "tree", "busybox"];
        let script = "rm -r /home; echo new >/new; touch /ready; sleep 1000";
        lab.ok([&run[..], &["sh", "-c", script]].concat());
        assert!(Lab::within(SOON, || lab.said(["exec", "tree", "test", "-e", "/ready"]).code == 0));
        let mut lists = Vec::new();
        for state in ["running", "stopped"] {
            let file = lab.path().join(state);
            lab.ok(["export", "-o", &file.display().to_string(), "tree"]);
            let list = Command::new("tar").arg("-tf").arg(&file).output().expect("tar").stdout;
            let list = String::from_utf8_lossy(&list).into_owned();
            assert!(
                list.contains("\nnew\n") && list.contains("bin/busybox") && !list.contains("home"),
                "{state}: {list}"
            );
            lists.push(list);
            if state == "running" {
                lab.ok(["kill", "tree"]);
                lab.ok(["wait", "tree"]);
            }
        }
        assert_eq!(lists[0], lists[1], "{driver}");
        let said = lab.said(["export", "-o", "/no/such/place/x", "tree"]);
        assert_eq!(
            said.err,
            "ctr: failed to export container: invalid output path: stat /no/such/place: no such file or directory\n"
        );
    }
}

#[test]
fn a_tree_is_mounted_for_the_machine_and_gone_with_its_container() {
    need!(root, overlay, images);
    let lab = Lab::new();
    for name in containers(&lab) {
        let at = lab.ok(["mount", name]);
        let at = Path::new(at.trim());
        assert!(at.join("bin/busybox").exists(), "{name}");
        assert!(lab.ok(["mount"]).ends_with(&format!("{}\n", at.display())));
        assert_eq!(
            std::fs::write(at.join("written"), "x").is_ok(),
            name == "waits",
            "of a running one it is only read"
        );
        lab.ok(["umount", name]);
        assert!(!at.join("bin").exists());
        assert_eq!(lab.ok(["umount", name]), format!("{name}\n"), "podman: one that is not mounted is no failure");
        lab.ok(["mount", name]);
        lab.ok(["rm", "-f", name]);
        assert!(!at.exists());
    }
    assert_eq!(lab.ok(["mount"]), "");
}

#[test]
fn what_is_mounted_to_be_written_to_is_not_started() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["create", "--name", "box", "--network", "none", "host", "sleep", "1000"]);
    let at = lab.ok(["mount", "box"]);
    std::fs::write(Path::new(at.trim()).join("etc/written"), "x").expect("written");
    let said = lab.said(["start", "box"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("container box is mounted") && said.err.contains("ctr umount box"), "{said:?}");
    lab.ok(["umount", "box"]);
    lab.ok(["start", "box"]);
    assert_eq!(lab.ok(["exec", "box", "cat", "/etc/written"]), "x");
    // one that is only read is in nobody's way
    lab.ok(["mount", "box"]);
    lab.ok(["stop", "-t", "0", "box"]);
    lab.ok(["start", "box"]);
    lab.ok(["rm", "-f", "box"]);
    assert_eq!(lab.ok(["mount"]), "");
}

#[test]
fn what_is_copied_into_a_mounted_container_goes_through_that_mount() {
    need!(root, overlay, fuse);
    for driver in ["kernel", "fuse"] {
        let lab = Lab::new();
        lab.ok(["create", "--name", "box", "--network", "none", "--driver", driver, "host", "true"]);
        let at = std::path::PathBuf::from(lab.ok(["mount", "box"]).trim());
        // whoever looked knows that it is not there
        assert!(!at.join("etc/new").exists());
        let file = lab.path().join("file");
        std::fs::write(&file, "new\n").expect("written");
        lab.ok(["cp", file.to_str().expect("text"), "box:/etc/new"]);
        assert_eq!(std::fs::read_to_string(at.join("etc/new")).ok().as_deref(), Some("new\n"), "{driver}");
        std::fs::write(at.join("etc/other"), "other\n").expect("still mounted");
        lab.ok(["cp", "box:/etc/other", file.to_str().expect("text")]);
        assert_eq!(std::fs::read_to_string(&file).expect("copied"), "other\n");
        lab.ok(["umount", "box"]);
        lab.ok(["rm", "box"]);
    }
}

#[test]
fn a_mount_whose_server_died_is_taken_away() {
    need!(root, fuse);
    let lab = Lab::new();
    lab.ok(["create", "--name", "box", "--network", "none", "--driver", "fuse", "host", "true"]);
    let mount = || std::path::PathBuf::from(lab.ok(["mount", "box"]).trim());
    let dies = || {
        let at = mount();
        assert!(at.join("bin").exists());
        let name = at.display().to_string();
        let server = lab.processes().into_iter().find(|line| line.contains(&name)).expect("a server");
        crate::lab::kill(server.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid"));
        assert!(Lab::within(crate::lab::SOON, || std::fs::read_dir(&at).is_err()), "it answers still");
        at
    };
    dies();
    lab.ok(["umount", "box"]);
    assert_eq!(lab.ok(["mount"]), "");
    dies();
    assert!(mount().join("bin").exists(), "mounted anew");
    let at = dies();
    lab.ok(["rm", "box"]);
    assert!(std::fs::symlink_metadata(at).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound));
}
