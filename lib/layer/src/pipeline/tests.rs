//! The pipeline's faults: cuts and flips at every byte, readers that fail or hang, consumers that leave, memory.

use super::*;
use crate::compression::samples::{deflated, member, texture};
use flate2::Crc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use testkit::dice::Dice;

fn tar(length: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let data = texture(&mut Dice::new(0x5eed_0031), length);
    header.set_size(data.len() as u64);
    builder.append_data(&mut header, "file", &data[..]).unwrap();
    builder.into_inner().unwrap()
}

/// The tar as it is and packed.
fn forms(tar: &[u8]) -> [Vec<u8>; 3] {
    [tar.to_vec(), member(&mut Dice::new(1), tar, 6, false), ::zstd::encode_all(tar, 3).unwrap()]
}

fn known(blob: &[u8], tar: &[u8]) -> Known {
    Known {
        digest: Some(Digest::of(blob)),
        diff_id: Some(DiffId(Digest::of(tar))),
        size_bytes: Some(blob.len() as u64),
    }
}

fn read_all(chunks: &mut Chunks<'_>) -> Result<Vec<u8>, Fault> {
    let mut all = Vec::new();
    match chunks.read_to_end(&mut all) {
        Ok(_) => Ok(all),
        Err(e) => Err(Fault::layer(Kind::Corrupt, e)),
    }
}

fn pass(blob: impl Read + Send, known: &Known) -> Result<(Vec<u8>, Sums), Fault> {
    run(blob, known, Watch::default(), read_all)
}

#[test]
fn gives_the_tar_and_both_digests() {
    for length in [0, 1, 700_000, 5_000_000] {
        let tar = tar(length);
        for blob in forms(&tar) {
            let (all, sums) = pass(&blob[..], &known(&blob, &tar)).unwrap();
            assert!(all == tar);
            assert_eq!((sums.blob_bytes, sums.tar_bytes), (blob.len() as u64, tar.len() as u64));
            assert_eq!((sums.digest, sums.diff_id.0), (Digest::of(&blob), Digest::of(&tar)));
        }
    }
}

#[test]
fn cut_at_any_byte_it_is_one_clear_fault() {
    let tar = tar(1_500);
    for blob in forms(&tar) {
        let known = known(&blob, &tar);
        for end in 0..blob.len() {
            let cut = &blob[..end];
            let told = pass(cut, &known).unwrap_err();
            assert!(matches!(told.kind, Kind::Truncated), "{end}: {told:?}");
            // Nobody knows how long it should be: the stream itself must tell.
            let alone = pass(cut, &Known { diff_id: known.diff_id, ..Known::default() }).unwrap_err();
            let expected = match compression::recognise(&cut[..end.min(compression::LOOKAHEAD_BYTES)]) {
                Err(unknown) => unknown.fault().kind,
                Ok(Compression::None) => Kind::DiffId,
                Ok(_) => Kind::Truncated,
            };
            assert_eq!(alone.kind, expected, "{end}: {alone:?}");
        }
    }
}

#[test]
fn a_flipped_bit_is_a_fault_of_the_blob_or_else_of_its_stream() {
    let tar = tar(1_500);
    for (n, blob) in forms(&tar).into_iter().enumerate() {
        let known = known(&blob, &tar);
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1 << (at % 8);
            assert_eq!(pass(&bad[..], &known).unwrap_err().kind, Kind::Digest, "form {n}, byte {at}");
            match pass(&bad[..], &Known { diff_id: known.diff_id, ..Known::default() }) {
                Ok((all, _)) => assert!(n > 0 && all == tar, "form {n}, byte {at}"),
                Err(fault) => assert!(
                    matches!(fault.kind, Kind::Corrupt | Kind::Truncated | Kind::DiffId | Kind::Unsupported),
                    "form {n}, byte {at}: {fault:?}"
                ),
            }
        }
    }
}

/// Gives bytes, and then does something.
struct Then<'a, F> {
    bytes: &'a [u8],
    given: &'a AtomicUsize,
    then: F,
}

impl<F: FnMut() -> io::Result<usize>> Read for Then<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.bytes.len()).min(10_000);
        if count == 0 {
            return (self.then)();
        }
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        self.given.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn a_reader_that_fails_is_what_went_wrong() {
    let tar = tar(3_000_000);
    for blob in forms(&tar) {
        for part in [0, 600, 700_000] {
            let given = AtomicUsize::new(0);
            let reader =
                Then { bytes: &blob[..part], given: &given, then: || Err(io::Error::from_raw_os_error(libc::EIO)) };
            let fault = pass(reader, &known(&blob, &tar)).unwrap_err();
            assert_eq!(fault.kind, Kind::System);
            assert!(format!("{fault:?}").contains("cannot be read"), "{fault:?}");
        }
    }
}

#[test]
fn cancelled_it_stops_wherever_it_is() {
    let tar = tar(3_000_000);
    for blob in forms(&tar) {
        for part in [0, 600, 700_000] {
            let (given, cancel) = (AtomicUsize::new(0), AtomicBool::new(false));
            let reader = Then {
                bytes: &blob[..part],
                given: &given,
                // A signal came, and goes on coming.
                then: || {
                    cancel.store(true, Ordering::Relaxed);
                    Err(io::ErrorKind::Interrupted.into())
                },
            };
            let watch = Watch { cancel: Some(&cancel), ..Watch::default() };
            let fault = run(reader, &known(&blob, &tar), watch, read_all).unwrap_err();
            assert_eq!(fault.kind, Kind::Cancelled);
        }
    }
}

