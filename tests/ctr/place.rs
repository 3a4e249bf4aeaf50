//! Where run state lives: however the folder is named, it is one folder.

use crate::lab::{Lab, Said};
use std::os::unix::fs::symlink;
use std::process::Command;
use testkit::{fixture, need};

/// The names in the tree of the container `box`, which runs, as an archive has them.
fn exported(mut ctr: Command) -> String {
    let out = ctr.args(["export", "box"]).output().expect("ctr runs");
    let mut tar = Command::new("tar")
        .arg("-t")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("tar");
    std::io::Write::write_all(&mut tar.stdin.take().expect("a pipe"), &out.stdout).expect("it reads");
    let said = Said::from(tar.wait_with_output().expect("it ends"));
    format!("{} {}", said.out, String::from_utf8_lossy(&out.stderr))
}

#[test]
fn the_run_folder_may_be_named_through_a_link_or_from_where_one_is() {
    need!(root, overlay, images);
    for relative in [false, true] {
        let lab = Lab::new();
        lab.load(&fixture::busybox_oci());
        std::fs::create_dir(lab.run_folder()).expect("made");
        symlink(lab.run_folder(), lab.path().join("link")).expect("a link");
        let ctr = || {
            let mut command = lab.ctr([""; 0]);
            let name = if relative { "run".into() } else { lab.path().join("link/below") };
            command.current_dir(lab.path()).env("VENEER_RUN", name);
            command
        };
        let run = ["run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "600"];
        let said = Said::from(ctr().args(run).output().expect("ctr runs"));
        assert_eq!(said.code, 0, "{said:?}");
        let names = exported(ctr());
        assert!(names.contains("bin/busybox"), "relative {relative}: {names}");
        let said = Said::from(ctr().args(["rm", "-f", "box"]).output().expect("ctr runs"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "relative {relative}");
    }
}
