//! The search for one name through the layers, from the top down, by the rules of [`crate::merge`].
//!
//! Whiteouts, each of which hides all below it: a character device 0:0; an empty file with `overlay.whiteout` in a directory
//! marked `overlay.opaque=x` (not looked for in the upper and in the last layer, as the kernel); a file `.wh.NAME`, as
//! fuse-overlayfs and podman with a mount program write them, which hides what the layers below *its own* have as NAME. Names
//! that begin with `.wh.` are therefore never shown nor made. Opaque directories: `overlay.opaque=y`,
//! `user.fuseoverlayfs.opaque=y`, or a file `.wh..wh..opq` in it. `trusted.*` counts where we keep our books there, `user.*`
//! elsewhere; but a lower layer's `user.overlay.opaque` always, as fuse-overlayfs has it: such layers come from users.
//!
//! What this costs: where one layer alone has a directory, nothing. In a merged one each layer but the last is listed once
//! ([`super::contents`]), which tells its `.wh.` files and which names it has at all, so that later look-ups probe only
//! the upper, the layer that has the name, and the last. The books of a directory are read when it is opened, in one call.
//!
//! Redirects (`ovl_lookup`, `ovl_check_redirect`): the layers below have a directory, or a file's content, under another
//! name in the same directory, or at a path from their roots; a path leaves the parent's parts and goes on with the roots
//! of all layers below. Content elsewhere (`overlay.metacopy`): such a file shows its own attributes, and the search goes
//! on until the content is found, at last in the data-only layers, where only a path leads. A digest kept for fs-verity is
//! not checked. A file whose content is not found is EIO, with a line in the log.

use super::Stack;
use super::branch::Branch;
use super::node::{Data, Node, UPPER};
use crate::layer::{Answer, Errno, Folder, Stat, Void, stat_of};
use crate::merge::{Merge, Sight};
use rustix::fs::FileType;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// What names of whiteouts begin with, where they are files.
const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// In a directory: nothing below it shows through.
const OPAQUE_NAME: &str = ".wh..wh..opq";

/// Whether a name is a whiteout's, and so never shown.
pub(crate) fn is_reserved(name: &OsStr) -> bool {
    name.as_bytes().starts_with(WHITEOUT_PREFIX)
}

/// EINVAL for a whiteout's name, as fuse-overlayfs has it: made, it would not be seen.
pub(crate) fn refuse_reserved(name: &OsStr) -> Answer<()> {
    if is_reserved(name) { Err(Errno::INVAL) } else { Ok(()) }
}

/// The name that a file called `name` hides, where it is a whiteout.
pub(crate) fn hidden_by(name: &OsStr) -> Option<&OsStr> {
    name.as_bytes().strip_prefix(WHITEOUT_PREFIX).map(OsStr::from_bytes)
}

/// The file that hides `name`.
pub(crate) fn whiteout_of(name: &OsStr) -> OsString {
    OsString::from_vec([WHITEOUT_PREFIX, name.as_bytes()].concat())
}

/// What the layers have under a name.
#[derive(Debug)]
pub(crate) struct Found {
    /// Attributes in the topmost layer that has it.
    pub(crate) stat: Stat,
    pub(crate) layer: usize,
    /// For a directory its parts, topmost first.
    pub(crate) branches: Vec<Branch>,
    /// Where a file's content is, when not there.
    pub(crate) data: Option<Arc<Data>>,
    /// What it shows as `st_ino`.
    pub(crate) number: u64,
}

impl Found {
    /// Something of the upper layer alone.
    pub(crate) fn upper(stat: Stat, number: u64) -> Self {
        Self { stat, layer: UPPER, branches: Vec::new(), data: None, number }
    }
}

/// How the next layer is searched.
#[derive(Debug)]
enum Way {
    /// By the name itself in the parent's part.
    Own,
    /// By another name there.
    Name(OsString),
    /// By a path from the layer's root.
    Path(PathBuf),
}

/// A search under way.
#[derive(Debug)]
struct Search<'a> {
    parent: &'a Arc<Node>,
    name: &'a OsStr,
    way: Way,
    merge: Merge,
    top: Option<(Stat, usize, u64)>,
    branches: Vec<Branch>,
    /// The topmost is a file whose content is still to be found.
    awaits_data: bool,
    data: Option<Data>,
}

/// What one layer has under the name or path searched for.
#[derive(Debug)]
struct Sighting {
    /// The directory it is in.
    folder: Arc<dyn Folder>,
    name: OsString,
    stat: Stat,
    layer: usize,
    /// Where it is, when that is not the name in the parent's part.
    path: Option<PathBuf>,
    /// Its directory may hold files with books of their own.
    impure: bool,
    /// Its directory may hold whiteouts that are files.
    xattr_whiteouts: bool,
    /// Nothing can follow: a directory's books do not matter.
    last: bool,
}

