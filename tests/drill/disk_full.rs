//! An upper on a small disk: that it is full is said as ENOSPC, nothing that was there is lost, and with space made work
//! goes on.

use crate::field::{Disk, Driver, Overlay, alone, make_disk};
use crate::worker;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use testkit::dice::{Dice, say};
use testkit::need;

const PIECE: usize = 300 << 10;
const BIG: usize = 24 << 20;

/// Writes a new file to the disk, whole.
fn write(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn append(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::options().append(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The operation may fail, but only for want of space.
#[track_caller]
fn full(done: io::Result<()>, what: &str) -> bool {
    match done {
        Ok(()) => false,
        Err(e) => {
            assert_eq!(e.raw_os_error(), Some(libc::ENOSPC), "{what}: {e}");
            true
        }
    }
}

#[track_caller]
fn all_there(files: &BTreeMap<PathBuf, Vec<u8>>, when: &str) {
    for (path, bytes) in files {
        let found = std::fs::read(path).unwrap_or_else(|e| panic!("{when}: {}: {e}", path.display()));
        assert!(found == *bytes, "{when}: {} has other bytes ({} of {})", path.display(), found.len(), bytes.len());
    }
}

/// In `dir`, where `small` is the small disk; whoever calls may mount.
fn fill_up(dir: &Path, driver: Driver, kernel_too: bool) {
    let mut overlay = Overlay::new(dir, driver);
    let small = dir.join("small");
    for folder in ["u", "w"] {
        std::fs::create_dir(small.join(folder)).expect("a folder");
    }
    (overlay.upper, overlay.work) = ("small/u".to_owned(), "small/w".to_owned());
    let mut dice = Dice::new(12);
    let mut there: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    std::fs::create_dir(dir.join("low/d")).expect("a folder");
    for (name, length) in [("big", BIG), ("d/some", 600 << 10), ("d/more", 600 << 10), ("d/little", 3000)] {
        let bytes = dice.bytes(length);
        std::fs::write(dir.join("low").join(name), &bytes).expect("a lower file");
        there.insert(overlay.m(name), bytes);
    }
    overlay.mount();

    assert!(full(append(&overlay.m("big"), b"x"), "opening what does not fit"), "{BIG} bytes fit into 12 MiB");
    all_there(&there, "after a copy-up that did not fit");
    let mut written = Vec::new();
    loop {
        let (path, bytes) = (overlay.m(format!("new{}", written.len())), dice.bytes(PIECE));
        if full(write(&path, &bytes), "a new file") {
            // What is half there has no claim on space.
            std::fs::remove_file(&path).expect("unlink on a full disk");
            break;
        }
        assert!(written.len() < 100, "12 MiB hold 100 pieces of 300 KiB");
        written.push(path.clone());
        there.insert(path, bytes);
    }
    assert!(written.len() > 10, "only {} pieces fit", written.len());
    // To the last block.
    let rest = overlay.m("rest");
    let mut pieces = Vec::new();
    while !full(write(&rest, &[7; 4096].repeat(pieces.len() + 1)), "the last blocks") {
        pieces.push(());
    }
    say(&format!("{driver:?}: {} pieces of {PIECE} and {} of 4096 fit", written.len(), pieces.len()));
    all_there(&there, "on the full disk");

    for name in ["d/some", "d/more"] {
        assert!(full(append(&overlay.m(name), b"x"), "a copy-up on the full disk"), "{name} fits into nothing");
    }
    // These need less; whether it is there is the disk's affair.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    full(std::fs::set_permissions(overlay.m("d/some"), mode), "chmod on the full disk");
    // The kernel's overlay says EXDEV where it cannot store where the file came from.
    let renamed = std::fs::rename(overlay.m("d/more"), overlay.m("d/moved"));
    if driver == Driver::Fuse || renamed.is_ok() {
        full(renamed, "a rename on the full disk");
    }
    let moved = overlay.m("d/moved");
    if moved.exists() {
        let bytes = there.remove(&overlay.m("d/more")).expect("it was there");
        there.insert(moved, bytes);
    }
    for number in 0..40 {
        full(std::fs::create_dir(overlay.m(format!("folder{number}"))), "mkdir on the full disk");
        full(write(&overlay.m(format!("d/empty{number}")), b""), "an empty file on the full disk");
    }
    all_there(&there, "after more that did not fit");
    overlay.umount();
    overlay.mount();
    all_there(&there, "after a remount of the full disk");

    for path in written.drain(..6) {
        std::fs::remove_file(&path).expect("unlink on a full disk");
        there.remove(&path);
    }
    let little = overlay.m("d/little");
    append(&little, b"and more").expect("copy-up with space again");
    there.get_mut(&little).expect("it is there").extend(b"and more");
    let some = overlay.m("d/some");
    append(&some, b"and more").expect("copy-up with space again");
    there.get_mut(&some).expect("it is there").extend(b"and more");
    let (path, bytes) = (overlay.m("again"), dice.bytes(PIECE));
    write(&path, &bytes).expect("a new file with space again");
    there.insert(path, bytes);
    all_there(&there, "with space again");
    overlay.umount();
    for driver in [driver, Driver::Kernel].into_iter().take(1 + usize::from(kernel_too)) {
        let by = overlay.by(driver);
        by.mount();
        all_there(&there, "after another mount");
        by.umount();
    }
}

fn on_small_disk(disk: Disk, test: impl FnOnce(&Path) + Send) {
    alone(Disk::Tmpfs, 256, |dir| {
        let small = dir.join("small");
        std::fs::create_dir(&small).expect("a folder");
        make_disk(disk, 12, &small);
        test(dir);
    });
}

/// A task: in its own namespaces.
#[test]
fn fills_up_where_it_is_told_to() {
    let Some(words) = worker::task("disk_full::fills_up_where_it_is_told_to") else { return };
    fill_up(Path::new(&words[0]), Driver::Fuse, false);
}

#[test]
fn a_full_disk_loses_nothing_on_tmpfs() {
    need!(root, fuse, overlay);
    on_small_disk(Disk::Tmpfs, |dir| fill_up(dir, Driver::Kernel, false));
    on_small_disk(Disk::Tmpfs, |dir| fill_up(dir, Driver::Fuse, true));
}

#[test]
fn a_full_disk_loses_nothing_on_ext4() {
    need!(root, fuse, overlay, loop, "mkfs.ext4");
    on_small_disk(Disk::Ext4, |dir| fill_up(dir, Driver::Kernel, false));
    on_small_disk(Disk::Ext4, |dir| fill_up(dir, Driver::Fuse, true));
}

/// Where the kernel keeps what is written and sends it later, the lack of space comes with fsync(2).
#[test]
fn a_full_disk_loses_nothing_without_root() {
    need!(root, fuse, userns, loop, "mkfs.ext4", "unshare");
    for disk in [Disk::Tmpfs, Disk::Ext4] {
        on_small_disk(disk, |dir| {
            let words = [dir.to_str().expect("a plain path")];
            let said =
                worker::rootless("disk_full::fills_up_where_it_is_told_to", &words).output().expect("unshare runs");
            worker::well(&said, "a full disk without root");
            say(String::from_utf8_lossy(&said.stderr).trim_end());
        });
    }
}
