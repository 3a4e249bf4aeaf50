//! Small archives in every dialect and packing, cut off and changed at every byte: an error, or the very same tree.
//!
//! What holds, and what cannot be caught where neither digest nor diff id is known:
//!
//! - With a digest or diff id nothing that differs is ever taken.
//! - A plain tar has a checksum over each header and none over data: a changed byte in a file's content, in a PAX record, a GNU long
//!   name or behind the end is taken as it is. Cut between two entries it is a shorter tar.
//! - gzip has a CRC over all its data: only bytes that mean nothing (time, name, system) can change. Of several members the
//!   last ones can be missing, where that is between two entries.
//! - zstd with its checksum likewise; without it, changed literals are taken as they are.
//!
//! Of zeros that follow zeros every eighth is tried, and of packed bytes one change each; all with `VENEER_EVERY_BYTE=1`.

#[path = "every_byte/image.rs"]
mod image;

use layer::extract::{self, Expected, Options, Owners, Report, Whiteouts};
use rustix::fs::{Mode, OFlags};
use spec::{DiffId, Digest};
use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use testkit::corpus::{self, BLOCK, Item};
use testkit::tree::{Tree, snapshot};

/// An archive, and where in it a change cannot be seen.
struct Dialect {
    name: &'static str,
    tar: Vec<u8>,
    /// Offsets where a cut leaves whole entries.
    seams: BTreeSet<usize>,
    /// Offsets that no checksum covers.
    data: BTreeSet<usize>,
}

impl Dialect {
    fn new(name: &'static str, items: &[Item]) -> Self {
        let tar = corpus::tar(items);
        let (mut seams, mut data, mut at) = (BTreeSet::from([0]), BTreeSet::new(), 0);
        for item in items {
            let end = at + item.bytes().len();
            // Headers are told from data as a reader tells them: by the size in them.
            while at < end {
                let size = std::str::from_utf8(&tar[at + 124..at + 135]).unwrap();
                let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap();
                let (header, next) = (at, at + BLOCK + size.next_multiple_of(BLOCK));
                data.extend(at + BLOCK..next);
                at = next;
                // The last padding may be missing: some writers leave it out. A global header is an entry like others.
                if at == end || tar[header + 156] == b'g' {
                    seams.extend(header + BLOCK + size..=at);
                }
            }
            seams.insert(end);
        }
        // All may lack the end.
        seams.extend(at..tar.len());
        data.extend(at + BLOCK..tar.len());
        Self { name, tar, seams, data }
    }
}

fn one_of_each(item: fn(&str) -> Item) -> Vec<Item> {
    vec![
        item("d/f").claims(7).data(b"content").mode(0o640).owner(1, 2),
        item("h").raw(156, b"1").raw(157, b"d/f"),
        item("d/.wh.gone"),
    ]
}

fn ustar() -> Dialect {
    Dialect::new("ustar", &one_of_each(|name| Item::file(name, b"")))
}

fn v7() -> Dialect {
    Dialect::new("v7", &one_of_each(|name| Item::file(name, b"").raw(257, &[0; 8])))
}

fn pax() -> Dialect {
    let long = "n".repeat(60) + "/" + &"m".repeat(60);
    let items = [
        Item::file(&long, b"x").mtime("-1.5").xattr("user.a", b"1\n2\0"),
        Item::link("l", "x").pax("linkpath", &long).after(&corpus::global(&[("comment", "nothing")])),
        Item::file("sized", [7; 700]).pax("size", "700").pax("uid", "70000"),
    ];
    Dialect::new("pax", &items)
}

