//! One layer into one folder, by compression, and each stage on the way alone: `cargo bench -p benches --bench layer`. What the
//! stages take for a real image: `cargo run --release -p benches --example stages`.
//!
//! The layer is made here: 2,000 files of 0 to 8 kB in 100 folders, and one of 16 MB that compresses by half. It is unpacked on
//! /dev/shm where there is one, so that the figures are of the program and not of a disk.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use layer::compression::{Compression, unpacked};
use layer::extract::{Expected, Options, Owners, unpack_layer};
use sha2::Digest as _;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

fn plain_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut state = 7_u32;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        // Half of each run of 16 bytes is noise, half zeros.
        (0..length).map(|i| if i % 16 < 8 { next() } else { 0 }).collect()
    };
    let mut add = |name: String, kind: tar::EntryType, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, content).expect("an entry");
    };
    for folder in 0..100 {
        add(format!("d{folder}/"), tar::EntryType::Directory, &[]);
        for file in 0..20 {
            add(format!("d{folder}/f{file}"), tar::EntryType::Regular, &noise((folder * 20 + file) * 4));
        }
    }
    add("big".into(), tar::EntryType::Regular, &noise(16 << 20));
    tar.into_inner().expect("a tar")
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// A layer plain and packed.
fn forms(plain: &[u8]) -> [(&'static str, Compression, Vec<u8>); 3] {
    [
        ("plain", Compression::None, plain.to_vec()),
        ("gzip", Compression::Gzip, gzip(plain)),
        ("zstd", Compression::Zstd, zstd::encode_all(plain, 3).expect("memory takes it")),
    ]
}

fn drop_all(mut reader: impl Read, buffer: &mut [u8]) -> usize {
    let mut all = 0;
    loop {
        match reader.read(buffer).expect("it unpacks") {
            0 => return all,
            count => all += count,
        }
    }
}

/// What each stage takes alone. Bytes are those of the tar.
fn stages(c: &mut Criterion) {
    let plain = plain_layer();
    let mut buffer = vec![0; 256 << 10];
    let mut group = c.benchmark_group("stage");
    group.throughput(Throughput::Bytes(plain.len() as u64)).sample_size(20);
    for (name, compression, blob) in forms(&plain).iter().skip(1) {
        for (how, ahead) in [("", false), (", idle cores help", true)] {
            group.bench_function(format!("inflate {name}{how}"), |b| {
                b.iter(|| {
                    let reader = unpacked(*compression, blob.as_slice(), ahead).expect("it begins");
                    assert_eq!(drop_all(reader, &mut buffer), plain.len());
                });
            });
        }
    }
    group.bench_function("inflate gzip, flate2", |b| {
        let blob = gzip(&plain);
        b.iter(|| assert_eq!(drop_all(flate2::bufread::MultiGzDecoder::new(&blob[..]), &mut buffer), plain.len()));
    });
    group.bench_function("sha256", |b| b.iter(|| sha2::Sha256::digest(&plain)));
    group.bench_function("crc32", |b| {
        b.iter(|| {
            let mut crc = flate2::Crc::new();
            crc.update(&plain);
            crc.sum()
        });
    });
    group.finish();
}

fn unpack(c: &mut Criterion) {
    let plain = plain_layer();
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let options = Options { owners: Owners::Caller, ..Options::default() };
    let mut group = c.benchmark_group("unpack");
    group.throughput(Throughput::Bytes(plain.len() as u64)).sample_size(20);
    for (name, _, blob) in &forms(&plain) {
        group.bench_function(*name, |b| {
            b.iter_batched(
                || tempfile::tempdir_in(place).expect("a temporary folder"),
                |dir| {
                    let folder = std::fs::File::open(dir.path()).expect("the folder");
                    unpack_layer(blob.as_slice(), folder.as_fd(), &Expected::named(name), &options)
                        .expect("it unpacks");
                    dir // removed outside the measurement
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, stages, unpack);
criterion_main!(benches);
