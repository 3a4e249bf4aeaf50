//! What is wrong with a request, said in one line and a hint, by both drivers alike; and nothing is mounted.

use crate::room::{Room, room};
use nix::mount::{MsFlags, mount};
use testkit::need;

#[track_caller]
fn refused(room: &Room, code: i32, args: &[&str], text: &str) {
    for driver in ["fuse", "kernel"] {
        let said = room.ovl_mount(&[&["--driver", driver], args].concat());
        assert_eq!((said.code, said.err.as_str(), said.out.as_str()), (code, text, ""), "{driver}: {args:?}");
    }
    assert!(room.mounted("m").is_empty());
}

#[test]
fn folders_that_are_missing_or_no_folders() {
    need!(root);
    room(|room| {
        refused(
            room,
            1,
            &["-o", "lowerdir=nowhere:low,upperdir=u,workdir=w", "m"],
            "ovl-mount: lower layer nowhere: no such file or directory\nhint: mkdir -p nowhere\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=nowhere,workdir=w", "m"],
            "ovl-mount: upper layer nowhere: no such file or directory\nhint: mkdir -p nowhere\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=u,workdir=no/where", "m"],
            "ovl-mount: work folder no/where: no such file or directory\nhint: the folder it would be made in is missing\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=u,workdir=w", "nowhere"],
            "ovl-mount: mount point nowhere: no such file or directory\nhint: mkdir -p nowhere\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=u,workdir=w", "low/both"],
            "ovl-mount: mount point low/both: not a directory\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low/both,upperdir=u,workdir=w", "m"],
            "ovl-mount: lower layer low/both: not a directory\n",
        );
        let long = "x".repeat(300);
        refused(
            room,
            1,
            &["-o", &format!("lowerdir={long}"), "m"],
            &format!("ovl-mount: lower layer {long}: file name too long\n"),
        );
    });
}

#[test]
fn folders_that_do_not_go_together() {
    need!(root);
    room(|room| {
        let low = room.path("low").display().to_string();
        refused(
            room,
            1,
            &["-o", "lowerdir=low:high:low,upperdir=u,workdir=w", "m"],
            &format!("ovl-mount: layer {low}: named twice\nhint: each layer can stand in an overlay once\n"),
        );
        std::os::unix::fs::symlink("low", room.path("link")).expect("a link");
        let link = room.path("link").display().to_string();
        refused(
            room,
            1,
            &["-o", "lowerdir=low:link,upperdir=u,workdir=w", "m"],
            &format!(
                "ovl-mount: layer {link}: the same folder as {low}\nhint: each layer can stand in an overlay once\n"
            ),
        );
        room.folder("disk");
        mount(Some("disk"), &room.path("disk"), Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=u,workdir=disk/w", "m"],
            "ovl-mount: work folder disk/w: not on the same mount as the upper layer u\n\
             hint: a finished file is moved from one to the other, which works within one file system only\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=u,workdir=u/w", "m"],
            "ovl-mount: work folder u/w: and the upper layer u, one lies in the other\nhint: put them side by side\n",
        );
        refused(
            room,
            1,
            &["-o", "lowerdir=low,upperdir=u", "m"],
            "ovl-mount: upper layer u: has no work folder\nhint: add workdir=DIR, an empty folder on the same file system\n",
        );
        refused(
            room,
            1,
            &["-o", "upperdir=u,workdir=w", "m"],
            "ovl-mount: no lower layer named\nhint: name at least one: -o lowerdir=A:B, or --layers FILE\n",
        );
    });
}

/// contract E1
#[test]
fn wrong_command_lines() {
    room_or_not(|run| {
        assert_eq!(
            run(&["--frobnicate"]),
            (2, "unexpected argument '--frobnicate' found\nhint: ovl-mount --help\n".into())
        );
        assert_eq!(run(&["-o", "lowerdir=a"]).0, 2);
        assert_eq!(
            run(&["--driver", "aufs", "m"]),
            (2, "driver aufs: unknown\nhint: there are `fuse` and `kernel`\n".into())
        );
        assert_eq!(
            run(&["-o", "lowerdir=a::b:c", "m"]),
            (2, "option lowerdir=a::b:c: a layer behind a data-only one\nhint: data-only layers come last, each behind a double colon: A:B::DATA1::DATA2\n".into())
        );
        assert_eq!(
            run(&["-o", "remount,ro", "m", "--layers", "x"]),
            (2, "remount takes options and a mount point only\nhint: ovl-mount -o remount,ro TARGET\n".into())
        );
        assert_eq!(run(&["--compat", "aufs", "m"]).0, 2);
        assert_eq!(run(&["--layers", "/dev/null", "--upper", "/tmp/u", "m"]).0, 1);
    });
}

