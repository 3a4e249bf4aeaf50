//! What unpacking an image costs, stage by stage, each alone on one core: inflating, extracting, the digests of blobs and of tars.
//!
//! ```text
//! cargo run --release -p benches --example stages -- IMAGE [FOLDER]
//! ```
//!
//! IMAGE is an OCI layout or an archive; extracted is below FOLDER (default: the folder for temporary files), and removed. The
//! sum is what a program that wastes nothing needs on one core, half of it on two. Extracting is what unpacking the plain
//! tar takes beyond its digest. Blobs and tars are in memory, so no disk is read; what is extracted is not synced.

use layer::compression::{LOOKAHEAD_BYTES, recognise, unpacked};
use layer::extract::{Expected, Options, unpack_layer};
use layer::source::ImageSource;
use rustix::thread::CpuSet;
use sha2::{Digest as _, Sha256};
use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time on the clock and time of the processor.
#[derive(Clone, Copy, Default)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

fn measure<T>(took: &mut Took, work: impl FnOnce() -> T) -> T {
    let (wall, before) = (Instant::now(), cpu());
    let value = work();
    took.wall += wall.elapsed();
    took.cpu += cpu() - before;
    value
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let image = words.next().ok_or("IMAGE [FOLDER]")?;
    let folder = words.next().unwrap_or_else(std::env::temp_dir);
    let mut core = CpuSet::new();
    core.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &core)?;

    let source = ImageSource::open(&image)?;
    let layers = source.images().first().ok_or("no image")?.layers.clone();
    let [mut inflate, mut blob_digest, mut tar_digest, mut both] = [Took::default(); 4];
    let mut bytes = 0;
    for layer in layers {
        let mut blob = Vec::new();
        source.blob(&layer)?.read_to_end(&mut blob)?;
        let compression = recognise(&blob[..blob.len().min(LOOKAHEAD_BYTES)]).map_err(|e| format!("{e:?}"))?;
        let mut buffer = vec![0; 256 << 10];
        measure(&mut inflate, || -> std::io::Result<()> {
            let mut reader = unpacked(compression, &blob[..], false)?;
            while reader.read(&mut buffer)? > 0 {}
            Ok(())
        })?;
        let mut tar = Vec::new();
        unpacked(compression, &blob[..], false)?.read_to_end(&mut tar)?;
        measure(&mut blob_digest, || Sha256::digest(&blob));
        measure(&mut tar_digest, || Sha256::digest(&tar));
        let dir = tempfile::tempdir_in(&folder)?;
        let fd = std::fs::File::open(dir.path())?;
        let expected = Expected::named("the layer");
        measure(&mut both, || unpack_layer(&tar[..], fd.as_fd(), &expected, &Options::default()))?;
        bytes += tar.len();
    }
    let minus = |a: Duration, b: Duration| a.saturating_sub(b);
    let extract = Took { wall: minus(both.wall, tar_digest.wall), cpu: minus(both.cpu, tar_digest.cpu) };
    let sum = [inflate, extract, blob_digest, tar_digest]
        .iter()
        .fold(Took::default(), |all, one| Took { wall: all.wall + one.wall, cpu: all.cpu + one.cpu });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:24}{:>10}{:>10}{:>12}", "one core", "wall s", "cpu s", "MB/s of tar")?;
    for (name, took) in [
        ("inflate", inflate),
        ("extract", extract),
        ("sha256 of blobs", blob_digest),
        ("sha256 of tars", tar_digest),
        ("sum", sum),
        ("half of it", Took { wall: sum.wall / 2, cpu: sum.cpu / 2 }),
        ("half of it, times 1.15", Took { wall: sum.wall * 23 / 40, cpu: sum.cpu * 23 / 40 }),
    ] {
        let (wall, cpu) = (took.wall.as_secs_f64(), took.cpu.as_secs_f64());
        writeln!(out, "{name:24}{wall:>10.3}{cpu:>10.3}{:>12.0}", bytes as f64 / 1e6 / wall)?;
    }
    Ok(())
}
