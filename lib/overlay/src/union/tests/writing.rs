//! What is written to the upper layer, and that all that was known goes on showing the same.

use super::*;
use crate::layer::Stat;
use std::os::unix::fs::MetadataExt;

/// A stack that may write all that it can; `None` where the file system has no xattrs for it.
fn open_all(layers: &Layers) -> Option<Stack> {
    if !layers.mark("u", "user.probe", "1") {
        return None;
    }
    let spec = StackSpec { compat: Some(Compat::Fuse), ..layers.spec() };
    Some(Stack::open(&spec).expect("a stack"))
}

fn xattr(layers: &Layers, name: &str, xattr: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let length = rustix::fs::lgetxattr(layers.path(name), xattr, &mut value).ok()?;
    Some(value[..length].to_vec())
}

fn rename(stack: &Stack, from: &str, to: &str) -> Answer<()> {
    let split = |path: &str| {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        at(stack, parent).map(|parent| (parent, name.to_owned()))
    };
    let ((parent, name), (new_parent, new_name)) = (split(from)?, split(to)?);
    stack.rename(&parent, OsStr::new(&name), &new_parent, OsStr::new(&new_name), false, false)
}

fn write(stack: &Stack, path: &str, text: &str) -> Answer<()> {
    let file = stack.open_file(&at(stack, path)?, true, false, false)?;
    stack.write(&file, text.as_bytes(), 0, false).map(|_| ())
}

fn chmod(stack: &Stack, path: &str, mode: u32) -> Answer<Stat> {
    stack.set_attributes(&at(stack, path)?, &Change { mode: Some(mode), ..Change::default() }, None)
}

#[test]
fn a_renamed_folder_keeps_what_is_below_it() {
    let layers = Layers::new();
    layers.put("low/d/x", "x").put("high/d/e/y", "y").put("low/d/e/z", "z").put("low/other/o", "o");
    let Some(stack) = open_all(&layers) else { return };
    let deep = at(&stack, "d/e/z").expect("a file");
    rename(&stack, "d", "moved").expect("in one folder");
    assert_eq!(xattr(&layers, "u/moved", "user.overlay.redirect").as_deref(), Some(&b"d"[..]));
    assert_eq!(names(&stack, "moved"), ["e", "x"]);
    assert_eq!(names(&stack, "moved/e"), ["y", "z"]);
    assert_eq!(at(&stack, "moved/e/z").expect("the same").id(), deep.id());
    assert_eq!(at(&stack, "d").err(), Some(Errno::NOENT));
    rename(&stack, "moved", "other/again").expect("into another");
    assert_eq!(xattr(&layers, "u/other/again", "user.overlay.redirect").as_deref(), Some(&b"/d"[..]));
    rename(&stack, "other/again/e", "f").expect("out of it");
    assert_eq!(xattr(&layers, "u/f", "user.overlay.redirect").as_deref(), Some(&b"/d/e"[..]));
    write(&stack, "f/z", "Z").expect("a copy from there");
    assert_eq!(read(&stack, "f/z").as_deref(), Ok("Z"));
    assert_eq!(fs::read(layers.path("low/d/e/z")).expect("read"), b"z");
    assert_eq!(names(&stack, "other/again"), ["x"]);
    assert_eq!(names(&stack, ""), ["f", "other"]);
}

#[test]
fn folders_change_places() {
    let layers = Layers::new();
    layers.put("low/a/x", "x").put("low/b/y", "y");
    let Some(stack) = open_all(&layers) else { return };
    let root = stack.node(ROOT).expect("the root");
    stack.rename(&root, OsStr::new("a"), &root, OsStr::new("b"), false, true).expect("an exchange");
    assert_eq!((names(&stack, "a"), names(&stack, "b")), (vec!["y".to_owned()], vec!["x".to_owned()]));
    assert_eq!(read(&stack, "a/y").as_deref(), Ok("y"));
}

#[test]
fn a_path_too_long_to_be_told_is_another_device() {
    let layers = Layers::new();
    let deep = ["n".repeat(100), "m".repeat(100), "l".repeat(100)].join("/");
    layers.put(&format!("low/{deep}/dir/x"), "x").put(&format!("low/{deep}/file"), "content");
    let Some(stack) = open_all(&layers) else { return };
    assert_eq!(rename(&stack, &format!("{deep}/dir"), "dir"), Err(Errno::XDEV));
    assert_eq!(names(&stack, &format!("{deep}/dir")), ["x"]);
    rename(&stack, &format!("{deep}/file"), "file").expect("a file brings its content");
    assert_eq!(read(&stack, "file").as_deref(), Ok("content"));
    assert_eq!(xattr(&layers, "u/file", "user.overlay.metacopy"), None);
}

