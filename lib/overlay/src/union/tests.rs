//! The union without a mount and without root: in folders of our own, with `user.*` xattrs.

mod reading;
mod writing;

use super::*;
use crate::layer::Errno;
use rustix::fs::{FileType, XattrFlags};
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

const ME: fn() -> Maker =
    || Maker { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw(), umask: 0o022 };

struct Layers {
    dir: tempfile::TempDir,
}

impl Layers {
    fn new() -> Self {
        let layers = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        for name in ["low", "high", "u", "w"] {
            fs::create_dir(layers.path(name)).expect("a folder");
        }
        layers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
        self
    }

    fn spec(&self) -> StackSpec {
        StackSpec {
            lowers: ["high", "low"].map(|l| Lower::Path(self.path(l))).into(),
            upper: Some(self.path("u")),
            work: Some(self.path("w")),
            xattrs: XattrNamespace::User,
            ..StackSpec::default()
        }
    }

    fn open(&self) -> Stack {
        Stack::open(&self.spec()).expect("a stack")
    }

    /// Sets an xattr; `false` where the file system has none for users.
    fn mark(&self, name: &str, xattr: &str, value: &str) -> bool {
        rustix::fs::setxattr(self.path(name), xattr, value.as_bytes(), XattrFlags::empty()).is_ok()
    }
}

/// The node at `path`.
fn at(stack: &Stack, path: &str) -> Answer<Arc<Node>> {
    let mut node = stack.node(ROOT)?;
    for name in path.split('/').filter(|n| !n.is_empty()) {
        node = stack.lookup(&node, OsStr::new(name))?.ok_or(Errno::NOENT)?.0;
    }
    Ok(node)
}

