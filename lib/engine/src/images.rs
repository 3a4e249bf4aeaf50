//! Images in the store: what there is, what a name means, and taking them away. Loading them is [`load`].
//!
//! Texts and rules are docker's (moby, daemon/images/image_delete.go, for what may be removed when). The built-in image
//! `host` is no image of the store: it is not listed, has no id, and its name cannot be given to another.

pub(crate) mod compose;
pub mod history;
pub mod inspect;
pub mod load;
pub mod mount;
pub mod prune;
pub mod remove;
pub mod save;

pub use history::history;
pub use inspect::{Summary, inspect_json, summaries};
pub use load::{Loaded, Watch, load};
pub use prune::prune;
pub use remove::{Removed, remove};
pub use save::save;

use crate::events;
use spec::image::ImageConfiguration;
use spec::{Digest, Platform, Reference};
use std::path::PathBuf;
use store::index::ManifestDescriptor;
use store::{Error, Image, Kind, Lock, Mode, Result, Root};

/// An image ready to be run.
#[derive(Debug, Clone)]
pub struct ImageRef {
    /// Digest of the configuration.
    pub id: Digest,
    /// What to call it: the familiar form of the name it was asked by, else its first name, else its id.
    pub name: String,
    /// The configuration's parts that OCI knows.
    pub config: ImageConfiguration,
    /// All of the configuration, with docker's own members (`config.Healthcheck`, `config.OnBuild`, `config.Shell`).
    pub raw: serde_json::Value,
    /// The layers' folders, lowest first; absolute paths.
    pub layers: Vec<PathBuf>,
}

impl ImageRef {
    /// Refuses an image that is not for the platform `wanted`, in docker's words.
    pub fn is_of(&self, wanted: &str) -> crate::Result<()> {
        let variant = self.config.variant().as_ref().map(ToString::to_string);
        let (os, architecture) = (self.config.os().to_string(), self.config.architecture().to_string());
        let actual = Platform { os, architecture, variant };
        if wanted.parse::<Platform>().is_ok_and(|wanted| actual.serves(&wanted)) {
            return Ok(());
        }
        let name = &self.name;
        let message = format!(
            "image with reference {name} was found but does not match the specified platform: wanted {wanted}, actual: {actual}"
        );
        Err(crate::Error::new(crate::Kind::Request, "", message)
            .hint("ctr load --platform takes another one out of an index"))
    }
}

/// The image that `text` means: `debian:12`, `name@digest`, an id or the unique start of one. [`Kind::NotFound`] with
/// `No such image: debian:13`. Hold [`Lock::Images`] (shared) from before this until the record that uses it is written.
pub fn resolve(root: &Root, text: &str) -> Result<ImageRef> {
    let index = root.index()?;
    let image = root.find_image_in(&index, text)?;
    let configuration = root.configuration(&image.id)?;
    let chain = configuration.chain_ids()?;
    for id in &chain {
        if root.layer(id)?.is_none() {
            return Err(Error::new(Kind::Damaged, "read image", text)
                .because(format!("its layer {id} is not unpacked"))
                .hint(format!("ctr load -i {} unpacks what lies there packed", root.path().join("image").display())));
        }
    }
    let asked = text.parse::<Reference>().ok().filter(|name| name.digest().is_none());
    let asked = asked.and_then(|name| Some(store::image::meaning(&index, &name)?.0.familiar()));
    let first = || image.names.first().map(|(name, _)| name.familiar());
    // committed on `host`: it lies over this machine
    let label = configuration.raw.pointer("/config/Labels").and_then(|labels| labels.get(crate::commit::BASE));
    let base = (label == Some(&crate::request::HOST.into())).then(|| PathBuf::from("/"));
    Ok(ImageRef {
        id: image.id,
        name: asked.or_else(first).unwrap_or_else(|| image.id.to_string()),
        config: configuration.parsed,
        raw: configuration.raw,
        layers: base.into_iter().chain(chain.iter().map(|id| root.layer_diff(id))).collect(),
    })
}

/// Gives the image `source` the name `target` too. What was called so before keeps its other names or none.
pub fn tag(root: &Root, source: &str, target: &str) -> Result<()> {
    let malformed = |text: String| Error::new(store::Kind::Invalid, "", text);
    if source.is_empty() {
        let text = "Error parsing reference: \"\" is not a valid repository/tag: invalid reference format";
        return Err(malformed(text.into()));
    }
    let name = parse_new_name(target).map_err(|e| {
        if target.parse::<Reference>().is_ok() {
            return e;
        }
        let text = format!("Error parsing reference: {target:?} is not a valid repository/tag: {e}");
        Error { op: "", subject: text, source: None, ..e }
    })?;
    let alone = root.lock(Lock::Images, Mode::Exclusive)?;
    let mut index = root.index()?;
    let image = root.find_image_in(&index, source)?;
    let descriptor = descriptor_for(&index, &image, source);
    let Some(descriptor) = descriptor else { return Err(store::image::unknown(source)) };
    index.set(&name, &descriptor);
    root.write_index(&index, &alone)?;
    events::image(root, &image.id, &events::labels(root, &image.id), Some(&name), "tag");
    Ok(())
}

/// Which of an image's manifests `text` means.
fn descriptor_for(index: &store::index::Index, image: &Image, text: &str) -> Option<ManifestDescriptor> {
    let name = text.parse::<Reference>().ok();
    let by_name = name.and_then(|name| name.digest().or_else(|| store::image::meaning(index, &name)?.1.digest()));
    index.descriptor(by_name.or_else(|| image.manifests.first().copied())?)
}

/// A name that is to be given to an image.
pub(crate) fn parse_new_name(text: &str) -> Result<Reference> {
    let name: Reference = text.parse().map_err(|e: spec::reference::ParseReferenceError| {
        Error::new(Kind::Invalid, "", e.to_string()).hint(store::image::grammar(text))
    })?;
    if name.digest().is_some() {
        return Err(Error::new(Kind::Invalid, "", "refusing to create a tag with a digest reference"));
    }
    if name.familiar_repository() == "sha256" {
        let why = "refusing to create an ambiguous tag using digest algorithm as name";
        return Err(Error::new(Kind::Invalid, "", why).hint("sha256:… means an image by its id"));
    }
    if is_host(text) {
        return Err(Error::new(Kind::Invalid, "", "the name host belongs to the built-in image")
            .hint("give another name, for example localhost/host"));
    }
    Ok(name.with_default_tag())
}

/// Whether `text` means the built-in image.
pub fn is_host(text: &str) -> bool {
    text == "host" || text == "host:latest"
}

/// An id as people see it: twelve digits.
pub fn short(id: &Digest) -> String {
    id.hex()[..12].to_owned()
}
