//! The three forms of the command line, by both drivers.

use crate::room::{OVL_MOUNT, Room, Said, room, with_each_driver};
use std::io::Write;
use std::process::Stdio;
use testkit::need;

const LAYERS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

/// `ovl-mount` with `input` on standard input.
fn fed(room: &Room, input: &[u8], args: &[&str]) -> Said {
    let mut command = room.command(OVL_MOUNT);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ovl-mount runs");
    child.stdin.take().expect("its stdin").write_all(input).expect("written");
    child.wait_with_output().expect("it ends").into()
}

/// contract O1, contract O5
#[test]
fn the_mount_form_returns_when_mounted_and_says_nothing() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        room.mounts(&["--driver", driver, "-o", &format!("{LAYERS},,"), "m"]);
        assert_eq!(room.read("m/both"), "high");
        assert_eq!(room.read("m/below"), "low");
        room.file("m/new", "new");
        assert_eq!(room.read("u/new"), "new");
        assert!(!room.has("low/new") && !room.has("high/new"));
        room.umount("m");
        assert!(!room.has("m/both"));
    });
}

/// contract O1
#[test]
fn as_a_helper_of_mount_it_takes_a_source_first_and_options_last() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        room.mounts(&[
            "--driver",
            driver,
            "src",
            "m",
            "-o",
            &format!("rw,nosuid,nodev,noexec,{LAYERS}"),
            "-t",
            "fuse.ovl-mount",
        ]);
        let fields = room.mounted("m").pop().expect("a mount");
        let kind = if driver == "fuse" { "fuse.ovl-mount" } else { "overlay" };
        assert!(fields.contains(&format!("- {kind} src ")), "{fields}");
        assert!(fields.starts_with("rw,nosuid,nodev,noexec,"), "{fields}");
    });
}

#[test]
fn without_an_upper_it_is_read_only() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        room.mounts(&["--driver", driver, "-o", "lowerdir=high:low,fsname=some where", "m"]);
        assert_eq!(room.read("m/both"), "high");
        let error = std::fs::write(room.path("m/new"), "").expect_err("read-only");
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
        let fields = room.mounted("m").pop().expect("a mount");
        assert!(fields.starts_with("ro,") && fields.contains(" some\\040where "), "{fields}");
    });
}

#[test]
fn names_may_hold_colons_commas_backslashes_and_be_long() {
    need!(root, fuse, overlay);
    let long = format!("long/{}/{}", "x".repeat(200), "y".repeat(200));
    with_each_driver(|room, driver| {
        for (name, escaped) in [(r"a:b", r"a\:b"), (r"c,d", r"c\,d"), (r"e\f", r"e\\f"), (long.as_str(), long.as_str())]
        {
            room.folder(name);
            room.file(format!("{name}/here"), name);
            room.folder("u2");
            let options = format!("lowerdir={escaped}:low,upperdir=u2,workdir=w2");
            room.mounts(&["--driver", driver, "-o", &options, "m"]);
            assert_eq!(room.read("m/here"), name);
            room.umount("m");
            let options = format!("lowerdir=low,upperdir={escaped},workdir=w3");
            room.mounts(&["--driver", driver, "-o", &options, "m"]);
            assert_eq!(room.read("m/here"), name);
            room.umount("m");
        }
    });
}

/// contract O2
#[test]
fn the_layers_form_reads_folders_lowest_first_and_prints_the_mount_point() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let said = fed(room, b"low\nhigh\n", &["--driver", driver, "--layers", "-", "--upper", "rw"]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "rw.merged\n", ""));
        assert_eq!(room.read("rw.merged/both"), "high");
        room.file("rw.merged/new", "");
        assert!(room.has("rw/new") && room.has("rw.work"));
        room.umount("rw.merged");
        let said = fed(room, b"low\0high\0", &["--driver", driver, "--layers", "-", "-z", "--upper", "rw", "m"]);
        assert_eq!((said.code, said.out.as_str()), (0, "m\n"));
        assert!(room.has("m/new"));
        room.umount("m");
        room.file("list", "low\nhigh\n");
        let said =
            room.ovl_mount(&["--driver", driver, "--layers", "list", "--upper", "rw", "--work", "work", "m", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let told: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!((&told["mount_point"], &told["driver"]), (&"m".into(), &driver.into()));
        assert!(room.has("work"));
    });
}

