//! Taking images in from an OCI layout or an archive.
//!
//! Each layer is read once: the same pass keeps the blob as it came, computes digest and diff id, and unpacks. Layers go
//! in parallel, the largest first, into drafts in the store's `tmp/`; nothing shows before all of them are right. What the store has is not
//! read again.
//!
//! What an image is called. Names in the source that have a tag or a path are taken as they are (`debian:12`). An OCI
//! layout may name only the tag, as umoci writes it (`12`, `latest`, `v1.2`): then the layout's own name is the
//! repository's, so that what `umoci --image debian:12` calls it and what we call it is the same.

use super::is_host;
use crate::events;
use layer::archive::Entry;
use layer::extract::{Devices, Options, Report, Whiteouts, unpack_layer};
use layer::several::largest_first;
use layer::source::{Image, ImageSource, LayerRef, best_for};
use spec::{ChainId, Digest, Platform, Reference};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use store::index::{MANIFEST, ManifestDescriptor};
use store::{Configuration, Error, Intake, Kind, LayerDraft, LayerRecord, Result, Root, TempFile, Xattrs};

/// An image that was loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its id.
    pub id: Digest,
    /// What it is called now; perhaps nothing.
    pub names: Vec<Reference>,
    /// What could not be made without privileges and was left out: a line each, the first of them.
    pub skipped: Vec<String>,
    /// How many that were.
    pub skipped_count: u64,
}

/// Who wants to know how far it is.
pub trait Watch: Sync {
    /// So many bytes more will be read.
    fn expect(&self, bytes: u64);
    /// So many of them have been, in a thread of ours.
    fn read(&self, bytes: u64);
    /// One file more was unpacked, in a thread of ours.
    fn file(&self);
}

/// Loads the images of `source` for `platform` (default: the machine's, where there is a choice). `stem` is what a layout
/// that names only tags is called: the name of its folder or file without the ending.
pub fn load(
    root: &Root,
    source: &ImageSource,
    stem: Option<&str>,
    platform: Option<&Platform>,
    watch: Option<&dyn Watch>,
) -> Result<Vec<Loaded>> {
    let mut intake = Intake::begin(root)?;
    let mut loaded = Vec::new();
    for image in chosen(source, platform)? {
        let open = |layer: &LayerRef| source.blob(layer).map_err(from_layer);
        loaded.push(take_in(root, &mut intake, image, stem, &open, watch)?);
    }
    let done = intake.commit();
    // Garbage of others, or our own if that failed at its last step; it can wait for the next command.
    let _ = root.sweep(Duration::ZERO);
    done?;
    for id in loaded.iter().map(|image| image.id).collect::<BTreeSet<_>>() {
        events::image(root, &id, &events::labels(root, &id), None, "load");
    }
    Ok(loaded)
}

/// The images to load: each name once, for one platform.
fn chosen<'s>(source: &'s ImageSource, platform: Option<&Platform>) -> Result<Vec<&'s Image>> {
    let machine = Platform::machine();
    let images = source.images();
    if let Some(platform) = platform {
        let all: Vec<&Image> = images.iter().collect();
        let fitting: Vec<&Image> =
            images.iter().filter(|i| best_for(&of_name(&all, i), platform).contains(i)).collect();
        if fitting.is_empty() {
            return Err(layer::source::choose(images, source.name(), None, Some(platform))
                .map_or_else(from_layer, |_| {
                    Error::new(Kind::NotFound, "", format!("{} holds no image for {platform}", source.name()))
                }));
        }
        return Ok(fitting);
    }
    let all: Vec<&Image> = images.iter().collect();
    let mut fitting = Vec::new();
    for image in images {
        let same = of_name(&all, image);
        let best = best_for(&same, &machine);
        let alone = same.iter().all(|other| other.platform == image.platform);
        if alone || best.contains(&image) {
            fitting.push(image);
        } else if best.is_empty() {
            let have: Vec<String> = same.iter().map(|i| i.platform.to_string()).collect();
            return Err(Error::new(Kind::NotFound, "", source.name())
                .because(format!("holds no image for {machine}"))
                .hint(format!("choose with --platform one of {}", have.join(", "))));
        }
    }
    Ok(fitting)
}

