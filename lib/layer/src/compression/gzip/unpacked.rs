//! The bytes of a gzip in order, in chunks: what a member's trailer says is checked as its end is met.

use super::{Event, Stream};
use crate::compression::chunk::{Chunk, Unpack};
use crate::compression::deflate::{Broken, Input, WINDOW};
use crate::compression::pieces::{Piece, Source};
use flate2::Crc;
use std::io;
use std::sync::Arc;

/// Unpacks pieces into chunks.
#[derive(Debug)]
pub(crate) struct Unpacked<S> {
    source: S,
    piece: Option<Arc<Piece>>,
    stream: Stream,
    /// In bits, from the start of the blob.
    position: u64,
    crc: Crc,
    /// The last bytes of the chunk before, and how many of them this member wrote.
    window: Box<[u8; WINDOW]>,
    known: usize,
    ended: bool,
}

impl<S: Source> Unpacked<S> {
    pub(crate) fn new(source: S) -> Self {
        Self {
            source,
            piece: None,
            stream: Stream::new(),
            position: 0,
            crc: Crc::new(),
            window: Box::new([0; WINDOW]),
            known: 0,
            ended: false,
        }
    }

    fn fill_behind(&mut self, chunk: &mut Chunk, floor: &mut usize) -> io::Result<()> {
        while !self.ended {
            let Some(piece) = self.piece.clone() else {
                if chunk.to > chunk.from && !self.source.is_ready() {
                    return Ok(());
                }
                self.piece = self.source.next()?;
                if self.piece.is_none() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            let input = Input { bytes: piece.bytes(), last: piece.last };
            let base = piece.start * 8;
            let mut position = (self.position - base) as usize;
            let before = chunk.to;
            let event = self.stream.run(input, &mut position, &mut chunk.memory, &mut chunk.to, *floor);
            self.position = base + position as u64;
            self.crc.update(&chunk.memory[before..chunk.to]);
            match event.map_err(fault)? {
                Event::Block => {}
                Event::Full => return Ok(()),
                Event::Input => self.piece = None,
                Event::Member => {
                    self.crc = Crc::new();
                    *floor = chunk.to;
                }
                Event::Trailer(crc, size) => self.check(crc, size)?,
                Event::End => self.ended = true,
            }
        }
        Ok(())
    }

    fn check(&self, crc: u32, size: u32) -> io::Result<()> {
        if crc != self.crc.sum() {
            return Err(fault(Broken::Invalid("checksum mismatch")));
        }
        if size != self.crc.amount() {
            return Err(fault(Broken::Invalid("length mismatch")));
        }
        Ok(())
    }
}

fn fault(broken: Broken) -> io::Error {
    match broken {
        Broken::Cut => io::ErrorKind::UnexpectedEof.into(),
        Broken::Invalid(why) => io::Error::new(io::ErrorKind::InvalidData, why),
    }
}

impl<S: Source> Unpack for Unpacked<S> {
    fn fill(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        chunk.clear();
        chunk.memory[..WINDOW].copy_from_slice(&self.window[..]);
        let mut floor = WINDOW - self.known;
        let filled = self.fill_behind(chunk, &mut floor);
        let end = chunk.to;
        self.window.copy_from_slice(&chunk.memory[end - WINDOW..end]);
        self.known = (end - floor).min(WINDOW);
        filled
    }
}
