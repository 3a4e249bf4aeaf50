//! Who may do what: access lists, set-id bits, capabilities, extended attributes and who sees them.

use crate::ground::{Ground, alike, by_one_then_the_other, on_each};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use testkit::need;

/// What a shell says in the merged tree; `$1` onwards are `args`.
fn sh(g: &Ground, script: &str) -> String {
    let out = Command::new("sh").args(["-c", script]).current_dir(g.dir.join("m")).stdin(Stdio::null()).output();
    let out = out.expect("sh runs");
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)).trim().to_owned()
}

/// The same as another user.
fn sh_as(g: &Ground, user: u32, group: u32, script: &str) -> String {
    sh(g, &format!("exec setpriv --reuid={user} --regid={group} --clear-groups sh -c '{script}' 2>&1"))
}

fn layers(g: &Ground) {
    g.put("low/f", "text");
    g.put("low/closed", "closed");
    g.put_folder("low/d");
    g.put("low/d/x", "x");
    for (name, mode) in [("low/f", 0o644), ("low/closed", 0o600), ("low/d", 0o755)] {
        std::fs::set_permissions(g.dir.join(name), std::fs::Permissions::from_mode(mode)).expect("chmod");
    }
}

fn mode(g: &Ground, name: &str) -> u32 {
    g.m(name).symlink_metadata().expect("stat").mode() & 0o7777
}

/// semantics: access lists
#[test]
fn what_is_made_in_a_folder_inherits_its_default_list() {
    need!(root, fuse, overlay, "setfacl", "setpriv");
    alike(layers, |g| {
        assert_eq!(sh(g, "setfacl -d -m u:1:rwx,g::r,o::- d && chmod 777 d"), "", "{:?}", g.driver);
        sh_as(g, 3, 3, "umask 077; cd d && touch file && mkdir folder && ln -s x link && mkfifo fifo");
        sh(g, "cd d && for f in *; do echo $f; getfacl -cn $f; ls -dln $f | cut -c1-20; done")
    });
}

/// semantics: set-id bits and capabilities
#[test]
fn set_id_bits_go_when_they_must() {
    need!(root, fuse, overlay, "setpriv");
    alike(layers, |g| {
        let mut told = Vec::new();
        // Of the same file as of a lower one that is copied up by it.
        for (name, script) in [
            ("f", "echo x >>f"),
            ("f", ": >f"),
            ("f", "truncate -s 3 f"),
            ("d/x", "echo x >>d/x"),
            ("f", "chgrp 3 f"),
            ("f", "touch f"),
        ] {
            for bits in [0o6777, 0o6755, 0o4666] {
                std::os::unix::fs::chown(g.m(name), Some(3), Some(4)).expect("chown");
                std::fs::set_permissions(g.m(name), std::fs::Permissions::from_mode(bits)).expect("chmod");
                let said = sh_as(g, 3, 3, script);
                told.push(format!("{script} {bits:o}: {:o} {said}", mode(g, name)));
            }
        }
        for owner in [(Some(0), None), (None, Some(0))] {
            std::fs::set_permissions(g.m("f"), std::fs::Permissions::from_mode(0o6777)).expect("chmod");
            std::os::unix::fs::chown(g.m("f"), owner.0, owner.1).expect("chown");
            told.push(format!("{owner:?}: {:o}", mode(g, "f")));
        }
        std::fs::set_permissions(g.m("d"), std::fs::Permissions::from_mode(0o6777)).expect("chmod");
        std::os::unix::fs::chown(g.m("d"), Some(5), Some(5)).expect("chown");
        told.push(format!("folder: {:o}", mode(g, "d")));
        told
    });
}

