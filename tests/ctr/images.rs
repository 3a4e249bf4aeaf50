//! Containers on a real image: Debian, four layers, by both drivers.

use crate::lab::{Lab, Said};
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::{fixture, need};

const DEBIAN: [&str; 4] = ["run", "--rm", "--network", "none"];

/// What `chroot` into a tree that umoci unpacked says.
fn in_chroot(lab: &Lab, script: &str) -> String {
    let bundle = lab.path().join("umoci");
    if !bundle.exists() {
        let image = format!("{}:debian:12", fixture::debian_oci_gzip().display());
        let out = Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle).output().expect("umoci");
        assert!(out.status.success(), "{out:?}");
    }
    let out = Command::new("chroot").arg(bundle.join("rootfs")).args(["sh", "-c", script]).output().expect("chroot");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn debian_says_what_chroot_says_and_installs_a_package() {
    need!(root, overlay, fuse, images, "umoci");
    let lab = Lab::new();
    lab.load(&fixture::debian_oci_gzip());
    let list = "apt list --installed 2>/dev/null | wc -l";
    let want = in_chroot(&lab, list);
    assert!(want.trim().parse::<u32>().is_ok_and(|n| n > 50), "{want}");
    let deb = fixture::deb();
    let volume = format!("{}:/deb:ro", deb.parent().expect("a folder").display());
    let install = format!(
        "apt-get -qq install -y /deb/{} >/dev/null && dpkg -l | grep -c '^ii'",
        deb.file_name().expect("a name").display()
    );
    let before = in_chroot(&lab, "dpkg -l | grep -c '^ii'");
    for driver in ["kernel", "fuse"] {
        let run = |args: &[&str]| lab.said([&DEBIAN[..], &["--driver", driver], args].concat());
        let said = run(&["debian:12", "sh", "-c", list]);
        assert_eq!((said.out.as_str(), said.code), (want.as_str(), 0), "{driver}: {said:?}");
        let said = run(&["-v", &volume, "debian:12", "sh", "-c", &install]);
        assert_eq!(said.code, 0, "{driver}: {said:?}");
        let count = |text: &str| text.trim().parse::<u32>().expect("a count");
        assert_eq!(count(&said.out), count(&before) + 1, "{driver}: one package more");
    }
}

#[test]
fn twenty_at_once_share_the_layers_and_not_their_writes() {
    need!(root, overlay, fuse, images);
    let lab = Lab::new();
    lab.load(&fixture::debian_oci_zstd());
    for driver in ["kernel", "fuse"] {
        let children: Vec<_> = (0..20)
            .map(|n| {
                let script = format!("echo {n} >/etc/mine; echo {n} >>/etc/debian_version; sleep 0.5; cat /etc/mine; tail -n 1 /etc/debian_version; ls /root | wc -l; touch /root/x");
                let mut command = lab.ctr([&DEBIAN[..], &["--driver", driver, "debian:12", "sh", "-c", &*script]].concat().iter());
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctr runs")
            })
            .collect();
        for (n, child) in children.into_iter().enumerate() {
            let said: Said = child.wait_with_output().expect("ends").into();
            assert_eq!(said.out, format!("{n}\n{n}\n0\n"), "{driver} {n}: {said:?}");
        }
    }
    let layers = std::fs::read_dir(lab.root().join("overlay2")).expect("overlay2").count();
    assert_eq!(layers, 5, "four layers and the folder of short links");
}

#[test]
fn what_a_container_on_an_image_changed() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok([
        "run",
        "--name",
        "changed",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "rm -r /etc; mkdir /etc; echo >/etc/new; mkdir -p /a/b",
    ]);
    let diff = lab.ok(["diff", "changed"]);
    for line in ["A /a", "A /a/b", "C /etc", "A /etc/new", "D /etc/passwd"] {
        assert!(diff.lines().any(|l| l == line), "{line} in:\n{diff}");
    }
    let said = lab.said(["rmi", "busybox"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("is using its referenced image"), "{said:?}");
    lab.ok(["rm", "changed"]);
    lab.ok(["rmi", "busybox"]);
    assert_eq!(lab.ok(["images", "-q"]), "");
}

#[test]
fn an_image_whose_blob_is_gone_is_not_saved_and_the_blob_is_named() {
    need!(root, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let file = lab.path().join("saved.tar");
    let save = ["save", "-o", &file.display().to_string(), "busybox", "busybox:latest"].map(str::to_owned);
    lab.ok(&save);
    let index = std::process::Command::new("tar").arg("-xOf").arg(&file).arg("index.json").output().expect("tar");
    let index: serde_json::Value = serde_json::from_slice(&index.stdout).expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1), "named twice is saved once: {index}");
    let id = lab.field("busybox", "{{.Id}}");
    let blob = lab.root().join("image/blobs/sha256").join(id.trim_start_matches("sha256:"));
    let manifest = std::fs::read_dir(blob.parent().expect("a folder")).expect("blobs").flatten();
    let layer =
        manifest.map(|entry| entry.path()).max_by_key(|path| path.metadata().map_or(0, |m| m.len())).expect("one");
    std::fs::remove_file(&layer).expect("removed");
    let said = lab.said(&save);
    let name = layer.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(said.code, 1);
    assert_eq!(
        said.err,
        format!("ctr: save image busybox: its blob sha256:{name} is not in the store\nhint: ctr load it again\n")
    );
}

#[test]
fn inspect_names_every_folder_a_container_lies_over() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok(["run", "--name", "one", "--network", "none", "busybox", "true"]);
    let lower = lab.field("one", "{{.GraphDriver.Data.LowerDir}}");
    let folders: Vec<&Path> = lower.split(':').map(Path::new).collect();
    assert!(folders.len() == 2 && folders.iter().all(|folder| folder.is_dir()), "{lower}");
    // highest first, as docker: its mark, then the image
    assert!(folders[0].join(".dockerenv").exists() && folders[1].join("bin/busybox").exists(), "{lower}");
}
