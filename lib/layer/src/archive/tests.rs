//! Entries out of tars made by hand and by the crate `tar`.

mod dialects;
mod disputes;

use super::*;

fn entries(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    let mut archive = Archive::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = archive.next()? {
        all.push(entry);
    }
    Ok(all)
}

fn header(name: &str, kind: u8, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn add(tar: &mut Vec<u8>, header: &tar::Header, data: &[u8]) {
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn message(fault: Fault) -> String {
    fault.in_layer("L").to_string()
}

#[test]
fn every_cut_is_noticed_but_one_between_entries() {
    let mut tar = Vec::new();
    add(&mut tar, &header("l", b'L', 9), b"long-one\0");
    add(&mut tar, &header("a", b'0', 600), &[1; 600]);
    add(&mut tar, &header("b", b'0', 5), b"hello");
    let whole = tar.len();
    for cut in 1..whole {
        // Behind the data, its padding may be missing.
        let between = (2136..=2560).contains(&cut) || cut >= 2560 + 512 + 5;
        assert_eq!(entries(&tar[..cut]).is_ok(), between, "cut at {cut}");
    }
}

#[test]
fn claims_of_huge_headers_cost_no_memory() {
    for kind in *b"LKxg" {
        let mut tar = Vec::new();
        add(&mut tar, &header("huge", kind, 8 << 30), b"");
        assert_eq!(entries(&tar).unwrap_err().kind, Kind::Corrupt);
    }
}

#[test]
fn finds_what_the_crate_tar_writes() {
    let mut builder = tar::Builder::new(Vec::new());
    let long = "d/".repeat(90) + "file";
    let mut one = tar::Header::new_gnu();
    one.set_size(3);
    one.set_mode(0o4755);
    one.set_uid(1 << 40);
    one.set_mtime(12);
    builder.append_data(&mut one, &long, &b"abc"[..]).unwrap();
    let tar = builder.into_inner().unwrap();
    let all = entries(&tar).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].path, long.as_bytes());
    assert_eq!((all[0].mode, all[0].uid, all[0].mtime.seconds), (0o4755, 1 << 40, 12));
}

#[test]
fn broken_bytes_are_errors_and_never_more() {
    let mut tar = Vec::new();
    let pax = b"26 SCHILY.xattr.user.a=1\n\n20 mtime=-1.5000000\n9 size=3\n";
    add(&mut tar, &header("x", b'x', pax.len() as u64), pax);
    add(&mut tar, &header("l", b'L', 9), b"from-gnu\0");
    add(&mut tar, &header("file", b'0', 3), b"abc");
    add(&mut tar, &header("d/", b'5', 0), b"");
    add(&mut tar, &header("dev", b'3', 0), b"");
    // A generator of our own, so that a failure comes again.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..5_000 {
        let mut bad = tar.clone();
        for _ in 0..1 + random(4) {
            let at = random(bad.len());
            bad[at] = random(256) as u8;
        }
        // Checksums that hold, so that what is behind them is reached.
        for block in (0..bad.len()).step_by(512) {
            let mut whole = tar::Header::from_byte_slice(&bad[block..block + 512]).clone();
            whole.set_cksum();
            bad[block..block + 512].copy_from_slice(whole.as_bytes());
        }
        let mut archive = Archive::seekable(io::Cursor::new(&bad[..]));
        while let Ok(Some(_)) = archive.next() {}
        let _ = entries(&bad);
    }
}
