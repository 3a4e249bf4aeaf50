//! zstd (RFC 8878): frames one after the other, decoded by libzstd, and skippable ones, which is where the seekable format and
//! zstd:chunked keep their tables.
//!
//! A frame says how large a window of its own output it refers to, and that much memory it takes. At most [`WINDOW_CAP_BYTES`] are
//! given; what wants more is refused before any is taken. (libzstd's own default is the same, and `zstd` writes such frames
//! with `--ultra -22` or `--long=28` and more only.)

mod ahead;
mod header;

use super::chunk::{Chunk, Unpack};
use super::crew::Helpers;
use super::pieces::{Piece, Source};
use ::zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};
use ahead::{Ahead, Unpacked};
use header::{Frame, HEADER_BYTES};
use std::collections::VecDeque;
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
    /// Pieces behind it that are there already, for those ahead.
    later: VecDeque<Arc<Piece>>,
    ahead: Ahead,
    /// What a helper has unpacked, and how much of it is written.
    taken_over: Option<(Unpacked, usize)>,
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
    pub(crate) fn new(source: S, helpers: Helpers) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_CAP_LOG))?;
        Ok(Self {
            source,
            decoder,
            piece: None,
            later: VecDeque::new(),
            ahead: Ahead::new(helpers),
            taken_over: None,
            position: 0,
            state: State::Between,
        })
    }

    /// How many groups of frames helpers have unpacked.
    #[cfg(test)]
    pub(crate) fn taken_over_count(&self) -> u64 {
        self.ahead.taken_over
    }

    /// Gives out what lies behind the current piece, as far as it has come.
    fn plan_ahead(&mut self) -> io::Result<()> {
        let Some(piece) = &self.piece else { return Ok(()) };
        loop {
            let pieces: Vec<&Arc<Piece>> = std::iter::once(piece).chain(&self.later).collect();
            let wanted = self.ahead.plan(self.position, self.state == State::Between, &pieces);
            if !wanted || pieces.last().is_none_or(|p| p.last) || !self.source.is_ready() {
                return Ok(());
            }
            match self.source.next()? {
                Some(piece) => self.later.push_back(piece),
                None => return Ok(()),
            }
        }
    }

    /// Writes on what was taken over.
    fn write_taken_over(&mut self, chunk: &mut Chunk, room: usize) {
        let Some((unpacked, done)) = &mut self.taken_over else { return };
        let rest = &unpacked.bytes[*done..];
        let count = rest.len().min(room - chunk.to);
        chunk.memory[chunk.to..chunk.to + count].copy_from_slice(&rest[..count]);
        chunk.to += count;
        *done += count;
        if count == rest.len()
            && let Some((unpacked, _)) = self.taken_over.take()
        {
            self.ahead.give_back(unpacked);
        }
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
        while chunk.to < room && (self.state != State::End || self.taken_over.is_some()) {
            if self.taken_over.is_some() {
                self.write_taken_over(chunk, room);
                continue;
            }
            let Some(piece) = self.piece.clone() else {
                if self.later.is_empty() && chunk.to > chunk.from && !self.source.is_ready() {
                    return Ok(());
                }
                self.piece = match self.later.pop_front() {
                    None => self.source.next()?,
                    later => later,
                };
                if self.piece.is_none() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.plan_ahead()?;
                continue;
            };
            let rest = &piece.bytes()[(self.position - piece.start) as usize..];
            match self.state {
                State::End => {}
                State::Between => {
                    if self.ahead.is_lost() {
                        self.plan_ahead()?;
                    }
                    if let Some((unpacked, end)) = self.ahead.take_over(self.position) {
                        self.taken_over = Some((unpacked, 0));
                        self.position = end;
                        while self.piece.as_ref().is_some_and(|p| p.end() < end) {
                            self.piece = self.later.pop_front();
                        }
                        self.plan_ahead()?;
                        continue;
                    }
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
