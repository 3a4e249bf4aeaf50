//! The state root: where it is, its format, and its folders.

use crate::error::{Error, Kind, Result, system};
use rustix::fs::{Access, AtFlags};
use std::path::{Path, PathBuf};

/// What the file `version` holds.
const VERSION: &str = "veneer-store 1\n";
const FORMAT: u32 = 1;

/// The folders of a store. All but the root itself are closed to others: a setuid program of an image is nothing that
/// other users of the machine should be able to reach.
const FOLDERS: [&str; 9] =
    ["tmp", "image", "image/blobs", "image/blobs/sha256", "overlay2", "overlay2/l", "containers", "volumes", "build"];

/// Entries at the top of a store; whatever holds others and no `version` is no store.
const KNOWN: [&str; 15] = [
    "version",
    "tmp",
    "image",
    "overlay2",
    "containers",
    "names",
    "settled",
    "volumes",
    "networks",
    "secrets",
    "mounts",
    "build",
    "events.json",
    "events.json.1",
    "lost+found",
];

/// An open store.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    read_only: bool,
}

impl Root {
    /// Where the store is when nobody says: `$VENEER_ROOT`, else `/var/lib/veneer` for root and `$XDG_DATA_HOME/veneer`
    /// (`~/.local/share/veneer`) for others. Root in a user namespace that a user made for us looks like root here, so
    /// whoever makes one passes the path on in `VENEER_ROOT`.
    pub fn default_path() -> Result<PathBuf> {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(path) = var("VENEER_ROOT") {
            return Ok(path);
        }
        if rustix::process::geteuid().is_root() {
            return Ok("/var/lib/veneer".into());
        }
        match var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share"))) {
            Some(data) => Ok(data.join("veneer")),
            None => Err(Error::new(Kind::Invalid, "", "no place for images and containers")
                .because("neither XDG_DATA_HOME nor HOME is set")
                .hint("set VENEER_ROOT to a folder")),
        }
    }

    /// Opens the store at `path`, making it where there is none, and removes what crashes left in its `tmp/`. One that
    /// cannot be written to is opened for reading. [`Kind::Newer`] where a newer program made it.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| system("open store", path, e))?;
        match std::fs::read_to_string(path.join("version")) {
            Ok(text) => check_version(&path, &text)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Self::create(path),
            Err(e) => return Err(system("open store", &path, e)),
        }
        let writable = rustix::fs::accessat(
            rustix::fs::CWD,
            path.join("tmp"),
            Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::EACCESS,
        );
        let root = Self { path, read_only: writable.is_err() };
        if !root.read_only {
            root.collect_garbage()?;
        }
        Ok(root)
    }

    /// Opens the store at `path` to look at it: nothing is made, and what crashes left stays. None where there is none.
    pub fn look(path: &Path) -> Result<Option<Self>> {
        let path = std::path::absolute(path).map_err(|e| system("open store", path, e))?;
        match std::fs::read_to_string(path.join("version")) {
            Ok(text) => check_version(&path, &text)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(system("open store", &path, e)),
        }
        Ok(Some(Self { path, read_only: true }))
    }

    /// Makes the store: folders first, `version` last, so that a crash in between leaves what the next try completes.
    /// Several may do so at once.
    fn create(path: PathBuf) -> Result<Self> {
        let fail = |at: &Path, e| system("make store", at, e).hint("VENEER_ROOT names another place");
        make_folder(&path, true).map_err(|e| fail(&path, e))?;
        for entry in std::fs::read_dir(&path).map_err(|e| fail(&path, e))? {
            let name = entry.map_err(|e| fail(&path, e))?.file_name();
            if !KNOWN.iter().any(|known| name == *known) {
                return Err(Error::new(Kind::Invalid, "open store", path.display())
                    .because(format!("not a store: no file `version`, but {}", name.display()))
                    .hint("name an empty folder or one that is not there yet"));
            }
        }
        for folder in FOLDERS {
            let at = path.join(folder);
            make_folder(&at, false).map_err(|e| fail(&at, e))?;
        }
        let root = Self { path, read_only: false };
        root.write_atomic("image/oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
        let empty: &[u8] =
            b"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";
        match crate::temp::keep_bytes(&root, "image/index.json", empty) {
            Err(e) if e.kind != Kind::Exists => return Err(e),
            _ => {}
        }
        root.write_atomic("version", VERSION.as_bytes())?;
        Ok(root)
    }

    /// Makes the folder `name` at the top of the store, which not every store has; closed to others as all of them are, also where
    /// it was there already.
    pub fn closed_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let closed = make_folder(&path, false).and_then(|()| {
            use std::os::unix::fs::PermissionsExt;
            let permissions = std::fs::metadata(&path)?.permissions();
            if permissions.mode() & 0o077 == 0 {
                return Ok(());
            }
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700))
        });
        closed.map(|()| path.clone()).map_err(|e| system("make", &path, e))
    }

    /// Where the store is; an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can only be read.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }
}

