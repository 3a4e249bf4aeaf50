//! The reading end: what is read is counted and hashed there, on a thread of its own, and cut into pieces.

use super::{Ended, Watch};
use crate::compression::pieces::{Cutter, Piece, Source};
use crate::queue::{Receiver, bounded};
use sha2::{Digest as _, Sha256};
use spec::Digest;
use std::io::{self, Read};
use std::sync::Arc;

/// How many pieces wait to be unpacked, and how many more may be in use before memory is not kept for the next.
const PIECES: usize = 4;
const SPARE: usize = 16;

/// What was read.
pub(super) struct Fed {
    /// `None` for a plain tar, whose digest is its diff id.
    pub(super) digest: Option<Digest>,
    pub(super) blob_bytes: u64,
    pub(super) failed: Option<io::Error>,
}

/// Counts and hashes what is read, and keeps the reader's own error apart from those of the decoder above it.
pub(super) struct Meter<'a, R> {
    reader: R,
    hash: Option<Sha256>,
    bytes: u64,
    failed: Option<io::Error>,
    watch: Watch<'a>,
}

impl<'a, R: Read> Meter<'a, R> {
    pub(super) fn new(reader: R, hashed: bool, watch: Watch<'a>) -> Self {
        Self { reader, hash: hashed.then(Sha256::new), bytes: 0, failed: None, watch }
    }

    pub(super) fn end(self) -> Fed {
        Fed {
            digest: self.hash.map(|h| Digest::from_bytes(h.finalize().into())),
            blob_bytes: self.bytes,
            failed: self.failed,
        }
    }
}

impl<R: Read> Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            if self.watch.cancelled() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match self.reader.read(buffer) {
                Ok(count) => break count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let again = io::Error::from(e.kind());
                    self.failed = Some(e);
                    return Err(again);
                }
            }
        };
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..count]);
        }
        self.bytes += count as u64;
        if let Some(tell) = self.watch.on_progress {
            tell(count as u64);
        }
        Ok(count)
    }
}

/// Pieces from another thread.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    from: &'a Receiver<Arc<Piece>>,
}

impl Source for Pieces<'_> {
    fn next(&mut self) -> io::Result<Option<Arc<Piece>>> {
        Ok(self.from.recv().ok())
    }

    fn is_ready(&self) -> bool {
        !self.from.is_empty()
    }
}

/// Reads on a thread of its own while `unpack` unpacks on this one; then to the end, unless nobody wants to know it.
pub(super) fn beside<R: Read + Send>(
    meter: Meter<'_, R>,
    unpack: impl FnOnce(Pieces<'_>) -> Ended,
) -> (Fed, Option<io::Error>) {
    let (to_unpack, from) = bounded(PIECES);
    std::thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            let mut meter = meter;
            let (home, free) = bounded(SPARE);
            let mut cutter = Cutter::new(Some(home));
            while let Ok(piece) = cutter.cut(&mut meter, free.try_recv().unwrap_or_default(), || to_unpack.is_empty()) {
                let last = piece.last;
                if to_unpack.send(piece).is_err() || last {
                    break;
                }
            }
            meter.end()
        });
        let ended = unpack(Pieces { from: &from });
        let broken = match ended {
            Ended::HungUp => None,
            Ended::Well => {
                drain(&from);
                None
            }
            // To the end also after a fault of the data: for the digest.
            Ended::Broken(error) => {
                drain(&from);
                Some(error)
            }
        };
        drop(from);
        let fed = feeder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (fed, broken)
    })
}

fn drain(from: &Receiver<Arc<Piece>>) {
    for piece in from {
        drop(piece);
    }
}
