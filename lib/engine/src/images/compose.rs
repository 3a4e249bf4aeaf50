//! A new image out of layers that are there and one that is new: what `commit` and `import` end in.
//!
//! ```text
//! parent's layers ─ their blobs as they are ─┐                      ┌ configuration (its digest is the image's id)
//! a new layer's blob ────────────────────────┼─ chain ids, folders ─┼ manifest
//!                                            │  unpacked from blobs └ index entry, perhaps a name
//! ```
//!
//! Everything is staged in an [`Intake`], so that a crash leaves the store as it was. The folder of a new layer is unpacked from
//! its blob: what will run is what anybody who gets the image will see. A layer of the parent whose blob is gone (its image was
//! removed while a container still uses it) is packed again from its folder.

use layer::extract::{Devices, Expected, Options, Whiteouts, unpack_layer};
use layer::pack::{PackOptions, Packing, pack_layer};
use serde_json::{Map, Value, json};
use spec::{ChainId, DiffId, Digest, Platform, Reference};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use store::index::{MANIFEST, ManifestDescriptor};
use store::{Configuration, Error, Intake, Kind, LayerRecord, Result, Root, TempFile, Xattrs};

/// Media type of an image configuration.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// docker's name for a packed layer, and OCI's.
const DOCKER_LAYERS: [(&str, &str); 2] = [
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
];

/// A layer whose blob is in the store or staged.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// The digest of its tar.
    pub(crate) diff: DiffId,
    /// Its blob, as the manifest names it.
    pub(crate) blob: Digest,
    size_bytes: u64,
    media_type: String,
}

/// What the new image's history says of its last step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) created: String,
    pub(crate) created_by: String,
    pub(crate) author: String,
    pub(crate) comment: String,
}

/// The parent's configuration, and its layers. `None` is an image without any.
pub(crate) fn parent(
    root: &Root,
    intake: &mut Intake<'_>,
    id: Option<&Digest>,
) -> Result<(Map<String, Value>, Vec<Piece>)> {
    let Some(id) = id else { return Ok((Map::new(), Vec::new())) };
    let configuration = root.configuration(id)?;
    let diffs = configuration.diff_ids()?;
    let chain = configuration.chain_ids()?;
    let mut known = packed(root, id)?;
    if known.len() != diffs.len() {
        known.clear();
    }
    let mut pieces = Vec::with_capacity(diffs.len());
    for (at, (diff, chain)) in diffs.iter().zip(&chain).enumerate() {
        let there = known.get(at).filter(|piece| root.has_blob(&piece.blob)).cloned();
        pieces.push(match there {
            Some(piece) => Piece { diff: *diff, ..piece },
            None => again(root, intake, chain)?,
        });
    }
    let raw = match configuration.raw {
        Value::Object(raw) => raw,
        _ => Map::new(),
    };
    Ok((raw, pieces))
}

/// How one of the image's manifests says its layers are packed; nothing where there is no manifest any more.
fn packed(root: &Root, id: &Digest) -> Result<Vec<Piece>> {
    let images = root.images()?;
    let Some(image) = images.iter().find(|image| image.id == *id) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for digest in &image.manifests {
        let bytes = root.document(digest)?;
        let manifest: Value = serde_json::from_slice(&bytes)
            .map_err(|e| Error::new(Kind::Damaged, "read manifest", digest).because(e))?;
        all = pieces(&manifest);
        // Of one that is not understood there are none.
        if !all.is_empty() && all.iter().all(|piece| root.has_blob(&piece.blob)) {
            break;
        }
    }
    Ok(all)
}

/// A manifest's layers, all or none: which is which is told by their order alone.
fn pieces(manifest: &Value) -> Vec<Piece> {
    let layers = manifest["layers"].as_array().into_iter().flatten();
    layers.map(piece).collect::<Option<_>>().unwrap_or_default()
}

fn piece(descriptor: &Value) -> Option<Piece> {
    let text = descriptor["mediaType"].as_str()?;
    let media_type = DOCKER_LAYERS.iter().find(|(docker, _)| *docker == text).map_or(text, |(_, oci)| oci);
    let blob: Digest = descriptor["digest"].as_str()?.parse().ok()?;
    let size_bytes = descriptor["size"].as_u64()?;
    Some(Piece { diff: DiffId(blob), blob, size_bytes, media_type: media_type.to_owned() })
}

/// Packs the folder of a layer whose blob is gone. Its tar may be spelled otherwise than the one it came in: then it is
/// another layer with the same content.
fn again(root: &Root, intake: &mut Intake<'_>, chain: &ChainId) -> Result<Piece> {
    let path = root.layer_diff(chain);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let folder = rustix::fs::open(&path, flags, rustix::fs::Mode::empty())
        .map_err(|e| store::error::system("open layer", &path, e))?;
    let name = path.display().to_string();
    let options = PackOptions { name: &name, ..PackOptions::default() };
    pack(root, intake, folder.as_fd(), &options).map(|(piece, _)| piece)
}

