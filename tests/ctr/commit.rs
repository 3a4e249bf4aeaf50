//! `ctr commit` and `ctr import`: what a container became is an image that others read too.

use crate::lab::{Lab, SOON};
use std::process::Command;
use std::time::Duration;
use testkit::{fixture, need};

const RUN: [&str; 3] = ["run", "--network", "none"];
/// Something of everything that a layer can say.
const CHANGES: &str = "echo hi >/hello; chmod 640 /hello; chown 7:8 /hello; ln /hello /again; ln -s /etc/passwd /link; \
     rm -r /home; mkdir -p /d/e; chmod 1777 /d; mkfifo /pipe; echo x >>/etc/passwd; rm -r /usr; mkdir /usr; touch /usr/new";
/// Where nothing of a container's own is: the runtime mounts on these.
const TREE: &str = "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' ! -path /etc/hosts ! -path /etc/hostname \
     ! -path /etc/resolv.conf ! -path / ! -path /etc ! -path /.dockerenv | sort | while read f; do stat -c '%n %A %u %g %h %s %N %Y' $f; done";

fn busybox(lab: &Lab) {
    lab.load(&fixture::busybox_oci());
}

#[test]
fn the_image_has_the_containers_tree_and_its_twin_the_same_layers() {
    need!(root, overlay, fuse, images, "skopeo", "umoci");
    for driver in ["kernel", "fuse"] {
        let lab = Lab::new();
        busybox(&lab);
        let run = [&RUN[..], &["--driver", driver]].concat();
        let script = format!("{CHANGES}; {TREE}");
        let want = lab.ok([&run[..], &["--name", "made", "busybox", "sh", "-c", &script]].concat());
        let one = lab.ok(["commit", "-m", "why", "-a", "me", "-c", "CMD [\"cat\", \"/hello\"]", "made", "one:1"]);
        assert!(one.starts_with("sha256:") && one.len() == 72, "{one}");
        lab.ok(["commit", "made", "two"]);
        let got = lab.ok([&run[..], &["--rm", "one:1", "sh", "-c", TREE]].concat());
        // A directory's size and count of names are the file system's own business, and what was removed is seen in neither.
        let stable = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.retain(|line| !line.contains(" d"));
            lines
        };
        assert_eq!(stable(&got), stable(&want), "{driver}");
        assert!(want.contains("/usr/new") && !want.contains("/usr/bin"), "{want}");
        assert_eq!(lab.ok([&run[..], &["--rm", "one:1"]].concat()), "hi\n");
        let layers = |name: &str| lab.field(name, "{{json .RootFS.Layers}}");
        assert_eq!(layers("one:1"), layers("two"), "same content, same digests");
        assert_eq!(
            (lab.field("one:1", "{{.Author}}"), lab.field("one:1", "{{.Comment}}")),
            ("me".into(), "why".into())
        );

        let layout = lab.root().join("image");
        let name = "docker.io/library/one:1";
        let out = Command::new("skopeo").arg("inspect").arg(format!("oci:{}:{name}", layout.display())).output();
        assert!(out.is_ok_and(|out| out.status.success()), "skopeo reads it");
        let image = format!("{}:{name}", layout.display());
        let bundle = lab.path().join("bundle");
        let out = Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle).output().expect("umoci");
        assert!(out.status.success(), "{out:?}");
        let text = std::fs::read_to_string(bundle.join("rootfs/hello")).expect("the file");
        assert_eq!(text, "hi\n");
        assert!(!bundle.join("rootfs/home").exists() && bundle.join("rootfs/usr/new").exists());
    }
}

