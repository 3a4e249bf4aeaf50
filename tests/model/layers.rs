//! Lower layers made by chance: what each holds, as folders on disk ([`build`]) and merged as a model ([`merge`]).

use super::apply::DEVICE;
use super::operation::bytes;
use super::tree::{Body, Id, Model, Moment, Object, ROOT, Rules, Time};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use testkit::dice::Dice;

/// An entry of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    what: What,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Moment,
    xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone)]
enum What {
    /// Bytes, and a hole behind them up to this size.
    File(Vec<u8>, usize),
    Folder {
        opaque: bool,
    },
    Link(String),
    Fifo,
    Socket,
    Char,
    /// A further name of the file at this path.
    SameAs(String),
    Whiteout,
}

/// A layer's entries by path; what is above them is in it too.
pub(crate) type Layer = BTreeMap<String, Entry>;

/// Where links point: inside, at nothing, at themselves, at directories on the way.
pub(crate) const TARGETS: [&str; 10] = ["a", "b", "c/d", "a/b", "./e", "b/a", "d", "a/b/c", ".", "nowhere"];
pub(crate) const MODES: [u32; 8] = [0o644, 0o600, 0o755, 0o4755, 0o2755, 0o6711, 0o400, 0o666];
pub(crate) const FOLDER_MODES: [u32; 6] = [0o755, 0o700, 0o2755, 0o1755, 0o777, 0o500];

/// A name; few, so that operations meet.
pub(crate) fn any_name(dice: &mut Dice) -> String {
    char::from(b'a' + dice.roll(7) as u8).to_string()
}

/// Several layers, topmost first.
pub(crate) fn choose(dice: &mut Dice, rules: Rules, may_link: bool) -> Vec<Layer> {
    let count = 1 + dice.roll(4);
    let links = !dice.once_in(3) && may_link;
    (0..count).map(|depth| layer(dice, rules, depth + 1 == count, links)).collect()
}

fn layer(dice: &mut Dice, rules: Rules, lowest: bool, links: bool) -> Layer {
    let mut layer = Layer::new();
    for _ in 0..dice.roll(60) {
        let folders: Vec<String> =
            layer.iter().filter(|(_, e)| matches!(e.what, What::Folder { .. })).map(|(p, _)| p.clone()).collect();
        let name = any_name(dice);
        let above = if folders.is_empty() || dice.once_in(3) { String::new() } else { dice.of(&folders) + "/" };
        let path = above + &name;
        if layer.contains_key(&path) || path.len() > 7 {
            continue;
        }
        let files: Vec<String> =
            layer.iter().filter(|(_, e)| matches!(e.what, What::File(..))).map(|(p, _)| p.clone()).collect();
        let what = match dice.roll(16) {
            0..=4 => {
                let length = [0, 10, 500, 5000, 20_000][dice.roll(5) as usize];
                let hole = if dice.once_in(4) { 30_000 } else { length };
                What::File(bytes(length, dice.roll(256) as u8), hole)
            }
            5..=9 => What::Folder { opaque: !lowest && dice.once_in(5) },
            10 => What::Link(dice.of(&TARGETS).to_owned()),
            11 => dice.of(&[What::Fifo, What::Socket]),
            12 if rules.root => What::Char,
            13 if links && !files.is_empty() => What::SameAs(dice.of(&files)),
            14 | 15 if !lowest => What::Whiteout,
            _ => continue,
        };
        let mode = if matches!(what, What::Folder { .. }) { dice.of(&FOLDER_MODES) } else { dice.of(&MODES) };
        let mut xattrs = BTreeMap::new();
        let plain = matches!(what, What::Folder { .. } | What::File(..));
        if plain && dice.once_in(3) {
            xattrs.insert(format!("user.{}", any_name(dice)), bytes(1 + dice.roll(40) as usize, 3));
        }
        if rules.root && plain && dice.once_in(6) {
            xattrs.insert(format!("trusted.{}", any_name(dice)), b"trusted".to_vec());
        }
        let mtime = (dice.roll(1_000_000_000).cast_signed(), dice.roll(1_000_000_000).cast_signed());
        layer.insert(path, Entry { what, mode, uid: dice.roll(3) as u32, gid: dice.roll(3) as u32, mtime, xattrs });
    }
    layer
}

