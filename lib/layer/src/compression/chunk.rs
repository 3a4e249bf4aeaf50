//! Unpacked bytes on their way: chunks of one size, whose memory goes round.

use super::deflate::{SLACK, WINDOW};
use std::io::{self, Read};

/// Memory for unpacked bytes, the window they refer to before them.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) memory: Vec<u8>,
    /// Where they start and end.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Chunk {
    /// Bytes that fit into a chunk.
    pub(crate) const ROOM: usize = 256 << 10;

    /// How much memory one has.
    pub(crate) const MEMORY: usize = WINDOW + Self::ROOM + SLACK;

    /// One without bytes, in memory of a used one or new.
    pub(crate) fn new(memory: Vec<u8>) -> Self {
        let mut chunk = Self { memory, from: 0, to: 0 };
        chunk.clear();
        chunk
    }

    /// One without memory.
    pub(crate) fn none() -> Self {
        Self { memory: Vec::new(), from: 0, to: 0 }
    }

    /// Forgets what is in it.
    pub(crate) fn clear(&mut self) {
        if self.memory.len() != Self::MEMORY {
            self.memory = vec![0; Self::MEMORY];
        }
        (self.from, self.to) = (WINDOW, WINDOW);
    }

    /// Copies the next bytes out.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.bytes().len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.bytes()[..count]);
        self.from += count;
        count
    }

    /// The unpacked bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.from..self.to]
    }
}

/// Something that gives unpacked bytes in order.
pub(crate) trait Unpack {
    /// Fills `chunk`; it is left empty at the end. Where the packed stream is broken the bytes before are in it, and nothing
    /// may be asked for any more.
    fn fill(&mut self, chunk: &mut Chunk) -> io::Result<()>;
}

/// The bytes of an [`Unpack`], on the thread that reads them.
#[derive(Debug)]
pub(crate) struct Reader<U> {
    unpack: U,
    chunk: Chunk,
    failed: Option<io::Error>,
}

impl<U> Reader<U> {
    pub(crate) fn new(unpack: U) -> Self {
        Self { unpack, chunk: Chunk::none(), failed: None }
    }
}

impl<U: Unpack> Read for Reader<U> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.bytes().is_empty() && !buffer.is_empty() {
            if self.failed.is_none() {
                self.failed = self.unpack.fill(&mut self.chunk).err();
            }
            if self.chunk.bytes().is_empty()
                && let Some(error) = &mut self.failed
            {
                let again = io::Error::from(error.kind());
                return Err(std::mem::replace(error, again));
            }
        }
        Ok(self.chunk.read(buffer))
    }
}
