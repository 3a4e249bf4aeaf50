//! The images of a docker-archive: what its `manifest.json` lists.

use super::choose::same_name;
use super::documents::{Config, DockerImage};
use super::layout::parse;
use super::storage::Storage;
use super::{Image, LayerRef, RawBlob, missing};
use crate::error::{Error, Kind, Result};
use spec::Digest;

/// Media type of a configuration, when an archive names none.
const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";

/// Adds to `images` (those of the layout in the same archive, if it is one of Docker since 25) what `manifest` lists. An
/// image that is there already gets its tags.
pub(super) fn add_images(storage: &Storage, source: &str, manifest: &[u8], images: &mut Vec<Image>) -> Result<()> {
    let list: Vec<DockerImage> = parse(source, "manifest.json", manifest)?;
    for item in list {
        for path in item.layers.iter().flatten().chain([&item.config]) {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(Error::new(Kind::Escape, "", format!("{source}: manifest.json"))
                    .because(format!("names {path:?}, which is outside"))
                    .hint("the image is hostile or broken; do not use it"));
            }
        }
        let Some(bytes) = storage.document(source, &item.config)? else {
            return Err(missing(source, &item.config));
        };
        let digest = Digest::of(&bytes);
        if let Some(expected) = digest_of_path(&item.config).filter(|d| *d != digest) {
            return Err(Error::new(Kind::Digest, "", format!("{source}/{}", item.config))
                .because(format!("digest is {digest} (expected {expected})"))
                .hint("the image is damaged; fetch or save it again"));
        }
        let tags = item.repo_tags.unwrap_or_default();
        let mut known = false;
        for image in images.iter_mut().filter(|i| i.config.digest == digest) {
            known = true;
            for tag in &tags {
                if !image.names.iter().any(|name| same_name(name, tag)) {
                    image.names.push(tag.clone());
                }
            }
        }
        if known {
            continue;
        }
        let config: Config = parse(source, &item.config, &bytes)?;
        let platform = config.platform();
        let diff_ids = config.rootfs.and_then(|r| r.diff_ids).unwrap_or_default();
        let paths = item.layers.unwrap_or_default();
        if diff_ids.len() != paths.len() {
            return Err(Error::new(Kind::Corrupt, "image", digest)
                .because(format!("manifest.json has {} layers, its configuration {}", paths.len(), diff_ids.len()))
                .hint("the image is broken; fetch or build it again"));
        }
        let mut layers = Vec::with_capacity(paths.len());
        for (location, diff_id) in paths.into_iter().zip(diff_ids) {
            let Some((_, size_bytes)) = storage.open(source, &location)? else {
                return Err(missing(source, &location));
            };
            let digest = digest_of_path(&location);
            layers.push(LayerRef { diff_id, digest, size_bytes, media_type: String::new(), location });
        }
        let config = RawBlob { digest, media_type: CONFIG_TYPE.to_owned(), bytes };
        images.push(Image { names: tags, indexes: Vec::new(), manifest: None, config, layers, platform });
    }
    Ok(())
}

/// The digest that a path of a layout is named by.
fn digest_of_path(path: &str) -> Option<Digest> {
    format!("sha256:{}", path.strip_prefix("blobs/sha256/")?).parse().ok()
}
