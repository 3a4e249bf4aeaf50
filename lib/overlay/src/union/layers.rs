//! What is known of the layers as a whole, from their opening on.

use super::branch::Branch;
use super::contents::Contents;
use super::node::UPPER;
use super::numbers::Numbers;
use super::owners::kept_by;
use super::{ROOT, Stack};
use crate::layer::{Answer, Errno, Folder};
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The layers as a whole.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The number of the last layer that is not for data alone.
    pub(crate) last: usize,
    /// The roots of the data-only layers, whose numbers follow [`last`](Self::last).
    pub(crate) data: Vec<Arc<dyn Folder>>,
    pub(crate) numbers: Numbers,
    /// By layer: the xattr in which it keeps owners and modes.
    pub(crate) keeps: Vec<Option<&'static CStr>>,
    /// The upper layer was empty when it was opened: nobody's `.wh.` files are in it.
    pub(crate) upper_is_ours: AtomicBool,
    /// Whiteouts in the upper layer are files, which come and go ([`Stack::hide_by_files`]).
    pub(crate) upper_hides_by_files: AtomicBool,
    /// The kernel has getxattrat(2).
    pub(crate) has_xattrat: AtomicBool,
    /// No names: the contents of such an upper's directories.
    pub(crate) nothing: Arc<Contents>,
}

impl Layers {
    /// `parts`: the roots of all layers but the data-only ones.
    pub(crate) fn new(parts: &[Arc<Branch>], data: Vec<Arc<dyn Folder>>) -> Self {
        let numbers = Numbers::default();
        let roots: Vec<_> = parts.iter().filter_map(|p| p.opened()).collect();
        for root in &roots {
            numbers.add(&**root);
        }
        let mut keeps = vec![None; parts.last().map_or(0, |p| p.layer + 1)];
        for (part, root) in parts.iter().zip(&roots) {
            if let Some(slot) = keeps.get_mut(part.layer) {
                *slot = kept_by(&**root);
            }
        }
        let upper = roots.first().filter(|_| parts.first().is_some_and(|p| p.layer == UPPER));
        let has_xattrat = roots.iter().filter_map(|r| r.descriptor()).next().is_some_and(|fd| {
            let asked = sys::xattrat::get(fd.as_fd(), c"", c"user.overlay.none", &mut []);
            !matches!(asked.map_err(|e| e.raw_os_error()), Err(Some(libc::ENOSYS | libc::EPERM)))
        });
        Self {
            last: parts.last().map_or(UPPER, |p| p.layer),
            data,
            numbers,
            keeps,
            upper_is_ours: AtomicBool::new(upper.is_some_and(|root| is_empty(&**root))),
            upper_hides_by_files: AtomicBool::new(false),
            has_xattrat: AtomicBool::new(has_xattrat),
            nothing: Arc::default(),
        }
    }
}

fn is_empty(folder: &dyn Folder) -> bool {
    matches!(folder.list(&mut |_| ControlFlow::Break(())), Ok(ControlFlow::Continue(())))
}

impl Stack {
    /// From now on `.wh.` files are made in the upper layer: there a look-up asks for them by name.
    pub(crate) fn hide_by_files(&self) {
        self.layers.upper_hides_by_files.store(true, Ordering::Release);
    }

    /// The root of a layer, also of a data-only one.
    pub(crate) fn layer_root(&self, layer: usize) -> Answer<Arc<dyn Folder>> {
        match layer.checked_sub(self.layers.last + 1) {
            Some(data) => self.layers.data.get(data).cloned().ok_or(Errno::STALE),
            None => self.folder(&*self.nodes.get(ROOT)?, layer),
        }
    }
}