#[test]
fn a_container_that_runs_stands_still_meanwhile_and_goes_on_also_when_we_are_killed() {
    need!(root, overlay, images);
    let lab = Lab::new();
    busybox(&lab);
    let script = "i=0; while :; do i=$((i+1)); echo $i >/tmp/c; mv /tmp/c /count; done";
    lab.ok([&RUN[..], &["-d", "--name", "busy", "busybox", "sh", "-c", script]].concat());
    let count = || lab.said(["exec", "busy", "cat", "/count"]).out.trim().parse::<u64>().unwrap_or_default();
    let goes_on = || {
        let before = count();
        assert!(Lab::within(SOON, || count() > before), "it does not go on");
    };
    goes_on();
    lab.ok(["commit", "busy", "live"]);
    let kept = lab.ok([&RUN[..], &["--rm", "live", "cat", "/count"]].concat());
    assert!(kept.trim().parse::<u64>().is_ok_and(|n| n > 0), "{kept}");
    goes_on();
    for wait_ms in [1, 3, 6, 10, 15, 22, 30, 45] {
        let mut child = lab.ctr(["commit", "busy", "killed"]).spawn().expect("ctr runs");
        std::thread::sleep(Duration::from_millis(wait_ms));
        let _ = child.kill();
        let _ = child.wait();
        goes_on();
        let said = lab.said(["images", "-q", "killed"]);
        assert_eq!(said.code, 0, "{said:?}");
        let tmp = lab.root().join("tmp");
        assert_eq!(std::fs::read_dir(tmp).expect("tmp").count(), 0, "half an image was left");
        if !said.out.is_empty() {
            assert_ne!(lab.ok([&RUN[..], &["--rm", "killed", "cat", "/count"]].concat()), "");
            lab.ok(["rmi", "killed"]);
        }
    }
}

#[test]
fn what_was_done_on_this_machine_is_an_image_over_this_machine() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "printf '#!/bin/sh\necho it works' >/usr/local/bin/veneer-try; chmod 755 /usr/local/bin/veneer-try";
    lab.ok(["run", "--name", "done", "host", "sh", "-c", script]);
    lab.ok(["commit", "done", "mine"]);
    assert_eq!(lab.ok(["run", "--rm", "mine", "veneer-try"]), "it works\n");
    assert_eq!(lab.field("mine", "{{len .RootFS.Layers}}"), "1", "nothing of the machine is in it");
    lab.ok(["run", "--name", "more", "mine", "sh", "-c", "echo 2 >/usr/local/bin/veneer-two"]);
    lab.ok(["commit", "more", "mine:2"]);
    let both = lab.ok(["run", "--rm", "mine:2", "sh", "-c", "veneer-try; cat /usr/local/bin/veneer-two"]);
    assert_eq!(both, "it works\n2\n");
    assert!(!std::path::Path::new("/usr/local/bin/veneer-try").exists());
}

#[test]
fn an_image_that_was_removed_meanwhile_is_packed_again() {
    need!(root, overlay, images);
    let lab = Lab::new();
    busybox(&lab);
    lab.ok([&RUN[..], &["--name", "kept", "busybox", "sh", "-c", "echo hi >/hello"]].concat());
    lab.ok(["rmi", "-f", "busybox"]);
    lab.ok(["commit", "kept", "again"]);
    assert_eq!(lab.ok([&RUN[..], &["--rm", "again", "cat", "/hello"]].concat()), "hi\n");
}

#[test]
fn a_layer_without_anything_is_none() {
    need!(root, overlay, images);
    let lab = Lab::new();
    busybox(&lab);
    lab.ok([&RUN[..], &["--name", "idle", "busybox", "true"]].concat());
    lab.ok(["commit", "-c", "ENV A=1", "idle", "same"]);
    assert_eq!(lab.field("same", "{{len .RootFS.Layers}}"), lab.field("busybox", "{{len .RootFS.Layers}}"));
    assert_eq!(lab.ok([&RUN[..], &["--rm", "same", "sh", "-c", "echo $A"]].concat()), "1\n");
}

#[test]
fn wrong_words_make_no_image() {
    need!(root, overlay, images);
    let lab = Lab::new();
    busybox(&lab);
    lab.ok([&RUN[..], &["--name", "some", "busybox", "true"]].concat());
    for (args, message) in [
        (&["nobody"][..], "No such container: nobody"),
        (&["some", "Bad"], "invalid reference format: repository name (library/Bad) must be lowercase"),
        (&["-c", "RUN true", "some"], "run is not a valid change command"),
        (&["-c", "ENV", "some"], "ENV requires at least one argument"),
        (&["some", "host"], "the name host belongs to the built-in image"),
    ] {
        let said = lab.said([&["commit"], args].concat());
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(said.err.lines().next(), Some(&*format!("ctr: {message}")));
    }
    assert_eq!(lab.ok(["images", "-q"]).lines().count(), 1);
}

