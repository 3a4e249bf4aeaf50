//! Without root: in a user namespace that someone made, in one that ovl-mount makes, and by fusermount3.

use crate::room::{AT_ONCE, OVL_MOUNT, Said, alive, eventually, with_each_driver};
use std::path::Path;
use testkit::{need, user};

const OPTIONS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

/// In a user namespace with the right to mount there, /dev/fuse is enough: no fusermount3.
#[test]
fn inside_a_user_namespace_it_mounts_by_itself() {
    need!(root, fuse, overlay, userns);
    with_each_driver(|room, driver| {
        let script = format!(
            "PATH=/nowhere $OVL --driver {driver} -o {OPTIONS} m && cat m/both && echo x >m/new && \
             grep -c ' {}/m ' /proc/self/mountinfo && umount m",
            room.dir.display()
        );
        let said = room.sh(&format!("exec unshare -Urm sh -c '{}'", script.replace('\'', r"'\''")));
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "high1\n", ""));
        assert_eq!(room.read("u/new"), "x\n");
    });
}

/// Without CAP_SYS_ADMIN the form that ends in a command makes a user namespace of its own.
#[test]
fn a_command_gets_a_user_namespace_where_mounting_needs_one() {
    need!(root, fuse, overlay, userns, "setpriv");
    with_each_driver(|room, driver| {
        let said = room.sh(&format!(
            "exec setpriv --bounding-set=-sys_admin $OVL --driver {driver} -o {OPTIONS} -- sh -c 'id -u; cat both; echo x >new'"
        ));
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "0\nhigh", ""));
        assert_eq!(room.read("u/new"), "x\n");
        assert!(room.mounted("u.merged").is_empty());
    });
}

/// What `script` says when an ordinary user runs it in a folder of theirs with two layers; `$OVL` is ovl-mount.
fn as_user(folder: &Path, script: &str) -> Said {
    let prepare =
        "cd \"$1\" && mkdir -p low high u w m && echo low >low/both && echo low >low/below && echo high >high/both";
    let mut command = user::command("sh");
    command
        .args(["-c", &format!("{prepare}\n{script}"), "sh"])
        .arg(folder)
        .env("OVL", OVL_MOUNT)
        .env_remove("OVL_DRIVER");
    command.output().expect("asuser.sh runs").into()
}

/// contract O3
#[test]
fn an_ordinary_user_runs_a_command_with_their_ranges_mapped() {
    need!(root, user, fuse, overlay, userns);
    for driver in ["kernel", "fuse"] {
        let home = user::scratch();
        let inside = "id -u; cat both below; echo x >new; chown 7:8 new; stat -c %u:%g new; rm below";
        let said =
            as_user(home.path(), &format!("$OVL --driver {driver} -o {OPTIONS} -- sh -c '{inside}'; echo $?; ls u"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{driver}");
        assert_eq!(said.out, "0\nhigh\nlow\n7:8\n0\nbelow\nnew\n", "{driver}");
        let owner = std::os::unix::fs::MetadataExt::uid(&home.path().join("u/new").metadata().expect("the file"));
        assert!(owner >= 100_000, "{driver}: made for id 7 of the user's range, which is {owner} outside");
    }
}

#[test]
fn an_ordinary_user_without_newuidmap_has_one_id() {
    need!(root, user, overlay, userns);
    let home = user::scratch();
    let script = format!(
        "PATH=$PWD; /bin/ln -s /bin/cat /bin/wc . ; $OVL --driver kernel -o {OPTIONS} -- /bin/sh -c '/bin/cat /proc/self/uid_map'"
    );
    let said = as_user(home.path(), &script);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let fields: Vec<&str> = said.out.split_whitespace().collect();
    assert_eq!((fields.len(), fields.first(), fields.last()), (3, Some(&"0"), Some(&"1")), "{}", said.out);
}

#[test]
fn an_ordinary_user_mounts_by_fusermount3() {
    need!(root, user, fuse, "fusermount3");
    let home = user::scratch();
    let script = "cat m/both && echo x >m/new && cat u/new && fusermount3 -u m && ls m";
    let said = as_user(home.path(), &format!("$OVL --json -o {OPTIONS} m && {script}"));
    let (told, rest) = said.out.split_once('\n').expect("two lines");
    assert_eq!((rest, said.err.as_str()), ("high\nx\n", ""));
    let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
    let server = told["pid"].as_i64().expect("a pid") as i32;
    eventually("the server ends", AT_ONCE, || !alive(server));
}

/// contract O10, contract O11
///
/// The server cannot enter the mount's namespace by itself: fusermount3 unmounts for it.
#[test]
fn an_ordinary_users_server_is_asked_and_told_to_end() {
    need!(root, user, fuse, "fusermount3");
    let home = user::scratch();
    let script = "pid=$($OVL status --json m | sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); echo x >m/new; kill -USR1 $pid; sleep 0.2; \
                  $OVL status m | grep -c 'Z .*nodes '; $OVL -o remount,ro m; kill -TERM $pid; \
                  for i in 1 2 3 4 5 6 7 8 9; do kill -0 $pid 2>/dev/null && sleep 0.5; done; ls m; cat u/new; grep -c \" $PWD/m \" /proc/self/mountinfo";
    let said = as_user(home.path(), &format!("$OVL --driver fuse -o {OPTIONS} m && {script}"));
    assert_eq!(said.out, "1\nx\n0\n", "{}", said.err);
    let refused = "hint: the kernel lets only root of the mount's user namespace do this\n";
    assert!(said.err.starts_with("ovl-mount: remount m: ") && said.err.ends_with(refused), "{}", said.err);
}

/// contract O9
#[test]
fn an_ordinary_user_without_fusermount3_is_told_what_to_do() {
    need!(root, user, fuse, overlay);
    let home = user::scratch();
    let said = as_user(home.path(), &format!("PATH=/nowhere; $OVL -o {OPTIONS} m"));
    assert_eq!(said.code, 1);
    let lines: Vec<&str> = said.err.lines().collect();
    let [fuse, kernel, hint] = lines.as_slice() else { panic!("{}", said.err) };
    assert!(fuse.starts_with("ovl-mount: fuse: fusermount3 ") && fuse.ends_with("is not installed"), "{fuse}");
    assert_eq!(*kernel, "ovl-mount: kernel: kernel overlay: mounting needs CAP_SYS_ADMIN");
    assert!(hint.starts_with("hint: let ovl-mount run the command (ovl-mount … -- CMD)"), "{hint}");
}

/// The machine as a layer: only the fuse driver can, and shows root's files as root's.
#[test]
fn an_ordinary_user_over_the_machine() {
    need!(root, user, fuse, userns);
    let home = user::scratch();
    let inside = "stat -c %u:%g usr/bin; cat etc/hostname >/dev/null && echo x >etc/veneer-was-here && echo written";
    let options = "lowerdir=/,upperdir=u,workdir=w";
    let said = as_user(home.path(), &format!("$OVL --driver kernel,fuse -o {options} -- sh -c '{inside}'"));
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "0:0\nwritten\n", ""));
    assert!(!Path::new("/etc/veneer-was-here").exists());
    let said = as_user(home.path(), &format!("$OVL --driver kernel -o {options} -- true"));
    let hint = "hint: in a user namespace the kernel takes no `/` as a layer; use --driver fuse\n";
    assert!(said.code == 125 && said.err.ends_with(hint), "{}", said.err);
}
