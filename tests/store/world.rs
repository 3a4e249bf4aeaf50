//! A store of its own for each test, and `ctr` on it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary folder with a store in it; gone when dropped.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("veneer-store.").tempdir().expect("a temporary folder") }
    }

    /// Where the store is (made by the first command).
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A place for other files of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `ctr ARGS`, not started yet.
    pub(crate) fn ctr<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctr"));
        command.args(args).env("VENEER_ROOT", self.root()).env("VENEER_RUN", self.path("run")).stdin(Stdio::null());
        command
    }

    /// What `ctr ARGS` prints; fails with its complaint, or if it complains at all.
    #[track_caller]
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        succeed(&mut self.ctr(args))
    }

    /// What `ctr ARGS` complains of, and its exit code; fails if it succeeds or prints data.
    #[track_caller]
    pub(crate) fn fails<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> (String, i32) {
        let out = self.ctr(args).output().expect("ctr runs");
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "succeeded: {}", String::from_utf8_lossy(&out.stdout));
        assert_eq!(String::from_utf8_lossy(&out.stdout), "", "{text}");
        (text, out.status.code().unwrap_or(-1))
    }

    /// Loads what is at `path`.
    #[track_caller]
    pub(crate) fn load(&self, path: &Path) -> String {
        self.ok([OsStr::new("load"), OsStr::new("-i"), path.as_os_str()])
    }

    /// Everything in the store but what is told of it (`events.json`): path → kind, size, owner. Equal before and after = unchanged.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.root()];
        let told = self.root().join("events.json");
        while let Some(folder) = folders.pop() {
            let paths = std::fs::read_dir(&folder).expect("a folder of the store").map(|e| e.expect("an entry").path());
            for path in paths.filter(|path| *path != told) {
                let meta = path.symlink_metadata().expect("metadata");
                let says = format!("{:o} {} {}", meta.mode(), if meta.is_dir() { 0 } else { meta.len() }, meta.uid());
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                tree.insert(path, says);
            }
        }
        tree
    }

    /// How many entries `tmp/` has.
    pub(crate) fn half_done(&self) -> usize {
        std::fs::read_dir(self.root().join("tmp")).expect("tmp").count()
    }

    /// The folders of unpacked layers.
    pub(crate) fn layers(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.root().join("overlay2")).expect("overlay2");
        let mut all: Vec<PathBuf> = all.map(|e| e.expect("an entry").path()).collect();
        all.retain(|path| path.file_name() != Some(OsStr::new("l")));
        all.sort();
        all
    }

    /// The blobs' digests.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let all = std::fs::read_dir(self.root().join("image/blobs/sha256")).expect("blobs");
        let mut all: Vec<String> =
            all.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        all.sort();
        all
    }
}

/// What a command prints; fails with its complaint, or if it complains.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let out = command.output().expect("the command runs");
    quiet(&out, command);
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[track_caller]
fn quiet(out: &Output, command: &Command) {
    let complaint = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {complaint}");
    let ours = command.get_program() == env!("CARGO_BIN_EXE_ctr");
    assert!(!ours || complaint.is_empty(), "{command:?}: {complaint}");
}
