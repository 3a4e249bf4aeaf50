//! Uppers with marks in `user.*`: for the kernel too, or for the FUSE driver alone, and from one to the other.

use crate::ground::{Driver, Ground, alone};
use crate::view::{differences, view};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output, Stdio};
use testkit::need;

const BIG: usize = 1 << 20;

fn layers(g: &Ground) {
    g.put("low/d/x", "x");
    g.put("low/d/sub/y", "y");
    g.put("high/d/z", "z");
    g.put("low/big", &"b".repeat(BIG));
    g.put("low/one", "linked");
    std::fs::hard_link(g.dir.join("low/one"), g.dir.join("low/two")).expect("a link");
    g.set_old("low/big");
    g.set_old("low/d/x");
}

fn ovl_mount(g: &Ground, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovl-mount"));
    command
        .args(args)
        .current_dir(&g.dir)
        .stdin(Stdio::null())
        .env_remove("OVL_DRIVER")
        .output()
        .expect("ovl-mount runs")
}

fn mounted(g: &Ground, args: &[&str]) {
    let options = ["-o", "lowerdir=high:low,upperdir=u,workdir=w,userxattr", "m"];
    let out = ovl_mount(g, &[args, &options].concat());
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// What only the FUSE driver can do with marks in `user.*`.
fn change(g: &Ground) {
    std::fs::rename(g.m("d"), g.m("moved")).expect("rename");
    std::fs::rename(g.m("moved/sub"), g.m("sub")).expect("rename");
    std::fs::remove_file(g.m("moved/x")).expect("unlink");
    std::fs::set_permissions(g.m("big"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    std::fs::write(g.m("one"), "written").expect("write");
    assert_eq!(g.read("two"), "written");
    assert_eq!(g.u("big").metadata().expect("copied up").blocks(), 0, "no data is copied");
    std::fs::create_dir(g.m("d")).expect("mkdir");
    std::fs::write(g.m("d/new"), "new").expect("a file");
}

fn check(g: &Ground) {
    assert_eq!(g.names(""), ["big", "d", "moved", "one", "sub", "two"]);
    assert_eq!(
        (g.names("moved"), g.names("sub"), g.names("d")),
        (vec!["z".into()], vec!["y".into()], vec!["new".into()])
    );
    assert!(g.read("big") == "b".repeat(BIG));
    assert_eq!((g.read("one"), g.read("two")), ("written".into(), "written".into()));
}

/// semantics: without root
#[test]
fn with_compat_fuse_everything_works_and_stays() {
    need!(root, fuse);
    alone(|dir| {
        let g = Ground::new(dir, Driver::Fuse);
        layers(&g);
        mounted(&g, &["--driver", "fuse", "--compat", "fuse"]);
        change(&g);
        check(&g);
        let before = view(&g.m(""));
        g.umount();
        // The upper says what it is: the option is not needed again.
        mounted(&g, &["--driver", "fuse"]);
        check(&g);
        let told = differences(&before, &view(&g.m("")));
        assert!(told.is_empty(), "{}", told.join("\n"));
        std::fs::rename(g.m("moved"), g.m("again")).expect("rename");
    });
}

/// semantics: without root
#[test]
fn the_kernel_driver_refuses_an_upper_of_compat_fuse_and_takes_it_converted() {
    need!(root, fuse, overlay);
    alone(|dir| {
        let g = Ground::new(dir, Driver::Fuse);
        layers(&g);
        mounted(&g, &["--driver", "fuse", "--compat", "fuse"]);
        change(&g);
        let before = view(&g.m(""));
        g.umount();
        let refused =
            ovl_mount(&g, &["--driver", "kernel", "-o", "lowerdir=high:low,upperdir=u,workdir=w,userxattr", "m"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("hint: ") && said.contains("convert"), "{said}");
        let done = ovl_mount(&g, &["convert", "--userxattr", "--lowerdir", "high:low", "--work", "w", "u"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for driver in ["kernel", "fuse"] {
            mounted(&g, &["--driver", driver]);
            check(&g);
            // Its names are not one file any more: the kernel has no index there. Link counts are left out.
            let plain = |tree: &std::collections::BTreeMap<std::path::PathBuf, String>| {
                tree.iter().map(|(path, line)| (path.clone(), line.replace("links 2", "links 1"))).collect()
            };
            let told = differences(&plain(&before), &plain(&view(&g.m(""))));
            assert!(told.is_empty(), "{driver}: {}", told.join("\n"));
            g.umount();
        }
        // And back: from now on for the FUSE driver alone.
        let done = ovl_mount(&g, &["convert", "--userxattr", "--to", "fuse", "--work", "w", "u"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        mounted(&g, &["--driver", "fuse"]);
        check(&g);
        std::fs::rename(g.m("moved"), g.m("again")).expect("rename");
        assert_eq!(g.names("again"), ["z"]);
    });
}
