//! How an image came to be: its history, newest first, with the size of what each step added.

use serde_json::Value;
use spec::Digest;
use store::{Result, Root};

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// The image itself for its last step; earlier ones are nobody's any more.
    pub id: Option<Digest>,
    /// RFC 3339, if it is told.
    pub created: Option<String>,
    /// The command, as whoever built it wrote it down.
    pub created_by: String,
    /// Bytes of the layer it made, if it made one.
    pub size_bytes: u64,
    /// What its maker said of it.
    pub comment: String,
    /// What the image is called; none for earlier steps.
    pub names: Vec<String>,
}

/// The steps of the image that `text` means, the last one first. A layer that the history does not tell of is a step too.
pub fn history(root: &Root, text: &str) -> Result<Vec<Step>> {
    let image = root.find_image(text)?;
    let configuration = root.configuration(&image.id)?;
    let mut sizes = Vec::new();
    for chain in configuration.chain_ids()? {
        sizes.push(root.layer(&chain)?.map_or(0, |layer| layer.size_bytes));
    }
    let mut sizes = sizes.into_iter();
    let told = configuration.raw.get("history").and_then(Value::as_array);
    let mut steps: Vec<Step> = told
        .into_iter()
        .flatten()
        .map(|step| {
            let text = |key: &str| step.get(key).and_then(Value::as_str);
            let empty = step.get("empty_layer").and_then(Value::as_bool).unwrap_or_default();
            Step {
                id: None,
                created: text("created").map(str::to_owned),
                created_by: text("created_by").unwrap_or_default().to_owned(),
                size_bytes: if empty { 0 } else { sizes.next().unwrap_or_default() },
                comment: text("comment").unwrap_or_default().to_owned(),
                names: Vec::new(),
            }
        })
        .collect();
    steps.extend(sizes.map(|size_bytes| Step {
        id: None,
        created: configuration.parsed.created().clone(),
        created_by: String::new(),
        size_bytes,
        comment: String::new(),
        names: Vec::new(),
    }));
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id = Some(image.id);
        last.names = image.names.iter().map(|(name, _)| name.familiar()).collect();
    }
    Ok(steps)
}