#[test]
fn a_consumer_may_stop_early() {
    let tar = tar(20_000_000);
    for blob in forms(&tar) {
        let given = AtomicUsize::new(0);
        // Content with what it has: the rest is checked all the same.
        let reader = Then { bytes: &blob, given: &given, then: || Ok(0) };
        run(reader, &known(&blob, &tar), Watch::default(), |chunks| {
            chunks.fill_buf().unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(given.swap(0, Ordering::Relaxed), blob.len());
        // Failed for a reason of its own: nobody wants the rest.
        let reader = Then { bytes: &blob, given: &given, then: || Ok(0) };
        let fault = run(reader, &known(&blob, &tar), Watch::default(), |chunks| {
            chunks.fill_buf().unwrap();
            Err::<(), _>(Fault::layer(Kind::System, "disk full"))
        })
        .unwrap_err();
        assert_eq!(fault.kind, Kind::System);
        assert!(given.load(Ordering::Relaxed) < blob.len() * 3 / 4);
    }
}

#[test]
fn what_has_come_is_handed_on_before_the_rest_comes() {
    let tar = tar(3_000_000);
    for blob in forms(&tar) {
        let (given, seen) = (AtomicUsize::new(0), AtomicBool::new(false));
        let part = &blob[..300_000];
        let reader = Then {
            bytes: part,
            given: &given,
            then: || {
                let until = Instant::now() + Duration::from_secs(20);
                while !seen.load(Ordering::Relaxed) {
                    assert!(Instant::now() < until, "nothing was handed on");
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(0)
            },
        };
        let fault = run(reader, &Known::default(), Watch::default(), |chunks| {
            // What 300,000 packed bytes give at least, but for what a piece and a chunk may keep.
            let mut some = vec![0; 200_000];
            chunks.read_exact(&mut some).unwrap();
            assert!(tar.starts_with(&some));
            seen.store(true, Ordering::Relaxed);
            read_all(chunks)
        });
        assert!(blob.len() == tar.len() || fault.unwrap_err().kind == Kind::Truncated);
    }
}

/// A gzip of `blocks` times the same 4 MB, zeros and noise, packed once: each stands for itself behind a full flush.
fn endless(blocks: usize) -> (impl Read + Send, u64) {
    let mut random = Dice::new(0x5eed_0032);
    let mut block = vec![0; 4 << 20];
    for part in block.chunks_mut(1 << 20) {
        let noise = texture(&mut random, 300_000);
        part[..noise.len()].copy_from_slice(&noise);
    }
    // Without its end (the last block, fixed and empty, or with codes) it can be followed by the next.
    let mut packer = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut packed = Vec::with_capacity(block.len());
    packer.compress_vec(&block, &mut packed, flate2::FlushCompress::Full).unwrap();
    assert_eq!(packer.total_in(), block.len() as u64);
    let (mut one, mut all) = (Crc::new(), Crc::new());
    one.update(&block);
    for _ in 0..blocks {
        all.combine(&one);
    }
    let size = (blocks * block.len()) as u64;
    let mut end = deflated(&mut random, &[], 6, false);
    end.extend(all.sum().to_le_bytes());
    end.extend((size as u32).to_le_bytes());
    let start = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let middle = Repeat { bytes: packed, at: 0, left: blocks };
    (Cursor::new(start).chain(middle).chain(Cursor::new(end)), size)
}

struct Repeat {
    bytes: Vec<u8>,
    at: usize,
    left: usize,
}

impl Read for Repeat {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let count = (self.bytes.len() - self.at).min(buffer.len());
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        if self.at == self.bytes.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(count)
    }
}

const MEMORY: &str = "VENEER_TEST_PIPELINE_MEMORY";

/// The most memory this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Runs in a process of its own, started by the test below.
#[test]
fn memory_child() {
    let Ok(what) = std::env::var(MEMORY) else { return };
    let drop_all = |chunks: &mut Chunks<'_>| {
        let mut bytes = 0;
        loop {
            let count = chunks.fill_buf().unwrap().len();
            if count == 0 {
                return Ok(bytes);
            }
            bytes += count as u64;
            chunks.consume(count);
        }
    };
    if what == "zstd" {
        // As large a window as is given, and more data than it.
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        let noise = texture(&mut Dice::new(0x5eed_0033), 1 << 20);
        for _ in 0..300 {
            io::Write::write_all(&mut encoder, &noise).unwrap();
        }
        let blob = encoder.finish().unwrap();
        let before = peak_mib();
        let (bytes, _) = run(&blob[..], &Known::default(), Watch::default(), drop_all).unwrap();
        assert_eq!(bytes, 300 << 20);
        // Packing took more than unpacking may: what counts is that it does not grow beyond it.
        assert!(peak_mib() <= before.max(128 + 64), "{before} and then {} MiB", peak_mib());
        return;
    }
    let jobs: usize = what.parse().unwrap();
    crate::compression::budget::limit_workers(std::num::NonZeroUsize::new(jobs).unwrap());
    let (blob, size) = endless(256);
    let (bytes, _) = run(blob, &Known::default(), Watch::default(), drop_all).unwrap();
    assert_eq!(bytes, size);
    // Two thirds of 64 MiB are ours, and 32 for each helper; the test's own bytes beside them.
    let most = 43 + 32 * (jobs as u64 - 1) + 12;
    assert!(peak_mib() <= most, "{} MiB with {jobs} jobs, at most {most}", peak_mib());
}

/// Contract U22.
#[test]
fn memory_is_bounded_whatever_passes_through() {
    for what in ["1", "2", "5", "zstd"] {
        let program = std::env::current_exe().unwrap();
        let out = std::process::Command::new(program)
            .args(["--exact", "--nocapture", "pipeline::tests::memory_child"])
            .env(MEMORY, what)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success() && text.contains("1 passed"),
            "{what}: {text}{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}
