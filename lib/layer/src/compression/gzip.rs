//! gzip (RFC 1952): members one after the other, each with a header, DEFLATE and a trailer that is checked.
//!
//! Behind the last member there may be zeros, as padding; anything else there is an error.

mod ahead;
mod finder;
mod framing;
mod guess;
mod sum;
mod unpacked;

pub(crate) use unpacked::Unpacked;

use super::deflate::{Broken, Deflate, Input, Stop, Symbol};
use framing::{Found, Framing};

/// What [`Stream::run`] stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A block has ended, and another of the same member follows.
    Block,
    /// The header of a member was read: what comes knows of nothing before.
    Member,
    /// The end of a member: CRC32 of its bytes, and their number modulo 2^32.
    Trailer(u32, u32),
    /// There is no room for more.
    Full,
    /// More input is needed.
    Input,
    /// The end of everything.
    End,
}

/// Where in a gzip a decoder is.
#[derive(Debug)]
pub(crate) struct Stream {
    framing: Framing,
    in_body: bool,
    deflate: Deflate,
}

impl Stream {
    /// One that stands before a member.
    pub(crate) fn new() -> Self {
        Self { framing: Framing::new(), in_body: false, deflate: Deflate::new() }
    }

    /// One that stands before a block, in the middle of a member.
    pub(crate) fn in_body() -> Self {
        Self { in_body: true, ..Self::new() }
    }

    /// Whether it stands before a block.
    pub(crate) fn is_before_block(&self) -> bool {
        self.in_body && self.deflate.at_boundary()
    }

    /// Whether it stands where a member may begin.
    pub(crate) fn is_between_members(&self) -> bool {
        !self.in_body && self.framing.is_between()
    }

    /// Decodes as [`Deflate::run`] does, through all that is gzip's.
    pub(crate) fn run<T: Symbol>(
        &mut self,
        input: Input<'_>,
        position: &mut usize,
        out: &mut [T],
        at: &mut usize,
        floor: usize,
    ) -> Result<Event, Broken> {
        if !self.in_body {
            let mut byte = position.div_ceil(8);
            let found = self.framing.read(input, &mut byte);
            *position = byte * 8;
            return Ok(match found? {
                Found::Input => Event::Input,
                Found::Trailer(crc, size) => Event::Trailer(crc, size),
                Found::End => Event::End,
                Found::Body => {
                    self.in_body = true;
                    self.deflate.restart();
                    Event::Member
                }
            });
        }
        Ok(match self.deflate.run(input, position, out, at, floor)? {
            Stop::Block => Event::Block,
            Stop::Full => Event::Full,
            Stop::Input => Event::Input,
            Stop::End => {
                self.in_body = false;
                self.framing.body_has_ended();
                return self.run(input, position, out, at, floor);
            }
        })
    }
}

#[cfg(test)]
mod tests;
