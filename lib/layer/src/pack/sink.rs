//! From the tar's bytes to the blob's, on every core, in one pass.
//!
//! ```text
//! producer (a thread): fills blocks ─┬─▶ sha256 of the tar (a thread)
//!                                    └─▶ packers (a thread each) ─▶ caller's thread: in order, sha256 of the blob, write
//!      ▲───────────────── used blocks come back ──────────────────────────────────────┘
//! ```
//!
//! Blocks are cut by their size alone and each is packed for itself ([`super::packer`]), so the blob does not depend on the
//! number of threads or on who is faster. There are [`blocks_for`] of them, and a block comes back only when what it became has
//! been written: so memory is bounded, however far one packer falls behind the others.

use super::packer::{Packer, Packing, Seeks};
use crate::error::{Fault, Kind};
use crate::queue::{Receiver, Sender, bounded};
use sha2::{Digest as _, Sha256};
use spec::{DiffId, Digest};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one pass tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) digest: Digest,
    pub(super) diff_id: DiffId,
    pub(super) blob_bytes: u64,
    pub(super) tar_bytes: u64,
}

/// How many blocks go round: one each packer works at and one that waits for it, one being filled, one being written.
fn blocks_for(packers: usize) -> usize {
    packers * 2 + 2
}

struct Job {
    number: u64,
    block: Arc<Vec<u8>>,
}

struct Done {
    block: Arc<Vec<u8>>,
    packed: io::Result<Option<Vec<u8>>>,
}

/// Where the producer puts the tar.
pub(super) struct Blocks<'a> {
    /// As long as a block is; filled up to `at`.
    block: Vec<u8>,
    at: usize,
    number: u64,
    free: Receiver<Vec<u8>>,
    to_hash: Sender<Arc<Vec<u8>>>,
    to_pack: Sender<Job>,
    watch: Watch<'a>,
    /// Nobody takes what is packed any more.
    stop: &'a AtomicBool,
}

impl Blocks<'_> {
    /// Adds `bytes`.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let room = &mut self.block[self.at..];
            let count = bytes.len().min(room.len());
            room[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.filled(count)?;
        }
        Ok(())
    }

    /// Room for at least one byte, to be filled from its start; [`filled`](Self::filled) says how far.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.block[self.at..]
    }

    /// `count` bytes of [`room`](Self::room) have been filled.
    pub(super) fn filled(&mut self, count: usize) -> Result<(), Fault> {
        self.at += count;
        if self.at < self.block.len() {
            return Ok(());
        }
        let length = self.block.len();
        self.pass_on()?;
        match self.free.recv() {
            Ok(mut next) if !self.stop.load(Ordering::Relaxed) => {
                next.resize(length, 0);
                self.block = next;
                self.at = 0;
                Ok(())
            }
            // Whoever went away has the better reason.
            _ => Err(stopped()),
        }
    }

    /// Gives the block away as far as it is filled.
    fn pass_on(&mut self) -> Result<(), Fault> {
        if self.watch.cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Err(Fault::interrupted());
        }
        let mut block = std::mem::take(&mut self.block);
        block.truncate(self.at);
        let block = Arc::new(block);
        if let Some(tell) = self.watch.on_progress {
            tell(block.len() as u64);
        }
        self.to_hash.send(Arc::clone(&block)).map_err(|_| stopped())?;
        self.to_pack.send(Job { number: self.number, block }).map_err(|_| stopped())?;
        self.number += 1;
        Ok(())
    }
}

fn stopped() -> Fault {
    Fault::layer(Kind::Cancelled, "stopped")
}

/// What goes on outside meanwhile.
#[derive(Clone, Copy, Default)]
pub(super) struct Watch<'a> {
    pub(super) on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    pub(super) cancel: Option<&'a AtomicBool>,
}

