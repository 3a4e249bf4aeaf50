//! Taking images in: everything is put together in `tmp/` and becomes visible in one go at the end.
//!
//! ```text
//! begin     Layers shared: what is there stays there
//! stage     blobs and unpacked layers, in tmp/
//! commit    1 everything to the disk (syncfs)   2 blobs, layers renamed into place   3 Images exclusive: the index
//! ```
//!
//! A crash before 3 leaves nothing that an image or a name shows: the next sweep takes it. Of two that bring the same
//! layer at once the first wins and the other's is dropped. An [`Intake`] that is dropped leaves the store as it was.

use crate::error::{Kind, Result, system};
use crate::index::ManifestDescriptor;
use crate::layer::{self, LayerDraft, LayerRecord};
use crate::{Guard, Lock, Mode, Root, TempFile, blob};
use spec::{ChainId, Digest, Reference};
use std::collections::BTreeMap;
use std::fs::File;

/// Images that are being taken in.
#[derive(Debug)]
pub struct Intake<'r> {
    root: &'r Root,
    layers_stay: Guard,
    blobs: BTreeMap<Digest, TempFile>,
    layers: BTreeMap<ChainId, LayerDraft>,
    images: Vec<(ManifestDescriptor, Vec<Reference>)>,
}

impl<'r> Intake<'r> {
    /// Begins, waiting for a sweep that is under way.
    pub fn begin(root: &'r Root) -> Result<Self> {
        let layers_stay = root.lock(Lock::Layers, Mode::Shared)?;
        Ok(Self { root, layers_stay, blobs: BTreeMap::new(), layers: BTreeMap::new(), images: Vec::new() })
    }

    /// Whether the blob is in the store or staged.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.root.has_blob(digest)
    }

    /// The bytes of a blob that is in the store or staged, from the first.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        match self.blobs.get(digest) {
            Some(staged) => File::open(staged.path()).map_err(|e| system("open", staged.path(), e)),
            None => self.root.open_blob(digest),
        }
    }

    /// Whether the layer is in the store or staged.
    pub fn has_layer(&self, chain: &ChainId) -> Result<bool> {
        Ok(self.layers.contains_key(chain) || self.root.layer(chain)?.is_some())
    }

    /// Stages a blob whose bytes the caller has checked against `digest`.
    pub fn stage_blob(&mut self, digest: Digest, file: TempFile) {
        self.blobs.entry(digest).or_insert(file);
    }

    /// Stages a document: a manifest or a configuration. Gives its digest.
    pub fn stage_document(&mut self, bytes: &[u8]) -> Result<Digest> {
        use std::io::Write;
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest) {
            let mut file = self.root.temp_file()?;
            file.file().write_all(bytes).map_err(|e| system("write", self.root.blob_path(&digest), e))?;
            self.stage_blob(digest, file);
        }
        Ok(digest)
    }

    /// Stages an unpacked layer. `below` are the chain ids under it, lowest first.
    pub fn stage_layer(&mut self, draft: LayerDraft, record: &LayerRecord, below: &[ChainId]) -> Result<()> {
        layer::describe(&draft, record, below)?;
        self.layers.entry(record.chain).or_insert(draft);
        Ok(())
    }

    /// Notes an image whose manifest, configuration and layers have been staged or are in the store, with the names it
    /// shall have (perhaps none).
    pub fn add_image(&mut self, manifest: ManifestDescriptor, names: Vec<Reference>) {
        self.images.push((manifest, names));
    }

    /// Makes all of it visible.
    pub fn commit(self) -> Result<()> {
        let Self { root, layers_stay, blobs, layers, images } = self;
        if !blobs.is_empty() || !layers.is_empty() {
            sync_all(root)?;
        }
        let blobs_folder = blobs.keys().next().map(|digest| root.blob_path(digest));
        for (digest, file) in blobs {
            match file.keep_synced(root, blob::file_of(&digest)) {
                Err(e) if e.kind == Kind::Exists => {}
                other => other?,
            }
        }
        for (chain, draft) in layers {
            layer::keep(root, draft, &chain)?;
        }
        if let Some(blob) = blobs_folder {
            crate::temp::sync_parent(&blob)?;
        }
        let alone = root.lock(Lock::Images, Mode::Exclusive)?;
        let before = root.index()?;
        let mut index = before.clone();
        for (manifest, names) in &images {
            index.add(manifest);
            for name in names {
                index.set(name, manifest);
            }
        }
        root.prune_index(&mut index);
        if index != before {
            root.write_index(&index, &alone)?;
        }
        drop(alone);
        drop(layers_stay);
        Ok(())
    }
}