/// contract O3, contract E2, contract E3, contract E4, contract E5
#[test]
fn the_command_form_runs_it_in_there_and_leaves_nothing_mounted() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let run = |command: &[&str]| room.ovl_mount(&[&["--driver", driver, "-o", LAYERS, "--"], command].concat());
        let said = run(&["sh", "-c", "pwd; echo $OVL_MOUNT; cat both; echo x >new; exit 7"]);
        let merged = room.path("u.merged").display().to_string();
        assert_eq!((said.code, said.out, said.err.as_str()), (7, format!("{merged}\n{merged}\nhigh"), ""));
        assert_eq!(room.read("u/new"), "x\n");
        assert!(room.mounted("u.merged").is_empty() && !room.has("u.merged"));
        assert_eq!(run(&["sh", "-c", "kill -9 $$"]).code, 137);
        let said = run(&["no-such-command"]);
        assert_eq!(
            (said.code, said.err.as_str()),
            (127, "ovl-mount: no-such-command: executable file not found in $PATH\n")
        );
        let said = run(&["./no-such-command"]);
        assert_eq!((said.code, said.err.as_str()), (127, "ovl-mount: ./no-such-command: no such file or directory\n"));
        let said = run(&["./both"]);
        assert_eq!((said.code, said.err.as_str()), (126, "ovl-mount: ./both: permission denied\n"));
        let said = room.ovl_mount(&["-o", "lowerdir=nowhere", "m", "--", "true"]);
        assert_eq!(said.code, 125);
        assert_eq!(room.ovl_mount(&["--frobnicate", "m", "--", "true"]).code, 125);
    });
}

/// contract O4
#[test]
fn a_command_behind_a_list_on_stdin_reads_nothing_or_the_terminal() {
    need!(root, overlay, "script");
    room(|room| {
        let args = ["--driver", "kernel", "--layers", "-", "--upper", "rw", "--", "readlink", "/proc/self/fd/0"];
        // A session of its own has no terminal.
        let said = room.sh(&format!("echo low | setsid -w $OVL {}", args.join(" ")));
        assert_eq!((said.code, said.out.as_str()), (0, "/dev/null\n"), "{}", said.err);
        let said = room.sh(&format!("script -qec \"echo low | $OVL {}\" /dev/null", args.join(" ")));
        assert_eq!((said.code, said.out.trim()), (0, "/dev/tty"), "{}", said.err);
        // Where the list came from a file, stdin is the caller's.
        room.file("list", "low\n");
        let said = fed(room, b"mine", &["--driver", "kernel", "--layers", "list", "--upper", "rw", "--", "cat"]);
        assert_eq!((said.code, said.out.as_str()), (0, "mine"));
    });
}

#[test]
fn hundreds_of_layers() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let mut list = String::new();
        for layer in 0..300 {
            room.folder(format!("{layer}"));
            room.file(format!("{layer}/top"), &layer.to_string());
            room.file(format!("{layer}/of-{layer}"), "");
            list.push_str(&format!("{layer}\n"));
        }
        room.file("list", &list);
        let said = room.ovl_mount(&["--driver", driver, "--layers", "list", "--upper", "u"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert_eq!(room.read("u.merged/top"), "299");
        assert!(room.has("u.merged/of-0") && room.has("u.merged/of-150"));
    });
}

/// The machine itself as the layer: it is seen, and not changed.
#[test]
fn the_machine_as_a_layer() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let script = "test -e usr/bin && echo seen; echo x >etc/veneer-was-here; cat etc/veneer-was-here";
        let options = "lowerdir=/,upperdir=u,workdir=w";
        let said = room.ovl_mount(&["--driver", driver, "-o", options, "--", "sh", "-c", script]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "seen\nx\n", ""));
        assert!(!std::path::Path::new("/etc/veneer-was-here").exists());
        assert_eq!(room.read("u/etc/veneer-was-here"), "x\n");
    });
}

/// As mount(8) calls it, which finds it by its type.
#[test]
fn by_mount_with_a_type_of_fuse() {
    need!(root, fuse, "mount.fuse3");
    room(|room| {
        let bin = room.folder("bin");
        std::os::unix::fs::symlink(OVL_MOUNT, bin.join("ovl-mount")).expect("a link");
        // mount.fuse looks in a PATH of its own.
        nix::mount::mount(Some(&bin), "/usr/local/bin", None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>)
            .expect("bind");
        let said = room.sh(&format!("mount -t fuse.ovl-mount over m -o {LAYERS} && cat m/both && umount m"));
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "high", ""));
    });
}
