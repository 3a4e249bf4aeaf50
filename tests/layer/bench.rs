//! What the tests here work with: a folder of their own, shell scripts in it, the program, and tars by hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program under test.
pub(crate) const UNPACK: &str = env!("CARGO_BIN_EXE_unpack");

/// A scratch folder that goes away with this value.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The same on a file system in memory, where there is one: for what is about many files and not about a disk.
    pub(crate) fn in_memory() -> Self {
        let shm = Path::new("/dev/shm");
        if !shm.is_dir() {
            return Self::new();
        }
        let folder = tempfile::Builder::new().prefix("veneer-layer.").tempdir_in(shm).expect("a temporary folder");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script in the folder, `$UNPACK` being the program; fails unless it succeeds. Gives its output.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let out = self.try_sh(script);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(out.status.success(), "{script}\n{}{}{}", out.status, text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }

    pub(crate) fn try_sh(&self, script: &str) -> Output {
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.folder.path())
            .env("UNPACK", UNPACK)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .expect("bash runs")
    }

    /// Runs `unpack` with `words` in the folder.
    pub(crate) fn unpack(&self, words: &str) -> Output {
        Command::new(UNPACK)
            .args(words.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("unpack runs")
    }

    /// The same, which must succeed and say nothing on stderr; gives the lines printed.
    #[track_caller]
    pub(crate) fn unpacked(&self, words: &str) -> Vec<String> {
        let out = self.unpack(words);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && stderr.is_empty(), "unpack {words}: {}\n{stderr}", out.status);
        String::from_utf8(out.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    /// The same, which must fail with `code`, print nothing, and say one line and perhaps a hint. Gives both.
    #[track_caller]
    pub(crate) fn refused(&self, words: &str, code: i32) -> (String, String) {
        refusal(&self.unpack(words), code, words)
    }

    /// Runs `unpack` with `words` where it may take so many seconds of the processor: then the kernel ends it. What others do
    /// on the machine meanwhile does not count.
    pub(crate) fn within(&self, cpu_seconds: u32, words: &str) -> Output {
        self.try_sh(&format!("ulimit -t {cpu_seconds}; exec $UNPACK {words}"))
    }

    /// Puts `bytes` into a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }
}

/// The line and the hint of a failure.
#[track_caller]
pub(crate) fn refusal(out: &Output, code: i32, what: &str) -> (String, String) {
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{what}: {}\n{stderr}", out.status);
    assert!(out.stdout.is_empty(), "{what} printed {}", String::from_utf8_lossy(&out.stdout));
    let mut lines = stderr.lines();
    let line = lines.next().unwrap_or_default();
    let line = line.strip_prefix("unpack: ").unwrap_or_else(|| panic!("{what}: {stderr}")).to_owned();
    let hint = lines.next().unwrap_or_default();
    let hint = hint.strip_prefix("hint: ").unwrap_or(hint).to_owned();
    assert_eq!(lines.next(), None, "{what}: more than a line and a hint: {stderr}");
    (line, hint)
}

/// What a folder holds, names in order; empty too where there is no folder.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// One entry of a tar by hand, names as hostile as wanted: type as in the header, name, link target, data.
pub(crate) fn entry(kind: u8, name: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{:011o}\0", data.len()).as_bytes());
    put(136, b"07346545000\0        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut all = header.to_vec();
    all.extend_from_slice(data);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

/// A tar of entries.
pub(crate) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut all = entries.concat();
    all.extend_from_slice(&[0; 1024]);
    all
}
