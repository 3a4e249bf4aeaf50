//! Unpacked layers: `overlay2/<chain id>/`, made in `tmp/` and renamed into place whole.
//!
//! ```text
//! overlay2/<hex of the chain id>/diff/        the layer's tree, whiteouts in overlay form
//!                               /link         its short name
//!                               /lower        short names of the layers below, topmost first: l/AAA:l/BBB
//!                               /layer.json   what it is (LayerRecord); only layers of images have it
//! overlay2/l/<short name>                     → ../<hex>/diff
//! ```
//!
//! The short name is made from the id, so there is nothing to remember and nothing to repair: base 32 of its first 16
//! bytes. It is linked before the folder comes, so that every layer that is there has its link.

use crate::error::{Kind, Result, damaged, system};
use crate::{Root, TempDir};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
use serde::{Deserialize, Serialize};
use spec::{ChainId, DiffId};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// In which names a layer's whiteouts and opaque folders are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Xattrs {
    /// `trusted.overlay.*`: made with CAP_SYS_ADMIN in the first user namespace.
    Trusted,
    /// `user.overlay.*`
    User,
}

/// `layer.json`: what a layer's folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The layer with all below it: its name.
    pub chain: ChainId,
    /// The layer alone.
    pub diff: DiffId,
    /// The stack below.
    pub parent: Option<ChainId>,
    /// Bytes of it as a tar stream, without compression.
    pub size_bytes: u64,
    /// How its whiteouts are written.
    pub xattrs: Xattrs,
}

/// A layer that is being unpacked.
#[derive(Debug)]
pub struct LayerDraft {
    folder: TempDir,
    diff: OwnedFd,
}

/// The short name of `overlay2/<id>`: 26 letters and digits that depend on the id alone.
pub fn short_name(id: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = spec::Digest::of(id.as_bytes()).hex();
    let bits = u128::from_str_radix(&digest[..32], 16).unwrap_or_default();
    (0..26).map(|i| char::from(ALPHABET[(bits >> (5 * i) & 31) as usize])).collect()
}

/// The folder of a layer, relative to the root.
pub(crate) fn folder_of(chain: &ChainId) -> PathBuf {
    PathBuf::from("overlay2").join(chain.0.hex())
}

impl LayerDraft {
    /// The empty folder to unpack into.
    pub fn diff(&self) -> BorrowedFd<'_> {
        self.diff.as_fd()
    }
}

impl Root {
    /// The folder `diff` of a layer, whether or not it is there.
    pub fn layer_diff(&self, chain: &ChainId) -> PathBuf {
        self.path().join(folder_of(chain)).join("diff")
    }

    /// What the store has of a layer.
    pub fn layer(&self, chain: &ChainId) -> Result<Option<LayerRecord>> {
        let path = folder_of(chain).join("layer.json");
        match self.read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| damaged("read", self.path().join(&path).display(), e)),
            Err(e) if e.kind == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A new, empty layer in `tmp/`.
    pub fn layer_draft(&self) -> Result<LayerDraft> {
        let folder = self.temp_dir()?;
        let fail = |e| system("make", folder.path(), e);
        mkdirat(folder.fd(), "diff", Mode::from_raw_mode(0o755)).map_err(fail)?;
        rustix::fs::chmodat(folder.fd(), "diff", Mode::from_raw_mode(0o755), rustix::fs::AtFlags::empty())
            .map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let diff = openat(folder.fd(), "diff", flags, Mode::empty()).map_err(fail)?;
        Ok(LayerDraft { folder, diff })
    }

    /// Links `overlay2/l/<SHORT>` to the folder of `id`.
    pub fn link_short(&self, id: &str) -> Result<()> {
        let link = self.path().join("overlay2/l").join(short_name(id));
        match symlinkat(format!("../{id}/diff"), CWD, &link) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(e) => Err(system("link", &link, e)),
        }
    }
}

/// Writes the files beside `diff`, before everything is brought to the disk.
pub(crate) fn describe(draft: &LayerDraft, record: &LayerRecord, below: &[ChainId]) -> Result<()> {
    let at = draft.folder.path();
    let lower: Vec<String> = below.iter().rev().map(|c| format!("l/{}", short_name(&c.0.hex()))).collect();
    let json = serde_json::to_vec(record).map_err(|e| damaged("write", at.display(), e))?;
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(at.join(name), bytes).map_err(|e| system("write", at.join(name), e));
    write("link", short_name(&record.chain.0.hex()).as_bytes())?;
    if !lower.is_empty() {
        write("lower", lower.join(":").as_bytes())?;
    }
    write("layer.json", &json)
}

/// Renames a [described](describe) layer into place. That another has come first is no error: then ours goes.
pub(crate) fn keep(root: &Root, draft: LayerDraft, chain: &ChainId) -> Result<()> {
    root.link_short(&chain.0.hex())?;
    match draft.folder.keep(root, folder_of(chain)) {
        Err(e) if e.kind == Kind::Exists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::tests::scratch;
    use spec::Digest;

    #[test]
    fn short_names_are_26_letters_that_depend_on_the_id() {
        let name = short_name("a");
        assert_eq!(name, short_name("a"));
        assert_ne!(name, short_name("b"));
        assert_eq!(name.len(), 26);
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)));
    }

    #[test]
    fn a_layer_comes_whole_and_the_second_of_two_goes() {
        let (_keep, root) = scratch();
        let diff = DiffId(Digest::of(b"layer"));
        let chain = ChainId::of_stack(&[diff])[0];
        let record = LayerRecord { chain, diff, parent: None, size_bytes: 5, xattrs: Xattrs::User };
        for text in ["first", "second"] {
            let draft = root.layer_draft().unwrap();
            std::fs::write(draft.folder.path().join("diff/file"), text).unwrap();
            describe(&draft, &record, &[]).unwrap();
            assert_eq!(root.layer(&chain).unwrap().is_some(), text == "second");
            keep(&root, draft, &chain).unwrap();
        }
        assert_eq!(root.layer(&chain).unwrap(), Some(record));
        let link = root.path().join("overlay2/l").join(short_name(&chain.0.hex()));
        assert_eq!(std::fs::read_to_string(link.join("file")).unwrap(), "first");
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }
}
