//! One file of the exerciser: the bytes it must have, and all that is open of it.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use sys::mapping::Mapping;
use testkit::dice::Dice;

/// No file grows beyond this.
pub(super) const LARGEST: usize = 256 << 10;

/// An open descriptor.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) appends: bool,
    /// Opened before the file's data were copied up: the kernel's overlay maps the lower file through it for ever
    /// (overlayfs.rst, "Non-standard behavior").
    pub(super) early: bool,
}

/// A file with all its names and descriptors.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) names: Vec<PathBuf>,
    pub(super) bytes: Vec<u8>,
    pub(super) open: Vec<Open>,
    pub(super) maps: Vec<(Mapping, bool)>,
    /// Whether its data are still the lower layer's; attributes and names may be the upper's (metacopy).
    pub(super) untouched: bool,
}

impl Tested {
    /// The file is opened to be written: mappings of the lower one no longer follow it.
    pub(super) fn touch(&mut self) {
        if self.untouched {
            self.untouched = false;
            self.maps.retain(|(_, early)| !early);
        }
    }

    pub(super) fn open(&mut self, dice: &mut Dice) -> Result<&'static str, String> {
        let Some(name) = dice.pick(&self.names).cloned() else { return Ok("-") };
        let mut options = File::options();
        let (reads, writes, appends, what) = match dice.below(7) {
            0..=2 => (true, false, false, "open to read"),
            3 | 4 => (true, true, false, "open to read and write"),
            5 => (false, true, false, "open to write"),
            _ => (true, true, true, "open to append"),
        };
        let empties = writes && !appends && dice.once_in(12);
        options.read(reads).write(writes && !appends).append(appends).truncate(empties);
        options.custom_flags(if dice.once_in(8) { libc::O_NOATIME } else { 0 });
        if writes {
            self.touch();
        }
        let file = options.open(&name).map_err(|e| format!("{what} {}: {e}", name.display()))?;
        if empties {
            self.bytes.clear();
        }
        self.open.push(Open { file, reads, writes, appends, early: self.untouched });
        Ok(if empties { "open and empty" } else { what })
    }

    /// A descriptor that may do what is asked, as its place in `open`.
    pub(super) fn descriptor(&self, dice: &mut Dice, reads: bool, writes: bool) -> Option<usize> {
        let fit = |o: &Open| (!reads || o.reads) && (!writes || o.writes && !o.appends);
        let fitting: Vec<usize> = (0..self.open.len()).filter(|at| self.open.get(*at).is_some_and(fit)).collect();
        dice.pick(&fitting).copied()
    }

    /// Makes a mapping of all that the file has now.
    pub(super) fn map(&mut self, dice: &mut Dice) -> Result<&'static str, String> {
        let Some(at) = self.descriptor(dice, true, false) else { return Ok("-") };
        let open = &self.open[at];
        if self.bytes.is_empty() || open.early && !self.untouched {
            return Ok("-");
        }
        let writable = open.writes;
        let mapping =
            Mapping::shared(open.file.as_fd(), self.bytes.len(), writable).map_err(|e| format!("mmap: {e}"))?;
        self.maps.push((mapping, open.early));
        Ok(if writable { "map shared" } else { "map to read" })
    }

    /// Compares size and, where `whole`, all bytes, through every name or else a descriptor.
    pub(super) fn check(&self, whole: bool) -> Result<(), String> {
        let length = self.bytes.len() as u64;
        for name in &self.names {
            let meta = name.metadata().map_err(|e| format!("stat {}: {e}", name.display()))?;
            if meta.len() != length {
                return Err(format!("{}: {} bytes, {length} expected", name.display(), meta.len()));
            }
            if meta.nlink() != self.names.len() as u64 {
                return Err(format!("{}: {} links, {} expected", name.display(), meta.nlink(), self.names.len()));
            }
        }
        for open in &self.open {
            let size = open.file.metadata().map_err(|e| format!("fstat: {e}"))?.len();
            if size != length {
                return Err(format!("fstat: {size} bytes, {length} expected (opened early: {})", open.early));
            }
        }
        if !whole {
            return Ok(());
        }
        if let Some(name) = self.names.first() {
            let found = std::fs::read(name).map_err(|e| format!("read {}: {e}", name.display()))?;
            same(&self.bytes, &found, 0, "the whole file, opened anew")?;
        }
        for open in self.open.iter().filter(|o| o.reads) {
            let mut found = vec![0; self.bytes.len()];
            open.file.read_exact_at(&mut found, 0).map_err(|e| format!("read: {e}"))?;
            same(&self.bytes, &found, 0, if open.early { "the whole file, opened early" } else { "the whole file" })?;
        }
        for (mapping, _) in &self.maps {
            let mut found = vec![0; mapping.len().min(self.bytes.len())];
            mapping.read(0, &mut found);
            same(&self.bytes[..found.len()], &found, 0, "the whole mapping")?;
        }
        Ok(())
    }
}

/// Fails with where the bytes first differ.
pub(super) fn same(wanted: &[u8], found: &[u8], offset: usize, what: &str) -> Result<(), String> {
    if wanted.len() != found.len() {
        return Err(format!("{what}: {} bytes instead of {} from {offset} on", found.len(), wanted.len()));
    }
    if wanted == found {
        return Ok(());
    }
    let Some(at) = wanted.iter().zip(found).position(|(w, f)| w != f) else { return Ok(()) };
    let differ = wanted.iter().zip(found).filter(|(w, f)| w != f).count();
    let zeros = found[at..].iter().take_while(|b| **b == 0).count();
    Err(format!(
        "{what}: {differ} of {} bytes differ, first at {:#x}: {:02x?} instead of {:02x?} ({zeros} zeros there)",
        wanted.len(),
        offset + at,
        &found[at..found.len().min(at + 8)],
        &wanted[at..wanted.len().min(at + 8)],
    ))
}
