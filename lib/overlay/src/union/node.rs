//! An object of the merged tree, and where it is to be found.
//!
//! A node knows its places (parent and name: several for hard links) and, for each layer it is made of, which object there
//! it is. Nothing is walked by path: a file is reached through its parent's descriptor in the layer and its name there,
//! and what is found is compared with the identity the node remembers, so that a rename under way cannot swap files.
//!
//! Lock order: a child's `turn` before its parent's; `turn` before the tables' locks ([`super::nodes`]), and those before a
//! node's `state`, which is held for no system call.
//!
//! There are as many nodes as the kernel remembers files, so a file's is small: 120 bytes with its count of holders. What
//! few have (a removed file's attributes, a descriptor without a name, content elsewhere) hangs in a box.

use super::branch::Branch;
use super::listing::Kept;
use super::lock::held;
use crate::layer::{Identity, Stat};
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The upper layer's number; the lower ones are 1 and up, topmost first.
pub(crate) const UPPER: usize = 0;

/// Where an object is: a name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) parent: Arc<Node>,
    pub(crate) name: Box<OsStr>,
}

impl Place {
    pub(crate) fn new(parent: &Arc<Node>, name: &OsStr) -> Self {
        Self { parent: parent.clone(), name: name.into() }
    }

    fn is(&self, parent: &Node, name: &OsStr) -> bool {
        std::ptr::eq(&*self.parent, parent) && *self.name == *name
    }
}

/// Which object of which layer a file is.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) layer: usize,
    pub(crate) identity: Identity,
    /// The file itself, when it has no name any more and is still open.
    pub(crate) orphan: Option<Arc<OwnedFd>>,
    /// Where its content lies when that is not here (`overlay.metacopy`): attributes are the seat's, reading opens this.
    pub(crate) data: Option<Arc<Data>>,
}

impl Seat {
    /// A file of `layer` with a name and its own content.
    pub(crate) fn new(layer: usize, identity: Identity) -> Self {
        Self { layer, identity, orphan: None, data: None }
    }
}

/// The content of a file whose attributes are in another layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) layer: usize,
    /// From that layer's root.
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    /// Blocks of 512 bytes it takes, which the file shows as its own.
    pub(crate) blocks: u64,
}

impl Data {
    /// The content of the file of `layer` at `path`, whose attributes there are `stat`.
    pub(crate) fn new(layer: usize, path: PathBuf, stat: &Stat) -> Self {
        Self { layer, path, identity: stat.identity(), blocks: stat.blocks }
    }
}

/// What a node is made of, as it is told to a new one.
#[derive(Debug)]
pub(crate) enum Body {
    /// Anything but a directory.
    File(Seat),
    /// A directory's parts, topmost first.
    Folder(Vec<Arc<Branch>>),
}

/// A [`Seat`], small.
#[derive(Debug)]
struct FileState {
    layer: u32,
    identity: Identity,
    rare: Option<Box<Rare>>,
}

/// What few files have.
#[derive(Debug, Default)]
struct Rare {
    orphan: Option<Arc<OwnedFd>>,
    data: Option<Arc<Data>>,
    gone: Option<Stat>,
}

#[derive(Debug)]
struct FolderState {
    branches: Arc<[Arc<Branch>]>,
    listing: Option<Kept>,
    gone: Option<Box<Stat>>,
}

#[derive(Debug)]
enum Made {
    File(FileState),
    Folder(Box<FolderState>),
}

/// The names of an object; nearly all have one.
#[derive(Debug, Default)]
enum Places {
    #[default]
    None,
    One(Place),
    Many(Box<[Place]>),
}

impl Places {
    fn as_slice(&self) -> &[Place] {
        match self {
            Self::None => &[],
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }

    fn add(&mut self, place: Place) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(place),
            Self::One(first) => Self::Many(Box::new([first, place])),
            Self::Many(places) => Self::Many(places.into_iter().chain(std::iter::once(place)).collect()),
        };
    }

    fn take(&mut self, parent: &Node, name: &OsStr) -> Option<Place> {
        let is = |place: &Place| place.is(parent, name);
        match self {
            Self::One(place) if is(place) => match std::mem::take(self) {
                Self::One(place) => Some(place),
                _ => None,
            },
            Self::Many(all) => {
                let mut places = std::mem::take(all).into_vec();
                let taken = places.iter().position(is).map(|at| places.remove(at));
                *self = match places.pop() {
                    Some(last) if places.is_empty() => Self::One(last),
                    last => Self::Many(places.into_iter().chain(last).collect()),
                };
                taken
            }
            Self::One(_) | Self::None => None,
        }
    }
}

#[derive(Debug)]
struct State {
    places: Places,
    made: Made,
}

