//! One pass over a blob: read, digest, inflate, diff id and the consumer of the tar, each where it does not wait for the
//! others.
//!
//! ```text
//! feeder: read ─▶ sha256 (digest) ──piece──▶ inflate ──chunk──▶ sha256 (diff id) ──chunk──▶ caller: consumer
//!      ▲───────── used pieces come back ────────┘ ▲───────────── used chunks come back ───────────────┘
//! ```
//!
//! [`PIECES`] and [`CHUNKS`] buffers go round, so a layer costs that much memory however big it is. A plain tar is read into
//! chunks at once, and hashed once: its digest is its diff id. When something is wrong with the data the rest of the blob is
//! still read, for the digest tells best what it was: a download cut short and a disk that flipped a bit are not faults of
//! the tar.

mod feed;

use crate::compression::budget::Busy;
use crate::compression::chunk::{Chunk, Unpack};
use crate::compression::crew::Helpers;
use crate::compression::{self, Compression, gzip, zstd};
use crate::error::{Fault, Kind};
use crate::queue::{Receiver, Sender, bounded};
use feed::{Fed, Meter};
use sha2::{Digest as _, Sha256};
use spec::{DiffId, Digest};
use std::io::{self, BufRead, Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};

/// How many chunks there are.
const CHUNKS: usize = 8;
const READ_BYTES: usize = 128 << 10;

/// What the caller knows of the blob beforehand; what is `None` is not checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) digest: Option<Digest>,
    pub(crate) diff_id: Option<DiffId>,
    pub(crate) size_bytes: Option<u64>,
}

/// What one pass tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) digest: Digest,
    pub(crate) diff_id: DiffId,
    pub(crate) blob_bytes: u64,
    pub(crate) tar_bytes: u64,
}

/// What goes on outside while the pass goes on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Watch<'a> {
    pub(crate) on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    pub(crate) cancel: Option<&'a AtomicBool>,
    /// A second one: another layer of the same image has failed.
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl Watch<'_> {
    pub(crate) fn cancelled(&self) -> bool {
        [self.cancel, self.stop].into_iter().flatten().any(|c| c.load(Ordering::Relaxed))
    }
}

/// A chunk, or that no more come because the stream is broken.
type Next = Result<Chunk, ()>;

/// Reads `blob` to its end, gives its tar to `consume`, and compares what came with what is `known`.
pub(crate) fn run<T>(
    mut blob: impl Read + Send,
    known: &Known,
    watch: Watch<'_>,
    consume: impl FnOnce(&mut Chunks<'_>) -> Result<T, Fault>,
) -> Result<(T, Sums), Fault> {
    let start = look(&mut blob, watch)?;
    let compression = match compression::recognise(&start) {
        Ok(compression) => compression,
        Err(unknown) => {
            // Whether it is the blob that was meant is the better answer.
            let digest = digest_of(&start, &mut blob).map_err(unreadable)?;
            let blob_bytes = digest.1;
            check_blob(known, digest.0, blob_bytes)?;
            return Err(unknown.fault());
        }
    };

    let (to_hash, hash_from) = bounded::<Next>(CHUNKS);
    let (to_tree, tree_from) = bounded::<Next>(CHUNKS);
    let (to_free, free_from) = bounded::<Vec<u8>>(CHUNKS);
    for _ in 0..CHUNKS {
        let _ = to_free.send(Vec::new());
    }
    let _busy = Busy::layer();
    let (consumed, pass, hashed) = std::thread::scope(|scope| {
        let packed = compression != Compression::None;
        let meter = Meter::new(Cursor::new(start).chain(blob), packed, watch);
        let out = Out { free: free_from, to_hash };
        let reader = scope.spawn(move || match compression {
            Compression::None => (copy(meter, &out), None),
            Compression::Gzip => feed::beside(meter, |source| unpack(gzip::Unpacked::new(source, out.helpers()), &out)),
            Compression::Zstd => feed::beside(meter, |source| match zstd::Frames::new(source, out.helpers()) {
                Ok(frames) => unpack(frames, &out),
                Err(error) => Ended::Broken(error),
            }),
        });
        let hasher = scope.spawn(move || hash(hash_from, to_tree));
        let mut chunks = Chunks { from: tree_from, free: to_free, chunk: Chunk::none(), ended: false, watch };
        let consumed = consume(&mut chunks);
        let data_at_fault = match &consumed {
            Ok(_) => true,
            Err(fault) => matches!(fault.kind, Kind::Corrupt | Kind::Truncated),
        };
        if data_at_fault {
            chunks.drain();
        }
        drop(chunks);
        (consumed, reader.join(), hasher.join())
    });
    let (pass, broken_stream) = pass.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (diff_id, tar_bytes) = hashed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));

    if watch.cancelled() {
        return Err(Fault::interrupted());
    }
    let consumed = match consumed {
        Err(fault) if !matches!(fault.kind, Kind::Corrupt | Kind::Truncated) => return Err(fault),
        other => other,
    };
    if let Some(error) = pass.failed {
        return Err(unreadable(error));
    }
    let digest = pass.digest.unwrap_or(diff_id.0);
    check_blob(known, digest, pass.blob_bytes)?;
    if let Some(error) = broken_stream {
        return Err(broken(compression, &error));
    }
    let value = consumed?;
    if let Some(expected) = known.diff_id.filter(|d| *d != diff_id) {
        return Err(Fault::layer(Kind::DiffId, format_args!("diff id is {diff_id} (expected {expected})"))
            .hint("the layer is not the one the image's configuration names; fetch or build the image again"));
    }
    Ok((value, Sums { digest, diff_id, blob_bytes: pass.blob_bytes, tar_bytes }))
}

