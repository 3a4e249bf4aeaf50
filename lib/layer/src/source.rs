//! Images on disk, and the raw bytes of their layers.
//!
//! ```text
//! OCI layout     folder     oci-layout, index.json, blobs/sha256/HEX            (image-spec, image-layout.md)
//! oci-archive    tar        the same in a tar
//! docker-archive tar        manifest.json: [{Config, RepoTags, Layers}]; <id>/layer.tar, <hex>.json
//!   since 25     tar        an OCI layout and a manifest.json in one
//! skopeo's dir:  folder     manifest.json (a manifest or index), HEX
//! ```
//!
//! A tar that can be sought in is read once for its headers, and blobs are then read in place, so several at once. One that
//! cannot (a pipe), or that is packed as a whole (`docker save | gzip`), is first unpacked into a file without a name.
//!
//! Manifest and configuration keep their bytes as they are: what a digest names is never written anew. Both are checked
//! against their digests here; layers are checked by whoever reads them ([`crate::extract`]).

mod choose;
mod docker;
mod documents;
mod layout;
mod members;
pub mod spool;
mod storage;

pub use choose::{best_for, choose};

use crate::error::{Error, Kind, Result, system};
use members::Members;
use rustix::fs::{FileType, Mode, OFlags};
use spec::{ChainId, DiffId, Digest, Platform};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use storage::Storage;

/// A document of an image, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBlob {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// Its media type, as whoever named it says; empty where nobody does.
    pub media_type: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRef {
    /// The digest of the tar in it, as the image's configuration names it.
    pub diff_id: DiffId,
    /// The digest of the blob, where the manifest names one (a docker-archive of old does not).
    pub digest: Option<Digest>,
    /// Bytes of the blob.
    pub size_bytes: u64,
    /// As the manifest says; empty where there is none. Not to be trusted for the compression, which is told by content.
    pub media_type: String,
    /// The blob's path in the layout or archive.
    pub location: String,
}

impl LayerRef {
    /// What is known of the layer before reading it.
    pub fn expected(&self) -> crate::extract::Expected {
        let name = match self.digest {
            Some(digest) => digest.to_string(),
            None => self.location.clone(),
        };
        crate::extract::Expected {
            name,
            digest: self.digest,
            diff_id: Some(self.diff_id),
            size_bytes: Some(self.size_bytes),
        }
    }
}

/// One image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What it is called: RepoTags of a docker-archive, `io.containerd.image.name` or else `org.opencontainers.image.ref.name`
    /// of a layout. May be empty. As written: `debian:12`, `docker.io/library/debian:12`, `latest`.
    pub names: Vec<String>,
    /// The digests of the indexes that list it, the outermost first; [`choose`] takes them for names too.
    pub indexes: Vec<Digest>,
    /// The OCI (or Docker schema 2) manifest; a docker-archive of old has none.
    pub manifest: Option<RawBlob>,
    /// The image's configuration; its digest is the image's id.
    pub config: RawBlob,
    /// The layers, lowest first.
    pub layers: Vec<LayerRef>,
    /// Which machine it is for.
    pub platform: Platform,
}

impl Image {
    /// Bytes of all layers' blobs.
    pub fn blob_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size_bytes).sum()
    }

    /// The chain ids of the layers, lowest first.
    pub fn chain_ids(&self) -> Vec<ChainId> {
        let diff_ids: Vec<DiffId> = self.layers.iter().map(|l| l.diff_id).collect();
        ChainId::of_stack(&diff_ids)
    }
}

/// A layout or archive that has been opened.
#[derive(Debug)]
pub struct ImageSource {
    name: String,
    storage: Storage,
    images: Vec<Image>,
}

