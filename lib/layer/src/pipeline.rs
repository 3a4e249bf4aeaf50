//! One pass over a blob: read, digest, inflate, diff id and the consumer of the tar, each where it does not wait for the
//! others.
//!
//! ```text
//! thread 1: read ─▶ sha256 (digest) ─▶ inflate ──chunk──▶ thread 2: sha256 (diff id) ──chunk──▶ caller: consumer
//!      ▲────────────────────────────── used chunks come back ──────────────────────────────────────┘
//! ```
//!
//! [`CHUNKS`] buffers go round, so a layer costs that much memory however big it is. A plain tar is hashed once: its digest
//! is its diff id. When something is wrong with the data the rest of the blob is still read, for the digest tells best what
//! it was: a download cut short and a disk that flipped a bit are not faults of the tar.

use crate::compression::{self, Compression, Inflate};
use crate::error::{Fault, Kind};
use crossbeam::channel::{Receiver, Sender, bounded};
use sha2::{Digest as _, Sha256};
use spec::{DiffId, Digest};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};

/// Size of a chunk, and how many of them there are.
const CHUNK_BYTES: usize = 256 << 10;
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

type Chunk = io::Result<Vec<u8>>;

/// Reads `blob` to its end, gives its tar to `consume`, and compares what came with what is `known`.
pub(crate) fn run<T>(
    mut blob: impl Read + Send,
    known: &Known,
    watch: Watch<'_>,
    consume: impl FnOnce(&mut Chunks<'_>) -> Result<T, Fault>,
) -> Result<(T, Sums), Fault> {
    let mut start = Vec::with_capacity(compression::LOOKAHEAD_BYTES);
    (&mut blob)
        .take(compression::LOOKAHEAD_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|e| if watch.cancelled() { interrupted() } else { unreadable(e) })?;
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

    let (to_hash, hash_from) = bounded::<Chunk>(CHUNKS);
    let (to_tree, tree_from) = bounded::<Chunk>(CHUNKS);
    let (to_free, free_from) = bounded::<Vec<u8>>(CHUNKS);
    for _ in 0..CHUNKS {
        let _ = to_free.send(Vec::new());
    }
    let (consumed, pass, hashed) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let meter = Meter {
                reader: Cursor::new(start).chain(blob),
                hash: (compression != Compression::None).then(Sha256::new),
                bytes: 0,
                failed: None,
                watch,
            };
            inflate(meter, compression, free_from, to_hash)
        });
        let hasher = scope.spawn(move || hash(hash_from, to_tree));
        let mut chunks = Chunks { from: tree_from, free: to_free, chunk: Vec::new(), at: 0, ended: false, watch };
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
    let pass = pass.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (diff_id, tar_bytes) = hashed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));

    if watch.cancelled() {
        return Err(interrupted());
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
    if let Some(error) = pass.broken {
        return Err(broken(compression, &error));
    }
    let value = consumed?;
    if let Some(expected) = known.diff_id.filter(|d| *d != diff_id) {
        return Err(Fault::layer(Kind::DiffId, format_args!("diff id is {diff_id} (expected {expected})"))
            .hint("the layer is not the one the image's configuration names; fetch or build the image again"));
    }
    Ok((value, Sums { digest, diff_id, blob_bytes: pass.blob_bytes, tar_bytes }))
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
    Fault::layer(Kind::Corrupt, format_args!("its {name} stream is broken: {error}")).hint("fetch or save it again")
}

fn unreadable(error: io::Error) -> Fault {
    Fault::layer(Kind::System, format_args!("cannot be read: {error}"))
}

fn interrupted() -> Fault {
    Fault::layer(Kind::Cancelled, "interrupted")
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

/// Counts and hashes what is read, and keeps the reader's own error apart from those of the decoder above it.
struct Meter<'a, R> {
    reader: R,
    hash: Option<Sha256>,
    bytes: u64,
    failed: Option<io::Error>,
    watch: Watch<'a>,
}

impl<R: Read> Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let count = loop {
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

struct Pass {
    /// `None` for a plain tar, whose digest is its diff id.
    digest: Option<Digest>,
    blob_bytes: u64,
    failed: Option<io::Error>,
    broken: Option<io::Error>,
}

fn inflate<R: Read>(
    meter: Meter<'_, R>,
    compression: Compression,
    free: Receiver<Vec<u8>>,
    to_hash: Sender<Chunk>,
) -> Pass {
    let done = |meter: Meter<'_, R>, broken| Pass {
        digest: meter.hash.map(|h| Digest::from_bytes(h.finalize().into())),
        blob_bytes: meter.bytes,
        broken: if meter.failed.is_some() { None } else { broken },
        failed: meter.failed,
    };
    let gone = |error| Pass { digest: None, blob_bytes: 0, failed: Some(error), broken: None };
    let mut decoder = match Inflate::new(compression, BufReader::with_capacity(READ_BYTES, meter)) {
        Ok(decoder) => decoder,
        Err(error) => return gone(error),
    };
    let mut broken = None;
    let mut hung_up = false;
    loop {
        let Ok(mut chunk) = free.recv() else {
            hung_up = true;
            break;
        };
        chunk.resize(CHUNK_BYTES, 0);
        let mut have = 0;
        while have < CHUNK_BYTES {
            match decoder.read(&mut chunk[have..]) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    broken = Some(e);
                    break;
                }
            }
        }
        let end = have < CHUNK_BYTES;
        chunk.truncate(have);
        if have > 0 && to_hash.send(Ok(chunk)).is_err() {
            hung_up = true;
        }
        if end || hung_up {
            break;
        }
    }
    if broken.is_some() {
        let _ = to_hash.send(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    drop(to_hash);
    let Some(mut rest) = decoder.into_inner() else {
        return gone(io::ErrorKind::InvalidData.into());
    };
    // To the end also after a fault of the data (or where a zstd stream has an incomplete frame): for the digest.
    if !hung_up && rest.get_ref().failed.is_none() {
        drain(&mut rest);
    }
    done(rest.into_inner(), broken)
}

/// Reads to the end or the first error, which [`Meter`] keeps.
fn drain(reader: &mut impl BufRead) {
    loop {
        match reader.fill_buf() {
            Ok([]) | Err(_) => return,
            Ok(bytes) => {
                let count = bytes.len();
                reader.consume(count);
            }
        }
    }
}

fn hash(from: Receiver<Chunk>, to_tree: Sender<Chunk>) -> (DiffId, u64) {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    for chunk in from {
        if let Ok(chunk) = &chunk {
            hash.update(chunk);
            bytes += chunk.len() as u64;
        }
        if to_tree.send(chunk).is_err() {
            break;
        }
    }
    (DiffId(Digest::from_bytes(hash.finalize().into())), bytes)
}

/// The tar as the consumer sees it.
pub(crate) struct Chunks<'a> {
    from: Receiver<Chunk>,
    free: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
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
            let _ = self.free.try_send(chunk);
        }
    }
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.chunk.len() && !self.ended {
            if self.watch.cancelled() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let used = std::mem::take(&mut self.chunk);
            if used.capacity() > 0 {
                let _ = self.free.try_send(used);
            }
            self.at = 0;
            match self.from.recv() {
                Ok(Ok(chunk)) => self.chunk = chunk,
                Ok(Err(error)) => return Err(error),
                Err(_) => self.ended = true,
            }
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
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
