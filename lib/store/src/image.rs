//! Images: a configuration (whose digest is the image's id), the manifests that point to it, and its names.

use crate::error::{Kind, Result, damaged};
use crate::index::Index;
use crate::{Error, Root};
use spec::image::{ImageConfiguration, ImageManifest};
use spec::{ChainId, DiffId, Digest, Reference};

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of the configuration: what `docker images` shows.
    pub id: Digest,
    /// Digests of the manifests that point to it: one, or several that differ in how the layers are packed.
    pub manifests: Vec<Digest>,
    /// All it is called, each with a tag, and which manifest is meant.
    pub names: Vec<(Reference, Digest)>,
}

/// An image's configuration, parsed and as it came.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The parts OCI knows.
    pub parsed: ImageConfiguration,
    /// Everything, with docker's own members (`Healthcheck`, `OnBuild`, `Shell`).
    pub raw: serde_json::Value,
}

impl Configuration {
    /// Reads the bytes of a configuration; `id` is told in errors.
    pub fn parse(id: &Digest, bytes: &[u8]) -> Result<Self> {
        let fail = |e: serde_json::Error| damaged("read image configuration", id, e);
        let raw: serde_json::Value = serde_json::from_slice(bytes).map_err(fail)?;
        let parsed = serde_json::from_value(raw.clone()).map_err(fail)?;
        Ok(Self { parsed, raw })
    }

    /// The layers' uncompressed digests, lowest first.
    pub fn diff_ids(&self) -> Result<Vec<DiffId>> {
        let ids = self.parsed.rootfs().diff_ids().iter();
        ids.map(|text| text.parse().map_err(|e| damaged("read image configuration", text, e))).collect()
    }

    /// The ids of the stacks of layers, lowest first.
    pub fn chain_ids(&self) -> Result<Vec<ChainId>> {
        Ok(ChainId::of_stack(&self.diff_ids()?))
    }
}

/// `parsed`'s digest as ours.
pub fn digest_of(parsed: &spec::image::Digest) -> Result<Digest> {
    let text = parsed.to_string();
    text.parse().map_err(|e| damaged("read manifest", &text, e))
}

impl Root {
    /// The manifest `digest`.
    pub fn manifest(&self, digest: &Digest) -> Result<ImageManifest> {
        let bytes = self.document(digest)?;
        ImageManifest::from_reader(&*bytes).map_err(|e| damaged("read manifest", digest, e))
    }

    /// The configuration of the image `id`.
    pub fn configuration(&self, id: &Digest) -> Result<Configuration> {
        Configuration::parse(id, &self.document(id)?)
    }

    /// All images. What cannot be read is left out: one damaged image must not hide the others.
    pub fn images(&self) -> Result<Vec<Image>> {
        Ok(self.images_of(&self.index()?))
    }

    /// The images that `index` names.
    pub fn images_of(&self, index: &Index) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        for entry in index.entries() {
            let Some(manifest) = entry.digest() else { continue };
            let known = images.iter().position(|i| i.manifests.contains(&manifest));
            let at = match known {
                Some(at) => at,
                None => {
                    let Ok(id) = self.manifest(&manifest).and_then(|m| digest_of(m.config().digest())) else {
                        continue;
                    };
                    match images.iter().position(|i| i.id == id) {
                        Some(at) => at,
                        None => {
                            images.push(Image { id, manifests: Vec::new(), names: Vec::new() });
                            images.len() - 1
                        }
                    }
                }
            };
            if let Some(image) = images.get_mut(at) {
                if !image.manifests.contains(&manifest) {
                    image.manifests.push(manifest);
                }
                image.names.extend(entry.name().map(|name| (name, manifest)));
            }
        }
        images
    }

    /// Takes entries without a name out of `index` whose image is in it under a name, or once more without: the same image
    /// packed otherwise, which nothing leads to any more.
    pub fn prune_index(&self, index: &mut Index) {
        for image in self.images_of(index) {
            let named: Vec<Digest> = image.names.iter().map(|(_, manifest)| *manifest).collect();
            let kept = image.manifests.iter().find(|_| named.is_empty());
            for manifest in &image.manifests {
                if !named.contains(manifest) && kept != Some(manifest) {
                    index.drop_manifest(*manifest);
                }
            }
        }
    }

    /// The image that `text` means: a name (`debian:12`; `app` also finds `localhost/app`), `name@digest`, an id, or the
    /// start of an id that fits no other. Names come before ids. [`Kind::NotFound`] and [`Kind::Ambiguous`].
    pub fn find_image(&self, text: &str) -> Result<Image> {
        self.find_image_in(&self.index()?, text)
    }

    /// The same in an index that has been read.
    pub fn find_image_in(&self, index: &Index, text: &str) -> Result<Image> {
        let images = self.images_of(index);
        let by_manifest = |digest: Digest| images.iter().find(|i| i.manifests.contains(&digest));
        let name = text.parse::<Reference>();
        if let Ok(name) = &name {
            if let Some(digest) = name.digest() {
                let ours = |i: &&Image| i.names.iter().any(|(n, _)| n.repository() == name.repository());
                return by_manifest(digest).filter(ours).cloned().ok_or_else(|| unknown(text));
            }
            if let Some(digest) = meaning(index, name).and_then(|(_, entry)| entry.digest()) {
                return by_manifest(digest).cloned().ok_or_else(|| broken(text, digest));
            }
        }
        let start = text.strip_prefix("sha256:").unwrap_or(text);
        if !start.is_empty() && start.len() <= 64 && start.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let mut fits = images.iter().filter(|i| i.id.hex().starts_with(start));
            return match (fits.next(), fits.next()) {
                (Some(image), None) => Ok(image.clone()),
                (Some(_), Some(_)) => Err(Error::new(Kind::Ambiguous, "ambiguous image id", text)
                    .hint("give more of its digits; ctr images --no-trunc shows all")),
                (None, _) => Err(unknown(text)),
            };
        }
        match name {
            Ok(_) => Err(unknown(text)),
            Err(why) => Err(Error::new(Kind::Invalid, "", why.to_string()).hint(grammar(text))),
        }
    }
}

/// What a name without digest means, and in full: exactly that name, else the same below `localhost/`, where podman puts
/// what it built.
pub fn meaning<'i>(index: &'i Index, name: &Reference) -> Option<(Reference, &'i crate::index::Entry)> {
    let name = name.clone().with_default_tag();
    let local = format!("localhost/{}", name.familiar()).parse::<Reference>().ok();
    let mut names = std::iter::once(name).chain(local);
    names.find_map(|name| Some((name.clone(), index.named(&name)?)))
}

/// What to do about a text that names no image.
pub fn grammar(text: &str) -> String {
    format!("{text:?} is not of the form [DOMAIN/]NAME[:TAG], in small letters")
}

/// docker's words for what there is not: a name is told with its tag.
pub fn unknown(text: &str) -> Error {
    let digits = text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let named = text.parse::<Reference>().ok().filter(|_| !digits && !text.starts_with("sha256:"));
    let shown = named.filter(|name| name.digest().is_none()).map(|name| name.with_default_tag().familiar());
    Error::new(Kind::NotFound, "", format!("No such image: {}", shown.as_deref().unwrap_or(text)))
        .hint("`ctr images` lists what there is, `ctr load -i FILE` adds to it")
}

fn broken(text: &str, manifest: Digest) -> Error {
    Error::new(Kind::Damaged, "read image", text)
        .because(format!("its manifest {manifest} or its configuration is missing or damaged"))
        .hint("ctr rmi it, then ctr load it again")
}