#[test]
fn changing_attributes_copies_no_content_until_it_is_written() {
    let layers = Layers::new();
    layers.put("low/f", &"text".repeat(10_000));
    let Some(stack) = open_all(&layers) else { return };
    let reader = stack.open_file(&at(&stack, "f").expect("f"), false, false, false).expect("open");
    let stat = chmod(&stack, "f", 0o640).expect("chmod");
    assert_eq!((stat.mode & 0o777, stat.size_bytes), (0o640, 40_000));
    let upper = fs::metadata(layers.path("u/f")).expect("a copy");
    assert_eq!((upper.len(), upper.blocks() * 512 < 40_000), (40_000, true));
    assert_eq!(xattr(&layers, "u/f", "user.overlay.metacopy").as_deref(), Some(&b""[..]));
    let mut buffer = [0; 8];
    assert_eq!(stack.read(&reader, &mut buffer, 4), Ok(8));
    assert_eq!(&buffer, b"texttext");
    rename(&stack, "f", "g").expect("rename");
    assert_eq!(xattr(&layers, "u/g", "user.overlay.redirect").as_deref(), Some(&b"f"[..]));
    write(&stack, "g", "TEXT").expect("a write");
    assert_eq!(xattr(&layers, "u/g", "user.overlay.metacopy"), None);
    assert_eq!(stack.read(&reader, &mut buffer, 0), Ok(8));
    assert_eq!(&buffer, b"TEXTtext");
    assert_eq!(fs::read(layers.path("u/g")).expect("read").len(), 40_000);
    assert_eq!(fs::metadata(layers.path("u/g")).expect("stat").mode() & 0o777, 0o640);
}

#[test]
fn a_truncation_copies_no_more_than_is_left() {
    let layers = Layers::new();
    layers.put("low/f", "some text").put("low/g", "some text");
    let Some(stack) = open_all(&layers) else { return };
    for name in ["f", "g"] {
        let node = at(&stack, name).expect("a file");
        if name == "g" {
            chmod(&stack, name, 0o600).expect("chmod");
        }
        let change = Change { size_bytes: Some(4), ..Change::default() };
        assert_eq!(stack.set_attributes(&node, &change, None).expect("truncate").size_bytes, 4);
        assert_eq!(read(&stack, name).as_deref(), Ok("some"));
        assert_eq!(xattr(&layers, &format!("u/{name}"), "user.overlay.metacopy"), None);
    }
}

#[test]
fn copies_say_where_they_come_from() {
    let layers = Layers::new();
    layers.put("low/d/f", "text");
    let Some(stack) = open_all(&layers) else { return };
    chmod(&stack, "d/f", 0o600).expect("chmod");
    assert_eq!(xattr(&layers, "u", "user.overlay.impure").as_deref(), Some(&b"y"[..]));
    assert_eq!(xattr(&layers, "u/d", "user.overlay.impure").as_deref(), Some(&b"y"[..]));
    for path in ["u/d", "u/d/f"] {
        let origin = xattr(&layers, path, "user.overlay.origin").expect("an origin");
        assert!(origin.is_empty() || origin.starts_with(&[0, 0xfb]), "{origin:?}");
    }
    assert_eq!(xattr(&layers, "u", "user.overlay.origin"), None);
}

#[test]
fn links_of_a_lower_file_stay_one_file() {
    let layers = Layers::new();
    layers.put("low/a", "text").put("low/d/other", "");
    fs::hard_link(layers.path("low/a"), layers.path("low/d/b")).expect("a link");
    let Some(stack) = open_all(&layers) else { return };
    if stack.uuids.of(2).is_none() {
        return;
    }
    let links = |stack: &Stack, path: &str| stack.stat(&at(stack, path).expect("a file")).expect("stat").links;
    assert_eq!(links(&stack, "a"), 2);
    write(&stack, "a", "TEXT").expect("a write");
    assert_eq!(read(&stack, "d/b").as_deref(), Ok("TEXT"));
    assert_eq!((links(&stack, "a"), links(&stack, "d/b")), (2, 2));
    drop(stack);
    let stack = layers.open();
    let stack = if stack.features.index { stack } else { panic!("the upper said what it is") };
    assert_eq!(read(&stack, "d/b").as_deref(), Ok("TEXT"));
    assert_eq!((links(&stack, "d/b"), links(&stack, "a")), (2, 2));
    assert_eq!(at(&stack, "a").expect("a").id(), at(&stack, "d/b").expect("b").id());
    // The name without a link of its own goes: one is left.
    stack.unlink(&at(&stack, "d").expect("d"), OsStr::new("b")).expect("unlink");
    assert_eq!(links(&stack, "a"), 1);
    drop(stack);
    let stack = layers.open();
    assert_eq!((links(&stack, "a"), read(&stack, "a").as_deref()), (1, Ok("TEXT")));
    let root = stack.node(ROOT).expect("the root");
    stack.unlink(&root, OsStr::new("a")).expect("unlink");
    assert!(fs::read_dir(layers.path("w/index")).expect("the index").next().is_none());
    assert_eq!(names(&stack, ""), ["d"]);
}

