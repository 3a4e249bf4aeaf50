//! The same tests once more for an ordinary user, root of a user namespace alone: marks in `user.*`, where the kernel's
//! overlay has no redirects, no metacopy and no index. The reference is that one; `--compat kernel` is what ours does there.
//!
//! The test program starts itself again inside; what cannot be made or asked there is left out by name.

use crate::ground::{Driver, Ground, alone, errno, in_a_user_namespace, on_each};
use std::os::unix::fs::MetadataExt as _;
use testkit::need;

/// Tests that need what no user has, and those of features that need `trusted.*`.
const LEFT_OUT: &[&str] = &[
    // Only the outer one.
    "rootless::all_of_it",
    // Redirects, copies without data, lower hard links kept together.
    "continued::",
    "files::hard_links_of_the_upper",
    "numbers::numbers_stay",
    "numbers::no_two_files",
    "rights::access_lists_let_in",
    // Devices, and xattrs of trusted.*, made by the test.
    "copied_up::every_kind",
    "copied_up::nothing_is_copied_up",
    "marks::a_device_0_0",
    "marks::an_empty_file",
    "layers::an_empty_file",
    "layers::whiteouts_and_opaque",
    "rights::extended_attributes",
    "rights::the_overlays_own_names",
    "rights::trusted_names",
    // A loop device.
    "reflink::",
    // What it shows is the rule here.
    "marks::with_userxattr",
    // Owners that the namespace does not have.
    "owners::",
];

/// semantics: without root
#[test]
fn all_of_it_for_an_ordinary_user() {
    need!(root, user, fuse, overlay, userns);
    let test = std::env::current_exe().expect("this program");
    let mut command = testkit::user::command("unshare");
    command.args(["--user", "--map-root-user", "--map-auto", "--mount"]).arg(test).env("VENEER_UNION_USER", "1");
    command.arg("--test-threads=2").args(LEFT_OUT.iter().flat_map(|name| ["--skip", name]));
    let out = command.output().expect("asuser.sh runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "inside a user namespace:\n{said}");
    let passed = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(passed.is_some_and(|count| count > 50), "{said}");
}

fn layers(g: &Ground) {
    g.put("low/d/x", "x");
    g.put("low/d/sub/y", "y");
    g.put("low/one", "linked");
    std::fs::hard_link(g.dir.join("low/one"), g.dir.join("low/two")).expect("a link");
}

/// semantics: without root
#[test]
fn with_compat_kernel_a_folder_with_a_lower_part_is_copied_by_mv() {
    need!(root, fuse, overlay);
    if !in_a_user_namespace() {
        return;
    }
    on_each(layers, |g| {
        assert_eq!(errno(std::fs::rename(g.m("d"), g.m("moved"))), libc::EXDEV, "{:?}", g.driver);
        let done = std::process::Command::new("mv").arg(g.m("d")).arg(g.m("moved")).status().expect("mv");
        assert!(done.success());
        assert_eq!(g.names("moved"), ["sub", "x"]);
        assert!(!g.has("d") && g.is_whiteout("d"));
    });
}

/// semantics: without root
#[test]
fn with_compat_kernel_lower_hard_links_part_and_data_is_copied() {
    need!(root, fuse, overlay);
    if !in_a_user_namespace() {
        return;
    }
    on_each(layers, |g| {
        std::fs::write(g.m("one"), "written").expect("write");
        assert_eq!((g.read("one"), g.read("two")), ("written".into(), "linked".into()), "{:?}", g.driver);
        std::os::unix::fs::chown(g.m("d/x"), Some(1), None).expect("chown");
        assert_eq!((g.u("d/x").metadata().expect("copied up").uid(), g.mark("d/x", "metacopy")), (1, None));
        assert_eq!(std::fs::read_to_string(g.u("d/x")).expect("read"), "x", "{:?}", g.driver);
    });
}

/// What one driver wrote the other goes on with; a fresh upper, so either may be first.
///
/// semantics: without root
#[test]
fn with_compat_kernel_each_driver_goes_on_with_the_others_upper() {
    need!(root, fuse, overlay);
    if !in_a_user_namespace() {
        return;
    }
    for drivers in [(Driver::Kernel, Driver::Fuse), (Driver::Fuse, Driver::Kernel)] {
        alone(|dir| {
            let mut g = Ground::new(dir, drivers.0);
            layers(&g);
            g.mount();
            std::fs::write(g.m("d/new"), "new").expect("a file");
            std::fs::remove_dir_all(g.m("d/sub")).expect("rm -r");
            std::fs::create_dir(g.m("d/sub")).expect("mkdir");
            std::fs::remove_file(g.m("one")).expect("unlink");
            std::fs::write(g.m("two"), "written").expect("write");
            let before = crate::view::view(&g.dir.join("m"));
            g.umount();
            g.driver = drivers.1;
            g.mount();
            let told = crate::view::differences(&before, &crate::view::view(&g.dir.join("m")));
            assert!(told.is_empty(), "{drivers:?}: {}", told.join("\n"));
            std::fs::remove_file(g.m("d/new")).expect("unlink");
            std::fs::write(g.m("d/sub/z"), "z").expect("a file");
            assert_eq!(g.names("d/sub"), ["z"], "{drivers:?}");
        });
    }
}