impl Stack {
    /// What the layers from number `from` on have under `name` in `parent`.
    pub(crate) fn probe(&self, parent: &Arc<Node>, name: &OsStr, from: usize) -> Answer<Option<Found>> {
        if is_reserved(name) {
            return Ok(None);
        }
        let mut search = Search {
            parent,
            name,
            way: Way::Own,
            merge: Merge::default(),
            top: None,
            branches: Vec::new(),
            awaits_data: false,
            data: None,
        };
        let mut parts = parent.branches();
        let mut next = 0;
        while let Some(part) = parts.get(next).filter(|_| !search.merge.done) {
            next += 1;
            if part.layer < from {
                continue;
            }
            if let Way::Path(path) = &search.way {
                let path = path.clone();
                self.search_by_path(&mut search, part.layer, &path)?;
                continue;
            }
            self.search_part(&mut search, part, next == parts.len())?;
            if matches!(search.way, Way::Path(_)) {
                // From here on in all layers below, from their roots.
                let layer = part.layer;
                parts = self.nodes.get(super::ROOT)?.branches();
                next = parts.iter().position(|p| p.layer > layer).unwrap_or(parts.len());
            }
        }
        let Some((stat, layer, number)) = search.top else { return Ok(None) };
        if search.awaits_data && search.data.is_none() {
            search.data = self.find_in_data_layers(&search.way, &stat)?;
            if search.data.is_none() {
                log::error!("{}: its content is in no layer below (overlay.metacopy)", name.display());
                return Err(Errno::IO);
            }
        }
        let (stat, layer) = if from == UPPER {
            let (copy, top) = self.with_links(parent, name, stat, layer)?;
            if top != layer {
                // A copy that other names of the lower file led to: without content, its content is that file's.
                search.data = match search.data {
                    _ if !self.lacks_content(&copy)? => None,
                    Some(below) => Some(below),
                    None => Some(Data::new(layer, self.path_in(parent, layer)?.join(name), &stat)),
                };
            }
            (copy, top)
        } else {
            (stat, layer)
        };
        let mut found = Found { stat, layer, branches: search.branches, data: search.data.map(Arc::new), number };
        if let Some(data) = &found.data {
            found.stat.blocks = data.blocks;
        }
        if let Some(below) = found.branches.iter().find(|b| b.layer != UPPER) {
            // A merged directory has the number of its topmost lower part (`ovl_getattr`).
            found.number = self.layers.numbers.of(below.identity);
        }
        Ok(Some(found))
    }