/// Makes the layer's entries in the empty folder `root`.
pub(crate) fn build(layer: &Layer, root: &Path, rules: Rules) {
    let opaque = if rules.root { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
    for (path, entry) in layer {
        let at = root.join(path);
        let node =
            |kind, device| rustix::fs::mknodat(CWD, &at, kind, Mode::from_raw_mode(0o600), device).expect("a node");
        match &entry.what {
            What::File(content, size) => {
                let file = std::fs::File::create(&at).expect("a file");
                std::os::unix::fs::FileExt::write_all_at(&file, content, 0).expect("its content");
                file.set_len((*size).max(content.len()) as u64).expect("its size");
            }
            What::Folder { opaque: marked } => {
                std::fs::create_dir(&at).expect("a folder");
                if *marked {
                    rustix::fs::lsetxattr(&at, opaque, b"y", XattrFlags::empty()).expect("opaque");
                }
            }
            What::Link(target) => std::os::unix::fs::symlink(target, &at).expect("a link"),
            What::Fifo => node(FileType::Fifo, 0),
            What::Socket => node(FileType::Socket, 0),
            What::Char => node(FileType::CharacterDevice, DEVICE),
            What::Whiteout => node(FileType::CharacterDevice, 0),
            // A name may sort before that of the file it is another name of.
            What::SameAs(_) => {}
        }
        if matches!(entry.what, What::Whiteout | What::SameAs(_)) {
            continue;
        }
        let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
        rustix::fs::chownat(CWD, &at, uid, gid, AtFlags::SYMLINK_NOFOLLOW).expect("an owner");
        if !matches!(entry.what, What::Link(_)) {
            rustix::fs::chmodat(CWD, &at, Mode::from_raw_mode(entry.mode), AtFlags::empty()).expect("a mode");
        }
        for (name, value) in &entry.xattrs {
            rustix::fs::lsetxattr(&at, name, value, XattrFlags::empty()).expect("an xattr");
        }
    }
    for (path, entry) in layer {
        if let What::SameAs(other) = &entry.what {
            std::fs::hard_link(root.join(other), root.join(path)).expect("a hard link");
        }
    }
    for (path, entry) in layer.iter().rev() {
        if matches!(entry.what, What::SameAs(_)) {
            continue;
        }
        let time = Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
    }
}

/// The merged tree of layers, topmost first, under an empty upper.
pub(crate) fn merge(layers: &[Layer], rules: Rules) -> Model {
    let mut root = Object::new(Body::Folder { entries: BTreeMap::new(), parent: ROOT }, 0o755);
    root.lower = true;
    let mut merging =
        Merging { layers, rules, objects: HashMap::from([(ROOT, root)]), linked: HashMap::new(), next: ROOT };
    merging.folder(ROOT, "", &(0..layers.len()).collect::<Vec<_>>());
    Model {
        rules,
        objects: merging.objects,
        open: BTreeMap::new(),
        streams: BTreeMap::new(),
        unchecked: &[],
        kernel_serves: false,
        linkable: BTreeSet::new(),
        umask: 0o022,
        now: (0, 0),
        next: merging.next,
    }
}

struct Merging<'a> {
    layers: &'a [Layer],
    rules: Rules,
    objects: HashMap<Id, Object>,
    /// Files of several names by layer and first name.
    linked: HashMap<(usize, String), Id>,
    next: Id,
}

impl Merging<'_> {
    /// Fills the directory `id`, to which the directories `path` of the layers `parts` belong.
    fn folder(&mut self, id: Id, path: &str, parts: &[usize]) {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut names = BTreeSet::new();
        for part in parts {
            let below = self.layers[*part].keys().filter_map(|p| p.strip_prefix(&prefix));
            names.extend(below.filter(|n| !n.contains('/')).map(str::to_owned));
        }
        for name in names {
            let full = format!("{prefix}{name}");
            let Some(found) = self.entry(&full, parts) else { continue };
            let Some(Object { body: Body::Folder { entries, .. }, .. }) = self.objects.get_mut(&id) else { continue };
            entries.insert(name, found);
            if let Some(Object { body: Body::Folder { parent, .. }, .. }) = self.objects.get_mut(&found) {
                *parent = id;
            }
        }
    }

    fn entry(&mut self, path: &str, parts: &[usize]) -> Option<Id> {
        let layers = self.layers;
        let mut folders = Vec::new();
        let mut top: Option<&Entry> = None;
        for part in parts {
            let Some(entry) = layers[*part].get(path) else { continue };
            match &entry.what {
                What::Folder { opaque } => {
                    folders.push(*part);
                    top = top.or(Some(entry));
                    if *opaque {
                        break;
                    }
                }
                _ if !folders.is_empty() => break,
                What::Whiteout => return None,
                _ => return Some(self.file(path, *part)),
            }
        }
        let body = Body::Folder { entries: BTreeMap::new(), parent: ROOT };
        let id = self.add(top?, body);
        self.folder(id, path, &folders);
        Some(id)
    }

    fn file(&mut self, path: &str, layer: usize) -> Id {
        let entries = &self.layers[layer];
        let first = match &entries[path].what {
            What::SameAs(other) => other.clone(),
            _ => path.to_owned(),
        };
        let others = entries.values().filter(|e| matches!(&e.what, What::SameAs(o) if *o == first)).count() as u32;
        if self.rules.index
            && let Some(id) = self.linked.get(&(layer, first.clone()))
        {
            return *id;
        }
        let entry = &entries[&first];
        let body = match &entry.what {
            What::File(content, size) => {
                let mut content = content.clone();
                content.resize(content.len().max(*size), 0);
                Body::File(content)
            }
            What::Link(target) => Body::Link(target.clone()),
            What::Fifo => Body::Fifo,
            What::Socket => Body::Socket,
            _ => Body::Char(DEVICE),
        };
        let index = self.rules.index;
        let id = self.add(entry, body);
        if let Some(object) = self.objects.get_mut(&id)
            && others > 0
        {
            object.links = 1 + others;
            object.was_linked = true;
            object.fragile = (!index).then_some(1 + others);
        }
        self.linked.insert((layer, first), id);
        id
    }

    fn add(&mut self, entry: &Entry, body: Body) -> Id {
        let mode = if matches!(body, Body::Link(_)) { 0o777 } else { entry.mode };
        let mut object = Object::new(body, mode);
        (object.uid, object.gid, object.lower) = (entry.uid, entry.gid, true);
        (object.mtime, object.xattrs) = (Time::Exactly(entry.mtime), entry.xattrs.clone());
        self.next += 1;
        self.objects.insert(self.next, object);
        self.next
    }
}
