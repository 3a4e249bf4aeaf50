//! The images of an OCI layout: what `index.json` lists, through indexes of indexes, one for each platform. And those of a
//! folder that `skopeo copy … dir:FOLDER` has written, which has one manifest or index.
//!
//! Passed over: attestations, artifacts that are no images, Docker's schema 1, and the other platforms of a multi-platform
//! image whose blobs are not there (what `docker save` leaves out). Where nothing else is there, the error says which it was.

use super::documents::{ATTESTATION, CONTAINERD_NAME, Config, Descriptor, DescriptorPlatform, Manifest, REF_NAME};
use super::storage::Storage;
use super::{Image, LayerRef, RawBlob, missing};
use crate::error::{Error, Kind, Result};
use spec::Digest;
use std::collections::HashSet;

/// How deep indexes may be nested.
const DEPTH: usize = 8;
/// How many manifests and indexes are read.
const DOCUMENTS: usize = 10_000;
/// How many bytes of manifests and configurations are kept.
const DOCUMENT_BYTES: usize = 64 << 20;

struct Walk<'a> {
    storage: &'a Storage,
    source: &'a str,
    images: Vec<Image>,
    /// The first blob that was not there.
    absent: Option<String>,
    /// What was passed over for another reason.
    artifacts: usize,
    schema_1: bool,
    /// Bytes of documents in `images`.
    kept: usize,
    /// What has been read, and the names it was reached by: indexes can name the same ones over and over.
    seen: HashSet<(Digest, Vec<String>)>,
}

/// How a manifest or index was reached.
#[derive(Debug, Clone, Default)]
struct Way {
    names: Vec<String>,
    platform: Option<DescriptorPlatform>,
    /// The indexes on the way, the outermost first.
    indexes: Vec<Digest>,
}

/// All images of the layout whose `index.json` is `index`.
pub(super) fn images(storage: &Storage, source: &str, index: &[u8]) -> Result<Vec<Image>> {
    let index: Manifest = parse(source, "index.json", index)?;
    let mut walk = Walk::new(storage, source);
    for descriptor in index.manifests.unwrap_or_default() {
        walk.descriptor(&descriptor, &Way::default())?;
    }
    walk.end()
}

/// The images of skopeo's `dir:`, whose `manifest.json` is `bytes`.
pub(super) fn images_of_dir(storage: &Storage, source: &str, bytes: Vec<u8>) -> Result<Vec<Image>> {
    let mut walk = Walk::new(storage, source);
    let raw = RawBlob { digest: Digest::of(&bytes), media_type: String::new(), bytes };
    walk.document(raw, "manifest.json", &Way::default())?;
    walk.end()
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(source: &str, path: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::new(Kind::Corrupt, "", format!("{source}: {path}"))
            .because(format!("cannot be read: {e}"))
            .hint("the image is damaged; fetch or save it again")
    })
}

/// The names an entry of the index gives. containerd (and so Docker) writes the whole name into an annotation of its own, and
/// the tag alone into the standard one.
fn names(descriptor: &Descriptor) -> Vec<String> {
    let annotation = |key| descriptor.annotations.as_ref().and_then(|a| a.get(key)).filter(|v| !v.is_empty()).cloned();
    annotation(CONTAINERD_NAME).or_else(|| annotation(REF_NAME)).into_iter().collect()
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    let marked = descriptor.annotations.as_ref().is_some_and(|a| a.contains_key(ATTESTATION));
    marked || descriptor.platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
}

impl<'a> Walk<'a> {
    fn new(storage: &'a Storage, source: &'a str) -> Self {
        Self {
            storage,
            source,
            images: Vec::new(),
            absent: None,
            artifacts: 0,
            schema_1: false,
            kept: 0,
            seen: HashSet::new(),
        }
    }

    fn end(self) -> Result<Vec<Image>> {
        let none = |kind, why: &str| Error::new(kind, "", self.source).because(why.to_owned());
        match self.absent {
            _ if !self.images.is_empty() => Ok(self.images),
            Some(path) => Err(missing(self.source, &path)),
            None if self.schema_1 => Err(none(Kind::Unsupported, "an image of Docker's schema 1, which is not read")
                .hint("convert it: skopeo copy --format oci FROM oci:FOLDER")),
            None if self.artifacts > 0 => Err(none(Kind::NotAnImage, "there is no image in it, only artifacts")
                .hint("attestations, signatures, charts and their like have no layers to unpack")),
            None => Ok(self.images),
        }
    }

    fn too_much(&self, why: impl std::fmt::Display) -> Error {
        let error = Error::new(Kind::Corrupt, "", self.source).because(why.to_string());
        error.hint("the image is hostile or broken; do not use it")
    }