/// Hint: it has no file capabilities, which the kernel asks for before each first write.
pub(crate) const NO_CAPABILITY: u8 = 1;
/// Hint: its content was put into the kernel's page cache.
pub(crate) const STORED: u8 = 2;
/// An xattr was set on it: what it lacked before counts no more.
pub(crate) const XATTR_SET: u8 = 4;

/// An object of the merged tree.
#[derive(Debug)]
pub struct Node {
    id: AtomicU64,
    number: AtomicU64,
    state: Mutex<State>,
    /// Held while the object is copied up, moved or removed.
    pub(crate) turn: Mutex<()>,
    /// Open descriptors on it.
    pub(crate) opens: AtomicU32,
    /// Those of them that write; of a directory how often its names changed.
    pub(crate) writers: AtomicU32,
    /// Its type.
    pub kind: FileType,
    /// What is known of it and spares a question.
    pub(crate) hints: AtomicU8,
}

impl Node {
    pub(crate) fn new(id: u64, number: u64, kind: FileType, body: Body) -> Self {
        let made = match body {
            Body::File(seat) => Made::File(FileState::new(seat)),
            Body::Folder(branches) => {
                Made::Folder(Box::new(FolderState { branches: branches.into(), listing: None, gone: None }))
            }
        };
        Self {
            id: AtomicU64::new(id),
            number: AtomicU64::new(number),
            state: Mutex::new(State { places: Places::None, made }),
            turn: Mutex::default(),
            opens: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            kind,
            hints: AtomicU8::new(0),
        }
    }

