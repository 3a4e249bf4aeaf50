//! Reads events: those there are, then those that come, also when the file is put aside meanwhile.

use super::{Told, older, path};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use store::Root;

/// Where somebody is in the events.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// What is read to its end before `path` is opened.
    older: Option<File>,
    file: Option<File>,
    /// The beginning of a line whose end is not there yet.
    half: Vec<u8>,
}

impl Reader {
    /// Before the first event that is kept.
    pub fn new(root: &Root) -> Self {
        Self { path: path(root), older: File::open(older(root)).ok(), file: None, half: Vec::new() }
    }

    /// All events that came since the last call, the oldest first. Lines that do not parse are left out.
    pub fn read(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(mut file) = self.older.take() {
            self.take(&mut file, &mut told);
        }
        loop {
            if let Some(mut file) = self.file.take() {
                self.take(&mut file, &mut told);
                self.file = Some(file);
            }
            // Put aside since: its last lines are read, now the new file's.
            let current = std::fs::metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()));
            let ours = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|meta| (meta.dev(), meta.ino()));
            if current.is_none() || current == ours {
                return told;
            }
            if let Some(mut file) = self.file.take() {
                self.take(&mut file, &mut told);
            }
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(_) => return told,
            }
        }
    }

    fn take(&mut self, file: &mut File, told: &mut Vec<Told>) {
        if file.read_to_end(&mut self.half).is_err() {
            return;
        }
        let whole = self.half.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in self.half.drain(..whole).collect::<Vec<u8>>().split(|byte| *byte == b'\n') {
            if let Ok(mut one) = serde_json::from_slice::<Told>(line) {
                one.line = String::from_utf8_lossy(line).into_owned();
                told.push(one);
            }
        }
    }
}
