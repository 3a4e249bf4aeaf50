//! How much a container has written, and how much it is made of: docker's `SizeRw` and `SizeRootFs`.

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use spec::{ContainerId, Digest};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use store::{Record, Root};

/// Bytes in the files of a container's writable layer; a file with several names counts once.
pub fn written(root: &Root, id: &ContainerId) -> u64 {
    // A container may change its tree while we walk: folders are opened by descriptor and never through a link.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |at: &OwnedFd, name: &std::ffi::CStr| openat(at, name, flags, Mode::empty());
    let upper = root.container_layer(id).join("diff");
    let Ok(first) = openat(CWD, &upper, flags, Mode::empty()) else { return 0 };
    let mut seen = HashSet::new();
    let mut folders = vec![first];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = Dir::read_from(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => folders.extend(open(&folder, name)),
                FileType::CharacterDevice | FileType::BlockDevice => {}
                _ if seen.insert((stat.st_dev, stat.st_ino)) => bytes += u64::try_from(stat.st_size).unwrap_or(0),
                _ => {}
            }
        }
    }
    bytes
}

/// Bytes in the layers below the writable one; the machine's own root file system counts as none.
pub fn below<A>(root: &Root, record: &Record<A>) -> u64 {
    let chains = record.layers.iter().filter_map(|layer| {
        let name = layer.parent()?.file_name()?.to_str()?;
        format!("sha256:{name}").parse::<Digest>().ok().map(spec::ChainId)
    });
    chains.filter_map(|chain| root.layer(&chain).ok()?).map(|layer| layer.size_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        let id = ContainerId::from_random([1; 32]);
        let upper = root.container_layer(&id).join("diff");
        assert_eq!(written(&root, &id), 0);
        std::fs::create_dir_all(upper.join("a/b")).unwrap();
        std::fs::write(upper.join("a/b/file"), [0; 1000]).unwrap();
        std::fs::hard_link(upper.join("a/b/file"), upper.join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", upper.join("link")).unwrap();
        assert_eq!(written(&root, &id), 1004);
    }
}
