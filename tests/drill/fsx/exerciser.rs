//! Chooses operations, does each to a file and to the bytes that it must have, and compares.

use super::file::{LARGEST, Tested, same};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use testkit::dice::Dice;

/// The granularity of holes and moved ranges.
const BLOCK: usize = 4096;

/// What came of an operation: its name (`-` for nothing to do it with, so that another is chosen), or what was wrong.
type Done = Result<&'static str, String>;

/// The drill's state.
#[derive(Debug)]
pub(super) struct Exerciser {
    root: PathBuf,
    low: PathBuf,
    /// Nothing may be refused that a plain disk does.
    strict: bool,
    dice: Dice,
    counts: BTreeMap<&'static str, u64>,
    /// What each file of earlier rounds must have.
    finished: BTreeMap<PathBuf, Vec<u8>>,
    history: VecDeque<String>,
}

impl Exerciser {
    pub(super) fn new(root: PathBuf, low: PathBuf, seed: u64, strict: bool) -> Self {
        let dice = Dice::new(seed);
        Self { root, low, strict, dice, counts: BTreeMap::new(), finished: BTreeMap::new(), history: VecDeque::new() }
    }

    /// Operations done, by name.
    pub(super) fn counts(&self) -> String {
        let parts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        format!("fsx did: {}", parts.join(", "))
    }

    /// `operations` on a fresh pair of files; panics with the last of them when something is wrong.
    pub(super) fn round(&mut self, round: u64, operations: usize) {
        self.history.clear();
        let mut pair = [self.start(round * 2), self.start(round * 2 + 1)];
        for step in 0..operations {
            let which = self.dice.below(2);
            let mut done = self.step(&mut pair, which);
            while done == Ok("-") {
                done = self.step(&mut pair, which);
            }
            let whole = step % 25 == 24 || step + 1 == operations;
            let name = *done.as_ref().unwrap_or(&"?");
            let checked = done.map(|_| ()).and_then(|()| pair.iter().try_for_each(|file| file.check(whole)));
            if let Err(wrong) = checked {
                let history: Vec<&str> = self.history.iter().map(String::as_str).collect();
                panic!(
                    "round {round}, step {step} ({name}): {wrong}\nbefore, the last at the end:\n{}",
                    history.join("\n")
                );
            }
            *self.counts.entry(name).or_default() += 1;
        }
        for file in pair {
            for name in &file.names {
                self.finished.insert(name.clone(), file.bytes.clone());
            }
        }
    }

    /// Compares all files of earlier rounds.
    pub(super) fn check_all(&self, when: &str) {
        for (name, bytes) in &self.finished {
            let found = std::fs::read(name).unwrap_or_else(|e| panic!("{when}: {}: {e}", name.display()));
            if let Err(wrong) = same(bytes, &found, 0, "the whole file") {
                panic!("{when}: {}: {wrong}", name.display());
            }
        }
    }

    /// A new file, or one of the lower layer.
    fn start(&mut self, number: u64) -> Tested {
        let lower = !self.dice.once_in(3);
        let name = self.root.join(if lower { format!("f{number}") } else { format!("n{number}") });
        let bytes = if lower {
            std::fs::read(self.low.join(format!("f{number}"))).expect("a lower file")
        } else {
            std::fs::write(&name, "").expect("a new file");
            Vec::new()
        };
        Tested { names: vec![name], bytes, open: Vec::new(), maps: Vec::new(), untouched: lower }
    }

    fn log(&mut self, line: String) {
        if self.history.len() == 40 {
            self.history.pop_front();
        }
        self.history.push_back(line);
    }

    fn step(&mut self, pair: &mut [Tested; 2], which: usize) -> Done {
        let choice = self.dice.below(100);
        let [first, second] = pair;
        let (file, other) = if which == 0 { (first, second) } else { (second, first) };
        match choice {
            0..=15 => self.write(file, which),
            16..=25 => self.read(file),
            26..=33 => self.write_mapped(file, which),
            34..=39 => self.read_mapped(file),
            40..=44 => self.truncate(file, which),
            45..=57 => self.allocate(file, which),
            58..=63 => {
                let within = self.dice.once_in(3);
                self.copy(file, (!within).then_some(other), which)
            }
            64..=69 => self.seek(file),
            70 => self.sync(file),
            71..=78 => {
                let done = file.open(&mut self.dice);
                self.log(format!("{which}: {done:?}"));
                done
            }
            79..=82 => {
                if !file.open.is_empty() {
                    file.open.swap_remove(self.dice.below(file.open.len()));
                }
                self.log(format!("{which}: close"));
                Ok("close")
            }
            83..=87 => {
                let done = file.map(&mut self.dice);
                self.log(format!("{which}: {done:?} of {} bytes", file.bytes.len()));
                done
            }
            88..=90 => {
                if !file.maps.is_empty() {
                    file.maps.swap_remove(self.dice.below(file.maps.len()));
                }
                Ok("unmap")
            }
            _ => self.names(file, which),
        }
    }

