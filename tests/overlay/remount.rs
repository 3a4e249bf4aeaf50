//! Options changed while it is mounted, by mount(8) and by ovl-mount.

use crate::room::{Room, room, with_each_driver};
use testkit::need;

const OPTIONS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

fn writable(room: &Room) -> bool {
    std::fs::write(room.path("m/probe"), "x").is_ok()
}

fn options(room: &Room) -> String {
    let mounted = room.mounted("m");
    let [line] = mounted.as_slice() else { panic!("one mount expected: {mounted:?}") };
    line.split(' ').next().unwrap_or_default().to_owned()
}

/// contract O12
#[test]
fn read_only_and_back() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        // Neither what mount(8) does by itself nor what it has a helper do loses the others.
        for command in ["mount -i -o remount,", "$OVL -o remount,"] {
            room.mounts(&["--driver", driver, "-o", &format!("{OPTIONS},nosuid"), "m"]);
            assert!(writable(room));
            let remount = |what: &str| {
                let said = room.sh(&format!("{command}{what} m"));
                assert_eq!((said.code, said.err.as_str()), (0, ""), "{command}{what}");
            };
            remount("ro");
            assert!(!writable(room) && options(room).starts_with("ro,nosuid"), "{driver} {}", options(room));
            remount("rw");
            assert!(writable(room) && options(room).starts_with("rw,nosuid"), "{driver} {}", options(room));
            room.umount("m");
        }
        room.mounts(&["--driver", driver, "-o", &format!("{OPTIONS},noatime"), "m"]);
        let said = room.ovl_mount(&["-o", "remount,noexec,strictatime", "m"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert_eq!(options(room), "rw,noexec", "{driver}");
        room.umount("m");
    });
}

/// contract O12
#[test]
fn what_cannot_be_changed_is_refused_by_name() {
    need!(root, fuse, overlay);
    room(|room| {
        room.mounts(&["--driver", "fuse", "-o", OPTIONS, "m"]);
        let refused = |list: &str, text: &str| {
            let said = room.ovl_mount(&["-o", list, "m"]);
            assert_eq!((said.code, said.err.as_str()), (1, text), "{list}");
            assert!(writable(room), "{list}: nothing has changed");
        };
        let fixed = "cannot be changed while it is mounted\nhint: unmount it and mount it anew\n";
        refused("remount,ro,volatile", &format!("ovl-mount: option volatile: {fixed}"));
        refused("remount,ro,upperdir=/tmp", &format!("ovl-mount: option upperdir=/tmp: {fixed}"));
        // What is as it was may be said again, as fstab's line is at a remount, and what the kernel shows of a mount.
        let upper = room.path("u").display().to_string();
        let list = format!("remount,ro,upperdir={upper},user_id=0,group_id=0,default_permissions,allow_other,debug");
        let said = room.ovl_mount(&["-o", &list, "m"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(!writable(room));
        let status: serde_json::Value =
            serde_json::from_str(&room.ovl_mount(&["status", "--json", "m"]).out).expect("JSON");
        assert!(status["options"].as_array().is_some_and(|o| o.contains(&"debug".into())), "{status}");
        room.umount("m");

        room.mounts(&["--driver", "fuse", "-o", "lowerdir=high:low", "m"]);
        let said = room.ovl_mount(&["-o", "remount,rw", "m"]);
        let hint = "hint: unmount it and mount it with upperdir=\n";
        assert_eq!(said.err, format!("ovl-mount: remount m: it has no upper layer and stays read-only\n{hint}"));
        room.umount("m");

        room.mounts(&["--driver", "kernel", "-o", OPTIONS, "m"]);
        let said = room.ovl_mount(&["-o", "remount,volatile", "m"]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("of an overlay without a server to ask\nhint: unmount it"), "{}", said.err);
        let said = room.ovl_mount(&["-o", "remount,ro", "low"]);
        assert!(said.err.starts_with("ovl-mount: remount low: nothing is mounted there\n"), "{}", said.err);
    });
}
