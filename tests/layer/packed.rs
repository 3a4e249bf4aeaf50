//! Layers packed by every packer that is at hand, in every way it has: the same tree comes out. Contracts U6 and U22.

use crate::bench::Bench;

/// A tar of 7 MB in `a.tar`: text, noise, zeros, and what repeats far away.
const TAR: &str = r#"
    mkdir in; seq 1 300000 > in/text; head -c 2000000 /dev/urandom > in/noise; head -c 1500000 /dev/zero > in/zeros
    { head -c 30000 in/noise; seq 1 3000; head -c 30000 in/noise; } > in/again; cat in/text in/again in/text | tr 0-4 a-e > in/far
    tar -cf a.tar in
"#;

/// Unpacks each of `names` and compares; what comes by a pipe is the same.
fn all_give_the_tree(bench: &Bench, names: &[&str]) {
    for name in names {
        bench.unpacked(&format!("-C out {name}"));
        bench.sh("diff -r in out/in && rm -r out");
        bench.sh(&format!("cat {name} | $UNPACK -C out - && diff -r in out/in && rm -r out"));
    }
}

#[test]
fn every_strategy_and_flush_of_zlib() {
    testkit::need!("python3");
    let bench = Bench::in_memory();
    bench.sh(TAR);
    // What zlib can be told: fixed codes alone, no matches, runs alone; flushes after odd numbers of bytes; stored blocks; a small
    // window and little memory, which makes tiny blocks.
    bench.sh(r#"python3 - <<'E'
import zlib
data = open('a.tar', 'rb').read()
def write(name, level, strategy, flush, step, bits=31, memory=8):
    c = zlib.compressobj(level, zlib.DEFLATED, bits, memory, strategy)
    with open(name, 'wb') as f:
        for at in range(0, len(data), step):
            f.write(c.compress(data[at:at + step]) + (c.flush(flush) if flush else b''))
        f.write(c.flush())
write('fixed.tgz', 6, zlib.Z_FIXED, 0, 1 << 20)
write('huffman.tgz', 6, zlib.Z_HUFFMAN_ONLY, 0, 1 << 20)
write('rle.tgz', 6, zlib.Z_RLE, zlib.Z_SYNC_FLUSH, 99991)
write('filtered.tgz', 1, zlib.Z_FILTERED, zlib.Z_FULL_FLUSH, 50021)
write('stored.tgz', 0, zlib.Z_DEFAULT_STRATEGY, 0, 1 << 20)
write('tiny.tgz', 9, zlib.Z_DEFAULT_STRATEGY, zlib.Z_PARTIAL_FLUSH, 7001, 25, 1)
E"#);
    all_give_the_tree(&bench, &["fixed.tgz", "huffman.tgz", "rle.tgz", "filtered.tgz", "stored.tgz", "tiny.tgz"]);
}

#[test]
fn many_members_as_bgzf_and_estargz_have_them() {
    testkit::need!("python3");
    let bench = Bench::in_memory();
    bench.sh(TAR);
    bench.sh(r#"python3 - <<'E'
import gzip, random, struct, zlib
data = open('a.tar', 'rb').read()
with open('bgzf.tgz', 'wb') as f:
    for at in list(range(0, len(data), 65280)) + [len(data)]:
        part = data[at:at + 65280]
        c = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = c.compress(part) + c.flush()
        f.write(b'\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0' + struct.pack('<H', len(packed) + 25))
        f.write(packed + struct.pack('<II', zlib.crc32(part), len(part)))
random.seed(7)
with open('estargz.tgz', 'wb') as f:
    at = 0
    while at < len(data):
        step = random.choice([512, 1024, 4096, 700000])
        f.write(gzip.compress(data[at:at + step]))
        at += step
E"#);
    all_give_the_tree(&bench, &["bgzf.tgz", "estargz.tgz"]);
    // A bit of a member in the middle, and one of a header, are found by the members' own sums.
    bench
        .sh("python3 -c \"b=bytearray(open('bgzf.tgz','rb').read()); b[len(b)//2]^=4; open('bad.tgz','wb').write(b)\"");
    let (line, _) = bench.refused("-C out bad.tgz", 1);
    assert!(line.starts_with("layer bad.tgz: its gzip stream is broken: "), "{line}");
    assert!(!bench.path("out").exists());
}

#[test]
fn what_packs_in_parallel() {
    testkit::need!("pigz", "zstd");
    let bench = Bench::in_memory();
    bench.sh(TAR);
    bench.sh(
        "pigz -kb 128 -c a.tar > pigz.tgz; pigz -ki -c a.tar > independent.tgz; pigz -9 -c a.tar > nine.tgz
         zstd -qT2 -B1MiB a.tar -o threads.tar.zst
         split -b 300000 a.tar part.; for p in part.*; do zstd -qc --check $p; done > frames.tar.zst
         { printf '\\x50\\x2a\\x4d\\x18\\x04\\0\\0\\0abcd'; cat frames.tar.zst; printf '\\x5e\\x2a\\x4d\\x18\\x09\\0\\0\\0\\0\\0\\0\\0\\0\\xb1\\xea\\x92\\x8f'; } > seekable.tar.zst
         zstd -q --long=27 a.tar -o long.tar.zst",
    );
    all_give_the_tree(
        &bench,
        &[
            "pigz.tgz",
            "independent.tgz",
            "nine.tgz",
            "threads.tar.zst",
            "frames.tar.zst",
            "seekable.tar.zst",
            "long.tar.zst",
        ],
    );
}

#[test]
fn a_window_that_is_too_large_is_refused_by_name() {
    let bench = Bench::in_memory();
    // A frame whose header asks for 2 GiB.
    bench.write("wide.tar.zst", &[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]);
    for words in ["-C out wide.tar.zst", "-C out --as image wide.tar.zst"] {
        let (line, hint) = bench.refused(words, 1);
        assert!(line.ends_with("it needs a window of 2 GiB, and at most 128 MiB are given"), "{line}");
        assert!(hint.contains("zstd --long=27"), "{hint}");
    }
    assert!(!bench.path("out").exists());
}
