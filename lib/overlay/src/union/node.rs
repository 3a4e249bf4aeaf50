//! An object of the merged tree, and where it is to be found.
//!
//! A node knows its places (parent and name: several for hard links) and, for each layer it is made of, which object there
//! it is. Nothing is walked by path: a file is reached through its parent's descriptor in the layer and its name there,
//! and what is found is compared with the identity the node remembers, so that a rename under way cannot swap files.
//!
//! Lock order: a child's `turn` before its parent's; `turn` before the tree's lock; `branches`, `seat` and `places` are
//! held for no system call.

use super::contents::Known;
use super::listing::Kept;
use super::lock::{held, read, write};
use crate::layer::{Folder, Identity, Marks, Stat};
use rustix::fs::FileType;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

/// The upper layer's number; the lower ones are 1 and up, topmost first.
pub(crate) const UPPER: usize = 0;

/// Where an object is: a name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) parent: Arc<Node>,
    pub(crate) name: OsString,
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

/// One layer's part of a directory.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) layer: usize,
    pub(crate) identity: Identity,
    /// Its path from the layer's root, where it is not the node's name in the parent's branch (`overlay.redirect`). Lower
    /// layers do not change while mounted, so the path stays right.
    pub(crate) at: Option<Arc<Path>>,
    /// Empty regular files in it may be whiteouts.
    pub(crate) xattr_whiteouts: AtomicBool,
    /// Files in it may have books of their own (`overlay.impure`).
    pub(crate) impure: AtomicBool,
    /// Its names, so far as they are known.
    pub(crate) contents: Mutex<Known>,
    /// Held open while there are descriptors to spare; reopened through the parent.
    pub(crate) folder: Mutex<Option<Arc<dyn Folder>>>,
    /// Its marks were read, or do not matter.
    pub(crate) checked: AtomicBool,
    /// Asked for since the cache last looked.
    pub(crate) used: AtomicBool,
}

impl Branch {
    pub(crate) fn new(layer: usize, identity: Identity, folder: Option<Arc<dyn Folder>>) -> Self {
        Self {
            layer,
            identity,
            at: None,
            xattr_whiteouts: AtomicBool::new(false),
            impure: AtomicBool::new(false),
            contents: Mutex::default(),
            checked: AtomicBool::new(folder.is_some()),
            folder: Mutex::new(folder),
            used: AtomicBool::new(true),
        }
    }

    /// The same part, found by its path from now on.
    pub(crate) fn with_path(&self, path: &Path) -> Self {
        let flag = |flag: &AtomicBool| AtomicBool::new(flag.load(Ordering::Acquire));
        Self {
            layer: self.layer,
            identity: self.identity,
            at: Some(Arc::from(path)),
            xattr_whiteouts: flag(&self.xattr_whiteouts),
            impure: flag(&self.impure),
            contents: Mutex::new(held(&self.contents).clone()),
            folder: Mutex::new(self.opened()),
            checked: flag(&self.checked),
            used: AtomicBool::new(true),
        }
    }

    /// Takes what its books say.
    pub(crate) fn note(&self, marks: &Marks) {
        self.xattr_whiteouts.store(marks.holds_xattr_whiteouts, Ordering::Relaxed);
        self.impure.store(marks.impure, Ordering::Relaxed);
        self.checked.store(true, Ordering::Release);
    }

    /// The directory, where it is open.
    pub(crate) fn opened(&self) -> Option<Arc<dyn Folder>> {
        held(&self.folder).clone()
    }
}

/// What a node is made of.
#[derive(Debug)]
pub(crate) enum Body {
    File(RwLock<Seat>),
    Folder(RwLock<Vec<Arc<Branch>>>),
}

/// An object of the merged tree.
#[derive(Debug)]
pub struct Node {
    id: AtomicU64,
    /// What it shows as `st_ino`.
    pub number: u64,
    /// Its type.
    pub kind: FileType,
    pub(crate) body: Body,
    pub(crate) places: Mutex<Vec<Place>>,
    /// Held while the object is copied up, moved or removed.
    pub(crate) turn: Mutex<()>,
    /// Open descriptors on it.
    pub(crate) opens: AtomicUsize,
    /// Those of them that write.
    pub(crate) writers: AtomicUsize,
    /// Its last attributes, when it was removed.
    pub(crate) gone: Mutex<Option<Stat>>,
    /// How often the names in this directory changed.
    pub(crate) changes: AtomicU32,
    /// A listing of it.
    pub(crate) listing: Mutex<Option<Kept>>,
}