/// Those that are called what `image` is called.
fn of_name<'s>(images: &[&'s Image], image: &Image) -> Vec<&'s Image> {
    images.iter().copied().filter(|other| other.names == image.names).collect()
}

/// Where the bytes of a layer come from.
type Open<'a> = dyn Fn(&LayerRef) -> Result<Box<dyn Read + Send>> + Sync + 'a;

/// What came of one layer.
struct Taken {
    blob: Blob,
    file: Option<TempFile>,
    draft: Option<(LayerDraft, Report, Xattrs)>,
}

/// A layer's blob, as the manifest names it.
#[derive(Clone)]
struct Blob {
    digest: Digest,
    size_bytes: u64,
    /// First bytes, which tell how it is packed.
    start: Vec<u8>,
}

fn take_in(
    root: &Root,
    intake: &mut Intake<'_>,
    image: &Image,
    stem: Option<&str>,
    open: &Open<'_>,
    watch: Option<&dyn Watch>,
) -> Result<Loaded> {
    let id = intake.stage_document(&image.config.bytes)?;
    Configuration::parse(&id, &image.config.bytes)?;
    let chain = image.chain_ids();
    if let (None, Some(there)) = (&image.manifest, complete(root, &id, &chain)?) {
        let names = full_names(&image.names, stem)?;
        intake.add_image(there, names.clone());
        return Ok(Loaded { id, names, skipped: Vec::new(), skipped_count: 0 });
    }
    let mut wanted = Vec::new();
    for (layer, id) in image.layers.iter().zip(&chain) {
        // A blob in a docker-archive has no digest before it is read, but is nearly always the plain tar itself.
        let digest = layer.digest.unwrap_or(layer.diff_id.0);
        let there = if intake.has_blob(&digest) { Some(read_blob(intake, &digest)?) } else { None };
        wanted.push(Want { layer, there, unpack: !intake.has_layer(id)? });
    }
    if let Some(watch) = watch {
        watch.expect(wanted.iter().filter(|want| want.is_read()).map(|want| want.layer.size_bytes).sum());
    }
    let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let size = |want: &Want<'_>| if want.is_read() { want.layer.size_bytes } else { 0 };
    let taken = largest_first(&wanted, size, jobs, |want, stop| take_layer(root, want, open, stop, watch))?;
    let mut loaded = Loaded { id, names: full_names(&image.names, stem)?, skipped: Vec::new(), skipped_count: 0 };
    let mut blobs = Vec::new();
    for (i, (taken, layer)) in taken.into_iter().zip(&image.layers).enumerate() {
        if let Some(file) = taken.file {
            intake.stage_blob(taken.blob.digest, file);
        }
        if let Some((draft, report, xattrs)) = taken.draft {
            let parent = i.checked_sub(1).map(|below| chain[below]);
            let record =
                LayerRecord { chain: chain[i], diff: layer.diff_id, parent, size_bytes: report.tar_bytes, xattrs };
            intake.stage_layer(draft, &record, &chain[..i])?;
            loaded.skipped_count += report.skipped_count;
            loaded.skipped.extend(report.skipped);
        }
        blobs.push(taken.blob);
    }
    let (bytes, media_type) = match &image.manifest {
        Some(manifest) if manifest.media_type.is_empty() => (manifest.bytes.clone(), MANIFEST.to_owned()),
        Some(manifest) => (manifest.bytes.clone(), manifest.media_type.clone()),
        None => (write_manifest(image, &blobs), MANIFEST.to_owned()),
    };
    let digest = intake.stage_document(&bytes)?;
    intake.add_image(ManifestDescriptor { digest, size_bytes: bytes.len() as u64, media_type }, loaded.names.clone());
    Ok(loaded)
}