/// These need no namespace and no root.
fn room_or_not(test: impl Fn(&dyn Fn(&[&str]) -> (i32, String))) {
    test(&|args| {
        let mut command = std::process::Command::new(crate::room::OVL_MOUNT);
        let output = command.args(args).env_remove("OVL_DRIVER").output().expect("ovl-mount runs");
        let said = crate::room::Said::from(output);
        (said.code, said.err.strip_prefix("ovl-mount: ").unwrap_or(&said.err).to_owned())
    });
}

/// Unknown options are named and ignored, as fuse-overlayfs does.
#[test]
fn unknown_options_are_a_warning() {
    need!(root, overlay);
    room(|room| {
        let options = "lowerdir=high:low,upperdir=u,workdir=w,frobnicate=7,writeback=1,x-gvfs-hide,_netdev";
        let said = room.ovl_mount(&["--driver", "kernel", "-o", options, "m"]);
        assert_eq!((said.code, said.err.as_str()), (0, "ovl-mount: option frobnicate=7: unknown, ignored\n"));
    });
}

#[test]
fn what_only_the_kernel_refuses() {
    need!(root, overlay);
    room(|room| {
        let run = |args: &[&str]| room.ovl_mount(&[&["--driver", "kernel"], args].concat());
        room.folder("low/inner");
        let said = run(&["-o", "lowerdir=low:low/inner,upperdir=u,workdir=w", "m"]);
        let hint = "hint: one layer lies inside another: name only the outer or only the inner one\n";
        assert!(said.code == 1 && said.err.ends_with(hint), "{}", said.err);
        let said = run(&["-o", "lowerdir=low", "m"]);
        let low = room.path("low").display().to_string();
        assert_eq!(said.err, format!("ovl-mount: kernel overlay {low}: the kernel wants two layers or an upper\n"));
        let mut list = String::new();
        for layer in 0..501 {
            room.folder(format!("{layer}"));
            list.push_str(&format!("{layer}\n"));
        }
        room.file("list", &list);
        let said = run(&["--layers", "list", "--upper", "u"]);
        assert_eq!(said.err, "ovl-mount: kernel overlay 501 layers: the kernel takes at most 500\n");
    });
}

/// What a volatile overlay has written is not on the disk for certain, and the kernel marks it so.
#[test]
fn a_volatile_upper_is_not_trusted_twice() {
    need!(root, overlay);
    room(|room| {
        let options = "lowerdir=low,upperdir=u,workdir=w";
        room.mounts(&["--driver", "kernel", "-o", &format!("{options},volatile"), "m"]);
        room.umount("m");
        let mark = room.path("w/work/incompat/volatile");
        let text = format!(
            "ovl-mount: upper layer u: was written by a volatile overlay, which may have lost some of it\n\
             hint: start with an empty upper, or trust it as it is: rm -r {}\n",
            mark.display()
        );
        refused(room, 1, &["-o", options, "m"], &text);
        std::fs::remove_dir_all(mark).expect("the mark");
        room.mounts(&["--driver", "kernel", "-o", options, "m"]);
    });
}

/// Whichever driver comes second: two that write to one upper would ruin it.
#[test]
fn an_upper_that_a_server_has_is_in_use() {
    need!(root, fuse, overlay);
    room(|room| {
        let options = "lowerdir=low,upperdir=u,workdir=w";
        room.mounts(&["--driver", "fuse", "-o", options, "m"]);
        room.folder("m2");
        for drivers in ["kernel", "fuse", "fuse,kernel"] {
            let said = room.ovl_mount(&["--driver", drivers, "-o", options, "m2"]);
            assert_eq!(said.code, 1, "{drivers}");
            assert!(room.mounted("m2").is_empty());
            let lines = said.err.lines().count();
            assert!(lines == 2 && said.err.contains("another overlay"), "{drivers}: {}", said.err);
        }
    });
}
