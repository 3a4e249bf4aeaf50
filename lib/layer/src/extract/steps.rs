//! What was done, step by step, to be taken back from the last one: in bounded memory, however many there are.
//!
//! ```text
//! a step      the name, its directory's number (4 bytes), the step's own (4), how long the name is (2); little-endian
//! ```
//!
//! Its length stands at a step's end, so that they are read from behind. What goes beyond [`PART_BYTES`] goes to a file without a name
//! (`O_TMPFILE`, open(2)) in the directory that is unpacked into: it ends with us, whatever our end is. Where there can be none, or no
//! room for it, memory holds the rest.

use super::nodes::NodeId;
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// So much is in memory.
const PART_BYTES: usize = 4 << 20;
/// What stands behind a step's name.
const TAIL: usize = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Steps {
    /// The latest.
    recent: Vec<u8>,
    /// The lengths of those before, as they follow each other in the file.
    parts: Vec<usize>,
    shelf: Shelf,
    part_bytes: usize,
}

#[derive(Debug)]
enum Shelf {
    /// None yet; it will be in this directory.
    In(OwnedFd),
    Open(File),
    /// There is none, or no more room in it.
    Full(Option<File>),
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The directory.
    pub(super) node: NodeId,
    /// The name in it.
    pub(super) name: CString,
    /// What was done: the caller's.
    pub(super) number: u32,
}

impl Steps {
    /// None yet, below `dir`.
    pub(super) fn new(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let shelf = Shelf::In(dir.try_clone_to_owned()?);
        Ok(Self { recent: Vec::new(), parts: Vec::new(), shelf, part_bytes: PART_BYTES })
    }

    /// Adds one; the name is one that a file system has.
    pub(super) fn push(&mut self, node: NodeId, name: &[u8], number: u32) {
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.recent.extend_from_slice(&name[..usize::from(length)]);
        self.recent.extend_from_slice(&node.to_bytes());
        self.recent.extend_from_slice(&number.to_le_bytes());
        self.recent.extend_from_slice(&length.to_le_bytes());
        if self.recent.len() >= self.part_bytes {
            self.put_away();
        }
    }

    fn put_away(&mut self) {
        if let Shelf::In(dir) = &self.shelf {
            self.shelf = open(dir.as_fd()).map_or(Shelf::Full(None), Shelf::Open);
        }
        let Shelf::Open(file) = &self.shelf else { return };
        if file.write_all_at(&self.recent, self.before()).is_ok() {
            self.parts.push(self.recent.len());
            self.recent.clear();
        } else if let Shelf::Open(file) = std::mem::replace(&mut self.shelf, Shelf::Full(None)) {
            self.shelf = Shelf::Full(Some(file));
        }
    }

    /// The length of all parts.
    fn before(&self) -> u64 {
        self.parts.iter().map(|part| *part as u64).sum()
    }

    /// Takes the last one back. Fails where those that are left cannot be read.
    pub(super) fn pop(&mut self) -> io::Result<Option<Step>> {
        if self.recent.is_empty() {
            let Some(length) = self.parts.pop() else { return Ok(None) };
            let (Shelf::Open(file) | Shelf::Full(Some(file))) = &self.shelf else { return Ok(None) };
            let mut part = vec![0; length];
            file.read_exact_at(&mut part, self.before())?;
            self.recent = part;
        }
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let (rest, tail) = self.recent.split_last_chunk::<TAIL>().ok_or_else(broken)?;
        let [n0, n1, n2, n3, s0, s1, s2, s3, l0, l1] = *tail;
        let start = rest.len().checked_sub(usize::from(u16::from_le_bytes([l0, l1]))).ok_or_else(broken)?;
        let step = Step {
            node: NodeId::from_bytes([n0, n1, n2, n3]),
            name: CString::new(&rest[start..]).map_err(|_| broken())?,
            number: u32::from_le_bytes([s0, s1, s2, s3]),
        };
        self.recent.truncate(start);
        Ok(Some(step))
    }
}

fn open(dir: BorrowedFd<'_>) -> rustix::io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::openat(dir, c".", flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_back(steps: &mut Steps) -> Vec<(String, u32)> {
        let next = || steps.pop().unwrap().map(|step| (step.name.into_string().unwrap(), step.number));
        std::iter::from_fn(next).collect()
    }

    fn filled(dir: BorrowedFd<'_>, count: u32) -> (Steps, Vec<(String, u32)>) {
        let mut steps = Steps { part_bytes: 100, ..Steps::new(dir).unwrap() };
        let all: Vec<_> = (0..count).map(|n| ("n".repeat(n as usize % 256), n)).collect();
        all.iter().for_each(|(name, n)| steps.push(NodeId::from_bytes(n.to_le_bytes()), name.as_bytes(), *n));
        (steps, all.into_iter().rev().collect())
    }

    #[test]
    fn they_come_back_from_the_last_one_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let root = File::open(dir.path()).unwrap();
        for count in [0, 1, 10, 1000] {
            let (mut steps, wanted) = filled(root.as_fd(), count);
            assert!(steps.recent.len() < 100 && (count < 10 || !steps.parts.is_empty()));
            assert_eq!(taken_back(&mut steps), wanted);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_file_they_are_in_memory() {
        let (mut steps, wanted) = filled(File::open("/proc").unwrap().as_fd(), 1000);
        assert!(steps.parts.is_empty());
        assert_eq!(taken_back(&mut steps), wanted);
    }

    #[test]
    fn what_the_file_has_no_room_for_stays_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let (mut steps, _) = filled(File::open(dir.path()).unwrap().as_fd(), 20);
        let parts = steps.parts.len();
        let file = File::open("/proc/self/exe").unwrap();
        let Shelf::Open(shelf) = std::mem::replace(&mut steps.shelf, Shelf::Open(file)) else { panic!("a file") };
        (0..50).for_each(|n| steps.push(NodeId::from_bytes([0; 4]), b"later", n));
        assert!(matches!(steps.shelf, Shelf::Full(Some(_))) && steps.parts.len() == parts);
        steps.shelf = Shelf::Full(Some(shelf));
        let all = taken_back(&mut steps);
        assert_eq!((all.len(), all[0].1, all[69].1), (70, 49, 0));
    }
}