impl ImageSource {
    /// Opens the OCI layout, oci-archive or docker-archive at `path`. What must be unpacked first goes to a nameless file in
    /// the folder for temporary files; see [`open_spooling`](Self::open_spooling).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_spooling(path, &std::env::temp_dir())
    }

    /// The same, with the folder for what must be unpacked first. The file there has no name and is gone with this value.
    pub fn open_spooling(path: &Path, spool_folder: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| system("open", &name, e))?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| system("stat", &name, e))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::from_folder(fd, &name),
            _ => Self::from_file(File::from(fd), &name, spool_folder),
        }
    }

    /// The OCI layout in the folder `fd`, called `name` in messages; or what skopeo calls `dir:`, or a docker-archive that has
    /// been unpacked.
    pub fn from_folder(fd: OwnedFd, name: &str) -> Result<Self> {
        let storage = Storage::Folder(fd);
        match (storage.document(name, "index.json")?, storage.document(name, "manifest.json")?) {
            (None, Some(manifest)) if first_of(&manifest) == Some(b'{') => {
                let storage = storage.flat();
                let images = layout::images_of_dir(&storage, name, manifest)?;
                Self::new(name, storage, images)
            }
            _ => Self::from_storage(storage, name),
        }
    }

    /// The archive in `file`, read from its start if it can be sought in.
    pub fn from_file(file: File, name: &str, spool_folder: &Path) -> Result<Self> {
        let file = spool::seekable_tar(file, name, spool_folder)?;
        let members = Members::index(file, name)?;
        Self::from_storage(Storage::Archive(members), name)
    }

    fn from_storage(storage: Storage, name: &str) -> Result<Self> {
        let index = storage.document(name, "index.json")?;
        let manifest = storage.document(name, "manifest.json")?;
        let mut images = match &index {
            Some(index) => layout::images(&storage, name, index)?,
            None => Vec::new(),
        };
        let docker = manifest.filter(|bytes| index.is_none() || first_of(bytes) == Some(b'['));
        match &docker {
            Some(manifest) => docker::add_images(&storage, name, manifest, &mut images)?,
            None if index.is_none() => {
                return Err(Error::new(Kind::NotAnImage, "", name)
                    .because("no image: neither index.json nor manifest.json in it")
                    .hint("an image is an OCI layout (a folder or tar) or a docker-archive; a single layer is a tar"));
            }
            None => {}
        }
        Self::new(name, storage, images)
    }

    fn new(name: &str, storage: Storage, images: Vec<Image>) -> Result<Self> {
        if images.is_empty() {
            return Err(Error::new(Kind::NotAnImage, "", name)
                .because("there is no image in it")
                .hint("an image is an OCI layout (a folder or tar) or a docker-archive with a manifest"));
        }
        Ok(Self { name: name.to_owned(), storage, images })
    }

    /// All images, as the source lists them: one each platform.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// What the source is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of a layer's blob, as stored. Several can be read at once.
    pub fn blob(&self, layer: &LayerRef) -> Result<Box<dyn Read + Send>> {
        let named = || layer.expected().name;
        if layer.media_type.ends_with("+encrypted") {
            return Err(Error::new(Kind::Unsupported, "layer", named())
                .because("is encrypted")
                .hint("decrypt the image first: skopeo copy --decryption-key KEY FROM oci:FOLDER"));
        }
        match self.storage.open(&self.name, &layer.location)? {
            Some((reader, _)) => Ok(reader),
            None if layer.media_type.contains("foreign") || layer.media_type.contains("nondistributable") => {
                Err(Error::new(Kind::Unsupported, "layer", named())
                    .because("is not in the image: a foreign layer, which only its publisher gives out")
                    .hint("such an image is for Windows; fetch its layers from the URLs in its manifest"))
            }
            None => Err(missing(&self.name, &layer.location)),
        }
    }
}

/// The first byte of a document that says something: whether it is an object or a list.
fn first_of(document: &[u8]) -> Option<u8> {
    document.iter().copied().find(|b| !b.is_ascii_whitespace())
}

fn missing(source: &str, path: &str) -> Error {
    Error::new(Kind::Truncated, "", source)
        .because(format!("{path} is missing"))
        .hint("the image is incomplete; fetch or save it again")
}

#[cfg(test)]
mod tests;
