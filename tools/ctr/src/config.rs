//! docker's own `config.json`, in `--config`, `$DOCKER_CONFIG` or `~/.docker`: whoever chose formats and keys there means us too.

use crate::options::process::reason;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What of it means something here.
#[derive(Debug, Default)]
pub(crate) struct Config {
    members: Value,
}

impl Config {
    /// Reads it in `folder`, or where it is by default. One that is not there says nothing, and one that cannot be read is told of, as
    /// docker's client does, and says nothing.
    pub(crate) fn load(folder: Option<&Path>) -> Self {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let usual = || var("DOCKER_CONFIG").or_else(|| Some(var("HOME")?.join(".docker")));
        let Some(folder) = folder.map(Path::to_owned).or_else(usual) else { return Self::default() };
        let path = folder.join("config.json");
        let shown = path.display();
        let wrong = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(e) => format!("loading config file: open {shown}: {}", reason(&e)),
            Ok(file) => match std::io::read_to_string(file).map(|text| serde_json::from_str(&text)) {
                Ok(Ok(members)) => return Self { members },
                Ok(Err(e)) => format!("parsing config file ({shown}): {e}"),
                Err(e) => format!("parsing config file ({shown}): read {shown}: {}", reason(&e)),
            },
        };
        cli::output::err_line(&format!("WARNING: Error {wrong}"));
        Self::default()
    }

    /// One of its texts: `psFormat`, `detachKeys`; an empty one says nothing.
    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.members[member].as_str().filter(|text| !text.is_empty())
    }
}
