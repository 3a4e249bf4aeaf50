//! `-v`: a folder or file of the machine inside the container.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One `-v SOURCE:TARGET[:OPTIONS]`: a folder or file of the machine inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Absolute path on the machine.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

impl Volume {
    /// Reads `-v`'s value. Relative sources (`./data`) are taken from `current_dir`, as docker does.
    pub fn parse(text: &str, current_dir: &std::path::Path) -> Result<Self> {
        let wrong = |why: &str| Error::new(Kind::Request, "volume", text).because(why);
        let mut parts = text.split(':');
        let (source, target) = match (parts.next(), parts.next()) {
            (Some(source), Some(target)) if !source.is_empty() => (source, target),
            _ => return Err(wrong("want SOURCE:TARGET[:ro]").hint("for example -v /srv/data:/data:ro")),
        };
        let options = parts.next().unwrap_or("rw");
        if parts.next().is_some() {
            return Err(wrong("too many colons"));
        }
        if !target.starts_with('/') || target == "/" {
            return Err(wrong("the path in the container must be absolute and not /"));
        }
        let mut read_only = false;
        for option in options.split(',').filter(|o| !o.is_empty()) {
            match option {
                "ro" | "readonly" => read_only = true,
                "rw" | "z" | "Z" | "rprivate" | "private" => {}
                other => return Err(wrong("unknown option").hint(format!("{other} is none of ro, rw"))),
            }
        }
        let source = if source.starts_with('/') {
            PathBuf::from(source)
        } else if source.starts_with('.') {
            current_dir.join(source)
        } else {
            return Err(wrong("named volumes are not supported yet")
                .hint(format!("give a folder by its path: -v ./{source}:{target}")));
        };
        Ok(Self { source, target: target.to_owned(), read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn volumes() {
        let here = Path::new("/home/me");
        let volume = Volume::parse("./x:/data:ro", here).unwrap();
        assert_eq!((volume.source.as_path(), volume.read_only), (Path::new("/home/me/./x"), true));
        assert_eq!(Volume::parse("/a:/b", here).unwrap().target, "/b");
        let text = |t: &str| Volume::parse(t, here).unwrap_err().to_string();
        assert_eq!(text("/a"), "volume /a: want SOURCE:TARGET[:ro]");
        assert_eq!(text("/a:b"), "volume /a:b: the path in the container must be absolute and not /");
        assert_eq!(text("/a:/b:rx"), "volume /a:/b:rx: unknown option");
    }
}
