//! What is read of layers that others wrote: marks, redirects, content elsewhere, numbers, listings.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

fn can_mark(layers: &Layers) -> bool {
    layers.mark("u", "user.probe", "1")
}

fn exists(stack: &Stack, path: &str) -> bool {
    match at(stack, path) {
        Ok(_) => true,
        Err(Errno::NOENT) => false,
        Err(e) => panic!("{path}: {e}"),
    }
}

#[test]
fn files_named_for_whiteouts_hide_and_are_not_shown() {
    let layers = Layers::new();
    layers.put("low/d/gone", "x").put("low/d/kept", "x").put("high/d/.wh.gone", "").put("high/d/own", "x");
    layers.put("low/o/below", "x").put("high/o/.wh..wh..opq", "").put("high/o/own", "x");
    layers.put("low/.wh.last", "").put("low/top", "x").put("u/.wh.top", "");
    for listed_first in [true, false] {
        let stack = layers.open();
        if listed_first {
            assert_eq!(names(&stack, ""), ["d", "o"]);
            assert_eq!(names(&stack, "d"), ["kept", "own"]);
        }
        assert!(!exists(&stack, "d/gone") && exists(&stack, "d/kept") && exists(&stack, "d/own"));
        assert!(!exists(&stack, "o/below") && exists(&stack, "o/own") && !exists(&stack, "top"));
        assert!(!exists(&stack, ".wh.last") && !exists(&stack, "d/.wh.gone"));
        assert_eq!(names(&stack, "d"), ["kept", "own"]);
        assert_eq!(names(&stack, "o"), ["own"]);
    }
    let stack = layers.open();
    let d = at(&stack, "d").expect("d");
    stack.make(&d, OsStr::new("gone"), New::File, 0o644, ME()).expect("a file over it");
    assert_eq!(stack.make(&d, OsStr::new(".wh.x"), New::File, 0o644, ME()).err(), Some(Errno::INVAL));
    assert_eq!(names(&stack, "d"), ["gone", "kept", "own"]);
    stack.unlink(&d, OsStr::new("gone")).expect("unlink");
    drop((d, stack));
    assert_eq!(names(&layers.open(), "d"), ["kept", "own"]);
}

#[test]
fn marks_in_xattrs_hide() {
    let layers = Layers::new();
    layers.put("low/d/gone", "x").put("low/d/empty", "x").put("high/d/gone", "").put("high/d/empty", "");
    layers.put("low/o/below", "x").put("high/o/own", "x").put("low/f/below", "x").put("high/f/own", "x");
    if !can_mark(&layers) {
        return;
    }
    layers.mark("high/d", "user.overlay.opaque", "x");
    layers.mark("high/d/gone", "user.overlay.whiteout", "y");
    layers.mark("high/o", "user.overlay.opaque", "y");
    layers.mark("high/f", "user.fuseoverlayfs.opaque", "y");
    let stack = layers.open();
    assert!(!exists(&stack, "d/gone") && exists(&stack, "d/empty"));
    assert_eq!(names(&stack, "d"), ["empty"]);
    assert_eq!((names(&stack, "o"), names(&stack, "f")), (vec!["own".into()], vec!["own".into()]));
    assert!(!exists(&stack, "o/below") && !exists(&stack, "f/below"));
}

