//! Options seen by their effects, and which driver they lead to. Where fuse-overlayfs has the option the same is asked of it.

use crate::room::{Room, Said, room, with_each_driver};
use testkit::need;

const LAYERS: &str = "lowerdir=high:low,upperdir=u,workdir=w";

fn fuse(room: &Room, options: &str) {
    room.mounts(&["--driver", "fuse", "-o", &format!("{LAYERS},{options}"), "m"]);
}

/// What a shell prints; it must end well.
#[track_caller]
fn sh(room: &Room, script: &str) -> String {
    let Said { code, out, err } = room.sh(script);
    assert_eq!((code, err.as_str()), (0, ""), "{script}");
    out.trim_end().to_owned()
}

#[test]
fn attributes_of_the_mount() {
    need!(root, fuse, overlay);
    with_each_driver(|room, driver| {
        let all = "nosuid,nodev,noexec,noatime,nodiratime,nosymfollow";
        room.mounts(&["--driver", driver, "-o", &format!("{LAYERS},{all},ro"), "m"]);
        let [line] = room.mounted("m").try_into().expect("one mount");
        let shown = line.split(' ').next().unwrap_or_default().to_owned();
        for word in format!("{all},ro").split(',') {
            assert!(shown.split(',').any(|w| w == word), "{driver}: {word} in {shown}");
        }
        room.umount("m");
        room.mounts(&[
            "--driver",
            driver,
            "-o",
            &format!("{LAYERS},sync,dirsync,strictatime,{all},suid,dev,exec,atime,diratime,symfollow"),
            "m",
        ]);
        let [line] = room.mounted("m").try_into().expect("one mount");
        assert!(line.starts_with("rw,relatime "), "{driver}: {line}");
        let file_system = line.rsplit(' ').next().unwrap_or_default();
        assert!(file_system.starts_with("rw,sync,dirsync"), "{driver}: {line}");
        room.umount("m");
    });
}

/// By fuse-overlayfs and by ovl-mount: the same line, the same owners.
#[test]
fn owners_are_squashed_and_mapped_as_by_fuse_overlayfs() {
    need!(root, fuse, "fuse-overlayfs");
    let owners = |program: &str, options: &str| {
        let mut shown = String::new();
        room(|room| {
            sh(room, "chown 1000:1000 low/below; chown 100004:100005 high/both");
            sh(room, &format!("{program} -o {LAYERS},{options} m 2>/dev/null"));
            let made = "echo >m/new; chown 6:7 m/new 2>/dev/null || echo no";
            shown = sh(room, &format!("stat -c %u:%g m/below m/both; {made}; stat -c %u:%g m/new"));
            sh(room, "umount m");
        });
        shown
    };
    for options in [
        "squash_to_root",
        "squash_to_uid=5,squash_to_gid=6",
        "squash_to_uid=5,squash_to_root",
        "uidmapping=1000:0:1:100000:1:65536,gidmapping=1000:0:1:100000:1:65536",
    ] {
        let theirs = owners("fuse-overlayfs", options);
        assert_eq!(owners("$OVL --driver fuse", options), theirs, "{options}");
    }
    assert_eq!(owners("$OVL", "squash_to_uid=5,squash_to_root"), "5:0\n5:0\n5:0");
}

/// fuse-overlayfs 1.10 knows an older name of the attribute, which is read too; at chmod it forgets the owner.
#[test]
fn owners_kept_in_attributes_are_fuse_overlayfs_own() {
    need!(root, fuse, "fuse-overlayfs", "fuser");
    let theirs = "fuse-overlayfs -o $O,xattr_permissions=2 m 2>/dev/null";
    let ours = "$OVL --driver fuse -o $O,xattr_permissions=2 m";
    for writer in [theirs, ours] {
        room(|room| {
            let script = format!(
                "O={LAYERS}; {writer}; echo x >m/new; chmod 640 m/new; chown 12:34 m/new; umount m; \
                 while fuser -s w 2>/dev/null; do sleep 0.05; done; stat -c %u:%g u/new; {ours}; stat -c %u:%g:%a m/new; umount m"
            );
            assert_eq!(sh(room, &script), "0:0\n12:34:640", "{writer}");
        });
    }
}

#[test]
fn without_extended_attributes_or_without_acls() {
    need!(root, fuse, "setfattr", "setfacl");
    room(|room| {
        sh(room, "setfattr -n user.a -v b low/below; setfacl -m u:7:r high/both");
        let asked = |path: &str| {
            room.sh(&format!("getfattr --absolute-names -d -m - {path} | grep -v '^#'; getfacl -pn {path}")).out
        };
        fuse(room, "noxattrs");
        assert_eq!(asked("m/below").matches("user.a").count(), 0);
        assert!(room.sh("setfattr -n user.c -v d m/below").err.contains("not supported"));
        assert!(!asked("m/both").contains("user:7:"));
        room.umount("m");
        fuse(room, "noacl");
        assert!(asked("m/below").contains("user.a=\"b\""), "{}", asked("m/below"));
        assert!(!asked("m/both").contains("user:7:") && !asked("m/both").contains("posix_acl"), "{}", asked("m/both"));
        assert!(room.sh("setfacl -m u:8:r m/both").err.contains("not supported"));
        room.umount("m");
        fuse(room, "noatime");
        assert!(asked("m/both").contains("user:7:r--"), "{}", asked("m/both"));
    });
}

