//! What a layer costs in memory, however big it is: 64 MB, 32 MB a worker, and the window of a zstd that has a large one.
//!
//! The peak is the kernel's own (VmHWM), read while the program still waits for the last bytes of its layer: then all that
//! came before has been through. `VENEER_LAYER_MB` makes the layers larger than CI has time for.
//!
//! Contract U22.

use crate::bench::{Bench, UNPACK};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::corpus::{Item, tar};

const MB: u64 = 1 << 20;
const WORKER_MB: u64 = 32;
const BASE_MB: u64 = 64;

/// Peak memory of a process in MB.
fn peak_mb(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.div_ceil(1024))
}

/// What the program has read of its standard input and not finished yet: it waits when this stands still.
fn read_bytes(child: &Child) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    io.lines().find_map(|l| l.strip_prefix("rchar: ")).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Gives `unpack` a layer on a pipe, packed by `packer`, all but the end of it; its peak when it waits for the rest.
fn peak_of(bench: &Bench, options: &str, packer: &str, feed: impl FnOnce(&mut dyn Write)) -> u64 {
    bench.sh("rm -rf out");
    let mut unpack = Command::new(UNPACK);
    unpack.args(["-C", "out", "--no-same-owner"]).args(options.split_whitespace()).arg("-");
    unpack.current_dir(bench.path("")).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut unpack = unpack.spawn().unwrap();
    let pipe = unpack.stdin.take().unwrap();
    let mut packer = Command::new("sh").args(["-c", packer]).stdin(Stdio::piped()).stdout(pipe).spawn().unwrap();
    let mut to_packer = packer.stdin.take().unwrap();
    feed(&mut to_packer);
    to_packer.flush().unwrap();
    // The packer holds some of it back, which does not matter.
    let (mut before, mut peak) = (u64::MAX, 0);
    loop {
        std::thread::sleep(Duration::from_millis(150));
        let now = read_bytes(&unpack);
        peak = peak_mb(&unpack).unwrap_or(peak);
        if now == before {
            break;
        }
        before = now;
    }
    to_packer.write_all(&[0; 1024]).unwrap();
    drop(to_packer);
    // Directories get what is due at the end.
    while unpack.try_wait().unwrap().is_none() {
        peak = peak_mb(&unpack).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    packer.wait().unwrap();
    let out = unpack.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    peak
}

/// How large a layer is that must not take more than `most_mb`: so much more than that, that keeping it would be seen.
fn layer_mb(most_mb: u64) -> u64 {
    std::env::var("VENEER_LAYER_MB").ok().and_then(|n| n.parse().ok()).unwrap_or(most_mb + 64)
}

/// One file of that size: zeros, and in each sixteenth megabyte noise, so that neither inflating nor writing is all.
fn one_file(megabytes: u64) -> impl FnOnce(&mut dyn Write) {
    move |to| {
        to.write_all(&Item::file("big", b"").claims(megabytes * MB).bytes()).unwrap();
        let zeros = vec![0; MB as usize];
        let mut noise = vec![0_u8; MB as usize];
        let mut state = 1_u64;
        for n in 0..megabytes {
            if n.is_multiple_of(16) {
                for eight in noise.chunks_exact_mut(8) {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    eight.copy_from_slice(&state.to_le_bytes());
                }
            }
            to.write_all(if n.is_multiple_of(16) { &noise } else { &zeros }).unwrap();
        }
    }
}

#[test]
fn a_large_layer_needs_no_more_than_a_small_one() {
    testkit::need!("gzip", "zstd");
    // What memory has no room for goes to the disk.
    let bench = if layer_mb(0) > 2048 { Bench::new() } else { Bench::in_memory() };
    for (packer, window_mb) in [("gzip -1", 0), ("zstd -1 -q", 8), ("zstd -1 -q --long=27", 128), ("cat", 0)] {
        for jobs in [1, 4] {
            let most = BASE_MB + jobs * WORKER_MB + window_mb;
            let size = layer_mb(most);
            let peak = peak_of(&bench, &format!("--jobs {jobs}"), packer, one_file(size));
            let line = format!("{packer}, {size} MB, {jobs} workers: {peak} of {most} MB\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            assert!(peak <= most, "{line}");
        }
    }
}

#[test]
fn many_entries_need_little_each() {
    let bench = Bench::in_memory();
    let count: u64 = std::env::var("VENEER_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(30_000);
    let (long, most) = ("n".repeat(60), BASE_MB + WORKER_MB);
    let mut above = String::new();
    type Maker = Box<dyn Fn(u64) -> Item>;
    let makers: [(&str, Maker); 3] = [
        ("files", Box::new(move |n| Item::file(format!("d{}/{long}{n}", n % 100), b""))),
        ("directories", Box::new(|n| Item::dir(format!("{}/{}/{}", n % 10, n / 10 % 100, n)))),
        ("directories with xattrs", Box::new(|n| Item::dir(format!("x{n}/")).xattr("user.a", [b'v'; 1000]))),
    ];
    for (what, make) in makers {
        for full in [false, true] {
            let count = if what.ends_with("xattrs") { count / 3 } else { count };
            bench.sh("rm -rf out");
            if full {
                bench.sh("mkdir out; echo mine > out/mine");
            }
            let mut unpack = Command::new(UNPACK)
                .args(["-C", "out", "--no-same-owner", "--jobs", "1", "-"])
                .current_dir(bench.path(""))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut pipe = std::io::BufWriter::with_capacity(1 << 20, unpack.stdin.take().unwrap());
            for n in 0..count {
                pipe.write_all(&make(n).bytes()).unwrap();
            }
            pipe.flush().unwrap();
            // Now it cannot have ended yet.
            let mut peak = peak_mb(&unpack).unwrap_or(0);
            pipe.write_all(&tar(&[])).unwrap();
            drop(pipe);
            while unpack.try_wait().unwrap().is_none() {
                peak = peak_mb(&unpack).unwrap_or(peak).max(peak);
                std::thread::sleep(Duration::from_millis(2));
            }
            assert!(unpack.wait().unwrap().success());
            let line = format!("{count} {what}, into a full folder: {full}: {peak} of {most} MB\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            assert!(peak > 0, "{line}");
            if peak > most {
                above.push_str(&line);
            }
        }
    }
    assert!(above.is_empty(), "{above}");
}
