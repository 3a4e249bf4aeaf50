//! The images of an OCI layout: what `index.json` lists, through indexes of indexes, one for each platform.
//!
//! Passed over: attestations, artifacts that are no images, and the other platforms of a multi-platform image whose blobs
//! are not there (what `docker save` leaves out).

use super::documents::{ATTESTATION, CONTAINERD_NAME, Config, Descriptor, Manifest, REF_NAME};
use super::storage::{Storage, blob_path};
use super::{Image, LayerRef, RawBlob, missing};
use crate::error::{Error, Kind, Result};
use spec::Digest;

/// How deep indexes may be nested.
const DEPTH: usize = 8;

struct Walk<'a> {
    storage: &'a Storage,
    source: &'a str,
    images: Vec<Image>,
    /// The first blob that was not there.
    absent: Option<String>,
}

/// All images of the layout whose `index.json` is `index`.
pub(super) fn images(storage: &Storage, source: &str, index: &[u8]) -> Result<Vec<Image>> {
    let index: Manifest = parse(source, "index.json", index)?;
    let mut walk = Walk { storage, source, images: Vec::new(), absent: None };
    for descriptor in index.manifests.unwrap_or_default() {
        walk.descriptor(&descriptor, &names(&descriptor), 0)?;
    }
    match (walk.images.is_empty(), walk.absent) {
        (true, Some(path)) => Err(missing(source, &path)),
        _ => Ok(walk.images),
    }
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

impl Walk<'_> {
    fn digest(&self, descriptor: &Descriptor) -> Result<Digest> {
        descriptor.digest.parse().map_err(|e: spec::digest::ParseDigestError| {
            let known = descriptor.digest.starts_with("sha256:");
            let kind = if known { Kind::Corrupt } else { Kind::Unsupported };
            Error::new(kind, "", self.source).because(e)
        })
    }

    fn descriptor(&mut self, descriptor: &Descriptor, names: &[String], depth: usize) -> Result<()> {
        if is_attestation(descriptor) || descriptor.artifact_type.is_some() {
            return Ok(());
        }
        if depth > DEPTH {
            return Err(Error::new(Kind::Corrupt, "", self.source).because("indexes nested too deep"));
        }
        let digest = self.digest(descriptor)?;
        let Some(bytes) = self.storage.blob_document(self.source, &digest)? else {
            self.absent.get_or_insert_with(|| blob_path(&digest));
            return Ok(());
        };
        let manifest: Manifest = parse(self.source, &blob_path(&digest), &bytes)?;
        if let Some(manifests) = manifest.manifests {
            for inner in manifests {
                let mut all = names.to_vec();
                all.extend(self::names(&inner));
                self.descriptor(&inner, &all, depth + 1)?;
            }
            return Ok(());
        }
        let media_type = match manifest.media_type {
            Some(media_type) if descriptor.media_type.is_empty() => media_type,
            _ => descriptor.media_type.clone(),
        };
        let (Some(config), None) = (manifest.config, manifest.artifact_type) else { return Ok(()) };
        let raw = RawBlob { digest, media_type, bytes };
        self.image(raw, &config, &manifest.layers.unwrap_or_default(), names)
    }

    fn image(&mut self, manifest: RawBlob, config: &Descriptor, layers: &[Descriptor], names: &[String]) -> Result<()> {
        let is_image = ["application/vnd.oci.image.config.", "application/vnd.docker.container.image."];
        if !config.media_type.is_empty() && !is_image.iter().any(|t| config.media_type.starts_with(t)) {
            return Ok(());
        }
        let digest = self.digest(config)?;
        let Some(bytes) = self.storage.blob_document(self.source, &digest)? else {
            self.absent.get_or_insert_with(|| blob_path(&digest));
            return Ok(());
        };
        let parsed: Config = parse(self.source, &blob_path(&digest), &bytes)?;
        let platform = parsed.platform();
        let diff_ids = parsed.rootfs.and_then(|r| r.diff_ids).unwrap_or_default();
        if diff_ids.len() != layers.len() {
            return Err(Error::new(Kind::Corrupt, "image", manifest.digest).because(format!(
                "its manifest has {} layers, its configuration {}",
                layers.len(),
                diff_ids.len()
            )));
        }
        let layers = layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
            let digest = self.digest(layer)?;
            if layer.media_type.ends_with("+encrypted") {
                return Err(Error::new(Kind::Unsupported, "layer", digest).because("is encrypted"));
            }
            Ok(LayerRef {
                diff_id,
                digest: Some(digest),
                size_bytes: layer.size,
                media_type: layer.media_type.clone(),
                location: blob_path(&digest),
            })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let config = RawBlob { digest, media_type: config.media_type.clone(), bytes };
        match self.images.iter_mut().find(|i| i.manifest.as_ref() == Some(&manifest)) {
            Some(known) => {
                for name in names.iter().filter(|n| !known.names.contains(n)).cloned().collect::<Vec<_>>() {
                    known.names.push(name);
                }
            }
            None => {
                let names = names.to_vec();
                self.images.push(Image { names, manifest: Some(manifest), config, layers, platform });
            }
        }
        Ok(())
    }
}