#[test]
fn redirects_are_followed_by_name_and_by_path() {
    let layers = Layers::new();
    layers.put("low/old/x", "x").put("low/old/deep/y", "y").put("low/a/b/c/z", "z").put("high/old/h", "h");
    layers.put("u/new/own", "own").put("u/far/own", "own").put("low/new/not", "not");
    layers.put("high/moved/m", "m").put("low/original/o", "o").put("u/p/moved/u", "u");
    if !can_mark(&layers) {
        return;
    }
    layers.mark("u/new", "user.overlay.redirect", "old");
    layers.mark("u/far", "user.overlay.redirect", "/a/b");
    layers.mark("u/p/moved", "user.overlay.redirect", "/moved");
    layers.mark("high/moved", "user.overlay.redirect", "original");
    layers.mark("u/p", "user.overlay.impure", "y");
    let stack = layers.open();
    assert_eq!(names(&stack, "new"), ["deep", "h", "own", "x"]);
    assert_eq!(read(&stack, "new/deep/y").as_deref(), Ok("y"));
    assert_eq!(names(&stack, "far"), ["c", "own"]);
    assert_eq!(read(&stack, "far/c/z").as_deref(), Ok("z"));
    assert_eq!(names(&stack, "p/moved"), ["m", "o", "u"], "a path in one layer, a name in the next");
    assert!(!exists(&stack, "new/not"));
}

#[test]
fn a_path_goes_on_over_what_lies_on_its_way() {
    let layers = Layers::new();
    layers.put("u/r/own", "own").put("high/a/b/h", "h").put("low/other/b/l", "l").put("low/a/b/not", "not");
    layers.put("u/s/own", "own").put("high/q/b/h", "h").put("low/q/b/not", "not");
    if !can_mark(&layers) {
        return;
    }
    layers.mark("u/r", "user.overlay.redirect", "/a/b");
    layers.mark("high/a", "user.overlay.redirect", "other");
    layers.mark("u/s", "user.overlay.redirect", "/q/b");
    layers.mark("high/q", "user.overlay.opaque", "y");
    let stack = layers.open();
    assert_eq!(names(&stack, "r"), ["h", "l", "own"], "the directory on the way was renamed");
    assert_eq!(names(&stack, "s"), ["h", "own"], "and here it is opaque");
}

/// A file without its content, of so many bytes.
fn bare(layers: &Layers, name: &str, size: u64, redirect: Option<&str>) {
    layers.put(name, "");
    fs::File::options().write(true).open(layers.path(name)).and_then(|f| f.set_len(size)).expect("a size");
    layers.mark(name, "user.overlay.metacopy", "");
    if let Some(redirect) = redirect {
        layers.mark(name, "user.overlay.redirect", redirect);
    }
}

#[test]
fn content_is_found_below_its_attributes() {
    let layers = Layers::new();
    layers.put("low/plain", "plain text").put("low/far/text", "far text").put("low/lost/dir/x", "");
    if !can_mark(&layers) {
        return;
    }
    bare(&layers, "high/plain", 10, None);
    bare(&layers, "u/plain", 10, None);
    bare(&layers, "u/near", 10, Some("plain"));
    bare(&layers, "u/d/near", 8, Some("/far/text"));
    bare(&layers, "u/lost", 10, None);
    bare(&layers, "u/none", 10, None);
    layers.mark("u/d", "user.overlay.impure", "y");
    let stack = layers.open();
    for (name, text) in [("plain", "plain text"), ("near", "plain text"), ("d/near", "far text")] {
        assert_eq!(read(&stack, name).as_deref(), Ok(text), "{name}");
        let stat = stack.stat(&at(&stack, name).expect(name)).expect("stat");
        assert_eq!(stat.size_bytes, text.len() as u64);
        assert_eq!(stat.blocks, fs::metadata(layers.path("low/plain")).expect("stat").blocks(), "{name}");
    }
    assert_eq!(at(&stack, "lost").err(), Some(Errno::IO), "a directory is no content");
    assert_eq!(at(&stack, "none").err(), Some(Errno::IO));
}

#[test]
fn data_only_layers_are_found_by_path_alone() {
    let layers = Layers::new();
    layers.put("data/ab/cdef", "content").put("data/seen", "not shown");
    layers.put("high/name", "");
    if !can_mark(&layers) {
        return;
    }
    bare(&layers, "low/name2", 7, Some("/ab/cdef"));
    bare(&layers, "low/relative", 7, Some("seen"));
    bare(&layers, "low/lost", 7, Some("/ab/none"));
    let spec = StackSpec { data_only: vec![Lower::Path(layers.path("data"))], ..layers.spec() };
    let stack = Stack::open(&spec).expect("a stack");
    assert_eq!(read(&stack, "name2").as_deref(), Ok("content"));
    assert_eq!(stack.stat(&at(&stack, "name2").expect("it")).expect("stat").blocks, 1);
    assert!(!exists(&stack, "seen") && !exists(&stack, "ab"));
    assert_eq!(read(&stack, "lost").err(), Some(Errno::IO));
    assert_eq!(at(&stack, "relative").err(), Some(Errno::IO));
}