#[test]
fn a_tar_becomes_an_image() {
    need!(root, overlay, images);
    let lab = Lab::new();
    busybox(&lab);
    let tree = lab.path().join("tree");
    std::fs::create_dir_all(tree.join("bin")).expect("a folder");
    lab.ok([
        &RUN[..],
        &[
            "--rm",
            "-v",
            &format!("{}:/out", tree.display()),
            "busybox",
            "sh",
            "-c",
            "cp /bin/busybox /out/bin/sh; echo hi >/out/hello",
        ],
    ]
    .concat());
    for (flag, name) in [("-c", "plain"), ("-cz", "gz")] {
        let tar = Command::new("tar").arg(flag).arg("-C").arg(&tree).arg(".").output().expect("tar").stdout;
        let said = lab.fed(
            &tar,
            &["import", "-m", "why", "-c", "CMD [\"/bin/sh\",\"-c\",\"read a </hello; echo $a\"]", "-", name],
        );
        assert!(said.code == 0 && said.out.starts_with("sha256:"), "{said:?}");
        assert_eq!(lab.ok([&RUN[..], &["--rm", name]].concat()), "hi\n");
        assert_eq!(lab.field(name, "{{.Comment}}"), "why");
    }
    let said = lab.fed(b"this is no archive at all, whatever it says", &["import", "-", "bad"]);
    assert_eq!(said.code, 1, "{said:?}");
    let said = lab.said(["import", "/no/such/file"]);
    assert_eq!((said.code, said.err.lines().next()), (1, Some("ctr: open /no/such/file: no such file or directory")));
    assert_eq!(lab.ok(["images", "-q", "bad"]), "");
}

/// What makes a runtime slow, so that one can come between: it says so in the file `pausing`, and works a while.
fn slow(lab: &Lab) -> String {
    format!("touch {}; sleep 1", lab.path().join("pausing").display())
}

/// Kills `ctr ARGS` while the runtime is at it, and waits until that has ended too.
fn killed_meanwhile(lab: &Lab, args: &[&str]) {
    let mark = lab.path().join("pausing");
    let mut child = lab.ctr(args).spawn().expect("ctr runs");
    assert!(Lab::within(SOON, || mark.exists()), "it was not paused");
    child.kill().and_then(|()| child.wait()).expect("killed");
    assert!(Lab::within(SOON, || !lab.processes().iter().any(|p| p.contains(" pause "))));
}

#[test]
fn who_is_killed_while_the_runtime_pauses_leaves_nobody_frozen_unseen() {
    need!(root, overlay, images);
    let lab = Lab::new();
    busybox(&lab);
    let begin = |name: &str, runtime: &str| {
        let run = ["run", "-d", "--network", "none", "--name", name, "--runtime", runtime, "busybox"];
        lab.ok([&run[..], &["sh", "-c", "while :; do date +%s%N >/tmp/c; mv /tmp/c /count; sleep 0.01; done"]].concat());
    };
    let goes_on = |name: &str| {
        let upper = lab.field(name, "{{.GraphDriver.Data.UpperDir}}");
        let count = || std::fs::read(format!("{upper}/count")).unwrap_or_default();
        let before = count();
        Lab::within(SOON, || count() != before)
    };
    begin("kept", &lab.runtime("pause", &slow(&lab), ""));
    assert!(goes_on("kept"));
    killed_meanwhile(&lab, &["commit", "kept", "image"]);
    assert!(goes_on("kept"), "a commit that was killed left it frozen");
    lab.ok(["rm", "-f", "kept"]);

    std::fs::remove_file(lab.path().join("pausing")).expect("removed");
    begin("held", &lab.runtime("pause", "", &slow(&lab)));
    assert!(goes_on("held"));
    killed_meanwhile(&lab, &["pause", "held"]);
    assert_eq!(lab.field("held", "{{.State.Status}}"), "paused");
    lab.ok(["unpause", "held"]);
    assert!(goes_on("held"));
    let said = lab.said(["unpause", "held"]);
    assert!(said.code == 1 && said.err.contains("is not paused"), "{said:?}");
}