/// semantics: set-id bits and capabilities
#[test]
fn capabilities_stay_over_copy_up_and_go_with_a_write_or_a_new_owner() {
    need!(root, fuse, overlay, "setcap", "getcap");
    let fill = |g: &Ground| {
        for name in ["a", "b", "c"] {
            g.put(&format!("low/{name}"), "#!/bin/true");
            let said = Command::new("setcap").arg("cap_net_raw=ep").arg(g.dir.join("low").join(name)).status();
            assert!(said.expect("setcap").success());
        }
    };
    on_each(fill, |g| {
        assert_eq!(sh(g, "getcap a"), "a cap_net_raw=ep", "{:?}", g.driver);
        assert_eq!(sh(g, "chmod 700 a b c; getcap a"), "a cap_net_raw=ep", "{:?}", g.driver);
        assert_eq!(sh(g, "echo >>a; getcap a"), "", "{:?}: a write", g.driver);
        assert_eq!(sh(g, "chown 5 b; getcap b"), "", "{:?}: another owner", g.driver);
        assert_eq!(sh(g, "truncate -s 1 c; getcap c"), "", "{:?}: truncation", g.driver);
        g.remount();
        assert_eq!(sh(g, "getcap a b c"), "", "{:?}", g.driver);
    });
}

/// semantics: permissions
#[test]
fn sticky_folders_protect_and_denied_folders_hide() {
    need!(root, fuse, overlay, "setpriv");
    alike(layers, |g| {
        sh(g, "mkdir tmp && chmod 1777 tmp && echo mine >tmp/mine && mkdir -m 700 deep && echo x >deep/x; chmod 700 d");
        [
            sh_as(g, 1, 1, "rm -f tmp/mine; ls tmp"),
            sh_as(g, 1, 1, "mv tmp/mine tmp/yours; ls tmp"),
            sh_as(g, 1, 1, "echo his >tmp/his; rm tmp/his; ls tmp"),
            sh_as(g, 1, 1, "cat deep/x d/x; ls d; touch d/new; stat deep/x"),
            sh_as(g, 1, 1, "echo x >>closed; chmod 777 closed f; chown 1 f; ln f linked; touch here; mkdir there"),
            sh(g, "ls -ln . tmp deep d | cut -c1-11 | sort | uniq -c"),
        ]
    });
}

/// semantics: extended attributes
#[test]
fn extended_attributes_of_every_family_and_size() {
    need!(root, fuse, overlay);
    use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
    let fill = |g: &Ground| {
        layers(g);
        g.set_xattr("low/f", "user.lower", b"below");
        g.set_xattr("low/f", "trusted.lower", b"below");
    };
    alike(fill, |g| {
        let mut told: Vec<String> = Vec::new();
        std::os::unix::fs::symlink("f", g.m("link")).expect("a link");
        for path in ["f", "d", "link"] {
            for name in ["user.k", "trusted.k", "security.k", "system.k", "other.k", "user.", "user", "user.lower"] {
                let set = lsetxattr(g.m(path), name, b"v", XattrFlags::empty());
                told.push(format!("{path} {name}: {set:?}"));
            }
            for (name, flags) in [("trusted.k", XattrFlags::CREATE), ("trusted.new", XattrFlags::REPLACE)] {
                told.push(format!("{path} {name}: {:?}", lsetxattr(g.m(path), name, b"w", flags)));
            }
            told.push(format!("{path} gone: {:?}", lremovexattr(g.m(path), "trusted.never")));
            told.push(format!("{path} removed: {:?}", lremovexattr(g.m(path), "security.k")));
            let mut list = vec![0_u8; 4096];
            let length = llistxattr(g.m(path), &mut list[..]).expect("a list");
            let mut names: Vec<_> = list[..length].split(|b| *b == 0).map(|n| String::from_utf8_lossy(n)).collect();
            names.sort();
            told.push(format!("{path}: {names:?}"));
        }
        let mut small = [0_u8; 2];
        told.push(format!("{:?}", lgetxattr(g.m("f"), "user.lower", &mut small)));
        told.push(format!("{:?}", llistxattr(g.m("f"), &mut small[..])));
        for size in [0, 1, 60_000, 65_536, 65_537] {
            let value = vec![b'x'; size];
            let set = lsetxattr(g.m("f"), "trusted.big", &value, XattrFlags::empty());
            let mut back = vec![0_u8; 70_000];
            let got = lgetxattr(g.m("f"), "trusted.big", &mut back[..]);
            told.push(format!("{size}: {set:?} {got:?}"));
        }
        let long = format!("user.{}", "n".repeat(251));
        told.push(format!("{:?}", lsetxattr(g.m("f"), long.as_str(), b"v", XattrFlags::empty())));
        told.push(format!("{:?}", lsetxattr(g.m("f"), &long[..255], b"v", XattrFlags::empty())));
        told
    });
}

