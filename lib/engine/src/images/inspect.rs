//! What there is to tell about images: docker's listing and docker's `inspect`.

use serde_json::{Map, Value, json};
use spec::Digest;
use store::{Configuration, Image, Result, Root};

/// One line of a listing: an image under one of its names.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The image.
    pub id: Digest,
    /// `debian`; none for an image without a name.
    pub repository: Option<String>,
    /// `12`
    pub tag: Option<String>,
    /// The manifest.
    pub digest: Digest,
    /// When it was made, if it says so (RFC 3339).
    pub created: Option<String>,
    /// Bytes of all its files.
    pub size_bytes: u64,
    /// Its labels.
    pub labels: Map<String, Value>,
}

/// All images, one line a name, newest first.
pub fn summaries(root: &Root) -> Result<Vec<Summary>> {
    let mut all = Vec::new();
    for image in root.images()? {
        let Ok(configuration) = root.configuration(&image.id) else { continue };
        let size_bytes = size(root, &configuration)?;
        let labels = configuration.raw.pointer("/config/Labels").and_then(Value::as_object);
        let of = |repository, tag, digest| Summary {
            id: image.id,
            repository,
            tag,
            digest,
            created: configuration.parsed.created().clone(),
            size_bytes,
            labels: labels.cloned().unwrap_or_default(),
        };
        for (name, digest) in &image.names {
            all.push(of(Some(name.familiar_repository()), name.tag().map(str::to_owned), *digest));
        }
        if let (true, Some(digest)) = (image.names.is_empty(), image.manifests.first()) {
            all.push(of(None, None, *digest));
        }
    }
    let moment = |s: &Summary| s.created.as_deref().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    all.sort_by_cached_key(|s| std::cmp::Reverse(moment(s)));
    Ok(all)
}

/// Bytes of the files of an image's layers.
fn size(root: &Root, configuration: &Configuration) -> Result<u64> {
    let mut bytes = 0;
    for chain in configuration.chain_ids()? {
        bytes += root.layer(&chain)?.map_or(0, |layer| layer.size_bytes);
    }
    Ok(bytes)
}

/// An image with docker's fields: what `docker image inspect` shows of it.
pub fn inspect_json(root: &Root, name: &str) -> Result<Value> {
    let image = root.find_image(name)?;
    let configuration = root.configuration(&image.id)?;
    let raw = &configuration.raw;
    let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default();
    let last = raw.get("history").and_then(Value::as_array).and_then(|h| h.last());
    let comment = last.and_then(|h| h.get("comment")).and_then(Value::as_str).unwrap_or_default();
    let mut shown = json!({
        "Id": image.id,
        "RepoTags": image.names.iter().map(|(name, _)| name.familiar()).collect::<Vec<_>>(),
        "RepoDigests": digests(&image),
        "Parent": "",
        "Comment": comment,
        "Created": text("created"),
        "DockerVersion": text("docker_version"),
        "Author": text("author"),
        "Config": docker_config(raw.get("config")),
        "Architecture": text("architecture"),
        "Os": text("os"),
        "Size": size(root, &configuration)?,
        "GraphDriver": { "Name": "overlay2", "Data": graph(root, &configuration)? },
        "RootFS": { "Type": "layers", "Layers": configuration.parsed.rootfs().diff_ids() },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    });
    if let Some(variant) = raw.get("variant") {
        shown["Variant"] = variant.clone();
    }
    Ok(shown)
}

/// `debian@sha256:…` for each repository and manifest.
fn digests(image: &Image) -> Vec<String> {
    let mut all: Vec<String> = image.names.iter().map(|(n, d)| format!("{}@{d}", n.familiar_repository())).collect();
    all.sort();
    all.dedup();
    all
}

/// The folders of the layers in docker's form: the topmost apart from those below, which are given topmost first.
fn graph(root: &Root, configuration: &Configuration) -> Result<Value> {
    let chain = configuration.chain_ids()?;
    let mut folders = chain.iter().rev().map(|id| root.layer_diff(id).display().to_string());
    let mut data = Map::new();
    if let Some(top) = folders.next() {
        data.insert("UpperDir".into(), top.into());
    }
    let below: Vec<String> = folders.collect();
    if !below.is_empty() {
        data.insert("LowerDir".into(), below.join(":").into());
    }
    Ok(data.into())
}

/// The image's configuration with the members docker always shows.
fn docker_config(config: Option<&Value>) -> Value {
    let mut shown = json!({
        "Hostname": "", "Domainname": "", "User": "",
        "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
        "Tty": false, "OpenStdin": false, "StdinOnce": false,
        "Env": null, "Cmd": null, "Image": "", "Volumes": null, "WorkingDir": "",
        "Entrypoint": null, "OnBuild": null, "Labels": null,
    });
    if let (Some(shown), Some(Value::Object(config))) = (shown.as_object_mut(), config) {
        shown.extend(config.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    shown
}