fn read(stack: &Stack, path: &str) -> Answer<String> {
    let file = stack.open_file(&at(stack, path)?, false, false, false)?;
    let mut buffer = vec![0; 4096];
    let length = stack.read(&file, &mut buffer, 0)?;
    buffer.truncate(length);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

fn names(stack: &Stack, path: &str) -> Vec<String> {
    let listed = stack.list(&at(stack, path).expect("a folder")).expect("a listing");
    let mut names: Vec<_> = listed.into_iter().skip(2).map(|e| e.name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn layers_show_as_one_tree() {
    let layers = Layers::new();
    layers.put("low/a", "low").put("high/a", "high").put("low/d/x", "x").put("high/d/y", "y");
    let stack = layers.open();
    assert_eq!(read(&stack, "a").as_deref(), Ok("high"));
    assert_eq!(read(&stack, "d/x").as_deref(), Ok("x"));
    assert_eq!(names(&stack, "d"), ["x", "y"]);
    assert_eq!(at(&stack, "nothing").map(|n| n.id()), Err(Errno::NOENT));
}

#[test]
fn a_write_copies_up_and_keeps_number_and_lower_file() {
    let layers = Layers::new();
    layers.put("low/p/q/f", "lower");
    let stack = layers.open();
    let node = at(&stack, "p/q/f").expect("a file");
    let reader = stack.open_file(&node, false, false, false).expect("open");
    let writer = stack.open_file(&node, true, false, false).expect("open");
    assert_eq!(stack.write(&writer, b"UPP", 0, false), Ok(3));
    let mut text = [0; 5];
    assert_eq!(stack.read(&reader, &mut text, 0), Ok(5));
    assert_eq!(&text, b"UPPer");
    assert_eq!(at(&stack, "p/q/f").expect("a file").id(), node.id());
    assert_eq!(fs::read(layers.path("low/p/q/f")).expect("read"), b"lower");
    assert_eq!(fs::read(layers.path("u/p/q/f")).expect("read"), b"UPPer");
    assert!(fs::read_dir(layers.path("w/work")).expect("the work folder").next().is_none());
}

#[test]
fn many_writers_make_one_copy() {
    let layers = Layers::new();
    layers.put("low/d/f", "text");
    let stack = layers.open();
    std::thread::scope(|scope| {
        for byte in 0..8_u8 {
            let stack = &stack;
            scope.spawn(move || {
                let file = stack.open_file(&at(stack, "d/f").expect("a file"), true, false, false).expect("open");
                stack.write(&file, &[b'0' + byte], u64::from(byte), false).expect("write");
            });
        }
    });
    assert_eq!(read(&stack, "d/f").as_deref(), Ok("01234567"));
}

#[test]
fn removal_leaves_whiteouts_only_where_something_is_below() {
    let layers = Layers::new();
    layers.put("low/f", "f").put("low/d/x", "x");
    let stack = layers.open();
    let root = stack.node(ROOT).expect("the root");
    stack.unlink(&root, OsStr::new("f")).expect("unlink");
    stack.make(&root, OsStr::new("new"), New::File, 0o644, ME()).expect("a file");
    stack.unlink(&root, OsStr::new("new")).expect("unlink");
    assert_eq!(stack.rmdir(&root, OsStr::new("d")), Err(Errno::NOTEMPTY));
    stack.unlink(&at(&stack, "d").expect("d"), OsStr::new("x")).expect("unlink");
    stack.rmdir(&root, OsStr::new("d")).expect("rmdir");
    assert!(names(&stack, "").is_empty());
    let mut left: Vec<_> =
        fs::read_dir(layers.path("u")).expect("upper").map(|e| e.expect("entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["d", "f"]);
    drop(stack);
    assert!(names(&layers.open(), "").is_empty());
}

#[test]
fn a_folder_made_over_a_whiteout_hides_what_was_below() {
    let layers = Layers::new();
    layers.put("low/d/x", "x");
    if !layers.mark("u", "user.probe", "1") {
        return;
    }
    let stack = layers.open();
    let root = stack.node(ROOT).expect("the root");
    stack.unlink(&at(&stack, "d").expect("d"), OsStr::new("x")).expect("unlink");
    stack.rmdir(&root, OsStr::new("d")).expect("rmdir");
    stack.make(&root, OsStr::new("d"), New::Folder, 0o755, ME()).expect("mkdir");
    drop((root, stack));
    assert!(names(&layers.open(), "d").is_empty());
}

#[test]
fn folders_with_a_lower_part_stay_and_new_ones_move() {
    let layers = Layers::new();
    layers.put("low/d/x", "x").put("low/e/y", "y");
    let stack = layers.open();
    let root = stack.node(ROOT).expect("the root");
    let rename = |from: &str, to: &str| stack.rename(&root, OsStr::new(from), &root, OsStr::new(to), false, false);
    assert_eq!(rename("d", "moved"), Err(Errno::XDEV));
    if layers.mark("u", "user.probe", "1") {
        let (new, ..) = stack.make(&root, OsStr::new("new"), New::Folder, 0o755, ME()).expect("mkdir");
        stack.make(&new, OsStr::new("f"), New::File, 0o644, ME()).expect("a file");
        rename("new", "moved").expect("a new folder");
        assert_eq!(names(&stack, "moved"), ["f"]);
        assert_eq!(at(&stack, "moved").expect("it").id(), new.id());
    }
}

#[test]
fn forgotten_nodes_are_dropped_children_before_parents_or_after() {
    let layers = Layers::new();
    layers.put("low/a/b/c", "c");
    for order in [["a", "a/b", "a/b/c"], ["a/b/c", "a/b", "a"]] {
        let stack = layers.open();
        let ids: Vec<u64> = order
            .iter()
            .map(|path| {
                let node = at(&stack, path).expect("a node");
                stack.count(&node);
                node.id()
            })
            .collect();
        assert_eq!(stack.node_count(), 4);
        for id in ids {
            stack.forget(id, 1);
        }
        assert_eq!(stack.node_count(), 1, "{order:?}");
        assert_eq!(read(&stack, "a/b/c").as_deref(), Ok("c"));
    }
}

#[test]
fn names_of_one_upper_file_are_one_node_and_of_a_lower_one_are_not() {
    let layers = Layers::new();
    layers.put("low/one", "text").put("u/a", "upper");
    fs::hard_link(layers.path("low/one"), layers.path("low/two")).expect("a link");
    fs::hard_link(layers.path("u/a"), layers.path("u/b")).expect("a link");
    let stack = layers.open();
    assert_eq!(at(&stack, "a").expect("a").id(), at(&stack, "b").expect("b").id());
    // A write to one of them parts them.
    let file = stack.open_file(&at(&stack, "one").expect("one"), true, true, false).expect("open");
    stack.write(&file, b"new", 0, false).expect("write");
    assert_eq!(read(&stack, "one").as_deref(), Ok("new"));
    assert_eq!(read(&stack, "two").as_deref(), Ok("text"));
}

#[test]
fn without_an_upper_nothing_is_written() {
    let layers = Layers::new();
    layers.put("low/f", "f");
    let spec = StackSpec { upper: None, work: None, ..layers.spec() };
    let stack = Stack::open(&spec).expect("a stack");
    let root = stack.node(ROOT).expect("the root");
    assert!(stack.is_read_only());
    assert_eq!(stack.unlink(&root, OsStr::new("f")), Err(Errno::ROFS));
    let made = stack.make(&root, OsStr::new("new"), New::Node(FileType::Fifo, (0, 0)), 0o600, ME());
    assert_eq!(made.err(), Some(Errno::ROFS));
    let opened = stack.open_file(&at(&stack, "f").expect("f"), true, false, false);
    assert_eq!(opened.err(), Some(Errno::ROFS));
}

#[test]
fn a_second_server_does_not_get_the_same_upper() {
    let layers = Layers::new();
    let first = layers.open();
    let error = Stack::open(&layers.spec()).expect_err("it is taken");
    assert!(error.to_string().ends_with("device or resource busy"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("another overlay is mounted with this upper"));
    drop(first);
    layers.open();
}

#[test]
fn what_a_crash_left_in_the_work_folder_goes() {
    let layers = Layers::new();
    layers.put("w/work/#1/deep/file", "half done").put("w/work/#2", "half done");
    let stack = layers.open();
    assert!(fs::read_dir(layers.path("w/work")).expect("the work folder").next().is_none());
    drop(stack);
}

#[test]
fn an_open_file_that_lost_its_name_can_still_be_changed() {
    let layers = Layers::new();
    layers.put("low/f", "lower text");
    let stack = layers.open();
    let root = stack.node(ROOT).expect("the root");
    let node = at(&stack, "f").expect("f");
    let file = stack.open_file(&node, false, false, false).expect("open");
    stack.unlink(&root, OsStr::new("f")).expect("unlink");
    let change = Change { mode: Some(0o600), ..Change::default() };
    let stat = stack.set_attributes(&node, &change, Some(&file)).expect("chmod");
    assert_eq!((stat.mode & 0o777, stat.size_bytes), (0o600, 10));
    let mut text = [0; 10];
    assert_eq!(stack.read(&file, &mut text, 0), Ok(10));
    assert_eq!(&text, b"lower text");
    assert!(names(&stack, "").is_empty());
    assert!(fs::read_dir(layers.path("low")).expect("low").next().is_some());
}
