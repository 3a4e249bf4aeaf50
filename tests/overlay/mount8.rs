//! As mount(8) calls it: through fuse3's mount.fuse, through a link of its own, and from a line of fstab.

use crate::room::{AT_ONCE, OVL_MOUNT, Room, alive, eventually, room};
use testkit::need;

/// Puts ovl-mount where /bin/sh looks, whom mount.fuse3 starts without a PATH.
fn install(room: &Room) {
    room.folder("bin");
    std::os::unix::fs::symlink(OVL_MOUNT, room.path("bin/ovl-mount")).expect("a link");
    let bound = room.sh("mount --bind bin /usr/local/sbin");
    assert_eq!(bound.code, 0, "{}", bound.err);
}

/// The options with absolute names, as fstab needs them.
fn options(room: &Room) -> String {
    let at = |name: &str| room.path(name).display().to_string();
    format!("lowerdir={}:{},upperdir={},workdir={}", at("high"), at("low"), at("u"), at("w"))
}

fn server(room: &Room) -> i32 {
    let said = room.ovl_mount(&["status", "--json", "m"]);
    let status: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    status["pid"].as_i64().expect("a pid") as i32
}

/// Runs `script`; `$T` is the mount point and `$O` the options.
fn sh(room: &Room, script: &str) {
    let said = room.sh(&format!("set -e; T=$PWD/m; O='{}'\n{script}", options(room)));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{script}");
}

#[test]
fn mount_finds_it_by_its_type() {
    need!(root, fuse, "mount.fuse3");
    room(|room| {
        install(room);
        sh(room, "mount -t fuse.ovl-mount my-source $T -o $O,noatime,nosuid,x-systemd.automount,nofail");
        assert_eq!(room.read("m/both"), "high");
        let [line] = room.mounted("m").try_into().expect("one mount");
        assert!(line.starts_with("rw,nosuid,") && line.contains("noatime"), "{line}");
        assert!(line.contains(" - fuse.ovl-mount my-source "), "{line}");
        let pid = server(room);
        sh(room, "mount -o remount,ro $T");
        assert!(std::fs::write(room.path("m/x"), "").is_err());
        sh(room, "mount -o remount,rw $T");
        room.file("m/x", "");
        sh(room, "umount $T");
        eventually("the server ends", AT_ONCE, || !alive(pid));
        sh(room, "mount -t fuse.ovl-mount none $T -o ro,$O");
        let pid = server(room);
        assert!(std::fs::write(room.path("m/y"), "").is_err());
        sh(room, "fusermount3 -u $T");
        eventually("the server ends", AT_ONCE, || !alive(pid));
    });
}

/// contract O13
#[test]
fn a_line_of_fstab() {
    need!(root, fuse, "mount.fuse3");
    room(|room| {
        install(room);
        let m = room.path("m").display().to_string();
        room.file("fstab", &format!("overlay {m} fuse.ovl-mount {},noauto,nodev 0 0\n", options(room)));
        sh(room, "mount -T fstab $T");
        assert_eq!(room.read("m/below"), "low");
        assert!(room.mounted("m")[0].contains("nodev"), "{:?}", room.mounted("m"));
        sh(room, "mount -T fstab -o remount,ro $T");
        assert!(std::fs::write(room.path("m/x"), "").is_err());
        sh(room, "umount $T");
    });
}

/// Called as mount.fuse.ovl-mount its letters are mount(8)'s, and it needs no fuse3.
#[test]
fn under_the_name_of_a_helper() {
    need!(root, fuse);
    room(|room| {
        for name in ["mount.fuse.ovl-mount", "mount.ovl-mount"] {
            std::os::unix::fs::symlink(OVL_MOUNT, room.path(name)).expect("a link");
            sh(room, &format!("./{name} none $T -sf -o $O"));
            assert!(room.mounted("m").is_empty(), "-f mounts nothing");
            sh(room, &format!("./{name} none $T -sn -o $O,dev -t fuse.ovl-mount"));
            assert_eq!(room.read("m/both"), "high");
            room.umount("m");
        }
        let said = room.sh("./mount.ovl-mount m");
        assert_eq!(said.code, 2);
        assert!(said.err.starts_with("ovl-mount: a source and a mount point are needed\nhint: "), "{}", said.err);
    });
}

/// contract O13
///
/// By a link where mount(8) looks, over the machine's own folder of helpers.
#[test]
fn mount_calls_the_link() {
    need!(root, fuse);
    room(|room| {
        let script = format!(
            "mkdir sbin work up && mount -t overlay -o lowerdir=/usr/sbin,upperdir=$PWD/up,workdir=$PWD/work none /usr/sbin && \
             ln -s {OVL_MOUNT} /usr/sbin/mount.fuse.ovl-mount && env -i /usr/bin/mount -t fuse.ovl-mount none $T -o $O"
        );
        sh(room, &script);
        assert_eq!(room.read("m/both"), "high");
        sh(room, "umount $T; umount /usr/sbin");
    });
}