    /// A place to begin at and a length, with an end not beyond the largest.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.dice.below((length + 3 * BLOCK).min(LARGEST));
        let most = [64, BLOCK, 4 * BLOCK, 16 * BLOCK][self.dice.below(4)];
        let count = (1 + self.dice.below(most)).min(LARGEST - from);
        if self.dice.once_in(3) { (from / BLOCK * BLOCK, count) } else { (from, count) }
    }

    fn write(&mut self, file: &mut Tested, which: usize) -> Done {
        let writing: Vec<usize> = (0..file.open.len()).filter(|at| file.open[*at].writes).collect();
        let Some(&at) = self.dice.pick(&writing) else { return Ok("-") };
        let (mut from, count) = self.range(file.bytes.len());
        let appends = file.open[at].appends;
        if appends {
            from = file.bytes.len();
        }
        if from + count > LARGEST {
            return Ok("-");
        }
        let data = self.dice.bytes(count);
        self.log(format!("{which}: write {from:#x}+{count:#x}{}", if appends { ", appending" } else { "" }));
        let written = file.open[at].file.write_at(&data, from as u64).map_err(|e| format!("write: {e}"))?;
        if written != count {
            return Err(format!("write: {written} of {count} bytes"));
        }
        put(&mut file.bytes, from, &data);
        Ok(if appends { "append" } else { "write" })
    }

    fn read(&mut self, file: &Tested) -> Done {
        let Some(at) = file.descriptor(&mut self.dice, true, false) else { return Ok("-") };
        let (from, count) = self.range(file.bytes.len());
        let mut found = vec![0; count];
        let got = file.open[at].file.read_at(&mut found, from as u64).map_err(|e| format!("read: {e}"))?;
        let end = (from + count).min(file.bytes.len());
        let wanted = file.bytes.get(from.min(end)..end).unwrap_or_default();
        same(wanted, &found[..got], from, if file.open[at].early { "read, opened early" } else { "read" })?;
        Ok("read")
    }

    fn write_mapped(&mut self, file: &mut Tested, which: usize) -> Done {
        let writable: Vec<usize> = (0..file.maps.len()).filter(|at| file.maps[*at].0.is_writable()).collect();
        let Some(&at) = self.dice.pick(&writable) else { return Ok("-") };
        let within = file.maps[at].0.len().min(file.bytes.len());
        if within == 0 {
            return Ok("-");
        }
        let from = self.dice.below(within);
        let count = 1 + self.dice.below((within - from).min(3 * BLOCK));
        let data = self.dice.bytes(count.min(within - from));
        self.log(format!("{which}: write mapped {from:#x}+{:#x}", data.len()));
        file.maps[at].0.write(from, &data);
        put(&mut file.bytes, from, &data);
        Ok("write mapped")
    }

    fn read_mapped(&mut self, file: &Tested) -> Done {
        let Some((mapping, _)) = self.dice.pick(&file.maps) else { return Ok("-") };
        let within = mapping.len().min(file.bytes.len());
        let from = self.dice.below(within);
        let mut found = vec![0; self.dice.below(4 * BLOCK).min(within - from)];
        mapping.read(from, &mut found);
        same(&file.bytes[from..from + found.len()], &found, from, "read mapped")?;
        Ok("read mapped")
    }

    fn truncate(&mut self, file: &mut Tested, which: usize) -> Done {
        let length =
            if self.dice.once_in(2) { self.dice.below(LARGEST) } else { self.dice.below(file.bytes.len() + 1) };
        let by_name = self.dice.once_in(2);
        self.log(format!("{which}: truncate {:#x} to {length:#x}, by name: {by_name}", file.bytes.len()));
        if by_name {
            let Some(name) = self.dice.pick(&file.names).cloned() else { return Ok("-") };
            file.touch();
            nix::unistd::truncate(&name, length as i64).map_err(|e| format!("truncate: {e}"))?;
        } else {
            let Some(at) = file.descriptor(&mut self.dice, false, true) else { return Ok("-") };
            file.open[at].file.set_len(length as u64).map_err(|e| format!("ftruncate: {e}"))?;
        }
        file.bytes.resize(length, 0);
        Ok(if by_name { "truncate" } else { "ftruncate" })
    }

    /// fallocate(2) in all its modes; what the file system or the transport lacks is counted as refused.
    fn allocate(&mut self, file: &mut Tested, which: usize) -> Done {
        let Some(at) = file.descriptor(&mut self.dice, false, true) else { return Ok("-") };
        let (mut from, mut count) = self.range(file.bytes.len());
        let keep = FallocateFlags::KEEP_SIZE;
        let (name, refused, mode) = match self.dice.below(9) {
            0..=2 => ("punch", "punch refused", FallocateFlags::PUNCH_HOLE | keep),
            3 => ("zero, keeping the size", "zero refused", FallocateFlags::ZERO_RANGE | keep),
            4 => ("zero", "zero refused", FallocateFlags::ZERO_RANGE),
            5 => ("allocate, keeping the size", "allocate refused", keep),
            6 => ("allocate", "allocate refused", FallocateFlags::empty()),
            7 => ("collapse", "collapse refused", FallocateFlags::COLLAPSE_RANGE),
            _ => ("insert", "insert refused", FallocateFlags::INSERT_RANGE),
        };
        let moves = matches!(name, "collapse" | "insert");
        if moves {
            (from, count) = (from / BLOCK * BLOCK, count.div_ceil(BLOCK) * BLOCK);
            let collapses = name == "collapse";
            if collapses && from + count >= file.bytes.len()
                || from >= file.bytes.len()
                || file.bytes.len() + count > LARGEST
            {
                return Ok("-");
            }
        }
        self.log(format!("{which}: {name} {from:#x}+{count:#x} of {:#x}", file.bytes.len()));
        match rustix::fs::fallocate(&file.open[at].file, mode, from as u64, count as u64) {
            Err(Errno::OPNOTSUPP) => return Ok(refused),
            Err(e) => return Err(format!("{name}: {e}")),
            Ok(()) => {}
        }
        let end = from + count;
        let length = file.bytes.len();
        match name {
            "collapse" => drop(file.bytes.drain(from..end)),
            "insert" => drop(file.bytes.splice(from..from, std::iter::repeat_n(0, count))),
            "allocate" => file.bytes.resize(length.max(end), 0),
            "allocate, keeping the size" => {}
            _ => {
                file.bytes.resize(if name == "zero" { length.max(end) } else { length }, 0);
                let end = end.min(file.bytes.len());
                if from < end {
                    file.bytes[from..end].fill(0);
                }
            }
        }
        Ok(name)
    }

    /// copy_file_range(2) from `other`, or else within the file.
    fn copy(&mut self, file: &mut Tested, other: Option<&mut Tested>, which: usize) -> Done {
        let source: &Tested = other.as_deref().unwrap_or(file);
        let Some(from_at) = source.descriptor(&mut self.dice, true, false) else { return Ok("-") };
        let Some(to_at) = file.descriptor(&mut self.dice, false, true) else { return Ok("-") };
        let (from, count) = self.range(source.bytes.len());
        let to = self.dice.below((file.bytes.len() + BLOCK).min(LARGEST));
        let count = count.min(LARGEST - to);
        let itself = other.is_none();
        if itself && from < to + count && to < from + count {
            return Ok("-");
        }
        let source: &Tested = other.as_deref().unwrap_or(file);
        self.log(format!("{which}: copy {from:#x}+{count:#x} to {to:#x}, from itself: {itself}"));
        let (mut off_in, mut off_out) = (from as u64, to as u64);
        let (input, output) = (&source.open[from_at].file, &file.open[to_at].file);
        let copied = rustix::fs::copy_file_range(input, Some(&mut off_in), output, Some(&mut off_out), count)
            .map_err(|e| format!("copy_file_range: {e}"))?;
        let there = source.bytes.len().saturating_sub(from).min(count);
        if copied > there || copied == 0 && there > 0 {
            return Err(format!("copy_file_range: {copied} bytes copied of {there}"));
        }
        if copied > 0 {
            let data = source.bytes[from..from + copied].to_vec();
            put(&mut file.bytes, to, &data);
        }
        Ok("copy")
    }

    /// SEEK_DATA and SEEK_HOLE: what is called a hole must be zeros; how fine they are is the file system's affair.
    fn seek(&mut self, file: &Tested) -> Done {
        let Some(at) = file.descriptor(&mut self.dice, true, false) else { return Ok("-") };
        let (length, from) = (file.bytes.len(), self.dice.below(file.bytes.len() + BLOCK));
        let data = self.dice.once_in(2);
        let to = if data { rustix::fs::SeekFrom::Data(from as u64) } else { rustix::fs::SeekFrom::Hole(from as u64) };
        let name = if data { "seek data" } else { "seek hole" };
        let zeros = |range: &[u8]| range.iter().all(|b| *b == 0);
        match rustix::fs::seek(&file.open[at].file, to) {
            // A server that cannot know what the kernel has not sent yet must not call anything a hole.
            Err(Errno::INVAL) if !self.strict => return Ok("seek refused"),
            Err(Errno::NXIO) if from >= length || data && zeros(&file.bytes[from..]) => {}
            Err(e) => return Err(format!("{name} from {from:#x} of {length:#x}: {e}")),
            Ok(found) => {
                let found = found as usize;
                let wrong =
                    found < from || found > length || from >= length || data && !zeros(&file.bytes[from..found]);
                // Up to the next block nothing but a hole can be where a hole is said to begin.
                let end = ((found / BLOCK + 1) * BLOCK).min(length);
                if wrong || !data && found < length && !zeros(&file.bytes[found..end]) {
                    return Err(format!("{name} from {from:#x} of {length:#x}: found at {found:#x}"));
                }
            }
        }
        Ok(name)
    }

    fn sync(&mut self, file: &Tested) -> Done {
        for (mapping, _) in &file.maps {
            mapping.sync().map_err(|e| format!("msync: {e}"))?;
        }
        let Some(open) = self.dice.pick(&file.open) else { return Ok("-") };
        let done = if self.dice.once_in(2) { open.file.sync_all() } else { open.file.sync_data() };
        done.map_err(|e| format!("fsync: {e}"))?;
        Ok("sync")
    }

    /// What concerns names and attributes, each of which is a copy-up too.
    fn names(&mut self, file: &mut Tested, which: usize) -> Done {
        let Some(name) = self.dice.pick(&file.names).cloned() else { return Ok("-") };
        let said = |e: std::io::Error| format!("{}: {e}", name.display());
        let done = match self.dice.below(9) {
            0..=2 => {
                let mode = 0o600 + self.dice.below(0o200) as u32;
                std::fs::set_permissions(&name, std::fs::Permissions::from_mode(mode)).map_err(said)?;
                "chmod"
            }
            3 | 4 => {
                let new = name.with_extension(if name.extension().is_some() { "" } else { "x" });
                if file.names.contains(&new) {
                    return Ok("-");
                }
                std::fs::rename(&name, &new).map_err(said)?;
                file.names.retain(|n| *n != name);
                file.names.push(new);
                "rename"
            }
            5 | 6 => {
                let new = name.with_extension("link");
                if file.names.contains(&new) {
                    return Ok("-");
                }
                std::fs::hard_link(&name, &new).map_err(said)?;
                file.names.push(new);
                "link"
            }
            7 => {
                let value = self.dice.bytes(8);
                rustix::fs::setxattr(&name, "user.drill", &value, rustix::fs::XattrFlags::empty())
                    .map_err(|e| said(e.into()))?;
                "setxattr"
            }
            // Now and then the last name goes, and what is open lives on.
            _ if file.names.len() > 1 || self.dice.once_in(4) => {
                std::fs::remove_file(&name).map_err(said)?;
                file.names.retain(|n| *n != name);
                if file.names.is_empty() { "unlink the last name" } else { "unlink" }
            }
            _ => "-",
        };
        self.log(format!("{which}: {done} {}", name.display()));
        Ok(done)
    }
}

/// Writes `data` into `bytes` at `from`, with zeros up to there.
fn put(bytes: &mut Vec<u8>, from: usize, data: &[u8]) {
    if bytes.len() < from + data.len() {
        bytes.resize(from + data.len(), 0);
    }
    bytes[from..from + data.len()].copy_from_slice(data);
}
