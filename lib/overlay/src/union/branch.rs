//! One layer's part of a directory: which directory it is, what its books say, its descriptor while there are enough.

use super::contents::Known;
use super::lock::held;
use crate::layer::{Folder, Identity, Marks};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

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
    /// What is made in it inherits, so far as that is known (`create.rs`); 0 where it is not.
    pub(crate) bequest: AtomicU64,
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
            bequest: AtomicU64::new(0),
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
            bequest: AtomicU64::new(0),
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