/// Packs the tree in `folder` into a staged blob; and what there is to say of it.
pub(crate) fn pack(
    root: &Root,
    intake: &mut Intake<'_>,
    folder: BorrowedFd<'_>,
    options: &PackOptions<'_>,
) -> Result<(Piece, layer::pack::Packed)> {
    let mut file = root.temp_file()?;
    let packed = pack_layer(folder, file.file(), options).map_err(super::load::from_layer)?;
    intake.stage_blob(packed.digest, file);
    let piece = Piece {
        diff: packed.diff_id,
        blob: packed.digest,
        size_bytes: packed.blob_bytes,
        media_type: options.packing.media_type().to_owned(),
    };
    Ok((piece, packed))
}

/// Keeps a tar as it comes (plain, gzip or zstd) as a staged blob, reading it whole before anything of it is believed.
pub(crate) fn keep(root: &Root, intake: &mut Intake<'_>, mut from: impl Read) -> Result<Piece> {
    let mut file: TempFile = root.temp_file()?;
    let fail = |e| store::error::system("write blob below", root.path(), e);
    std::io::copy(&mut from, file.file()).map_err(fail)?;
    file.file().flush().and_then(|()| file.file().rewind()).map_err(fail)?;
    let mut start = [0; 4];
    let length = file.file().read(&mut start).map_err(fail)?;
    let packing = match &start[..length] {
        [0x1f, 0x8b, ..] => Packing::Gzip(layer::pack::DEFAULT_GZIP_LEVEL).media_type(),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Packing::Zstd { level: layer::pack::DEFAULT_ZSTD_LEVEL, seekable: false }.media_type()
        }
        _ => Packing::None.media_type(),
    };
    file.file().rewind().map_err(fail)?;
    let draft = root.layer_draft()?;
    let blob = file.file().try_clone().map_err(fail)?;
    let report = unpack(blob, &draft, &Expected::named("the archive"))?;
    let piece = Piece {
        diff: report.diff_id,
        blob: report.digest,
        size_bytes: report.blob_bytes,
        media_type: packing.to_owned(),
    };
    intake.stage_blob(piece.blob, file);
    let chain = ChainId::of_stack(&[piece.diff]);
    if let [chain] = chain[..]
        && !intake.has_layer(&chain)?
    {
        let record = record(chain, piece.diff, None, report.tar_bytes, &draft);
        intake.stage_layer(draft, &record, &[])?;
    }
    Ok(piece)
}

fn record(
    chain: ChainId,
    diff: DiffId,
    parent: Option<ChainId>,
    size_bytes: u64,
    draft: &store::LayerDraft,
) -> LayerRecord {
    let overlay = Whiteouts::overlay_form(draft.diff()) == Whiteouts::Overlay;
    LayerRecord { chain, diff, parent, size_bytes, xattrs: if overlay { Xattrs::Trusted } else { Xattrs::User } }
}

fn unpack(blob: impl Read + Send, draft: &store::LayerDraft, expected: &Expected) -> Result<layer::extract::Report> {
    let form = Whiteouts::overlay_form(draft.diff());
    // Without root there is no making of devices; engines leave them out there.
    let skip_privileged = form != Whiteouts::Overlay;
    let devices = if skip_privileged { Devices::Skip } else { Devices::Fail };
    let options = Options { whiteouts: form, devices, skip_privileged, ..Options::default() };
    unpack_layer(blob, draft.diff(), expected, &options).map_err(super::load::from_layer)
}

/// Stages the image: folders of layers that have none yet, configuration, manifest, entry. Gives its id.
///
/// `raw` is the parent's configuration, of which history and what we do not know are kept; `config` is the new image's own
/// `config` member. `is_new` tells whether the last of `pieces` is of this step.
pub(crate) fn assemble(
    root: &Root,
    intake: &mut Intake<'_>,
    mut raw: Map<String, Value>,
    config: Map<String, Value>,
    (pieces, is_new): (&[Piece], bool),
    step: &Step,
    name: Option<Reference>,
) -> Result<Digest> {
    let diffs: Vec<DiffId> = pieces.iter().map(|piece| piece.diff).collect();
    let chain = ChainId::of_stack(&diffs);
    for (at, (piece, id)) in pieces.iter().zip(&chain).enumerate() {
        if intake.has_layer(id)? {
            continue;
        }
        let draft = root.layer_draft()?;
        let expected = Expected {
            name: piece.blob.to_string(),
            digest: Some(piece.blob),
            diff_id: Some(piece.diff),
            size_bytes: None,
        };
        let report = unpack(intake.open_blob(&piece.blob)?, &draft, &expected)?;
        let below = chain.get(..at).unwrap_or_default();
        let record = record(*id, piece.diff, below.last().copied(), report.tar_bytes, &draft);
        intake.stage_layer(draft, &record, below)?;
    }
    describe(&mut raw, config, &diffs, is_new, step);
    let bytes = Value::Object(raw).to_string();
    let id = intake.stage_document(bytes.as_bytes())?;
    Configuration::parse(&id, bytes.as_bytes())?;
    let layers: Vec<Value> = pieces
        .iter()
        .map(|piece| json!({ "mediaType": piece.media_type, "digest": piece.blob, "size": piece.size_bytes }))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": id, "size": bytes.len() },
        "layers": layers,
    });
    let manifest = manifest.to_string();
    let digest = intake.stage_document(manifest.as_bytes())?;
    let descriptor = ManifestDescriptor { digest, size_bytes: manifest.len() as u64, media_type: MANIFEST.to_owned() };
    intake.add_image(descriptor, name.into_iter().collect());
    Ok(id)
}