    fn digest(&self, descriptor: &Descriptor) -> Result<Digest> {
        descriptor.digest.parse().map_err(|e: spec::digest::ParseDigestError| {
            let known = descriptor.digest.starts_with("sha256:");
            let kind = if known { Kind::Corrupt } else { Kind::Unsupported };
            Error::new(kind, "", self.source).because(e).hint("digests that are read are sha256:HEX")
        })
    }

    fn descriptor(&mut self, descriptor: &Descriptor, above: &Way) -> Result<()> {
        if is_attestation(descriptor) || descriptor.artifact_type.is_some() {
            self.artifacts += 1;
            return Ok(());
        }
        if above.indexes.len() > DEPTH {
            return Err(Error::new(Kind::Corrupt, "", self.source)
                .because("indexes nested too deep")
                .hint("the image is broken; fetch or save it again"));
        }
        let digest = self.digest(descriptor)?;
        let mut way = above.clone();
        let new = names(descriptor).into_iter().filter(|n| !above.names.contains(n));
        way.names.extend(new);
        way.platform = descriptor.platform.clone().or(way.platform);
        if !self.seen.insert((digest, way.names.clone())) {
            return Ok(());
        }
        if self.seen.len() > DOCUMENTS {
            return Err(self.too_much(format_args!("its indexes list more than {DOCUMENTS} images")));
        }
        let path = self.storage.blob_path(&digest);
        let Some(bytes) = self.storage.blob_document(self.source, &digest)? else {
            self.absent.get_or_insert(path);
            return Ok(());
        };
        self.document(RawBlob { digest, media_type: descriptor.media_type.clone(), bytes }, &path, &way)
    }

    /// An index or a manifest.
    fn document(&mut self, mut raw: RawBlob, path: &str, way: &Way) -> Result<()> {
        let manifest: Manifest = parse(self.source, path, &raw.bytes)?;
        if let Some(manifests) = manifest.manifests {
            let mut way = way.clone();
            way.indexes.push(raw.digest);
            for inner in manifests {
                self.descriptor(&inner, &way)?;
            }
            return Ok(());
        }
        if manifest.schema_version == Some(1) {
            self.schema_1 = true;
            return Ok(());
        }
        if let Some(media_type) = manifest.media_type
            && raw.media_type.is_empty()
        {
            raw.media_type = media_type;
        }
        let (Some(config), None) = (manifest.config, manifest.artifact_type) else {
            self.artifacts += 1;
            return Ok(());
        };
        self.image(raw, &config, &manifest.layers.unwrap_or_default(), way)
    }

    fn image(&mut self, manifest: RawBlob, config: &Descriptor, layers: &[Descriptor], way: &Way) -> Result<()> {
        let is_image = ["application/vnd.oci.image.config.", "application/vnd.docker.container.image."];
        if !config.media_type.is_empty() && !is_image.iter().any(|t| config.media_type.starts_with(t)) {
            self.artifacts += 1;
            return Ok(());
        }
        let digest = self.digest(config)?;
        let Some(bytes) = self.storage.blob_document(self.source, &digest)? else {
            self.absent.get_or_insert_with(|| self.storage.blob_path(&digest));
            return Ok(());
        };
        self.kept += manifest.bytes.len() + bytes.len();
        if self.kept > DOCUMENT_BYTES {
            return Err(self.too_much(format_args!("its documents have more than {DOCUMENT_BYTES} bytes")));
        }
        let parsed: Config = parse(self.source, &self.storage.blob_path(&digest), &bytes)?;
        let mut platform = parsed.platform();
        if let (None, Some(told)) = (&platform.variant, &way.platform) {
            // Many builders write the variant into the index only.
            platform.variant = told.variant.clone().filter(|v| !v.is_empty());
        }
        let diff_ids = parsed.rootfs.and_then(|r| r.diff_ids).unwrap_or_default();
        if diff_ids.len() != layers.len() {
            return Err(Error::new(Kind::Corrupt, "image", manifest.digest)
                .because(format!("its manifest has {} layers, its configuration {}", layers.len(), diff_ids.len()))
                .hint("the image is broken; fetch or build it again"));
        }
        let layers = layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
            let digest = self.digest(layer)?;
            Ok(LayerRef {
                diff_id,
                digest: Some(digest),
                size_bytes: layer.size,
                media_type: layer.media_type.clone(),
                location: self.storage.blob_path(&digest),
            })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let config = RawBlob { digest, media_type: config.media_type.clone(), bytes };
        match self.images.iter_mut().find(|i| i.manifest.as_ref().is_some_and(|m| m.digest == manifest.digest)) {
            Some(known) => {
                let new: Vec<String> = way.names.iter().filter(|n| !known.names.contains(n)).cloned().collect();
                known.names.extend(new);
                known.indexes.extend(&way.indexes);
            }
            None => {
                let Way { names, indexes, .. } = way.clone();
                self.images.push(Image { names, indexes, manifest: Some(manifest), config, layers, platform });
            }
        }
        Ok(())
    }
}
