//! Images as an archive: an OCI layout with docker's `manifest.json` beside it, as docker writes since 25, so that `docker load`,
//! `podman load`, `skopeo copy docker-archive:` and `oci-archive:` all read it.
//!
//! It is laid out in the store's `tmp/` with hard links to the blobs, and written as a tar with no times and no owners: the same
//! images give the same bytes.

use crate::copy::of_layer;
use crate::{Error, Kind, Result, events};
use layer::archive::Time;
use layer::pack::{Mtimes, PackOptions, Packing, pack_layer};
use serde_json::{Value, json};
use spec::Digest;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use store::{Lock, Mode, Root, TempDir};

/// Writes the images that `names` mean to `out`.
pub fn save(root: &Root, names: &[String], out: impl Write) -> Result<()> {
    let (folder, images) = lay_out(root, names)?;
    let options = PackOptions {
        name: "the archive",
        packing: Packing::None,
        plain: true,
        root: false,
        xattrs: false,
        recorded: Some(false),
        owner: Some(0),
        group: Some(0),
        mtimes: Mtimes::Set(Time::default()),
        ..PackOptions::default()
    };
    pack_layer(folder.fd(), out, &options).map_err(of_layer)?;
    for id in images {
        events::image(root, &id, &events::labels(root, &id), None, "save");
    }
    Ok(())
}

/// What is in the archive of one image.
#[derive(Debug)]
struct Chosen {
    /// The name it was first asked for by.
    asked: String,
    id: Digest,
    manifest: Digest,
    media_type: String,
    size_bytes: u64,
    tags: Vec<String>,
    layers: Vec<Digest>,
}

/// The folder that becomes the archive, and which images are in it.
fn lay_out(root: &Root, names: &[String]) -> Result<(TempDir, BTreeSet<Digest>)> {
    let store = crate::error::store;
    let folder = root.temp_dir().map_err(store)?;
    let fail = |path: &Path, e| crate::error::system("write", path.display(), e);
    let blobs = folder.path().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(|e| fail(&blobs, e))?;
    let images = {
        let _stay = root.lock(Lock::Images, Mode::Shared).map_err(store)?;
        let chosen = choose(root, names)?;
        let mut wanted: BTreeSet<Digest> = BTreeSet::new();
        for image in &chosen {
            wanted.extend([image.id, image.manifest]);
            wanted.extend(&image.layers);
        }
        for digest in wanted {
            let to = blobs.join(digest.hex());
            std::fs::hard_link(root.blob_path(&digest), &to).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => missing(&chosen, &digest),
                _ => fail(&to, e),
            })?;
        }
        let index: Vec<Value> = chosen.iter().flat_map(entries).collect();
        let index =
            json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index });
        let manifest: Vec<Value> = chosen.iter().map(docker).collect();
        for (name, text) in [
            ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned()),
            ("index.json", index.to_string()),
            ("manifest.json", Value::from(manifest).to_string()),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).map_err(|e| fail(&path, e))?;
        }
        chosen.iter().map(|image| image.id).collect()
    };
    Ok((folder, images))
}

/// Which of the images it is that lacks the blob.
fn missing(chosen: &[Chosen], digest: &Digest) -> Error {
    let whose =
        chosen.iter().find(|image| [image.id, image.manifest].contains(digest) || image.layers.contains(digest));
    let name = whose.map_or("", |image| &image.asked);
    Error::new(Kind::Failed, "save image", name)
        .because(format!("its blob {digest} is not in the store"))
        .hint("ctr load it again")
}

fn choose(root: &Root, names: &[String]) -> Result<Vec<Chosen>> {
    let store = crate::error::store;
    let index = root.index().map_err(store)?;
    let mut all: Vec<Chosen> = Vec::new();
    for text in names {
        let image = root.find_image_in(&index, text).map_err(|e| match e.kind {
            store::Kind::NotFound => Error::new(Kind::NotFound, "", format!("No such image: {text}")),
            _ => store(e),
        })?;
        let descriptor = super::descriptor_for(&index, &image, text);
        let descriptor = descriptor.ok_or_else(|| Error::new(Kind::NotFound, "", format!("No such image: {text}")))?;
        let name = text.parse::<spec::Reference>().ok().filter(|name| name.digest().is_none());
        let tag = name.and_then(|name| Some(store::image::meaning(&index, &name)?.0.to_string()));
        match all.iter_mut().find(|one| one.manifest == descriptor.digest) {
            Some(one) => one.tags.extend(tag.filter(|tag| !one.tags.contains(tag))),
            None => {
                let layers = root.manifest(&descriptor.digest).map_err(store)?;
                let layers = layers.layers().iter().map(|l| store::image::digest_of(l.digest()));
                all.push(Chosen {
                    asked: text.clone(),
                    id: image.id,
                    manifest: descriptor.digest,
                    media_type: descriptor.media_type,
                    size_bytes: descriptor.size_bytes,
                    tags: tag.into_iter().collect(),
                    layers: layers.collect::<std::result::Result<_, _>>().map_err(store)?,
                });
            }
        }
    }
    Ok(all)
}

/// The layout's entries: one a name, or one without.
fn entries(image: &Chosen) -> Vec<Value> {
    let entry = json!({ "mediaType": image.media_type, "digest": image.manifest, "size": image.size_bytes });
    if image.tags.is_empty() {
        return vec![entry];
    }
    let named = image.tags.iter().map(|name| {
        let mut entry = entry.clone();
        entry["annotations"] = json!({
            "io.containerd.image.name": name,
            store::index::REF_NAME: name,
        });
        entry
    });
    named.collect()
}

/// docker's own entry.
fn docker(image: &Chosen) -> Value {
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let familiar = |name: &String| name.parse::<spec::Reference>().map_or_else(|_| name.clone(), |n| n.familiar());
    json!({
        "Config": blob(&image.id),
        "RepoTags": image.tags.iter().map(familiar).collect::<Vec<_>>(),
        "Layers": image.layers.iter().map(blob).collect::<Vec<_>>(),
    })
}
