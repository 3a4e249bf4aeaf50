//! `image/index.json`: which images there are and what they are called (image-spec, image-layout.md).
//!
//! One entry a name: the manifest's descriptor with the annotation `org.opencontainers.image.ref.name` holding the name in
//! full (`docker.io/library/debian:12`), so that `skopeo copy oci:…/image:docker.io/library/debian:12 …` and
//! `umoci --image …/image:docker.io/library/debian:12` take it as it is printed. A manifest nobody names has one entry
//! without the annotation. Members we do not know are kept as they are.

use crate::error::{Result, damaged};
use crate::{Guard, Root};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spec::{Digest, Reference};
use std::collections::BTreeMap;

/// The annotation that holds a name.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PATH: &str = "image/index.json";

/// The index, as it is in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    #[serde(default)]
    manifests: Vec<Entry>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One manifest under one name, or under none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Entry {
    /// The manifest's digest; `None` for algorithms that we do not have.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.parse().ok()
    }

    /// The name, completed: what other tools wrote into the index need not be in full.
    pub fn name(&self) -> Option<Reference> {
        let name: Reference = self.annotations.get(REF_NAME)?.parse().ok()?;
        Some(name.without_digest().with_default_tag())
    }

    fn new(manifest: &ManifestDescriptor, name: Option<&Reference>) -> Self {
        let annotations = name.map(|n| (REF_NAME.to_owned(), n.to_string())).into_iter().collect();
        Self {
            media_type: manifest.media_type.clone(),
            digest: manifest.digest.to_string(),
            size: manifest.size_bytes,
            annotations,
            rest: Map::new(),
        }
    }
}

/// What an index says about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDescriptor {
    /// Of the raw bytes.
    pub digest: Digest,
    /// Length of the raw bytes.
    pub size_bytes: u64,
    /// OCI's, or docker's `application/vnd.docker.distribution.manifest.v2+json`.
    pub media_type: String,
}

impl Index {
    /// All entries, in the order in which they came.
    pub fn entries(&self) -> &[Entry] {
        &self.manifests
    }

    /// The manifest called `name` (which has a tag).
    pub fn named(&self, name: &Reference) -> Option<&Entry> {
        self.manifests.iter().find(|entry| entry.name().as_ref() == Some(name))
    }

    /// Makes `name` mean `manifest`. What it meant before stays, without a name if it has no other.
    pub fn set(&mut self, name: &Reference, manifest: &ManifestDescriptor) {
        if self.named(name).is_some_and(|entry| entry.digest() == Some(manifest.digest)) {
            return;
        }
        if let Some(before) = self.unname(name)
            && !self.has(before.digest)
        {
            self.manifests.push(Entry::new(&before, None));
        }
        // The nameless entry, if there is one, is what gets the name.
        self.manifests.retain(|entry| entry.name().is_some() || entry.digest() != Some(manifest.digest));
        self.manifests.push(Entry::new(manifest, Some(name)));
    }

    /// Adds `manifest` without a name, unless it is there.
    pub fn add(&mut self, manifest: &ManifestDescriptor) {
        if !self.has(manifest.digest) {
            self.manifests.push(Entry::new(manifest, None));
        }
    }

    /// Takes `name` away, and with it the entry; gives what it meant.
    pub fn unname(&mut self, name: &Reference) -> Option<ManifestDescriptor> {
        let entry = self.named(name)?;
        let digest = entry.digest()?;
        let (size_bytes, media_type) = (entry.size, entry.media_type.clone());
        self.manifests.retain(|entry| entry.name().as_ref() != Some(name));
        Some(ManifestDescriptor { digest, size_bytes, media_type })
    }

    /// Takes `manifest` and all its names away.
    pub fn drop_manifest(&mut self, manifest: Digest) {
        self.manifests.retain(|entry| entry.digest() != Some(manifest));
    }

    /// Whether `manifest` is in the index, under whatever name.
    pub fn has(&self, manifest: Digest) -> bool {
        self.manifests.iter().any(|entry| entry.digest() == Some(manifest))
    }

    /// What the index says about `manifest`.
    pub fn descriptor(&self, manifest: Digest) -> Option<ManifestDescriptor> {
        let entry = self.manifests.iter().find(|entry| entry.digest() == Some(manifest))?;
        Some(ManifestDescriptor { digest: manifest, size_bytes: entry.size, media_type: entry.media_type.clone() })
    }
}

impl Root {
    /// Reads the index. It is whole at any time, but may change right after; who needs it to stay holds
    /// [`Lock::Images`](crate::Lock::Images).
    pub fn index(&self) -> Result<Index> {
        let bytes = self.read(PATH)?;
        serde_json::from_slice(&bytes).map_err(|e| damaged("read", self.path().join(PATH).display(), e))
    }

    /// Writes `index` in place of the one that is there. `_images` is the exclusive [`Lock::Images`](crate::Lock::Images)
    /// under which it was read.
    pub fn write_index(&self, index: &Index, _images: &Guard) -> Result<()> {
        let bytes = serde_json::to_vec(index).map_err(|e| damaged("write", PATH, e))?;
        self.write_atomic(PATH, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> ManifestDescriptor {
        ManifestDescriptor { digest: Digest::of(text.as_bytes()), size_bytes: 4, media_type: MANIFEST.into() }
    }

    fn name(text: &str) -> Reference {
        text.parse::<Reference>().unwrap().with_default_tag()
    }

    fn empty() -> Index {
        serde_json::from_str(r#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}"#).unwrap()
    }

    #[test]
    fn a_name_that_moves_leaves_a_nameless_image() {
        let mut index = empty();
        index.set(&name("a"), &manifest("1"));
        index.set(&name("b"), &manifest("1"));
        index.set(&name("a"), &manifest("2"));
        assert_eq!(index.entries().len(), 2);
        index.set(&name("b"), &manifest("2"));
        assert!(index.has(manifest("1").digest));
        assert_eq!(index.entries().iter().filter(|e| e.name().is_none()).count(), 1);
        index.set(&name("c"), &manifest("1"));
        assert_eq!(index.entries().iter().filter(|e| e.name().is_none()).count(), 0);
        let before = index.clone();
        index.set(&name("c"), &manifest("1"));
        index.add(&manifest("1"));
        assert_eq!(index, before);
    }

    #[test]
    fn keeps_what_others_wrote() {
        let text = r#"{"schemaVersion":2,"mediaType":"x","manifests":[{"mediaType":"m","digest":"sha512:00","size":1,"platform":{"os":"linux"}}]}"#;
        let index: Index = serde_json::from_str(text).unwrap();
        assert_eq!(index.entries()[0].digest(), None);
        let again: Value = serde_json::to_value(&index).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap());
    }
}