/// semantics: extended attributes
#[test]
fn trusted_names_are_listed_to_root_alone() {
    need!(root, fuse, overlay, "setpriv", "getfattr");
    on_each(layers, |g| {
        let list = |script: &str| sh_as(g, 1, 1, script);
        rustix::fs::setxattr(g.m("f"), "trusted.k", b"v", rustix::fs::XattrFlags::empty()).expect("an xattr");
        rustix::fs::setxattr(g.m("f"), "user.k", b"v", rustix::fs::XattrFlags::empty()).expect("an xattr");
        assert_eq!(list("getfattr -m - f"), "# file: f\nuser.k", "{:?}", g.driver);
        assert_eq!(sh(g, "getfattr -m - f"), "# file: f\ntrusted.k\nuser.k", "{:?}", g.driver);
    });
}

/// semantics: access lists
#[test]
fn access_lists_let_in_and_keep_out() {
    need!(root, fuse, overlay, "setfacl", "setpriv");
    let fill = |g: &Ground| {
        layers(g);
        let set = |args: &str| assert_eq!(sh(g, &format!("cd .. && setfacl {args}")), "");
        set("-m u:1:r low/closed");
        set("-m u:2:- low/f");
    };
    by_one_then_the_other(
        fill,
        |g| {
            assert_eq!(sh_as(g, 1, 1, "cat closed"), "closed", "{:?}", g.driver);
            assert!(sh_as(g, 2, 2, "cat f").contains("ermission denied"), "{:?}", g.driver);
            assert!(sh_as(g, 3, 3, "cat closed").contains("ermission denied"), "{:?}", g.driver);
            std::os::unix::fs::chown(g.m("closed"), None, Some(9)).expect("copy-up");
            assert_eq!(sh(g, "setfacl -m u:4:rw f && setfacl -m g:5:r closed"), "");
        },
        |g| {
            assert_eq!(sh_as(g, 1, 1, "cat closed"), "closed", "{:?}", g.driver);
            assert_eq!(sh_as(g, 7, 5, "cat closed"), "closed", "{:?}", g.driver);
            assert_eq!(sh_as(g, 4, 4, "echo more >>f; cat f"), "textmore", "{:?}", g.driver);
            assert!(sh_as(g, 2, 2, "cat f").contains("ermission denied"), "{:?}", g.driver);
            // The group's bits are the list's mask.
            assert_eq!(sh(g, "chmod 600 f && getfacl -cn f | grep mask"), "mask::---", "{:?}", g.driver);
            assert!(sh_as(g, 4, 4, "cat f").contains("ermission denied"), "{:?}", g.driver);
            assert_eq!(sh(g, "setfacl -b f && getfacl -cn f | grep -c user"), "1", "{:?}", g.driver);
        },
    );
}

/// semantics: extended attributes
#[test]
fn the_overlays_own_names_can_be_used_inside_and_mean_nothing_there() {
    need!(root, fuse, overlay);
    use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
    by_one_then_the_other(
        layers,
        |g| {
            let name = "trusted.overlay.opaque";
            lsetxattr(g.m("d"), name, b"y", XattrFlags::empty()).unwrap_or_else(|e| panic!("{:?}: {e}", g.driver));
            assert_eq!(g.names("d"), ["x"]);
            assert_eq!(g.mark("d", "opaque"), None, "{:?}", g.driver);
            assert_eq!(g.mark("d", "overlay.opaque"), Some(b"y".to_vec()), "{:?}", g.driver);
        },
        |g| {
            assert_eq!(g.names("d"), ["x"]);
            let mut value = [0; 8];
            assert_eq!(lgetxattr(g.m("d"), "trusted.overlay.opaque", &mut value), Ok(1), "{:?}", g.driver);
        },
    );
}
