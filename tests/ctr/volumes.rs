//! Volumes and file systems in memory, each by what the container and the machine see of it.

use crate::lab::{Lab, sees};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use testkit::need;

fn lab() -> Lab {
    let lab = Lab::with_busybox();
    fs::create_dir_all(lab.path().join("data/below")).expect("made");
    fs::write(lab.path().join("data/file"), "from outside\n").expect("written");
    lab
}

fn data(lab: &Lab) -> String {
    lab.path().join("data").display().to_string()
}

#[track_caller]
fn refused(lab: &Lab, options: &[&str], words: &str) {
    let said = lab.said([&["run", "--rm", "--network", "none"], options, &["busybox", "true"]].concat());
    assert_eq!(
        (said.code, said.err.lines().next().unwrap_or_default()),
        (125, &*format!("ctr: {words}")),
        "{options:?}"
    );
}

#[test]
fn a_source_that_is_missing_is_made_by_v_and_refused_by_mount() {
    need!(root, overlay, images);
    let lab = lab();
    let missing = lab.path().join("made/here");
    let volume = format!("{}:/b", missing.display());
    assert_eq!(sees(&lab, &["-v", &volume], "touch /b/x; ls /b"), "x\n");
    assert!(missing.join("x").exists());
    let missing = lab.path().join("not");
    let mount = format!("type=bind,src={},dst=/b", missing.display());
    refused(
        &lab,
        &["--mount", &mount],
        &format!("invalid mount config for type \"bind\": bind source path does not exist: {}", missing.display()),
    );
    assert!(!missing.exists());
}

#[test]
fn files_folders_and_places_of_the_containers_own() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    assert_eq!(sees(&lab, &["-v", &format!("{data}/file:/x/y/z")], "cat /x/y/z"), "from outside\n");
    assert_eq!(sees(&lab, &["-v", &format!("{data}/file:/etc/hosts")], "cat /etc/hosts"), "from outside\n");
    // what is mounted in a folder is not hidden by what is mounted over it
    assert_eq!(sees(&lab, &["--tmpfs", "/etc"], "ls /etc"), "hostname\nhosts\nresolv.conf\n");
    let read_only = format!("type=bind,src={data},dst=/b,readonly");
    let look = "cat /b/file; touch /b/new 2>/dev/null || echo sealed";
    assert_eq!(sees(&lab, &["--mount", &read_only], look), "from outside\nsealed\n");
    assert_eq!(
        sees(&lab, &["-v", &format!("{data}:/b:ro,noexec")], "grep ' /b ' /proc/self/mountinfo | cut -d' ' -f6"),
        "ro,noexec,relatime\n"
    );
    let said = lab.said(["run", "--rm", "--network", "none", "-v", &format!("{data}:/etc/passwd"), "busybox", "true"]);
    assert!(said.code == 125 && said.err.contains("Are you trying to mount a directory onto a file"), "{said:?}");
}

/// In a mount namespace of its own whose mounts are shared, so that nothing of it is the machine's.
fn below_a_mount(lab: &Lab, options: &str, script: &str) -> String {
    let data = data(lab);
    let mut command = Command::new("unshare");
    let outer = format!(
        "mount --bind {data} {data} && mount --make-rshared {data} && mount -t tmpfs inner {data}/below && echo deep >{data}/below/f
        {} run --rm --network none {options} busybox sh -c '{script}'",
        env!("CARGO_BIN_EXE_ctr")
    );
    command.args(["-m", "--propagation", "private", "sh", "-c", &outer]);
    lab.environment(&mut command);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_is_mounted_below_a_source() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    let look = "cat /b/below/f 2>/dev/null; touch /b/below/new 2>/dev/null && echo written; :";
    let mount = |more: &str| format!("--mount type=bind,src={data},dst=/b{more}");
    assert_eq!(below_a_mount(&lab, &mount(""), look), "deep\nwritten\n");
    assert_eq!(below_a_mount(&lab, &mount(",readonly"), look), "deep\n", "read-only is read-only all the way down");
    assert_eq!(below_a_mount(&lab, &mount(",readonly,bind-recursive=writable"), look), "deep\nwritten\n");
    assert_eq!(below_a_mount(&lab, &mount(",readonly,bind-recursive=readonly"), look), "deep\n");
    assert_eq!(below_a_mount(&lab, &mount(",bind-recursive=disabled"), look), "written\n", "the folder itself");
    let propagation = "grep \" /b \" /proc/self/mountinfo | cut -d\" \" -f7 | cut -d: -f1";
    assert_eq!(below_a_mount(&lab, &format!("-v {data}:/b:rslave"), propagation), "master\n");
    assert_eq!(below_a_mount(&lab, &format!("-v {data}:/b"), propagation), "-\n");
}

#[test]
fn mounts_travel_only_where_the_machines_do() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    let mut command = Command::new("unshare");
    let outer = format!("{} run --rm --network none -v {data}:/b:rshared busybox true", env!("CARGO_BIN_EXE_ctr"));
    command.args(["-m", "--propagation", "private", "sh", "-c", &outer]);
    lab.environment(&mut command);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(125) && said.contains("but it is not a shared mount"), "{said}");
}

