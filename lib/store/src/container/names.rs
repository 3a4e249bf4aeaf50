//! Who is called what: `names/<name>` is a symbolic link whose text is the id of the container with that name, so that
//! a thousand containers need not be read to find one.
//!
//! The truth is in the records: a link counts only where the record of that id has that name. It is made before the
//! record and removed after it, under [`Lock::Containers`], so that there is never a record without its link; what a
//! crash leaves is a link to nobody, which the next one of that name replaces. A store that has no `names/` yet gets it
//! from its records.

use crate::error::system;
use crate::{Error, Guard, Kind, Lock, Mode, Record, Result, Root};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use spec::{ContainerId, Digest};
use std::path::{Path, PathBuf};

/// The folder of the links.
const FOLDER: &str = "names";
/// Longest name that is a file's name as it is.
const LONGEST: usize = 200;

/// The link of `name`; none where no container can have that name.
fn link(name: &str) -> Option<PathBuf> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let file = match name.len() > LONGEST {
        true => format!("~{}", Digest::of(name.as_bytes()).hex()),
        false => name.to_owned(),
    };
    (plain && first).then(|| Path::new(FOLDER).join(file))
}

fn read_link(path: &Path) -> Option<ContainerId> {
    std::fs::read_link(path).ok()?.to_str()?.parse().ok()
}

impl Root {
    /// The container called `name`, if there is one.
    pub(super) fn named(&self, name: &str) -> Option<Record> {
        if !self.path().join(FOLDER).exists() {
            return self.containers().ok()?.into_iter().find(|record| record.name == name);
        }
        let id = read_link(&self.path().join(link(name)?))?;
        self.container(&id).ok().filter(|record| record.name == name)
    }

    /// Nobody else gives out names while the guard lives.
    pub(super) fn lock_names(&self) -> Result<Guard> {
        let guard = self.lock(Lock::Containers, Mode::Exclusive)?;
        let folder = self.path().join(FOLDER);
        if folder.exists() {
            return Ok(guard);
        }
        let draft = self.temp_dir()?;
        for record in self.containers()? {
            if let Some(file) = link(&record.name).as_deref().and_then(Path::file_name) {
                let path = draft.path().join(file);
                std::os::unix::fs::symlink(record.id.as_str(), &path).map_err(|e| system("write", &path, e))?;
            }
        }
        let moved = renameat_with(CWD, draft.path(), CWD, &folder, RenameFlags::NOREPLACE);
        moved.map_err(|e| system("rename to", &folder, e))?;
        Ok(guard)
    }

    /// Gives `name` to `id`. Call it under [`Root::lock_names`]. [`Kind::Exists`] where somebody has it; the error's
    /// subject is his id.
    pub(super) fn take_name(&self, name: &str, id: &ContainerId) -> Result<()> {
        if let Some(other) = self.named(name) {
            return Err(Error::new(Kind::Exists, "container name", &other.id));
        }
        let Some(link) = link(name) else { return Err(Error::new(Kind::Invalid, "container name", name)) };
        let path = self.path().join(link);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(system("remove", &path, e)),
            _ => {}
        }
        // Not brought to the disk by itself: file systems that keep a journal keep its order, and the record comes after.
        std::os::unix::fs::symlink(id.as_str(), &path).map_err(|e| system("write", &path, e))
    }

    /// Takes `name` from `id`, if it still is his. Call it under [`Root::lock_names`].
    pub(super) fn drop_name(&self, name: &str, id: &ContainerId) {
        let Some(path) = link(name).map(|link| self.path().join(link)) else { return };
        if read_link(&path).is_some_and(|holder| holder == *id) {
            // What stays behind names nobody.
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::tests::scratch;

    fn record(digit: u8, name: &str) -> Record {
        Record {
            id: ContainerId::from_random([digit; 32]),
            name: name.into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: "host".into(),
            image_id: None,
            layers: vec!["/".into()],
            asked: serde_json::Value::Null,
        }
    }

    #[test]
    fn names_of_a_store_without_links_and_links_to_nobody() {
        let (_keep, root) = scratch();
        root.create_container(&record(0x11, "web")).unwrap();
        std::fs::remove_dir_all(root.path().join(FOLDER)).unwrap();
        assert_eq!(root.find_container("web").unwrap().name, "web");
        let taken = root.create_container(&record(0x22, "web")).unwrap_err();
        assert_eq!((taken.kind, taken.subject), (Kind::Exists, record(0x11, "").id.to_string()));
        // as a crash between link and record leaves it
        std::os::unix::fs::symlink(record(0x33, "").id.as_str(), root.path().join("names/db")).unwrap();
        assert_eq!(root.find_container("db").unwrap_err().kind, Kind::NotFound);
        root.create_container(&record(0x44, "db")).unwrap();
        assert_eq!(root.find_container("db").unwrap().id, record(0x44, "").id);
    }

    #[test]
    fn a_container_is_called_by_its_new_name_only() {
        let (_keep, root) = scratch();
        let long = "a".repeat(300);
        root.create_container(&record(0x11, "web")).unwrap();
        root.create_container(&record(0x22, "db")).unwrap();
        let id = record(0x11, "").id;
        assert_eq!(root.rename_container(&id, "db").unwrap_err().kind, Kind::Exists);
        for (old, new) in [("web", "front"), ("front", long.as_str()), (long.as_str(), "web")] {
            assert_eq!(root.rename_container(&id, new).unwrap().name, new);
            assert_eq!(root.find_container(new).unwrap().id, id);
            assert_eq!(root.find_container(old).unwrap_err().kind, Kind::NotFound);
        }
        root.remove_container(&id).unwrap();
        root.create_container(&record(0x33, "web")).unwrap();
        assert_eq!(root.find_container("").unwrap_err().to_string(), "invalid container name or ID: value is empty");
        for text in ["../web", "~", ".", "web/"] {
            assert_eq!(root.find_container(text).unwrap_err().kind, Kind::NotFound, "{text}");
        }
    }
}
