//! zstd (RFC 8878): frames one after the other, decoded by libzstd, and skippable ones, which is where the seekable format and
//! zstd:chunked keep their tables.
//!
//! A frame says how large a window of its own output it refers to, and that much memory it takes. At most [`WINDOW_CAP_BYTES`] are
//! given; what wants more is refused before any is taken. (libzstd's own default is the same, and `zstd` writes such frames
//! with `--ultra -22` or `--long=28` and more only.)

mod header;

use super::chunk::{Chunk, Unpack};
use super::pieces::{Piece, Source};
use ::zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};
use header::{Frame, HEADER_BYTES};
use std::fmt;
use std::io;
use std::sync::Arc;

/// The largest window that a frame may have.
pub(crate) const WINDOW_CAP_BYTES: u64 = 1 << WINDOW_CAP_LOG;
const WINDOW_CAP_LOG: u32 = 27;

/// A stream that is valid, but not unpacked.
#[derive(Debug)]
pub(crate) struct Refused {
    why: String,
    /// What can be done.
    pub(crate) hint: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    fn error(why: String, hint: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, Self { why, hint })
    }

    /// What an error says, if it is one of these.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Unpacks pieces into chunks.
pub(crate) struct Frames<S> {
    source: S,
    decoder: Decoder<'static>,
    piece: Option<Arc<Piece>>,
    /// In bytes, from the start of the blob.
    position: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Frame,
    Skip { left: u64 },
    End,
}

impl<S> fmt::Debug for Frames<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("position", &self.position).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<S: Source> Frames<S> {
    pub(crate) fn new(source: S) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_CAP_LOG))?;
        Ok(Self { source, decoder, piece: None, position: 0, state: State::Between })
    }

    /// `piece` has been read to its end.
    fn next_piece(&mut self, piece: &Piece) -> io::Result<()> {
        self.piece = None;
        if piece.last { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl<S: Source> Unpack for Frames<S> {
    fn fill(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        chunk.clear();
        let room = chunk.from + Chunk::ROOM;
        while chunk.to < room && self.state != State::End {
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
            let rest = &piece.bytes()[(self.position - piece.start) as usize..];
            match self.state {
                State::End => {}
                State::Between => {
                    if rest.len() < HEADER_BYTES && !piece.last {
                        self.piece = None;
                        continue;
                    }
                    self.state = match header::read(rest)? {
                        None => State::End,
                        Some(Frame::Skippable { bytes }) => State::Skip { left: bytes },
                        Some(Frame::Data { .. }) => {
                            self.decoder.reinit()?;
                            State::Frame
                        }
                    };
                }
                State::Skip { left } => {
                    let step = left.min(rest.len() as u64);
                    self.position += step;
                    self.state = if step == left { State::Between } else { State::Skip { left: left - step } };
                    if step < left {
                        self.next_piece(&piece)?;
                    }
                }
                State::Frame => {
                    let mut input = InBuffer::around(rest);
                    let mut output = OutBuffer::around(&mut chunk.memory[chunk.to..room]);
                    let before = output.capacity();
                    let hint = self.decoder.run(&mut input, &mut output)?;
                    let (read, written) = (input.pos(), output.pos());
                    self.position += read as u64;
                    chunk.to += written;
                    if hint == 0 {
                        self.state = State::Between;
                    } else if read == rest.len() && written < before {
                        self.next_piece(&piece)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