/// The manifest by which the store has the image `id` with all its layers and blobs. One that came without a manifest need
/// then not be read.
fn complete(root: &Root, id: &Digest, chain: &[ChainId]) -> Result<Option<ManifestDescriptor>> {
    let index = root.index()?;
    let Some(image) = root.images_of(&index).into_iter().find(|image| image.id == *id) else { return Ok(None) };
    for id in chain {
        if root.layer(id)?.is_none() {
            return Ok(None);
        }
    }
    let whole = |manifest: &&Digest| {
        let layers = root.manifest(manifest).map(|m| m.layers().clone()).unwrap_or_default();
        !layers.is_empty()
            && layers.iter().all(|l| store::image::digest_of(l.digest()).is_ok_and(|d| root.has_blob(&d)))
    };
    Ok(image.manifests.iter().find(whole).and_then(|manifest| index.descriptor(*manifest)))
}

/// What is still to be done for a layer.
struct Want<'i> {
    layer: &'i LayerRef,
    /// Its blob, if there is no need to keep it once more.
    there: Option<Blob>,
    /// It is to be unpacked.
    unpack: bool,
}

impl Want<'_> {
    /// Whether its bytes are needed at all.
    fn is_read(&self) -> bool {
        self.there.is_none() || self.unpack
    }
}

fn take_layer(
    root: &Root,
    want: &Want<'_>,
    open: &Open<'_>,
    stop: &AtomicBool,
    watch: Option<&dyn Watch>,
) -> Result<Taken> {
    let file = match &want.there {
        Some(blob) if !want.unpack => return Ok(Taken { blob: blob.clone(), file: None, draft: None }),
        Some(_) => None,
        None => Some(root.temp_file()?),
    };
    let mut tee = Tee { from: open(want.layer)?, to: file, start: Vec::new(), failed: None };
    let draft = root.layer_draft()?;
    let form = Whiteouts::overlay_form(draft.diff());
    let xattrs = if form == Whiteouts::Overlay { Xattrs::Trusted } else { Xattrs::User };
    // Without root there is no making of devices; engines leave them out there.
    let skip_privileged = xattrs == Xattrs::User;
    let devices = if skip_privileged { Devices::Skip } else { Devices::Fail };
    let read = |bytes| watch.into_iter().for_each(|watch| watch.read(bytes));
    let entry = |_: &Entry| watch.into_iter().for_each(Watch::file);
    let options = Options {
        whiteouts: form,
        devices,
        skip_privileged,
        on_entry: if watch.is_some() { Some(&entry) } else { None },
        on_progress: if watch.is_some() { Some(&read) } else { None },
        cancel: Some(stop),
        ..Options::default()
    };
    let report = unpack_layer(&mut tee, draft.diff(), &want.layer.expected(), &options);
    if let Some(error) = tee.failed {
        return Err(store::error::system("write blob below", root.path(), error));
    }
    let report = report.map_err(from_layer)?;
    let blob = Blob { digest: report.digest, size_bytes: report.blob_bytes, start: tee.start };
    Ok(Taken { blob, file: tee.to, draft: want.unpack.then_some((draft, report, xattrs)) })
}

/// A blob that the store has or that is staged.
fn read_blob(intake: &Intake<'_>, digest: &Digest) -> Result<Blob> {
    let mut file = intake.open_blob(digest)?;
    let mut start = vec![0; START_BYTES];
    let fail = |e| store::error::system("read blob", digest.to_string(), e);
    let length = file.read(&mut start).map_err(fail)?;
    start.truncate(length);
    Ok(Blob { digest: *digest, size_bytes: file.metadata().map_err(fail)?.len(), start })
}

/// As many bytes as it takes to tell gzip and zstd from tar.
const START_BYTES: usize = 4;

/// Keeps what is read from a blob.
struct Tee {
    from: Box<dyn Read + Send>,
    to: Option<TempFile>,
    start: Vec<u8>,
    /// Why it could not be kept; `read` then fails too, but its caller cannot tell that it was not the reading.
    failed: Option<io::Error>,
}