/// What changes behind the kernel's back is seen when the time is over; the time can be changed at a remount.
#[test]
fn how_long_the_kernel_keeps_what_it_was_told() {
    need!(root, fuse);
    room(|room| {
        room.mounts(&["--driver", "fuse", "-o", &format!("{LAYERS},timeout=0"), "m"]);
        let asked = |room: &Room| {
            let said = room.ovl_mount(&["status", "--json", "m"]);
            let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
            status["statistics"]["requests"]["lookup"].as_u64().unwrap_or(0)
        };
        let lookups = |room: &Room| {
            let before = asked(room);
            for _ in 0..5 {
                assert!(room.has("m/below"));
            }
            asked(room) - before
        };
        assert!(lookups(room) >= 5);
        let said = room.ovl_mount(&["-o", "remount,timeout=1000", "m"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(lookups(room) <= 1, "the first answer is kept from now on");
        assert_eq!(lookups(room), 0);
    });
}

#[test]
fn fsync_need_not_wait() {
    need!(root, fuse);
    room(|room| {
        fuse(room, "fsync=0");
        for _ in 0..3 {
            sh(room, "dd if=/dev/zero of=m/file bs=4k count=1 conv=fsync 2>/dev/null");
        }
        let said = room.ovl_mount(&["status", "--json", "m"]);
        let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(status["statistics"]["requests"]["fsync"], 1, "asked once, told that it need not be");
        room.umount("m");
        assert_eq!(room.path("u/file").metadata().expect("the file").len(), 4096);
    });
}

/// What only the kernel's overlay can goes to the kernel, what only a server can to the server; each says why.
#[test]
fn options_that_one_driver_has() {
    need!(root, fuse, overlay);
    room(|room| {
        for (option, driver, reason) in [
            ("nfs_export=on", "kernel", "only the kernel driver can be exported by NFS"),
            ("verity=on", "kernel", "only the kernel driver checks by fs-verity"),
            ("uuid=on", "kernel", "only the kernel driver keeps an id of its own"),
            ("noxattrs", "fuse", "only the fuse driver can do without extended attributes"),
            ("xattr_permissions=2", "fuse", "only the fuse driver keeps owners in extended attributes"),
        ] {
            let (first, second) = if driver == "kernel" { ("fuse", "kernel") } else { ("kernel", "fuse") };
            // An upper of its own: what one driver writes down another need not take.
            let layers = "lowerdir=high:low,upperdir=u2,workdir=w2";
            sh(room, "rm -rf u2 w2; mkdir u2");
            let said = room.ovl_mount(&[
                "--json",
                "--driver",
                &format!("{first},{second}"),
                "-o",
                &format!("{layers},{option}"),
                "m",
            ]);
            assert_eq!(said.code, 0, "{option}: {}", said.err);
            let told: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
            assert_eq!(told["driver"], driver, "{option}");
            assert!(told["passed_over"][0]["reason"].as_str().is_some_and(|r| r.ends_with(reason)), "{told}");
            room.umount("m");
        }
        let said = room.ovl_mount(&["-o", &format!("{LAYERS},ino32_t,frobnicate"), "m"]);
        assert_eq!(
            (said.code, said.err.as_str()),
            (
                0,
                "ovl-mount: option ino32_t: inode numbers are those of the layers, of up to 64 bits\n\
                 ovl-mount: option frobnicate: unknown, ignored\n"
            )
        );
    });
}

/// Made by the kernel with metacopy, its content moved away into a layer of its own.
#[test]
fn data_only_layers() {
    need!(root, fuse, overlay, "setfattr");
    with_each_driver(|room, driver| {
        let script = "mkdir data meta; echo content >data/blob; echo hidden >data/hidden; truncate -s 8 meta/file; \
                      setfattr -n trusted.overlay.metacopy -v '' meta/file; setfattr -n trusted.overlay.redirect -v /blob meta/file";
        sh(room, script);
        for options in ["lowerdir=meta:low::data", "lowerdir+=meta,lowerdir+=low,datadir+=data"] {
            let options = format!("{options},upperdir=u,workdir=w,metacopy=on,redirect_dir=on");
            room.mounts(&["--driver", driver, "-o", &options, "m"]);
            assert_eq!(room.read("m/file"), "content\n", "{driver} {options}");
            assert!(!room.has("m/blob") && !room.has("m/hidden") && room.has("m/below"), "{driver} {options}");
            room.umount("m");
        }
    });
}