impl Node {
    pub(crate) fn new(id: u64, number: u64, kind: FileType, body: Body) -> Self {
        Self {
            id: AtomicU64::new(id),
            number,
            kind,
            body,
            places: Mutex::default(),
            turn: Mutex::default(),
            opens: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
            gone: Mutex::default(),
            changes: AtomicU32::new(0),
            listing: Mutex::default(),
        }
    }

    /// The number the kernel knows it by: FUSE's node id, never shown. It changes by [`super::Stack::renode`].
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    pub(super) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Release);
    }

    /// Whether it is a directory.
    pub fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder(_))
    }

    /// One of its places; `None` when it was removed, and for the root.
    pub(crate) fn place(&self) -> Option<Place> {
        held(&self.places).first().cloned()
    }

    /// The layers a directory is made of, topmost first.
    pub(crate) fn branches(&self) -> Vec<Arc<Branch>> {
        match &self.body {
            Body::Folder(branches) => read(branches).clone(),
            Body::File(_) => Vec::new(),
        }
    }

    pub(crate) fn branch(&self, layer: usize) -> Option<Arc<Branch>> {
        match &self.body {
            Body::Folder(branches) => read(branches).iter().find(|b| b.layer == layer).cloned(),
            Body::File(_) => None,
        }
    }

    /// The layer whose attributes show.
    pub(crate) fn top(&self) -> Option<usize> {
        match &self.body {
            Body::Folder(branches) => read(branches).first().map(|b| b.layer),
            Body::File(seat) => Some(read(seat).layer),
        }
    }

    /// Whether lower layers have a part in it: such a directory cannot be moved without a redirect.
    pub(crate) fn has_lower(&self) -> bool {
        match &self.body {
            Body::Folder(branches) => read(branches).iter().any(|b| b.layer != UPPER),
            Body::File(seat) => read(seat).layer != UPPER,
        }
    }

    /// Whether several layers lie over each other here.
    pub(crate) fn is_merged(&self) -> bool {
        match &self.body {
            Body::Folder(branches) => read(branches).len() > 1,
            Body::File(_) => false,
        }
    }

    pub(crate) fn is_in_upper(&self) -> bool {
        self.top() == Some(UPPER)
    }

    /// Whether the content of a file is in the upper layer too, not the attributes alone.
    pub(crate) fn has_upper_content(&self) -> bool {
        match &self.body {
            Body::File(seat) => {
                let seat = read(seat);
                seat.layer == UPPER && seat.data.is_none()
            }
            Body::Folder(_) => false,
        }
    }

    pub(crate) fn seat(&self) -> Option<Seat> {
        match &self.body {
            Body::File(seat) => Some(read(seat).clone()),
            Body::Folder(_) => None,
        }
    }

    /// Which object of the top layer this is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match &self.body {
            Body::File(seat) => Some(read(seat).identity),
            Body::Folder(branches) => read(branches).first().map(|b| b.identity),
        }
    }

    /// From now on the file is this object of the upper layer.
    pub(crate) fn take_seat(&self, seat: Seat) {
        if let Body::File(own) = &self.body {
            *write(own) = seat;
        }
    }

    pub(crate) fn set_orphan(&self, file: Arc<OwnedFd>) {
        if let Body::File(own) = &self.body {
            write(own).orphan = Some(file);
        }
    }

    pub(crate) fn clear_orphan(&self) {
        if let Body::File(own) = &self.body
            && read(own).orphan.is_some()
        {
            write(own).orphan = None;
        }
    }

    /// From now on the directory has this part in the upper layer.
    pub(crate) fn add_upper(&self, branch: Branch) {
        if let Body::Folder(branches) = &self.body {
            write(branches).insert(0, Arc::new(branch));
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opens.load(Ordering::Acquire) > 0
    }

    /// Whether someone may be writing to it.
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    pub(crate) fn is_gone(&self) -> bool {
        held(&self.gone).is_some()
    }
}
