//! Blobs: `image/blobs/sha256/<hex>`, as they came, never changed.

use crate::error::{Kind, Result, damaged, system};
use crate::{Error, Root};
use spec::Digest;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Manifests and configurations are read into memory, but no more than this.
pub const DOCUMENT_LIMIT_BYTES: u64 = 16 << 20;

/// The file of a blob, relative to the root.
pub(crate) fn file_of(digest: &Digest) -> PathBuf {
    PathBuf::from("image/blobs/sha256").join(digest.hex())
}

impl Root {
    /// The file of a blob, whether or not it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path().join(file_of(digest))
    }

    /// Whether the store has a blob.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Opens a blob for reading. Its bytes are checked by whoever reads them to the end.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|e| system("open blob", &path, e))
    }

    /// A manifest or configuration, checked against its digest.
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|e| system("read", &path, e))?;
        if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES {
            return Err(damaged("read", path.display(), "too large for a document"));
        }
        if Digest::of(&bytes) != *digest {
            return Err(Error::new(Kind::Damaged, "read", path.display())
                .because("its bytes do not have the digest it is named by")
                .hint("load the image again: ctr rmi, then ctr load"));
        }
        Ok(bytes)
    }
}
