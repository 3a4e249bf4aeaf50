//! Which driver serves, in environments where one of them cannot.

use crate::room::{Room, room};
use nix::mount::{MsFlags, mount};
use testkit::need;

const OPTIONS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

fn told(room: &Room, args: &[&str]) -> serde_json::Value {
    let said = room.ovl_mount(&[&["--json"], args].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

/// An empty /dev but for what ovl-mount needs.
fn without_dev_fuse(room: &Room) {
    room.folder("dev");
    let dev = room.path("dev");
    std::fs::write(dev.join("null"), "").expect("a file");
    mount(Some("/dev/null"), &dev.join("null"), None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
    mount(Some(&dev), "/dev", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).expect("bind");
}

/// contract O6
#[test]
fn the_first_of_the_list_that_works_serves() {
    need!(root, fuse, overlay);
    room(|room| {
        assert_eq!(told(room, &["-o", OPTIONS, "m"])["driver"], "fuse");
        room.umount("m");
        assert_eq!(told(room, &["--driver", "kernel,fuse", "-o", OPTIONS, "m"])["driver"], "kernel");
        room.umount("m");
        let said = room.sh(&format!("OVL_DRIVER=kernel,fuse $OVL -v -o {OPTIONS} m"));
        assert_eq!(said.err, format!("ovl-mount: mounted by kernel: {}\n", room.path("m").display()));
        room.umount("m");
        let said = room.sh(&format!("OVL_DRIVER=kernel $OVL -v --driver fuse -o {OPTIONS} m"));
        assert_eq!(said.err, format!("ovl-mount: mounted by fuse: {}\n", room.path("m").display()));
    });
}

/// contract O6, contract O9
#[test]
fn without_the_fuse_device_the_kernel_serves_and_why_is_told() {
    need!(root, overlay);
    room(|room| {
        without_dev_fuse(room);
        let told = told(room, &["-o", OPTIONS, "m"]);
        assert_eq!(told["driver"], "kernel");
        let why = serde_json::json!([{ "driver": "fuse", "reason": "open /dev/fuse: no such file or directory" }]);
        assert_eq!(told["passed_over"], why);
        room.umount("m");
        let said = room.ovl_mount(&["-v", "-o", OPTIONS, "m"]);
        assert!(
            said.err.starts_with("ovl-mount: not by fuse: open /dev/fuse: no such file or directory\n"),
            "{}",
            said.err
        );
        room.umount("m");
        let said = room.ovl_mount(&["--driver", "fuse", "-o", OPTIONS, "m"]);
        assert_eq!(said.code, 1);
        let hint = "hint: this machine or container has no FUSE device: --device /dev/fuse, or modprobe fuse\n";
        assert_eq!(said.err, format!("ovl-mount: open /dev/fuse: no such file or directory\n{hint}"));
    });
}

/// As most machines keep it: a device that is root's alone.
#[test]
fn a_fuse_device_that_is_closed_to_users_is_told() {
    need!(root, user, overlay, userns, "setpriv");
    room(|room| {
        let home = testkit::user::scratch();
        let node = room.path("fuse");
        let device = nix::sys::stat::makedev(10, 229);
        let (kind, mode) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::S_IRUSR);
        nix::sys::stat::mknod(&node, kind, mode, device).expect("a device");
        mount(Some(&node), "/dev/fuse", None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
        let script = format!(
            "cd {} && mkdir low high u w && exec setpriv --reuid {} --regid {} --clear-groups $OVL --driver fuse -o {OPTIONS} -- true",
            home.path().display(),
            testkit::user::NAME,
            testkit::user::NAME,
        );
        let said = room.sh(&script);
        assert_eq!(said.code, 125);
        assert_eq!(
            said.err,
            "ovl-mount: open /dev/fuse: permission denied\n\
             hint: this user may not open it: chmod 666 /dev/fuse, or --driver kernel\n"
        );
    });
}

/// An upper that is itself on an overlay: the kernel takes none, the fuse driver does.
#[test]
fn on_an_overlay_the_fuse_driver_serves() {
    need!(root, fuse, overlay);
    room(|room| {
        room.mounts(&["--driver", "kernel", "-o", OPTIONS, "m"]);
        room.folder("m/u2");
        room.folder("m2");
        let options = "lowerdir=low,upperdir=m/u2,workdir=m/w2";
        let told = told(room, &["--driver", "kernel,fuse", "-o", options, "m2"]);
        assert_eq!(told["driver"], "fuse");
        let reason = told["passed_over"][0]["reason"].as_str().expect("a reason");
        assert!(reason.ends_with("the kernel takes no upper that is on an overlay itself"), "{reason}");
        room.file("m2/new", "new");
        assert_eq!(room.read("u/u2/new"), "new");
        room.umount("m2");
        let said = room.ovl_mount(&["--driver", "kernel", "-o", options, "m2"]);
        let upper = room.path("m/u2");
        assert_eq!(
            said.err,
            format!(
                "ovl-mount: upper layer {}: the kernel takes no upper that is on an overlay itself\n\
                 hint: put the upper on a disk or tmpfs, or use --driver fuse\n",
                upper.display()
            )
        );
    });
}

/// Its kernel keeps devices 0:0 for its own whiteouts there; a file `.wh.NAME` stands for one, as with fuse-overlayfs.
#[test]
fn on_an_overlay_things_can_be_removed_and_renamed() {
    need!(root, fuse, overlay);
    room(|room| {
        room.mounts(&["--driver", "kernel", "-o", OPTIONS, "m"]);
        for folder in ["m/u2", "m2", "low/dir/inner", "low/full", "low/gone"] {
            room.folder(folder);
        }
        for (file, text) in [("low/dir/a", "a"), ("low/full/f", "f"), ("low/full/g", "g"), ("low/moved", "moved")] {
            room.file(file, text);
        }
        let mounts = || room.mounts(&["--driver", "fuse", "-o", "lowerdir=low,upperdir=m/u2,workdir=m/w2", "m2"]);
        mounts();
        let script = "set -e; cd m2; rm both; rmdir gone; rm -r full; mv moved dir/to; mkdir full; echo n >full/n; \
                      echo again >both; rm both; echo more >both; mv dir other; mkdir dir; rmdir dir; mkdir gone; mv other gone/in; mv gone/in other";
        let said = room.sh(script);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let shown = || room.sh("cd m2; find . | sort | tr '\\n' ' '; cat both other/a other/to full/n").out;
        let expected =
            ". ./below ./both ./full ./full/n ./gone ./other ./other/a ./other/inner ./other/to more\namovedn\n";
        assert_eq!(shown(), expected);
        room.umount("m2");
        mounts();
        assert_eq!(shown(), expected, "after it was mounted again");
        assert!(room.has("u/u2/.wh.moved"), "by name");
        let said = room.sh("cd m2; rm -r other full gone below both && ls -A");
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
        room.umount("m2");
    });
}

/// contract O9
#[test]
fn where_none_works_there_is_a_line_for_each() {
    need!(root, overlay);
    room(|room| {
        without_dev_fuse(room);
        let said = room.ovl_mount(&["-o", &format!("squash_to_root,{OPTIONS}"), "m"]);
        assert_eq!(said.code, 1);
        assert_eq!(
            said.err,
            "ovl-mount: fuse: open /dev/fuse: no such file or directory\n\
             ovl-mount: kernel: kernel overlay squash_to_root: only the fuse driver can show another owner\n\
             hint: this machine or container has no FUSE device: --device /dev/fuse, or modprobe fuse\n"
        );
    });
}
