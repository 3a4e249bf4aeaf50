//! A place where a test may mount what it likes: a mount namespace with a tmpfs of its own. All of it ends with the test, also
//! with one that fails.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;

/// A mount and all below it, which is detached at the end. Some servers (fuse-overlayfs) live in the namespace of their mount
/// and so keep each other alive; and removing the folder that a mount is on would leave what is mounted below it connected.
struct Tree<'a>(&'a Path);

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

/// Runs `test` with the path of its tmpfs, in a thread of its own: a thread can have its own mount namespace, and what it
/// starts inherits that. `room`: whose tests these are, which the folder's name tells; `options`: the tmpfs' own.
pub fn alone<T: Send>(room: &str, options: &str, test: impl FnOnce(&Path) -> T + Send) -> T {
    let prefix = format!("veneer-{room}.");
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").expect("a temporary folder");
    let path = dir.path().canonicalize().expect("its path");
    let done = std::thread::scope(|scope| {
        let body = || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
            mount(Some(room), &path, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("a tmpfs");
            let _taken_away = Tree(&path);
            test(&path)
        };
        scope.spawn(body).join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
