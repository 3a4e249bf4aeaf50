//! Little that becomes much: what can be limited stops at its limit, and what is taken needs no more memory than anything else.
//!
//! Memory is what [`crate::memory`] measures; here it is how much a few bytes may cost, in time of the processor and on disk.
//!
//! Contract U21.

use crate::bench::{Bench, names_in, refusal};
use testkit::corpus::{Item, tar};

const OWNERS: &str = "--no-same-owner";

/// A gigabyte of zeros in a megabyte of gzip, as a layer.
fn zeros(bench: &Bench, megabytes: u64) {
    let header = Item::file("zeros", b"").claims(megabytes << 20).bytes();
    bench.write("header", &header);
    bench.sh(&format!(
        "{{ cat header; head -c {megabytes}M /dev/zero; head -c 1024 /dev/zero; }} | tee >(gzip -1 > z.gz) | zstd -q > z.zst"
    ));
}

#[test]
fn limits_stop_a_bomb_where_it_crosses_them() {
    testkit::need!("zstd");
    let bench = Bench::in_memory();
    zeros(&bench, 64);
    for packed in ["z.gz", "z.zst"] {
        let (line, hint) = bench.refused(&format!("-C out {OWNERS} --max-size 10M {packed}"), 1);
        assert!(line.starts_with(&format!("layer {packed}: zeros: ")) && line.contains("10"), "{line}");
        assert!(hint.contains("--max-size"), "{hint}");
        assert!(!bench.path("out").exists());
        bench.unpacked(&format!("-C out {OWNERS} --max-size 64M {packed}"));
        bench.sh("rm -r out");
    }
    let many: Vec<Item> = (0..1000).map(|n| Item::file(format!("f{n}"), b"")).collect();
    bench.write("many.tar", &tar(&many));
    let (line, hint) = bench.refused(&format!("-C out {OWNERS} --max-files 999 many.tar"), 1);
    assert!(line.contains("f999") && hint.contains("--max-files"), "{line}\n{hint}");
    assert!(!bench.path("out").exists());
    bench.unpacked(&format!("-C out {OWNERS} --max-files 1000 many.tar"));
    // The same name again and again, hard links, and directories that no entry names count as well.
    for (name, items) in [
        ("same", (0..100).map(|_| Item::file("f", b"")).collect::<Vec<_>>()),
        (
            "hard",
            std::iter::once(Item::file("f", b"")).chain((0..99).map(|n| Item::hard(format!("h{n}"), "f"))).collect(),
        ),
        ("deep", vec![Item::file("d/".repeat(99) + "f", b"")]),
    ] {
        bench.write("a.tar", &tar(&items));
        let (line, _) = bench.refused(&format!("-C no {OWNERS} --max-files 50 a.tar"), 1);
        assert!(line.starts_with("layer a.tar: "), "{name}: {line}");
        assert!(!bench.path("no").exists(), "{name}");
    }
    // A sum of sizes that would start from 0 again.
    let huge = [Item::file("a", b"x").claims(1 << 62), Item::file("b", b"x").claims(1 << 62)];
    bench.write("a.tar", &tar(&huge));
    assert!(bench.refused(&format!("-C no {OWNERS} --max-size 1M a.tar"), 1).1.contains("--max-size"));
}

#[test]
fn a_window_larger_than_the_cap_is_refused_by_name() {
    testkit::need!("zstd");
    let bench = Bench::new();
    zeros(&bench, 300);
    bench.sh("gzip -dc z.gz | zstd -q --ultra --long=28 > w28; gzip -dc z.gz | zstd -q --long=27 > w27");
    let (line, hint) = bench.refused(&format!("-C out {OWNERS} w28"), 1);
    assert!(line.starts_with("layer w28: ") && line.contains("window"), "{line}");
    assert!(!hint.is_empty() && !bench.path("out").exists());
    bench.unpacked(&format!("-C out {OWNERS} w27"));
}