    /// Whether a layer below shows something under `name`: then its removal needs a whiteout.
    pub(crate) fn is_below(&self, parent: &Arc<Node>, name: &OsStr) -> Answer<bool> {
        if !parent.has_lower() {
            return Ok(false);
        }
        match self.probe(parent, name, UPPER + 1) {
            Ok(found) => Ok(found.is_some()),
            // There is something, if broken.
            Err(Errno::IO) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Whether what lies in `layer` may send the search to layers that its directory has no part in.
    pub(crate) fn may_redirect(&self, layer: usize) -> bool {
        layer < self.layers.last || !self.layers.data.is_empty()
    }

    /// Looks into one of the parent's parts, the last of them or not.
    fn search_part(&self, search: &mut Search<'_>, part: &Arc<Branch>, last: bool) -> Answer<()> {
        let renamed = match &search.way {
            Way::Name(other) => Some(other.clone()),
            Way::Own | Way::Path(_) => None,
        };
        let name = renamed.as_deref().unwrap_or(search.name);
        let mut hidden = false;
        if !last {
            let contents = self.contents(search.parent, part)?;
            hidden = match &contents {
                Some(contents) => contents.hides(name),
                None => self.part_folder(search.parent, part)?.find(&whiteout_of(name))?.is_some(),
            };
            if part.layer != UPPER && contents.is_some_and(|c| !c.has(name)) {
                search.merge.done |= hidden;
                return Ok(());
            }
        }
        let folder = self.part_folder(search.parent, part)?;
        if let Some(stat) = folder.find(name)? {
            let impure = part.impure.load(Ordering::Relaxed);
            let path = match &renamed {
                Some(name) => Some(self.path_in(search.parent, part.layer)?.join(name)),
                None => None,
            };
            let sighting = Sighting {
                name: name.to_owned(),
                stat,
                layer: part.layer,
                path,
                impure,
                xattr_whiteouts: !last && part.layer != UPPER && part.xattr_whiteouts.load(Ordering::Relaxed),
                last: last && !(impure && self.may_redirect(part.layer)),
                folder,
            };
            self.see(search, sighting)?;
        }
        search.merge.done |= hidden;
        Ok(())
    }

    /// Looks into one layer by a path from its root.
    fn search_by_path(&self, search: &mut Search<'_>, layer: usize, path: &Path) -> Answer<()> {
        let last = !self.may_redirect(layer);
        let mut folder = self.layer_root(layer)?;
        let mut stop = false;
        let names: Vec<&OsStr> = path.iter().collect();
        let Some((name, above)) = names.split_last() else { return Ok(()) };
        // The same for the layers below.
        let (mut below, mut moved) = (PathBuf::new(), false);
        for (depth, step) in above.iter().enumerate() {
            let Some(stat) = folder.find(step)? else {
                if moved {
                    below.extend(names.get(depth..).unwrap_or_default());
                    search.way = Way::Path(below);
                }
                return Ok(());
            };
            if !stat.is_folder() || stat.mounted {
                search.merge.done = true;
                return Ok(());
            }
            folder = folder.folder(step, Some(stat.identity()))?;
            if last {
                continue;
            }
            let marks = folder.marks(self.xattrs)?;
            stop |= marks.opaque;
            match marks.redirect.filter(|r| is_valid(r)) {
                // Below this layer that directory has another path; here the search goes on by the one it came with.
                Some(redirect) => {
                    moved = true;
                    match redirect.as_bytes().strip_prefix(b"/") {
                        Some(path) => {
                            stop = false;
                            below = PathBuf::from(OsStr::from_bytes(path));
                        }
                        None => below.push(&redirect),
                    }
                }
                None => below.push(step),
            }
        }
        if moved {
            search.way = Way::Path(below.join(name));
        }
        let Some(stat) = folder.find(name)? else {
            search.merge.done |= stop;
            return Ok(());
        };
        let path = Some(path.to_owned());
        let name = (*name).to_owned();
        let sighting = Sighting { folder, name, stat, layer, path, impure: true, xattr_whiteouts: false, last };
        let absolute = self.see(search, sighting)?;
        search.merge.done |= stop && !absolute;
        Ok(())
    }

    /// Takes what one layer has. Tells whether the search goes on by a path found here.
    fn see(&self, search: &mut Search<'_>, found: Sighting) -> Answer<bool> {
        let Sighting { stat, layer, .. } = found;
        if stat.is_whiteout() || found.xattr_whiteouts && self.is_xattr_whiteout(&*found.folder, &found.name, &stat) {
            search.merge.see(layer, Sight::Whiteout);
            return Ok(false);
        }
        if !stat.is_folder() {
            return self.see_file(search, &found);
        }
        if search.awaits_data {
            search.merge.done = true;
            return Ok(false);
        }
        let mut part = Branch::new(layer, stat.identity(), None);
        part.at = found.path.as_deref().map(Arc::from);
        let mut opaque = false;
        let mut redirect = None;
        if stat.mounted {
            part.folder = Mutex::new(Some(Arc::new(Void(stat))));
        } else if !found.last {
            let open = found.folder.folder(&found.name, (layer != UPPER).then(|| stat.identity()))?;
            let marks = open.marks(self.xattrs)?;
            part.note(&marks);
            opaque =
                marks.opaque || marks.opaque_by_user && layer != UPPER || open.find(OsStr::new(OPAQUE_NAME))?.is_some();
            redirect = marks.redirect;
            part.folder = Mutex::new(Some(open));
        }
        search.merge.see(layer, Sight::Folder { opaque });
        if search.top.is_none() {
            let stat = self.dressed_at(stat, layer, &*found.folder, &found.name)?;
            search.top = Some((stat, layer, self.layers.numbers.of(stat.identity())));
        }
        search.branches.push(part);
        Ok(!opaque && self.follow(search, redirect))
    }

    /// Takes what is not a directory.
    fn see_file(&self, search: &mut Search<'_>, found: &Sighting) -> Answer<bool> {
        let Sighting { stat, layer, .. } = found;
        let regular = stat.kind() == FileType::RegularFile;
        if search.top.is_some() && !(search.awaits_data && regular) {
            search.merge.done = true;
            return Ok(false);
        }
        let elsewhere = self.has_data_elsewhere(found)?;
        if search.top.is_none() {
            search.merge.see(*layer, Sight::File);
            let number = match *layer {
                // The kernel does not mark a directory into which it links a copy.
                UPPER if found.impure || stat.links > 1 => {
                    self.upper_number(found.folder.as_ref(), &found.name, stat.identity())?
                }
                UPPER => self.layers.numbers.of_upper(stat.identity()),
                _ => self.layers.numbers.of(stat.identity()),
            };
            let stat = self.dressed_at(*stat, *layer, &*found.folder, &found.name)?;
            search.top = Some((stat, *layer, number));
        } else if !elsewhere {
            let path = match &found.path {
                Some(path) => path.clone(),
                None => self.path_in(search.parent, *layer)?.join(&found.name),
            };
            search.data = Some(Data::new(*layer, path, stat));
        }
        search.awaits_data = elsewhere;
        search.merge.done = !elsewhere;
        if !elsewhere {
            return Ok(false);
        }
        let redirect = self.xattr_at(found.folder.as_ref(), &found.name, self.xattrs.redirect())?;
        Ok(self.follow(search, redirect.map(OsString::from_vec)))
    }

    /// From the next layer on by this redirect. Tells whether it is a path.
    fn follow(&self, search: &mut Search<'_>, redirect: Option<OsString>) -> bool {
        let Some(redirect) = redirect else { return false };
        if !is_valid(&redirect) {
            log::warn!("{}: no redirect: {}", search.name.display(), redirect.display());
            return false;
        }
        if let Some(path) = redirect.as_bytes().strip_prefix(b"/") {
            search.way = Way::Path(PathBuf::from(OsStr::from_bytes(path)));
            search.merge.done = false;
            return true;
        }
        search.way = match &search.way {
            Way::Path(path) => Way::Path(path.with_file_name(&redirect)),
            Way::Own | Way::Name(_) => Way::Name(redirect),
        };
        false
    }

    /// Whether a file of `layer` may have its content elsewhere, by its attributes. `impure`: its directory is marked so.
    /// Its blocks alone do not tell: one whose content was just being filled in when the server was killed has them all and
    /// is still marked, and the kernel's overlay goes by the mark. An empty file can be marked as well, and a directory into
    /// which the kernel only linked a copy is not.
    pub(crate) fn is_suspect(&self, stat: &Stat, layer: usize, impure: bool) -> bool {
        stat.kind() == FileType::RegularFile
            && self.may_redirect(layer)
            && (!self.layers.data.is_empty()
                || stat.blocks.saturating_mul(512) < stat.size_bytes
                || impure
                || stat.links > 1)
    }

    /// Whether the content of this regular file is in a layer below: asked only where that can be.
    fn has_data_elsewhere(&self, found: &Sighting) -> Answer<bool> {
        let suspect = self.is_suspect(&found.stat, found.layer, found.impure);
        Ok(suspect && self.xattr_at(&*found.folder, &found.name, self.xattrs.metacopy())?.is_some())
    }

    /// The content of a file in the data-only layers, where a path alone leads.
    fn find_in_data_layers(&self, way: &Way, stat: &Stat) -> Answer<Option<Data>> {
        let Way::Path(path) = way else { return Ok(None) };
        for (index, root) in self.layers.data.iter().enumerate() {
            let fd = match root.point_at(path.as_os_str()) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(e) => return Err(e),
            };
            let found = stat_of(fd.as_fd())?;
            if found.kind() == FileType::RegularFile {
                let mut data = Data::new(self.layers.last + 1 + index, path.clone(), &found);
                // As overlayfs, which does not ask these layers before the file is read.
                data.blocks = stat.size_bytes.div_ceil(512);
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    pub(crate) fn is_xattr_whiteout(&self, folder: &dyn Folder, name: &OsStr, stat: &Stat) -> bool {
        stat.kind() == FileType::RegularFile
            && stat.size_bytes == 0
            && matches!(self.xattr_at(folder, name, self.xattrs.whiteout()), Ok(Some(_)))
    }
}

/// Whether a redirect is a name, or a path of names.
fn is_valid(redirect: &OsStr) -> bool {
    let bytes = redirect.as_bytes();
    let names = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let plain = |name: &[u8]| !name.is_empty() && name != b"." && name != b"..";
    (bytes.len() > names.len() || !names.contains(&b'/')) && names.split(|b| *b == b'/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_a_name_or_a_path() {
        let valid = |text: &str| is_valid(OsStr::new(text));
        assert!(valid("name") && valid("/a/b/c") && valid("/a"));
        for wrong in ["", "/", "a/b", "//a", "/a//b", "/a/", ".", "..", "/a/../b"] {
            assert!(!valid(wrong), "{wrong}");
        }
    }

    #[test]
    fn names_of_whiteouts_are_told() {
        assert_eq!(hidden_by(OsStr::new(".wh.name")), Some(OsStr::new("name")));
        assert_eq!(hidden_by(OsStr::new(".who")), None);
        assert!(is_reserved(OsStr::new(".wh..wh..opq")));
        assert_eq!(whiteout_of(OsStr::new("x")), ".wh.x");
    }
}