/// Packs what `produce` gives into `out`.
pub(super) fn run<T: Send>(
    mut out: impl Write,
    packing: Packing,
    jobs: NonZeroUsize,
    watch: Watch<'_>,
    produce: impl FnOnce(&mut Blocks<'_>) -> Result<T, Fault> + Send,
) -> Result<(T, Sums), Fault> {
    let packers = if packing.is_plain() { 1 } else { jobs.get() };
    let count = blocks_for(packers);
    let block_bytes = packing.block_bytes();
    let (to_free, free) = bounded::<Vec<u8>>(count);
    let (to_hash, hash_from) = bounded::<Arc<Vec<u8>>>(count);
    let (to_pack, pack_from) = bounded::<Job>(count);
    let (to_write, write_from) = bounded::<(u64, Done)>(count);
    let (to_reuse, reuse) = bounded::<Vec<u8>>(count);
    for _ in 1..count {
        let _ = to_free.send(Vec::new());
    }
    let stop = &AtomicBool::new(false);
    let (produced, hashed, written) = std::thread::scope(|scope| {
        let producer = scope.spawn(move || {
            let block = vec![0; block_bytes];
            let mut blocks = Blocks { block, at: 0, number: 0, free, to_hash, to_pack, watch, stop };
            let value = produce(&mut blocks)?;
            if blocks.at > 0 {
                blocks.pass_on()?;
            }
            Ok(value)
        });
        let free_again = to_free.clone();
        let hasher = scope.spawn(move || hash(&hash_from, &free_again));
        for _ in 0..packers {
            let (from, to, reuse) = (pack_from.clone(), to_write.clone(), reuse.clone());
            scope.spawn(move || pack(packing, &from, &to, &reuse));
        }
        drop((pack_from, to_write, reuse));
        let written = write(&mut out, packing, &write_from, &to_free, &to_reuse);
        // Where it failed, or a packer did, blocks are lost and do not come back: a producer that waits for one gets this.
        stop.store(true, Ordering::Relaxed);
        let _ = to_free.try_send(Vec::new());
        // Before waiting for the others: they stop when nobody takes what they have.
        drop((write_from, to_free, to_reuse));
        (producer.join(), hasher.join(), written)
    });
    let produced = produced.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (diff_id, tar_bytes) = hashed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let written = match (written, &produced) {
        (Err(error), _) => return Err(unwritable(error)),
        (Ok(written), _) => written,
    };
    let value = produced?;
    out.flush().map_err(unwritable)?;
    let digest = written.digest.unwrap_or(diff_id.0);
    Ok((value, Sums { digest, diff_id, blob_bytes: written.bytes, tar_bytes }))
}

fn unwritable(error: io::Error) -> Fault {
    Fault::system(b"the layer", "write", error)
}

fn hash(from: &Receiver<Arc<Vec<u8>>>, to_free: &Sender<Vec<u8>>) -> (DiffId, u64) {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    for block in from {
        hash.update(&block[..]);
        bytes += block.len() as u64;
        give_back(block, to_free);
    }
    (DiffId(Digest::from_bytes(hash.finalize().into())), bytes)
}

/// Whoever is the last to need a block gives it back.
fn give_back(block: Arc<Vec<u8>>, to_free: &Sender<Vec<u8>>) {
    if let Some(block) = Arc::into_inner(block) {
        let _ = to_free.try_send(block);
    }
}

fn pack(packing: Packing, from: &Receiver<Job>, to_write: &Sender<(u64, Done)>, reuse: &Receiver<Vec<u8>>) {
    let mut packer = Packer::new(packing);
    for Job { number, block } in from {
        let packed = match &mut packer {
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            Ok(packer) => packer.pack(&block, reuse.try_recv().unwrap_or_default()),
        };
        if to_write.send((number, Done { block, packed })).is_err() {
            return;
        }
    }
}

struct Written {
    /// `None` for a plain tar, whose digest is its diff id.
    digest: Option<Digest>,
    bytes: u64,
}

fn write(
    out: &mut impl Write,
    packing: Packing,
    from: &Receiver<(u64, Done)>,
    to_free: &Sender<Vec<u8>>,
    to_reuse: &Sender<Vec<u8>>,
) -> io::Result<Written> {
    let mut hash = (!packing.is_plain()).then(Sha256::new);
    let mut bytes = 0;
    let mut seeks = Seeks::new(packing);
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (number, done) in from {
        waiting.insert(number, done);
        while let Some(Done { block, packed }) = waiting.remove(&next) {
            next += 1;
            let packed = packed?;
            let piece: &[u8] = packed.as_deref().unwrap_or(&block);
            if let Some(hash) = &mut hash {
                hash.update(piece);
            }
            out.write_all(piece)?;
            bytes += piece.len() as u64;
            seeks.add(piece.len(), block.len());
            if let Some(packed) = packed {
                let _ = to_reuse.try_send(packed);
            }
            give_back(block, to_free);
        }
    }
    let table = seeks.table();
    if let Some(hash) = &mut hash {
        hash.update(&table);
    }
    out.write_all(&table)?;
    bytes += table.len() as u64;
    Ok(Written { digest: hash.map(|h| Digest::from_bytes(h.finalize().into())), bytes })
}
