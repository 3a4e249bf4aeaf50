//! Removing layers and blobs that no image and no container uses.
//!
//! What is used: the manifests in the index, their configurations and layers' blobs, the unpacked layers of those
//! configurations, and the folders in containers' records with the configurations of their images. All else is moved to
//! `tmp/` under the locks, which is quick, and removed after they are let go.

use crate::error::{Result, system};
use crate::{Lock, Mode, Root, TempDir, image, layer};
use spec::{ChainId, Digest};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a sweep took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs, by digest.
    pub blobs: Vec<Digest>,
    /// Unpacked layers, by chain id.
    pub layers: Vec<ChainId>,
}

#[derive(Default)]
struct Used {
    blobs: HashSet<Digest>,
    /// Names of folders below `overlay2/`: records may have been written under another path to the same store.
    layers: HashSet<String>,
}

impl Root {
    /// Removes what nobody uses. `None` where a load is under way, which may be about to use it: the sweep at the end of
    /// that load does it then. `patience` is how long to wait for it, and for the sweeps of others. An index entry or a
    /// record that cannot be read stops it before anything is touched.
    pub fn sweep(&self, patience: Duration) -> Result<Option<Swept>> {
        let end = Instant::now() + patience;
        let layers = loop {
            match self.try_lock(Lock::Layers, Mode::Exclusive)? {
                Some(layers) => break layers,
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                None => return Ok(None),
            }
        };
        let images = self.lock(Lock::Images, Mode::Exclusive)?;
        let used = self.used()?;
        let swept = self.unused(&used)?;
        self.unlink_lost()?;
        self.unmade_mounts(&used);
        if swept == Swept::default() {
            return Ok(Some(swept));
        }
        let away = self.temp_dir()?;
        for chain in &swept.layers {
            move_away(self, &away, &layer::folder_of(chain))?;
        }
        for blob in &swept.blobs {
            move_away(self, &away, &crate::blob::file_of(blob))?;
        }
        let link = |chain: &ChainId| self.path().join("overlay2/l").join(layer::short_name(&chain.0.hex()));
        for chain in &swept.layers {
            crate::remove::tree(&link(chain)).map_err(|e| system("remove", link(chain), e))?;
        }
        drop(images);
        drop(layers);
        drop(away);
        Ok(Some(swept))
    }

    /// Removes short names that lead nowhere: a crash came between moving a layer away and unlinking it. A container's is
    /// linked before its folder is made.
    fn unlink_lost(&self) -> Result<()> {
        let links = self.path().join("overlay2/l");
        for name in names(&links)? {
            let link = links.join(&name);
            let Ok(target) = std::fs::read_link(&link) else { continue };
            let Some(id) = folder_name(&target) else { continue };
            let owned = ["overlay2", "containers"].iter().any(|place| self.path().join(place).join(&id).exists());
            if !owned {
                crate::remove::tree(&link).map_err(|e| system("remove", &link, e))?;
            }
        }
        Ok(())
    }

    /// Removes what mounts of images that are gone left in `mounts/` when they were killed. Nobody mounts one meanwhile, and where
    /// something is mounted a folder stays.
    fn unmade_mounts(&self, used: &Used) {
        let folder = self.path().join("mounts");
        for name in names(&folder).unwrap_or_default() {
            let of = name.strip_suffix(".empty").unwrap_or(&name);
            if digest_named(of).is_some_and(|id| !used.blobs.contains(&id)) {
                let _ = std::fs::remove_dir(folder.join(name));
            }
        }
    }

    fn used(&self) -> Result<Used> {
        let mut used = Used::default();
        for user in self.users()? {
            used.layers.extend(user.layers.iter().filter_map(|diff| folder_name(diff)));
            let Some(id) = user.image_id else { continue };
            used.blobs.insert(id);
            if self.has_blob(&id) {
                used.layers.extend(self.configuration(&id)?.chain_ids()?.iter().map(|c| c.0.hex()));
            }
        }
        for entry in self.index()?.entries() {
            let Some(digest) = entry.digest() else { continue };
            used.blobs.insert(digest);
            // One that is missing uses nothing that could be found; one that is there but does not parse stops us.
            if !self.has_blob(&digest) {
                continue;
            }
            let manifest = self.manifest(&digest)?;
            for layer in manifest.layers() {
                used.blobs.insert(image::digest_of(layer.digest())?);
            }
            let id = image::digest_of(manifest.config().digest())?;
            used.blobs.insert(id);
            if self.has_blob(&id) {
                used.layers.extend(self.configuration(&id)?.chain_ids()?.iter().map(|c| c.0.hex()));
            }
        }
        Ok(used)
    }