    /// The number the kernel knows it by: FUSE's node id, never shown. Another one, where the kernel forgot it while somebody held it, and is told
    /// of it again.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    pub(super) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Release);
    }

    pub(crate) fn hinted(&self, hint: u8) -> bool {
        self.hints.load(Ordering::Acquire) & hint != 0
    }

    pub(crate) fn hint(&self, hint: u8) {
        self.hints.fetch_or(hint, Ordering::AcqRel);
    }

    /// It was seen to have no file capabilities.
    pub(crate) fn lacks_capability(&self) {
        let unless_set = |hints| (hints & XATTR_SET == 0).then_some(hints | NO_CAPABILITY);
        let _ = self.hints.fetch_update(Ordering::AcqRel, Ordering::Acquire, unless_set);
    }

    /// An xattr was set on it.
    pub(crate) fn xattr_was_set(&self) {
        let update = |hints| Some(hints & !NO_CAPABILITY | XATTR_SET);
        let _ = self.hints.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
    }

    /// What it shows as `st_ino`.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// It is another file from now on: a name that was parted from a lower file's others.
    pub(crate) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Release);
    }

    /// Whether it is a directory.
    pub fn is_folder(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// One of its places; `None` when it was removed, and for the root.
    pub(crate) fn place(&self) -> Option<Place> {
        held(&self.state).places.as_slice().first().cloned()
    }

    /// How many names are known.
    pub(crate) fn place_count(&self) -> usize {
        held(&self.state).places.as_slice().len()
    }

    pub(super) fn is_at(&self, parent: &Node, name: &OsStr) -> bool {
        held(&self.state).places.as_slice().iter().any(|place| place.is(parent, name))
    }

    pub(super) fn add_place(&self, place: Place) {
        held(&self.state).places.add(place);
    }

    pub(super) fn take_place(&self, parent: &Node, name: &OsStr) -> Option<Place> {
        held(&self.state).places.take(parent, name)
    }

    pub(super) fn take_places(&self) -> Vec<Place> {
        match std::mem::take(&mut held(&self.state).places) {
            Places::None => Vec::new(),
            Places::One(place) => vec![place],
            Places::Many(places) => places.into_vec(),
        }
    }

    /// The layers a directory is made of, topmost first.
    pub(crate) fn branches(&self) -> Arc<[Arc<Branch>]> {
        self.of_folder(|folder| folder.branches.clone()).unwrap_or_default()
    }

    pub(crate) fn branch(&self, layer: usize) -> Option<Arc<Branch>> {
        self.of_folder(|folder| folder.branches.iter().find(|b| b.layer == layer).cloned()).flatten()
    }

    /// The directory has these parts from now on.
    pub(crate) fn set_branches(&self, branches: Vec<Arc<Branch>>) {
        let fresh: Arc<[_]> = branches.into();
        let _old = self.of_folder(|folder| std::mem::replace(&mut folder.branches, fresh));
    }

    /// From now on the directory has this part in the upper layer.
    pub(crate) fn add_upper(&self, branch: Branch) {
        let branch = Arc::new(branch);
        let _old = self.of_folder(|folder| {
            let fresh = std::iter::once(branch).chain(folder.branches.iter().cloned()).collect();
            std::mem::replace(&mut folder.branches, fresh)
        });
    }

    fn of_folder<T>(&self, ask: impl FnOnce(&mut FolderState) -> T) -> Option<T> {
        match &mut held(&self.state).made {
            Made::Folder(folder) => Some(ask(folder)),
            Made::File(_) => None,
        }
    }

    fn of_file<T>(&self, ask: impl FnOnce(&mut FileState) -> T) -> Option<T> {
        match &mut held(&self.state).made {
            Made::File(file) => Some(ask(file)),
            Made::Folder(_) => None,
        }
    }

    /// The layer whose attributes show.
    pub(crate) fn top(&self) -> Option<usize> {
        match &held(&self.state).made {
            Made::Folder(folder) => folder.branches.first().map(|b| b.layer),
            Made::File(file) => Some(file.layer as usize),
        }
    }

    /// Whether lower layers have a part in it: such a directory cannot be moved without a redirect.
    pub(crate) fn has_lower(&self) -> bool {
        match &held(&self.state).made {
            Made::Folder(folder) => folder.branches.last().is_some_and(|b| b.layer != UPPER),
            Made::File(file) => file.layer as usize != UPPER,
        }
    }

    /// Whether several layers lie over each other here.
    pub(crate) fn is_merged(&self) -> bool {
        self.of_folder(|folder| folder.branches.len() > 1).unwrap_or(false)
    }

    pub(crate) fn is_in_upper(&self) -> bool {
        self.top() == Some(UPPER)
    }

    /// Whether the content of a file is in the upper layer too, not the attributes alone.
    pub(crate) fn has_upper_content(&self) -> bool {
        let without = |rare: &Rare| rare.data.is_none();
        self.of_file(|file| file.layer as usize == UPPER && file.rare.as_deref().is_none_or(without)).unwrap_or(false)
    }

    pub(crate) fn seat(&self) -> Option<Seat> {
        self.of_file(|file| Seat {
            layer: file.layer as usize,
            identity: file.identity,
            orphan: file.rare.as_ref().and_then(|rare| rare.orphan.clone()),
            data: file.rare.as_ref().and_then(|rare| rare.data.clone()),
        })
    }

    /// Which object of the top layer this is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match &held(&self.state).made {
            Made::File(file) => Some(file.identity),
            Made::Folder(folder) => folder.branches.first().map(|b| b.identity),
        }
    }

    /// From now on the file is this object of the upper layer.
    pub(crate) fn take_seat(&self, seat: Seat) {
        let _old = self.of_file(|file| {
            let gone = file.rare.as_ref().and_then(|rare| rare.gone);
            let mut fresh = FileState::new(seat);
            if gone.is_some() {
                fresh.rare().gone = gone;
            }
            std::mem::replace(file, fresh)
        });
    }

    pub(crate) fn set_orphan(&self, fd: Arc<OwnedFd>) {
        let _old = self.of_file(|file| file.rare().orphan.replace(fd));
    }

    pub(crate) fn clear_orphan(&self) {
        let _old = self.of_file(|file| file.rare.as_mut().and_then(|rare| rare.orphan.take()));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opens.load(Ordering::Acquire) > 0
    }

    /// Whether someone may be writing to it.
    pub fn has_writers(&self) -> bool {
        !self.is_folder() && self.writers.load(Ordering::Acquire) > 0
    }

    /// Its last attributes, when it was removed: a directory's as they show, a file's as they were below.
    pub(crate) fn gone(&self) -> Option<Stat> {
        match &held(&self.state).made {
            Made::File(file) => file.rare.as_ref()?.gone,
            Made::Folder(folder) => folder.gone.as_deref().copied(),
        }
    }

    pub(crate) fn set_gone(&self, stat: Option<Stat>) {
        match &mut held(&self.state).made {
            Made::File(file) => file.rare().gone = stat,
            Made::Folder(folder) => folder.gone = stat.map(Box::new),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone().is_some()
    }

    /// How often the names in this directory changed.
    pub(crate) fn changes(&self) -> u32 {
        self.writers.load(Ordering::Acquire)
    }

    /// The names in this directory changed.
    pub(crate) fn changed(&self) {
        if self.is_folder() {
            self.writers.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The listing that is kept of a directory.
    pub(crate) fn listing(&self) -> Option<Kept> {
        self.of_folder(|folder| folder.listing.clone()).flatten()
    }

    pub(crate) fn keep_listing(&self, listing: Option<Kept>) {
        let _old = self.of_folder(|folder| std::mem::replace(&mut folder.listing, listing));
    }
}

impl FileState {
    fn new(seat: Seat) -> Self {
        let Seat { layer, identity, orphan, data } = seat;
        let rare = (orphan.is_some() || data.is_some()).then(|| Box::new(Rare { orphan, data, gone: None }));
        Self { layer: layer as u32, identity, rare }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}
