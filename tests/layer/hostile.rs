//! Layers that want what they must not have: contract U9. Each is one line that names layer and entry, a hint, code 1; and
//! around the target nothing at all has changed, nor in it where something stood there.
//!
//! The sentinel is a tree beside the target with one of everything: contents, modes, owners, times and xattrs are compared.

use crate::bench::{Bench, names_in, refusal};
use testkit::corpus::{Item, tar};
use testkit::tree::{Tree, snapshot};

/// A folder with a sentinel beside the target.
pub(crate) struct Ground {
    pub(crate) bench: Bench,
    before: Tree,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self::on(Bench::new())
    }

    pub(crate) fn on(bench: Bench) -> Self {
        bench.sh("mkdir -p outside/d/e closed; echo safe > victim; echo safe > outside/d/victim; ln -s d outside/l; ln outside/d/victim outside/hard
            mkfifo outside/pipe; chmod 0700 closed; chmod 4711 outside/d/victim; touch -h -d 2001-02-03 outside/d/* outside/* victim closed outside
            mkdir -p was/d/e was/x; echo old > was/f; echo old > was/d/f; ln -s d was/dl; ln -s ../victim was/vl; ln was/f was/d/hard; chmod 2750 was/x
            touch -h -d 2002-03-04 was/d/* was/* was");
        let before = around(&bench);
        Self { bench, before }
    }

    /// What is outside of the sentinel's folder, for links to it.
    pub(crate) fn outside(&self) -> String {
        self.bench.path("outside").to_str().unwrap().to_owned()
    }

    /// Fails if something around the target is not as it was.
    #[track_caller]
    pub(crate) fn untouched(&self, what: &str) {
        self.before.assert_same(&around(&self.bench), what);
    }

    /// Unpacks the tar with `options` into a new folder, which must be refused and leave nothing; gives the line and the hint.
    #[track_caller]
    pub(crate) fn refused(&self, layer: &[u8], options: &str, what: &str) -> (String, String) {
        self.bench.write("evil.tar", layer);
        let out = self.bench.unpack(&format!("-C out {options} evil.tar"));
        let (line, hint) = refusal(&out, 1, &format!("{what} ({options})"));
        assert!(!self.bench.path("out").exists(), "{what}: the target stays");
        self.untouched(what);
        (line.strip_prefix("layer evil.tar: ").unwrap_or(&line).to_owned(), hint)
    }

    /// The same into a copy of a folder that holds something: it stays as it was, and the line is the one expected.
    #[track_caller]
    pub(crate) fn refused_into_a_full_folder(&self, layer: &[u8], options: &str, expected: &str) {
        self.bench.write("evil.tar", layer);
        self.bench.sh("rm -rf full; cp -a was full");
        if !UNDO {
            return;
        }
        let was = snapshot(&self.bench.path("full"));
        let (line, _) = self.bench.refused(&format!("-C full {options} evil.tar"), 1);
        assert_eq!(line.strip_prefix("layer evil.tar: ").unwrap_or(&line), expected);
        was.assert_same(&snapshot(&self.bench.path("full")), expected);
        self.untouched(expected);
    }

    /// Unpacks the tar into a new folder, which must go well; gives what is in it, and what was said.
    #[track_caller]
    pub(crate) fn taken(&self, layer: &[u8], options: &str, what: &str) -> (Tree, String) {
        self.bench.write("odd.tar", layer);
        self.bench.sh("rm -rf out");
        let out = self.bench.unpack(&format!("-C out {options} odd.tar"));
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{what}: {}\n{said}", out.status);
        self.untouched(what);
        let tree = snapshot(&self.bench.path("out"));
        self.bench.sh("rm -rf out");
        (tree, said)
    }
}

pub(crate) const UNDO: bool = true;

/// All but the targets and the tars: what must stay as it is.
fn around(bench: &Bench) -> Tree {
    let ours = |path: &std::path::Path| {
        ["out", "full", "evil.tar", "odd.tar"].iter().any(|name| path.starts_with(name)) || path.as_os_str().is_empty()
    };
    let tree = snapshot(&bench.path("")).keep_only(|path, _| !ours(path));
    assert!(tree.nodes.len() > 10);
    tree
}

const FORMS: [&str; 4] = ["overlay", "userxattr", "oci", "apply"];
const HOSTILE: &str = "the layer is hostile or broken; do not use this image";

#[test]
fn nothing_is_written_outside() {
    let ground = Ground::new();
    let (out, file) = (ground.outside(), |name: &str| Item::file(name, b"evil"));
    let through = |link: &str, to: &str| format!("climbs out of the layer through the symbolic link {link} -> {to}");
    let up = "climbs out of the layer by ..";
    let (link, dir, hard) =
        (|n: &str, t: &str| Item::link(n, t), |n: &str| Item::dir(n), |n: &str, t: &str| Item::hard(n, t));
    let node = |kind: u8, name: &str| Item::new(kind, name);
    let cases: Vec<(Vec<Item>, String)> = vec![
        (vec![file("../victim")], format!("../victim: {up}")),
        (vec![file("..")], format!("..: {up}")),
        (vec![file("a/b/../../../victim")], format!("a/b/../../../victim: {up}")),
        (vec![file("/../victim")], format!("/../victim: {up}")),
        (vec![file("./.././victim")], format!("./.././victim: {up}")),
        (vec![dir("../new/")], format!("../new/: {up}")),
        (vec![dir("../")], format!("../: {up}")),
        (vec![link("../new", "x")], format!("../new: {up}")),
        (vec![hard("../new", "x")], format!("../new: {up}")),
        (vec![node(b'6', "../new")], format!("../new: {up}")),
        (vec![Item::char_device("../new", 1, 3)], format!("../new: {up}")),
        (vec![Item::file("x", b"").pax("path", "../victim")], format!("../victim: {up}")),
        (vec![Item::file("x", b"").gnu_name("../victim")], format!("../victim: {up}")),
        // A prefix of ustar's.
        (vec![Item::file("victim", b"").raw(345, b"..")], format!("../victim: {up}")),
        // Through links.
        (vec![link("l", ".."), file("l/victim")], format!("l/victim: {}", through("l", ".."))),
        (vec![link("l", ".."), dir("l/closed/").mode(0o777)], format!("l/closed/: {}", through("l", ".."))),
        (vec![link("l", ".."), dir("l/new/")], format!("l/new/: {}", through("l", ".."))),
        (vec![link("l", ".."), link("l/new", "x")], format!("l/new: {}", through("l", ".."))),
        (vec![link("l", ".."), node(b'6', "l/new")], format!("l/new: {}", through("l", ".."))),
        (vec![link("l", "../outside/d"), file("l/victim")], format!("l/victim: {}", through("l", "../outside/d"))),
        (vec![link("l", &out), file("l/new")], format!("l/new: {}", through("l", &out))),
        (vec![link("l", &out), file("l/d/victim")], format!("l/d/victim: {}", through("l", &out))),
        (vec![link("l", &out), dir("l/d/e/").mode(0o777)], format!("l/d/e/: {}", through("l", &out))),
        (
            vec![dir("d/"), link("d/l", "../.."), link("m", "d/l"), file("m/victim")],
            format!("m/victim: {}", through("m", "d/l")),
        ),
        (vec![link("a", "b"), link("b", "c"), link("c", ".."), file("a/new")], format!("a/new: {}", through("a", "b"))),
        (vec![link("a", "."), link("a/b", "a/.."), file("b/victim")], format!("b/victim: {}", through("b", "a/.."))),
        // Names of the machine inside a link.
        (vec![link("l", "/proc/self/root"), file("l/tmp/x")], format!("l/tmp/x: {}", through("l", "/proc/self/root"))),
        (vec![link("l", "/proc/self/cwd"), file("l/victim")], format!("l/victim: {}", through("l", "/proc/self/cwd"))),
        (vec![link("l", "/dev/shm"), file("l/x")], format!("l/x: {}", through("l", "/dev/shm"))),
        // Hard links.
        (vec![hard("h", "../victim")], format!("h: hard link to ../victim, which {up}")),
        (vec![hard("h", "a/../../victim")], format!("h: hard link to a/../../victim, which {up}")),
        (vec![link("l", ".."), hard("h", "l/victim")], format!("h: {}", through("l", ".."))),
        (vec![link("l", &out), hard("h", "l/d/victim"), file("h")], format!("h: {}", through("l", &out))),
        // A file becomes a link after things were put below it.
        (vec![dir("d/"), file("d/a"), link("d", ".."), file("d/victim")], format!("d/victim: {}", through("d", ".."))),
        (
            vec![dir("d/"), file("d/a"), link("d", &out), file("d/d/victim")],
            format!("d/d/victim: {}", through("d", &out)),
        ),
        (
            vec![link("l", "x"), dir("x/"), file("l/a"), link("l", ".."), file("l/victim")],
            format!("l/victim: {}", through("l", "..")),
        ),
    ];
    for (items, message) in &cases {
        let layer = tar(items);
        for form in FORMS {
            let options = format!("--no-same-owner --whiteouts {form}");
            assert_eq!(ground.refused(&layer, &options, message), (message.clone(), HOSTILE.to_owned()));
        }
        ground.refused_into_a_full_folder(&layer, "--no-same-owner --whiteouts apply", message);
    }
}

#[test]
fn whiteouts_hide_nothing_outside_and_no_more_than_names() {
    let ground = Ground::new();
    let out = ground.outside();
    let (file, link) = (|name: &str| Item::file(name, b""), |n: &str, t: &str| Item::link(n, t));
    let through = |to: &str| format!("climbs out of the layer through the symbolic link l -> {to}");
    let up = "climbs out of the layer by ..";
    let cases: Vec<(Vec<Item>, String)> = vec![
        (vec![file(".wh.")], ".wh.: a whiteout of nothing".into()),
        (vec![file(".wh..")], ".wh..: a whiteout of .".into()),
        (vec![file(".wh...")], ".wh...: a whiteout of ..".into()),
        (vec![file("a/.wh...")], "a/.wh...: a whiteout of ..".into()),
        (vec![file("a/.wh..")], "a/.wh..: a whiteout of .".into()),
        (vec![file("../.wh.victim")], format!("../.wh.victim: {up}")),
        (vec![file("../.wh..wh..opq")], format!("../.wh..wh..opq: {up}")),
        (vec![link("l", ".."), file("l/.wh.victim")], format!("l/.wh.victim: {}", through(".."))),
        (vec![link("l", ".."), file("l/.wh..wh..opq")], format!("l/.wh..wh..opq: {}", through(".."))),
        (vec![link("l", &out), file("l/.wh.d")], format!("l/.wh.d: {}", through(&out))),
        (vec![link("l", &out), file("l/.wh..wh..opq")], format!("l/.wh..wh..opq: {}", through(&out))),
    ];
    for (items, message) in &cases {
        for form in ["overlay", "userxattr", "apply"] {
            let options = format!("--no-same-owner --whiteouts {form}");
            assert_eq!(ground.refused(&tar(items), &options, message).0, *message);
        }
        ground.refused_into_a_full_folder(&tar(items), "--no-same-owner --whiteouts apply", message);
    }
    // A link in the way is removed, not followed.
    ground.bench.write("odd.tar", &tar(&[file(".wh.vl"), file(".wh.dl"), file(".wh.f")]));
    ground.bench.sh("rm -rf full; cp -a was full");
    ground.bench.unpacked("-C full --no-same-owner --whiteouts apply odd.tar");
    assert_eq!(names_in(&ground.bench.path("full")), ["d", "x"]);
    assert_eq!(names_in(&ground.bench.path("full/d")), ["e", "f", "hard"]);
    ground.untouched("whiteouts of links");
    // The root may be opaque; what aufs kept for itself is left out.
    let layer = tar(&[
        file(".wh..wh..opq"),
        file(".wh..wh.aufs"),
        Item::dir(".wh..wh.orph/"),
        file(".wh..wh.plnk/1.2"),
        file("f"),
    ]);
    for form in ["userxattr", "apply"] {
        let (tree, said) = ground.taken(&layer, &format!("--no-same-owner --whiteouts {form}"), form);
        assert_eq!(tree.nodes.len(), 2, "{:?}", tree.nodes.keys());
        assert_eq!(tree.at("").xattrs.contains_key("user.overlay.opaque"), form == "userxattr");
        assert_eq!(said, "");
    }
}

#[test]
fn links_themselves_may_point_anywhere_and_are_replaced_not_followed() {
    let ground = Ground::new();
    let layer = tar(&[
        Item::link("l", "../victim"),
        Item::file("l", b"inside"),
        Item::link("m", "../victim"),
        Item::hard("n", "m"),
        Item::link("o", "../outside"),
        Item::dir("o/").mode(0o700),
        Item::file("o/d", b"in"),
        Item::link("p", "../victim"),
        Item::new(b'6', "p"),
        Item::file("/absolute", b"in"),
        Item::link("here", "."),
        Item::file("here/there", b"in"),
        Item::link("abs", "/here"),
        Item::file("abs/too", b"in"),
    ]);
    for form in FORMS {
        let (tree, said) = ground.taken(&layer, &format!("--no-same-owner --whiteouts {form}"), form);
        assert_eq!(said, "");
        assert_eq!((tree.at("l").kind, tree.at("l").size), ("file", 6));
        assert_eq!(tree.at("n").target.as_deref().unwrap().to_str(), Some("../victim"));
        assert_eq!((tree.at("o").kind, tree.at("o").mode, tree.at("o/d").kind), ("directory", 0o700, "file"));
        assert_eq!(tree.at("p").kind, "fifo");
        assert!(tree.has("absolute") && tree.has("there") && tree.has("too"));
    }
}

#[test]
fn hard_links_name_what_is_there_already() {
    let ground = Ground::new();
    let absent = |name: &str, to: &str| format!("{name}: hard link to {to}, which is not in the layer");
    let cases: Vec<(Vec<Item>, String)> = vec![
        (vec![Item::hard("h", "later"), Item::file("later", b"x")], absent("h", "later")),
        (vec![Item::hard("h", "h")], absent("h", "h")),
        (vec![Item::dir("d/"), Item::hard("h", "d")], "h: hard link to d, which is a directory".into()),
        (vec![Item::hard("h", ".")], "h: hard link to ., which is a directory".into()),
        (vec![Item::hard("h", "/etc/passwd")], absent("h", "/etc/passwd")),
        (vec![Item::hard("h", "no/such/thing")], absent("h", "no/such/thing")),
        (vec![Item::file("f", b""), Item::hard("h", "f/x")], absent("h", "f/x")),
        (vec![Item::hard("h", "")], "h: a link to nothing".into()),
        (vec![Item::link("s", "")], "s: a link to nothing".into()),
        (vec![Item::file("f", b""), Item::hard("d/../..", "f")], "d/../..: climbs out of the layer by ..".into()),
    ];
    for (items, message) in &cases {
        let (line, hint) = ground.refused(&tar(items), "--no-same-owner", message);
        assert_eq!(line, *message);
        assert!(!hint.is_empty(), "{message}: no hint");
        ground.refused_into_a_full_folder(&tar(items), "--no-same-owner --whiteouts apply", message);
    }
    let (tree, _) = ground.taken(
        &tar(&[
            Item::file("f", b"x"),
            Item::hard("f", "f"),
            Item::hard("g", "/f"),
            Item::hard("g", "./f"),
            Item::hard("k", "g"),
        ]),
        "--no-same-owner",
        "to itself",
    );
    assert_eq!(tree.at("k").same_as, tree.at("f").same_as);
    assert!(tree.at("f").same_as.is_some());
}

#[test]
fn what_stands_in_an_entrys_place_goes_whatever_it_is() {
    let ground = Ground::new();
    type Maker = fn(&str) -> Vec<Item>;
    let makers: [(&str, Maker); 5] = [
        ("file", |n| vec![Item::file(n, b"data")]),
        ("directory", |n| vec![Item::dir(n), Item::file(format!("{n}/below"), b"x")]),
        ("link", |n| vec![Item::link(n, "../victim")]),
        ("fifo", |n| vec![Item::new(b'6', n)]),
        ("hard", |n| vec![Item::file("first", b"one"), Item::hard(n, "first")]),
    ];
    for (first, make_first) in makers {
        for (second, make_second) in makers {
            let layer = tar(&[make_first("x"), make_second("x")].concat());
            let (tree, said) = ground.taken(&layer, "--no-same-owner", &format!("{first}, then {second}"));
            assert_eq!(said, "");
            let kind = if second == "hard" { "file" } else { second };
            assert_eq!(tree.at("x").kind, kind, "{first}, then {second}");
            assert_eq!(tree.has("x/below"), second == "directory", "{first}, then {second}");
        }
    }
}

#[test]
fn overlays_own_xattrs_get_no_power() {
    testkit::need!(root);
    let ground = Ground::new();
    let keys = [
        "opaque",
        "redirect",
        "metacopy",
        "origin",
        "impure",
        "nlink",
        "upper",
        "whiteout",
        "uuid",
        "protattr",
        "overlay.opaque",
    ];
    for form in ["overlay", "userxattr", "apply"] {
        let mut items = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            items.push(
                Item::dir(format!("d{at}/"))
                    .xattr(format!("trusted.overlay.{key}"), "y")
                    .xattr(format!("user.overlay.{key}"), "y")
                    .xattr("user.kept", "1"),
            );
            items.push(
                Item::file(format!("f{at}"), b"")
                    .xattr(format!("trusted.overlay.{key}"), "/../..")
                    .xattr(format!("user.overlay.{key}"), "x"),
            );
        }
        items.push(Item::dir("./").xattr("trusted.overlay.opaque", "y"));
        let (tree, said) = ground.taken(&tar(&items), &format!("--whiteouts {form}"), form);
        for (path, node) in &tree.nodes {
            assert!(
                !node.xattrs.keys().any(|k| k.contains("overlay")),
                "{form}: {}: {:?}",
                path.display(),
                node.xattrs
            );
        }
        assert_eq!(tree.at("d3").xattrs["user.kept"], b"1");
        assert_eq!(said.matches("belongs to overlay file systems").count(), keys.len() * 4 + 1, "{said}");
    }
}