fn numbers(stack: &Stack, folder: &str) -> BTreeMap<String, u64> {
    let node = at(stack, folder).expect("a folder");
    let listed = stack.list_from(&node, 0).expect("a listing");
    let mut numbers = BTreeMap::new();
    for entry in listed.entries().iter().skip(2) {
        let name = entry.name.to_string_lossy().into_owned();
        let (found, stat) = stack.lookup(&node, &entry.name).expect("a look-up").expect("it");
        assert_eq!((entry.inode, found.number()), (stat.inode, stat.inode), "{name}");
        numbers.insert(name, stat.inode);
    }
    numbers
}

#[test]
fn numbers_stay_over_copy_up_and_reopening_and_listings_tell_them() {
    let layers = Layers::new();
    layers.put("low/d/f", "f").put("low/d/g", "g").put("low/d/sub/x", "x").put("high/d/sub/y", "y").put("u/d/own", "o");
    if !can_mark(&layers) {
        return;
    }
    let stack = layers.open();
    let before = numbers(&stack, "d");
    assert_eq!(before["f"], fs::metadata(layers.path("low/d/f")).expect("stat").ino());
    assert_eq!(before["sub"], fs::metadata(layers.path("high/d/sub")).expect("stat").ino());
    assert_eq!(before["own"], fs::metadata(layers.path("u/d/own")).expect("stat").ino());
    let open = stack.open_file(&at(&stack, "d/f").expect("f"), true, false, false).expect("open");
    drop(open);
    let change = Change { mode: Some(0o700), ..Change::default() };
    stack.set_attributes(&at(&stack, "d/sub").expect("sub"), &change, None).expect("chmod");
    assert_eq!(numbers(&stack, "d"), before);
    drop(stack);
    assert_eq!(numbers(&layers.open(), "d"), before);
}

#[test]
fn reading_a_listing_goes_on_whatever_happens_to_the_directory() {
    let layers = Layers::new();
    for n in 0..200 {
        layers.put(&format!("low/d/low{n}"), "").put(&format!("u/d/up{n}"), "");
    }
    let stack = layers.open();
    let node = at(&stack, "d").expect("d");
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    let mut rounds = 0;
    loop {
        let listed = stack.list_from(&node, offset).expect("a listing");
        let Some(last) = listed.entries().iter().take(16).next_back() else { break };
        offset = last.offset;
        for entry in listed.entries().iter().take(16) {
            assert!(seen.insert(entry.name.clone()), "{:?} twice", entry.name);
        }
        rounds += 1;
        stack.make(&node, OsStr::new(&format!("made{rounds}")), New::File, 0o600, ME()).expect("a file");
        if let Some(name) = seen.iter().find(|n| n.to_string_lossy().starts_with("low")).cloned() {
            stack.unlink(&node, &name).ok();
        }
        // As if it had been dropped for want of room.
        node.keep_listing(None);
    }
    for n in 0..200 {
        assert!(seen.contains(OsStr::new(&format!("low{n}"))) && seen.contains(OsStr::new(&format!("up{n}"))));
    }
    let again = stack.list_from(&node, 0).expect("a listing");
    assert_eq!(again.entries().len(), names(&stack, "d").len() + 2);
    assert!(again.entries().windows(2).all(|pair| pair[0].offset < pair[1].offset));
}