#[test]
fn a_link_that_goes_before_any_copy_is_counted() {
    let layers = Layers::new();
    layers.put("low/a", "text");
    for name in ["b", "c"] {
        fs::hard_link(layers.path("low/a"), layers.path("low").join(name)).expect("a link");
    }
    let Some(stack) = open_all(&layers) else { return };
    if stack.uuids.of(2).is_none() {
        return;
    }
    let root = stack.node(ROOT).expect("the root");
    stack.unlink(&root, OsStr::new("b")).expect("unlink");
    let links = |stack: &Stack, path: &str| stack.stat(&at(stack, path).expect("a file")).expect("stat").links;
    assert_eq!((links(&stack, "a"), links(&stack, "c")), (2, 2));
    stack.link(&at(&stack, "c").expect("c"), &root, OsStr::new("n")).expect("a link");
    assert_eq!(links(&stack, "a"), 3);
    rename(&stack, "n", "a").expect("one name of a file over another changes nothing");
    assert_eq!(links(&stack, "a"), 3);
    drop((root, stack));
    assert_eq!(links(&layers.open(), "a"), 3);
}

#[test]
fn for_the_kernel_in_user_xattrs_copies_are_whole() {
    let layers = Layers::new();
    layers.put("low/f", "text").put("low/d/x", "x");
    let stack = layers.open();
    chmod(&stack, "f", 0o600).expect("chmod");
    assert_eq!(fs::read(layers.path("u/f")).expect("read"), b"text");
    assert_eq!(rename(&stack, "d", "e"), Err(Errno::XDEV));
    rename(&stack, "f", "g").expect("rename");
    assert_eq!(xattr(&layers, "u/g", "user.overlay.redirect"), None);
}

#[test]
fn an_upper_for_this_server_alone_is_not_taken_for_the_kernel() {
    let layers = Layers::new();
    let Some(stack) = open_all(&layers) else { return };
    drop(stack);
    assert!(layers.open().features.redirect);
    let spec = StackSpec { compat: Some(Compat::Kernel), ..layers.spec() };
    let error = Stack::open(&spec).expect_err("it is not for the kernel");
    assert!(error.hint.as_deref().is_some_and(|h| h.starts_with("ovl-mount convert ")), "{error}");
}

#[test]
fn a_volatile_upper_that_was_not_ended_in_order_is_refused() {
    let layers = Layers::new();
    let spec = StackSpec { volatile: true, ..layers.spec() };
    let mark = layers.path("w/work/incompat/volatile/dirty");
    let stack = Stack::open(&spec).expect("a stack");
    assert!(mark.exists());
    drop(stack);
    assert!(!mark.exists());
    fs::create_dir_all(mark.parent().expect("a parent")).expect("folders");
    fs::write(&mark, "").expect("a mark");
    let error = Stack::open(&layers.spec()).expect_err("it is not to be trusted");
    assert!(error.to_string().contains("volatile overlay"), "{error}");
    assert!(error.hint.as_deref().is_some_and(|h| h.ends_with("w/work/incompat/volatile")), "{error}");
    assert!(mark.exists());
}