/// Brings the whole file system of the store to the disk: one call instead of one for each of a layer's files, none of
/// which may be missing after a power cut.
fn sync_all(root: &Root) -> Result<()> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let folder =
        rustix::fs::open(root.path(), flags, rustix::fs::Mode::empty()).map_err(|e| system("open", root.path(), e))?;
    rustix::fs::syncfs(&folder).map_err(|e| system("syncfs", root.path(), e))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Xattrs;
    use crate::index::MANIFEST;
    use crate::root::tests::scratch;
    use spec::DiffId;

    fn diff_of(text: &str) -> DiffId {
        DiffId(Digest::of(text.as_bytes()))
    }

    pub(crate) fn chain_of(layers: &[&str]) -> ChainId {
        let diffs: Vec<DiffId> = layers.iter().map(|t| diff_of(t)).collect();
        ChainId::of_stack(&diffs)[layers.len() - 1]
    }

    /// Stages an image whose layers' blobs are `layers` (no tars) and whose folders are empty.
    pub(crate) fn stage(intake: &mut Intake<'_>, root: &Root, name: &str, layers: &[&str]) {
        use std::io::Write;
        let diffs: Vec<DiffId> = layers.iter().map(|t| diff_of(t)).collect();
        let chain = ChainId::of_stack(&diffs);
        let mut packed = Vec::new();
        for (i, text) in layers.iter().enumerate() {
            let mut file = root.temp_file().unwrap();
            file.file().write_all(text.as_bytes()).unwrap();
            intake.stage_blob(diffs[i].0, file);
            packed.push(serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": diffs[i], "size": text.len()}));
            if !intake.has_layer(&chain[i]).unwrap() {
                let parent = i.checked_sub(1).map(|p| chain[p]);
                let record =
                    LayerRecord { chain: chain[i], diff: diffs[i], parent, size_bytes: 1, xattrs: Xattrs::User };
                intake.stage_layer(root.layer_draft().unwrap(), &record, &chain[..i]).unwrap();
            }
        }
        let config = serde_json::json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diffs}});
        let config = config.to_string();
        let id = intake.stage_document(config.as_bytes()).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": id, "size": config.len()},
            "layers": packed,
        });
        let manifest = manifest.to_string();
        let digest = intake.stage_document(manifest.as_bytes()).unwrap();
        let descriptor = ManifestDescriptor { digest, size_bytes: manifest.len() as u64, media_type: MANIFEST.into() };
        intake.add_image(descriptor, vec![name.parse::<Reference>().unwrap().with_default_tag()]);
    }

    pub(crate) fn take_in(root: &Root, name: &str, layers: &[&str]) {
        let mut intake = Intake::begin(root).unwrap();
        stage(&mut intake, root, name, layers);
        intake.commit().unwrap();
    }

    #[test]
    fn nothing_shows_before_the_end_and_all_after() {
        let (_keep, root) = scratch();
        let mut intake = Intake::begin(&root).unwrap();
        stage(&mut intake, &root, "debian:12", &["a", "b"]);
        assert_eq!(root.images().unwrap(), []);
        assert_eq!(std::fs::read_dir(root.path().join("image/blobs/sha256")).unwrap().count(), 0);
        drop(intake);
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);

        take_in(&root, "debian:12", &["a", "b"]);
        take_in(&root, "localhost/mine", &["a", "b"]);
        let image = root.find_image("debian:12").unwrap();
        assert_eq!(root.images().unwrap().len(), 1);
        let id = image.id.hex();
        for text in
            ["docker.io/library/debian:12", "mine", "mine:latest", &id, &id[..6], &format!("sha256:{}", &id[..12])]
        {
            assert_eq!(root.find_image(text).unwrap(), image, "{text}");
        }
        assert_eq!(root.find_image(&format!("debian@{}", image.manifests[0])).unwrap(), image);
        assert_eq!(root.find_image("debian:13").unwrap_err().to_string(), "No such image: debian:13");
        assert_eq!(root.find_image(&format!("other@{}", image.manifests[0])).unwrap_err().kind, Kind::NotFound);
        assert_eq!(root.find_image("Debian").unwrap_err().kind, Kind::Invalid);
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn the_same_image_packed_otherwise_takes_its_place() {
        let (_keep, root) = scratch();
        take_in(&root, "a", &["x"]);
        let old = root.find_image("a").unwrap().manifests[0];
        let text = String::from_utf8(root.document(&old).unwrap()).unwrap().replace("+gzip", "") + "\n";
        let mut intake = Intake::begin(&root).unwrap();
        let digest = intake.stage_document(text.as_bytes()).unwrap();
        let new = ManifestDescriptor { digest, size_bytes: text.len() as u64, media_type: MANIFEST.into() };
        intake.add_image(new, vec!["docker.io/library/a:latest".parse().unwrap()]);
        intake.commit().unwrap();
        assert_eq!(root.find_image("a").unwrap().manifests, [digest]);
        assert_eq!(root.sweep(std::time::Duration::ZERO).unwrap().unwrap().blobs, [old]);
    }

    #[test]
    fn two_at_once_both_end_well() {
        let (_keep, root) = scratch();
        std::thread::scope(|scope| {
            let all: Vec<_> = ["x", "y", "x", "y"].map(|n| scope.spawn(|| take_in(&root, n, &["a", "b", "c"]))).into();
            for one in all {
                one.join().unwrap();
            }
        });
        assert_eq!(root.images().unwrap()[0].names.len(), 2);
        assert!(root.layer(&chain_of(&["a", "b", "c"])).unwrap().is_some());
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_document_is_told() {
        let (_keep, root) = scratch();
        take_in(&root, "debian:12", &["a"]);
        let manifest = root.find_image("debian:12").unwrap().manifests[0];
        std::fs::write(root.blob_path(&manifest), "{}").unwrap();
        let error = root.find_image("debian:12").unwrap_err();
        assert!(error.to_string().contains("is missing or damaged"), "{error}");
        assert_eq!(error.kind, Kind::Damaged);
    }
}