/// Members of the parent's configuration that speak of how that one was made.
const NOT_INHERITED: [&str; 6] = ["id", "parent", "container", "container_config", "docker_version", "comment"];

fn describe(raw: &mut Map<String, Value>, config: Map<String, Value>, diffs: &[DiffId], is_new: bool, step: &Step) {
    for member in NOT_INHERITED {
        raw.remove(member);
    }
    let machine = Platform::machine();
    raw.entry("architecture").or_insert_with(|| machine.architecture.clone().into());
    raw.entry("os").or_insert_with(|| machine.os.clone().into());
    raw.insert("created".into(), step.created.clone().into());
    raw.remove("author");
    if !step.author.is_empty() {
        raw.insert("author".into(), step.author.clone().into());
    }
    raw.insert("config".into(), config.into());
    raw.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diffs }));
    let mut entry = Map::new();
    entry.insert("created".into(), step.created.clone().into());
    for (key, text) in [("created_by", &step.created_by), ("author", &step.author), ("comment", &step.comment)] {
        if !text.is_empty() {
            entry.insert(key.into(), text.clone().into());
        }
    }
    if !is_new {
        entry.insert("empty_layer".into(), true.into());
    }
    match raw.get_mut("history").and_then(Value::as_array_mut) {
        Some(history) => history.push(entry.into()),
        None => drop(raw.insert("history".into(), vec![Value::from(entry)].into())),
    }
}

/// When something is made: now, or `$SOURCE_DATE_EPOCH` (reproducible-builds.org); RFC 3339.
pub(crate) fn now() -> String {
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<i64>().ok());
    let told = told.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    told.unwrap_or_else(jiff::Timestamp::now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_noted_behind_the_parents() {
        let mut raw = Map::new();
        raw.insert("history".into(), json!([{ "created_by": "ADD" }]));
        raw.insert("parent".into(), "x".into());
        raw.insert("variant".into(), "v8".into());
        let step = Step { created: "2026-01-01T00:00:00Z".into(), comment: "why".into(), ..Step::default() };
        describe(&mut raw, Map::new(), &[], false, &step);
        assert_eq!(raw["history"][1], json!({ "created": step.created, "comment": "why", "empty_layer": true }));
        assert_eq!((raw.get("parent"), raw.get("author")), (None, None));
        assert_eq!(raw["variant"], "v8");
        assert_eq!(raw["rootfs"]["type"], "layers");
    }

    #[test]
    fn dockers_layers_get_ocis_names() {
        let digest = Digest::of(b"x");
        let docker = json!({ "mediaType": DOCKER_LAYERS[0].0, "digest": digest, "size": 7 });
        let piece = piece(&docker).unwrap();
        assert_eq!((piece.media_type.as_str(), piece.size_bytes, piece.blob), (DOCKER_LAYERS[0].1, 7, digest));
    }

    #[test]
    fn layers_of_which_one_is_not_understood_are_not_matched_by_their_order() {
        let good =
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(b"x"), "size": 7 });
        assert_eq!(pieces(&json!({ "layers": [good, good] })).len(), 2);
        assert_eq!(pieces(&json!({ "layers": [good, { "mediaType": "x" }, good] })).len(), 0);
    }
    #[test]
    fn a_manifest_that_is_not_understood_is_not_taken_for_one_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        let mut intake = Intake::begin(&root).unwrap();
        let blob = intake.stage_document(b"a layer").unwrap();
        let config =
            json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [blob] } });
        let id = intake.stage_document(config.to_string().as_bytes()).unwrap();
        let layer = |digest: String| json!({ "mediaType": DOCKER_LAYERS[1].1, "digest": digest, "size": 7 });
        let unknown = layer(format!("sha512:{}", "0".repeat(128)));
        for (name, layer) in [("a:1", unknown), ("b:1", layer(blob.to_string()))] {
            let config = json!({ "mediaType": CONFIG, "digest": id, "size": config.to_string().len() });
            let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
            let digest = intake.stage_document(manifest.as_bytes()).unwrap();
            let size_bytes = manifest.len() as u64;
            let descriptor = ManifestDescriptor { digest, size_bytes, media_type: MANIFEST.to_owned() };
            intake.add_image(descriptor, vec![name.parse().unwrap()]);
        }
        intake.commit().unwrap();
        let found: Vec<Digest> = packed(&root, &id).unwrap().iter().map(|piece| piece.blob).collect();
        assert_eq!(found, [blob]);
    }
}