impl Read for &mut Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        let new = &buffer[..length];
        let missing = START_BYTES - self.start.len();
        self.start.extend_from_slice(&new[..missing.min(length)]);
        if let Some(file) = &mut self.to
            && let Err(e) = file.file().write_all(new)
        {
            let again = e.raw_os_error().map_or_else(|| io::Error::from(e.kind()), io::Error::from_raw_os_error);
            self.failed = Some(e);
            return Err(again);
        }
        Ok(length)
    }
}

/// The manifest of an image that came without: a docker-archive. The same image always gives the same bytes.
fn write_manifest(image: &Image, blobs: &[Blob]) -> Vec<u8> {
    let layers = blobs.iter().map(|blob| {
        let packed = match blob.start[..] {
            [0x1f, 0x8b, ..] => "+gzip",
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => "+zstd",
            _ => "",
        };
        let media_type = format!("application/vnd.oci.image.layer.v1.tar{packed}");
        serde_json::json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.size_bytes })
    });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": image.config.digest,
            "size": image.config.bytes.len(),
        },
        "layers": layers.collect::<Vec<_>>(),
    });
    manifest.to_string().into_bytes()
}

/// The names an image gets, from those its source gives it.
fn full_names(given: &[String], stem: Option<&str>) -> Result<Vec<Reference>> {
    let mut full: Vec<Reference> = Vec::new();
    for name in given {
        let text = match stem {
            Some(stem) if is_only_a_tag(name) => format!("{stem}:{name}"),
            None if is_only_a_tag(name) => continue,
            _ => name.clone(),
        };
        let Ok(name) = text.parse::<Reference>() else { continue };
        let name = name.without_digest().with_default_tag();
        if is_host(&name.familiar()) {
            return Err(Error::new(Kind::Invalid, "", format!("cannot load an image called {}", name.familiar()))
                .because("that name belongs to the built-in image")
                .hint("save it under another name, for example localhost/host"));
        }
        if !full.contains(&name) {
            full.push(name);
        }
    }
    Ok(full)
}

/// `12`, `v1.2`, `latest`: what a layout that is one repository calls its images.
fn is_only_a_tag(name: &str) -> bool {
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    !name.contains(['/', ':', '@']) && (digit(name) || name.strip_prefix('v').is_some_and(digit) || name == "latest")
}

/// An error of the room `layer` as one of the store.
pub(crate) fn from_layer(error: layer::Error) -> Error {
    let full = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
    let kind = match error.kind {
        layer::Kind::System if full => Kind::Full,
        layer::Kind::System => Kind::System,
        layer::Kind::Cancelled => Kind::InUse,
        layer::Kind::NotAnImage | layer::Kind::Choice => Kind::NotFound,
        _ => Kind::Damaged,
    };
    // What that room can advise is an option of `unpack`.
    let foreign =
        matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) && error.to_string().contains(": chown ");
    let hint = if foreign { Some(MAP_IDS.to_owned()) } else { error.hint };
    Error { op: error.op, subject: error.subject, kind, source: error.source, hint }
}

const MAP_IDS: &str = "its files belong to ids that are not yours to give; install uidmap and have a range of ids for your user \
                       in /etc/subuid and /etc/subgid";

#[cfg(test)]
mod tests {
    use super::*;

    fn named(given: &[&str], stem: Option<&str>) -> Vec<String> {
        let given: Vec<String> = given.iter().map(|s| (*s).to_owned()).collect();
        full_names(&given, stem).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_come_from_the_source_or_from_its_own_name() {
        assert_eq!(named(&["debian:12", "docker.io/library/debian:12"], None), ["docker.io/library/debian:12"]);
        assert_eq!(named(&["12"], Some("debian")), ["docker.io/library/debian:12"]);
        assert_eq!(named(&["latest"], Some("Not A Name")), Vec::<String>::new());
        assert_eq!(named(&["12"], None), Vec::<String>::new());
        assert_eq!(named(&["busybox"], Some("x")), ["docker.io/library/busybox:latest"]);
        assert_eq!(named(&["localhost/a"], None), ["localhost/a:latest"]);
        let error = full_names(&["host:latest".into()], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot load an image called host:latest: that name belongs to the built-in image"
        );
    }
}
