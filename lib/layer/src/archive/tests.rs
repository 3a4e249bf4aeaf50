//! Entries out of tars made by hand and by the crate `tar`.

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
fn a_pax_path_beats_a_long_name_and_its_size_is_not_the_long_names() {
    let mut tar = Vec::new();
    let pax = b"17 path=from-pax\n9 size=3\n";
    add(&mut tar, &header("x", b'x', pax.len() as u64), pax);
    add(&mut tar, &header("l", b'L', 9), b"from-gnu\0");
    add(&mut tar, &header("short", b'0', 3), b"abc");
    add(&mut tar, &header("next", b'5', 0), b"");
    let all = entries(&tar).unwrap();
    assert_eq!(all[0].path, b"from-pax");
    assert_eq!(all[0].size, 3);
    assert_eq!(all[1].path, b"next");
}

#[test]
fn a_size_on_a_link_is_ignored_as_go_does() {
    let mut tar = Vec::new();
    let mut link = header("l", b'2', 512);
    link.set_link_name("to").unwrap();
    link.set_cksum();
    add(&mut tar, &link, b"");
    add(&mut tar, &header("seen", b'0', 0), b"");
    let all = entries(&tar).unwrap();
    assert_eq!((all[0].size, &all[0].link[..]), (0, &b"to"[..]));
    assert_eq!(all[1].path, b"seen");
}

#[test]
fn global_headers_hold_for_all_that_follow_until_taken_back() {
    let mut tar = Vec::new();
    add(&mut tar, &header("g", b'g', 10), b"10 uid=77\n");
    add(&mut tar, &header("a", b'0', 0), b"");
    add(&mut tar, &header("x", b'x', 9), b"9 uid=78\n");
    add(&mut tar, &header("b", b'0', 0), b"");
    let all = entries(&tar).unwrap();
    assert_eq!((all[0].uid, all[1].uid), (77, 78));
    let mut tar = Vec::new();
    add(&mut tar, &header("g", b'g', 9), b"9 path=a\n");
    assert!(message(entries(&tar).unwrap_err()).contains("names one entry"));
}

#[test]
fn sparse_and_unknown_entries_are_errors_by_name() {
    let mut tar = Vec::new();
    add(&mut tar, &header("holes", b'S', 0), b"");
    assert_eq!(message(entries(&tar).unwrap_err()), "layer L: holes: sparse files are not read yet");
    let mut tar = Vec::new();
    add(&mut tar, &header("x", b'x', 22), b"22 GNU.sparse.major=1\n");
    add(&mut tar, &header("holes", b'0', 0), b"");
    assert_eq!(message(entries(&tar).unwrap_err()), "layer L: holes: sparse files are not read yet");
    let mut tar = Vec::new();
    add(&mut tar, &header("odd", b'D', 0), b"");
    assert_eq!(message(entries(&tar).unwrap_err()), "layer L: odd: entries of type 'D' are not read");
}

#[test]
fn every_cut_is_noticed_but_one_between_entries() {
    let mut tar = Vec::new();
    add(&mut tar, &header("l", b'L', 9), b"long-one\0");
    add(&mut tar, &header("a", b'0', 600), &[1; 600]);
    add(&mut tar, &header("b", b'0', 5), b"hello");
    let whole = tar.len();
    for cut in 1..whole {
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
