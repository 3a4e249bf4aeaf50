//! Secrets: `secrets/<id>/config.json` (what it is called) and `secrets/<id>/data` (what it is), readable by the store's owner
//! alone. Names are given out under [`Lock::Containers`], which is always short.

use crate::error::{damaged, system};
use crate::{Error, Kind, Lock, Mode, Result, Root};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The largest secret, in bytes (podman's).
pub const MAX_BYTES: usize = 512_000;

/// A secret, without what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// 25 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// What is written on it.
    pub labels: BTreeMap<String, String>,
}

impl Root {
    /// Keeps a new secret. [`Kind::Exists`] where its name is taken.
    pub fn create_secret(&self, secret: &Secret, data: &[u8]) -> Result<()> {
        self.closed_folder("secrets")?;
        let _names = self.lock(Lock::Containers, Mode::Exclusive)?;
        if self.secrets()?.iter().any(|other| other.name == secret.name) {
            return Err(Error::new(Kind::Exists, "", &secret.name).because("secret name in use"));
        }
        let temp = self.temp_dir()?;
        let config = serde_json::to_vec_pretty(secret).map_err(|e| damaged("secret", &secret.name, e))?;
        for (name, bytes) in [("config.json", config.as_slice()), ("data", data)] {
            let synced = temp.write(name, bytes)?.sync_all();
            synced.map_err(|e| system("fsync", temp.path(), e))?;
        }
        temp.keep(self, PathBuf::from("secrets").join(&secret.id))
    }

    /// All secrets, by name.
    pub fn secrets(&self) -> Result<Vec<Secret>> {
        let path = self.path().join("secrets");
        let entries = match std::fs::read_dir(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| system("read", &path, e))?,
        };
        let read = |entry: std::fs::DirEntry| {
            let bytes = self.read(PathBuf::from("secrets").join(entry.file_name()).join("config.json")).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let mut all: Vec<Secret> = entries.flatten().filter_map(read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The secret called `text`: by name, id, or the beginning of its id.
    pub fn find_secret(&self, text: &str) -> Result<Secret> {
        let all = self.secrets()?;
        let by_name = all.iter().find(|s| s.name == text || s.id == text);
        let begins: Vec<&Secret> = all.iter().filter(|s| !text.is_empty() && s.id.starts_with(text)).collect();
        let found = by_name.or(if begins.len() == 1 { begins.first().copied() } else { None });
        found.cloned().ok_or_else(|| {
            Error::new(Kind::NotFound, "", format!("no secret with name or id {text:?}")).because("no such secret")
        })
    }

    /// What a secret is.
    pub fn secret_data(&self, secret: &Secret) -> Result<Vec<u8>> {
        self.read(PathBuf::from("secrets").join(&secret.id).join("data"))
    }

    /// Removes a secret.
    pub fn remove_secret(&self, secret: &Secret) -> Result<()> {
        self.discard(&[self.path().join("secrets").join(&secret.id)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_found_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        assert_eq!(root.secrets().unwrap(), []);
        let secret = Secret { id: "ab12".into(), name: "pw".into(), ..Secret::default() };
        root.create_secret(&secret, b"hush").unwrap();
        assert_eq!(root.create_secret(&secret, b"x").unwrap_err().to_string(), "pw: secret name in use");
        assert_eq!(root.find_secret("ab").unwrap(), secret);
        assert_eq!(root.secret_data(&secret).unwrap(), b"hush");
        root.remove_secret(&secret).unwrap();
        assert_eq!(root.find_secret("pw").unwrap_err().to_string(), "no secret with name or id \"pw\": no such secret");
    }
}