fn gnu() -> Dialect {
    let long = "n".repeat(60) + "/" + &"m".repeat(60);
    let items = [
        Item::file("short", b"x").raw(257, b"ustar  \0").gnu_name(&long),
        Item::link("l", "short").raw(257, b"ustar  \0").gnu_link(&long),
    ];
    Dialect::new("gnu", &items)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::GzBuilder::new().mtime(1).filename("a.tar").write(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8], checksum: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(checksum).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What is unpacked in one thread, given to another that fails when it takes too long.
fn watched(what: &str, work: impl FnOnce(&dyn Fn(String)) + Send) {
    let (tell, hear) = mpsc::channel::<String>();
    std::thread::scope(|scope| {
        scope.spawn(move || work(&move |at| tell.send(at).unwrap()));
        let mut last = String::from("the begin");
        loop {
            // A byte takes milliseconds; a busy machine may give no turn for minutes.
            match hear.recv_timeout(Duration::from_secs(600)) {
                Ok(at) => last = at,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // The scope would wait for the thread that hangs.
                    let _ = std::io::stderr().write_all(format!("{what}: {last}: hangs\n").as_bytes());
                    std::process::abort();
                }
            }
        }
    });
}

fn unpack(blob: &[u8], dir: &Path, expected: &Expected) -> Result<Report, layer::Error> {
    std::fs::create_dir(dir).unwrap();
    let fd = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let options = Options { owners: Owners::Caller, whiteouts: Whiteouts::Oci, ..Options::default() };
    extract::unpack_layer(blob, fd.as_fd(), expected, &options)
}

/// What is known of a blob before it is read; indexes [`Judge::expected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Digest,
    DiffId,
}

impl Known {
    const ALL: [Self; 3] = [Self::Nothing, Self::Digest, Self::DiffId];
}

/// What is wrong with having taken `blob`; nothing where it was refused as it should be.
struct Judge {
    scratch: tempfile::TempDir,
    whole: Tree,
    expected: [Expected; 3],
    name: String,
}

