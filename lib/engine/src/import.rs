//! A tar of a root file system as an image with one layer.
//!
//! The archive is kept as it came (plain, gzip or zstd), and unpacked from there; it is read to its end and whole before anything
//! shows (moby, `daemon/images/image_import.go`).

use crate::images::compose::{self, Step};
use crate::{Result, change, events};
use serde_json::Map;
use spec::{Digest, Platform};
use std::io::Read;
use store::{Intake, Root};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What the image is to be called, if anything.
    pub name: Option<String>,
    /// `-m`; what the history says.
    pub message: String,
    /// `-c`, each one or more Dockerfile instructions.
    pub changes: Vec<String>,
    /// `--platform`
    pub platform: Option<Platform>,
}

/// Makes the image of what `archive` holds, and gives its id.
pub fn import(root: &Root, archive: impl Read, wanted: &Wanted) -> Result<Digest> {
    let name = wanted.name.as_deref().map(crate::images::parse_new_name).transpose().map_err(crate::error::store)?;
    let mut config = Map::new();
    change::apply(&mut config, &wanted.changes)?;
    let mut raw = Map::new();
    if let Some(platform) = &wanted.platform {
        raw.insert("os".into(), platform.os.clone().into());
        raw.insert("architecture".into(), platform.architecture.clone().into());
        if let Some(variant) = &platform.variant {
            raw.insert("variant".into(), variant.clone().into());
        }
    }
    let mut intake = Intake::begin(root).map_err(crate::error::store)?;
    let piece = compose::keep(root, &mut intake, archive).map_err(crate::error::store)?;
    let comment = if wanted.message.is_empty() { "Imported from -".to_owned() } else { wanted.message.clone() };
    let step = Step { created: compose::now(), comment, ..Step::default() };
    let id = compose::assemble(root, &mut intake, raw, config, (&[piece], true), &step, name.clone())
        .map_err(crate::error::store)?;
    intake.commit().map_err(crate::error::store)?;
    let labels = events::labels(root, &id);
    if let Some(name) = &name {
        events::image(root, &id, &labels, Some(name), "tag");
    }
    events::image(root, &id, &labels, None, "import");
    Ok(id)
}