#[test]
fn what_was_written_is_read_again() {
    let layers = Layers::new();
    layers.put("low/d/x", "x").put("high/d/y", "y").put("low/f", "content").put("low/a", "linked").put("low/p/q", "");
    fs::hard_link(layers.path("low/a"), layers.path("low/b")).expect("a link");
    let Some(stack) = open_all(&layers) else { return };
    rename(&stack, "d", "e").expect("a rename");
    rename(&stack, "e", "p/e").expect("another");
    chmod(&stack, "f", 0o640).expect("chmod");
    rename(&stack, "f", "p/g").expect("a rename");
    chmod(&stack, "b", 0o604).expect("chmod of a link");
    let root = stack.node(ROOT).expect("the root");
    stack.link(&at(&stack, "p/g").expect("g"), &root, OsStr::new("h")).expect("a link");
    drop((root, stack));
    let stack = layers.open();
    assert_eq!(names(&stack, ""), ["a", "b", "h", "p"]);
    assert_eq!(names(&stack, "p/e"), ["x", "y"]);
    assert_eq!((read(&stack, "p/e/x").as_deref(), read(&stack, "p/e/y").as_deref()), (Ok("x"), Ok("y")));
    assert_eq!((read(&stack, "p/g").as_deref(), read(&stack, "h").as_deref()), (Ok("content"), Ok("content")));
    for name in ["a", "b"] {
        assert_eq!(read(&stack, name).as_deref(), Ok("linked"));
        assert_eq!(stack.stat(&at(&stack, name).expect("a link")).expect("stat").mode & 0o777, 0o604);
    }
    write(&stack, "h", "CON").expect("a write");
    assert_eq!(read(&stack, "p/g").as_deref(), Ok("CONtent"));
}

#[test]
fn a_file_without_a_name_gets_one() {
    let layers = Layers::new();
    layers.put("low/d/x", "x");
    let stack = layers.open();
    let parent = at(&stack, "d").expect("d");
    let (node, stat, file) = match stack.make_unnamed(&parent, 0o640, ME()) {
        Ok(made) => made,
        Err(Errno::OPNOTSUPP) => return,
        Err(e) => panic!("{e}"),
    };
    assert_eq!((stat.links, stat.mode & 0o777), (0, 0o640));
    stack.write(&file, b"text", 0, false).expect("a write");
    assert_eq!(names(&stack, "d"), ["x"]);
    assert_eq!(stack.link(&node, &parent, OsStr::new("named")).expect("a name").links, 1);
    assert_eq!(read(&stack, "d/named").as_deref(), Ok("text"));
    assert_eq!(at(&stack, "d/named").expect("it").id(), node.id());
    drop(file);
    assert_eq!(read(&stack, "d/named").as_deref(), Ok("text"));
    assert_eq!(stack.link(&node, &parent, OsStr::new(".wh.x")).err(), Some(Errno::INVAL));
}

#[test]
fn a_converted_upper_shows_the_same_and_points_nowhere() {
    let layers = Layers::new();
    layers.put("low/d/x", "x").put("high/d/e/y", "y").put("low/d/e/z", "z").put("low/f", "content").put("low/a", "A");
    layers.put("low/k/gone", "gone").put("low/k/stays", "stays").put("low/p/q", "q");
    fs::hard_link(layers.path("low/a"), layers.path("low/p/b")).expect("a link");
    let Some(stack) = open_all(&layers) else { return };
    rename(&stack, "d", "p/moved").expect("a rename");
    stack.unlink(&at(&stack, "p/moved").expect("it"), OsStr::new("x")).expect("unlink");
    chmod(&stack, "f", 0o640).expect("chmod");
    rename(&stack, "f", "g").expect("a rename");
    write(&stack, "a", "B").expect("a write");
    drop(stack);
    layers.put("u/k/.wh.gone", "");
    let show = |stack: &Stack| {
        let listed = ["", "k", "p", "p/moved", "p/moved/e"].map(|path| names(stack, path));
        let read =
            ["g", "a", "p/b", "p/moved/e/y", "p/moved/e/z", "k/stays"].map(|path| read(stack, path).expect(path));
        (listed, read)
    };
    // As one who goes on with a conversion that was cut short finds it.
    let before = show(&layers.open());
    for turn in 0..2 {
        let done = convert(&layers.spec(), Compat::Kernel).expect("a conversion");
        assert_eq!(done.folders + done.files, if turn == 0 { 2 } else { 0 }, "{done:?}");
        let spec = StackSpec { compat: Some(Compat::Kernel), ..layers.spec() };
        assert_eq!(show(&Stack::open(&spec).expect("for the kernel")), before);
    }
    assert_eq!(xattr(&layers, "u/p/moved", "user.overlay.redirect"), None);
    assert_eq!(xattr(&layers, "u/p/moved", "user.overlay.opaque").as_deref(), Some(&b"y"[..]));
    assert_eq!(xattr(&layers, "u/g", "user.overlay.metacopy"), None);
    assert!(!layers.path("u/p/moved/x").exists() && !layers.path("u/k/.wh.gone").exists());
    assert_eq!(fs::metadata(layers.path("u/p/b")).expect("a link").nlink(), 2);
    convert(&layers.spec(), Compat::Fuse).expect("and back");
    assert!(layers.open().features.redirect);
}