impl Judge {
    fn new(name: &str, blob: &[u8]) -> Self {
        let scratch = tempfile::Builder::new().prefix("veneer-layer.").tempdir_in(room()).unwrap();
        let dir = scratch.path().join("whole");
        let report = unpack(blob, &dir, &Expected::named(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = [
            Expected::named("l"),
            Expected { digest: Some(Digest::of(blob)), ..Expected::named("l") },
            Expected { diff_id: Some(DiffId(report.diff_id.0)), ..Expected::named("l") },
        ];
        Self { whole: timeless(&dir), scratch, expected, name: name.to_owned() }
    }

    /// Unpacks what is not the whole blob. `unseen`: nothing in it could tell, unless digest or diff id are known.
    fn try_one(&self, blob: &[u8], unseen: bool, known: &[Known], at: &str) {
        for known in known {
            let dir = self.scratch.path().join("one");
            let result = unpack(blob, &dir, &self.expected[*known as usize]);
            let (name, what) = (&self.name, format!("{}: {at}, {known:?} known", self.name));
            match result {
                Err(error) => {
                    let (line, hint) = (error.to_string(), error.hint.clone().unwrap_or_default());
                    assert!(line.starts_with("layer l: ") && !line.contains('\n'), "{what}: {line}");
                    assert!(!hint.contains('\n'), "{what}: {hint}");
                    let told = !hint.is_empty() || error.raw_os_error().is_some();
                    assert!(told, "{what}: {line}: no hint");
                }
                Ok(_) if *known == Known::Digest => panic!("{what}: taken"),
                Ok(_) if *known == Known::Nothing && unseen => {}
                Ok(_) => self.whole.assert_same(&timeless(&dir), &format!("{what}: taken, and differs from {name}")),
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

/// Memory, where there is a file system in memory: thousands of trees are made.
fn room() -> &'static Path {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm } else { Path::new("/tmp") }
}

/// Directories without entries of their own get the time of the day.
fn timeless(dir: &Path) -> Tree {
    snapshot(dir).without_times(|_, node| node.kind == "directory")
}

fn thorough() -> bool {
    std::env::var_os("VENEER_EVERY_BYTE").is_some()
}

/// The sums see every byte alike, so they are asked now and then.
fn known(at: usize) -> &'static [Known] {
    if thorough() || at.is_multiple_of(16) { &Known::ALL } else { &[Known::Nothing] }
}

/// Every byte of a plain tar: cut there, and changed there.
fn plain(dialect: &Dialect) {
    let judge = Judge::new(dialect.name, &dialect.tar);
    watched(dialect.name, |tell| {
        for at in (0..dialect.tar.len())
            .filter(|at| thorough() || at.is_multiple_of(8) || dialect.tar[at - 1..=*at] != [0, 0])
        {
            tell(format!("byte {at}"));
            let known = known(at);
            judge.try_one(&dialect.tar[..at], dialect.seams.contains(&at), known, &format!("cut at {at}"));
            let mut changed = dialect.tar.clone();
            let change = if at.is_multiple_of(2) { 1 } else { 0x80 };
            changed[at] ^= change;
            judge.try_one(&changed, dialect.data.contains(&at), known, &format!("byte {at} changed by {change}"));
        }
    });
}

/// Every byte of something packed. `unseen`: which changes only a digest or diff id can tell; `seams`: where it may be cut.
fn packed(name: &str, blob: &[u8], seams: &[usize], unseen: impl Fn(usize) -> bool + Sync) {
    let judge = Judge::new(name, blob);
    watched(name, |tell| {
        for at in 0..blob.len() {
            tell(format!("byte {at}"));
            judge.try_one(&blob[..at], seams.contains(&at), known(at), &format!("cut at {at}"));
            let changes = [1, 0x10, 0x80, 0xff];
            for change in if thorough() { &changes[..] } else { &changes[at % 4..=at % 4] } {
                let mut changed = blob.to_vec();
                changed[at] ^= change;
                judge.try_one(&changed, unseen(at), known(at), &format!("byte {at} changed by {change}"));
            }
            // One too many, one too few in the middle.
            let (before, after) = blob.split_at(at);
            judge.try_one(&[before, &after[1..]].concat(), unseen(at), known(at), &format!("byte {at} missing"));
        }
    });
}

#[test]
fn plain_ustar() {
    plain(&ustar());
}

#[test]
fn plain_v7() {
    plain(&v7());
}

#[test]
fn plain_pax() {
    plain(&pax());
}

#[test]
fn plain_gnu() {
    plain(&gnu());
}

#[test]
fn gzip_of_one_member() {
    for dialect in [ustar(), v7(), pax(), gnu()] {
        packed(&format!("gzip of {}", dialect.name), &gzip(&dialect.tar), &[], |_| false);
    }
}

/// Two parts of a tar, the first ending between two entries.
fn halves(dialect: &Dialect) -> (&[u8], &[u8]) {
    let middle = dialect.seams.iter().copied().find(|at| *at > 600 && at % BLOCK == 0).unwrap();
    dialect.tar.split_at(middle)
}

#[test]
fn gzip_of_several_members() {
    let pax = pax();
    let (one, two) = halves(&pax);
    let one = gzip(one);
    let blob = [&one[..], &gzip(b""), &gzip(two), &[0; 20]].concat();
    // The second member is empty; behind the third are zeros.
    let ends = [one.len(), one.len() + gzip(b"").len()];
    packed("two members", &blob, &ends, |at| ends.contains(&at));
}

#[test]
fn zstd_of_one_frame() {
    for dialect in [ustar(), pax()] {
        packed(&format!("zstd of {}", dialect.name), &zstd(&dialect.tar, true), &[], |_| false);
        packed(&format!("zstd of {} without checksum", dialect.name), &zstd(&dialect.tar, false), &[], |_| true);
    }
}

#[test]
fn zstd_of_several_frames() {
    let pax = pax();
    let (one, two) = halves(&pax);
    let one = zstd(one, true);
    let skippable = [0x5a, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];
    let blob = [&one[..], &skippable, &zstd(two, true), &skippable].concat();
    let end = one.len() + skippable.len();
    packed("two frames", &blob, &[one.len(), end], |at| (one.len()..end).contains(&at));
}