    fn unused(&self, used: &Used) -> Result<Swept> {
        let mut swept = Swept::default();
        for name in names(&self.path().join("overlay2"))? {
            // Folders of containers have no layer.json: they go with their container.
            let Some(chain) = digest_named(&name).map(ChainId) else { continue };
            let is_layer = self.path().join("overlay2").join(&name).join("layer.json").exists();
            if is_layer && !used.layers.contains(&name) {
                swept.layers.push(chain);
            }
        }
        for name in names(&self.path().join("image/blobs/sha256"))? {
            swept.blobs.extend(digest_named(&name).filter(|digest| !used.blobs.contains(digest)));
        }
        swept.layers.sort();
        swept.blobs.sort();
        Ok(swept)
    }
}

/// `<name>` of `…/overlay2/<name>/diff`.
fn folder_name(diff: &Path) -> Option<String> {
    Some(diff.parent()?.file_name()?.to_str()?.to_owned())
}

fn digest_named(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let fail = |e| system("read", folder, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        names.extend(entry.map_err(fail)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn move_away(root: &Root, away: &TempDir, relative: &Path) -> Result<()> {
    let from = root.path().join(relative);
    let to = away.path().join(relative.to_string_lossy().replace('/', "-"));
    std::fs::rename(&from, &to).map_err(|e| system("remove", &from, e))
}

#[cfg(test)]
mod tests {
    use crate::intake::tests::{chain_of, take_in};
    use crate::root::tests::scratch;
    use crate::{Lock, Mode};
    use spec::Digest;
    use std::fs;
    use std::time::Duration;

    #[test]
    fn what_no_image_and_no_container_uses_goes() {
        let (_keep, root) = scratch();
        take_in(&root, "one", &["a", "b"]);
        take_in(&root, "two", &["a", "c"]);
        assert_eq!(root.sweep(Duration::ZERO).unwrap().map(|s| s.layers.len()), Some(0));

        let id = root.find_image("two").unwrap().id;
        fs::create_dir(root.path().join("containers/x")).unwrap();
        let layers = [format!("/elsewhere/overlay2/{}/diff", chain_of(&["a", "c"]).0.hex())];
        let record = serde_json::json!({"id": "x", "name": "n", "image_id": id, "layers": layers});
        fs::write(root.path().join("containers/x/config.json"), record.to_string()).unwrap();
        {
            let images = root.lock(Lock::Images, Mode::Exclusive).unwrap();
            let mut index = root.index().unwrap();
            index.unname(&"docker.io/library/two:latest".parse().unwrap());
            root.write_index(&index, &images).unwrap();
        }
        let swept = root.sweep(Duration::ZERO).unwrap().unwrap();
        assert!(swept.layers.is_empty(), "the container still uses them");
        assert_eq!(swept.blobs.len(), 2, "the manifest and the blob of the layer c");
        assert!(root.configuration(&id).is_ok());

        fs::write(root.path().join("containers/x/config.json"), "{").unwrap();
        assert!(root.sweep(Duration::ZERO).unwrap_err().to_string().contains("containers/x/config.json"));
        fs::remove_dir_all(root.path().join("containers/x")).unwrap();
        let swept = root.sweep(Duration::ZERO).unwrap().unwrap();
        assert_eq!(swept.layers, [chain_of(&["a", "c"])]);
        assert_eq!(swept.blobs, [id]);
        assert!(root.find_image("one").is_ok());
        assert_eq!(fs::read_dir(root.path().join("overlay2/l")).unwrap().count(), 2);
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_mount_left_goes_with_its_image() {
        let (_keep, root) = scratch();
        take_in(&root, "one", &["a"]);
        let id = root.find_image("one").unwrap().id.hex();
        let gone = Digest::of(b"gone").hex();
        root.closed_folder("mounts").unwrap();
        for name in [&id, &gone, &format!("{gone}.empty")] {
            fs::create_dir(root.path().join("mounts").join(name)).unwrap();
        }
        root.sweep(Duration::ZERO).unwrap();
        assert_eq!(super::names(&root.path().join("mounts")).unwrap(), [id]);
    }

    #[test]
    fn a_load_under_way_keeps_everything() {
        let (_keep, root) = scratch();
        let intake = crate::Intake::begin(&root).unwrap();
        let other = std::thread::scope(|s| s.spawn(|| root.sweep(Duration::ZERO).unwrap()).join());
        assert_eq!(other.unwrap(), None);
        drop(intake);
        assert!(root.sweep(Duration::ZERO).unwrap().is_some());
    }
}
