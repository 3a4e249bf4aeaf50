//! A blob in pieces that overlap, so that whoever decodes them never meets something that straddles two.
//!
//! ```text
//! piece k    [ lead: the last LEAD_BYTES of piece k-1 | new bytes ]
//! ```
//!
//! Pieces are shared, since those who decode ahead look at the same ones; the memory of one goes back to where it came from
//! when the last of them lets go.

use super::deflate::LEAD_BYTES;
use crate::queue::Sender;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

/// New bytes in a piece.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// Some of a blob's bytes.
#[derive(Debug)]
pub(crate) struct Piece {
    memory: Vec<u8>,
    length: usize,
    /// Where in the blob its first byte lies.
    pub(crate) start: u64,
    /// How many of its bytes the piece before has too.
    pub(crate) lead: usize,
    /// Nothing follows.
    pub(crate) last: bool,
    home: Option<Sender<Vec<u8>>>,
}

impl Piece {
    /// The bytes, lead first.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[..self.length]
    }

    /// Where in the blob it ends.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.length as u64
    }

    /// The part that is in no piece before.
    #[cfg(test)]
    pub(crate) fn fresh(&self) -> &[u8] {
        &self.bytes()[self.lead..]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            // Where nobody takes it back it is freed.
            let _ = home.try_send(std::mem::take(&mut self.memory));
        }
    }
}

/// Cuts a reader's bytes into pieces.
#[derive(Debug)]
pub(crate) struct Cutter {
    before: Option<Arc<Piece>>,
    home: Option<Sender<Vec<u8>>>,
}

impl Cutter {
    /// One whose pieces send their memory to `home`.
    pub(crate) fn new(home: Option<Sender<Vec<u8>>>) -> Self {
        Self { before: None, home }
    }

    /// The next piece, in `memory`, which is made as large as it must be. It is full but where the reader ends or `enough` says
    /// after a read that what there is will do.
    pub(crate) fn cut(
        &mut self,
        reader: &mut impl Read,
        mut memory: Vec<u8>,
        mut enough: impl FnMut() -> bool,
    ) -> io::Result<Arc<Piece>> {
        if memory.len() != LEAD_BYTES + PIECE_BYTES {
            memory = vec![0; LEAD_BYTES + PIECE_BYTES];
        }
        let (mut lead, mut start) = (0, 0);
        if let Some(before) = self.before.take() {
            let tail = &before.bytes()[before.length.saturating_sub(LEAD_BYTES)..];
            lead = tail.len();
            memory[..lead].copy_from_slice(tail);
            start = before.end() - lead as u64;
        }
        let (mut length, mut last) = (lead, false);
        while length < lead + PIECE_BYTES {
            match reader.read(&mut memory[length..lead + PIECE_BYTES]) {
                Ok(0) => {
                    last = true;
                    break;
                }
                Ok(count) => length += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            if enough() {
                break;
            }
        }
        let piece = Arc::new(Piece { memory, length, start, lead, last, home: self.home.clone() });
        self.before = Some(Arc::clone(&piece));
        Ok(piece)
    }
}

/// Where pieces come from, one after the other.
pub(crate) trait Source {
    /// The next; none behind the last, or where nobody sends any more.
    fn next(&mut self) -> io::Result<Option<Arc<Piece>>>;

    /// Whether the next can be had without waiting for somebody else.
    fn is_ready(&self) -> bool {
        true
    }
}

/// The pieces of a reader, cut by whoever wants them.
#[derive(Debug)]
pub(crate) struct Own<R> {
    reader: R,
    cutter: Cutter,
    ended: bool,
}

impl<R> Own<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, cutter: Cutter::new(None), ended: false }
    }
}

impl<R: BufRead> Source for Own<R> {
    fn next(&mut self) -> io::Result<Option<Arc<Piece>>> {
        if self.ended {
            return Ok(None);
        }
        let piece = self.cutter.cut(&mut self.reader, Vec::new(), || false)?;
        self.ended = piece.last;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_overlap_and_give_every_byte_once() {
        let all: Vec<u8> = (0..700_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        for step in [1_000, PIECE_BYTES, 300_000] {
            let mut reader = all.chunks(step).fold(Box::new(io::empty()) as Box<dyn Read>, |r, c| Box::new(r.chain(c)));
            let mut cutter = Cutter::new(None);
            let (mut got, mut before) = (Vec::new(), None::<Arc<Piece>>);
            loop {
                let piece = cutter.cut(&mut reader, Vec::new(), || step == 1_000).unwrap();
                assert_eq!(piece.start + piece.lead as u64, got.len() as u64);
                assert_eq!(&got[piece.start as usize..], &piece.bytes()[..piece.lead]);
                got.extend_from_slice(piece.fresh());
                if let Some(before) = before {
                    assert_eq!(piece.lead, before.bytes().len().min(LEAD_BYTES));
                }
                if piece.last {
                    break;
                }
                before = Some(piece);
            }
            assert!(got == all, "{step}");
        }
    }
}