fn make_folder(path: &Path, parents: bool) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).recursive(parents).create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

fn check_version(path: &Path, text: &str) -> Result<()> {
    let number = text.strip_prefix("veneer-store ").and_then(|n| n.trim_end().parse::<u32>().ok());
    match number {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(Error::new(Kind::Newer, "open store", path.display())
            .because(format!("its format is veneer-store {newer}, this program knows up to veneer-store {FORMAT}"))
            .hint("use the newer program, or another store by VENEER_ROOT")),
        _ => Err(Error::new(Kind::Damaged, "open store", path.display())
            .because(format!("the file version says {text:?} instead of {VERSION:?}"))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Removes the scratch store when dropped.
    pub(crate) struct Scratch(PathBuf);
    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = crate::remove::tree(&self.0);
        }
    }

    fn scratch_path() -> (Scratch, PathBuf) {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("veneer-store-{}-{count}", std::process::id()));
        (Scratch(path.clone()), path)
    }

    pub(crate) fn scratch() -> (Scratch, Root) {
        let (keep, path) = scratch_path();
        let root = Root::open(&path).unwrap();
        (keep, root)
    }

    #[test]
    fn who_looks_changes_nothing() {
        let (_keep, path) = scratch_path();
        assert!(Root::look(&path).unwrap().is_none() && !path.exists());
        std::fs::create_dir(&path).unwrap();
        assert!(Root::look(&path).unwrap().is_none() && std::fs::read_dir(&path).unwrap().count() == 0);
        Root::open(&path).unwrap();
        std::fs::write(path.join("tmp/left"), "by a crash").unwrap();
        let root = Root::look(&path).unwrap().unwrap();
        assert!(root.is_read_only() && root.images().unwrap().is_empty() && path.join("tmp/left").exists());
        std::fs::write(path.join("version"), "veneer-store 99\n").unwrap();
        assert_eq!(Root::look(&path).unwrap_err().kind, Kind::Newer);
    }

    #[test]
    fn opens_what_it_made_and_completes_what_a_crash_left() {
        let (_keep, path) = scratch_path();
        std::fs::create_dir_all(path.join("image")).unwrap();
        std::fs::create_dir_all(path.join("mounts")).unwrap();
        let root = Root::open(&path).unwrap();
        assert!(root.path().join("overlay2/l").is_dir());
        std::fs::write(path.join("image/index.json"), "kept").unwrap();
        std::fs::remove_file(path.join("version")).unwrap();
        Root::open(&path).unwrap();
        Root::open(&path).unwrap();
        assert_eq!(root.read("image/index.json").unwrap(), b"kept");
        assert_eq!(root.read("version").unwrap(), b"veneer-store 1\n");
    }

    #[test]
    fn a_folder_is_closed_to_others_whoever_made_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_keep, root) = scratch();
        let mode = || std::fs::metadata(root.path().join("mounts")).unwrap().permissions().mode() & 0o777;
        root.closed_folder("mounts").unwrap();
        assert_eq!(mode(), 0o700);
        std::fs::set_permissions(root.path().join("mounts"), PermissionsExt::from_mode(0o755)).unwrap();
        root.closed_folder("mounts").unwrap();
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn several_may_make_it_at_once() {
        let (_keep, path) = scratch_path();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| Root::open(&path).map(|_| ()))).collect();
            for one in all {
                one.join().unwrap_or_else(|_| unreachable!()).unwrap();
            }
        });
    }

    #[test]
    fn refuses_newer_ones_and_what_is_no_store() {
        let (_keep, path) = scratch_path();
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("letters"), "").unwrap();
        let error = Root::open(&path).unwrap_err();
        let text = format!("open store {}: not a store: no file `version`, but letters", path.display());
        assert_eq!(error.to_string(), text);
        std::fs::write(path.join("version"), "veneer-store 7\n").unwrap();
        let error = Root::open(&path).unwrap_err();
        assert_eq!(error.kind, Kind::Newer);
        assert!(error.to_string().ends_with("its format is veneer-store 7, this program knows up to veneer-store 1"));
    }
}