#[test]
fn file_systems_in_memory() {
    need!(root, overlay, images);
    let lab = lab();
    let look = "grep ' /b ' /proc/self/mountinfo | cut -d' ' -f6-; stat -c %a:%u /b";
    assert_eq!(sees(&lab, &["--tmpfs", "/b"], look), "rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw\n1777:0\n");
    let options = ["--tmpfs", "/b:size=1m,mode=1770,uid=5,exec"];
    assert_eq!(
        sees(&lab, &options, look),
        "rw,nosuid,nodev,relatime - tmpfs tmpfs rw,size=1024k,mode=1770,uid=5\n1770:5\n"
    );
    let mount = "type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700";
    assert_eq!(
        sees(&lab, &["--mount", mount], look),
        "rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=1024k,mode=700\n700:0\n"
    );
    let full = "dd if=/dev/zero of=/b/x bs=64k count=100 2>&1 | grep -o 'No space left'";
    assert_eq!(sees(&lab, &["--mount", mount], full), "No space left\n");
    assert_eq!(sees(&lab, &["--shm-size", "1m"], "df -k /dev/shm | tail -1 | awk '{print $2}'"), "1024\n");
    refused(&lab, &["--tmpfs", "/b:foo"], "invalid tmpfs option [\"foo\"]");
    refused(&lab, &["--tmpfs", "b"], "invalid mount path: 'b' mount path must be absolute");
}

#[test]
fn a_writable_layer_over_a_folder() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    let look = "echo mine >/b/file; touch /b/new; cat /b/file";
    assert_eq!(sees(&lab, &["-v", &format!("{data}:/b:O")], look), "mine\n");
    assert_eq!(fs::read_to_string(Path::new(&data).join("file")).expect("there"), "from outside\n");
    let (upper, work) = (lab.path().join("an\\upper"), lab.path().join("work"));
    let kept = format!("{data}:/b:O,upperdir={},workdir={}", upper.display(), work.display());
    assert_eq!(sees(&lab, &["-v", &kept], look), "mine\n");
    assert_eq!(fs::read_to_string(upper.join("file")).expect("kept"), "mine\n");
    assert_eq!(sees(&lab, &["-v", &kept], "ls /b"), "below\nfile\nnew\n");
    assert!(!Path::new(&data).join("new").exists());
}

#[test]
fn owners_of_a_volume() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    chown(Path::new(&data).join("file"), Some(1234), Some(1234)).expect("chown");
    let look = "stat -c %u:%g /b/file";
    assert_eq!(sees(&lab, &["-v", &format!("{data}:/b:idmap=uids=1234-5-1;gids=1234-6-1")], look), "5:6\n");
    assert_eq!(
        sees(&lab, &["-u", "7:8", "-v", &format!("{data}:/b:U")], "stat -c %u:%g /b /b/file; touch /b/x"),
        "7:8\n7:8\n"
    );
    let found = fs::metadata(Path::new(&data).join("file")).expect("there");
    assert_eq!((found.uid(), found.gid()), (7, 8));
}

#[test]
fn volumes_of_another_container() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    lab.ok([
        "create",
        "--name",
        "donor",
        "--network",
        "none",
        "-v",
        &format!("{data}:/data"),
        "-v",
        &format!("{data}/file:/one:ro"),
        "busybox",
        "true",
    ]);
    assert_eq!(
        sees(&lab, &["--volumes-from", "donor"], "cat /one; touch /data/x; ls /data"),
        "from outside\nbelow\nfile\nx\n"
    );
    assert_eq!(sees(&lab, &["--volumes-from", "donor:ro"], "touch /data/y 2>/dev/null || echo sealed"), "sealed\n");
    refused(&lab, &["--volumes-from", "nope"], "No such container: nope");
    refused(&lab, &["--volumes-from", "donor:foo"], "invalid mode: foo");
    refused(&lab, &["--volumes-from", ""], "volumes-from specification cannot be an empty string");
}

#[test]
fn what_is_wrong_with_a_volume_is_said_in_dockers_words() {
    need!(root, overlay, images);
    let lab = lab();
    let data = data(&lab);
    let bind = |more: &str| format!("type=bind,src={data},dst=/b{more}");
    refused(&lab, &["-v", "/a:/b:rx"], "invalid mode: rx");
    refused(&lab, &["-v", "/a:/b:ro:z"], "invalid spec: /a:/b:ro:z: too many colons");
    refused(
        &lab,
        &["-v", "/a:/"],
        "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
    );
    refused(&lab, &["-v", &format!("{data}:/b"), "--tmpfs", "/b"], "Duplicate mount point: /b");
    let flag = |text: &str| format!("invalid argument {text:?} for \"--mount\" flag");
    let text = bind(",foo=bar");
    refused(&lab, &["--mount", &text], &format!("{}: unexpected key 'foo' in 'foo=bar'", flag(&text)));
    let text = bind(",bind-recursive=readonly");
    refused(
        &lab,
        &["--mount", &text],
        &format!(
            "{}: option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
            flag(&text)
        ),
    );
    refused(&lab, &["--mount", "type=foo,src=/a,dst=/b"], "invalid mount config for type \"foo\": mount type unknown");
}

#[test]
fn a_relative_source_needs_a_folder_that_is_there() {
    need!(root);
    let lab = Lab::new();
    for option in ["-v ./x:/x", "--mount type=bind,src=./x,dst=/x"] {
        let gone = format!(
            "mkdir gone && cd gone && rmdir ../gone && exec {} create {option} host true",
            env!("CARGO_BIN_EXE_ctr")
        );
        let mut command = Command::new("sh");
        command.args(["-c", &gone]).current_dir(lab.path()).stdin(std::process::Stdio::null());
        lab.environment(&mut command);
        let said = crate::lab::Said::from(command.output().expect("sh"));
        assert_eq!(
            (said.code, said.err.lines().next()),
            (1, Some("ctr: current directory: no such file or directory")),
            "{said:?}"
        );
        assert_eq!(lab.ok(["ps", "-aq"]), "");
        assert!(!Path::new("/x").exists());
    }
}