/// The first bytes of a blob.
fn look(blob: &mut impl Read, watch: Watch<'_>) -> Result<Vec<u8>, Fault> {
    let mut start = vec![0; compression::LOOKAHEAD_BYTES];
    let mut have = 0;
    while have < start.len() {
        if watch.cancelled() {
            return Err(Fault::interrupted());
        }
        match blob.read(&mut start[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if watch.cancelled() => return Err(Fault::interrupted()),
            Err(e) => return Err(unreadable(e)),
        }
    }
    start.truncate(have);
    Ok(start)
}

fn check_blob(known: &Known, digest: Digest, blob_bytes: u64) -> Result<(), Fault> {
    if let Some(size) = known.size_bytes.filter(|size| blob_bytes < *size) {
        return Err(Fault::layer(Kind::Truncated, format_args!("is cut short: {blob_bytes} of {size} bytes"))
            .hint("fetch or save it again"));
    }
    if let Some(expected) = known.digest.filter(|d| *d != digest) {
        return Err(Fault::layer(Kind::Digest, format_args!("digest is {digest} (expected {expected})"))
            .hint("the blob is damaged or not the one that was meant; fetch or save it again"));
    }
    if let Some(size) = known.size_bytes.filter(|size| blob_bytes > *size) {
        return Err(Fault::layer(Kind::Corrupt, format_args!("has {blob_bytes} bytes (expected {size})")));
    }
    Ok(())
}

fn broken(compression: Compression, error: &io::Error) -> Fault {
    let name = match compression {
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
        Compression::None => "tar",
    };
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Fault::layer(Kind::Truncated, format_args!("is cut short: its {name} stream ends too early"))
            .hint("fetch or save it again");
    }
    if let Some(refused) = zstd::Refused::of(error) {
        return Fault::layer(Kind::Unsupported, format_args!("its {name} stream is not unpacked: {refused}"))
            .hint(refused.hint);
    }
    Fault::layer(Kind::Corrupt, format_args!("its {name} stream is broken: {error}")).hint("fetch or save it again")
}

fn unreadable(error: io::Error) -> Fault {
    Fault::layer(Kind::System, format_args!("cannot be read: {error}"))
}

fn digest_of(start: &[u8], rest: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new_with_prefix(start);
    let mut bytes = start.len() as u64;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok((Digest::from_bytes(hash.finalize().into()), bytes)),
            Ok(count) => {
                hash.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Where unpacked bytes go.
struct Out {
    free: Receiver<Vec<u8>>,
    to_hash: Sender<Next>,
}

impl Out {
    /// Whoever idles, while most chunks wait to be filled.
    fn helpers(&self) -> Helpers {
        let free = self.free.clone();
        Helpers::Idle { hungry: Box::new(move || free.len() >= CHUNKS / 2) }
    }
}

/// How unpacking ended.
enum Ended {
    /// At the end.
    Well,
    /// Nobody wants any more.
    HungUp,
    /// The packed stream is broken.
    Broken(io::Error),
}

/// Unpacks everything.
fn unpack(mut from: impl Unpack, out: &Out) -> Ended {
    loop {
        let Ok(memory) = out.free.recv() else { return Ended::HungUp };
        let mut chunk = Chunk::new(memory);
        let filled = from.fill(&mut chunk);
        let end = chunk.bytes().is_empty();
        if !end && out.to_hash.send(Ok(chunk)).is_err() {
            return Ended::HungUp;
        }
        if let Err(error) = filled {
            let _ = out.to_hash.send(Err(()));
            return Ended::Broken(error);
        }
        if end {
            return Ended::Well;
        }
    }
}

/// Reads a plain tar.
fn copy<R: Read>(mut meter: Meter<'_, R>, out: &Out) -> Fed {
    while let Ok(memory) = out.free.recv() {
        let mut chunk = Chunk::new(memory);
        let room = chunk.from + Chunk::ROOM;
        while chunk.to < room {
            match meter.read(&mut chunk.memory[chunk.to..room]) {
                Ok(0) | Err(_) => break,
                Ok(count) => chunk.to += count,
            }
        }
        let end = chunk.to < room;
        if !chunk.bytes().is_empty() && out.to_hash.send(Ok(chunk)).is_err() || end {
            break;
        }
    }
    meter.end()
}

fn hash(from: Receiver<Next>, to_tree: Sender<Next>) -> (DiffId, u64) {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    for chunk in from {
        if let Ok(chunk) = &chunk {
            hash.update(chunk.bytes());
            bytes += chunk.bytes().len() as u64;
        }
        if to_tree.send(chunk).is_err() {
            break;
        }
    }
    (DiffId(Digest::from_bytes(hash.finalize().into())), bytes)
}

/// The tar as the consumer sees it.
pub(crate) struct Chunks<'a> {
    from: Receiver<Next>,
    free: Sender<Vec<u8>>,
    chunk: Chunk,
    ended: bool,
    watch: Watch<'a>,
}

impl Chunks<'_> {
    /// Takes what is left and drops it.
    fn drain(&mut self) {
        while let Ok(Ok(chunk)) = self.from.recv() {
            if self.watch.cancelled() {
                return;
            }
            let _ = self.free.try_send(chunk.memory);
        }
    }
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.bytes().is_empty() && !self.ended {
            if self.watch.cancelled() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let used = std::mem::replace(&mut self.chunk, Chunk::none());
            if !used.memory.is_empty() {
                let _ = self.free.try_send(used.memory);
            }
            match self.from.recv() {
                Ok(Ok(chunk)) => self.chunk = chunk,
                Ok(Err(())) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(_) => self.ended = true,
            }
        }
        Ok(self.chunk.bytes())
    }

    fn consume(&mut self, count: usize) {
        self.chunk.from += count;
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
