//! Directories of the merged tree: listing, renaming.

use crate::ground::{Ground, errno, on_each};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use testkit::need;

fn layers(g: &Ground) {
    g.put("low/f", "f");
    g.put("low/other", "other");
    g.put("low/d/x", "x");
    g.put("high/d/y", "y");
    g.put("low/only/z", "z");
    g.put_folder("low/empty");
}

#[test]
fn a_large_listing_is_whole_and_stays_so_while_entries_go() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        layers(g);
        for number in 0..1500 {
            g.put(&format!("{}/many/{number:04}", if number % 2 == 0 { "low" } else { "high" }), "");
        }
    };
    on_each(fill, |g| {
        assert_eq!(g.names("many").len(), 1500);
        let mut seen = 0;
        for entry in std::fs::read_dir(g.m("many")).expect("a listing") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("unlink");
            seen += 1;
        }
        assert_eq!(seen, 1500);
        assert!(g.names("many").is_empty());
        std::fs::remove_dir(g.m("many")).expect("rmdir");
        assert!(g.is_whiteout("many"));
    });
}

#[test]
fn renaming_a_lower_file_leaves_a_whiteout() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::rename(g.m("f"), g.m("d/moved")).expect("rename");
        assert!(!g.has("f") && g.is_whiteout("f"));
        assert_eq!(g.read("d/moved"), "f");
        std::fs::rename(g.m("d/moved"), g.m("other")).expect("rename over another");
        assert_eq!(g.read("other"), "f");
        g.remount();
        assert_eq!(g.names(""), ["d", "empty", "only", "other"]);
        assert_eq!(g.read("other"), "f");
    });
}

#[test]
fn a_new_folder_is_renamed_with_all_in_it() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::create_dir_all(g.m("new/deep")).expect("mkdir");
        std::fs::write(g.m("new/deep/file"), "text").expect("a file");
        let open = std::fs::File::open(g.m("new/deep/file")).expect("open");
        std::fs::rename(g.m("new"), g.m("only/moved")).expect("rename");
        assert_eq!(g.read("only/moved/deep/file"), "text");
        assert!(open.metadata().is_ok());
        drop(open);
        std::fs::write(g.m("only/moved/deep/second"), "2").expect("a file");
        // Over an empty folder of a lower layer: nothing of that one may come back.
        std::fs::rename(g.m("only/moved"), g.m("empty")).expect("rename over an empty folder");
        assert_eq!(g.names("empty/deep"), ["file", "second"]);
        g.remount();
        assert_eq!(g.names("empty"), ["deep"]);
        assert_eq!(g.names("only"), ["z"]);
    });
}

#[test]
fn a_new_folder_takes_the_place_of_a_removed_one() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::remove_dir_all(g.m("d")).expect("rm -r");
        std::fs::create_dir(g.m("new")).expect("mkdir");
        std::fs::rename(g.m("new"), g.m("d")).expect("rename over the whiteout");
        assert!(g.names("d").is_empty());
        assert!(g.u("new").symlink_metadata().is_err(), "the whiteout did not stay under the old name");
        g.remount();
        assert!(g.names("d").is_empty());
    });
}

#[test]
fn a_folder_of_whiteouts_can_be_replaced() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::remove_file(g.m("d/x")).expect("unlink");
        std::fs::remove_file(g.m("d/y")).expect("unlink");
        std::fs::create_dir(g.m("new")).expect("mkdir");
        std::fs::write(g.m("new/n"), "n").expect("a file");
        std::fs::rename(g.m("new"), g.m("d")).expect("rename");
        assert_eq!(g.names("d"), ["n"]);
        g.remount();
        assert_eq!(g.names("d"), ["n"]);
    });
}

#[test]
fn the_flags_of_renameat2() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let rename = |from: &str, to: &str, flags| renameat_with(CWD, g.m(from), CWD, g.m(to), flags);
        assert_eq!(rename("f", "other", RenameFlags::NOREPLACE), Err(rustix::io::Errno::EXIST));
        rename("f", "free", RenameFlags::NOREPLACE).expect("a free name");
        rename("free", "other", RenameFlags::EXCHANGE).expect("both exist");
        assert_eq!((g.read("free"), g.read("other")), ("other".to_owned(), "f".to_owned()));
        assert_eq!(rename("free", "none", RenameFlags::EXCHANGE), Err(rustix::io::Errno::NOENT));
        std::fs::create_dir(g.m("new")).expect("mkdir");
        rename("new", "free", RenameFlags::EXCHANGE).expect("a folder and a file");
        assert!(g.m("free").is_dir());
        assert_eq!(g.read("new"), "other");
        g.remount();
        assert!(g.names("free").is_empty());
        assert_eq!(g.names(""), ["d", "empty", "free", "new", "only", "other"]);
    });
}

#[test]
fn folders_and_files_do_not_replace_each_other() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::create_dir(g.m("new")).expect("mkdir");
        assert_eq!(errno(std::fs::rename(g.m("f"), g.m("new"))), libc::EISDIR);
        assert_eq!(errno(std::fs::rename(g.m("new"), g.m("f"))), libc::ENOTDIR);
        assert_eq!(errno(std::fs::rename(g.m("new"), g.m("d"))), libc::ENOTEMPTY);
        assert_eq!(errno(std::fs::rename(g.m("new"), g.m("new/inside"))), libc::EINVAL);
        assert_eq!(errno(std::fs::remove_file(g.m("new"))), libc::EISDIR);
        assert_eq!(errno(std::fs::remove_dir(g.m("f"))), libc::ENOTDIR);
    });
}

#[test]
fn a_removed_folder_in_use_is_empty_and_stays_so() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let held = std::fs::File::open(g.m("empty")).expect("open");
        std::fs::remove_dir(g.m("empty")).expect("rmdir");
        assert!(held.metadata().is_ok());
        let made = rustix::fs::mkdirat(&held, "inside", rustix::fs::Mode::RWXU);
        assert_eq!(made, Err(rustix::io::Errno::NOENT));
        std::fs::create_dir(g.m("empty")).expect("mkdir again");
        assert!(g.names("empty").is_empty());
    });
}

#[test]
fn many_threads_in_one_tree() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let g = &*g;
                scope.spawn(move || {
                    for number in 0..60 {
                        let name = format!("d/t{thread}-{number}");
                        std::fs::write(g.m(&name), &name).expect("a file");
                        std::fs::rename(g.m(&name), g.m(&format!("only/t{thread}-{number}"))).expect("rename");
                        assert!(g.names("d").len() >= 2);
                        // All write one lower file: it is copied up once.
                        let shared = std::fs::OpenOptions::new().append(true).open(g.m("d/x")).expect("open");
                        std::io::Write::write_all(&mut &shared, b".").expect("write");
                    }
                });
            }
        });
        assert_eq!(g.names("only").len(), 241);
        assert_eq!(g.read("d/x").len(), 241);
    });
}