#[test]
fn a_size_that_lies_is_believed_for_a_quarter_of_a_gigabyte() {
    testkit::need!(root, "unshare");
    let bench = Bench::new();
    // Eight gigabytes are said, a megabyte comes: while it waits for more, it holds what it asks for at once and no more.
    let mut start = Item::file("f", b"").claims(8 << 30).bytes();
    start.resize(1 << 20, b'x');
    bench.write("start", &start);
    let used = bench.sh(
        "mkdir t; unshare -m --propagation private bash -c 'mount -t tmpfs -o size=900m none t; mkfifo p; $UNPACK -C t/out - < p 2>/dev/null & exec 3> p; cat start >&3
         until [ -s t/out/f ] || [ $SECONDS -gt 60 ]; do sleep 0.05; done; df --output=used t | tail -n1; exec 3>&-; wait || :; df --output=used t | tail -n1'",
    );
    let used: Vec<u64> = used.lines().map(|l| l.trim().parse().unwrap()).collect();
    assert!((200_000..300_000).contains(&used[0]), "{} KB are taken for a file that never came", used[0]);
    assert_eq!(used[1], 0);
}

#[test]
fn the_same_name_and_empty_names_many_times_over() {
    let bench = Bench::in_memory();
    let count = 20_000_u32;
    let same: Vec<Item> = (0..count).map(|n| Item::file("f", format!("{n}"))).collect();
    bench.write("same.tar", &tar(&same));
    let unpacked = |words: &str| {
        let out = bench.within(60, &format!("{OWNERS} {words}"));
        assert!(out.status.success(), "{words}: {} {}", out.status, String::from_utf8_lossy(&out.stderr));
    };
    unpacked("-C out same.tar");
    assert_eq!(std::fs::read_to_string(bench.path("out/f")).unwrap(), format!("{}", count - 1));
    let dirs: Vec<Item> = (0..count).map(|n| Item::dir(if n.is_multiple_of(2) { "d/" } else { "d/./" })).collect();
    bench.write("dirs.tar", &tar(&dirs));
    unpacked("-C out2 dirs.tar");
    assert_eq!(names_in(&bench.path("out2")), ["d"]);
    // Each replaces a directory of the name before, with things in it.
    let turns: Vec<Item> =
        (0..2000).flat_map(|_| [Item::dir("x/"), Item::file("x/y/z", b""), Item::file("x", b"1")]).collect();
    bench.write("turns.tar", &tar(&turns));
    unpacked("-C out3 turns.tar");
    assert_eq!(names_in(&bench.path("out3")), ["x"]);
}

#[test]
fn headers_that_cost_more_than_they_weigh_are_refused_soon() {
    let bench = Bench::new();
    let xattrs = |count: usize, value: &[u8]| -> Item {
        (0..count).fold(Item::file("f", b""), |item, n| item.xattr(format!("user.{n}"), value))
    };
    for (what, layer) in [
        ("many names", tar(&[xattrs(50_000, b"")])),
        ("much in one header", tar(&[xattrs(80, &[b'v'; 60_000])])),
        ("many global headers", {
            let one = testkit::corpus::global(&[("SCHILY.xattr.user.a", &"v".repeat(60_000))]);
            tar(&[Item::file("f", b"").after(&one.repeat(100))])
        }),
        ("many headers before one entry", {
            let one = Item::file("P", testkit::corpus::record(b"SCHILY.xattr.user.a", &[b'v'; 60_000])).raw(156, b"x");
            tar(&[Item::file("f", b"").after(&one.bytes().repeat(100))])
        }),
    ] {
        bench.write("a.tar", &layer);
        let (line, _) = refusal(&bench.within(5, &format!("-C out {OWNERS} a.tar")), 1, what);
        assert!(line.starts_with("layer a.tar: "), "{what}: {line}");
        assert!(!bench.path("out").exists(), "{what}");
    }
}

#[test]
fn indexes_that_name_each_other_are_read_once() {
    let bench = Bench::new();
    // Sixteen times the same child on each of eight levels: four thousand million paths to one manifest.
    bench.sh(
        "mkdir -p img/blobs/sha256; echo '{\"imageLayoutVersion\":\"1.0.0\"}' > img/oci-layout
         child=$(printf '%064d' 7)
         for level in 1 2 3 4 5 6 7 8; do
             entry='{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"sha256:'$child'\",\"size\":1}'; all=$entry
             for i in $(seq 15); do all+=,$entry; done
             echo \"{\\\"schemaVersion\\\":2,\\\"manifests\\\":[$all]}\" > index; child=$(sha256sum < index | cut -d' ' -f1); cp index img/blobs/sha256/$child
         done
         cp index img/index.json",
    );
    refusal(&bench.within(5, "-C out img"), 1, "indexes of indexes");
    assert!(!bench.path("out").exists());
}
