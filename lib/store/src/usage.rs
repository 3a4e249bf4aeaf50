//! Who uses what: found by reading the containers' records, never counted.
//!
//! Of a record only what matters here is read, and strictly: a record that cannot be read might use anything, so then
//! nothing is removed.

use crate::error::{Kind, Result, damaged, system};
use crate::{Error, Root};
use serde::Deserialize;
use spec::Digest;
use std::path::{Path, PathBuf};

/// A container, as far as its image is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image; none for `host`.
    pub image_id: Option<Digest>,
    /// The folders its root file system is made of, without the writable one.
    #[serde(default)]
    pub layers: Vec<PathBuf>,
    /// Whether it runs.
    #[serde(skip)]
    pub running: bool,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
}

impl Root {
    /// All containers, as far as their images are concerned.
    pub fn users(&self) -> Result<Vec<User>> {
        let path = self.path().join("containers");
        let mut users = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(|e| system("read", &path, e))? {
            let folder = entry.map_err(|e| system("read", &path, e))?.path();
            match read_user(&folder) {
                // Removed while we looked.
                Err(e) if e.kind == Kind::NotFound => {}
                other => users.push(other?),
            }
        }
        Ok(users)
    }
}

fn read_user(folder: &Path) -> Result<User> {
    let record = folder.join("config.json");
    let bytes = std::fs::read(&record).map_err(|e| system("read", &record, e))?;
    if bytes.is_empty() {
        return Err(
            Error::new(Kind::NotFound, "read", record.display()).because("a power cut came while it was written")
        );
    }
    let mut user: User = serde_json::from_slice(&bytes).map_err(|e| -> Error {
        damaged("read", record.display(), e)
            .hint("what this container uses is not known, so nothing is removed; remove its folder if it is lost")
    })?;
    let state = std::fs::read(folder.join("state")).ok();
    let status: Option<Status> = state.and_then(|bytes| crate::temp::leading(&bytes).ok());
    user.running = status.is_some_and(|s| s.status == "running");
    Ok(user)
}

#[cfg(test)]
mod tests {
    use crate::root::tests::scratch;
    use crate::{Record, Status};
    use spec::{ContainerId, Digest};

    #[test]
    fn reads_the_records_that_containers_have() {
        let (_keep, root) = scratch();
        let image = Digest::of(b"image");
        let record = Record {
            id: ContainerId::from_random([7; 32]),
            name: "web".into(),
            created: "2020-02-02T10:00:00Z".into(),
            image: "debian:12".into(),
            image_id: Some(image),
            layers: vec!["/store/overlay2/x/diff".into()],
            asked: serde_json::Value::Null,
        };
        root.create_container(&record).unwrap();
        let user = root.users().unwrap().remove(0);
        assert_eq!((user.id.as_str(), user.name.as_str()), (record.id.as_str(), "web"));
        assert_eq!((user.image_id, &user.layers, user.running), (Some(image), &record.layers, false));
        root.update_container(&record.id, |state| state.status = Status::Running).unwrap();
        assert!(root.users().unwrap()[0].running);
    }
}