#[test]
fn five_hundred_layers_are_asked_once() {
    let layers = Layers::new();
    let folders: Vec<String> = (0..500).map(|n| format!("layer{n}")).collect();
    for (n, folder) in folders.iter().enumerate() {
        layers.put(&format!("{folder}/d/file{n}"), &n.to_string()).put(&format!("{folder}/d/same"), &n.to_string());
    }
    layers.put("layer100/d/.wh.file400", "");
    let lowers = folders.iter().map(|f| Lower::Path(layers.path(f))).collect();
    let stack = Stack::open(&StackSpec { lowers, ..layers.spec() }).expect("a stack");
    let started = std::time::Instant::now();
    for n in (0..500).filter(|n| *n != 400) {
        assert_eq!(read(&stack, &format!("d/file{n}")).as_deref(), Ok(&*n.to_string()));
        assert!(!exists(&stack, &format!("d/none{n}")));
    }
    assert!(!exists(&stack, "d/file400"));
    assert_eq!(read(&stack, "d/same").as_deref(), Ok("0"));
    assert_eq!(names(&stack, "d").len(), 500);
    // Without contents known this were half a million probes.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn owners_kept_in_xattrs_and_squashed_ones_show() {
    let layers = Layers::new();
    layers.put("high/f", "f").put("high/d/x", "x").put("low/plain", "p");
    let kept = "user.containers.override_stat";
    if !layers.mark("high/f", kept, "12:34:0751") || !layers.mark("high/d", kept, "5:6:1777") {
        return;
    }
    layers.mark("high", kept, "0:0:755");
    let of = |stack: &Stack, path: &str| {
        let stat = stack.stat(&at(stack, path).expect(path)).expect("stat");
        (stat.uid, stat.gid, stat.mode & 0o7777)
    };
    let stack = layers.open();
    assert_eq!((of(&stack, "f"), of(&stack, "d")), ((12, 34, 0o751), (5, 6, 0o1777)));
    let looked_up = stack.lookup(&stack.node(ROOT).expect("root"), OsStr::new("f")).expect("a look-up").expect("f").1;
    assert_eq!((looked_up.uid, looked_up.gid), (12, 34));
    drop(stack);
    let owners = Owners { squash_uid: Some(7), squash_gid: Some(8), ..Owners::default() };
    let stack = Stack::open(&StackSpec { owners, upper: None, ..layers.spec() }).expect("a stack");
    assert_eq!((of(&stack, "f"), of(&stack, "plain").0), ((7, 8, 0o751), 7));
}

#[test]
fn owners_can_be_written_to_xattrs() {
    let layers = Layers::new();
    layers.put("low/f", "f").put("low/d/x", "x");
    if !can_mark(&layers) {
        return;
    }
    let spec =
        || StackSpec { owners: Owners { keeping: Some(Keeping::Unprivileged), ..Owners::default() }, ..layers.spec() };
    let of = |stack: &Stack, path: &str| {
        let stat = stack.stat(&at(stack, path).expect(path)).expect("stat");
        (stat.uid, stat.gid, stat.mode & 0o7777)
    };
    let stack = Stack::open(&spec()).expect("a stack");
    let change = Change { uid: Some(33), gid: Some(44), mode: Some(0o4750), ..Change::default() };
    stack.set_attributes(&at(&stack, "f").expect("f"), &change, None).expect("chown");
    let d = at(&stack, "d").expect("d");
    let made = stack.make(&d, OsStr::new("new"), New::File, 0o640, Maker { uid: 5, gid: 6, umask: 0 }).expect("a file");
    assert_eq!((made.1.uid, made.1.gid, made.1.mode & 0o777), (5, 6, 0o640));
    drop((made, d, stack));
    let stack = Stack::open(&spec()).expect("a stack");
    assert_eq!((of(&stack, "f"), of(&stack, "d/new")), ((33, 44, 0o4750), (5, 6, 0o640)));
    let node = at(&stack, "f").expect("f");
    assert!(!String::from_utf8_lossy(&stack.list_xattrs(&node, true).expect("a list")).contains("override"));
}
